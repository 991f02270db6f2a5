/**
 * The hub's time, signed over this exchange's nonce. A fixed byte layout: the site rebuilds what it knows and is sent only
 * time, epoch, key and signature. The wall clock of a site decides nothing.
 */
import type { Digest } from '../model/digest.ts'
import type { Generation } from '../model/observation.ts'
import { PAYLOAD_TYPES, signBytes, verifyBytes, type SigningKey } from './envelope.ts'
import type { SyncUp, TimeStatement } from './messages.ts'
import type { Trust } from './trust.ts'

export const NONCE_BYTES = 12
/** How far a hub may correct itself backwards within one epoch (clock discipline, a failover) before a site calls it wrong. */
export const TIME_BACKSTEP_MS = 60_000

/** What stands for a site that has no manifest yet. */
export const NO_SUBJECT: TimeSubject = { generation: { epoch: 0, counter: 0 }, root: `sha256:${'0'.repeat(64)}` }

export interface TimeSubject {
  readonly generation: Generation
  readonly root: Digest
}

/** Which manifest a statement speaks of: the one sent in this exchange, else the one that the site named, else none. */
export function timeSubject(sent: TimeSubject | undefined, have: SyncUp['have']): TimeSubject {
  return sent ?? have ?? NO_SUBJECT
}

/** u8 length and siteId, nonce 12, time u48, timeEpoch u32, epoch u32, counter u64, root 32; big-endian. */
export function timeBytes(statement: TimeStatement): Buffer {
  const siteId = Buffer.from(statement.siteId)
  const nonce = Buffer.from(statement.nonce, 'base64url')
  if (siteId.length > 255 || nonce.length !== NONCE_BYTES) throw new TypeError('a site id or nonce of another length')
  const bytes = Buffer.alloc(1 + siteId.length + NONCE_BYTES + 6 + 4 + 4 + 8 + 32)
  let at = bytes.writeUInt8(siteId.length)
  at += siteId.copy(bytes, at)
  at += nonce.copy(bytes, at)
  at = bytes.writeUIntBE(statement.timeMs, at, 6)
  at = bytes.writeUInt32BE(statement.timeEpoch, at)
  at = bytes.writeUInt32BE(statement.generation.epoch, at)
  at = bytes.writeBigUInt64BE(BigInt(statement.generation.counter), at)
  Buffer.from(statement.root.slice('sha256:'.length), 'hex').copy(bytes, at)
  return bytes
}

/** The signature, 64 bytes. */
export function signTime(statement: TimeStatement, key: SigningKey): Buffer {
  return signBytes(PAYLOAD_TYPES.time, timeBytes(statement), key)
}

/** What a site knows of the hub's time: the last statement, and when it came by the site's monotonic clock of that boot. */
export interface HubTime {
  readonly timeMs: number
  readonly timeEpoch: number
  readonly atMonotonicMs: number
  /** Kernel boot, not process: monotonic time is comparable only within one. */
  readonly boot: string
}

/** `exact`: within a round trip. `atLeast`: it is not earlier than this (after a reboot, before the hub was reached). */
export type HubNow = { readonly known: 'exact' | 'atLeast'; readonly ms: number } | { readonly known: 'no' }

export function hubNow(held: HubTime | undefined, monotonicMs: number, boot: string): HubNow {
  if (held === undefined) return { known: 'no' }
  if (held.boot !== boot) return { known: 'atLeast', ms: held.timeMs }
  return { known: 'exact', ms: held.timeMs + Math.max(0, monotonicMs - held.atMonotonicMs) }
}

export type TimeVerdict =
  | { readonly verdict: 'accept'; readonly time: HubTime }
  | {
      readonly verdict: 'refuse'
      readonly reason: 'SignatureInvalid' | 'HubClock' | 'InvalidInput'
      readonly because: string
    }

export interface TimeInput {
  /** As rebuilt by the site from what it sent, what it was sent, and `timeSubject`. */
  readonly statement: TimeStatement
  readonly keyid: string
  readonly sig: Uint8Array
  readonly trust: Trust
  readonly held: HubTime | undefined
  readonly monotonicMs: number
  /** When the nonce was sent: the statement was made after that, however long it was on its way. Default: now. */
  readonly sentMonotonicMs?: number
  readonly boot: string
}

/** Verifies by rebuilding, then judges: the epoch is the root's word, and within an epoch time does not go back. */
export function judgeTime(input: TimeInput): TimeVerdict {
  const { statement, trust, held, monotonicMs, boot } = input
  const key = trust.rings.time.get(input.keyid)
  if (key === undefined)
    return { verdict: 'refuse', reason: 'SignatureInvalid', because: `key ${input.keyid} may not sign time` }
  if (!inRange(statement)) return { verdict: 'refuse', reason: 'InvalidInput', because: 'a time outside its layout' }
  if (!verifyBytes(PAYLOAD_TYPES.time, timeBytes(statement), input.sig, key))
    return {
      verdict: 'refuse',
      reason: 'SignatureInvalid',
      because: 'the time statement does not verify for this site and nonce',
    }
  if (statement.timeEpoch !== trust.timeEpoch)
    return {
      verdict: 'refuse',
      reason: 'HubClock',
      because: `time epoch ${statement.timeEpoch}, the root says ${trust.timeEpoch}`,
    }
  if (held?.timeEpoch === statement.timeEpoch) {
    const now = hubNow(held, input.sentMonotonicMs ?? monotonicMs, boot)
    if (now.known !== 'no' && statement.timeMs < now.ms - TIME_BACKSTEP_MS)
      return {
        verdict: 'refuse',
        reason: 'HubClock',
        because: `time went back by ${Math.round(now.ms - statement.timeMs)} ms`,
      }
  }
  return {
    verdict: 'accept',
    time: { timeMs: statement.timeMs, timeEpoch: statement.timeEpoch, atMonotonicMs: monotonicMs, boot },
  }
}

function inRange({ siteId, nonce, timeMs, timeEpoch, generation }: TimeStatement): boolean {
  const below = (value: number, limit: number): boolean => Number.isSafeInteger(value) && value >= 0 && value < limit
  return (
    siteId.length <= 64 &&
    Buffer.from(nonce, 'base64url').length === NONCE_BYTES &&
    below(timeMs, 2 ** 48) &&
    below(timeEpoch, 2 ** 32) &&
    below(generation.epoch, 2 ** 32) &&
    below(generation.counter, Number.MAX_SAFE_INTEGER)
  )
}
