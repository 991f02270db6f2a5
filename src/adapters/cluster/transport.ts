import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { Pool, WebSocket, type Dispatcher } from 'undici'
import { Fault } from '../../core/model/fault.ts'
import type { Json } from '../../core/model/json.ts'
import type { Credentials, Identity } from './credentials.ts'
import { faultOfAnswer, faultOfConnection, isStale, isWrite } from './faults.ts'
import { decodeObject, encodeObject, PROTOBUF } from './protobuf.ts'

/** One finished request, for counters and benches. */
export interface RequestReport {
  readonly method: string
  /** Without the query. */
  readonly path: string
  /** 0 where no answer came. */
  readonly status: number
  readonly ms: number
}

export interface TransportOptions {
  /** Parallel requests; watches have connections of their own. */
  readonly connections: number
  readonly timeoutMs: number
  /** A watch that hears nothing for so long is given up; the server sends a bookmark a minute. */
  readonly watchIdleMs: number
  readonly maxResponseBytes: number
  /** Ask for compressed answers: right over a slow link, a waste on the same machine. */
  readonly gzip: boolean
  readonly onRequest?: (report: RequestReport) => void
}

export interface Request {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly query?: Readonly<Record<string, string | undefined>>
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: Json
  readonly contentType?: string
  /** The body may go as protobuf, where it is of a kind that can and the server takes it. */
  readonly compact?: boolean
}

export interface Answer {
  readonly status: number
  readonly body: Json
  readonly etag: string | undefined
}

/** The body as it comes, and what it is. */
export interface Stream {
  readonly chunks: AsyncIterable<Buffer>
  readonly contentType: string
}

/** Connections that were made with some TLS material, and the identity that last asked for them. */
interface Pools {
  identity: Identity
  readonly material: string
  readonly calls: Pool
  readonly watches: Pool
}

/** Credentials are read again this often: tokens rotate, exec plugins renew certificates. */
const IDENTITY_MS = 60_000
const MAX_WATCHES = 256
const inflate = promisify(gunzip)

/** JSON over a pool of kept connections, fields that nobody knows untouched; protobuf where it is asked for. */
export class Transport {
  readonly #credentials: Credentials
  readonly #options: TransportOptions
  #identity: Promise<Identity> | undefined
  #identityAtMs = 0
  #pools: Pools | undefined
  /** Until it says that it takes none. */
  #takesProtobuf = true

  constructor(credentials: Credentials, options: TransportOptions) {
    this.#credentials = credentials
    this.#options = options
  }

  /** Any answer below 400 (and 304); everything else is a Fault. A refused login is tried once more with fresh credentials. */
  async send(request: Request, signal: AbortSignal): Promise<Answer> {
    const asked = { method: request.method, path: request.path }
    let compact = request.compact === true && this.#takesProtobuf ? encodeObject(request.body ?? null) : undefined
    for (let attempt = 1; ; attempt++) {
      const startMs = performance.now()
      let status = 0
      try {
        const response = await this.#request(request, 'calls', this.#options.timeoutMs, signal, compact)
        status = response.statusCode
        const body = await this.#read(response)
        if (status < 400) return { status, body, etag: header(response, 'etag') }
        if (status === 401 && attempt === 1) this.#identity = undefined
        else if (status === 415 && compact !== undefined) {
          // Something between us and the server reads JSON only; nothing was done.
          compact = undefined
          this.#takesProtobuf = false
        } else throw faultOfAnswer(asked, status, body, header(response, 'retry-after'))
      } catch (error) {
        // The server closes kept connections when it restarts; a read is simply asked again.
        if (attempt > 1 || isWrite(asked) || !isStale(error) || signal.aborted)
          throw faultOfConnection(asked, error, signal)
      } finally {
        this.#options.onRequest?.({ ...asked, status, ms: performance.now() - startMs })
      }
    }
  }

  /** The caller reads the chunks to their end or aborts the signal. */
  async stream(request: Request, signal: AbortSignal): Promise<Stream> {
    const asked = { method: request.method, path: request.path }
    try {
      const response = await this.#request(request, 'watches', this.#options.watchIdleMs, signal)
      this.#options.onRequest?.({ ...asked, status: response.statusCode, ms: 0 })
      if (response.statusCode < 300)
        return { chunks: response.body, contentType: header(response, 'content-type') ?? '' }
      const body = await this.#read(response)
      if (response.statusCode === 401) this.#identity = undefined
      throw faultOfAnswer(asked, response.statusCode, body, header(response, 'retry-after'))
    } catch (error) {
      throw faultOfConnection(asked, error, signal)
    }
  }

  /** A WebSocket to a path of the server, opening. A parameter may stand in its query several times. */
  async socket(path: string, query: URLSearchParams, protocols: string): Promise<WebSocket> {
    const identity = await this.#current()
    const { server } = this.#credentials
    const url = new URL(`${server.pathname.replace(/\/$/, '')}${path}?${query.toString()}`, server)
    url.protocol = server.protocol === 'http:' ? 'ws:' : 'wss:'
    const dispatcher = this.#poolFor(identity).watches
    return new WebSocket(url, { protocols, dispatcher, headers: { ...identity.headers } })
  }

