/** One connection to the hub: TLS over a socket that we can hang up by reset, and HTTP/1.1 as our hub speaks it and no more. */
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { Fault, REASONS, type FaultReason } from '../../core/model/fault.ts'
import { BECAUSE } from './answers.ts'
import type { ClientLimits } from './types.ts'

export const CLIENT_LIMITS: ClientLimits = {
  connectTimeoutMs: 60_000,
  // Where most packets are lost TCP waits twice as long after each: beyond this a connection anew is the shorter wait.
  stalledMs: 45_000,
  answerTimeoutMs: 45_000,
  stillHereMs: 3_000,
  minBytesPerSecond: 64,
  barrenAttempts: 3,
  heldRestMs: 120_000,
  socketAttempts: 3,
  pollingMs: 3_600_000,
}

const MAX_HEAD_BYTES = 8 * 1024
const STATUS_LINE = /^HTTP\/1\.1 (\d{3})(?: [^\r\n]*)?$/

export interface DialOptions {
  /** `https://host:port`. */
  readonly hubUrl: string
  readonly key?: string
  readonly certificate?: string
  /** A session of a handshake that was checked. */
  readonly session?: Buffer
  readonly keyExchange: 'hybrid' | 'x25519'
  readonly limits: ClientLimits
  /** Called before any byte of ours leaves: throws where this is not the hub. */
  readonly judge: (socket: TLSSocket) => void
  readonly onSession?: (session: Buffer) => void
}

export interface WireRequest {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  /** A longer answer is refused before it is read. */
  readonly maxBytes: number
  /** Gets the body of a 200 or 206 as it comes, with where it starts: what arrived before a cut is not lost. */
  readonly sink?: (chunk: Buffer) => void
}

export interface WireAnswer {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
}

/** Faults: Unreachable, Timeout, CaptivePortal, HubNotTrusted, Cancelled. */
export async function dial(options: DialOptions, signal: AbortSignal): Promise<Wire> {
  if (signal.aborted) throw cancelled(signal)
  const { hostname, port } = new URL(options.hubUrl)
  const host = hostname.replace(/^\[|\]$/g, '')
  const raw = connectTcp({ host, port: Number(port || 443), noDelay: true })
  const { promise, resolve, reject } = Promise.withResolvers<Wire>()
  const fail = (fault: Fault): void => {
    raw.destroy()
    reject(fault)
  }
  const stop = (): void => fail(cancelled(signal))
  const timer = setTimeout(
    () => fail(new Fault('Timeout', `no connection to ${options.hubUrl}`)),
    options.limits.connectTimeoutMs,
  )
  signal.addEventListener('abort', stop, { once: true })
  const socket = connectTls({
    socket: raw,
    ...(options.key === undefined ? {} : { key: options.key, cert: options.certificate }),
    ...(options.session === undefined ? {} : { session: options.session }),
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ca: [],
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
    // One of each: a shorter hello.
    ciphers: 'TLS_AES_128_GCM_SHA256',
    sigalgs: 'ecdsa_secp256r1_sha256',
    ecdhCurve: options.keyExchange === 'hybrid' ? 'X25519MLKEM768:X25519' : 'X25519',
  })
  let checked = false
  socket.once('secureConnect', () => {
    try {
      options.judge(socket)
      checked = true
      // Not within OpenSSL's own callback: who hangs up by reset at once would free what it still stands on, and crash the process.
      setImmediate(() => resolve(new Wire(socket, raw, host, options.limits)))
    } catch (error) {
      fail(error instanceof Fault ? error : new Fault('Unexpected', 'the hub could not be judged', { cause: error }))
    }
  })
  socket.on('session', (session) => {
    if (checked) options.onSession?.(session)
  })
  socket.on('error', (error) => fail(transportFault(error, checked)))
  raw.on('error', (error) => fail(transportFault(error, checked)))
  socket.once('close', () => fail(new Fault('Unreachable', 'the hub hung up')))
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}

interface Pending {
  readonly request: WireRequest
  readonly timer: NodeJS.Timeout
  settle(outcome: WireAnswer | Fault): void
}

/** Holds one request at a time. After a fault it is gone; the next exchange needs another. */
export class Wire {
  readonly socket: TLSSocket
  readonly #raw: Socket
  readonly #host: string
  readonly #limits: ClientLimits
  readonly #onData = (chunk: Buffer): void => this.#take(chunk)
  readonly #onError = (error: Error): void => this.#fail(transportFault(error, true))
  readonly #onClose = (): void => this.#fail(new Fault('Unreachable', 'the hub hung up within an exchange'))
  #pending: Pending | undefined
  #reader: AnswerReader | undefined

