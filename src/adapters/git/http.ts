/**
 * The HTTP that isomorphic-git speaks through: undici with our limits. No redirect is followed, so credentials go to the host
 * that was configured and to no other.
 */
import type { HttpClient } from 'isomorphic-git'
import { request } from 'undici'
import { Fault } from '../../core/model/fault.ts'

const HUNG_UP: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'])

export interface GitCredentials {
  readonly username?: string
  readonly password?: string
  readonly bearer?: string
}

export interface GitHttpOptions {
  readonly credentials: GitCredentials | null
  readonly timeoutMs: number
  /** Of one answer; a pack is one answer. */
  readonly maxBytes: number
  readonly signal: AbortSignal
}

export function gitHttp(options: GitHttpOptions): HttpClient {
  const authorization = authorizationOf(options.credentials)
  return {
    async request({ url, method = 'GET', headers = {}, body }) {
      const chunks: Uint8Array[] = []
      if (body !== undefined) for await (const chunk of body) chunks.push(chunk)
      const ask = (): ReturnType<typeof request> =>
        request(url, {
          method: method as 'GET',
          headers: { ...headers, ...(authorization === undefined ? {} : { authorization }) },
          ...(chunks.length > 0 ? { body: Buffer.concat(chunks) } : {}),
          signal: options.signal,
          headersTimeout: options.timeoutMs,
          bodyTimeout: options.timeoutMs,
        })
      // A kept connection that the host hung up meanwhile says so only now; nothing that is asked here changes anything there.
      const answer = await ask().catch((error: unknown) => {
        if (!HUNG_UP.has((error as NodeJS.ErrnoException).code ?? '')) throw error
        return ask()
      })
      const { statusCode } = answer
      if (statusCode >= 300 && statusCode < 400) {
        await answer.body.dump()
        throw new Fault(
          'GitUnreachable',
          `the Git host redirects to ${String(answer.headers['location'] ?? '?')}; set that as the URL`,
        )
      }
      if (statusCode === 401 || statusCode === 403) {
        await answer.body.dump()
        throw new Fault('GitUnauthorized', `the Git host answers ${statusCode}`)
      }
      if (statusCode !== 200) {
        await answer.body.dump()
        throw new Fault('GitUnreachable', `the Git host answers ${statusCode} to ${method} ${new URL(url).pathname}`)
      }
      const type = String(answer.headers['content-type'] ?? '')
      if (!type.startsWith('application/x-git-')) {
        await answer.body.dump()
        throw new Fault('GitUnreachable', `not a Git server: it answers ${type === '' ? 'no content type' : type}`)
      }
      return {
        url,
        method,
        statusCode,
        statusMessage: String(statusCode),
        headers: Object.fromEntries(Object.entries(answer.headers).map(([key, value]) => [key, String(value)])),
        body: bounded(answer.body, options.maxBytes),
      }
    },
  }
}

async function* bounded(body: AsyncIterable<Uint8Array>, maxBytes: number): AsyncIterableIterator<Uint8Array> {
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new Fault('TooLarge', `the Git host sends more than ${maxBytes} bytes`)
    yield chunk
  }
}

function authorizationOf(credentials: GitCredentials | null): string | undefined {
  if (credentials === null) return undefined
  if (credentials.bearer !== undefined) return `Bearer ${credentials.bearer}`
  return `Basic ${Buffer.from(`${credentials.username ?? ''}:${credentials.password ?? ''}`).toString('base64')}`
}
