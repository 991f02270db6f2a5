/**
 * The hub's end of the sites' WebSockets: the same exchanges as over HTTP, and the one thing that HTTP cannot say, "come now".
 * One a site, one request at a time on it, and no pings: the site's own sync is the keep-alive.
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { WebSocketServer, type RawData, type WebSocket } from 'ws'
import { Fault } from '../../core/model/fault.ts'
import { SYNC_UP_MAX_BYTES } from '../../core/protocol/limits.ts'
import { BECAUSE, graceMs, statusOf } from './answers.ts'
import type { Connection } from './connections.ts'
import { answerSync, BLOB_RECORD_BYTES, callerOf, readBlob, throttle, type RouteContext } from './exchange.ts'
import { nudger } from './nudger.ts'
import { decodeAsk, encodeRefusal, NUDGE, SOCKET_PATH, WORDS_MAX_BYTES } from './socket-words.ts'

/** With the header of a message, one record. */
const CHUNK_BYTES = BLOB_RECORD_BYTES - 4
const GOING_AWAY = 1001
/** More than what was just said. */
const MOST_UNREAD_BYTES = 4 * 1024

export interface Sockets {
  readonly size: number
  readonly nudged: number
  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void
  /** Sites without a socket are called when they get one, unless they had an exchange before. */
  nudge(sites: readonly string[]): void
  /** Idle ones are told to go, busy ones when their exchange has ended. */
  drain(): void
  /** All of them, at once. */
  end(): void
}

interface Line {
  readonly ws: WebSocket
  readonly socket: TLSSocket
  busy: boolean
}

/** `met`: outcome of every exchange. */
export function hubSockets(context: RouteContext, met: (fault: Fault | undefined, path: string) => void): Sockets {
  const { limits, doors, book, pki } = context
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: SYNC_UP_MAX_BYTES,
    perMessageDeflate: false,
    autoPong: false,
  })
  const lines = new Map<string, Line>()
  let draining = false
  const nudges = nudger({
    perSecond: limits.nudgesPerSecond,
    mayGo: () => doors.inProgress < limits.exchanges / 2,
    nudge: (site) => {
      const line = lines.get(site)
      // What is not being read would only grow.
      if (line === undefined || line.ws.bufferedAmount > MOST_UNREAD_BYTES) return false
      line.ws.send(NUDGE)
      return true
    },
  })

  /** A site that was renamed is called by its new name, on the line that it has. */
  const calledBy = (name: string, now: string, line: Line): string => {
    if (now === name) return name
    if (lines.get(name) === line) lines.delete(name)
    lines.set(now, line)
    return now
  }

  const take = (site: string, connection: Connection, socket: TLSSocket, ws: WebSocket): void => {
    const line: Line = { ws, socket, busy: false }
    // A site has one: what its old connection has not noticed yet is over.
    lines.get(site)?.ws.terminate()
    lines.set(site, line)
    if (context.uncalled.delete(site)) nudges.add([site])
    socket.setTimeout(limits.keepAliveMs, () => ws.terminate())
    let name = site
    let begun: NodeJS.Timeout | undefined
    // Before the reader of messages: a message must be here whole within its time, whatever the pace of its bytes.
    socket.prependListener('data', () => {
      begun ??= setTimeout(() => ws.terminate(), limits.requestTimeoutMs)
    })
    const rest = (): void => {
      clearTimeout(begun)
      begun = undefined
    }
    ws.on('message', (data, isBinary) => {
      rest()
      // Nobody asks twice at once: what does is no agent of ours, and is not queued for.
      if (line.busy) return ws.terminate()
      line.busy = true
      name = calledBy(name, context.handler.standing(connection.peer?.keyHash ?? '')?.site ?? name, line)
      void serve(context, connection, line, data, isBinary).then((fault) => {
        line.busy = false
        met(fault, SOCKET_PATH)
        if (fault?.reason === 'KeyRetired' || draining) ws.close(GOING_AWAY)
      })
    })
    ws.on('ping', () => ws.terminate())
    // A site that waits for the rest of an answer says that it is there: no message begins with it.
    ws.on('pong', rest)
    ws.on('error', () => ws.terminate())
    ws.once('close', () => {
      rest()
      if (lines.get(name) === line) lines.delete(name)
    })
  }

  return {
    get size() {
      return lines.size
    },
    get nudged() {
      return nudges.sent
    },
    upgrade(req, duplex, head) {
      const socket = duplex as TLSSocket
      socket.on('error', () => socket.destroy())
      try {
        if (req.url !== SOCKET_PATH) throw new Fault('NotFound', 'no such path')
        if (draining) throw new Fault('Throttled', 'the hub goes down', { retryAfterMs: limits.retryAfterMaxMs / 10 })
        const connection = book.of(socket, pki.tls.authorities)
        const { site, keyHash } = callerOf(context, connection)
        throttle(context, keyHash)
        server.handleUpgrade(req, socket, head, (ws) => take(site, connection, socket, ws))
      } catch (error) {
        const fault = error instanceof Fault ? error : new Fault('Unexpected', 'no upgrade', { cause: error })
        met(fault, req.url ?? '')
        refuse(socket, fault)
      }
    },
    nudge(sites) {
      for (const site of sites) if (!lines.has(site)) context.uncalled.add(site)
      nudges.add(sites.filter((site) => lines.has(site)))
    },
    drain() {
      draining = true
      nudges.close()
      for (const { ws, busy } of lines.values()) if (!busy) ws.close(GOING_AWAY)
    },
    end() {
      nudges.close()
      for (const { ws } of lines.values()) ws.terminate()
    },
  }
}

