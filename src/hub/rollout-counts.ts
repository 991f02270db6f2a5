/** What is counted of a rollout's places, once for every state it has been in: nobody counts ten thousand places to see the same. */
import type { RolloutState, SiteProgress } from '../core/rollout/types.ts'

interface RolloutCounts {
  readonly phases: Readonly<Record<SiteProgress['phase'], number>>
  /** By index of the wave: sites that it changes, and those of them that are done. */
  readonly waves: readonly { readonly sites: number; readonly done: number }[]
  /** Sites by the reason that they fail for. */
  readonly failures: ReadonlyMap<string, readonly string[]>
}

/** A state never changes once it was stored. */
const COUNTED = new WeakMap<RolloutState, RolloutCounts>()

export function countsOf(state: RolloutState): RolloutCounts {
  const known = COUNTED.get(state)
  if (known !== undefined) return known
  const phases = { waiting: 0, granted: 0, changing: 0, done: 0, unchanged: 0, failed: 0, rolledBack: 0 }
  const waves = state.waves.map(() => ({ sites: 0, done: 0 }))
  const failures = new Map<string, string[]>()
  for (const [site, { wave: index, phase, failure }] of state.sites) {
    phases[phase] += 1
    const wave = waves[index]
    if (wave !== undefined && phase !== 'unchanged') {
      wave.sites += 1
      if (phase === 'done') wave.done += 1
    }
    if (failure === undefined) continue
    const sites = failures.get(failure.reason)
    if (sites === undefined) failures.set(failure.reason, [site])
    else sites.push(site)
  }
  const counts = { phases, waves, failures }
  COUNTED.set(state, counts)
  return counts
}
