import { parseDuration } from '../../src/core/calendar/duration.ts'
import { percentOf } from '../../src/core/rollout/amount.ts'
import { type Step, type StepSite, takeGroupStep, takeStep } from '../../src/core/rollout/step.ts'
import { type Adapter, all, failed, PASSED, same } from './adapter.ts'

type Case = Record<string, any>
const deadlineOf = (text = ''): number | null | undefined =>
  text === '' || text === 'None' ? null : /^(\d+[hms])+$/.test(text) ? (parseDuration(text) ?? 0) : undefined
const sizeOf = (value: string | number = 0, total: number, fallback: number): number => {
  const size = typeof value === 'number' ? value : percentOf(Number(/^(\d+)%$/.exec(value)?.[1]), total)
  return size <= 0 || size > total ? fallback : size
}
const stateOf = ({ state, sinceMs = 0 }: Case): StepSite =>
  /^(ToApply|Skip|TimedOut|Succeeded|Failed)$/.test(state) ? { state, sinceMs } : { state: 'Progressing', sinceMs }
const names = (sites: Case[]) => sites.map(({ site, recheckAtMs }) => `${site} ${recheckAtMs ?? ''}`).toSorted()
const recheckOf = (sites: Case[]) => Math.min(...sites.map(({ recheckAtMs: at }) => (at > 0 ? at : Infinity)))
function stepOf({ type, ...strategy }: Case, groups: Case[], reported: Map<string, StepSite>): Step {
  const wanted: Case[] = strategy['mandatoryGroups'] ?? []
  const parts = Object.groupBy(groups, (group) =>
    wanted.some(({ name, index }) => (name ? name === group['name'] : index === group['index'])) ? 'must' : 'rest',
  )
  const [must, rest] = [parts.must ?? [], parts.rest ?? []].map((part) => part.map(({ sites }) => sites as string[]))
  const times = {
    soakMs: strategy['minSuccessTimeMs'] ?? 0,
    deadlineMs: deadlineOf(strategy['progressDeadline']) ?? null,
  }
  const first = takeGroupStep(must ?? [], reported, times, () => 1, 0)
  if (first.holds.length + first.joins.length + first.timedOut.length > 0) return first
  const limit = (size: number) => sizeOf(strategy['maxFailures'], size, 0) + 1
  if (type === 'ProgressivePerGroup') return takeGroupStep(rest ?? [], reported, times, limit, 0)
  const sites = (rest ?? []).flat().toSorted()
  if (type === 'All') return takeStep(sites, reported, { ...times, soakMs: 0, capacity: Infinity, failureLimit: Infinity }, 0) // prettier-ignore
  const failureLimit = limit(groups.flatMap((group) => group['sites']).length)
  const capacity = sizeOf(strategy['maxConcurrency'], sites.length, sites.length)
  return takeStep(sites, reported, { ...times, capacity, failureLimit }, 0)
}
export const adapter: Adapter = {
  check(row) {
    const { kind, value, existing, expected, groups, ...rest } = row as Case
    if (kind === 'deadline' || kind === 'size') {
      const got = kind === 'deadline' ? deadlineOf(value) : sizeOf(value, rest['total'], rest['default'])
      if (got === undefined || Number.isNaN(got)) return expected.error === undefined ? failed('refused') : PASSED
      return same(got, kind === 'deadline' ? expected.ms : expected.size)
    }
    if (kind === 'recheck') return same(recheckOf(rest['rollout'] ?? existing), expected.recheckAfterMs)
    const one = kind === 'siteStatus'
    const given = [existing].flat() as Case[]
    const reported = new Map(given.map((site) => [site['site'] as string, stateOf(site)]))
    const inOrder = one ? [{ sites: [existing.site] }] : (groups as Case[]).toSorted((a, b) => a['index'] - b['index'])
    const times = { type: 'Progressive', maxFailures: 1, minSuccessTimeMs: rest['minSuccessTimeMs'] }
    const step = stepOf(one ? { ...times, progressDeadline: `${rest['progressDeadlineMs'] / 1000}s` } : rest['strategy'], inOrder, reported) // prettier-ignore
    const gone = given.filter(({ site }) => !inOrder.some(({ sites }) => sites.includes(site)))
    const told = [...step.holds, ...step.joins.map((site) => ({ site }))]
    return all(
      same(names(told), names(expected.rollout), 'rollout'),
      same(names([...step.timedOut]), names(expected.timedOut), 'timed out'),
      one ? PASSED : same([step.breached, recheckOf(told), names(gone)], [expected.maxFailureBreach, expected.recheckAfterMs, names(expected.removed)]), // prettier-ignore
    )
  },
}
