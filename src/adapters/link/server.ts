/**
 * The hub's end of the link: TLS 1.3 in which nobody reads a date, six paths over HTTP/1.1, and a WebSocket. TLS proves that the peer holds
 * its key; who that is, and whether it still may speak, is read from the store on every exchange, resumed sessions included.
 */
import { createServer, type Server } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { Fault } from '../../core/model/fault.ts'
import { admission } from './admission.ts'
import { connectionBook } from './connections.ts'
import { handshakeGate } from './handshake-gate.ts'
import { answerFault } from './answers.ts'
import { hubRoutes } from './routes.ts'
import { hubSockets, type Sockets } from './sockets.ts'
import type { LinkServer, LinkServerOptions, ServerLimits } from './types.ts'

export const SERVER_LIMITS: ServerLimits = {
  handshakesPerSecond: 400,
  handshakeLine: 2_000,
  handshakeTimeoutMs: 60_000,
  requestTimeoutMs: 120_000,
  stalledMs: 120_000,
  keepAliveMs: 15 * 60_000,
  exchanges: 256,
  connectionsPerKey: 4,
  connections: 18_000,
  ratePerKey: 20,
  burstPerKey: 100,
  retryAfterMaxMs: 300_000,
  sockets: 'on',
  nudgesPerSecond: 1_000,
}

/** Days after which a site that polls must make a full handshake again. */
const SESSION_LIFE_S = 7 * 86_400
const MAX_HEADER_BYTES = 4_096
const SWEEP_MS = 20

export async function startLinkServer(options: LinkServerOptions): Promise<LinkServer> {
  const limits = { ...SERVER_LIMITS, ...options.limits }
  const host = options.host ?? '127.0.0.1'
  const monotonicMs = (): number => performance.now()
  const gate = handshakeGate({ perSecond: limits.handshakesPerSecond, line: limits.handshakeLine }, monotonicMs)
  const doors = admission(limits, monotonicMs, options.random ?? Math.random)
  const book = connectionBook(limits.connectionsPerKey)
  const counts = { served: 0, refused: 0, handshakes: 0, resumed: 0 }
  const closing = new AbortController()
  const context = { ...options, limits, doors, book, closing: closing.signal, uncalled: new Set<string>() }
  const route = hubRoutes(context)
  const met = (fault: Fault | undefined, path: string): void => {
    if (fault === undefined) {
      counts.served++
      return
    }
    if (fault.reason !== 'Throttled' && fault.reason !== 'Cancelled') counts.refused++
    if (fault.reason === 'Unexpected') options.log?.error({ err: fault.cause, path }, 'exchange failed')
    else options.log?.debug({ reason: fault.reason, because: fault.message, path }, 'exchange refused')
  }
  const sockets = hubSockets(context, met)

  const server = createServer(
    {
      key: options.pki.tls.key,
      cert: options.pki.tls.cert,
      // Empty: with the authority there OpenSSL would send it along, with nothing Node loads its 120 public roots.
      ca: [],
      ticketKeys: options.pki.tls.ticketKeys,
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
      ecdhCurve: 'X25519MLKEM768:X25519',
      sigalgs: 'ecdsa_secp256r1_sha256',
      sessionTimeout: SESSION_LIFE_S,
      sessionIdContext: 'flotilla-hub',
      // As a list Node would copy it for each connection, into the pool of small buffers: each copy holds 64 KiB of that back.
      ALPNCallback: ({ protocols }) => protocols.find((protocol) => protocol === 'http/1.1'),
      handshakeTimeout: limits.handshakeTimeoutMs,
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: limits.requestTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: Math.min(5_000, Math.max(20, limits.requestTimeoutMs / 4)),
    },
    (req, res) => void serve(req, res),
  )
  server.timeout = limits.stalledMs
  server.maxConnections = limits.connections
  gateHandshakes(server, (socket, start) => gate.enter(socket, start))
  server.on('secureConnection', (socket: TLSSocket) => {
    counts.handshakes++
    if (socket.isSessionReused()) counts.resumed++
  })
  // Without a listener Node hands an upgrade to the routes, which know no such path: a hub that only answers.
  if (limits.sockets === 'on') server.on('upgrade', (req, socket, head) => sockets.upgrade(req, socket, head))
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  server.on('clientError', (_error, socket) => socket.destroy())

  const serve = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    try {
      await route(req, res)
      met(undefined, req.url ?? '')
    } catch (error) {
      const fault = error instanceof Fault ? error : new Fault('Unexpected', 'the exchange failed', { cause: error })
      met(fault, req.url ?? '')
      answerFault(req, res, fault)
    }
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new Fault('Unreachable', `cannot listen on ${host}:${options.port ?? 0}`, { cause })),
    )
    server.listen(options.port ?? 0, host, resolve)
  })
  const { port } = server.address() as AddressInfo
  let closed: Promise<void> | undefined
  const close = (drainMs = 5_000): Promise<void> => {
    closed ??= drain(server, sockets, drainMs).finally(() => closing.abort())
    gate.close()
    return closed
  }
  return {
    port,
    url: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    nudge: (sites) => sockets.nudge(sites),
    stats: () => ({
      ...counts,
      sockets: sockets.size,
      nudged: sockets.nudged,
      connections: book.size,
      exchanges: doors.inProgress,
      shed: doors.shed,
    }),
    close,
    [Symbol.asyncDispose]: () => close(),
  }
}

/** TLS's own listener is put behind the gate: Node has no hook between accepting a socket and the handshake. */
function gateHandshakes(server: Server, enter: (socket: Socket, start: () => void) => void): void {
  const listeners = server.listeners('connection') as ((socket: Socket) => void)[]
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    enter(socket, () => {
      for (const listener of listeners) listener.call(server, socket)
    })
  })
}

/** No new connection; idle ones go at once, those in an exchange when it ends, all of them after `drainMs`. */
async function drain(server: Server, sockets: Sockets, drainMs: number): Promise<void> {
  const ended = new Promise<void>((resolve) => server.close(() => resolve()))
  sockets.drain()
  const timer = setTimeout(() => {
    sockets.end()
    server.closeAllConnections()
  }, drainMs)
  // Kept connections whose exchange has just ended are idle now.
  const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_MS)
  await ended
  clearTimeout(timer)
  clearInterval(sweep)
}
