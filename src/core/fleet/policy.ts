/** Rollout policies as the engine takes them: every default filled in, `cautious` built in. */
import { parseDuration } from '../calendar/duration.ts'
import type { Amount, RolloutPolicy, Wave } from '../model/policy.ts'
import type { LabelSelector } from '../model/selector.ts'
import type { Fleet } from './types.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

const DEFAULTS = {
  maxUnavailable: { percent: 25 },
  maxFailures: { count: 1 },
  minCoveragePercent: 80,
  progressDeadlineMs: 30 * MINUTE_MS,
  startByMs: 48 * HOUR_MS,
  offline: { excuseAfterMs: 30 * MINUTE_MS, onReturn: 'ApplyLatest' },
  onFailure: 'Pause',
  onSupersede: 'now',
} as const satisfies Omit<RolloutPolicy, 'name' | 'waves'>

const WAVE = {
  selector: null,
  size: null,
  maxConcurrent: { percent: 25 },
  soakMs: 30 * MINUTE_MS,
  approval: null,
  by: null,
  order: [],
} as const satisfies Omit<Wave, 'name'>

/** Used where none is named: one site, then 5 %, then the rest, each with half an hour of evidence. */
export const CAUTIOUS: RolloutPolicy = {
  ...DEFAULTS,
  name: 'cautious',
  waves: [
    { ...WAVE, name: 'one', size: { count: 1 }, maxConcurrent: { count: 1 } },
    { ...WAVE, name: 'few', size: { percent: 5 } },
    { ...WAVE, name: 'rest' },
  ],
}

export interface PolicySpec {
  readonly waves: readonly {
    readonly name: string
    readonly selector?: LabelSelector
    readonly size?: number | string
    readonly maxConcurrent?: number | string
    readonly soak?: string
    readonly gate?: { readonly approval: string }
    readonly by?: string
    readonly order?: readonly string[]
  }[]
  readonly maxUnavailable?: number | string
  readonly maxFailures?: number | string
  readonly minCoverage?: string
  readonly progressDeadline?: string
  readonly startBy?: string
  readonly offline?: { readonly excuseAfter?: string; readonly onReturn?: 'ApplyLatest' }
  readonly onFailure?: 'Pause' | 'Rollback'
  readonly onSupersede?: 'now' | 'finishWave'
}

/** A count, or `25%`. The schema has judged the form. */
export function readAmount<T>(value: number | string | undefined, otherwise: T): Amount | T {
  if (value === undefined) return otherwise
  return typeof value === 'number' ? { count: value } : { percent: Number.parseInt(value, 10) }
}

export function readDuration(value: string | undefined, otherwiseMs: number): number {
  return value === undefined ? otherwiseMs : (parseDuration(value) ?? otherwiseMs)
}

export function readPolicy(name: string, spec: PolicySpec): RolloutPolicy {
  return {
    name,
    waves: spec.waves.map((wave) => ({
      name: wave.name,
      selector: wave.selector ?? null,
      size: readAmount(wave.size, null),
      maxConcurrent: readAmount(wave.maxConcurrent, WAVE.maxConcurrent),
      soakMs: readDuration(wave.soak, WAVE.soakMs),
      approval: wave.gate?.approval ?? null,
      by: wave.by ?? null,
      order: wave.order ?? [],
    })),
    maxUnavailable: readAmount(spec.maxUnavailable, DEFAULTS.maxUnavailable),
    maxFailures: readAmount(spec.maxFailures, DEFAULTS.maxFailures),
    minCoveragePercent: Number.parseInt(spec.minCoverage ?? `${DEFAULTS.minCoveragePercent}`, 10),
    progressDeadlineMs: readDuration(spec.progressDeadline, DEFAULTS.progressDeadlineMs),
    startByMs: readDuration(spec.startBy, DEFAULTS.startByMs),
    offline: {
      excuseAfterMs: readDuration(spec.offline?.excuseAfter, DEFAULTS.offline.excuseAfterMs),
      onReturn: spec.offline?.onReturn ?? DEFAULTS.offline.onReturn,
    },
    onFailure: spec.onFailure ?? DEFAULTS.onFailure,
    onSupersede: spec.onSupersede ?? DEFAULTS.onSupersede,
  }
}

/** The policy by which a workload's changes spread. `cautious` where its name is unknown too: never all at once. */
export function rolloutPolicyOf(fleet: Fleet, workload: string): RolloutPolicy {
  const name = fleet.workloads.get(workload)?.rollout ?? fleet.defaults.rollout
  return fleet.policies.get(name) ?? CAUTIOUS
}
