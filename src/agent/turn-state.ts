/** What one site remembers between turns, in memory: all of it can be lost and is found again. */
import type { Difference } from '../core/diff/types.ts'
import type { WorkloadObservation } from '../core/model/observation.ts'
import type { SiteCondition } from '../core/protocol/messages.ts'
import type { Resting } from '../core/protocol/ports.ts'
import { createAttempts, type Attempts } from './attempts.ts'
import { isGood, type Soak } from './soak.ts'

export interface TurnState {
  readonly attempts: Attempts
  /** refKey → `resourceVersion digest` that was found equal. */
  readonly verified: Map<string, string>
  /** Found by a dry-run. */
  readonly suspected: Map<string, readonly Difference[]>
  readonly soaks: Map<string, Soak>
  readonly observations: Map<string, WorkloadObservation>
  /** Deletions of a workload since its entry's `since`. */
  readonly pruned: Map<string, { readonly since: string; readonly count: number }>
  /** Last look at an object's pods. */
  readonly looks: Map<string, { readonly atMs: number; readonly because: string | undefined }>
  readonly conditions: Map<string, SiteCondition>
  throttledUntilMs: number
  /** Monotonic time of the last sign of life within a turn. */
  tickMs: number
  /** Set by the loop when the process stood still. */
  broken: boolean
  /** How this site waits for its next exchange; null: it never had one. */
  resting: Resting | null
  readonly counts: Counts
}

export interface Counts {
  turns: number
  writes: number
  deletes: number
  failures: number
  adopted: number
  corrected: number
  syncs: number
  syncFailures: number
  bytesUp: number
  bytesDown: number
  refused: number
  dryRuns: number
}

export function createTurnState(random: () => number): TurnState {
  return {
    attempts: createAttempts(random),
    verified: new Map(),
    suspected: new Map(),
    soaks: new Map(),
    observations: new Map(),
    pruned: new Map(),
    looks: new Map(),
    conditions: new Map(),
    throttledUntilMs: 0,
    tickMs: 0,
    broken: false,
    resting: null,
    counts: {
      turns: 0,
      writes: 0,
      deletes: 0,
      failures: 0,
      adopted: 0,
      corrected: 0,
      syncs: 0,
      syncFailures: 0,
      bytesUp: 0,
      bytesDown: 0,
      refused: 0,
      dryRuns: 0,
    },
  }
}

/** Conditions are levels: the same one keeps the time since when it holds. */
export function setCondition(
  state: TurnState,
  type: SiteCondition['type'],
  fault: Pick<SiteCondition, 'reason' | 'message' | 'deletions'> | null,
  nowMs: number,
): void {
  const before = state.conditions.get(type)
  if (fault === null) state.conditions.delete(type)
  else {
    const sinceMs = before?.reason === fault.reason ? before.sinceMs : nowMs
    const { reason, message, deletions } = fault
    state.conditions.set(type, { type, reason, message, sinceMs, ...(deletions === undefined ? {} : { deletions }) })
  }
}

/** Observations as of now: a soak grows between turns, as long as the cluster is heard of. `untilMs`: monotonic. */
export function agedObservations(state: TurnState, untilMs: number): ReadonlyMap<string, WorkloadObservation> {
  return new Map(
    [...state.observations].map(([name, observation]) => {
      const since = state.soaks.get(name)?.healthySinceMs
      if (since === undefined || since === null || !isGood(observation.health)) return [name, observation]
      return [name, { ...observation, healthyForMs: Math.max(observation.healthyForMs, Math.floor(untilMs - since)) }]
    }),
  )
}
