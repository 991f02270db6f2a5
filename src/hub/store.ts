/**
 * The hub's store as a port: everything a turn decided is one `HubChange`, written in one transaction or not at all.
 * Rows are per site, per workload, per (site, workload); never per object.
 */
import type { SignedStatement, SiteCondition } from '../core/protocol/messages.ts'
import type { Digest } from '../core/model/digest.ts'
import type { JsonObject } from '../core/model/json.ts'
import type { Generation, WorkloadObservation } from '../core/model/observation.ts'
import type { BlobDomain } from '../core/model/release.ts'
import type { LabelSelector } from '../core/model/selector.ts'
import type { Grant, RolloutSpec, RolloutState, SiteProgress } from '../core/rollout/types.ts'
import type { Role } from './api.ts'

export interface Have {
  readonly generation: Generation
  readonly root: Digest
  readonly body: Digest
}

/** One site as the hub knows it: what Git says of it, who it is, what it was told and what it last said. */
export interface SiteRecord {
  readonly name: string
  /** null until enrolled. */
  readonly siteId: string | null
  readonly standing: 'expected' | 'active' | 'retired'
  /** A Site of the last good revision. */
  readonly inGit: boolean
  /** And targeted by some workload; a site that is not keeps what it has (`Unlisted`). */
  readonly listed: boolean
  readonly labels: Readonly<Record<string, string>>
  readonly linkClass: string
  /** IANA name; absent: rows of before it was kept, read as UTC. */
  readonly timeZone?: string
  readonly mode: 'enforce' | 'observe'
  /** Why Git retires it; absent: it does not. */
  readonly gitRetired?: string
  readonly gitHold: { readonly reason: string; readonly untilMs: number | null } | null
  readonly agent: string | null
  readonly recipient: string | null
  readonly conditions: readonly SiteCondition[]
  /** The manifest that was committed last; null: none yet. */
  readonly current: (Have & { readonly revision: string; readonly expiresMs: number }) | null
  /** What the site last said it has. */
  readonly have: Have | null
  /** The site has what this hub never signed: nothing is published there until `hub recover`. */
  readonly fork: { readonly reason: 'HubBehind' | 'ForkedHub'; readonly seen: Have; readonly atMs: number } | null
  readonly lastContactMs: number | null
  readonly dueAtMs: number | null
  /** `behind`: what it should be told may differ from its current manifest; published in the next turn, after a crash too. */
  readonly published: 'current' | 'behind'
  /** Deletion lists confirmed in Git that concern this site, latest last. */
  readonly confirmed: readonly Digest[]
  /** Names that this identity had, latest last: its agent may still go by one. Absent: none. */
  readonly formerNames?: readonly string[]
}

/** What a site's manifest names for one workload. */
export interface EntryRecord {
  readonly site: string
  readonly workload: string
  readonly release: Digest
  readonly since: Generation
  readonly startAfterMs: number
  readonly startByMs: number
  readonly because: Grant['because']
  /** Teams whose yes it was given by: their windows do not stop it. Absent: nobody's. */
  readonly glass?: readonly string[]
  readonly confirm: 'uplink' | null
  /** Releases it named before, latest first, at most 3. */
  readonly previous: readonly Digest[]
  /** Releases that completed here, latest first, at most 3: where a rollback or an undo goes. */
  readonly good: readonly Digest[]
}

export interface ManifestRecord {
  readonly site: string
  readonly generation: Generation
  readonly body: Digest
  readonly payload: Uint8Array
}

/** What the hub keeps of a spec beside what the engine reads. */
export interface KeptSpec extends RolloutSpec {
  readonly confirm: 'uplink' | null
  readonly team: string | null
}

/** One workload's rollout: what runs, how far it is, and the newer map that waits. */
export interface RolloutRecord {
  readonly spec: KeptSpec
  readonly state: RolloutState | null
  readonly next: KeptSpec | null
}

export interface HoldRecord {
  readonly site: string
  readonly reason: string
  readonly by: string
  readonly untilMs: number | null
}

export interface FreezeRecord {
  readonly id: string
  readonly selector: LabelSelector | null
  readonly reason: string
  readonly by: string
  readonly untilMs: number
}

export interface WithdrawnRecord {
  readonly digest: Digest
  readonly workload: string
  readonly reason: string
  readonly by: string
  readonly atMs: number
}

