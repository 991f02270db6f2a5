import { amountOf } from './amount.ts'
import type { RolloutSpec, RolloutState } from './types.ts'
import { ruleOf } from './waves.ts'

/** What a site takes beside its soak, until a wave that is through shows it. */
const FIRST_GUESS_MS = 5 * 60_000

/**
 * When a rollout may be through: each wave in as many goes as its places ask for, at the pace of the waves that are. An estimate, of
 * sites that are there. `left`: sites still to change, by index of the wave. null: somebody must say yes first, or it does not run.
 */
export function etaOf(
  spec: RolloutSpec,
  state: RolloutState,
  left: readonly number[],
  targeted: readonly number[],
  nowMs: number,
): number | null {
  if (state.phase !== 'Progressing' || left.every((sites) => sites === 0)) return null
  const goesOf = (index: number, sites: number): number => {
    const rule = ruleOf(spec.policy, state.waves[index] ?? { policyWave: 0 })
    return Math.ceil(sites / amountOf(rule.maxConcurrent, targeted[index] ?? 0))
  }
  const paces = state.waves.flatMap((wave, index) => {
    const { startedAtMs, passedAtMs } = wave
    const goes = goesOf(index, targeted[index] ?? 0)
    if (wave.state !== 'passed' || startedAtMs === undefined || passedAtMs === undefined || goes === 0) return []
    return [Math.max(0, (passedAtMs - startedAtMs) / goes - ruleOf(spec.policy, wave).soakMs)]
  })
  const paceMs = paces.length === 0 ? FIRST_GUESS_MS : paces.reduce((sum, ms) => sum + ms, 0) / paces.length
  let leftMs = 0
  for (const [index, wave] of state.waves.entries()) {
    const sites = left[index] ?? 0
    const rule = ruleOf(spec.policy, wave)
    const isOpen = wave.state === 'pending' || wave.state === 'active'
    if (sites > 0 && isOpen && rule.approval !== null && state.approvals[wave.name] === undefined) return null
    leftMs += goesOf(index, sites) * (rule.soakMs + paceMs)
  }
  return Math.round(nowMs + leftMs)
}
