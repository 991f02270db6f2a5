import { activatesAt, nextActivation, parseCron } from '../../src/core/calendar/cron.ts'
import { missedStarts, requeueAfter } from '../../src/core/calendar/missed.ts'
import { type Adapter, failed, type Outcome, PASSED, type Row, same } from './adapter.ts'

type Case = Row & {
  readonly schedule: string
  readonly timeZone: string
  readonly from: string
  readonly at: string
  readonly now: string
  readonly useStartingDeadline?: boolean
  readonly cronJob?: {
    readonly schedule: string
    readonly timeZone?: string
    readonly creationTimestamp: string
    readonly lastScheduleTime?: string
    readonly startingDeadlineSeconds?: number
  }
  readonly expected: Row & { readonly error?: unknown; readonly next?: string | null }
}

export const adapter: Adapter = {
  check(row) {
    const { kind, schedule: text, timeZone, from, at, now, cronJob, useStartingDeadline, expected } = row as Case
    const parsed = parseCron(cronJob?.schedule ?? text)
    if (!parsed.ok) return expected.error === undefined ? failed(parsed.because) : PASSED
    const { schedule } = parsed
    if (kind === 'activates') return same(activatesAt(schedule, Date.parse(at), timeZone), expected['activates'])
    if (kind === 'next') return sameTime(nextActivation(schedule, Date.parse(from), timeZone), expected.next, expected)
    if (cronJob === undefined) return failed('no cronJob')
    const history = {
      createdMs: Date.parse(cronJob.creationTimestamp),
      ...(cronJob.lastScheduleTime === undefined ? {} : { lastMs: Date.parse(cronJob.lastScheduleTime) }),
      ...(cronJob.startingDeadlineSeconds === undefined
        ? {}
        : { startingDeadlineMs: cronJob.startingDeadlineSeconds * 1000 }),
    }
    const zone = cronJob.timeZone ?? 'UTC'
    const nowMs = Date.parse(now)
    if (kind === 'requeue') return same(requeueAfter(schedule, history, nowMs, zone), expected['afterMs'])
    const counted = missedStarts(schedule, history, nowMs, zone, useStartingDeadline === true ? 'use' : 'ignore')
    if (!counted.ok) return expected.error === undefined ? failed(counted.because) : PASSED
    if (expected.error !== undefined) return failed('accepted')
    const iso = (ms: number | undefined) => (ms === undefined ? null : new Date(ms).toISOString().replace('.000Z', 'Z'))
    const { earliestMs, mostRecentMs, missed } = counted
    return same({ earliest: iso(earliestMs), mostRecent: iso(mostRecentMs), missed }, expected)
  },
}

function sameTime(actual: number | undefined, expected: string | null | undefined, row: Case['expected']): Outcome {
  if (row.error !== undefined) return failed('accepted')
  return same(actual, typeof expected === 'string' ? Date.parse(expected) : undefined, 'next')
}
