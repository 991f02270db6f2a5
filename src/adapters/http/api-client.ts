/** The hub's HTTP API, called. Foreign errors become Faults here. */
import { Fault, type FaultReason, REASONS } from '../../core/model/fault.ts'
import { isObject, type Json } from '../../core/model/json.ts'

/** An answer is a page of at most 500 sites. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024
const TIMEOUT_MS = 30_000

export interface ApiClient {
  readonly url: string
  get<T>(path: string, query?: Readonly<Record<string, string | undefined>>): Promise<T>
  send<T>(method: 'POST' | 'DELETE', path: string, body?: Json): Promise<T>
}

export function createApiClient(url: string, token: string | undefined): ApiClient {
  const call = async <T>(method: string, path: string, body: Json | undefined): Promise<T> => {
    let response: Response
    try {
      response = await fetch(new URL(path, url), {
        method,
        redirect: 'error',
        signal: AbortSignal.timeout(TIMEOUT_MS),
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
    } catch (error) {
      const timeout = error instanceof Error && error.name === 'TimeoutError'
      throw new Fault(timeout ? 'Timeout' : 'Unreachable', `no answer from ${url}`, { cause: error })
    }
    const answer = parse(await response.text(), url)
    if (!response.ok) throw faultOf(response.status, answer)
    return answer as T
  }
  return {
    url,
    get(path, query = {}) {
      const search = new URLSearchParams()
      for (const [key, value] of Object.entries(query)) if (value !== undefined) search.set(key, value)
      return call('GET', search.size === 0 ? path : `${path}?${search.toString()}`, undefined)
    },
    send: (method, path, body) => call(method, path, method === 'POST' ? (body ?? {}) : undefined),
  }
}

function parse(text: string, url: string): Json {
  if (text.length > MAX_ANSWER_BYTES) throw new Fault('TooLarge', `${url} answers with ${text.length} bytes`)
  if (text === '') return null
  try {
    return JSON.parse(text) as Json
  } catch (error) {
    throw new Fault('Unreachable', `${url} is not a hub: its answer is not JSON`, { cause: error })
  }
}

function faultOf(status: number, answer: Json): Fault {
  const code = isObject(answer) && typeof answer['code'] === 'string' ? answer['code'] : ''
  const message =
    isObject(answer) && typeof answer['message'] === 'string' ? answer['message'] : `the hub answers ${status}`
  if (Object.hasOwn(REASONS, code)) return new Fault(code as FaultReason, message)
  const reason: FaultReason =
    status === 401
      ? 'Unauthorized'
      : status === 403
        ? 'Forbidden'
        : status === 404
          ? 'NotFound'
          : status < 500
            ? 'InvalidInput'
            : 'ServerError'
  return new Fault(reason, message)
}