export interface AuditRecord {
  readonly seq: number
  readonly atMs: number
  readonly actor: string
  readonly action: string
  readonly subject: string
  readonly detail: JsonObject
  /** Over the hash before and this record: a chain. */
  readonly hash: string
}

export interface EventRecord {
  readonly seq: number
  readonly atMs: number
  readonly kind: string
  readonly subject: string
  readonly message: string
}

export interface ResultRecord {
  readonly site: string
  readonly storeEpoch: string
  readonly seq: number
  readonly class: string
  readonly atMs: number
  readonly body: JsonObject
}

/** A question or an order, as it was asked of some sites. */
export interface AskRecord {
  readonly id: string
  readonly verb: string
  readonly args: JsonObject
  /** Whose token asked. */
  readonly by: string
  readonly issuedMs: number
  readonly expiresMs: number
  /** Characters of each answer that are kept. */
  readonly most: number
  readonly siteIds: readonly string[]
}

/** How far it is at one site. */
export interface AskSiteRecord {
  readonly id: string
  readonly siteId: string
  /** As it was called when it was asked. */
  readonly site: string
  /** When it was first put into an answer to the site, when the site said that it has it, when its answer was whole. */
  readonly sentMs: number | null
  readonly takenMs: number | null
  readonly answeredMs: number | null
  /** Parts of the answer: how many there are, and which came. */
  readonly of: number | null
  readonly parts: readonly number[]
}

export interface AskPart {
  readonly id: string
  readonly siteId: string
  readonly part: number
  readonly text: string
}

/** Site → workload → release of one revision, as one renderer version makes it. */
export interface RenderRecord {
  readonly input: Digest
  readonly renderer: string
  readonly sites: ReadonlyMap<string, ReadonlyMap<string, Digest>>
}

export interface StatementRecord {
  readonly release: Digest
  readonly statement: SignedStatement
}

export interface ApiTokenRecord {
  readonly hash: string
  readonly name: string
  readonly role: Role
  readonly teams: readonly string[]
  /** null or absent: words about any site. */
  readonly scope?: LabelSelector | null
  readonly createdAtMs: number
}

/** A site's new name in Git: whoever stood under the old one goes on under it. */
export interface Rename {
  readonly from: string
  readonly to: string
}

/** Everything one turn decided. Absent: nothing of that. */
export interface HubChange {
  /** Before all else: what is kept of `from` is kept of `to` from here on, and nothing is left of `from`. Never of rollouts. */
  readonly renames?: readonly Rename[]
  readonly meta?: Readonly<Record<string, string>>
  readonly blobs?: Iterable<{ readonly digest: Digest; readonly domain: BlobDomain; readonly bytes: Uint8Array }>
  /** Found unused at this time; used again; gone for good. */
  readonly blobsUnused?: readonly { readonly digest: Digest; readonly sinceMs: number }[]
  readonly blobsUsed?: readonly Digest[]
  readonly blobsGone?: readonly Digest[]
  readonly render?: RenderRecord
  readonly sites?: readonly SiteRecord[]
  readonly contacts?: readonly {
    readonly name: string
    readonly lastContactMs: number | null
    readonly dueAtMs: number | null
  }[]
  readonly entries?: readonly EntryRecord[]
  readonly entriesGone?: readonly { readonly site: string; readonly workload: string }[]
  /** Compare-and-set: `expected` is the site's generation before, null for none; Fault Conflict where it is another. */
  readonly manifests?: readonly { readonly record: ManifestRecord; readonly expected: Generation | null }[]
  readonly observations?: readonly { readonly site: string; readonly observation: WorkloadObservation }[]
  readonly observationsGone?: readonly { readonly site: string; readonly workload: string }[]
  /** `whole`: another spec, next or state than before, or most of its places moved. Else the state alone, with the `sites` whose progress changed. */
  readonly rollouts?: readonly {
    readonly record: RolloutRecord
    readonly whole: boolean
    readonly sites: ReadonlyMap<string, SiteProgress>
  }[]
  readonly rolloutsGone?: readonly string[]
  readonly history?: readonly {
    readonly workload: string
    readonly id: Digest
    readonly atMs: number
    readonly doc: JsonObject
  }[]
  readonly withdrawn?: readonly WithdrawnRecord[]
  readonly readmitted?: readonly Digest[]
  readonly holds?: readonly HoldRecord[]
  readonly holdsGone?: readonly string[]
  readonly freezes?: readonly FreezeRecord[]
  readonly freezesGone?: readonly string[]
  readonly audit?: readonly AuditRecord[]
  readonly events?: readonly EventRecord[]
  readonly results?: readonly ResultRecord[]
  readonly tokens?: readonly { readonly hash: string; readonly site: string; readonly expiresMs: number }[]
  readonly apiTokens?: readonly ApiTokenRecord[]
  /** Of release signers, checked; the same one again is nothing new. */
  readonly statements?: readonly StatementRecord[]
  readonly statementsGone?: readonly SignedStatement[]
  readonly keys?: readonly KeyRecord[]
  readonly asks?: readonly AskRecord[]
  readonly askSites?: readonly AskSiteRecord[]
  /** The first of each number counts. */
  readonly askParts?: readonly AskPart[]
  /** With all that came back. */
  readonly asksGone?: readonly string[]
  /**
   * Single use: Fault TokenRefused (and nothing is written) unless it is there, for this site, not expired, and unused or used by
   * this same key: the answer to a first try may have been lost.
   */
  readonly spend?: { readonly hash: string; readonly site: string; readonly by: string; readonly nowMs: number }
  /** Forget what a retired identity of this name had. */
  readonly forgetSites?: readonly string[]
}

