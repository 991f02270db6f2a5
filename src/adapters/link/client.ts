/** The site's end of the link: one connection, one exchange at a time, the hub judged by the pinned root and never by a date. */
import { createHash, X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { Fault } from '../../core/model/fault.ts'
import type { Digest } from '../../core/model/digest.ts'
import type { BlobDomain } from '../../core/model/release.ts'
import { acceptBlob } from '../../core/protocol/accept.ts'
import { BLOB_MAX_BYTES, SYNC_DOWN_MAX_BYTES } from '../../core/protocol/limits.ts'
import { bodyDigest } from '../../core/protocol/manifest.ts'
import type { SyncUp } from '../../core/protocol/messages.ts'
import type { HubLink, SyncAnswer, SyncBases } from '../../core/protocol/ports.ts'
import { decodeDown, encodeUp, NEW_CONVERSATION, type Conversation } from '../../core/protocol/sync.ts'
import { isHub, issuedBy } from './peers.ts'
import { decodeSession, encodeSession } from './session.ts'
import type { LinkClientOptions, SessionStore } from './types.ts'
import { CLIENT_LIMITS, dial, faultOf, type Wire } from './wire.ts'

/** A blob comes in pieces of this size, so that a sync need not wait for the whole of a large one. */
const PIECE_BYTES = 256 * 1024
const MAX_PARTIAL_BLOBS = 4
/** More than a session ticket of TLS: the answer itself had begun. */
const LEAST_CUT_BYTES = 4 * 1024

export function openLink(options: LinkClientOptions): HubLink {
  const line = hubLine(options)
  const partial = new Map<Digest, Buffer>()
  /** An answer was cut: whole ones may never get through here, pieces do. Until the site is current. */
  let lean = false

  const exchange = async (up: SyncUp, bases: SyncBases, signal: AbortSignal): Promise<Exchanged> =>
    line.use(signal, async (held) => {
      const before = held.fresh ? { up: 0, down: 0 } : held.wire.bytes
      const sent = encodeUp(lean ? { ...up, lean } : up, held.conversation)
      const from = held.wire.bytes.down
      const answer = await held.wire
        .request({ method: 'POST', path: '/v1/sync', body: sent.bytes, maxBytes: SYNC_DOWN_MAX_BYTES }, signal)
        .catch((error: unknown) => {
          lean ||= held.wire.bytes.down > from + LEAST_CUT_BYTES
          throw error
        })
      if (answer.status !== 200) throw faultOf(answer)
      const { answer: decoded, damaged, head } = decodeDown(answer.body, bases, held.conversation)
      held.conversation = { up: sent.head, down: head }
      lean &&= decoded.manifest !== undefined
      const after = held.wire.bytes
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
          const whole = await line.use(signal, ({ wire }) => piece(wire, domain, digest, partial, signal))
          if (whole) return finish(domain, digest, partial)
        } catch (error) {
          const resumable = error instanceof Fault && (error.reason === 'Unreachable' || error.reason === 'Timeout')
          const grown = (partial.get(digest)?.length ?? 0) > had
          barren = grown ? 0 : barren + 1
          if (!resumable || barren >= (options.limits?.barrenAttempts ?? CLIENT_LIMITS.barrenAttempts)) throw error
        }
      }
    },

    close: () => line.close(),
  }
}

interface Exchanged {
  readonly answer: SyncAnswer
  readonly damaged: number
}