  get maxLineBytes(): number {
    return this.#options.maxResponseBytes
  }

  async close(): Promise<void> {
    const pools = this.#pools
    this.#pools = undefined
    await Promise.all([pools?.calls.destroy(), pools?.watches.destroy()])
  }

  async #request(
    request: Request,
    which: 'calls' | 'watches',
    idleMs: number,
    signal: AbortSignal,
    compact?: Buffer,
  ): Promise<Dispatcher.ResponseData> {
    signal.throwIfAborted()
    const identity = await this.#current()
    const pool = this.#poolFor(identity)[which]
    const { method, body, query } = request
    const base = this.#credentials.server.pathname.replace(/\/$/, '')
    return pool.request({
      method,
      path: `${base}${request.path}${queryText(query)}`,
      headers: {
        // JSON is what is sent where nothing is said; to read this line costs the server more than to answer a bind.
        ...(compact === undefined ? { accept: 'application/json' } : {}),
        ...(this.#options.gzip && which === 'calls' ? { 'accept-encoding': 'gzip' } : {}),
        ...(body === undefined
          ? {}
          : { 'content-type': compact === undefined ? (request.contentType ?? 'application/json') : PROTOBUF }),
        ...identity.headers,
        ...(request.headers as Record<string, string | string[]> | undefined),
      },
      ...(body === undefined ? {} : { body: compact ?? JSON.stringify(body) }),
      headersTimeout: this.#options.timeoutMs,
      bodyTimeout: idleMs,
      signal,
    })
  }

  async #current(): Promise<Identity> {
    const nowMs = performance.now()
    if (this.#identity === undefined || nowMs - this.#identityAtMs > IDENTITY_MS) {
      this.#identityAtMs = nowMs
      const fresh = this.#credentials.identity()
      this.#identity = fresh
      fresh.catch(() => {
        if (this.#identity === fresh) this.#identity = undefined
      })
    }
    return this.#identity
  }

  /** A renewed certificate needs new connections; the old ones end when what runs on them is done. */
  #poolFor(identity: Identity): Pools {
    if (this.#pools?.identity === identity) return this.#pools
    const material = JSON.stringify(identity.tls)
    if (this.#pools?.material === material) {
      this.#pools.identity = identity
      return this.#pools
    }
    const old = this.#pools
    const connect = { ...identity.tls, timeout: this.#options.timeoutMs }
    // HTTP/1.1: over HTTP/2 undici joins repeated headers by commas, and an impersonated account loses its groups.
    const pool = (connections: number): Pool =>
      new Pool(this.#credentials.server.origin, { connections, connect, pipelining: 1, allowH2: false })
    this.#pools = { identity, material, calls: pool(this.#options.connections), watches: pool(MAX_WATCHES) }
    void old?.calls.close()
    void old?.watches.close()
    return this.#pools
  }

  async #read(response: Dispatcher.ResponseData): Promise<Json> {
    if (header(response, 'content-type')?.startsWith(PROTOBUF) === true)
      return decodeObject(await this.#bytes(response))
    const text = await this.#text(response)
    if (text === '') return null
    try {
      return JSON.parse(text) as Json
    } catch (cause) {
      // A proxy's page, or plain text of the server's own: an error status says enough.
      if (response.statusCode >= 400) return text
      throw new Fault('ServerError', 'the answer is not JSON', { cause, facts: { status: response.statusCode } })
    }
  }

  async #text(response: Dispatcher.ResponseData): Promise<string> {
    // A stated length is what HTTP holds the server to; most answers have one, and need no count of ours.
    if (!isGzipped(response) && Number(header(response, 'content-length')) <= this.#options.maxResponseBytes)
      return response.body.text()
    return (await this.#bytes(response)).toString('utf8')
  }

  async #bytes(response: Dispatcher.ResponseData): Promise<Buffer> {
    const limit = this.#options.maxResponseBytes
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      size += chunk.length
      // Leaving the loop destroys the body, and with it the connection.
      if (size > limit) throw new Fault('TooLarge', `the API server's answer is above ${limit} bytes`)
      chunks.push(chunk)
    }
    const sent = Buffer.concat(chunks, size)
    return isGzipped(response) ? inflated(sent, limit) : sent
  }
}

function isGzipped(response: Dispatcher.ResponseData): boolean {
  return header(response, 'content-encoding') === 'gzip'
}

async function inflated(sent: Buffer, limit: number): Promise<Buffer> {
  try {
    return await inflate(sent, { maxOutputLength: limit })
  } catch (cause) {
    const tooLarge = (cause as { readonly code?: string }).code === 'ERR_BUFFER_TOO_LARGE'
    throw new Fault(tooLarge ? 'TooLarge' : 'ServerError', 'the answer does not inflate', { cause })
  }
}

function header(response: Dispatcher.ResponseData, name: string): string | undefined {
  const value = response.headers[name]
  return Array.isArray(value) ? value[0] : value
}

function queryText(query: Request['query']): string {
  let text = ''
  for (const [key, value] of Object.entries(query ?? {}))
    if (value !== undefined) text += `${text === '' ? '?' : '&'}${key}=${encodeURIComponent(value)}`
  return text
}
