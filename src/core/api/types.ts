/** What the hub tells people and programs over HTTP. Adding is minor; `formatVersion` names the shape. */
import type { JsonObject } from '../model/json.ts'
import type { Problem } from '../model/problem.ts'
import type { HealthState, LinkState, SyncState, Waiting } from '../model/state.ts'
import type { ObjectReport } from '../model/observation.ts'
import type { LabelSelector } from '../model/selector.ts'

export const API_FORMAT = 1

export interface SourceView {
  readonly url: string
  readonly branch: string
  /** Last good revision: what everything is decided on. */
  readonly revision: string | null
  /** Tip that was seen, where it is not the last good revision. */
  readonly seen: string | null
  readonly message: string
  readonly checkedAtMs: number
  readonly fault: { readonly reason: string; readonly message: string; readonly sinceMs: number } | null
  readonly problems: readonly Problem[]
}

export interface StatusView {
  readonly formatVersion: number
  readonly asOfMs: number
  readonly fleet: string
  readonly version: string
  readonly source: SourceView
  readonly sites: {
    readonly total: number
    readonly link: Readonly<Record<LinkState, number>>
    readonly sync: Readonly<Record<SyncState, number>>
    readonly health: Readonly<Record<HealthState, number>>
  }
  readonly rollouts: readonly RolloutView[]
  readonly brake: { readonly digest: string; readonly message: string } | null
  /** Grouped by identical cause. */
  readonly needsYou: readonly {
    readonly message: string
    readonly count: number
    readonly sites: readonly string[]
    readonly next: string
  }[]
}

export interface SiteView {
  readonly name: string
  readonly siteId: string | null
  readonly labels: Readonly<Record<string, string>>
  readonly link: LinkState
  readonly sync: SyncState
  readonly health: HealthState
  readonly lastContactMs: number | null
  readonly dueAtMs: number | null
  readonly agent: string | null
  readonly revision: string | null
  readonly listed: boolean
  readonly mode: 'enforce' | 'observe'
  readonly hold: { readonly reason: string; readonly by: string; readonly untilMs: number | null } | null
  readonly workloads: readonly WorkloadAtSite[]
  readonly conditions: readonly {
    readonly type: string
    readonly reason: string
    readonly message: string
    readonly sinceMs: number
  }[]
}

export interface WorkloadAtSite {
  readonly workload: string
  /** What Git says, what the hub told the site, what the site says of itself. */
  readonly target: string | null
  readonly desired: string | null
  readonly received: string | null
  readonly staged: string | null
  readonly applied: string | null
  readonly healthy: string | null
  readonly sync: SyncState
  readonly health: HealthState
  readonly waiting: Waiting | null
  readonly failure: { readonly reason: string; readonly message: string } | null
  readonly objects: readonly ObjectReport[]
  readonly atMs: number | null
}

export interface WorkloadView {
  readonly name: string
  readonly team: string | null
  readonly policy: string
  readonly sites: number
  readonly synced: number
  readonly healthy: number
  readonly releases: number
  readonly heldBy: readonly Problem[]
}

export interface RolloutView {
  readonly workload: string
  readonly id: string
  readonly revision: string
  readonly policy: string
  readonly phase: 'Progressing' | 'Paused' | 'Completed' | 'RolledBack' | 'Aborted' | 'Superseded' | 'Waiting'
  readonly wave: { readonly index: number; readonly name: string; readonly of: number } | null
  readonly waves: readonly {
    readonly name: string
    readonly state: string
    readonly sites: number
    readonly done: number
    readonly waiting: Waiting | null
  }[]
  readonly counts: {
    readonly total: number
    readonly done: number
    readonly changing: number
    readonly failed: number
    readonly excused: number
    readonly waiting: number
  }
  readonly waiting: Waiting | null
  readonly paused: { readonly by: string; readonly why: string; readonly atMs: number } | null
  readonly startedAtMs: number
  readonly endedAtMs: number | null
  /** When it may be through, by the pace so far; null: nobody can say. */
  readonly etaMs: number | null
}

/** One that runs, or one that is over: what was counted of that is told to those who read the whole fleet. */
export interface RolloutOfHistory extends Omit<RolloutView, 'counts'> {
  readonly counts: RolloutView['counts'] | null
}

/** One numbered cause; `flotilla why` prints them in order. */
export interface Cause {
  readonly reason: string
  readonly subject: string
  readonly message: string
  readonly sinceMs: number | null
  readonly nextAtMs: number | null
}

export interface WhyView {
  readonly formatVersion: number
  readonly asOfMs: number
  readonly subject: string
  /** True: all is as desired. */
  readonly settled: boolean
  readonly summary: string
  readonly causes: readonly Cause[]
  readonly nextDecision: { readonly atMs: number; readonly what: string } | null
}

export interface EventView {
  readonly atMs: number
  readonly kind: string
  readonly subject: string
  readonly message: string
}

export interface FreezeView {
  readonly id: string
  /** null: every site. */
  readonly selector: LabelSelector | null
  readonly reason: string
  readonly by: string
  readonly untilMs: number
  readonly sites: number
}

export interface AuditView {
  readonly seq: number
  readonly atMs: number
  readonly actor: string
  readonly action: string
  readonly subject: string
  readonly detail: JsonObject
  /** Over the hash before and this record: a chain. */
  readonly hash: string
}

/** The newest record that the hub's key has signed for. */
export interface AuditHead {
  readonly seq: number
  readonly hash: string
  readonly atMs: number
  readonly keyid: string
  readonly sig: string
}

/** Every list: filtered, counted and paged by the server. */
export interface Page<T> {
  readonly formatVersion: number
  readonly asOfMs: number
  readonly total: number
  readonly items: readonly T[]
  readonly next: string | null
}
