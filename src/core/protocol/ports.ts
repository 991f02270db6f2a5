/** What hub and agent ask of the link; `adapters/link` fits by shape. One exchange is one call. */
import type { Digest } from '../model/digest.ts'
import type { Generation } from '../model/observation.ts'
import type { BlobDomain } from '../model/release.ts'
import type { Envelope, SyncDown, SyncUp } from './messages.ts'

/** An answer of the hub, decoded, bounded and not yet judged: acceptance is `protocol/accept.ts`. */
export interface SyncAnswer {
  readonly head: SyncDown
  /** Decoded from full or delta; absent where the site is current. */
  readonly manifest: Envelope | undefined
  /** Decoded bytes by digest; each already hashes to its name. */
  readonly blobs: ReadonlyMap<Digest, BlobBytes>
  readonly timeSignature: Uint8Array
  /** Newer than the one the site named; `acceptTrust` judges it. */
  readonly trust?: TrustStatement
  /** On the wire, as counted by the socket. */
  readonly bytes: { readonly up: number; readonly down: number }
}

export interface BlobBytes {
  readonly domain: BlobDomain
  readonly bytes: Uint8Array
}

/** The agent's side. Faults: Unreachable, Timeout, CaptivePortal, HubNotTrusted, KeyUnknown, KeyRetired, Throttled, TooLarge, InvalidInput. */
export interface HubLink {
  /** `bases`: what the site holds that a delta may be against. */
  sync(up: SyncUp, bases: SyncBases, signal: AbortSignal): Promise<SyncAnswer>
  /** Bytes checked against the digest; resumes by range after a cut. */
  blob(domain: BlobDomain, digest: Digest, signal: AbortSignal): Promise<Uint8Array>
  /**
   * Nothing will be asked for `forMs`: a connection that is worth keeping becomes one on which the hub can say "come now", any other
   * is hung up. `nudged` is called at each such word until the next exchange that fails. Never rejects.
   */
  rest?(forMs: number, nudged: () => void): Promise<Resting>
  close(): Promise<void>
}

/** How a site waits for its next exchange. */
export type Resting = { readonly by: 'socket' } | { readonly by: 'polling'; readonly because: string }

export interface SyncBases {
  /** Exact payload bytes of the manifest that `up.have` names. */
  readonly manifest: Uint8Array | undefined
  blob(domain: BlobDomain, digest: Digest): Uint8Array | undefined
}

/** Who speaks, as TLS and the store say it. */
export interface Caller {
  readonly site: string
  readonly siteId: string
  readonly keyHash: string
  readonly formerNames?: readonly string[]
}

/** The hub's answer before it is framed. */
export interface SyncReply {
  readonly head: Omit<SyncDown, 'manifest' | 'blobs' | 'time' | 'trust'>
  readonly manifest:
    | {
        readonly envelope: Envelope
        readonly body: Digest
        readonly base?: { readonly digest: Digest; readonly payload: Uint8Array }
      }
    | undefined
  readonly blobs: readonly {
    readonly domain: BlobDomain
    readonly digest: Digest
    readonly bytes: Uint8Array
    readonly base?: { readonly digest: Digest; readonly bytes: Uint8Array }
  }[]
  readonly time: {
    readonly timeMs: number
    readonly timeEpoch: number
    readonly keyid: string
    readonly sig: Uint8Array
  }
  /** Sent where the site names an older version. */
  readonly trust?: { readonly version: number; readonly statement: TrustStatement }
}

export interface KeyStanding {
  readonly state: 'active' | 'retired'
  readonly site: string
  readonly siteId: string
  /** Names that its certificate and its reports may still carry. */
  readonly formerNames?: readonly string[]
}

/** The hub's side, called by the link's server. */
export interface SyncHandler {
  sync(caller: Caller, up: SyncUp, signal: AbortSignal): Promise<SyncReply>
  blob(caller: Caller, domain: BlobDomain, digest: Digest): Promise<Uint8Array | undefined>
  /** Standing of a key, read from the store on every exchange. */
  standing(keyHash: string): KeyStanding | undefined
  /** Single use: consumes the token, records the key, answers with who this is now. Fault TokenRefused. */
  enrol(request: EnrolRequest): Promise<Enrolled>
  /** Offers the site's next key; the one it holds is fenced when the next is first used. Faults KeyUnknown, KeyRetired. */
  renew(request: RenewRequest): Promise<Renewed>
}

/** Possession of both keys was proved over this connection. */
export interface RenewRequest {
  readonly site: string
  readonly siteId: string
  /** Of the key that the site was last known by. */
  readonly heldHash: string
  readonly nextHash: string
  /** SPKI of the next key, DER. */
  readonly publicKey: Uint8Array
}

export interface Renewed {
  /** PEM; the subject is composed by the hub. */
  readonly certificate: string
}

export interface EnrolRequest {
  readonly site: string
  /** The token's secret. */
  readonly secret: string
  /** Hash of the public key whose possession the request proved. */
  readonly keyHash: string
  /** SPKI of the TLS key, DER. */
  readonly publicKey: Uint8Array
  /** age recipient for secrets. */
  readonly recipient: string
}

export interface Enrolled {
  readonly siteId: string
  /** PEM; the subject is composed by the hub. */
  readonly certificate: string
  /** Ed25519 public keys that may sign manifests, SPKI DER base64 by keyid, in a statement signed by the root. */
  readonly keys: TrustStatement
  /** Of the box that this one replaces: the new one accepts nothing below it. */
  readonly floor?: { readonly generation: Generation; readonly body: Digest }
}

/** Which keys sign what, itself signed by the pinned root: the first link of the signature chain. */
export interface TrustStatement {
  readonly payload: Uint8Array
  readonly sig: Uint8Array
}