  constructor(socket: TLSSocket, raw: Socket, host: string, limits: ClientLimits) {
    this.socket = socket
    this.#raw = raw
    this.#host = host
    this.#limits = limits
    socket.on('data', this.#onData)
    socket.on('error', this.#onError)
    socket.on('close', this.#onClose)
  }

  /** The connection goes on under another protocol: nothing is read or asked here any more. */
  handOver(): TLSSocket {
    return this.socket.off('data', this.#onData).off('error', this.#onError).off('close', this.#onClose)
  }

  get open(): boolean {
    return !this.socket.destroyed && this.socket.writable && !this.socket.readableEnded
  }

  /** On the wire since it was dialled, TLS included. */
  get bytes(): { readonly up: number; readonly down: number } {
    return { up: this.#raw.bytesWritten, down: this.#raw.bytesRead }
  }

  /** Faults: Unreachable, Timeout, CaptivePortal, TooLarge, InvalidInput, Cancelled. */
  async request(request: WireRequest, signal: AbortSignal): Promise<WireAnswer> {
    if (signal.aborted) throw cancelled(signal)
    if (!this.open || this.#pending !== undefined) throw new Fault('Unreachable', 'the connection is gone')
    const stop = (): void => this.#fail(cancelled(signal))
    signal.addEventListener('abort', stop, { once: true })
    try {
      return await new Promise<WireAnswer>((resolve, reject) => {
        const settle = (outcome: WireAnswer | Fault): void =>
          outcome instanceof Fault ? reject(outcome) : resolve(outcome)
        const late = (): void => this.#fail(new Fault('Timeout', 'no answer in the time allowed'))
        const timer = setTimeout(late, answerTimeMs(this.#limits, request.body?.length ?? 0))
        this.#pending = { request, settle, timer }
        this.#reader = new AnswerReader(request, this.#limits, (fault) => this.#fail(fault))
        this.socket.write(requestBytes(request, this.#host))
      })
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  /** By reset: a farewell costs 256 bytes, and all that was asked for is here. */
  hangUp(): void {
    // A socket that is shutting down cannot be reset: libuv refuses, and Node then leaves it open for ever.
    const shutting = this.socket.destroyed || this.socket.readableEnded || this.socket.writableEnded
    if (shutting) this.#raw.destroy()
    else if (!this.#raw.destroyed) this.#raw.resetAndDestroy()
    this.socket.destroy()
  }

  #take(chunk: Buffer): void {
    const pending = this.#pending
    if (pending === undefined || this.#reader === undefined) return this.hangUp()
    try {
      const answer = this.#reader.take(chunk)
      if (this.#reader.headRead) clearTimeout(pending.timer)
      if (answer === undefined) return
      this.#settle(answer)
      if (answer.headers.get('connection') === 'close') this.hangUp()
    } catch (error) {
      this.#fail(
        error instanceof Fault ? error : new Fault('Unexpected', 'an answer could not be read', { cause: error }),
      )
    }
  }

  #fail(fault: Fault): void {
    this.#settle(fault)
    this.hangUp()
  }

  #settle(outcome: WireAnswer | Fault): void {
    const pending = this.#pending
    this.#reader?.end()
    this.#pending = undefined
    this.#reader = undefined
    if (pending === undefined) return
    clearTimeout(pending.timer)
    pending.settle(outcome)
  }
}

/** Until the first byte of an answer: what is asked must get there first, on a line as slow as any that counts as one. */
export function answerTimeMs({ answerTimeoutMs, minBytesPerSecond }: ClientLimits, bytesUp: number): number {
  return answerTimeoutMs + (bytesUp / minBytesPerSecond) * 1_000
}

/** Only what it costs to be understood. */
function requestBytes(request: WireRequest, host: string): Buffer {
  const headers = Object.entries({
    host,
    ...request.headers,
    ...(request.body === undefined ? {} : { 'content-length': String(request.body.length) }),
  })
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return Buffer.concat([
    Buffer.from(`${request.method} ${request.path} HTTP/1.1\r\n${lines}\r\n`),
    request.body ?? Buffer.alloc(0),
  ])
}

/** Reads one answer, with caps before bytes and a clock on their pace. */
class AnswerReader {
  readonly #request: WireRequest
  readonly #limits: ClientLimits
  readonly #fail: (fault: Fault) => void
  #head: Buffer = Buffer.alloc(0)
  #status = 0
  #headers: ReadonlyMap<string, string> | undefined
  #length = 0
  #got = 0
  readonly #chunks: Buffer[] = []
  #stalled: NodeJS.Timeout | undefined
  #deadline: NodeJS.Timeout | undefined

  constructor(request: WireRequest, limits: ClientLimits, fail: (fault: Fault) => void) {
    this.#request = request
    this.#limits = limits
    this.#fail = fail
  }

  get headRead(): boolean {
    return this.#headers !== undefined
  }

  /** The answer when it is whole. */
  take(chunk: Buffer): WireAnswer | undefined {
    if (this.#headers !== undefined) return this.#body(chunk)
    this.#head = Buffer.concat([this.#head, chunk])
    const end = this.#head.indexOf('\r\n\r\n')
    if (end < 0) {
      if (this.#head.length > MAX_HEAD_BYTES) throw new Fault('TooLarge', 'an answer whose head does not end')
      return undefined
    }
    const rest = this.#head.subarray(end + 4)
    this.#readHead(this.#head.subarray(0, end).toString('latin1'))
    return this.#body(rest)
  }

  end(): void {
    clearTimeout(this.#stalled)
    clearTimeout(this.#deadline)
  }

  #readHead(text: string): void {
    const [first = '', ...lines] = text.split('\r\n')
    const status = STATUS_LINE.exec(first)
    if (status === null) throw new Fault('InvalidInput', 'an answer that is not HTTP/1.1')
    this.#status = Number(status[1])
    const headers = new Map<string, string>()
    for (const line of lines) {
      const colon = line.indexOf(':')
      if (colon > 0) headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim())
    }
    this.#headers = headers
    refusePortal(this.#status, headers)
    const length = headers.get('content-length') ?? ''
    if (!/^\d{1,15}$/.test(length)) throw new Fault('InvalidInput', 'an answer of unknown length')
    this.#length = Number(length)
    if (this.#length > this.#request.maxBytes) throw new Fault('TooLarge', `an answer of ${this.#length} bytes`)
    const { stalledMs, minBytesPerSecond } = this.#limits
    const slow = (): void => this.#fail(new Fault('Timeout', 'an answer that comes too slowly'))
    this.#stalled = setTimeout(slow, stalledMs)
    this.#deadline = setTimeout(slow, stalledMs + (this.#length / minBytesPerSecond) * 1_000)
  }

  #body(chunk: Buffer): WireAnswer | undefined {
    this.#stalled?.refresh()
    if (this.#got + chunk.length > this.#length) throw new Fault('InvalidInput', 'bytes after the end of an answer')
    this.#got += chunk.length
    const wanted = this.#status === 200 || this.#status === 206
    if (this.#request.sink !== undefined && wanted) this.#request.sink(chunk)
    else this.#chunks.push(chunk)
    if (this.#got < this.#length) return undefined
    return { status: this.#status, headers: this.#headers!, body: Buffer.concat(this.#chunks) }
  }
}

/** Our hub redirects nobody and speaks no HTML: a portal, a proxy's sign-in page or a wrong address does. */
function refusePortal(status: number, headers: ReadonlyMap<string, string>): void {
  if (headers.has(BECAUSE)) return
  const html = headers.get('content-type')?.includes('html') === true
  if (html || status === 511 || (status >= 300 && status < 400))
    throw new Fault('CaptivePortal', `something answers ${status} in the hub's place`)
}

/** A refusal as the hub meant it. */
export function faultOf(answer: WireAnswer): Fault {
  const named = answer.headers.get(BECAUSE) ?? ''
  const reason = Object.hasOwn(REASONS, named)
    ? (named as FaultReason)
    : answer.status === 404
      ? 'NotFound'
      : 'ServerError'
  const after = Number(answer.headers.get('retry-after') ?? Number.NaN)
  const retryAfterMs = Number.isFinite(after) && after >= 0 ? after * 1_000 : undefined
  return new Fault(reason, `the hub answers ${answer.status} ${named}`.trim(), { retryAfterMs })
}

export function cancelled(signal: AbortSignal): Fault {
  return new Fault('Cancelled', 'cancelled', { cause: signal.reason })
}

/** During the handshake, an answer that is not TLS 1.3 is not from our hub: a portal or a proxy speaks in its place. */
export function transportFault(error: Error, checked: boolean): Fault {
  const { code = '' } = error as { readonly code?: string }
  if (!checked && (code.startsWith('ERR_SSL_') || code === 'EPROTO'))
    return new Fault('CaptivePortal', 'what answers does not speak as our hub does', { cause: error })
  return new Fault('Unreachable', `no connection to the hub: ${code || error.message}`, { cause: error })
}