/** Never rejects: what went wrong is told to the site, and returned. */
async function serve(
  context: RouteContext,
  connection: Connection,
  { ws, socket }: Line,
  data: RawData,
  isBinary: boolean,
): Promise<Fault | undefined> {
  let unread = 0
  const send = (bytes: Uint8Array | string): void => {
    if (ws.readyState !== ws.OPEN) return
    unread += bytes.length
    ws.send(bytes, () => (unread -= bytes.length))
  }
  try {
    const caller = callerOf(context, connection)
    throttle(context, caller.keyHash)
    const body = data as Buffer
    if (isBinary) await answerSync(context, connection, { socket, caller, body }, send)
    else {
      if (body.length > WORDS_MAX_BYTES) throw new Fault('InvalidInput', 'words without an end')
      const { domain, digest, from, to } = decodeAsk(body.toString())
      socket.setMaxSendFragment(BLOB_RECORD_BYTES)
      await readBlob(context, { socket, caller, domain, digest }, (bytes) => {
        send(JSON.stringify({ from, total: bytes.length }))
        const end = Math.min(to, bytes.length)
        for (let at = from; at < end; at += CHUNK_BYTES) send(bytes.subarray(at, Math.min(end, at + CHUNK_BYTES)))
      })
    }
    // An answer that is not read holds memory here: it goes with its connection.
    if (unread > 0) setTimeout(() => unread > 0 && ws.terminate(), graceMs(unread)).unref()
    return undefined
  } catch (error) {
    const fault = error instanceof Fault ? error : new Fault('Unexpected', 'the exchange failed', { cause: error })
    send(encodeRefusal(fault))
    return fault
  }
}

function refuse(socket: TLSSocket, fault: Fault): void {
  const status = statusOf(fault)
  const after = Math.max(1, Math.ceil((fault.retryAfterMs ?? 5_000) / 1_000))
  const wait = status === 503 ? `retry-after: ${after}\r\n` : ''
  socket.end(
    `HTTP/1.1 ${status} No\r\n${BECAUSE}: ${fault.reason}\r\n${wait}connection: close\r\ncontent-length: 0\r\n\r\n`,
  )
}