/** Fetches the next piece; true when the blob is whole. */
async function piece(
  wire: Wire,
  domain: BlobDomain,
  digest: Digest,
  partial: Map<Digest, Buffer>,
  signal: AbortSignal,
): Promise<boolean> {
  const from = partial.get(digest)?.length ?? 0
  const chunks: Buffer[] = []
  try {
    const answer = await wire.request(
      {
        method: 'GET',
        path: `/v1/blobs/${domain}/${digest.slice('sha256:'.length)}`,
        headers: { range: `bytes=${from}-${from + PIECE_BYTES - 1}` },
        maxBytes: BLOB_MAX_BYTES,
        sink: (chunk) => chunks.push(chunk),
      },
      signal,
    )
    if (answer.status === 200 && from > 0) throw new Fault('InvalidInput', 'a whole blob where a piece was asked for')
    if (answer.status === 200) return true
    if (answer.status !== 206) throw faultOf(answer)
    const [, start, total] = /^bytes (\d+)-\d+\/(\d{1,15})$/.exec(answer.headers.get('content-range') ?? '') ?? []
    if (Number(start) !== from) throw new Fault('InvalidInput', 'another piece than was asked for')
    if (Number(total) > BLOB_MAX_BYTES) throw new Fault('TooLarge', `a blob of ${total} bytes`)
    const got = chunks.reduce((sum, chunk) => sum + chunk.length, from)
    return got >= Number(total)
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

interface Held {
  readonly wire: Wire
  /** Shown when it was dialled. */
  readonly certificate: string
  /** Nothing was asked on it before. */
  readonly fresh: boolean
  conversation: Conversation
}

interface HubLine {
  /** One caller at a time, on a connection that is open. A kept one that died in silence is replaced and asked once more. */
  use<T>(signal: AbortSignal, work: (held: Held) => Promise<T>): Promise<T>
  close(): Promise<void>
}

function hubLine(options: LinkClientOptions): HubLine {
  const limits = { ...CLIENT_LIMITS, ...options.limits }
  const sessions = options.sessions ?? memorySessions()
  let held: Held | undefined
  let turn: Promise<unknown> = Promise.resolve()
  let closed = false

  const dialHub = async (signal: AbortSignal): Promise<Held> => {
    const identity = options.identity()
    const authorities = options.authorities().map((der) => new X509Certificate(der))
    // Under this root, these authorities and this key; a session of an older certificate would present that one.
    const binding = createHash('sha256').update(identity.root).update(identity.certificate)
    for (const { raw } of authorities) binding.update(raw)
    const boundTo = binding.digest('hex')
    const session = decodeSession(sessions.load(), boundTo)
    const wire = await dial(
      {
        hubUrl: identity.hubUrl,
        key: identity.privateKey,
        certificate: identity.certificate,
        ...(session === undefined ? {} : { session }),
        keyExchange: options.keyExchange ?? 'hybrid',
        limits,
        judge: (socket) => judgeHub(socket, authorities),
        onSession: (bytes) => sessions.save(encodeSession(bytes, boundTo)),
      },
      signal,
    )
    return { wire, certificate: identity.certificate, fresh: true, conversation: NEW_CONVERSATION }
  }
  const once = async <T>(signal: AbortSignal, work: (held: Held) => Promise<T>): Promise<T> => {
    if (closed) throw new Fault('Cancelled', 'the link is closed')
    if (held !== undefined && held.certificate !== options.identity().certificate) {
      held.wire.hangUp()
      held = undefined
    }
    const kept = held?.wire.open === true ? held : undefined
    held = kept ?? (await dialHub(signal))
    const current = held
    try {
      const result = await work(current)
      held = { ...current, fresh: false }
      return result
    } catch (error) {
      // Whatever went wrong, the two ends may no longer agree on what was said: begin anew.
      if (!(error instanceof Fault) || error.reason !== 'Throttled') held = undefined
      if (held === undefined) current.wire.hangUp()
      const silent = error instanceof Fault && error.reason === 'Unreachable' && kept !== undefined
      if (silent && !signal.aborted) return once(signal, work)
      throw error
    } finally {
      if (options.connection === 'per-exchange') {
        held?.wire.hangUp()
        held = undefined
      }
    }
  }
  return {
    use(signal, work) {
      const mine = turn.then(() => once(signal, work))
      turn = mine.catch(() => undefined)
      return mine
    },
    async close() {
      closed = true
      held?.wire.hangUp()
      await turn
      held?.wire.hangUp()
    },
  }
}

/** A resumed session shows no certificate: its secret is the proof, and it comes from a handshake that was judged here. */
export function judgeHub(socket: TLSSocket, authorities: readonly X509Certificate[]): void {
  if (socket.isSessionReused()) return
  const leaf = socket.getPeerX509Certificate()
  if (leaf !== undefined && issuedBy(leaf, authorities)) {
    if (isHub(leaf)) return
    throw new Fault('HubNotTrusted', 'a certificate of our root, and not the hub’s')
  }
  // Who claims to be a hub of ours is an impostor or another fleet's; who claims anything else is in between.
  if (leaf?.subjectAltName?.includes('spiffe://flotilla/') === true)
    throw new Fault('HubNotTrusted', 'a hub’s certificate that our root did not sign')
  throw new Fault('CaptivePortal', 'something intercepts TLS on the way to the hub')
}

function memorySessions(): SessionStore {
  let held: Uint8Array | undefined
  return {
    load: () => held,
    save: (bytes) => {
      held = bytes
    },
  }
}
