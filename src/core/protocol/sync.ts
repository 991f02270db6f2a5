/**
 * One exchange as bytes. Both ends keep a `Conversation` a connection: the heads of the last exchange that both saw end,
 * against which the next are deflated. It moves on only with an exchange that was answered.
 */
import type { Digest } from '../model/digest.ts'
import { Fault } from '../model/fault.ts'
import { acceptBlob } from './accept.ts'
import { applyDelta, compress, decompress, makeDelta } from './delta.ts'
import { decodeFrame, encodeFrame, type Dictionary } from './frame.ts'
import { checkDown, checkUp, fitStatus } from './heads.ts'
import { BLOB_MAX_BYTES, INLINE_UNPACKED_MAX_BYTES, SYNC_DOWN_MAX_BYTES, SYNC_UP_MAX_BYTES } from './limits.ts'
import { bodyDigest, MANIFEST_MAX_BYTES } from './manifest.ts'
import type { Envelope, SyncDown, SyncUp } from './messages.ts'
import type { BlobBytes, SyncAnswer, SyncBases, SyncReply } from './ports.ts'
import { parseJsonText } from './shape.ts'
import { STARTER_DOWN, STARTER_UP } from './starter.ts'

export interface Conversation {
  readonly up: string | undefined
  readonly down: string | undefined
}

export const NEW_CONVERSATION: Conversation = { up: undefined, down: undefined }

/** Bytes to send, and the head that the conversation holds once the exchange was answered. */
export interface Encoded {
  readonly bytes: Buffer
  readonly head: string
}

const upward = (conversation: Conversation): Dictionary => ({ starter: STARTER_UP, previous: conversation.up })
const downward = (conversation: Conversation): Dictionary => ({ starter: STARTER_DOWN, previous: conversation.down })

const UP_ORDER = ['v', 'site', 'siteId', 'agent', 'storeEpoch', 'boot', 'have', 'observations', 'goneWorkloads', 'outbox',
  'conditions', 'facts', 'factsDigest', 'dropped', 'want', 'trust', 'whole', 'lean'] as const // prettier-ignore
const UP_LAST = ['seq', 'clockMs', 'nonce'] as const

/** What changes with every message stands last, so that what does not is one match. Too many object reports are left out. */
export function encodeUp(up: SyncUp, conversation: Conversation): Encoded {
  const fitted: SyncUp = { ...up, observations: fitStatus(up.observations) }
  const rest = Object.keys(fitted).filter((key) => ![...UP_ORDER, ...UP_LAST].includes(key as 'v'))
  const names = [...UP_ORDER, ...rest, ...UP_LAST] as (keyof SyncUp)[]
  const head = JSON.stringify(Object.fromEntries(names.map((name) => [name, fitted[name]])))
  const bytes = encodeFrame({ head, parts: [] }, upward(conversation))
  if (bytes.length > SYNC_UP_MAX_BYTES) throw new Fault('TooLarge', `a report of ${bytes.length} bytes`)
  return { bytes, head }
}

/** Fault InvalidInput, TooLarge, Stale. */
export function decodeUp(
  bytes: Uint8Array,
  conversation: Conversation,
): { readonly up: SyncUp; readonly head: string } {
  const { head, parts } = decodeFrame(bytes, upward(conversation), { totalBytes: SYNC_UP_MAX_BYTES, parts: 16 })
  if (parts.length > 0) throw new Fault('InvalidInput', 'a report with parts that its head does not name')
  return { up: checkUp(parseJsonText(head, 'the report')), head }
}

