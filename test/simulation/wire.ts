/** A link without sockets: the bytes are the real ones, and the hub hears them only while it lives. */
import { encodeUp, decodeUp, encodeDown, decodeDown, NEW_CONVERSATION } from '../../src/core/protocol/sync.ts'
import { Fault } from '../../src/core/model/fault.ts'
import type { SyncUp } from '../../src/core/protocol/messages.ts'
import type { Caller, HubLink, SyncAnswer, SyncHandler, SyncReply } from '../../src/core/protocol/ports.ts'
import { bodyDigest } from '../../src/core/protocol/manifest.ts'

const MOST_OVERHEARD = 24

export interface WireOptions {
  readonly caller: Caller
  /** undefined: nobody listens. */
  readonly hub: () => SyncHandler | undefined
  /** What becomes of this exchange: draws come from the seed. */
  readonly fate: () => 'through' | 'replay' | 'portal' | 'proxy'
  /** What becomes of a blob; `lean`: nothing comes with the manifest, and all is asked for by itself. */
  readonly blobs: () => 'through' | 'lean' | 'cut' | 'damaged'
  /** On its way; returns what `heard` is given back. */
  readonly said: (up: SyncUp) => number
  readonly heard: (up: SyncUp, said: number, reply: SyncReply) => void
  /** The latest answers to any site: what an attacker on the way may send again, and to whom he likes. */
  readonly overheard: SyncAnswer[]
}

export function wireLink({ caller, hub, fate, blobs, said, heard, overheard }: WireOptions): HubLink {
  let mine = NEW_CONVERSATION
  let theirs = NEW_CONVERSATION
  let speaker: SyncHandler | undefined
  const listening = (): { readonly handler: SyncHandler; readonly caller: Caller } => {
    const handler = hub()
    if (handler === undefined) throw new Fault('Unreachable', 'nobody listens')
    const standing = handler.standing(caller.keyHash)
    if (standing?.state !== 'active') throw new Fault('KeyUnknown', 'a key that the store does not know')
    // As the link does: who calls is who its key is of, by the name that the site has now.
    return { handler, caller: { ...caller, site: standing.site } }
  }
  const once = async (sent: SyncUp, bases: Parameters<HubLink['sync']>[1], signal: AbortSignal) => {
    const { handler, caller: known } = listening()
    if (handler !== speaker) mine = theirs = NEW_CONVERSATION
    speaker = handler
    const up = encodeUp(sent, mine)
    const read = decodeUp(up.bytes, theirs)
    const place = said(read.up)
    const full = await handler.sync(known, read.up, signal)
    if (hub() !== handler) throw new Fault('Unreachable', 'the hub went away')
    const reply = blobs() === 'lean' ? { ...full, blobs: [] } : full
    heard(read.up, place, reply)
    const down = encodeDown(reply, read.up, theirs)
    theirs = { up: read.head, down: down.head }
    const decoded = decodeDown(down.bytes, bases, mine)
    mine = { up: up.head, down: decoded.head }
    return { ...decoded, bytes: { up: up.bytes.length, down: down.bytes.length } }
  }
  return {
    async sync(up, bases, signal) {
      const what = fate()
      if (what === 'portal') throw new Fault('CaptivePortal', 'pay for the network first')
      if (what === 'proxy') throw new Fault('HubNotTrusted', 'a certificate of somebody else')
      if (what === 'replay' && overheard.length > 0) return overheard[up.seq % overheard.length]!
      try {
        const sound = up.have === null || (bases.manifest !== undefined && bodyDigest(bases.manifest) === up.have.body)
        let done = await once(sound ? up : { ...up, whole: true }, bases, signal)
        if (done.damaged.length > 0) done = await once({ ...up, whole: true }, bases, signal)
        const answer = { ...done.answer, bytes: done.bytes }
        overheard.push(answer)
        if (overheard.length > MOST_OVERHEARD) overheard.shift()
        return answer
      } catch (error) {
        mine = theirs = NEW_CONVERSATION
        throw error
      }
    },
    async blob(domain, digest) {
      const what = blobs()
      if (what === 'cut') throw new Fault('Unreachable', 'the link was cut within a blob')
      const { handler, caller: known } = listening()
      const bytes = await handler.blob(known, domain, digest)
      if (bytes === undefined) throw new Fault('NotFound', 'no such blob')
      if (what !== 'damaged') return bytes
      const damaged = Uint8Array.from(bytes)
      damaged[0] = (damaged[0] ?? 0) ^ 1
      return damaged
    },
    close: async () => undefined,
  }
}
