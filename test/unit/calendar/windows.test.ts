import { describe, expect, test } from 'vitest'
import { parseCron } from '../../../src/core/calendar/cron.ts'
import {
  endOfNext,
  firstPermitted,
  type MaintenanceWindow,
  stopAt,
  windowAt,
} from '../../../src/core/calendar/windows.ts'

const HOUR = 3_600_000
const ZONE = 'Europe/Copenhagen'

function recurring(
  effect: 'allow' | 'deny',
  text: string,
  hours: number,
  more: Partial<MaintenanceWindow> = {},
): MaintenanceWindow {
  const parsed = parseCron(text)
  if (!parsed.ok) throw new Error(parsed.because)
  const when = { is: 'recurring' as const, schedule: parsed.schedule, durationMs: hours * HOUR }
  return { name: `${effect} ${text}`, effect, when, timeZone: 'site', overrun: 'finish', breakGlass: null, ...more }
}
function dated(effect: 'allow' | 'deny', from: string, until: string, more: Partial<MaintenanceWindow> = {}) {
  const when = { is: 'dated' as const, fromMs: Date.parse(from), untilMs: Date.parse(until) }
  const base = { name: 'season', effect, when, timeZone: 'site', overrun: 'finish', breakGlass: null } as const
  return { ...base, ...more } satisfies MaintenanceWindow
}
function said(windows: readonly MaintenanceWindow[], at: string, zone = ZONE): string {
  const verdict = windowAt(windows, zone, Date.parse(at))
  const edge = verdict.open ? verdict.closesAtMs : verdict.opensAtMs
  return `${verdict.open ? 'open until' : 'closed until'} ${edge === null ? '-' : `${new Date(edge).toISOString().slice(0, 16)}Z`}`
}

const NIGHT = recurring('allow', '0 1 * * *', 4)
const TRADING = recurring('deny', '0 7 * * *', 14)
const SEASON = dated('deny', '2026-11-20T00:00:00Z', '2026-12-27T00:00:00Z')

describe('the verdict', () => {
  const table: readonly [string, readonly MaintenanceWindow[], string, string][] = [
    ['no window: always open', [], '2026-06-01T12:00:00Z', 'open until -'],
    ['inside an allow window', [NIGHT], '2026-06-01T00:00:00Z', 'open until 2026-06-01T03:00Z'],
    ['its first minute is in it', [NIGHT], '2026-05-31T23:00:00Z', 'open until 2026-06-01T03:00Z'],
    ['its end is not', [NIGHT], '2026-06-01T03:00:00Z', 'closed until 2026-06-01T23:00Z'],
    ['outside of all allow windows', [NIGHT], '2026-06-01T12:00:00Z', 'closed until 2026-06-01T23:00Z'],
    ['any of several allow windows', [NIGHT, recurring('allow', '0 12 * * *', 1)], '2026-06-01T10:30:00Z', 'open until 2026-06-01T11:00Z'],
    ['windows that touch are one', [NIGHT, recurring('allow', '0 5 * * *', 1)], '2026-06-01T00:00:00Z', 'open until 2026-06-01T04:00Z'],
    ['outside of a deny window', [TRADING], '2026-06-01T00:00:00Z', 'open until 2026-06-01T05:00Z'],
    ['inside a deny window', [TRADING], '2026-06-01T12:00:00Z', 'closed until 2026-06-01T19:00Z'],
    ['deny wins over allow', [recurring('allow', '0 6 * * *', 2), TRADING], '2026-06-01T05:30:00Z', 'closed until 2026-06-02T04:00Z'],
    ["a season's freeze closes the nights in it", [NIGHT, SEASON], '2026-12-01T00:30:00Z', 'closed until 2026-12-27T00:00Z'],
    ['a dated allow window that is over never opens', [dated('allow', '2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z')], '2026-06-01T00:00:00Z', 'closed until -'],
    ['a window by an IANA name is everywhere at one time', [{ ...NIGHT, timeZone: 'Asia/Tokyo' }], '2026-06-01T12:00:00Z', 'closed until 2026-06-01T16:00Z'],
    ['a window longer than its period never closes', [recurring('allow', '0 * * * *', 2)], '2026-06-01T00:30:00Z', 'open until -'],
  ] // prettier-ignore
  test.each(table)('%s', (_says, windows, at, expected) => expect(said(windows, at)).toBe(expected))
})

describe('when clocks change', () => {
  const table: readonly [string, readonly MaintenanceWindow[], string, string][] = [
    ['forward: an opening in the skipped hour is left out that day', [recurring('allow', '30 2 * * *', 1)], '2026-03-28T12:00:00Z', 'closed until 2026-03-30T00:30Z'],
    ['forward: a night keeps its length and ends an hour later on the wall', [NIGHT], '2026-03-29T00:30:00Z', 'open until 2026-03-29T04:00Z'],
    ['back: a night keeps its length and ends an hour earlier on the wall', [NIGHT], '2026-10-25T00:30:00Z', 'open until 2026-10-25T03:00Z'],
    ['back: an opening in the repeated hour opens twice and the spans are one', [recurring('allow', '30 2 * * *', 1)], '2026-10-25T00:30:00Z', 'open until 2026-10-25T02:30Z'],
    ['the days after go by the new offset', [NIGHT], '2026-10-25T12:00:00Z', 'closed until 2026-10-26T00:00Z'],
  ] // prettier-ignore
  test.each(table)('%s', (_says, windows, at, expected) => expect(said(windows, at)).toBe(expected))
})

