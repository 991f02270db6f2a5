/** A site's WebSocket, on the connection that it dialled, judged and spoke HTTP on before: no second handshake. */
import type { TLSSocket } from 'node:tls'
import { WebSocket, type RawData } from 'ws'
import { Fault, REASONS, type FaultReason } from '../../core/model/fault.ts'
import { SYNC_DOWN_MAX_BYTES } from '../../core/protocol/limits.ts'
import { BECAUSE } from './answers.ts'
import type { Carrier } from './carrier.ts'
import { decodeWords, encodeAsk, SOCKET_PATH, WORDS_MAX_BYTES, type PieceHead } from './socket-words.ts'
import type { ClientLimits } from './types.ts'
import { answerTimeMs, cancelled, transportFault, type Wire } from './wire.ts'

export interface SocketCarrier extends Carrier {
  readonly kind: 'socket'
  /** Called at each nudge, one that came before included. */
  onNudge(nudged: () => void): void
}

/** Refusals of the hub keep their reason; Fault NotFound: what answers does not upgrade. The wire is gone in any case. */
export async function upgrade(wire: Wire, limits: ClientLimits, signal: AbortSignal): Promise<SocketCarrier> {
  if (signal.aborted) throw cancelled(signal)
  const socket = wire.handOver()
  const { promise, resolve, reject } = Promise.withResolvers<SocketCarrier>()
  const ws = new WebSocket(`ws://hub${SOCKET_PATH}`, {
    createConnection: () => socket,
    perMessageDeflate: false,
    maxPayload: SYNC_DOWN_MAX_BYTES,
    handshakeTimeout: limits.answerTimeoutMs,
    autoPong: false,
    followRedirects: false,
  })
  const fail = (fault: Fault): void => {
    wire.hangUp()
    reject(fault)
  }
  const stop = (): void => fail(cancelled(signal))
  signal.addEventListener('abort', stop, { once: true })
  // Here and not when the promise is heard: a nudge may come in the same packet.
  ws.once('open', () => {
    resolve(new Talk(ws, socket, wire, limits))
    ws.off('error', broke).off('close', closed)
  })
  ws.once('unexpected-response', (_request, response) => {
    const named = response.headers[BECAUSE]
    const ours = typeof named === 'string' && Object.hasOwn(REASONS, named)
    const reason = ours ? (named as FaultReason) : 'NotFound'
    const afterMs = Number(response.headers['retry-after'] ?? Number.NaN) * 1_000
    const retryAfterMs = Number.isFinite(afterMs) ? afterMs : undefined
    fail(new Fault(reason, `a WebSocket is answered ${response.statusCode ?? 0}`, { retryAfterMs }))
  })
  const broke = (error: Error): void => fail(transportFault(error, true))
  const closed = (): void => fail(new Fault('Unreachable', 'the connection broke as it became a WebSocket'))
  ws.on('error', broke)
  ws.once('close', closed)
  try {
    return await promise
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

interface Pending {
  /** Undefined: not yet whole. Throws where it is not what was asked for. */
  take(data: Buffer, isBinary: boolean): unknown
  settle(outcome: { readonly value: unknown } | Fault): void
}

class Talk implements SocketCarrier {
  readonly kind = 'socket'
  #nudged: (() => void) | undefined
  #called = false
  readonly #ws: WebSocket
  readonly #socket: TLSSocket
  readonly #wire: Wire
  readonly #limits: ClientLimits
  #pending: Pending | undefined

  constructor(ws: WebSocket, socket: TLSSocket, wire: Wire, limits: ClientLimits) {
    this.#ws = ws
    this.#socket = socket
    this.#wire = wire
    this.#limits = limits
    ws.on('message', (data, isBinary) => this.#take(data, isBinary))
    ws.on('ping', () => this.#fail(new Fault('InvalidInput', 'a ping, which no hub of ours sends')))
    ws.on('error', (error) => this.#fail(faultOfSocket(error)))
    ws.on('close', () => this.#fail(new Fault('Unreachable', 'the hub hung up')))
  }

  get open(): boolean {
    return this.#ws.readyState === WebSocket.OPEN && this.#wire.open
  }

  get bytes(): { readonly up: number; readonly down: number } {
    return this.#wire.bytes
  }

  sync(body: Uint8Array, signal: AbortSignal): Promise<Buffer> {
    const take = (data: Buffer, isBinary: boolean): Buffer => {
      if (isBinary) return data
      throw refusal(decodeWords(wordsOf(data)))
    }
    return this.#request(body, take, signal)
  }

  piece(asked: Parameters<Carrier['piece']>[0], sink: (chunk: Buffer) => void, signal: AbortSignal) {
    let head: PieceHead | undefined
    let left = 0
    const take = (data: Buffer, isBinary: boolean): PieceHead | undefined => {
      if (head === undefined) {
        const words = isBinary ? undefined : decodeWords(wordsOf(data))
        if (words === undefined || words instanceof Fault) throw refusal(words)
        head = words
        left = Math.max(0, Math.min(asked.to, words.total) - words.from)
      } else {
        if (!isBinary || data.length > left) throw new Fault('InvalidInput', 'not the bytes that were announced')
        left -= data.length
        sink(data)
      }
      return left === 0 ? head : undefined
    }
    return this.#request<PieceHead>(encodeAsk(asked), take, signal)
  }

  onNudge(nudged: () => void): void {
    this.#nudged = nudged
    if (this.#called) nudged()
    this.#called = false
  }

  hangUp(): void {
    this.#wire.hangUp()
  }

  async #request<T>(
    words: Uint8Array | string,
    take: (data: Buffer, isBinary: boolean) => T | undefined,
    signal: AbortSignal,
  ): Promise<T> {
    if (signal.aborted) throw cancelled(signal)
    if (!this.open || this.#pending !== undefined) throw new Fault('Unreachable', 'the connection is gone')
    const stop = (): void => this.#fail(cancelled(signal))
    signal.addEventListener('abort', stop, { once: true })
    const pace = this.#watchPace(words.length)
    try {
      return await new Promise<T>((resolve, reject) => {
        const settle: Pending['settle'] = (outcome) =>
          outcome instanceof Fault ? reject(outcome) : resolve(outcome.value as T)
        this.#pending = { take, settle }
        this.#ws.send(words)
      })
    } finally {
      pace.end()
      signal.removeEventListener('abort', stop)
    }
  }

  /**
   * The first byte of an answer in its time, no silence within it, and no drip. While nothing comes a few bytes go up now and then:
   * they show the hub's TCP what of its answer is here, and ours what of the question is not there. Without them each end waits
   * twice as long after each packet that is lost again.
   */
  #watchPace(bytesUp: number): { end(): void } {
    const { stalledMs, minBytesPerSecond } = this.#limits
    const late = (message: string) => (): void => this.#fail(new Fault('Timeout', message))
    let timer = setTimeout(late('no answer in the time allowed'), answerTimeMs(this.#limits, bytesUp))
    const slow = late('an answer that comes too slowly')
    let began: { readonly atMs: number; readonly bytes: number } | undefined
    let isHeard = false
    const again = setInterval(() => {
      if (!isHeard && this.open) this.#ws.pong()
      isHeard = false
    }, this.#limits.stillHereMs)
    const onData = (chunk: Buffer): void => {
      isHeard = true
      const nowMs = performance.now()
      began ??= { atMs: nowMs, bytes: this.bytes.down - chunk.length }
      const leftMs = (1_000 * (this.bytes.down - began.bytes)) / minBytesPerSecond - (nowMs - began.atMs)
      clearTimeout(timer)
      timer = setTimeout(slow, Math.max(0, stalledMs + Math.min(0, leftMs)))
    }
    this.#socket.prependListener('data', onData)
    return {
      end: () => {
        clearInterval(again)
        clearTimeout(timer)
        this.#socket.off('data', onData)
      },
    }
  }

  #take(data: RawData, isBinary: boolean): void {
    const bytes = data as Buffer
    if (isBinary && bytes.length === 0) {
      if (this.#nudged === undefined) this.#called = true
      else this.#nudged()
      return
    }
    const pending = this.#pending
    if (pending === undefined) return this.hangUp()
    try {
      const value = pending.take(bytes, isBinary)
      if (value === undefined) return
      this.#pending = undefined
      pending.settle({ value })
    } catch (error) {
      const fault = error instanceof Fault ? error : new Fault('Unexpected', 'an answer could not be read', { cause: error }) // prettier-ignore
      if (fault.reason !== 'Throttled') return this.#fail(fault)
      this.#pending = undefined
      pending.settle(fault)
    }
  }

  #fail(fault: Fault): void {
    const pending = this.#pending
    this.#pending = undefined
    pending?.settle(fault)
    this.hangUp()
  }
}

function wordsOf(data: Buffer): string {
  if (data.length > WORDS_MAX_BYTES) throw new Fault('TooLarge', 'words without an end')
  return data.toString()
}

function refusal(words: Fault | PieceHead | undefined): Fault {
  return words instanceof Fault ? words : new Fault('InvalidInput', 'an answer to something else')
}

/** What `ws` refuses by its own limits is the hub's doing, and no matter of the line. */
function faultOfSocket(error: Error): Fault {
  const { code = '' } = error as { readonly code?: string }
  if (code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH') return new Fault('TooLarge', 'an answer above its limit', { cause: error }) // prettier-ignore
  if (code.startsWith('WS_ERR_')) return new Fault('InvalidInput', 'what comes is no WebSocket', { cause: error })
  return transportFault(error, true)
}
