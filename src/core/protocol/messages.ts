/**
 * The nouns on the wire between hub and site (PROTOCOL.md). Types only: functions that make, check and frame them stand beside.
 * Unknown fields are kept; a field that an older agent must not ignore is named in `critical`.
 */
import type { Digest } from '../model/digest.ts'
import type { JsonObject } from '../model/json.ts'
import type { Generation, WorkloadObservation } from '../model/observation.ts'
import type { BlobDomain } from '../model/release.ts'

export const PROTOCOL_VERSION = 1

/** What one workload should be at this site, and the permit to move there. */
export interface ManifestEntry {
  readonly workload: string
  /** The site generation that last changed this entry: observations and soaks name it. */
  readonly since: Generation
  /** Digest (domain `release`) of a `Release`. */
  readonly release: Digest
  /** Lower first; dependencies before dependents. */
  readonly order: number
  /** RFC 3339 UTC. A change begins in [startAfter, startBy] by the hub's time, or needs the hub's word again. */
  readonly startAfter: string
  readonly startBy: string
  /** With `confirm: 'uplink'`: where the site may go back by itself. */
  readonly fallback?: Digest
  readonly confirm?: 'uplink'
  /** Names of `windows` outside of which what has begun stands still, until it is applied. Empty: it goes on. */
  readonly gates: readonly string[]
}

/** A maintenance window as a site asks it by itself, in the dark too. Recurring: `schedule` and `durationMs`; dated: from and until. */
export interface ManifestWindow {
  readonly effect: 'allow' | 'deny'
  readonly overrun: 'finish' | 'stop'
  /** IANA name: the site's own is written out. */
  readonly timeZone: string
  readonly schedule?: string
  readonly durationMs?: number
  readonly fromMs?: number
  readonly untilMs?: number
}

/** Of a release signer: canonical JSON, base64, and its Ed25519 signature over DSSE's encoding, base64. */
export interface SignedStatement {
  readonly payload: string
  readonly keyid: string
  readonly sig: string
}

/** The payload of a site's envelope, canonical JSON. */
export interface SiteManifest {
  readonly site: string
  readonly siteId: string
  readonly generation: Generation
  /** Commit of the fleet repository that this was decided on. */
  readonly revision: string
  readonly issued: string
  readonly expires: string
  readonly critical: readonly string[]
  readonly mode: 'enforce' | 'observe'
  readonly entries: readonly ManifestEntry[]
  readonly config: Digest | null
  readonly queues: JsonObject
  /** Data keys wrapped for this site, by key id. */
  readonly keys: Readonly<Record<string, string>>
  readonly withdrawn: readonly Digest[]
  /** Names of deletion lists that were confirmed in Git for this site: blobs of domain `deletions`, or the site's own word for what its fuse stopped. */
  readonly deletionsConfirmed: readonly Digest[]
  /** Where the root names a release signer: its word for each entry. */
  readonly statements?: readonly SignedStatement[]
  /** Names that this same identity went by before: an agent that still goes by one of them is meant. */
  readonly formerNames?: readonly string[]
  /** What `gates` name; absent: no change is ever stopped. `critical` where there are any. */
  readonly windows?: Readonly<Record<string, ManifestWindow>>
  /** Operator words that a restored hub must learn back: holds and freezes. */
  readonly echo?: JsonObject
  /** Digest (domain `root`) of the canonical body without generation, revision, issued, expires and root itself. */
  readonly root: Digest
}

/** Exact payload bytes and who signed them. On the wire the bytes travel beside the JSON head, never as base64. */
export interface Envelope {
  readonly payloadType: string
  readonly payload: Uint8Array
  readonly signatures: readonly { readonly keyid: string; readonly sig: Uint8Array }[]
}

/** Things that must arrive: kept until acknowledged and named by (storeEpoch, seq). */
export interface OutboxItem {
  readonly class: 'result' | 'audit' | 'metric' | 'log'
  readonly seq: number
  readonly atMs: number
  readonly body: JsonObject
}

