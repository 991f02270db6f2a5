/** What an agent tells somebody who stands at its box, with the hub away; `formatVersion` names the shape. */
import type { Generation } from '../model/observation.ts'
import type { HealthState, SyncState, Waiting } from '../model/state.ts'
import type { ObjectReport } from '../model/observation.ts'

export const BOX_FORMAT = 1

/** Times are ms of the site's own clock, but for those of the hub. */
export interface BoxView {
  readonly formatVersion: number
  readonly asOfMs: number
  readonly site: string | null
  readonly siteId: string | null
  readonly agent: {
    /** `stopped`: this is read from the store alone. */
    readonly state: 'running' | 'stopped'
    /** null: nothing runs. */
    readonly version: string | null
    /** This version made a turn and reached the hub on this store: there is no way back to the one before. */
    readonly confirmed: boolean
    readonly because: string
  }
  readonly mode: 'enforce' | 'observe'
  /** What turns act on. */
  readonly generation: Generation | null
  readonly revision: string | null
  readonly acceptedAtMs: number | null
  /** Nothing below is ever accepted. */
  readonly floor: Generation | null
  readonly hub: {
    readonly url: string | null
    /** `Unknown`: nobody is trying. */
    readonly link: 'Online' | 'Away' | 'Never' | 'Unknown'
    /** Of the site's clock; null: not in this process. */
    readonly lastExchangeMs: number | null
    /** The hub's own time, as it last signed it; kept to five minutes. */
    readonly lastWordMs: number | null
    readonly fault: { readonly reason: string; readonly message: string; readonly sinceMs: number } | null
  }
  readonly paused: BoxPause | null
  readonly conditions: readonly {
    readonly type: string
    readonly reason: string
    readonly message: string
    readonly sinceMs: number
  }[]
  readonly objects: number
  readonly workloads: readonly BoxWorkload[]
}

export interface BoxPause {
  readonly by: string
  readonly reason: string
  readonly sinceMs: number
  /** null: until somebody resumes. */
  readonly leftMs: number | null
}

export interface BoxWorkload {
  readonly workload: string
  /** What the hub says, what is here, and where `rollback` would go. */
  readonly desired: string
  readonly applied: string | null
  readonly healthy: string | null
  readonly previous: string | null
  readonly sync: SyncState
  readonly health: HealthState
  readonly waiting: Waiting | null
  readonly failure: { readonly reason: string; readonly message: string } | null
  readonly objects: readonly ObjectReport[]
  readonly rolledBack: { readonly by: string; readonly reason: string; readonly atMs: number } | null
}

/** What may be said at the box. `by` is who says so: it is kept and told to the hub. */
export type BoxWord =
  | { readonly kind: 'pause'; readonly by: string; readonly reason: string; readonly forMs: number | null }
  | { readonly kind: 'rollback'; readonly by: string; readonly reason: string; readonly workload: string }
  /** Ends the pause, or one workload's rollback. */
  | { readonly kind: 'resume'; readonly by: string; readonly workload: string | null }

/** Another version that found itself fit asks the one that runs for the store. */
export interface HandoverAsk {
  readonly version: string
  readonly holder: string
}

export interface HandoverAnswer {
  readonly granted: boolean
  readonly because: string
}
