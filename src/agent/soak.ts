/** How long a workload has been healthy, by the monotonic clock and unbroken: the soak is the site's own measure. */
import type { HealthState } from '../core/model/state.ts'

export interface Soak {
  readonly release: string
  /** null: not healthy now. */
  readonly healthySinceMs: number | null
  /** Since when it was last looked at while not healthy. */
  readonly lookedAtMs: number
  readonly unhealthyMs: number
  readonly transitions: number
}

/** What a workload's own intent makes of it: suspended because Git says so is as it should be. */
export function isGood(health: HealthState): boolean {
  return health === 'Healthy' || health === 'Suspended'
}

export interface SoakInput {
  readonly release: string
  /** All of the release is applied, and health was read at or after that. */
  readonly evidence: boolean
  readonly health: HealthState
  /** Monotonic ms. */
  readonly nowMs: number
  /** After a gap that was too long nobody knows what happened in between. */
  readonly unbroken: boolean
  /** It stands still through no doing of its own: that is no time for which it was ill. */
  readonly stands: boolean
}

/** `stored`: what survived a restart, where this is the first look. */
export function soaked(
  before: Soak | undefined,
  stored: { readonly transitions: number; readonly unhealthyMs: number },
  input: SoakInput,
): Soak {
  const { release, nowMs } = input
  const good = input.evidence && isGood(input.health)
  const same = before?.release === release ? before : undefined
  const past = same ?? {
    release,
    healthySinceMs: null,
    lookedAtMs: nowMs,
    // Another release starts anew; a restart of this process does not.
    unhealthyMs: before === undefined ? stored.unhealthyMs : 0,
    transitions: before === undefined ? stored.transitions : 0,
  }
  const wasGood = past.healthySinceMs !== null
  const since = wasGood && input.unbroken ? past.healthySinceMs : nowMs
  return {
    release,
    healthySinceMs: good ? since : null,
    lookedAtMs: nowMs,
    unhealthyMs: past.unhealthyMs + (wasGood || input.stands ? 0 : nowMs - past.lookedAtMs),
    transitions: past.transitions + (wasGood && !good ? 1 : 0),
  }
}
