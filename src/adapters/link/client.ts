/** The site's end of the link: exchanges and blobs, one at a time, decoded and bounded; acceptance is the agent's. */
import { Fault } from '../../core/model/fault.ts'
import type { Digest } from '../../core/model/digest.ts'
import type { BlobDomain } from '../../core/model/release.ts'
import { acceptBlob } from '../../core/protocol/accept.ts'
import { BLOB_MAX_BYTES } from '../../core/protocol/limits.ts'
import { bodyDigest } from '../../core/protocol/manifest.ts'
import type { SyncUp } from '../../core/protocol/messages.ts'
import type { HubLink, SyncAnswer, SyncBases } from '../../core/protocol/ports.ts'
import { decodeDown, encodeUp } from '../../core/protocol/sync.ts'
import type { Carrier } from './carrier.ts'
import { hubLine } from './line.ts'
import type { LinkClientOptions } from './types.ts'
import { CLIENT_LIMITS } from './wire.ts'

/** A blob comes in pieces of this size, so that a sync need not wait for the whole of a large one. */
const PIECE_BYTES = 256 * 1024
const MAX_PARTIAL_BLOBS = 4
/** More than a session ticket of TLS: the answer itself had begun. */
const LEAST_CUT_BYTES = 4 * 1024
/** Once is bad luck and the whole is asked for again; a link that cuts every answer lets pieces through, and each costs a round trip. */
const CUTS_UNTIL_LEAN = 2

export function openLink(options: LinkClientOptions): HubLink {
  const line = hubLine(options)
  const partial = new Map<Digest, Buffer>()
  /** Answers that were cut since the site was last current. */
  let cuts = 0

  const exchange = async (up: SyncUp, bases: SyncBases, signal: AbortSignal): Promise<Exchanged> =>
    line.use(signal, async (held) => {
      const { carrier } = held
      const before = held.fresh ? { up: 0, down: 0 } : carrier.bytes
      const lean = cuts >= CUTS_UNTIL_LEAN
      const sent = encodeUp(lean ? { ...up, lean } : up, held.conversation)
      const from = carrier.bytes.down
      const body = await carrier.sync(sent.bytes, signal).catch((error: unknown) => {
        // One that we gave up on for its slowness would be slower in pieces.
        const broke = error instanceof Fault && error.reason === 'Unreachable'
        if (broke && carrier.bytes.down > from + LEAST_CUT_BYTES) cuts++
        throw error
      })
      const { answer: decoded, damaged, head } = decodeDown(body, bases, held.conversation)
      held.conversation = { up: sent.head, down: head }
      if (decoded.manifest === undefined) cuts = 0
      const after = carrier.bytes
      return {
        answer: { ...decoded, bytes: { up: after.up - before.up, down: after.down - before.down } },
        damaged: damaged.length,
      }
    })

  return {
    async sync(up, bases, signal) {
      // A base that is not what the report names would only decode to a mismatch.
      const sound = up.have === null || (bases.manifest !== undefined && bodyDigest(bases.manifest) === up.have.body)
      let first: Exchanged | undefined
      try {
        first = await exchange(sound ? up : { ...up, whole: true }, bases, signal)
        if (first.damaged === 0 || !sound) return first.answer
      } catch (error) {
        // `Stale`: the hub does not hold the heads that we deflated against. Nothing was done yet, and the next is a fresh start.
        if (!(error instanceof Fault) || (error.reason !== 'BlobMismatch' && error.reason !== 'Stale')) throw error
      }
      const second = await exchange({ ...up, whole: true }, bases, signal)
      const bytes = { up: second.answer.bytes.up + (first?.answer.bytes.up ?? 0), down: second.answer.bytes.down + (first?.answer.bytes.down ?? 0) } // prettier-ignore
      return { ...second.answer, bytes }
    },

    async blob(domain, digest, signal) {
      for (let barren = 0; ;) {
        const had = partial.get(digest)?.length ?? 0
        try {
          const whole = await line.use(signal, ({ carrier }) => piece(carrier, domain, digest, partial, signal))
          if (whole) return finish(domain, digest, partial)
        } catch (error) {
          const resumable = error instanceof Fault && (error.reason === 'Unreachable' || error.reason === 'Timeout')
          const grown = (partial.get(digest)?.length ?? 0) > had
          barren = grown ? 0 : barren + 1
          if (!resumable || barren >= (options.limits?.barrenAttempts ?? CLIENT_LIMITS.barrenAttempts)) throw error
        }
      }
    },

    rest: (forMs, nudged) => line.rest(forMs, nudged),
    close: () => line.close(),
  }
}

interface Exchanged {
  readonly answer: SyncAnswer
  readonly damaged: number
}

/** Fetches the next piece; true when the blob is whole. */
async function piece(
  carrier: Carrier,
  domain: BlobDomain,
  digest: Digest,
  partial: Map<Digest, Buffer>,
  signal: AbortSignal,
): Promise<boolean> {
  const from = partial.get(digest)?.length ?? 0
  const chunks: Buffer[] = []
  try {
    const asked = { domain, digest, from, to: from + PIECE_BYTES }
    const head = await carrier.piece(asked, (chunk) => chunks.push(chunk), signal)
    if (head.from !== from) throw new Fault('InvalidInput', 'another piece than was asked for')
    if (head.total > BLOB_MAX_BYTES) throw new Fault('TooLarge', `a blob of ${head.total} bytes`)
    return chunks.reduce((sum, chunk) => sum + chunk.length, from) >= head.total
  } catch (error) {
    // Bytes before a cut are the blob's; bytes of an answer that is not what was asked for are nobody's.
    if (error instanceof Fault && error.reason === 'InvalidInput') chunks.length = 0
    throw error
  } finally {
    keep(partial, digest, chunks)
  }
}

function keep(partial: Map<Digest, Buffer>, digest: Digest, chunks: readonly Buffer[]): void {
  if (chunks.length === 0) return
  const grown = Buffer.concat([partial.get(digest) ?? Buffer.alloc(0), ...chunks])
  partial.delete(digest)
  partial.set(digest, grown)
  const [oldest] = partial.keys()
  if (partial.size > MAX_PARTIAL_BLOBS && oldest !== undefined) partial.delete(oldest)
}

function finish(domain: BlobDomain, digest: Digest, partial: Map<Digest, Buffer>): Uint8Array {
  const bytes = partial.get(digest) ?? Buffer.alloc(0)
  partial.delete(digest)
  const checked = acceptBlob(domain, digest, bytes)
  if (!checked.ok) throw new Fault(checked.reason, checked.because)
  return checked.value
}
