import { assert, integer, property } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatDuration, MAX_DURATION_MS, parseDuration } from '../../../src/core/calendar/duration.ts'

describe('parseDuration', () => {
  const table: readonly [string, string, number | undefined][] = [
    ['one unit', '90s', 90_000],
    ['two units', '1h30m', 5_400_000],
    ['days', '5d', 432_000_000],
    ['milliseconds', '250ms', 250],
    ['minutes are not read as the start of milliseconds', '3m5ms', 180_005],
    ['every unit', '1d2h3m4s5ms', 93_784_005],
    ['zero is refused', '0s', undefined],
    ['no text is refused', '', undefined],
    ['no unit is refused', '90', undefined],
    ['a sign is refused', '-5m', undefined],
    ['a fraction is refused', '1.5h', undefined],
    ['units out of order are refused', '30m1h', undefined],
    ['a unit twice is refused', '1h1h', undefined],
    ['spaces are refused', '1h 30m', undefined],
    ['more than a hundred years is refused', '40000d', undefined],
    ['a number too long for a double is refused', `${'9'.repeat(400)}s`, undefined],
  ]
  test.each(table)('%s', (_says, text, ms) => expect(parseDuration(text)).toBe(ms))
})

describe('formatDuration', () => {
  const table: readonly [number, string][] = [
    [0, '0s'],
    [1, '1ms'],
    [90_000, '1m30s'],
    [129_600_000, '1d12h'],
    [-60_000, '-1m'],
    [1_000.9, '1s'],
  ]
  test.each(table)('%d ms', (ms, text) => expect(formatDuration(ms)).toBe(text))
})

test('what is formatted is read back', () => {
  assert(property(integer({ min: 1, max: MAX_DURATION_MS }), (ms) => parseDuration(formatDuration(ms)) === ms))
})
