import { describe, expect, test } from 'vitest'
import { activatesAt, nextActivation, parseCron, type CronSchedule } from '../../../src/core/calendar/cron.ts'
import { missedStarts, requeueAfter } from '../../../src/core/calendar/missed.ts'
import { instantsOf, isTimeZone } from '../../../src/core/calendar/zone.ts'

function schedule(text: string): CronSchedule {
  const parsed = parseCron(text)
  if (!parsed.ok) throw new Error(parsed.because)
  return parsed.schedule
}
function next(text: string, from: string, zone: string): string | undefined {
  const atMs = nextActivation(schedule(text), Date.parse(from), zone)
  return atMs === undefined ? undefined : new Date(atMs).toISOString()
}

describe('the next activation', () => {
  const table: readonly [string, string, string, string, string | undefined][] = [
    ['strictly after', '0 * * * *', '2026-01-01T10:00:00Z', 'UTC', '2026-01-01T11:00:00.000Z'],
    ['by the zone', '30 2 * * *', '2026-01-01T00:00:00Z', 'Europe/Copenhagen', '2026-01-01T01:30:00.000Z'],
    ['a skipped hour is left out that day', '30 2 * * *', '2026-03-29T00:00:00Z', 'Europe/Copenhagen', '2026-03-30T00:30:00.000Z'],
    ['a repeated hour comes first in summer time', '30 2 * * *', '2026-10-25T00:00:00Z', 'Europe/Copenhagen', '2026-10-25T00:30:00.000Z'],
    ['and once more in winter time', '30 2 * * *', '2026-10-25T00:30:00Z', 'Europe/Copenhagen', '2026-10-25T01:30:00.000Z'],
    ['minutes go on through the repeated hour', '*/20 * * * *', '2026-10-25T00:40:00Z', 'Europe/Copenhagen', '2026-10-25T01:00:00.000Z'],
    ['day or weekday, where both are given', '0 0 13 * 5', '2026-03-01T00:00:00Z', 'UTC', '2026-03-06T00:00:00.000Z'],
    ['a day that the zone left out is left out', '0 12 30 12 *', '2011-12-29T00:00:00Z', 'Pacific/Apia', '2012-12-29T22:00:00.000Z'],
    ['29 February within five years', '0 0 29 2 *', '2025-01-01T00:00:00Z', 'UTC', '2028-02-29T00:00:00.000Z'],
    ['never', '0 0 31 2 *', '2025-01-01T00:00:00Z', 'UTC', undefined],
    ['every so long, on whole seconds', '@every 90s', '2025-01-01T00:00:00.700Z', 'UTC', '2025-01-01T00:01:30.000Z'],
  ] // prettier-ignore
  test.each(table)('%s', (_says, text, from, zone, expected) => expect(next(text, from, zone)).toBe(expected))
})

describe('refused', () => {
  const table = ['', '* * * *', '* * * * * *', '60 * * * *', '* * 0 * *', '* * * 13 *', '* * * * 7', '*/0 * * * *', '5-1 * * * *', '@never', 'TZ=UTC * * * * *', '@every soon', '* * L * *', '* * * * mon#2'] // prettier-ignore
  test.each(table)('%s', (text) => expect(parseCron(text).ok).toBe(false))
})

test('a minute is the whole of an activation', () => {
  expect(activatesAt(schedule('30 2 * * *'), Date.parse('2026-01-01T02:30:00Z'), 'UTC')).toBe(true)
  expect(activatesAt(schedule('30 2 * * *'), Date.parse('2026-01-01T02:30:01Z'), 'UTC')).toBe(false)
})

describe('missed starts', () => {
  const hourly = schedule('0 * * * *')
  const at = (text: string) => Date.parse(`2026-01-01T${text}Z`)
  test('none while the next is to come', () =>
    expect(missedStarts(hourly, { createdMs: at('10:00:00') }, at('10:59:59'), 'UTC')).toMatchObject({
      missed: 'none',
      mostRecentMs: undefined,
    }))
  test('the latest of a few', () =>
    expect(missedStarts(hourly, { createdMs: at('10:10:00') }, at('15:01:00'), 'UTC')).toMatchObject({
      missed: 'few',
      mostRecentMs: at('15:00:00'),
    }))
  test('a deadline forgets what is too old', () =>
    expect(
      missedStarts(hourly, { createdMs: at('10:10:00'), startingDeadlineMs: 30_000 }, at('15:01:00'), 'UTC'),
    ).toMatchObject({ missed: 'none', mostRecentMs: undefined }))
  test('a clock decades off costs nothing', () =>
    expect(missedStarts(schedule('* * * * *'), { createdMs: 0 }, at('15:01:00'), 'UTC')).toMatchObject({
      missed: 'many',
      mostRecentMs: at('15:01:00'),
    }))
  test('a schedule that never activates is said', () =>
    expect(missedStarts(schedule('0 0 31 2 *'), { createdMs: 0 }, at('15:01:00'), 'UTC').ok).toBe(false))
  test('when to look again', () =>
    expect(requeueAfter(hourly, { createdMs: at('10:10:00') }, at('10:40:00'), 'UTC')).toBe(1_200_000))
})

test('zones are those of the IANA list', () => {
  expect(isTimeZone('Europe/Copenhagen')).toBe(true)
  expect(isTimeZone('Mars/Olympus')).toBe(false)
  expect(isTimeZone('+02:00')).toBe(false)
})
test('a wall time is no instant, one, or two', () => {
  const wall = (text: string) => instantsOf('Europe/Copenhagen', Date.parse(`${text}Z`)).length
  expect([wall('2026-03-29T02:30:00'), wall('2026-06-01T02:30:00'), wall('2026-10-25T02:30:00')]).toEqual([0, 1, 2])
})
