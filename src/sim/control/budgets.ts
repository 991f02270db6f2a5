/** Disruption budgets: how many of their pods may go now. */
import type { JsonObject } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'
import { budgetOf } from '../pod-verbs.ts'
import { condition, writeStatus, type Desk } from './desk.ts'

export const BUDGET = 'policy/PodDisruptionBudget'

export function reconcileBudget(desk: Desk, budget: Manifest): void {
  const { expectedPods, currentHealthy, desiredHealthy } = budgetOf(desk.server, budget)
  const disruptionsAllowed = Math.max(0, currentHealthy - desiredHealthy)
  const allowed: JsonObject =
    disruptionsAllowed > 0
      ? { status: 'True', reason: 'SufficientPods' }
      : { status: 'False', reason: 'InsufficientPods' }
  const before = condition(budget, 'DisruptionAllowed')
  const lastTransitionTime =
    before?.['status'] === allowed['status'] ? before?.['lastTransitionTime'] : desk.server.now()
  const observedGeneration = budget.metadata.generation ?? 1
  writeStatus(desk, budget, {
    observedGeneration,
    expectedPods,
    currentHealthy,
    desiredHealthy,
    disruptionsAllowed,
    conditions: [{ type: 'DisruptionAllowed', ...allowed, message: '', observedGeneration, lastTransitionTime }],
  })
}
