import { Fault } from '../model/fault.ts'
import type { CommandOutcome, RolloutCommand, RolloutSpec, RolloutState } from './types.ts'

/** Apply an operator's word to a rollout. Refusals are values with their reason. */
export function command(state: RolloutState, _spec: RolloutSpec, word: RolloutCommand, _nowMs: number): CommandOutcome {
  throw new Fault('Unexpected', `the rollout engine is not in yet (${word.kind} ${state.id})`)
}
