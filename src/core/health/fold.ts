/** Many objects' health as one workload's. */
import { compareRefs, type ObjectRef } from '../model/object.ts'
import { type HealthState, worstHealth } from '../model/state.ts'
import type { ObjectHealth } from './types.ts'

export interface ReadObject {
  readonly ref: ObjectRef
  readonly health: ObjectHealth
}

export interface FoldedHealth {
  readonly health: HealthState
  /** Of the worst object; empty where all are healthy. */
  readonly reason: string
  readonly message: string
  /** The objects that are not healthy, worst first, at most MAX_REASONS. */
  readonly worst: readonly ReadObject[]
  readonly counts: { readonly objects: number; readonly ready: number }
}

/** As many as an observation carries to the hub. */
export const MAX_REASONS = 20

/** A workload without objects is healthy: there is nothing that could be ill. Order of the input does not matter. */
export function foldHealth(objects: readonly ReadObject[]): FoldedHealth {
  const ill = objects.filter(({ health }) => health.health !== 'Healthy').toSorted(worstFirst)
  const [first] = ill
  return {
    health: first?.health.health ?? 'Healthy',
    reason: first?.health.reason ?? '',
    message: first?.health.message ?? '',
    worst: ill.slice(0, MAX_REASONS),
    counts: { objects: objects.length, ready: objects.length - ill.length },
  }
}

/** By state, then those that gave up before those that only lag, then by name so that the order is the same everywhere. */
function worstFirst(a: ReadObject, b: ReadObject): number {
  const [x, y] = [a.health.health, b.health.health]
  if (x !== y) return worstHealth([x, y]) === x ? -1 : 1
  const failed = Number(b.health.kstatus === 'Failed') - Number(a.health.kstatus === 'Failed')
  return failed || compareRefs(a.ref, b.ref)
}
