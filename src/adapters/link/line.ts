/** The site's one connection to the hub: dialled when it is needed, kept or hung up between exchanges, a WebSocket where that is worth it. */
import { createHash, X509Certificate } from 'node:crypto'
import { Fault } from '../../core/model/fault.ts'
import type { Resting } from '../../core/protocol/ports.ts'
import { NEW_CONVERSATION, type Conversation } from '../../core/protocol/sync.ts'
import { postCarrier, type Carrier } from './carrier.ts'
import { judgeHub } from './judge-hub.ts'
import { decodeSession, encodeSession } from './session.ts'
import { upgrade, type SocketCarrier } from './socket-carrier.ts'
import type { ClientLimits, LinkClientOptions, SessionStore } from './types.ts'
import { CLIENT_LIMITS, dial, type Wire } from './wire.ts'

const MOST_PATIENCE = 8

export interface Held {
  readonly carrier: Carrier
  /** Shown when it was dialled. */
  readonly certificate: string
  /** Nothing was asked on it before. */
  readonly fresh: boolean
  conversation: Conversation
}

interface Line {
  readonly held: Held
  readonly wire: Wire
  /** `barren`: it has not carried an exchange yet. */
  readonly socket: SocketCarrier | undefined
  readonly barren: boolean
}

export interface HubLine {
  /** One caller at a time, on a connection that is open. A kept one that died in silence is replaced and asked once more. */
  use<T>(signal: AbortSignal, work: (held: Held) => Promise<T>): Promise<T>
  /** As HubLink's. */
  rest(forMs: number, nudged: () => void): Promise<Resting>
  close(): Promise<void>
}

export function hubLine(options: LinkClientOptions): HubLine {
  const limits = { ...CLIENT_LIMITS, ...options.limits }
  /** Times are so many times what they are: a connection that was given up for its slowness is followed by one that is given longer. */
  let patience = 1
  const sessions = options.sessions ?? memorySessions()
  const closing = new AbortController()
  let line: Line | undefined
  let turn: Promise<unknown> = Promise.resolve()
  /** Sockets in a row that could not be had, or carried nothing. */
  let barren = 0
  let polling: { readonly untilMs: number; readonly because: string } | undefined

  const dialHub = async (signal: AbortSignal): Promise<Line> => {
    const identity = options.identity()
    const authorities = options.authorities().map((der) => new X509Certificate(der))
    // Under this root, these authorities and this key; a session of an older certificate would present that one.
    const binding = createHash('sha256').update(identity.root).update(identity.certificate)
    for (const { raw } of authorities) binding.update(raw)
    const boundTo = binding.digest('hex')
    const session = decodeSession(sessions.load(), boundTo)
    const wire = await dial(
      {
        hubUrl: identity.hubUrl,
        key: identity.privateKey.reveal(),
        certificate: identity.certificate,
        ...(session === undefined ? {} : { session }),
        keyExchange: options.keyExchange ?? 'hybrid',
        limits: patient(limits, patience),
        judge: (socket) => judgeHub(socket, authorities),
        onSession: (bytes) => sessions.save(encodeSession(bytes, boundTo)),
      },
      signal,
    )
    const { certificate } = identity
    const held: Held = { carrier: postCarrier(wire), certificate, fresh: true, conversation: NEW_CONVERSATION }
    return { held, wire, socket: undefined, barren: false }
  }
  const drop = (): void => {
    line?.held.carrier.hangUp()
    line = undefined
  }
  /** A WebSocket that breaks before it carried anything is one that something on the way does not let be. */
  const socketFailed = (because: string): void => {
    barren++
    if (barren >= limits.socketAttempts) polling = { untilMs: performance.now() + limits.pollingMs, because }
  }
  const lostPatience = (error: unknown): never => {
    if (timedOut(error)) patience = Math.min(MOST_PATIENCE, patience * 2)
    throw error
  }
  const once = async <T>(signal: AbortSignal, work: (held: Held) => Promise<T>): Promise<T> => {
    if (closing.signal.aborted) throw new Fault('Cancelled', 'the link is closed')
    if (line !== undefined && line.held.certificate !== options.identity().certificate) drop()
    const kept = line?.held.carrier.open === true ? line : undefined
    if (kept === undefined && line?.barren === true) socketFailed('it broke before it carried anything')
    const current = kept ?? (await dialHub(signal).catch(lostPatience))
    line = current
    try {
      const result = await work(current.held)
      patience = 1
      if (current.socket !== undefined) barren = 0
      line = { ...current, barren: false, held: { ...current.held, fresh: false } }
      return result
    } catch (error) {
      if (timedOut(error)) patience = Math.min(MOST_PATIENCE, patience * 2)
      // Whatever went wrong, the two ends may no longer agree on what was said: begin anew.
      if (!(error instanceof Fault) || error.reason !== 'Throttled') {
        if (current.barren) socketFailed('it broke with the first exchange')
        drop()
        current.held.carrier.hangUp()
      }
      const silent = error instanceof Fault && error.reason === 'Unreachable' && kept !== undefined
      if (silent && !signal.aborted) return once(signal, work)
      throw error
    }
  }
  const becomeSocket = async (current: Line, nudged: () => void): Promise<Resting> => {
    try {
      const socket = await upgrade(current.wire, patient(limits, patience), closing.signal)
      socket.onNudge(nudged)
      line = { ...current, socket, barren: true, held: { ...current.held, carrier: socket } }
      return { by: 'socket' }
    } catch (error) {
      drop()
      const because = error instanceof Fault ? error.message : String(error)
      if (error instanceof Fault && error.reason === 'Throttled') return { by: 'polling', because }
      socketFailed(because)
      return { by: 'polling', because }
    }
  }
  const rest = async (forMs: number, nudged: () => void): Promise<Resting> => {
    if (forMs > limits.heldRestMs || options.connection === 'per-exchange') {
      drop()
      return { by: 'polling', because: 'the next exchange is too far away to hold a connection for' }
    }
    if (line === undefined || !line.held.carrier.open) return { by: 'polling', because: 'the connection is gone' }
    if (line.socket !== undefined) {
      line.socket.onNudge(nudged)
      return { by: 'socket' }
    }
    if (polling !== undefined && performance.now() < polling.untilMs) return { by: 'polling', because: polling.because }
    if (polling !== undefined) barren = 0
    polling = undefined
    return becomeSocket(line, nudged)
  }
  const queued = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = turn.then(work)
    turn = mine.catch(() => undefined)
    return mine
  }
  return {
    use: (signal, work) =>
      queued(async () => {
        try {
          return await once(signal, work)
        } finally {
          if (options.connection === 'per-exchange') drop()
        }
      }),
    rest: (forMs, nudged) => queued(() => rest(forMs, nudged)),
    async close() {
      closing.abort()
      line?.held.carrier.hangUp()
      await turn
      line?.held.carrier.hangUp()
    },
  }
}

function timedOut(error: unknown): boolean {
  return error instanceof Fault && error.reason === 'Timeout'
}

function patient(limits: ClientLimits, times: number): ClientLimits {
  const { connectTimeoutMs, answerTimeoutMs, stalledMs } = limits
  return {
    ...limits,
    connectTimeoutMs: connectTimeoutMs * times,
    answerTimeoutMs: answerTimeoutMs * times,
    stalledMs: stalledMs * times,
  }
}

function memorySessions(): SessionStore {
  let held: Uint8Array | undefined
  return {
    load: () => held,
    save: (bytes) => {
      held = bytes
    },
  }
}