export interface KeyRecord {
  readonly hash: string
  readonly site: string
  readonly siteId: string
  /** `offered`: by a renewal, not used yet; at its first use the site's others are retired. */
  readonly state: 'active' | 'offered' | 'retired'
}

/** What is read at start: nothing per (site, workload) but the rollouts that go on. */
export interface HubSnapshot {
  readonly meta: ReadonlyMap<string, string>
  readonly sites: readonly SiteRecord[]
  readonly keys: readonly KeyRecord[]
  readonly rollouts: readonly RolloutRecord[]
  readonly withdrawn: readonly WithdrawnRecord[]
  readonly holds: readonly HoldRecord[]
  readonly freezes: readonly FreezeRecord[]
  readonly apiTokens: readonly ApiTokenRecord[]
  readonly statements: readonly SignedStatement[]
  readonly asks: readonly AskRecord[]
  readonly askSites: readonly AskSiteRecord[]
  readonly lastAudit: AuditRecord | null
  readonly lastEvent: number
}

/** What the hub knows of one workload at one site. */
export interface AtSite {
  readonly entry: EntryRecord | null
  readonly observation: WorkloadObservation | null
}

/** Faults: StoreFull, StoreReadOnly, StoreCorrupt, StoreFailed, Conflict, TokenRefused. */
export interface HubStore {
  load(): Promise<HubSnapshot>
  /** One transaction; an empty change costs none. */
  commit(change: HubChange): Promise<void>
  /** Every site of one workload. */
  book(workload: string): Promise<ReadonlyMap<string, AtSite>>
  /** Every workload of one site. */
  atSite(site: string): Promise<ReadonlyMap<string, AtSite>>
  /** Every workload of which some site's manifest names an entry. */
  workloads(): Promise<readonly string[]>
  blob(digest: Digest): Promise<{ readonly domain: BlobDomain; readonly bytes: Uint8Array } | undefined>
  hasBlobs(digests: readonly Digest[]): Promise<ReadonlySet<Digest>>
  /** Names of blobs in their order, those after `after`. */
  blobNames(after: string, limit: number): Promise<readonly Digest[]>
  /** Blobs found unused, and since when. */
  unusedBlobs(): Promise<ReadonlyMap<Digest, number>>
  render(input: Digest, renderer: string): Promise<RenderRecord | undefined>
  /** The payload whose digest this is, while it is kept. */
  manifest(site: string, body: Digest): Promise<ManifestRecord | undefined>
  events(after: number, limit: number): Promise<readonly EventRecord[]>
  history(workload: string, limit: number): Promise<readonly JsonObject[]>
  audit(after: number, limit: number): Promise<readonly AuditRecord[]>
  results(after: number, limit: number): Promise<readonly ResultRecord[]>
  /** All that came back to one ask. */
  askParts(id: string): Promise<readonly AskPart[]>
  /** Transactions written since it was opened: an idle fleet adds none. */
  readonly written: number
  close(): Promise<void>
}
