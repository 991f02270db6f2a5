/** HTTP answers with nothing in them that a site pays for and does not read; a fault is a status and one header. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Fault, FaultReason } from '../../core/model/fault.ts'

/** The header that carries a FaultReason. */
export const BECAUSE = 'because'

const STATUS: Partial<Record<FaultReason, number>> = {
  InvalidInput: 400,
  Unauthorized: 401,
  KeyUnknown: 401,
  KeyRetired: 403,
  WrongSite: 403,
  TokenRefused: 403,
  Forbidden: 403,
  NotFound: 404,
  Timeout: 408,
  Stale: 409,
  Conflict: 409,
  TooLarge: 413,
  Throttled: 503,
  HubClock: 503,
  StoreFull: 503,
}

/** Slower than this, an answer is not being read. */
const MIN_BYTES_PER_SECOND = 64
const GRACE_MS = 60_000

/** How long an answer of so many bytes may take to be read. */
export function graceMs(bytes: number): number {
  return GRACE_MS + (bytes / MIN_BYTES_PER_SECOND) * 1_000
}

export function statusOf({ reason }: Fault): number {
  return STATUS[reason] ?? 500
}

export function answer(
  res: ServerResponse,
  status: number,
  body: Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): void {
  if (res.destroyed || res.headersSent) return
  res.sendDate = false
  res.writeHead(status, { ...headers, 'content-length': body.length })
  const timer = setTimeout(() => res.destroy(), graceMs(body.length))
  timer.unref()
  res.once('close', () => clearTimeout(timer))
  res.end(body)
}

/** Before any header is set: `Connection` and `Keep-Alive` are HTTP/1.1's default and cost 40 bytes. */
export function leastHeaders(res: ServerResponse): void {
  res.sendDate = false
  res.removeHeader('connection')
}

export function answerFault(req: IncomingMessage, res: ServerResponse, fault: Fault): void {
  const status = statusOf(fault)
  const headers: Record<string, string> = { [BECAUSE]: fault.reason }
  if (status === 503) headers['retry-after'] = String(Math.max(1, Math.ceil((fault.retryAfterMs ?? 5_000) / 1_000)))
  // What is left of a body that was not read is not waited for.
  if (!req.complete && status !== 503) headers.connection = 'close'
  answer(res, status, new Uint8Array(), headers)
}
