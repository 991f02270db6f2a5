/** What a site agent asks of the world. Adapters fit by shape; several agents in one process share nothing but these. */
import type { SecretText } from '../core/model/secret.ts'
import type { Inventory, InventoryChange } from '../core/diff/types.ts'
import type { Cluster } from '../core/kube/cluster.ts'
import type { Digest } from '../core/model/digest.ts'
import type { JsonObject } from '../core/model/json.ts'
import type { Generation } from '../core/model/observation.ts'
import type { BlobDomain } from '../core/model/release.ts'
import type { Floor } from '../core/protocol/accept.ts'
import type { Envelope, OutboxItem } from '../core/protocol/messages.ts'
import type { HubLink, TrustStatement } from '../core/protocol/ports.ts'
import type { HubTime } from '../core/protocol/time.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/logger.ts'

export interface AgentPorts {
  readonly cluster: Cluster
  /** null: no hub is known; the site goes on with what it has. */
  readonly link: HubLink | null
  /** Absent: a site whose key is nobody's to renew, as in a simulation. */
  readonly keys?: KeyPort
  readonly store: AgentStore
  readonly clock: Clock
  readonly log: Logger
  readonly machine: Machine
  /** Absent: nobody else can be here, as in a simulation. */
  readonly lease?: LeasePort
  /** Uniform in [0, 1). */
  random(): number
}

/** Whether this process is the one that may write in the cluster. */
export interface LeasePort {
  state(): LeaseState
}

export type LeaseState =
  | { readonly held: 'yes' }
  /** `by`: who holds it; null: not known, the API server does not answer. */
  | { readonly held: 'no'; readonly by: string | null; readonly because: string }

/** The machine's own time: goes on while the agent is restarted, begins anew when the machine is. */
export interface Machine {
  readonly bootId: string
  uptimeMs(): number
}

/** Who this site is: files of their own, checksummed, written once at enrolment and at each renewal. */
export interface SiteIdentity {
  readonly site: string
  readonly siteId: string
  readonly hubUrl: string
  /** Ed25519 public key of the fleet's root, SPKI DER base64: the pin. */
  readonly root: string
  /** Which keys sign manifests, signed by the root. */
  readonly trust: TrustStatement
  /** PEM. */
  readonly certificate: string
  readonly privateKey: SecretText
  /** age secret key and its recipient, for secrets. */
  readonly ageKey: SecretText
  readonly recipient: string
  /** Of the box that this one replaces: nothing below it is accepted. */
  readonly floor?: Floor
  /** The key before this one, until the hub took this one. */
  readonly previous?: { readonly certificate: string; readonly privateKey: SecretText }
}

/** Keys made on site, and the root's newest word; `adapters/link/rescue.ts` fits by shape. Faults as HubLink. */
export interface KeyPort {
  /** Proves the held key and gets a certificate for a new one. Nothing is stored. */
  renew(
    identity: SiteIdentity,
    signal: AbortSignal,
  ): Promise<Pick<SiteIdentity, 'root' | 'trust' | 'certificate' | 'privateKey'>>
  /** What this site's root leads to now. */
  roots(identity: SiteIdentity, signal: AbortSignal): Promise<Pick<SiteIdentity, 'root' | 'trust'>>
}

export interface StoredManifest {
  readonly envelope: Envelope
  readonly generation: Generation
  /** Digest (domain `manifest`) of the payload bytes. */
  readonly body: Digest
  /** Site's clock, ms. */
  readonly acceptedAtMs: number
  /** Goes into the floor: what release signers said that nothing may go below. */
  readonly content?: Floor['content']
}

/** The site's own record of one workload. */
export interface WorkloadRecord {
  readonly workload: string
  /** Of the entry that the site last began to act on. */
  readonly since: Generation
  /** What is to be here now: the release of that entry. */
  readonly release: Digest
  /** What was here before and was well, as far as that is known: where `agent rollback` goes. */
  readonly previous?: Digest
  /** When its manifest was accepted here, and the five facts' times, ms of the site's clock. */
  readonly receivedAtMs: number
  readonly applied: { readonly digest: Digest; readonly atMs: number } | null
  readonly healthy: { readonly digest: Digest; readonly atMs: number } | null
  readonly transitions: number
  readonly unhealthyMs: number
  /** All of this release was applied here once. */
  readonly whole?: true
}

