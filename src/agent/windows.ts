/** Windows with `overrun: stop`, asked at the site by the hub's time: what has begun stands still outside of them, in the dark too. */
import { type CronSchedule, parseCron } from '../core/calendar/cron.ts'
import { type MaintenanceWindow, stopAt } from '../core/calendar/windows.ts'
import type { Waiting } from '../core/model/state.ts'
import type { ManifestEntry, ManifestWindow, SiteManifest } from '../core/protocol/messages.ts'
import type { HubNow } from '../core/protocol/time.ts'
import { timeText } from '../core/rollout/standing.ts'
import type { WorkloadRecord } from './ports.ts'

type Told = NonNullable<SiteManifest['windows']>

/** Why a change to what this entry names stands still now; undefined: no window of its stops it. */
export function stopOf({ windows = {} }: SiteManifest, { gates }: ManifestEntry, hubNow: HubNow): Waiting | undefined {
  const own = gates.flatMap((name) => readWindows(windows).get(name) ?? [])
  if (own.length === 0) return undefined
  // Half a change may wait; a change in the middle of what a window is to keep free cannot be taken back.
  if (hubNow.known !== 'exact') return { reason: 'ClockUnknown' }
  const verdict = stopAt(own, 'UTC', hubNow.ms)
  if (!verdict.stops) return undefined
  const { by, resumesAtMs } = verdict
  if (resumesAtMs === null) return { reason: 'WindowClosed', detail: `not foreseeable, ${by}` }
  const at = timeText(resumesAtMs, own.find(({ name }) => name === by)?.timeZone)
  return { reason: 'WindowClosed', detail: `goes on ${at}, ${by}`, nextAtMs: resumesAtMs }
}

/** Everything of it was applied once: what comes after that is no change of release. */
export function isWhole(record: WorkloadRecord | undefined): boolean {
  return record !== undefined && (record.whole === true || record.applied?.digest === record.release)
}

/** By the manifest's own object: read once. */
const known = new WeakMap<Told, ReadonlyMap<string, MaintenanceWindow>>()

function readWindows(told: Told): ReadonlyMap<string, MaintenanceWindow> {
  let read = known.get(told)
  if (read === undefined) {
    read = new Map(Object.entries(told).map(([name, window]) => [name, windowOf(name, window)]))
    known.set(told, read)
  }
  return read
}

function windowOf(name: string, window: ManifestWindow): MaintenanceWindow {
  const { effect, overrun, timeZone, schedule, durationMs = 0, fromMs = 0, untilMs = 0 } = window
  const cron = schedule === undefined ? undefined : scheduleOf(schedule)
  const when: MaintenanceWindow['when'] =
    cron === undefined ? { is: 'dated', fromMs, untilMs } : { is: 'recurring', schedule: cron, durationMs }
  return { name, effect, overrun, timeZone, when, breakGlass: null }
}

/** One that cannot be read never opens, as at the hub. */
function scheduleOf(text: string): CronSchedule | undefined {
  const parsed = parseCron(text)
  return parsed.ok ? parsed.schedule : undefined
}
