/**
 * The rollout engine's input and output. Pure: the hub keeps `RolloutState` and `SiteFacts`, calls `decide`, stores what it
 * returns and publishes the grants. Times are ms of the hub's clock.
 */
import type { Digest } from '../model/digest.ts'
import type { Generation, WorkloadObservation } from '../model/observation.ts'
import type { Amount, RolloutPolicy } from '../model/policy.ts'
import type { Waiting } from '../model/state.ts'

/** What the hub knows of one site, shared by all rollouts. */
export interface SiteFacts {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly enrolled: boolean
  readonly lastContactMs: number | null
  /** The agreed next contact: silence before it is not lateness. */
  readonly dueAtMs: number | null
  readonly hold: { readonly reason: string; readonly untilMs: number | null } | null
  readonly freeze: { readonly reason: string; readonly untilMs: number } | null
  readonly mode: 'enforce' | 'observe'
}

/** What the hub told a site about one workload and what the site last said of it. */
export interface SiteWorkload {
  /** What the signed manifest names now; null: nothing was ever installed (the site is provisioned). */
  readonly published: Digest | null
  readonly since: Generation | null
  /** End of the permit that was published with it. */
  readonly startByMs: number | null
  readonly observation: WorkloadObservation | null
}

/** (workload, map site → release). Another map is another rollout and supersedes this one. */
export interface RolloutSpec {
  readonly workload: string
  /** Digest (domain `rollout`) of the workload and its map: approvals name it. */
  readonly id: Digest
  readonly revision: string
  readonly createdAtMs: number
  /** Higher first where budgets are shared; then age. */
  readonly priority: number
  readonly policy: RolloutPolicy
  /** Every targeted site and what it should have. */
  readonly targets: ReadonlyMap<string, Digest>
  readonly dependsOn: readonly { readonly name: string; readonly optional: boolean }[]
}

export type SitePhase =
  | 'waiting' // not told to move yet
  | 'granted' // told to move, not seen to begin
  | 'changing' // begun, not yet healthy through the soak
  | 'done' // evidence: healthy through the soak at this entry's since and release
  | 'unchanged' // had the target release when the rollout began: no evidence
  | 'failed'
  | 'rolledBack'

/** A site's place in one rollout; kept by the hub, only for targeted sites. */
export interface SiteProgress {
  readonly wave: number
  readonly phase: SitePhase
  /** What it had when the rollout began. */
  readonly from: Digest | null
  readonly grantedAtMs?: number
  readonly begunAtMs?: number
  readonly failure?: { readonly reason: string; readonly message: string; readonly atMs: number }
}

export interface WaveState {
  readonly name: string
  readonly state: 'pending' | 'active' | 'passed' | 'skipped'
  readonly startedAtMs?: number
  readonly passedAtMs?: number
  readonly approvedBy?: string
}

export interface RolloutState {
  readonly id: Digest
  readonly phase: 'Progressing' | 'Paused' | 'Completed' | 'RolledBack' | 'Aborted' | 'Superseded'
  readonly waves: readonly WaveState[]
  readonly sites: ReadonlyMap<string, SiteProgress>
  readonly paused?: { readonly by: string; readonly why: string; readonly atMs: number }
  readonly endedAtMs?: number
  /** Approvals by wave name, each naming this rollout's id. */
  readonly approvals: Readonly<Record<string, { readonly by: string; readonly atMs: number }>>
}

export interface RolloutWorld {
  readonly nowMs: number
  readonly budget: { readonly changingSites: Amount | null; readonly brokenSites: Amount | null }
  readonly fleetSites: number
  readonly rollouts: readonly { readonly spec: RolloutSpec; readonly state: RolloutState | null }[]
  site(name: string): SiteFacts | undefined
  /** (site, workload). */
  at(site: string, workload: string): SiteWorkload | undefined
  readonly withdrawn: ReadonlySet<Digest>
  /** Last release of this workload that completed at this site, where it is not withdrawn: where a rollback or undo goes. */
  lastGood(site: string, workload: string): Digest | null
}

/** Tell a site to move (or to go back): becomes an entry with a permit in its next generation. */
export interface Grant {
  readonly site: string
  readonly workload: string
  readonly release: Digest
  readonly startAfterMs: number
  readonly startByMs: number
  readonly because: 'wave' | 'provision' | 'return' | 'rollback' | 'undo' | 'renew'
}

export interface RolloutDecision {
  readonly workload: string
  readonly state: RolloutState
  readonly grants: readonly Grant[]
  /** A digest that failed its policy, or that an operator withdrew. */
  readonly withdraw: readonly { readonly digest: Digest; readonly reason: string }[]
  /** Why each site that is not done waits. */
  readonly waiting: ReadonlyMap<string, Waiting>
  /** Why the rollout as a whole waits. */
  readonly because: Waiting | null
  /** When something may change without an event. */
  readonly nextAtMs: number | null
}

/** What an operator says; kept by the hub, applied with `command`. */
export type RolloutCommand =
  | { readonly kind: 'pause'; readonly by: string; readonly why: string }
  | { readonly kind: 'resume'; readonly by: string }
  | { readonly kind: 'promote'; readonly by: string; readonly wave?: string }
  | { readonly kind: 'approve'; readonly by: string; readonly wave: string; readonly id: Digest }
  | { readonly kind: 'abort'; readonly by: string; readonly why: string }
  | { readonly kind: 'undo'; readonly by: string; readonly why: string }