/** The JSON head of a sync, up. */
export interface SyncUp {
  readonly v: number
  readonly site: string
  readonly siteId: string
  readonly agent: string
  /** Random per process start. */
  readonly boot: string
  /** Random per store: a rebuilt store is another one. */
  readonly storeEpoch: string
  readonly have: { readonly generation: Generation; readonly root: Digest; readonly body: Digest } | null
  readonly clockMs: number
  /** 12 bytes, base64url: freshness of the time statement. */
  readonly nonce: string
  /** Sequence of the latest observation in this message. */
  readonly seq: number
  readonly observations: readonly WorkloadObservation[]
  /** Workloads that are gone from this site. */
  readonly goneWorkloads?: readonly string[]
  readonly outbox: readonly OutboxItem[]
  /** Site-wide conditions that are not fine: store, link, cluster, manifest refusals. */
  readonly conditions: readonly SiteCondition[]
  readonly facts?: JsonObject
  readonly factsDigest?: Digest
  readonly dropped?: Readonly<Record<string, number>>
  /** Blobs the site lacks of what it was told: ask again. */
  readonly want?: readonly Digest[]
  /** Version of the trust statement that the site holds; the hub answers with a newer one, where there is one. */
  readonly trust?: number
  /**
   * The signed manifest that `have` names, where the hub asked for it (`asks` of kind `manifest`): a restored hub learns from it
   * what this site should have. Base64, for it is sent once in a hub's life.
   */
  readonly held?: {
    readonly payload: string
    readonly signatures: readonly { readonly keyid: string; readonly sig: string }[]
  }
  /** Send nothing as a delta: a base is damaged or gone. Set by the link. */
  readonly whole?: true
  /** Send no blob inline: the link was cut within an answer, and a blob that is asked for by itself goes on where it was cut. Set by the link. */
  readonly lean?: true
}

export interface SiteCondition {
  /** `Box`: what somebody said there. `Scheduler`, `Batch`: what stands in the way of all its pods, or of all its jobs. */
  readonly type: 'Manifest' | 'Store' | 'Cluster' | 'Clock' | 'Link' | 'Box' | 'Scheduler' | 'Batch'
  readonly reason: string
  readonly message: string
  readonly sinceMs: number
  /** What the site's fuse stopped, as Git may confirm it. */
  readonly deletions?: Digest
}

/** The JSON head of a sync, down. Byte parts follow in the order in which they are named here. */
export interface SyncDown {
  readonly v: number
  /** Observations up to this sequence are stored at the hub. */
  readonly ack: number
  /** Outbox items up to this sequence of this storeEpoch are stored at the hub. */
  readonly ackOutbox: number
  /** Present iff the site's is not current. Part: payload or delta, then one part a signature. */
  readonly manifest?: {
    readonly payloadType: string
    readonly base?: Digest
    readonly result: Digest
    readonly keyids: readonly string[]
    /** Of the part; with `base` it is always zstd with the base as dictionary. Absent: identity. */
    readonly encoding?: 'zstd'
  }
  /** Small blobs, inline. One part each. */
  readonly blobs: readonly {
    readonly digest: Digest
    readonly domain: BlobDomain
    /** Held by the site, or earlier in this list. */
    readonly base?: Digest
    readonly encoding: 'identity' | 'zstd'
  }[]
  /** Ms from now at which the hub expects the site again. */
  readonly nextDueMs: number
  /** Signed over the nonce; last part is its signature. */
  readonly time: { readonly timeMs: number; readonly timeEpoch: number; readonly keyid: string }
  /** A newer trust statement. Two parts after the blobs: payload, signature by the root that the site holds. */
  readonly trust?: { readonly version: number }
  /**
   * What the site is to tell in its next message: `{kind: 'manifest'}`; a kind that it does not know is passed over. `past` is no
   * question: to a store that the hub does not know, which of the site's jobs were over (`core/batch/past`).
   */
  readonly asks?: readonly JsonObject[]
}

/** What the site holds as signed and true about the hub's time. */
export interface TimeStatement {
  readonly siteId: string
  readonly nonce: string
  readonly timeMs: number
  readonly timeEpoch: number
  readonly generation: Generation
  readonly root: Digest
}
