import { failedReleases } from './back.ts'
import { type Draft, putSite, putState, putWave, sitesOf } from './draft.ts'
import { breachOf, type Gate, gateOf } from './gates.ts'
import type { Look } from './look.ts'
import type { WaveState } from './types.ts'
import { ruleOf } from './waves.ts'

/** Where the rollout stands after its gates were asked. */
export interface Reached {
  /** Index of the wave that runs; the number of waves where all are through. */
  readonly active: number
  /** What the running wave's gate says; null where none runs. */
  readonly gate: Gate | null
}

/** Pause or go back where the policy has failed. */
export function judgeFailures(draft: Draft, nowMs: number): void {
  const { phase } = draft.state
  if (phase !== 'Progressing' && phase !== 'Paused' && phase !== 'Completed') return
  const active = activeWave(draft.state.waves)
  const why = breachOf(draft, active)
  if (why === null) return
  // One site that returns late and fails must not take a whole fleet back from what it runs well: somebody looks first.
  const isThrough = active === draft.state.waves.length
  if (draft.spec.policy.onFailure === 'Rollback' && !isThrough) {
    const withdrew = [...new Set([...(draft.state.withdrew ?? []), ...failedReleases(draft)])]
    putState(draft, { phase: 'RolledBack', endedAtMs: nowMs, withdrew, ended: { kind: 'failure', by: 'policy', why } })
  } else if (phase !== 'Paused') {
    putState(draft, { phase: 'Paused', paused: { by: 'policy', why, atMs: nowMs } })
  }
}

/** Pass the waves that may be passed, and open the next. `stay`: a newer map waits, so no further wave opens. */
export function passWaves(draft: Draft, look: Look, nowMs: number, stay: boolean): Reached {
  let active = activeWave(draft.state.waves)
  if (draft.state.phase === 'Completed') return { active: draft.state.waves.length, gate: null }
  if (draft.state.phase !== 'Progressing') return { active, gate: null }
  for (; active < draft.state.waves.length; active = activeWave(draft.state.waves)) {
    const wave = draft.state.waves[active]
    if (wave === undefined) break
    if (wave.state === 'pending') {
      if (stay && active > 0) return { active: active - 1, gate: null }
      putWave(draft, active, { ...wave, state: 'active', startedAtMs: nowMs })
    }
    const gate = gateOf(draft, active, look)
    if (gate.is === 'running' || gate.is === 'kept') {
      noteShortage(draft, active, gate, nowMs)
      return { active, gate }
    }
    leave(draft, active, gate, nowMs)
  }
  putState(draft, { phase: 'Completed', endedAtMs: nowMs })
  return { active, gate: null }
}

/** The first wave that is not through; the number of waves where all are. */
export function activeWave(waves: readonly WaveState[]): number {
  const index = waves.findIndex((wave) => wave.state === 'pending' || wave.state === 'active')
  return index < 0 ? waves.length : index
}

/** What the rollout took back, or found withdrawn by somebody else, is written down: readmitting it begins the rollout anew. */
export function noteWithdrawn(draft: Draft, withdrawn: ReadonlySet<string>): void {
  if (withdrawn.size === 0 || draft.state.phase === 'RolledBack') return
  const known = new Set(draft.state.withdrew ?? [])
  const found = [...new Set(draft.spec.targets.values())].filter(
    (digest) => withdrawn.has(digest) && !known.has(digest),
  )
  if (found.length > 0) putState(draft, { withdrew: [...known, ...found] })
}

/** Resume in spite of failures: they stay broken and count no more. */
export function acceptFailures(draft: Draft): void {
  for (const [site, place] of sitesOf(draft)) {
    if (place.phase !== 'failed' || place.failure === undefined || place.failure.accepted === true) continue
    putSite(draft, site, { ...place, failure: { ...place.failure, accepted: true } })
  }
}

function noteShortage(draft: Draft, index: number, gate: Gate, nowMs: number): void {
  const wave = draft.state.waves[index]
  if (wave === undefined) return
  const isShort = gate.is === 'kept' && gate.short
  if (isShort === (wave.shortSinceMs !== undefined)) return
  // Who comes back ends the shortage: a yes to that one is none to the next.
  const { shortSinceMs: _ended, ...rest } = wave
  putWave(draft, index, isShort ? { ...wave, shortSinceMs: nowMs } : rest)
}

function leave(draft: Draft, index: number, gate: Gate & { is: 'passed' | 'skipped' }, nowMs: number): void {
  const wave = draft.state.waves[index]
  if (wave === undefined) return
  const by = gate.is === 'passed' ? gate.by : undefined
  putWave(draft, index, {
    ...wave,
    state: gate.is,
    passedAtMs: nowMs,
    ...(by === undefined ? {} : { approvedBy: by }),
  })
  const next = draft.state.waves[index + 1]
  if (gate.is !== 'skipped' || !gate.carry || next === undefined) return
  const soakMs = Math.max(wave.soakMs ?? 0, ruleOf(draft.spec.policy, wave).soakMs, next.soakMs ?? 0)
  putWave(draft, index + 1, { ...next, soakMs })
}