/** Deltas are made here, where a base is given and the site did not ask for whole ones. */
export function encodeDown(
  reply: SyncReply,
  up: Pick<SyncUp, 'whole' | 'lean' | 'trust'>,
  conversation: Conversation,
): Encoded {
  const deltas = up.whole === true ? 'off' : 'on'
  const parts: Uint8Array[] = []
  const { v, ack, ackOutbox, nextDueMs, ...rest } = reply.head
  let manifest: SyncDown['manifest']
  if (reply.manifest !== undefined) {
    const { envelope, body, base } = reply.manifest
    const packed = pack(
      envelope.payload,
      deltas === 'off' || base === undefined ? [] : [{ ...base, bytes: base.payload }],
    )
    parts.push(packed.part, ...envelope.signatures.map(({ sig }) => sig))
    manifest = {
      payloadType: envelope.payloadType,
      ...(packed.base === undefined ? {} : { base: packed.base }),
      result: body,
      keyids: envelope.signatures.map(({ keyid }) => keyid),
      ...(packed.encoding === 'zstd' ? { encoding: 'zstd' as const } : {}),
    }
  }
  const inline = up.lean === true ? [] : reply.blobs
  const blobs = inline.map(({ domain, digest, bytes, base }, i) => {
    // Objects of one release resemble each other: the one before is a base that the site holds by then.
    const before = inline[i - 1]
    const bases = [deltas === 'on' ? base : undefined, before?.domain === domain ? before : undefined]
    const packed = packOnce(bytes, bases.filter((it) => it !== undefined)) // prettier-ignore
    parts.push(packed.part)
    return { digest, domain, ...(packed.base === undefined ? {} : { base: packed.base }), encoding: packed.encoding }
  })
  const newer = reply.trust !== undefined && reply.trust.version > (up.trust ?? 0) ? reply.trust : undefined
  if (newer !== undefined) parts.push(newer.statement.payload, newer.statement.sig)
  const { sig, ...time } = reply.time
  parts.push(sig)
  const trust = newer === undefined ? {} : { trust: { version: newer.version } }
  const down: SyncDown = {
    v,
    ack,
    ackOutbox,
    nextDueMs,
    ...rest,
    ...(manifest === undefined ? {} : { manifest }),
    blobs,
    ...trust,
    time,
  }
  const head = JSON.stringify(down)
  const bytes = encodeFrame({ head, parts }, downward(conversation))
  if (bytes.length > SYNC_DOWN_MAX_BYTES) throw new Fault('TooLarge', `an answer of ${bytes.length} bytes`)
  return { bytes, head }
}

interface Packed {
  readonly part: Uint8Array
  readonly encoding: 'identity' | 'zstd'
  readonly base?: Digest
}

/** What naming a base costs beside the delta. */
const BASE_COST_BYTES = 40

/** A blob is packed in so many ways at the same time: sites that had this or that before are told of it in one wave. */
const MOST_WAYS = 4
const PACKED = new WeakMap<Uint8Array, readonly { readonly against: string; readonly packed: Packed }[]>()

/** Thousands of sites are told of the same blobs: by the very bytes that the hub keeps, and forgotten with them. */
function packOnce(bytes: Uint8Array, bases: Parameters<typeof pack>[1]): Packed {
  const against = bases.map(({ digest }) => digest).join()
  const ways = PACKED.get(bytes) ?? []
  const known = ways.find((way) => way.against === against)
  if (known !== undefined) return known.packed
  const packed = pack(bytes, bases)
  PACKED.set(bytes, [...ways.slice(1 - MOST_WAYS), { against, packed }])
  return packed
}

/** The smallest of: as it is, compressed, and a delta against each base. */
function pack(bytes: Uint8Array, bases: readonly { readonly digest: Digest; readonly bytes: Uint8Array }[]): Packed {
  let best: Packed = { part: bytes, encoding: 'identity' }
  let cost = bytes.length
  for (const base of bases) {
    const delta = makeDelta(base.bytes, bytes)
    if (delta === undefined || delta.length + BASE_COST_BYTES >= cost) continue
    cost = delta.length + BASE_COST_BYTES
    best = { part: delta, encoding: 'zstd', base: base.digest }
  }
  // A delta this much smaller than the whole is not beaten by compressing the whole.
  if (cost < bytes.length / 16) return best
  const whole = compress(bytes)
  return whole.length < cost ? { part: whole, encoding: 'zstd' } : best
}