/** One transaction, on the disk when it returns. Absent fields stay as they are. */
export interface StoreWrite {
  readonly inventory?: InventoryChange
  /** null: drop. */
  readonly workloads?: ReadonlyMap<string, WorkloadRecord | null>
  readonly time?: HubTime
  /** Small facts by name; null: drop. */
  readonly notes?: ReadonlyMap<string, JsonObject | null>
  /** Journal of the batch room; null: drop. */
  readonly batch?: ReadonlyMap<string, JsonObject | null>
  readonly outbox?: readonly OutboxItem[]
  /** Drop items up to this sequence. */
  readonly outboxAck?: number
}

/** Faults: StoreFull, StoreReadOnly, StoreCorrupt, StoreFailed. Every method that writes has written when it returns. */
export interface AgentStore {
  /** Random per store: a rebuilt store is another one. */
  readonly storeEpoch: string
  /** What opening found: `rebuilt` names the groups of rows that were damaged and are lost. */
  readonly opened: { readonly rebuilt: readonly string[] }
  /** Until this is called an older agent reads all that is written here, and newer rows stand beside its own. */
  confirmFormat(): void
  identity(): SiteIdentity | null
  saveIdentity(identity: SiteIdentity): void
  /** All that a copy must hold: identity and floor. It holds private keys. null: not enrolled. */
  keys(): JsonObject | null
  /** What `keys` gave. Fault StoreFailed: of a format that is not known. */
  restoreKeys(keys: JsonObject): void
  /** The highest of the two places. */
  floor(): Floor | null
  /** Newest readable first: the current one and the one before. */
  manifests(): readonly StoredManifest[]
  /** Blobs must be stored already. Writes the manifest, keeps the one before, then raises the floor in both places. */
  accept(manifest: StoredManifest): void
  has(digest: Digest): boolean
  /** Checked against its digest; a damaged one is dropped and absent. */
  blob(domain: BlobDomain, digest: Digest): Uint8Array | undefined
  putBlobs(blobs: readonly { readonly domain: BlobDomain; readonly digest: Digest; readonly bytes: Uint8Array }[]): void
  /** Drops blobs that none of these name; returns how many. */
  sweep(keep: ReadonlySet<Digest>): number
  inventory(): Inventory
  workloads(): ReadonlyMap<string, WorkloadRecord>
  time(): HubTime | null
  note(name: string): JsonObject | undefined
  /** All rows of the batch room's journal, by key. */
  batch(): ReadonlyMap<string, JsonObject>
  outbox(): readonly OutboxItem[]
  /** `process`: outlives a kill, and a power cut once anything was written for `power`, the default, after it. */
  write(write: StoreWrite, outlives?: 'power' | 'process'): void
  close(): void
}

export interface AgentOptions {
  readonly version: string
  /** `enforce` still obeys a manifest that says `observe`. */
  readonly mode: 'enforce' | 'observe'
  /** Where the ApplySet's parent object stands. */
  readonly applySet: { readonly namespace: string; readonly name: string }
  /** The Deployment that this agent runs as, where a Workload of the fleet may be it; null: none is known. */
  readonly self: { readonly namespace: string; readonly name: string } | null
  /** A new version of the agent that is not ready by then is taken back. */
  readonly upgradeMs: number
  /** An entry marked `confirm: uplink` goes back where the hub is not heard for so long after it. */
  readonly confirmMs: number
  /** Overrides the hub's `nextDueMs` downwards; null: as the hub says. */
  readonly pollMs: number | null
  readonly parallelApplies: number
  /** Verbs that this site's owner lets the hub ask (ADR 0014). */
  readonly asks: readonly string[]
  /** on: pods that name this scheduler are placed by this agent. */
  readonly scheduler: 'on' | 'off'
  /** Over how long every object is compared by a dry-run once. */
  readonly resyncMs: number
  /** Wait after a change before a turn, so that a burst of events is one turn. */
  readonly debounceMs: number
  /** More deletions than this in one turn need a confirmed list. */
  readonly fuseObjects: number
  /** Between two exchanges at least, however much news there is. */
  readonly newsAfterMs: number
  /** A silence of the monotonic clock longer than this means that this process was paused. */
  readonly maxGapMs: number
}
