/** Starts that a cron job missed, counted as Kubernetes' CronJob controller counts them. */
import { type CronSchedule, nextActivation } from './cron.ts'

export interface CronHistory {
  readonly createdMs: number
  /** Of the last start that was due and made. */
  readonly lastMs?: number
  /** Starts later than this after they were due are not made any more. */
  readonly startingDeadlineMs?: number
}

export interface Missed {
  /** The instant from which starts are counted. */
  readonly earliestMs: number
  /** The latest activation that is due and not made; undefined: nothing to start. */
  readonly mostRecentMs: number | undefined
  /** `many`: more than MANY, so that something must be wrong with a clock or with us. */
  readonly missed: 'none' | 'few' | 'many'
}

export type MissedStarts =
  | ({ readonly ok: true } & Missed)
  | { readonly ok: false; readonly because: string; readonly earliestMs: number }

const MANY = 100

/** `deadline: 'ignore'` is for when to look again, where a start that is too late still counts as past. */
export function missedStarts(
  schedule: CronSchedule,
  history: CronHistory,
  nowMs: number,
  timeZone: string,
  deadline: 'use' | 'ignore' = 'use',
): MissedStarts {
  const earliestMs = earliestOf(history, nowMs, deadline)
  const next = (afterMs: number) => nextActivation(schedule, afterMs, timeZone)
  const firstMs = next(earliestMs)
  if (firstMs === undefined) return { ok: false, because: 'the schedule never activates', earliestMs }
  if (nowMs < firstMs) return { ok: true, earliestMs, mostRecentMs: undefined, missed: 'none' }
  const secondMs = next(firstMs)
  if (secondMs === undefined || nowMs < secondMs) return { ok: true, earliestMs, mostRecentMs: firstMs, missed: 'none' }
  // From the first gap we guess how many there were, and look only at the end: an @every keeps its phase that way, and a clock
  // that jumped by decades costs nothing.
  const gapMs = secondMs - firstMs
  const count = Math.floor(Math.floor((nowMs - firstMs) / 1_000) / Math.round(gapMs / 1_000)) + 1
  let mostRecentMs: number | undefined
  let atMs = next(firstMs + (count - 2) * gapMs)
  while (atMs !== undefined && atMs <= nowMs) {
    mostRecentMs = atMs
    atMs = next(atMs)
  }
  return { ok: true, earliestMs, mostRecentMs, missed: count > MANY ? 'many' : 'few' }
}

/** How long from now to the next activation to wait for, in ms; it is past, and negative, where a start is due. */
export function requeueAfter(
  schedule: CronSchedule,
  history: CronHistory,
  nowMs: number,
  timeZone: string,
): number | undefined {
  const counted = missedStarts(schedule, history, nowMs, timeZone, 'ignore')
  const sinceMs = !counted.ok
    ? nowMs
    : (counted.mostRecentMs ?? (counted.missed === 'none' ? counted.earliestMs : nowMs))
  const nextMs = nextActivation(schedule, sinceMs, timeZone)
  return nextMs === undefined ? undefined : nextMs - nowMs
}

function earliestOf(history: CronHistory, nowMs: number, deadline: 'use' | 'ignore'): number {
  const sinceMs = history.lastMs ?? history.createdMs
  if (deadline === 'ignore' || history.startingDeadlineMs === undefined) return sinceMs
  return Math.max(sinceMs, nowMs - history.startingDeadlineMs)
}
