/** Units as written, largest first; the order in which they must stand. */
const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
] as const

/** A hundred years: longer is a slip of the keyboard, and every sum of a date and a duration stays a valid Date. */
export const MAX_DURATION_MS = 36_525 * 86_400_000

const DURATION = /^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/

/**
 * `90s`, `1h30m`, `5d`, `250ms` to milliseconds. Whole numbers, each unit once, largest first.
 * Undefined for anything else, for zero, and above MAX_DURATION_MS.
 */
export function parseDuration(text: string): number | undefined {
  const match = DURATION.exec(text)
  if (match === null) return undefined
  const ms = UNITS.reduce((sum, [, unitMs], i) => sum + Number(match[i + 1] ?? 0) * unitMs, 0)
  return ms > 0 && ms <= MAX_DURATION_MS ? ms : undefined
}

/** Milliseconds as the shortest text that `parseDuration` reads back; `0s` for zero; parts of a millisecond are dropped. */
export function formatDuration(ms: number): string {
  let left = Math.trunc(Math.abs(ms))
  if (left === 0) return '0s'
  let text = ms < 0 ? '-' : ''
  for (const [unit, unitMs] of UNITS) {
    const count = Math.floor(left / unitMs)
    if (count > 0) text += `${count}${unit}`
    left -= count * unitMs
  }
  return text
}
