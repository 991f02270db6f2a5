/**
 * What people say of order by a number: Argo CD's sync waves, and the hooks of Argo CD and Helm that come before and after the rest.
 * Lower first; deletion goes the other way round.
 */
import type { Manifest } from '../model/object.ts'

const SYNC_WAVE = 'argocd.argoproj.io/sync-wave'
const HOOK_WEIGHT = 'helm.sh/hook-weight'
/** Hooks of any other name say nothing about order here. */
const BEFORE = new Set(['PreSync', 'pre-install', 'pre-upgrade'])
const AFTER = new Set(['PostSync', 'post-install', 'post-upgrade'])
/** A number has six digits at most, so that a phase outweighs it. */
const NUMBER = /^[-+]?\d{1,6}$/
const PHASE = 10_000_000

export function waveOf(manifest: Manifest | undefined): number {
  const annotations = manifest?.metadata.annotations
  if (annotations === undefined) return 0
  const hooks = [annotations['argocd.argoproj.io/hook'], annotations['helm.sh/hook']]
    .flatMap((text) => text?.split(',') ?? [])
    .map((hook) => hook.trim())
  const phase = hooks.some((hook) => BEFORE.has(hook)) ? -1 : hooks.some((hook) => AFTER.has(hook)) ? 1 : 0
  // A weight orders hooks among each other, and nothing else.
  const text = annotations[SYNC_WAVE] ?? (hooks.length > 0 ? annotations[HOOK_WEIGHT] : undefined)
  return phase * PHASE + (text !== undefined && NUMBER.test(text) ? Number(text) : 0)
}

/** By key: every key of a lower wave. Empty where there is one wave only. */
export function lowerWaves(waves: ReadonlyMap<string, number>): ReadonlyMap<string, readonly string[]> {
  const byWave = new Map<number, string[]>()
  for (const [key, wave] of waves) byWave.set(wave, [...(byWave.get(wave) ?? []), key])
  const lower = new Map<string, readonly string[]>()
  if (byWave.size < 2) return lower
  const below: string[] = []
  for (const wave of [...byWave.keys()].toSorted((a, b) => a - b)) {
    const keys = byWave.get(wave) ?? []
    const needed = [...below]
    for (const key of keys) lower.set(key, needed)
    below.push(...keys)
  }
  return lower
}
