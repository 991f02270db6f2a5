import type { HealthState } from '../model/state.ts'

/** kstatus' words for one object. */
export type KStatus = 'Current' | 'InProgress' | 'Failed' | 'Terminating' | 'NotFound' | 'Unknown'

/** One object read: as kstatus says it, as a delivery engine says it, and the worse of both, which is what gates take. */
export interface ObjectHealth {
  readonly kstatus: KStatus
  /** The standard conditions that kstatus computes (Reconciling, Stalled). */
  readonly conditions: readonly {
    readonly type: string
    readonly status: 'True' | 'False'
    readonly reason: string
    readonly message: string
  }[]
  readonly engine: HealthState
  /** The worse of both. */
  readonly health: HealthState
  /** Why it is not healthy, for people: a reason word and a sentence. */
  readonly reason: string
  readonly message: string
}
