/** IANA time zones by the data that the runtime carries. A wall time here is what a clock on the wall shows, read as if in UTC. */

const DAY_MS = 86_400_000

/** One formatter a zone: making one costs a thousand times what asking it does. There are some 600 zones, so it never grows far. */
const formatters = new Map<string, Intl.DateTimeFormat | null>()

function formatterOf(timeZone: string): Intl.DateTimeFormat | undefined {
  const known = formatters.get(timeZone)
  if (known !== undefined) return known ?? undefined
  const made = makeFormatter(timeZone)
  // Only real zones are kept: there is no end to the names that are none.
  if (made !== undefined) formatters.set(timeZone, made)
  return made
}

function makeFormatter(timeZone: string): Intl.DateTimeFormat | undefined {
  // `+02:00` is no IANA name, though the runtime takes it.
  if (!/^[A-Za-z]/.test(timeZone)) return undefined
  try {
    return new Intl.DateTimeFormat('en-US', {
      timeZone,
      hourCycle: 'h23',
      era: 'short',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
  } catch {
    return undefined
  }
}

export function isTimeZone(text: string): boolean {
  return formatterOf(text) !== undefined
}

/** Wall time minus UTC at this instant, in ms. A name that is no zone counts as UTC: check it with `isTimeZone` where it is read. */
export function offsetAt(timeZone: string, atMs: number): number {
  if (timeZone === 'UTC') return 0
  const formatter = formatterOf(timeZone)
  if (formatter === undefined) return 0
  const read: Record<string, number> = {}
  for (const { type, value } of formatter.formatToParts(atMs)) read[type] = Number(value)
  const { year = 1970, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = read
  const wholeSeconds = Math.floor(atMs / 1000) * 1000
  return Date.UTC(year, month - 1, day, hour, minute, second) - wholeSeconds
}

export function wallAt(timeZone: string, atMs: number): number {
  return atMs + offsetAt(timeZone, atMs)
}

/** The instants at which the wall shows this time: none in a gap, two where clocks go back, else one; earliest first. */
export function instantsOf(timeZone: string, wallMs: number): readonly number[] {
  const before = offsetAt(timeZone, wallMs - DAY_MS)
  const after = offsetAt(timeZone, wallMs + DAY_MS)
  const offsets = before === after ? [before] : [Math.max(before, after), Math.min(before, after)]
  return offsets.map((offset) => wallMs - offset).filter((ms) => wallAt(timeZone, ms) === wallMs)
}

/** How far clocks go back around this instant, in ms; 0 on most days. */
export function setBackNear(timeZone: string, atMs: number): number {
  return Math.max(0, offsetAt(timeZone, atMs - DAY_MS) - offsetAt(timeZone, atMs + DAY_MS))
}
