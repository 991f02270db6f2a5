/** What the hub offers to people and programs; `adapters/http` serves it and knows nothing else of the hub. */
import type {
  AuditHead,
  AuditView,
  EventView,
  FreezeView,
  Page,
  RolloutOfHistory,
  RolloutView,
  SiteView,
  StatusView,
  WhyView,
  WorkloadView,
} from '../core/api/types.ts'
import type { AskView } from '../core/api/asks.ts'
import type { BatchView } from '../core/batch/view.ts'
import type { JsonObject } from '../core/model/json.ts'
import type { LabelSelector } from '../core/model/selector.ts'
import type { SignedStatement } from '../core/protocol/messages.ts'

export interface BatchQuery {
  /** Absent: all that said something. */
  readonly sites?: readonly string[]
  /** `next` of the page before. */
  readonly cursor?: string
  readonly limit?: number
}

export type Role = 'viewer' | 'operator' | 'approver' | 'admin'

/** Who calls: a name for the audit log, a role, and for approvers the teams they speak for (`*`: any). */
export interface Actor {
  readonly name: string
  readonly role: Role
  readonly teams: readonly string[]
  /** The sites that its words may be about and that it reads; null or absent: all. */
  readonly scope?: LabelSelector | null
}

export interface SiteQuery {
  /** `a=b,c!=d,e in (x,y),!f` as kubectl takes it. */
  readonly selector?: string
  readonly sync?: string
  readonly health?: string
  readonly link?: string
  readonly limit?: number
  /** `next` of the page before. */
  readonly cursor?: string
}

export type RolloutVerb = 'pause' | 'resume' | 'promote' | 'approve' | 'break-glass' | 'abort' | 'undo' | 'readmit'

export interface RolloutWord {
  readonly why?: string
  readonly wave?: string
  /** The team in whose name the glass is broken; absent: the only one that may. */
  readonly team?: string
  /** How long the glass stays broken; absent: a day. */
  readonly forMs?: number
  /** The rollout's id that an approval names, or the digest that `readmit` lets back in. */
  readonly id?: string
}

export interface FreezeRequest {
  readonly selector: LabelSelector | null
  readonly reason: string
  readonly untilMs: number
}

export interface AskRequest {
  readonly verb: string
  readonly args: JsonObject
  /** By name; null: by the selector. */
  readonly sites: readonly string[] | null
  readonly selector: LabelSelector | null
  /** How long it is good; absent: five minutes. */
  readonly forMs?: number
}

/** Questions and orders that are carried to sites (ADR 0014). */
export interface HubAsks {
  /** In the audit log before it is carried. Faults: Forbidden, InvalidInput, NotFound, Conflict, TooLarge, Throttled. */
  ask(actor: Actor, request: AskRequest): Promise<AskView>
  /** How far it is, with what came back where that is wanted. Faults: Forbidden, NotFound. */
  asked(actor: Actor, id: string, answers: 'counts' | 'answers'): Promise<AskView>
  /** Sites that were not told yet are not told any more. In the audit log. Faults: Forbidden, NotFound. */
  withdraw(actor: Actor, id: string): Promise<AskView>
}

export interface TokenGiven {
  readonly token: string
  /** What to run at the site. */
  readonly line: string
  readonly expiresAtMs: number
}

/** Counts for metrics; never a series per site. */
export interface HubMeasures {
  readonly link: Readonly<Record<string, number>>
  readonly sync: Readonly<Record<string, number>>
  readonly health: Readonly<Record<string, number>>
  readonly rollouts: Readonly<Record<string, number>>
  readonly storeWrites: number
  /** 1 while Git cannot be followed, or a revision or a workload is held back. */
  readonly sourceFault: 0 | 1
}

/** What is read. Faults: NotFound, InvalidInput, and Forbidden where a scoped token asks for what is not in its scope. */
export interface HubReads {
  status(): Promise<StatusView>
  sites(query: SiteQuery): Promise<Page<SiteView>>
  site(name: string): Promise<SiteView>
  workloads(): Promise<Page<WorkloadView>>
  workload(name: string): Promise<WorkloadView>
  rollouts(): Promise<Page<RolloutView>>
  rollout(workload: string): Promise<RolloutView>
  /** Jobs, nodes and queues as sites last said them. Fault NotFound. */
  batch(query: BatchQuery): Promise<Page<BatchView>>
  /** What runs, then what is over, latest first. */
  history(workload: string): Promise<Page<RolloutOfHistory>>
  why(kind: 'site' | 'rollout' | 'workload' | 'object', name: string): Promise<WhyView>
  /** Those after the one numbered `after`, oldest first; `next` null: there were none. */
  events(after: number, limit: number): Promise<Page<EventView>>
  /** Freezes that hold now. */
  freezes(): Promise<Page<FreezeView>>
  audit(after: number, limit: number): Promise<Page<AuditView> & { readonly signed: AuditHead | null }>
}

/** Reads of its own are of the whole fleet; writes check the actor. Faults: NotFound, InvalidInput, Forbidden, Conflict. Every write is in the audit log before it answers. */
export interface HubApi extends HubReads, HubAsks {
  /** Who a bearer token is; undefined: nobody. */
  authenticate(bearer: string): Actor | undefined
  /** What this one may read. */
  seenBy(actor: Actor): HubReads
  command(actor: Actor, workload: string, verb: RolloutVerb, word: RolloutWord): Promise<RolloutView>
  hold(actor: Actor, site: string, reason: string, untilMs: number | null): Promise<SiteView>
  release(actor: Actor, site: string): Promise<SiteView>
  freeze(actor: Actor, request: FreezeRequest): Promise<{ readonly id: string; readonly sites: number }>
  /** Ends a freeze before its time. */
  thaw(actor: Actor, id: string): Promise<void>
  /** Asks a site to come now: a connected one hears it, one that polls comes when it is due. */
  call(actor: Actor, site: string): Promise<{ readonly heard: boolean }>
  createToken(actor: Actor, site: string, ttlMs: number): Promise<TokenGiven>
  /** Words of release signers for releases at sites. Fault SignatureInvalid: one that no signer of the root signed; then none is taken. */
  sign(actor: Actor, statements: readonly SignedStatement[]): Promise<{ readonly taken: number }>
  retire(actor: Actor, site: string): Promise<void>
  /** This hub's memory is older than its sites, or it is a copy that is to go on: the epoch goes up, and what each site shows is what it should have. */
  recover(actor: Actor): Promise<{ readonly epoch: number; readonly sites: number }>
  /** Look at Git now and decide again. `accept`: a revision whose rewritten history an admin takes. */
  reconcile(actor: Actor, accept?: string): Promise<void>
  /** A token for people; `secret` is shown once. */
  createApiToken(
    name: string,
    role: Role,
    teams: readonly string[],
    given?: { readonly by?: Actor; readonly scope?: LabelSelector | null },
  ): Promise<{ readonly secret: string }>
  measure(): HubMeasures
  /** Ready once the store is open and the first look at Git was made. */
  readonly ready: { readonly ok: boolean; readonly because: string }
}
