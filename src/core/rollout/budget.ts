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

/** May this site not start to change? One that is broken already may: the change may be its cure. */
export function isOverBudget(budget: FleetBudget, site: string): boolean {
  if (budget.broken.size >= budget.maxBroken && !budget.broken.has(site)) return true
  // A site that changes already makes the set no larger; where going back has made it too large, even that waits.
  const room = budget.maxChanging - budget.changing.size
  return budget.changing.has(site) ? room < 0 : room <= 0
}

/** What `isOverBudget` says to the sites it stops. */
export function budgetReason({ broken, maxBroken, changing, maxChanging }: FleetBudget): Waiting {
  return broken.size >= maxBroken
    ? { reason: 'Budget', detail: `brokenSites ${broken.size} of ${maxBroken}` }
    : { reason: 'Budget', detail: `changingSites ${changing.size} of ${maxChanging}` }
}
