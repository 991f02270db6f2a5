import type { Waiting } from '../model/state.ts'
import { amountOf } from './amount.ts'
import type { RolloutWorld } from './types.ts'

/**
 * `Fleet.budget` in one tick: sites counted once, over all rollouts. Broken are those that a current map broke: what a superseded
 * one left behind does not count, or the newer map, which is its cure, would stop at its own canary.
 */
export interface FleetBudget {
  readonly changing: Set<string>
  readonly broken: Set<string>
  readonly maxChanging: number
  readonly maxBroken: number
}

export function openBudget(world: RolloutWorld): FleetBudget {
  const { changingSites, brokenSites } = world.budget
  return {
    changing: new Set(),
    broken: new Set(),
    maxChanging: changingSites === null ? Infinity : amountOf(changingSites, world.fleetSites),
    maxBroken: brokenSites === null ? Infinity : amountOf(brokenSites, world.fleetSites),
  }
}

/** Why this site may not start to change; null: it may. A site that is broken already may: the change may be its cure. */
export function overBudget(budget: FleetBudget, site: string): Waiting | null {
  if (budget.broken.size >= budget.maxBroken && !budget.broken.has(site))
    return { reason: 'Budget', detail: `brokenSites ${budget.broken.size} of ${budget.maxBroken}` }
  if (budget.changing.size >= budget.maxChanging && !budget.changing.has(site))
    return { reason: 'Budget', detail: `changingSites ${budget.changing.size} of ${budget.maxChanging}` }
  return null
}
