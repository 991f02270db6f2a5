import { Fault } from '../model/fault.ts'
import type { RolloutDecision, RolloutWorld } from './types.ts'

/**
 * Who may move now, and why the others wait: one decision an entry of `world.rollouts`, in that order. Pure; call it after every
 * change and at the least `nextAtMs`. Store `state` and `withdraw` before publishing the grants.
 */
export function decide(world: RolloutWorld): readonly RolloutDecision[] {
  throw new Fault('Unexpected', `the rollout engine is not in yet (${world.rollouts.length} rollouts)`)
}
