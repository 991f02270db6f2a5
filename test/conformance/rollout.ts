import { type Adapter, all, failed, PASSED, same } from './adapter.ts'
import type { Report } from './rollout/hub.ts'
import { deadlineOf, sizeOf, standingOf } from './rollout/strategy.ts'

type Case = Record<string, any>
const timed = (sites: Case[]): string[] =>
  sites.map(({ site, recheckAtMs }) => `${site} ${recheckAtMs ?? ''}`).toSorted()
const entries = (sites: ReadonlyMap<string, number | undefined>): string[] =>
  timed([...sites].map(([site, recheckAtMs]) => ({ site, recheckAtMs })))

/** A site of which only the time is known at which it leaves the step: on its way, and late by then. */
function untilThen(sites: Case[]): [Case, Case[]] {
  const lateMs = Math.max(1, ...sites.map(({ recheckAtMs: at }) => at ?? 0)) + 1000
  const deadline = `${Math.ceil(lateMs / 1000)}s`
  const sinceMs = ({ recheckAtMs: at }: Case) => at - Math.ceil(lateMs / 1000) * 1000
  const reports = sites.map((site) =>
    site['recheckAtMs'] == null
      ? { ...site, state: 'ToApply' }
      : { ...site, state: 'Progressing', sinceMs: sinceMs(site) },
  )
  return [{ type: 'All', progressDeadline: deadline }, reports]
}

export const adapter: Adapter = {
  check(row) {
    const { kind, value, expected, ...rest } = row as Case
    if (kind === 'deadline' || kind === 'size') {
      const got = kind === 'deadline' ? deadlineOf(value) : sizeOf(value, rest['total'], rest['default'])
      if (got === undefined || Number.isNaN(got)) return expected.error === undefined ? failed('refused') : PASSED
      return same(got, kind === 'deadline' ? expected.ms : expected.size)
    }
    const given = [rest['existing'] ?? rest['rollout']].flat() as Case[]
    const alone = {
      type: 'Progressive',
      maxFailures: 1,
      minSuccessTimeMs: rest['minSuccessTimeMs'],
      progressDeadlineMs: rest['progressDeadlineMs'],
    }
    const [strategy, reports] = kind === 'recheck' ? untilThen(given) : [rest['strategy'] ?? alone, given]
    const groups = rest['groups'] ?? [{ name: '', index: 0, sites: given.map(({ site }) => site) }]
    const standing = standingOf(
      strategy,
      groups,
      reports.map((site) => ({ sinceMs: 0, ...site }) as Report),
    )
    const { inStep, timedOut, removed, breached, recheckAfterMs } = standing
    if (kind === 'recheck') return same(recheckAfterMs, expected.recheckAfterMs)
    return all(
      same(entries(inStep), timed(expected.rollout), 'rollout'),
      same(entries(timedOut), timed(expected.timedOut), 'timed out'),
      kind === 'siteStatus'
        ? PASSED
        : same([breached, recheckAfterMs, removed.toSorted()], [expected.maxFailureBreach, expected.recheckAfterMs, expected.removed.map(({ site }: Case) => site).toSorted()]), // prettier-ignore
    )
  },
}