describe('a site without a permitted minute (FLT2105)', () => {
  const from = Date.parse('2026-06-01T12:00:00Z')
  const allDay = recurring('deny', '0 0 * * *', 24)
  const table: readonly [string, readonly MaintenanceWindow[], string | null][] = [
    ['denied all day, every day, in summer time', [allDay], null],
    ['denied by hours that overlap', [TRADING, recurring('deny', '0 20 * * *', 12)], null],
    ['allowed only while it is denied', [recurring('allow', '0 8 * * *', 2), TRADING], null],
    ['one minute a day is a minute', [recurring('deny', '1 0 * * *', 24 - 1 / 60)], '2026-06-01T22:00:00.000Z'],
    ['a schedule that never activates allows nothing', [recurring('allow', '0 0 31 2 *', 1)], null],
    ['a night', [NIGHT, TRADING], '2026-06-01T23:00:00.000Z'],
    ['a season longer than sixty days', [dated('deny', '2026-05-01T00:00:00Z', '2026-09-01T00:00:00Z')], null],
    ['a deny every minute of every minute', [recurring('deny', '* * * * *', 1 / 60)], null],
  ]
  test.each(table)('%s', (_says, windows, expected) => {
    const first = firstPermitted(windows, ZONE, from)
    expect(first === null ? null : new Date(first).toISOString()).toBe(expected)
  })
})

describe('break glass', () => {
  const at = Date.parse('2026-06-01T12:00:00Z')
  const ops = { breakGlass: 'ops' }
  test('the teams whose yes would open it are named, and their yes opens it', () => {
    const windows = [recurring('deny', '0 7 * * *', 14, ops)]
    expect(windowAt(windows, ZONE, at)).toMatchObject({ open: false, breakGlass: ['ops'] })
    expect(windowAt(windows, ZONE, at, new Set(['ops'])).open).toBe(true)
    expect(windowAt(windows, ZONE, at, new Set(['sales'])).open).toBe(false)
  })
  test('a window that nobody may break stays closed whoever says yes', () => {
    const windows = [recurring('deny', '0 7 * * *', 14, ops), SEASON, { ...TRADING, name: 'trading' }]
    expect(windowAt(windows, ZONE, at)).toMatchObject({ open: false, breakGlass: null })
    expect(windowAt(windows, ZONE, at, new Set(['ops']))).toMatchObject({ open: false, by: 'trading' })
  })
  test('the yes for one of several allow windows is not the yes for the others', () => {
    const windows = [{ ...NIGHT, ...ops }, recurring('allow', '0 3 * * *', 1)]
    expect(windowAt(windows, ZONE, at, new Set(['ops'])).open).toBe(false)
    const [own, other] = [
      recurring('allow', '0 2 * * *', 1, ops),
      recurring('allow', '0 4 * * *', 1, { breakGlass: 'sales' }),
    ]
    expect(windowAt([own, other], ZONE, at)).toMatchObject({ breakGlass: ['ops', 'sales'] })
    expect(windowAt([own, other], ZONE, at, new Set(['ops']))).toMatchObject({ by: other.name, breakGlass: ['sales'] })
  })
  test('a yes never closes what was open, and names the end of what still closes', () => {
    const windows = [recurring('allow', '0 13 * * *', 4, ops), recurring('allow', '0 3 * * *', 1)]
    const closesAtMs = Date.parse('2026-06-01T15:00:00Z')
    expect(windowAt(windows, ZONE, at, new Set(['ops']))).toEqual({ open: true, closesAtMs })
    expect(endOfNext(windows, ZONE, at, new Set(['ops']))).toBe(closesAtMs)
    expect(endOfNext([recurring('deny', '0 7 * * *', 14, ops)], ZONE, at, new Set(['ops']))).toBeNull()
  })
})

describe('what has begun goes on when its window closes', () => {
  const at = Date.parse('2026-06-01T12:00:00Z')
  const stop = { overrun: 'stop' } as const
  const stops = (by: string, resumes: string) => ({ stops: true, by, resumesAtMs: Date.parse(resumes) })
  test('but for windows that say stop: it goes on when the one that kept it lets it', () => {
    expect(stopAt([NIGHT, TRADING], ZONE, at)).toEqual({ stops: false })
    const trading = { ...TRADING, ...stop }
    expect(stopAt([NIGHT, trading], ZONE, at)).toEqual(stops(TRADING.name, '2026-06-01T19:00:00Z'))
    expect(stopAt([{ ...NIGHT, ...stop }], ZONE, at)).toEqual(stops(NIGHT.name, '2026-06-01T23:00:00Z'))
    expect(stopAt([{ ...NIGHT, ...stop }], ZONE, Date.parse('2026-06-01T00:00:00Z'))).toEqual({ stops: false })
  })
  test('one allow window that says stop keeps it outside of all of them, and any of them lets it go on', () => {
    const noon = recurring('allow', '0 16 * * *', 1)
    expect(stopAt([{ ...NIGHT, ...stop }, noon], ZONE, at)).toEqual(stops(NIGHT.name, '2026-06-01T14:00:00Z'))
    expect(stopAt([NIGHT, { ...noon, ...stop }], ZONE, Date.parse('2026-06-01T01:00:00Z'))).toEqual({ stops: false })
  })
  test('a season that says stop ends when its dates do', () => {
    expect(stopAt([{ ...SEASON, ...stop }], ZONE, Date.parse('2026-12-01T12:00:00Z'))).toMatchObject({ stops: true })
  })
})

test('the next window ends at the end of the one that is open, or of the next to open', () => {
  const iso = (at: string) => new Date(endOfNext([NIGHT], ZONE, Date.parse(at)) ?? 0).toISOString()
  expect(iso('2026-06-01T00:00:00Z')).toBe('2026-06-01T03:00:00.000Z')
  expect(iso('2026-06-01T12:00:00Z')).toBe('2026-06-02T03:00:00.000Z')
  expect(endOfNext([], ZONE, 0)).toBeNull()
})
