/**
 * When a cron schedule activates, by the wall clock of a time zone, as Kubernetes' CronJob has it: a wall time that a clock
 * change skips is left out that day, and one that occurs twice activates twice, for a fixed hour too.
 */
import { Cron as WallCron } from 'croner'
import { readCronText } from './cron-text.ts'
import { instantsOf, setBackNear, wallAt } from './zone.ts'

export type CronSchedule =
  /** `wall` finds the next wall time; it runs in UTC, where no clock changes, and never starts a timer. */
  | { readonly is: 'fields'; readonly text: string; readonly wall: WallCron }
  | { readonly is: 'every'; readonly text: string; readonly everyMs: number }

export type ParsedCron =
  | { readonly ok: true; readonly schedule: CronSchedule }
  | { readonly ok: false; readonly because: string }

/** What does not activate within so many calendar years never does, as far as anyone waits for it. */
const HORIZON_YEARS = 5
/** Candidates looked at for one answer: an activation a minute through the longest gap or repeated stretch of any zone. */
const MAX_CANDIDATES = 2 * 1_440

export function parseCron(text: string): ParsedCron {
  const read = readCronText(text.trim())
  if (!read.ok) return read
  if (read.is === 'every') return { ok: true, schedule: { is: 'every', text, everyMs: read.everyMs } }
  const wall = new WallCron(read.pattern, { timezone: 'UTC', mode: '5-part', paused: true })
  return { ok: true, schedule: { is: 'fields', text, wall } }
}

/** The first activation strictly after `afterMs`; undefined where there is none within HORIZON_YEARS. */
export function nextActivation(schedule: CronSchedule, afterMs: number, timeZone: string): number | undefined {
  if (schedule.is === 'every') return Math.floor(afterMs / 1_000) * 1_000 + schedule.everyMs
  const lastYear = new Date(wallAt(timeZone, afterMs)).getUTCFullYear() + HORIZON_YEARS
  // Where clocks go back, wall times that are past come once more.
  const setBackMs = setBackNear(timeZone, afterMs)
  let wallMs = wallAt(timeZone, afterMs) - setBackMs
  let best: { readonly atMs: number; readonly wallMs: number } | undefined
  for (let seen = 0; seen < MAX_CANDIDATES; seen++) {
    const next = schedule.wall.nextRun(new Date(wallMs))
    if (next === null || next.getUTCFullYear() > lastYear) break
    wallMs = next.getTime()
    // A later wall time may come earlier than the second showing of this one, but only within what the clock was set back.
    if (best !== undefined && wallMs > best.wallMs + setBackMs) break
    const atMs = instantsOf(timeZone, wallMs).find((ms) => ms > afterMs)
    if (atMs !== undefined && (best === undefined || atMs < best.atMs)) best = { atMs, wallMs }
    if (best !== undefined && setBackMs === 0) break
  }
  return best?.atMs
}

export function activatesAt(schedule: CronSchedule, atMs: number, timeZone: string): boolean {
  return nextActivation(schedule, atMs - 1, timeZone) === atMs
}
