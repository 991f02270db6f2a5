/** What the link's two ends are built from. The calls between them and the processes are core/protocol/ports.ts. */
import type { SyncHandler } from '../../core/protocol/ports.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { SiteIdentity } from './identity.ts'
import type { Pki } from './pki.ts'

export interface LinkServerOptions {
  readonly pki: Pki
  readonly handler: SyncHandler
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Default 0: any free one. */
  readonly port?: number
  readonly limits?: Partial<ServerLimits>
  /** 0..1, spreads Retry-After; default Math.random. */
  readonly random?: () => number
  readonly log?: Logger
}

export interface ServerLimits {
  /** TLS handshakes let in a second; the rest wait in line, and beyond the line are hung up on. */
  readonly handshakesPerSecond: number
  readonly handshakeLine: number
  readonly handshakeTimeoutMs: number
  /** A request must be here whole within this, whatever the pace of its bytes. */
  readonly requestTimeoutMs: number
  /** No byte of an answer taken for this long: hung up. */
  readonly stalledMs: number
  /** Above the longest poll interval of connected sites. */
  readonly keepAliveMs: number
  /** Exchanges in progress; more are answered 503. */
  readonly exchanges: number
  /** Connections one key may hold; the oldest goes first. */
  readonly connectionsPerKey: number
  readonly connections: number
  /** Exchanges a second one key may make on average, and in a burst. */
  readonly ratePerKey: number
  readonly burstPerKey: number
  /** Longest Retry-After that is ever said. */
  readonly retryAfterMaxMs: number
  /** `off`: sites poll, and are not nudged. */
  readonly sockets: 'on' | 'off'
  /** Sites told to come, at most: what is called must be answered. */
  readonly nudgesPerSecond: number
}

export interface LinkServer extends AsyncDisposable {
  readonly port: number
  /** `https://host:port`, as it stands in a token. */
  readonly url: string
  stats(): LinkStats
  /** "Come now", to those of them that hold a WebSocket. */
  nudge(sites: readonly string[]): void
  /** Takes no more, lets exchanges in progress end for as long as said, then hangs up. */
  close(drainMs?: number): Promise<void>
}

/** Since the start, but `connections`, `sockets` and `exchanges`, which are now. */
export interface LinkStats {
  readonly connections: number
  /** Of which WebSockets. */
  readonly sockets: number
  readonly nudged: number
  readonly exchanges: number
  readonly served: number
  readonly shed: number
  readonly refused: number
  readonly handshakes: number
  readonly resumed: number
}

/** What the link reads of an identity. */
export type LinkIdentity = Pick<SiteIdentity, 'hubUrl' | 'root' | 'certificate' | 'privateKey'>

export interface LinkClientOptions {
  /** Asked at each exchange: a renewal gives another key, and a connection under the one before is hung up. */
  readonly identity: () => LinkIdentity
  /** Certificates (DER) that may issue the hub's: `Trust.authorities` of the statement that is held now. */
  readonly authorities: () => readonly Uint8Array[]
  /** Where the TLS session is kept across restarts; default: in memory. */
  readonly sessions?: SessionStore
  /** `per-exchange`: hang up after each exchange (metered sites that poll). Default `kept`. */
  readonly connection?: 'kept' | 'per-exchange'
  /** `hybrid`: X25519 with ML-KEM, 2.4 KB more a handshake. Default `hybrid`. */
  readonly keyExchange?: 'hybrid' | 'x25519'
  readonly limits?: Partial<ClientLimits>
}

export interface ClientLimits {
  readonly connectTimeoutMs: number
  /** No byte either way for this long: given up. */
  readonly stalledMs: number
  /** While an answer is awaited and nothing came for so long, a WebSocket says that it is there still. */
  readonly stillHereMs: number
  /** Until the head of an answer, beside the time that the request itself takes at `minBytesPerSecond`. */
  readonly answerTimeoutMs: number
  /** Slower than this over a whole body is an attack or no link at all. */
  readonly minBytesPerSecond: number
  /** Attempts in one `blob` call that bring no new byte. */
  readonly barrenAttempts: number
  /** A site that waits longer than this for its next exchange pays for a connection that it holds: it polls. */
  readonly heldRestMs: number
  /** After this many WebSockets in a row that could not be had, or broke before they carried an exchange, the site polls. */
  readonly socketAttempts: number
  /** For so long. */
  readonly pollingMs: number
}

/** Opaque bytes; losing them costs a full handshake. Guard them like the key. */
export interface SessionStore {
  load(): Uint8Array | undefined
  save(bytes: Uint8Array): void
}
