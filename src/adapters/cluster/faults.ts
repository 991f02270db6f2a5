/** The one place where an API server's answers and a connection's errors become Faults. */
import { Fault, type FaultReason } from '../../core/model/fault.ts'
import { isObject, type Json, type JsonObject } from '../../core/model/json.ts'

/** What was asked, as far as it decides what an error means. */
export interface Asked {
  readonly method: string
  readonly path: string
}

export function isWrite(asked: Asked): boolean {
  return asked.method !== 'GET'
}

interface Cause {
  readonly reason: string
  readonly message: string
  readonly field: string
}

/** An answer that is not a success. `body` is the Status where the server sent one, or the text of something before it. */
export function faultOfAnswer(asked: Asked, status: number, body: Json, retryAfter: string | undefined): Fault {
  const answer = isObject(body) && body['kind'] === 'Status' ? body : undefined
  const details = isObject(answer?.['details']) ? answer['details'] : {}
  const said = text(answer?.['message'])
  const message = said === '' ? `${asked.method} ${asked.path}: HTTP ${status}` : said
  const causes = causesOf(details)
  const reason = reasonOf(asked, status, answer, message, causes)
  return new Fault(reason, message, {
    facts: { status, ...factsOf(reason, text(answer?.['reason']), causes, message) },
    retryAfterMs: retryAfterMs(retryAfter, details['retryAfterSeconds']),
  })
}

function reasonOf(
  asked: Asked,
  status: number,
  answer: JsonObject | undefined,
  message: string,
  causes: readonly Cause[],
): FaultReason {
  // An admission webhook chooses its own status code for a refusal.
  if (/^admission webhook ".*" denied the request/.test(message)) return 'Rejected'
  switch (status) {
    case 401:
      return 'Unauthorized'
    case 403:
      return 'Forbidden'
    case 404:
      return isUnserved(answer) ? 'NoKindMatch' : 'NotFound'
    case 409:
      return causes.some((cause) => cause.reason === 'FieldManagerConflict') ? 'FieldConflict' : 'Conflict'
    case 410:
      return 'WatchExpired'
    case 413:
      return 'TooLarge'
    case 422:
      // Another object of that name: what we read is not what is there.
      if (causes.some((cause) => cause.field === 'metadata.uid')) return 'Conflict'
      return immutableCause(causes, message) === undefined ? 'Rejected' : 'ImmutableField'
    case 429:
      return 'Throttled'
    case 504:
      // The server gave up waiting for its own storage: the write may still happen.
      return isWrite(asked) ? 'OutcomeUnknown' : 'Timeout'
    default:
  }
  if (/failed calling webhook|conversion webhook for .* failed/.test(message)) return 'WebhookFailed'
  // Server-side apply says 500 for an object that does not fit its schema; asking again cannot help.
  if (/failed to create typed patch object|field not declared in schema/.test(message)) return 'Rejected'
  return status >= 500 || status < 400 ? 'ServerError' : 'Rejected'
}

/** A path that nobody serves, as opposed to an object that is not there: the kind went, or is not served yet. */
function isUnserved(answer: JsonObject | undefined): boolean {
  if (answer === undefined) return true
  const details = isObject(answer['details']) ? answer['details'] : {}
  return details['name'] === undefined && text(answer['message']) === 'the server could not find the requested resource'
}

const IMMUTABLE =
  /field is immutable|is immutable after|may not change once set|can ?not be (unset|changed)|may not be (unset|changed)|cannot change roleRef|updates to .* are forbidden|updates may not change fields other than/

function immutableCause(causes: readonly Cause[], message: string): Cause | undefined {
  const cause = causes.find((one) => IMMUTABLE.test(one.message))
  if (cause !== undefined) return cause
  // Some servers put everything into the message: `Job "x" is invalid: spec.template: Invalid value: …: field is immutable`.
  if (causes.length > 0 || !IMMUTABLE.test(message)) return undefined
  return { reason: '', message, field: /is invalid: ([\w.[\]]+):/.exec(message)?.[1] ?? '' }
}

function factsOf(
  reason: FaultReason,
  said: string,
  causes: readonly Cause[],
  message: string,
): Record<string, string | number> {
  switch (reason) {
    case 'FieldConflict': {
      const conflicts = causes.filter((cause) => cause.reason === 'FieldManagerConflict')
      const managers = conflicts.map((cause) => /conflict with "([^"]*)"/.exec(cause.message)?.[1] ?? 'unknown')
      return {
        manager: [...new Set(managers)].join(','),
        fields: conflicts.map((cause) => cause.field).join(','),
        conflicts: conflicts.length,
      }
    }
    case 'ImmutableField':
      return { field: immutableCause(causes, message)?.field ?? '' }
    case 'Rejected': {
      const webhook = /^admission webhook "([^"]*)"/.exec(message)?.[1]
      return {
        ...(webhook === undefined ? {} : { webhook }),
        ...(causes[0] === undefined
          ? {}
          : { field: causes[0].field, message: causes[0].message, causes: causes.length }),
      }
    }
    case 'Throttled': {
      const budget = causes.find((cause) => cause.reason === 'DisruptionBudget')
      return budget === undefined ? {} : { cause: 'DisruptionBudget' }
    }
    default:
      return said === '' ? {} : { cause: causes[0]?.reason === 'NamespaceTerminating' ? 'NamespaceTerminating' : said }
  }
}

function causesOf(details: JsonObject): readonly Cause[] {
  const causes = details['causes']
  if (!Array.isArray(causes)) return []
  return (causes as readonly Json[])
    .filter(isObject)
    .map((cause) => ({ reason: text(cause['reason']), message: text(cause['message']), field: text(cause['field']) }))
}

function text(value: Json | undefined): string {
  return typeof value === 'string' ? value : ''
}

/** Seconds, from the header or the Status; a date is not what API servers send. */
function retryAfterMs(header: string | undefined, seconds: Json | undefined): number | undefined {
  const value = Number(header ?? seconds)
  return Number.isFinite(value) && value > 0 ? value * 1000 : undefined
}

/** Errors before a byte of the request was sent. */
const NOT_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT', 'UND_ERR_CONNECT_TIMEOUT', 'ENOENT', 'EACCES']) // prettier-ignore
const TOO_SLOW = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT'])

/** A connection that failed. What was sent without an answer may have happened. */
export function faultOfConnection(asked: Asked, error: unknown, signal: AbortSignal): Fault {
  if (error instanceof Fault) return error
  if (signal.aborted) return new Fault('Cancelled', `${asked.method} ${asked.path}: given up`, { cause: error })
  const code = codeOf(error)
  const where = `${asked.method} ${asked.path}: ${error instanceof Error ? error.message : String(error)}`
  const options = { cause: error, ...(code === '' ? {} : { facts: { code } }) }
  if (NOT_SENT.has(code) || isTlsRefusal(code)) return new Fault('Unreachable', where, options)
  if (isWrite(asked)) return new Fault('OutcomeUnknown', where, options)
  return new Fault(TOO_SLOW.has(code) ? 'Timeout' : 'Unreachable', where, options)
}

/** A connection that was closed under a read: asking once more, on a new one, is safe. */
export function isStale(error: unknown): boolean {
  return ['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'].includes(codeOf(error))
}

function isTlsRefusal(code: string): boolean {
  return /^(CERT_|ERR_TLS_|ERR_SSL_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_)/.test(code)
}

function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return ''
  const { code, cause } = error as { readonly code?: unknown; readonly cause?: unknown }
  return typeof code === 'string' ? code : codeOf(cause)
}
