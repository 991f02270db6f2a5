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
  /** `observe`: is told its content with a permit that is already over, changes nothing and is no evidence. */
  readonly mode: 'enforce' | 'observe'
  /** The maintenance window, where one applies to all that it runs; absent: always open. */
  readonly window?: WindowFact
}

/** Whether changes may begin now. Times are null where not foreseeable. */
export interface WindowFact {
  readonly open: boolean
  readonly opensAtMs: number | null
  /** End of the window that is open, or opens next. */
  readonly closesAtMs?: number | null
  /** The window that keeps it, and the zone in which people of the site read the time. */
  readonly by?: string
  readonly timeZone?: string
  /** Teams whose yes would open it now, one of each; absent: nobody's would. */
  readonly breakGlass?: readonly string[]
}

/** What the hub told a site about one workload and what the site last said of it. */
export interface SiteWorkload {
  /** What the signed manifest names now; null: nothing was ever installed (the site is provisioned). */
  readonly published: Digest | null
  readonly since: Generation | null
  /** End of the permit that was published with it: a site that has not begun by then may not begin. */
  readonly startByMs: number | null
  /** Teams whose yes what is published goes by. Absent: nobody's. */
  readonly glass?: readonly string[]
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
  | 'waiting' // not told to move yet, or its permit ended before it began
  | 'granted' // told to move, not seen to begin
  | 'changing' // begun, not yet healthy through the soak
  | 'done' // evidence: healthy through the soak at this entry's since and release
  | 'unchanged' // had the target release when the rollout began: no evidence
  | 'failed'
  | 'rolledBack' // told to go back: `back`

/** A site's place in one rollout; kept by the hub, only for targeted sites. */
export interface SiteProgress {
  readonly wave: number
  readonly phase: SitePhase
  /** What it had when the rollout began. */
  readonly from: Digest | null
  readonly grantedAtMs?: number
  readonly begunAtMs?: number
  /** `accepted`: an operator resumed in spite of it; it is still broken and no longer counts towards `maxFailures`. */
  readonly failure?: {
    readonly reason: string
    readonly message: string
    readonly atMs: number
    readonly accepted?: true
  }
  /** It runs what a superseded rollout gave it: first in its wave. */
  readonly onOld?: true
  /** Nothing of any workload was installed when it was first seen: provisioned outside waves. */
  readonly fresh?: true
  /** Provisioned with the target itself: no slot, no evidence. */
  readonly provisioned?: true
  /** Was done and is seen broken since: holds no slot, counts as unavailable. */
  readonly regressed?: true
  /** `progressDeadline` runs only while the site can act and is not healthy: run so far, and since when it runs (null: stopped). */
  readonly deadline?: { readonly ranMs: number; readonly sinceMs: number | null }
  /** Where a rolled-back or undone site was sent; absent: there is nothing good to go back to. */
  readonly back?: Digest
  /** Seen healthy where it was sent back to, or never begun with nothing to go back to: no longer watched. */
  readonly settled?: true
  /**
   * What it was granted and was not seen to begin is being taken back: `back` publishes what it had; `close` ends the permit only,
   * so that a site that did begin meanwhile does not go there and back again.
   */
  readonly revoke?: 'back' | 'close'
}

export interface WaveState {
  /** The policy's name for it; with `by`, `name/value`. */
  readonly name: string
  /** Index in `policy.waves`; past its end: the implicit last wave of sites that are in no other. */
  readonly policyWave: number
  readonly state: 'pending' | 'active' | 'passed' | 'skipped'
  readonly startedAtMs?: number
  readonly passedAtMs?: number
  /** Who let it pass where evidence alone did not. */
  readonly approvedBy?: string
  /** Since when nothing but missing evidence keeps it: an approval given after this stands in for the evidence. */
  readonly shortSinceMs?: number
  /** Longer than the policy's: the soak of empty waves before it, whose place its canary takes. */
  readonly soakMs?: number
}

export interface RolloutState {
  readonly id: Digest
  readonly phase: 'Progressing' | 'Paused' | 'Completed' | 'RolledBack' | 'Aborted' | 'Superseded'
  readonly waves: readonly WaveState[]
  readonly sites: ReadonlyMap<string, SiteProgress>
  readonly paused?: { readonly by: string; readonly why: string; readonly atMs: number }
  readonly endedAtMs?: number
  /** Who ended it and why: abort, undo, or the policy (`by: 'policy'`). */
  readonly ended?: {
    readonly kind: 'abort' | 'undo' | 'failure'
    readonly by: string
    readonly why: string
    /** Each site that had begun has been told where to go back to. */
    readonly swept?: true
  }
  /** What it withdrew or found withdrawn; once one of these is readmitted the rollout begins anew. */
  readonly withdrew?: readonly Digest[]
  /** True where sites already ran a completed release of this workload when this rollout began (else: its very first). */
  readonly established: boolean
  /** Approvals by wave name, each naming this rollout's id. */
  readonly approvals: Readonly<Record<string, { readonly by: string; readonly atMs: number }>>
  /** Teams for which somebody broke the glass: until then windows that yield to them keep nothing of this rollout. One a team. */
  readonly glass?: readonly GlassBroken[]
}

export interface GlassBroken {
  readonly team: string
  readonly by: string
  readonly why: string
  readonly atMs: number
  /** From then on the windows hold again. */
  readonly untilMs: number
}

export interface RolloutWorld {
  readonly nowMs: number
  readonly budget: { readonly changingSites: Amount | null; readonly brokenSites: Amount | null }
  readonly fleetSites: number
  /** One entry a workload, completed ones too (dependencies, provisioning and returning sites ask them). */
  readonly rollouts: readonly RolloutEntry[]
  site(name: string): SiteFacts | undefined
  /** (site, workload). */
  at(site: string, workload: string): SiteWorkload | undefined
  /** The maintenance windows of a workload at a site but for those that these teams opened; undefined: none applies. */
  window?(site: string, workload: string, opened: readonly GlassBroken[]): WindowFact | undefined
  /** False: the fleet demands a release signer's word, and there is none for this release at this site. Absent: it demands none. */
  signed?(site: string, workload: string, release: Digest): boolean
  readonly withdrawn: ReadonlySet<Digest>
  /** Last release of this workload that completed at this site, where it is not withdrawn: where a rollback or undo goes. */
  lastGood(site: string, workload: string): Digest | null
  /**
   * Sites of which facts or observations changed since the last tick. Only speeds up the watch over sites that are done:
   * absent means that any may have changed.
   */
  readonly changed?: ReadonlySet<string>
  /**
   * Git revision that the sites' labels are of. Only speeds up: while it stays the same, sites are not put into waves again.
   * Absent: they are, in every tick.
   */
  readonly revision?: string
}

export interface RolloutEntry {
  /** The map that runs: the one `state` is about. */
  readonly spec: RolloutSpec
  /** null: begins in this tick. */
  readonly state: RolloutState | null
  /**
   * Git's newest map where its id is another one; a still newer one replaces it (at most one waits). `decide` begins it as soon
   * as it may, and says so: the decision's `state.id` is then `next.id`, and from the next tick on `next` is the `spec`.
   */
  readonly next?: RolloutSpec
}

/**
 * Tell a site to move (or to go back): becomes an entry with a permit in its next generation. Level-based: given again in every
 * tick until `at(site, workload)` shows it published. Where the release is the one already published, only the permit changes.
 */
export interface Grant {
  readonly site: string
  readonly workload: string
  readonly release: Digest
  readonly startAfterMs: number
  readonly startByMs: number
  /** `renew`: the permit ended before it began. `revoke`: take back what was granted and not begun (abort, hold, supersede). */
  readonly because: 'wave' | 'provision' | 'return' | 'rollback' | 'undo' | 'renew' | 'revoke'
  /** Teams whose broken glass it goes by: their windows do not stop it once it has begun. Absent: nobody's. */
  readonly glass?: readonly string[]
}

export interface RolloutDecision {
  readonly workload: string
  /** The same object as was given where nothing changed: then there is nothing to store. */
  readonly state: RolloutState
  /** Final state of the rollout that this one replaced in this tick. */
  readonly superseded?: RolloutState
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
  | {
      readonly kind: 'breakGlass'
      readonly by: string
      readonly team: string
      readonly why: string
      readonly untilMs: number
      readonly id: Digest
    }
  | { readonly kind: 'abort'; readonly by: string; readonly why: string }
  | { readonly kind: 'undo'; readonly by: string; readonly why: string }
  /** `digest`: that one only. */
  | { readonly kind: 'readmit'; readonly by: string; readonly digest?: Digest }

/** What an operator's word does: a new state, and what to add to or strike from the withdrawn list; or why not. */
export type CommandOutcome =
  | {
      readonly ok: true
      readonly state: RolloutState
      readonly withdraw: readonly { readonly digest: Digest; readonly reason: string }[]
      readonly readmit: readonly Digest[]
    }
  | { readonly ok: false; readonly because: string }
