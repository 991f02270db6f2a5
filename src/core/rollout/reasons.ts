import type { Digest } from '../model/digest.ts'
import type { Waiting } from '../model/state.ts'
import { withdrawnReason } from './look.ts'
import type { Reached } from './progress.ts'
import { clockText } from './standing.ts'
import type { RolloutSpec, RolloutState } from './types.ts'
import type { ReasonOf } from './waiting-view.ts'
import type { Found } from './watch.ts'

const WAVE_NOT_REACHED: Waiting = { reason: 'WaveNotReached' }

/** What follows from a site's place alone, for sites that had no closer look in this tick. */
export function reasonsOf(
  spec: RolloutSpec,
  state: RolloutState,
  reached: Reached,
  shared: Waiting | null,
  gone: ReadonlySet<Digest>,
): ReasonOf {
  const stopped = stoppedReason(state)
  const kept = reached.gate?.is === 'kept' ? reached.gate.because : null
  const gate = kept?.reason === 'Withdrawn' ? null : kept
  return (site, place) => {
    if (place.phase !== 'waiting' && place.phase !== 'rolledBack') return null
    const target = spec.targets.get(site)
    if (target !== undefined && gone.has(target)) return withdrawnReason(target)
    if (stopped !== null) return stopped
    if (place.wave <= reached.active) return shared
    return gate !== null && place.wave === reached.active + 1 ? gate : WAVE_NOT_REACHED
  }
}

/** Why the rollout as a whole does not go on; null: it goes on, or is through. */
export function wholeReason(state: RolloutState, reached: Reached, found: Found): Waiting | null {
  const stopped = stoppedReason(state)
  if (stopped !== null) return stopped
  if (state.phase !== 'Progressing') return null
  if (reached.gate?.is === 'kept') return reached.gate.because
  // A site of the running wave that something keeps says more than one that soaks.
  if (found.shared !== null) return found.shared
  for (const waiting of found.waiting.values()) if (waiting.reason === 'Dependency') return waiting
  const until = found.soakingUntilMs
  if (until !== null) return { reason: 'Soaking', detail: `until ${clockText(until)}`, nextAtMs: until }
  return null
}

/** Who stopped it; null: nobody. */
export function stoppedReason(state: RolloutState): Waiting | null {
  const { phase, paused, ended } = state
  if (phase === 'Paused') return { reason: 'Paused', detail: `${paused?.by ?? 'policy'}, ${paused?.why ?? ''}` }
  if (phase === 'Aborted' || phase === 'RolledBack')
    return { reason: 'Paused', detail: `${ended?.by ?? 'policy'}, ${ended?.kind ?? phase}: ${ended?.why ?? ''}` }
  return null
}
