/**
 * What is said on a site's WebSocket besides syncs and their answers, which are binary messages. One request at a time.
 *
 *   up    text `object/<hex> 0-262144`      a piece of a blob, [from, to)
 *   down  text `{"from":0,"total":9}`       its head; the bytes follow in binary messages of at most one TLS record
 *   down  text `{"because":"Throttled","retryAfterMs":5000}`   a refusal of the request in progress
 *   down  an empty binary message           a nudge: come now
 */
import { Fault, REASONS, type FaultReason } from '../../core/model/fault.ts'
import type { Digest } from '../../core/model/digest.ts'

export const SOCKET_PATH = '/v1/link'
/** Text on the socket is never longer. */
export const WORDS_MAX_BYTES = 512
export const NUDGE = new Uint8Array()

const PIECE = /^([a-z]{1,16})\/([0-9a-f]{64}) (\d{1,9})-(\d{1,9})$/

export interface PieceAsked {
  readonly domain: string
  readonly digest: Digest
  readonly from: number
  readonly to: number
}

export interface PieceHead {
  readonly from: number
  readonly total: number
}

export function encodeAsk({ domain, digest, from, to }: PieceAsked): string {
  return `${domain}/${digest.slice('sha256:'.length)} ${from}-${to}`
}

/** Fault InvalidInput. */
export function decodeAsk(text: string): PieceAsked {
  const [, domain, hex, from, to] = PIECE.exec(text) ?? []
  if (domain === undefined) throw new Fault('InvalidInput', 'not a word of this link')
  return { domain, digest: `sha256:${hex!}`, from: Number(from), to: Number(to) }
}

export function encodeRefusal({ reason, retryAfterMs }: Fault): string {
  return JSON.stringify({ because: reason, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) })
}

/** A Fault is a refusal, as the hub meant it. Fault InvalidInput is thrown. */
export function decodeWords(text: string): PieceHead | Fault {
  const said = parse(text)
  const { because, retryAfterMs, from, total } = said
  if (typeof because === 'string') {
    const reason = Object.hasOwn(REASONS, because) ? (because as FaultReason) : 'ServerError'
    const after = typeof retryAfterMs === 'number' && retryAfterMs >= 0 ? retryAfterMs : undefined
    return new Fault(reason, `the hub refuses: ${because}`, { retryAfterMs: after })
  }
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(total)) throw notOurs()
  return { from: from as number, total: total as number }
}

function parse(text: string): Record<string, unknown> {
  try {
    const said: unknown = JSON.parse(text)
    if (typeof said === 'object' && said !== null) return said as Record<string, unknown>
  } catch {
    throw notOurs()
  }
  throw notOurs()
}

function notOurs(): Fault {
  return new Fault('InvalidInput', 'words that are not of this link')
}
