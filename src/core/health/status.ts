import type { HealthState } from '../model/state.ts'
import type { KStatus, ObjectHealth } from './types.ts'

/** What kstatus says of one object, with the conditions it computes. Reason and message are empty where all is well. */
export interface Status {
  readonly kstatus: KStatus
  readonly conditions: ObjectHealth['conditions']
  readonly reason: string
  readonly message: string
}

/** What the delivery engine's reading says of one object. */
export interface EngineHealth {
  readonly state: HealthState
  /** A reason word where the object itself gives one, else ''. */
  readonly reason: string
  readonly message: string
}

export const CURRENT: Status = { kstatus: 'Current', conditions: [], reason: '', message: '' }

export function inProgress(reason: string, message: string): Status {
  return {
    kstatus: 'InProgress',
    conditions: [{ type: 'Reconciling', status: 'True', reason, message }],
    reason,
    message,
  }
}

export function failed(reason: string, message: string): Status {
  return { kstatus: 'Failed', conditions: [{ type: 'Stalled', status: 'True', reason, message }], reason, message }
}
