/**
 * The history of a case is lived through first, tick by tick: a rollout before it (what ToApply sites run), the change given to the
 * sites that report on it, each report at its time, and every moment at which the engine wanted to look again. Then, at one
 * moment, the case's strategy and sites come. Last, sites that are still failing say that they gave up. Who is in the step, who is
 * late and what stops it is read off the decisions.
 */
import type { Amount, RolloutPolicy, Wave } from '../../../src/core/model/policy.ts'
import type { RolloutDecision, RolloutState } from '../../../src/core/rollout/types.ts'
import { BEFORE, Hub, NOW, type Report, TARGET } from './hub.ts'

export interface Strategy {
  /** One wave a group, in order; else one wave of all. */
  readonly perGroup: boolean
  readonly maxConcurrent: Amount
  readonly maxFailures: Amount
  /** Sites seen failing, given up or not, that stop the others. */
  readonly brokenSites: Amount | null
  readonly soakMs: number
  /** Infinity: none. */
  readonly deadlineMs: number
}

/** Where the rollout stands; times in ms relative to now. */
export interface Standing {
  /** Sites in the step, and when time alone takes them out (undefined: never). */
  readonly inStep: ReadonlyMap<string, number | undefined>
  readonly timedOut: ReadonlyMap<string, number>
  readonly removed: readonly string[]
  /** The policy paused it because of its failures. */
  readonly breached: boolean
  readonly recheckAfterMs: number | null
}

/** A site that waits until the history is over: while there is one, failures of all the others are no reason to stop. */
const LATECOMER = '~latecomer'
const ALL: Amount = { percent: 100 }
/** No policy has a deadline of zero; this is over at once. */
const AT_ONCE = Number.MIN_VALUE

/** Where the case leads, by the engine's decisions. `reports` may name sites that are in no group any more. */
export function replay(
  groups: readonly (readonly string[])[],
  reports: readonly Report[],
  strategy: Strategy,
): Standing {
  const hub = new Hub(groups, reports)
  const { deadlineMs, soakMs } = strategy
  const given = reports.filter(({ state }) => state !== 'ToApply' && state !== 'Skip').map(({ site }) => site)
  // A group goes whole: who has not reported in the one that runs was told with the others.
  const whole = strategy.perGroup ? runningGroup(groups, reports, soakMs) : []
  const told = whole.filter((site) => !reports.some((report) => report.site === site && report.state !== 'ToApply'))
  const waiting = reports.filter(({ state }) => state === 'ToApply').map(({ site }) => site)
  const lenient = { maxConcurrent: ALL, maxFailures: { count: Infinity }, soakMs, approval: 'lead' }

  hub.commit(BEFORE, waiting, policyOf({ ...lenient, deadlineMs }))
  hub.publish(hub.tick())
  hub.hold([...waiting.filter((site) => !told.includes(site)), LATECOMER])
  const known = reports.map(({ site }) => site)
  const history = [...new Set([...known, ...told]), LATECOMER]
  hub.commit(TARGET, history, policyOf({ ...lenient, deadlineMs: AT_ONCE }))
  hub.publish(hub.tick(1), new Set([...given, ...told]))
  hub.tick(1)
  hub.commit(TARGET, history, policyOf({ ...lenient, deadlineMs }))
  const before = hub.liveUntil(NOW)

  hub.hold([])
  hub.commit(TARGET, groups.flat(), policyOf({ ...strategy, approval: null }), strategy.brokenSites)
  const step = hub.tick()
  const inStep = new Map<string, number | undefined>()
  const timedOut = new Map<string, number>()
  for (const [site, { phase, failure }] of step.state.sites) {
    if (phase === 'granted' || phase === 'changing') inStep.set(site, undefined)
    if (phase === 'failed' && failure !== undefined && !hub.wasTimedOut(site)) timedOut.set(site, failure.atMs - NOW)
  }
  for (const [site, atMs] of hub.copy().leaving(step)) inStep.set(site, atMs - NOW)
  hub.giveUp()
  const after = hub.tick()
  // Where a place was free or the wave full, that was its answer; a wave kept by failing sites alone is asked again without them.
  const answered = joining(step).length > 0 || [...step.waiting.values()].some(({ reason }) => reason === 'Slot')
  if (!answered) for (const site of joining(after)) inStep.set(site, undefined)
  const next = step.nextAtMs ?? Infinity
  return {
    inStep,
    timedOut,
    removed: known.filter((site) => before.sites.has(site) && !step.state.sites.has(site)),
    breached: after.state.paused?.why.includes('the limit is') === true && hasFailedByNow(after.state),
    recheckAfterMs: Number.isFinite(next) ? next - NOW : null,
  }
}

/** Groups that the rollout has not come to are not looked at. */
function hasFailedByNow({ waves, sites }: RolloutState): boolean {
  const active = waves.findIndex(({ state }) => state === 'active' || state === 'pending')
  return [...sites.values()].some(({ phase, wave }) => phase === 'failed' && (active < 0 || wave <= active))
}

/** The first group in which something is left to do. */
function runningGroup(
  groups: readonly (readonly string[])[],
  reports: readonly Report[],
  soakMs: number,
): readonly string[] {
  const isThrough = (site: string): boolean =>
    reports.some((report) => {
      if (report.site !== site) return false
      return report.state === 'Skip' || (report.state === 'Succeeded' && report.sinceMs + soakMs <= 0)
    })
  return groups.find((sites) => !sites.every(isThrough)) ?? []
}

/** Sites told to move; one that only observes is told what it would run, by a permit that is over. */
function joining({ grants }: RolloutDecision): readonly string[] {
  return grants.filter(({ startByMs }) => startByMs > NOW).map(({ site }) => site)
}

interface Terms extends Pick<Strategy, 'maxConcurrent' | 'maxFailures' | 'soakMs' | 'deadlineMs'> {
  readonly approval: string | null
  readonly perGroup?: boolean
}

function policyOf({ maxConcurrent, maxFailures, soakMs, deadlineMs, approval, perGroup }: Terms): RolloutPolicy {
  const by = perGroup === true ? 'group' : null
  const name = approval === null ? 'step' : 'history'
  const wave: Wave = { name, selector: null, size: null, maxConcurrent, soakMs, approval, by, order: [] }
  return {
    name: 'case',
    waves: [wave],
    maxUnavailable: ALL,
    maxFailures,
    minCoveragePercent: 0,
    progressDeadlineMs: deadlineMs,
    startByMs: Infinity,
    offline: { excuseAfterMs: Infinity, onReturn: 'ApplyLatest' },
    onFailure: 'Pause',
    onSupersede: 'now',
  }
}