export interface Decoded {
  readonly answer: Omit<SyncAnswer, 'bytes'>
  /** Blobs that did not give what their names say, of a wrong base or of damaged bytes: not in the answer. */
  readonly damaged: readonly Digest[]
  readonly head: string
}

/** Fault InvalidInput, TooLarge, Stale; BlobMismatch where the manifest is not what the head names: ask again with `whole`. */
export function decodeDown(bytes: Uint8Array, bases: SyncBases, conversation: Conversation): Decoded {
  const frame = decodeFrame(bytes, downward(conversation), { totalBytes: SYNC_DOWN_MAX_BYTES })
  const head = checkDown(parseJsonText(frame.head, 'the answer'))
  const parts = frame.parts.values()
  const next = (): Uint8Array => {
    const part = parts.next()
    if (part.done === true) throw new Fault('InvalidInput', 'an answer with fewer parts than its head names')
    return part.value
  }
  const manifest = head.manifest === undefined ? undefined : readManifest(head.manifest, next, bases)
  const blobs = new Map<Digest, BlobBytes>()
  const damaged: Digest[] = []
  let room = INLINE_UNPACKED_MAX_BYTES
  for (const named of head.blobs) {
    const base = blobs.get(named.base!)?.bytes ?? (named.base && bases.blob(named.domain, named.base))
    const bytes = readBlob(named, next(), base, room)
    if (bytes === undefined) damaged.push(named.digest)
    else blobs.set(named.digest, { domain: named.domain, bytes })
    room -= bytes?.length ?? 0
  }
  const trust = head.trust === undefined ? {} : { trust: { payload: next(), sig: next() } }
  const timeSignature = next()
  if (parts.next().done !== true) throw new Fault('InvalidInput', 'an answer with more parts than its head names')
  return { answer: { head, manifest, blobs, timeSignature, ...trust }, damaged, head: frame.head }
}

/** Undefined where it does not give what its name says: one bad blob keeps no other from arriving. */
function readBlob(
  named: SyncDown['blobs'][number],
  part: Uint8Array,
  base: Uint8Array | undefined,
  room: number,
): Uint8Array | undefined {
  if (named.base !== undefined && base === undefined) return undefined
  try {
    const bytes = unpack(part, named.encoding, base, Math.max(1, Math.min(room, BLOB_MAX_BYTES)))
    return acceptBlob(named.domain, named.digest, bytes).ok ? bytes : undefined
  } catch (error) {
    if (error instanceof Fault && error.reason === 'BlobMismatch') return undefined
    throw error
  }
}

function readManifest(named: NonNullable<SyncDown['manifest']>, next: () => Uint8Array, bases: SyncBases): Envelope {
  const part = next()
  if (named.base !== undefined && bases.manifest === undefined)
    throw new Fault('BlobMismatch', `the base ${named.base} is not here`)
  const base = named.base === undefined ? undefined : bases.manifest
  const payload = unpack(part, named.encoding ?? 'identity', base, MANIFEST_MAX_BYTES)
  if (bodyDigest(payload) !== named.result)
    throw new Fault('BlobMismatch', 'the manifest is not the one that was named')
  return {
    payloadType: named.payloadType,
    payload,
    signatures: named.keyids.map((keyid) => ({ keyid, sig: next() })),
  }
}

function unpack(
  part: Uint8Array,
  encoding: 'identity' | 'zstd',
  base: Uint8Array | undefined,
  maxBytes: number,
): Uint8Array {
  if (encoding === 'zstd') return base === undefined ? decompress(part, maxBytes) : applyDelta(base, part, maxBytes)
  if (part.length > maxBytes) throw new Fault('TooLarge', `a part of ${part.length} bytes`)
  return part
}
