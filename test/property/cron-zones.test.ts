/** Cron over every kind of clock change, against an oracle that walks minute by minute and asks the clock on the wall. */
import { describe, expect, test } from 'vitest'
import { nextActivation, parseCron } from '../../src/core/calendar/cron.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** Zones with what is odd about them, and a year in which it happens. */
const ZONES: Readonly<Record<string, readonly [zone: string, year: number]>> = {
  'an hour at two': ['America/New_York', 2026],
  'half an hour': ['Australia/Lord_Howe', 2026],
  'winter time is the change, not summer time': ['Europe/Dublin', 2026],
  'back for Ramadan only': ['Africa/Casablanca', 2026],
  'two hours': ['Antarctica/Troll', 2026],
  'at midnight': ['America/Havana', 2026],
  'at midnight too': ['Africa/Cairo', 2026],
  'offsets of 45 minutes': ['Pacific/Chatham', 2026],
  'offsets of half an hour': ['America/St_Johns', 2026],
  'a day left out': ['Pacific/Apia', 2011],
  'for good, by an hour': ['Europe/Moscow', 2014],
  'for good, by half an hour': ['Asia/Pyongyang', 2018],
  'no change at all': ['Asia/Kolkata', 2026],
}
const SCHEDULES = [
  '30 1 * * *', '15 2 * * *', '0 3 * * *', '0 0 * * *', '30 23 * * *', '*/20 * * * *', '59 * * * *', '10 */2 * * *', '0 2 1-7 * 0',
  '5 0-4 * * 6,0',
] // prettier-ignore

interface Wall {
  readonly minute: number
  readonly hour: number
  readonly day: number
  readonly month: number
  readonly weekday: number
}

function wallOf(zone: string): (ms: number) => Wall {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone, hourCycle: 'h23', weekday: 'short', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric',
  }) // prettier-ignore
  return (ms) => {
    const read = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, value]))
    const weekday = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'].indexOf(read['weekday'] ?? '')
    const [minute, hour, day, month] = ['minute', 'hour', 'day', 'month'].map((name) => Number(read[name]))
    return { minute: minute ?? 0, hour: hour ?? 0, day: day ?? 0, month: month ?? 0, weekday }
  }
}

function holds(field: string, value: number, least: number): boolean {
  return field.split(',').some((part) => {
    const [range = '', step = '1'] = part.split('/')
    const [from, to = from] = range === '*' ? [least, 99] : range.split('-').map(Number)
    return value >= (from ?? 0) && value <= (to ?? 0) && (value - (from ?? 0)) % Number(step) === 0
  })
}

function matches(schedule: string, wall: Wall): boolean {
  const [minute = '', hour = '', day = '', month = '', weekday = ''] = schedule.split(' ')
  const isDay = holds(day, wall.day, 1)
  const isWeekday = holds(weekday, wall.weekday, 0)
  const either = day === '*' || weekday === '*' ? isDay && isWeekday : isDay || isWeekday
  return holds(minute, wall.minute, 0) && holds(hour, wall.hour, 0) && holds(month, wall.month, 1) && either
}

/** A day and a half around each moment of the year at which the zone's clock was moved; of none, the first of June. */
function windows(zone: string, year: number): readonly (readonly [number, number])[] {
  const wall = wallOf(zone)
  const offset = (ms: number): number => {
    const { day, hour, minute } = wall(ms)
    const utc = new Date(ms)
    const days = (day - utc.getUTCDate() + 40) % 28
    return (days > 14 ? days - 28 : days) * 1_440 + hour * 60 + minute - utc.getUTCHours() * 60 - utc.getUTCMinutes()
  }
  const found: [number, number][] = []
  for (let ms = Date.UTC(year, 0, 2); ms < Date.UTC(year, 11, 30, 23); ms += 12 * HOUR)
    if ((offset(ms) - offset(ms + 12 * HOUR)) % (28 * 1_440) !== 0) found.push([ms - DAY / 2, ms + 1.5 * DAY])
  return found.length > 0 ? found.slice(0, 2) : [[Date.UTC(year, 5, 1), Date.UTC(year, 5, 3)]]
}

describe('each wall time that is shown activates, as often as it is shown, and none that is not', () => {
  test.each(Object.entries(ZONES))('%s', (_says, [zone, year]) => {
    const wall = wallOf(zone)
    for (const [fromMs, toMs] of windows(zone, year)) {
      const minutes = Array.from({ length: (toMs - fromMs) / MINUTE }, (_, i) => fromMs + (i + 1) * MINUTE)
      const shown = minutes.map((ms) => ({ ms, at: wall(ms) }))
      for (const schedule of SCHEDULES) {
        const parsed = parseCron(schedule)
        if (!parsed.ok) throw new Error(parsed.because)
        const walked: number[] = []
        for (
          let at = nextActivation(parsed.schedule, fromMs, zone);
          at !== undefined && at <= toMs;
          at = nextActivation(parsed.schedule, at, zone)
        )
          // prettier-ignore
          walked.push(at)
        const expected = shown.filter(({ at }) => matches(schedule, at)).map(({ ms }) => ms)
        const iso = (all: readonly number[]): readonly string[] => all.map((ms) => new Date(ms).toISOString())
        expect({ schedule, zone, at: iso(walked) }).toEqual({ schedule, zone, at: iso(expected) })
      }
    }
  })
})
