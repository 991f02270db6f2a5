import type { Digest } from './digest.ts'
import type { ObjectRef } from './object.ts'
import type { HealthState, SyncState, Waiting } from './state.ts'

/** Orders the manifests of one site. Epoch first: only `hub recover` raises it. */
export interface Generation {
  readonly epoch: number
  readonly counter: number
}

export function compareGenerations(a: Generation, b: Generation): number {
  return a.epoch - b.epoch || a.counter - b.counter
}

export function sameGeneration(a: Generation, b: Generation): boolean {
  return a.epoch === b.epoch && a.counter === b.counter
}

/** A digest and since when (ms of the site's clock). */
export interface Stamped {
  readonly digest: Digest
  readonly atMs: number
}

/** What a site saw of one workload; the latest replaces the earlier ones. Level, not event. */
export interface WorkloadObservation {
  readonly workload: string
  /** Of the entry this is about: an answer about an older one says nothing about this one. */
  readonly since: Generation
  /** Five facts kept apart. */
  readonly desired: Stamped | null
  readonly received: Stamped | null
  readonly staged: Stamped | null
  readonly applied: Stamped | null
  readonly healthy: Stamped | null
  readonly sync: SyncState
  readonly waiting?: Waiting
  readonly health: HealthState
  /** Unbroken, by the site's monotonic clock, restarted by a reboot, read at or after what apply returned. 0 when not healthy now. */
  readonly healthyForMs: number
  readonly unhealthyMs: number
  /** Healthy to unhealthy changes since `since`. */
  readonly transitions: number
  /** Workload began to change at the site for this `since`: past the point where a permit matters. */
  readonly begun: boolean
  /** Set when the site gave up on this release: a fault that needs a new desired state. */
  readonly failure?: { readonly reason: string; readonly message: string }
  /** At most 20, worst first. */
  readonly objects: readonly ObjectReport[]
  readonly counts: {
    readonly objects: number
    readonly ready: number
    readonly drifted: number
    readonly pruned: number
  }
}

/** Only objects that are not fine, or that drifted, conflict, or wait. */
export interface ObjectReport {
  readonly ref: ObjectRef
  readonly sync: SyncState
  readonly health: HealthState
  readonly reason: string
  readonly message: string
}
