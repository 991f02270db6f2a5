import { byUtf16 } from '../model/json.ts'
import type { RolloutPolicy, Wave } from '../model/policy.ts'
import { percentOf } from './amount.ts'
import { matches } from '../kube/selector.ts'
import type { WaveState } from './types.ts'

export type Labels = Readonly<Record<string, string>>

/** The concrete waves of a policy over these sites, and which wave each site is in. */
export interface WavePlan {
  readonly waves: readonly PlannedWave[]
  readonly waveOf: ReadonlyMap<string, number>
}

export interface PlannedWave {
  readonly name: string
  /** Index in `policy.waves`; `policy.waves.length` for sites that no wave takes. */
  readonly policyWave: number
  /** By name. */
  readonly sites: readonly string[]
}

/** Name of the wave that takes what no wave of the policy takes (FLT2108 stops such a revision; the engine loses no site). */
export const LEFTOVER_WAVE = 'others'

/**
 * Put every targeted site in exactly one wave: the first whose selector takes it and whose size has room. `by` makes one wave a
 * value, in `order`; other values after those, sites without the label last of all. By labels and names only, so that plan
 * and hub agree and the weather has no say.
 */
export function assignWaves(policy: RolloutPolicy, sites: ReadonlyMap<string, Labels>): WavePlan {
  const total = sites.size
  let left = sortedNames([...sites.keys()])
  const waves: PlannedWave[] = []
  policy.waves.forEach((wave, policyWave) => {
    const { taken, rest } = take(wave, left, sites, total)
    left = rest
    if (wave.by === null) waves.push({ name: wave.name, policyWave, sites: taken })
    else waves.push(...splitBy(wave, policyWave, taken, sites))
  })
  if (left.length > 0) waves.push({ name: LEFTOVER_WAVE, policyWave: policy.waves.length, sites: left })
  const waveOf = new Map<string, number>()
  waves.forEach((wave, index) => {
    for (const site of wave.sites) waveOf.set(site, index)
  })
  return { waves, waveOf }
}

/** The policy's wave behind a concrete one; sites that no wave takes follow the last one's rules. */
export function ruleOf(policy: RolloutPolicy, wave: Pick<WaveState, 'policyWave'>): Wave {
  const rule = policy.waves[Math.min(wave.policyWave, policy.waves.length - 1)]
  return rule ?? BARE_WAVE
}

/** A policy without any wave: one site at a time. */
const BARE_WAVE: Wave = {
  name: LEFTOVER_WAVE,
  selector: null,
  size: null,
  maxConcurrent: { count: 1 },
  soakMs: 0,
  approval: null,
  by: null,
  order: [],
}

function take(
  wave: Wave,
  left: readonly string[],
  sites: ReadonlyMap<string, Labels>,
  total: number,
): { readonly taken: readonly string[]; readonly rest: string[] } {
  const room = wave.size === null ? total : 'count' in wave.size ? wave.size.count : percentOf(wave.size.percent, total)
  const taken: string[] = []
  const rest: string[] = []
  for (const site of left) {
    const fits = wave.selector === null || matches(wave.selector, sites.get(site) ?? {})
    ;(fits && taken.length < room ? taken : rest).push(site)
  }
  return { taken, rest }
}

function splitBy(
  wave: Wave,
  policyWave: number,
  taken: readonly string[],
  sites: ReadonlyMap<string, Labels>,
): readonly PlannedWave[] {
  const key = wave.by ?? ''
  const groups = new Map<string | undefined, string[]>(wave.order.map((value) => [value, []]))
  const others = new Map<string, string[]>()
  const without: string[] = []
  for (const site of taken) {
    const value = sites.get(site)?.[key]
    if (value === undefined) without.push(site)
    else {
      const group = groups.get(value) ?? others.get(value)
      if (group === undefined) others.set(value, [site])
      else group.push(site)
    }
  }
  const waves = [...groups, ...[...others].sort(([a], [b]) => byUtf16(a, b))].map(([value, sites]) => ({
    name: `${wave.name}/${value}`,
    policyWave,
    sites,
  }))
  return without.length === 0 ? waves : [...waves, { name: `${wave.name}/-`, policyWave, sites: without }]
}

/** Most maps come sorted already: one look is cheaper than a sort of ten thousand names. */
function sortedNames(names: string[]): string[] {
  return names.every((name, i) => i === 0 || (names[i - 1] as string) <= name) ? names : names.sort(byUtf16)
}
