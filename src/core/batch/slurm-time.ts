/** Times as Slurm writes them: limits `D-HH:MM:SS`, moments `now+1hour`, `16:00`, `2026-01-20T12:34`. */
import { instantsOf, wallAt } from '../calendar/zone.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
const DAY_MS = 86_400_000

/** `minutes`, `M:S`, `H:M:S`, `D-H`, `D-H:M`, `D-H:M:S`; UNLIMITED and 0 are no limit (null). Undefined: none of these. */
export function readLimit(text: string): number | null | undefined {
  if (/^(?:unlimited|infinite|-1)$/i.test(text)) return null
  const [, days, clock = ''] = /^(?:(\d{1,6})-)?(\d{1,8}(?::\d{1,2}){0,2})$/.exec(text) ?? []
  if (clock === '') return undefined
  const parts = clock.split(':').map(Number)
  const [a = 0, b = 0, c = 0] = parts
  let ms: number
  if (days !== undefined) ms = Number(days) * DAY_MS + a * HOUR_MS + b * MINUTE_MS + c * 1_000
  else if (parts.length === 1) ms = a * MINUTE_MS
  else if (parts.length === 2) ms = a * MINUTE_MS + b * 1_000
  else ms = a * HOUR_MS + b * MINUTE_MS + c * 1_000
  return ms === 0 ? null : ms
}

/** `1-02:03:04`, `2:03:04`, `3:04`; days and hours only as needed, as squeue's TIME. */
export function formatUsed(ms: number): string {
  if (ms < 0) return 'INVALID'
  const { days, hours, minutes, seconds } = partsOf(ms)
  if (days > 0) return `${days}-${two(hours)}:${two(minutes)}:${two(seconds)}`
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`
}

/** `[D-]HH:MM:SS`, as sacct's Elapsed. */
export function formatElapsed(ms: number): string {
  const { days, hours, minutes, seconds } = partsOf(Math.max(0, ms))
  return `${days > 0 ? `${days}-` : ''}${two(hours)}:${two(minutes)}:${two(seconds)}`
}

function partsOf(ms: number) {
  const all = Math.floor(ms / 1_000)
  return {
    days: Math.floor(all / 86_400),
    hours: Math.floor(all / 3_600) % 24,
    minutes: Math.floor(all / 60) % 60,
    seconds: all % 60,
  }
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}

/** `2026-01-20T12:34:56` by the wall clock of the zone. */
export function formatMoment(ms: number, timeZone: string): string {
  return new Date(wallAt(timeZone, ms)).toISOString().slice(0, 19)
}

/** `Mon Jan 05 13:00:02 2026`, as stands above long lists. */
export function formatStamp(ms: number, timeZone: string): string {
  const [, day = '', date = '', month = '', year = '', time = ''] =
    /^(\w+), (\d+) (\w+) (\d+) ([\d:]+)/.exec(new Date(wallAt(timeZone, ms)).toUTCString()) ?? []
  return `${day} ${month} ${date} ${time} ${year}`
}

const UNIT_MS: Readonly<Record<string, number>> = {
  second: 1_000, seconds: 1_000, minute: MINUTE_MS, minutes: MINUTE_MS, hour: HOUR_MS, hours: HOUR_MS,
  day: DAY_MS, days: DAY_MS, week: 7 * DAY_MS, weeks: 7 * DAY_MS,
} // prettier-ignore
const WORDS: Readonly<Record<string, number>> = { midnight: 0, noon: 12, elevenses: 11, fika: 15, teatime: 16 }

/**
 * `--begin`, `--deadline`, `--starttime`. Of a time of day, or a day of the year, `future` is the next one and `past` this day's or
 * this year's. Undefined: none that we know.
 */
export function readMoment(
  text: string,
  nowMs: number,
  timeZone: string,
  towards: 'future' | 'past' = 'future',
): number | undefined {
  const now = /^now(?:([+-])(\d{1,9})([a-z]*))?$/i.exec(text)
  if (now !== null) {
    const [, sign, count = '0', unit = ''] = now
    const unitMs = unit === '' ? 1_000 : UNIT_MS[unit.toLowerCase()]
    return unitMs === undefined ? undefined : nowMs + (sign === '-' ? -1 : 1) * Number(count) * unitMs
  }
  const todayMs = Math.floor(wallAt(timeZone, nowMs) / DAY_MS) * DAY_MS
  const word = text.toLowerCase()
  if (word === 'today') return towards === 'past' ? instant(todayMs, timeZone) : nowMs
  if (word === 'tomorrow') return instant(todayMs + DAY_MS, timeZone)
  const atMs = Object.hasOwn(WORDS, word) ? (WORDS[word] as number) * HOUR_MS : readClock(text)
  if (atMs !== undefined) {
    const today = instant(todayMs + atMs, timeZone)
    const isMeant = towards === 'past' || (today !== undefined && today > nowMs)
    return isMeant ? today : instant(todayMs + DAY_MS + atMs, timeZone)
  }
  return readDate(text, todayMs, timeZone, towards)
}

/** `HH:MM[:SS][AM|PM]`. */
function readClock(text: string): number | undefined {
  const match = /^(\d{1,2}):(\d{2})(?::(\d{2}))?\s*([ap]m)?$/i.exec(text)
  if (match === null) return undefined
  const half = match[4]?.toLowerCase()
  const hour = half === undefined ? Number(match[1]) : (Number(match[1]) % 12) + (half === 'pm' ? 12 : 0)
  const [minute, second] = [Number(match[2]), Number(match[3] ?? 0)]
  return hour < 24 && minute < 60 && second < 60 ? hour * HOUR_MS + minute * MINUTE_MS + second * 1_000 : undefined
}

/** `YYYY-MM-DD[THH:MM[:SS]]`, `MM/DD/YY`, `MMDDYY`, `MM.DD.YY`. */
function readDate(text: string, todayMs: number, timeZone: string, towards: 'future' | 'past'): number | undefined {
  const iso = /^(\d{4})-(\d{2})-(\d{2})(?:T(.+))?$/.exec(text)
  const short = /^(\d{2})[/.]?(\d{2})(?:[/.]?(\d{2}))?(?:-(.+))?$/.exec(text)
  const thisYear = new Date(todayMs).getUTCFullYear()
  const [year, month, day, clock] = iso
    ? [Number(iso[1]), Number(iso[2]), Number(iso[3]), iso[4]]
    : [
        short?.[3] === undefined ? thisYear : 2000 + Number(short[3]),
        Number(short?.[1]),
        Number(short?.[2]),
        short?.[4],
      ]
  if (iso === null && short === null) return undefined
  const isYearSaid = iso !== null || short?.[3] !== undefined
  // 01/20 in March is that of next year, for what is to come.
  if (!isYearSaid && towards === 'future' && Date.UTC(year, month - 1, day) < todayMs)
    return readDate(
      text.replace(/^(\d{2})([/.]?)(\d{2})/, `$1$2$3$2${String(year + 1).slice(2)}`),
      todayMs,
      timeZone,
      towards,
    )
  const wallMs = Date.UTC(year, month - 1, day)
  if (new Date(wallMs).getUTCMonth() !== month - 1 || new Date(wallMs).getUTCDate() !== day) return undefined
  const atMs = clock === undefined ? 0 : readClock(clock)
  return atMs === undefined ? undefined : instant(wallMs + atMs, timeZone)
}

/** A wall time that a clock change skips is the moment an hour on, as everywhere. */
function instant(wallMs: number, timeZone: string): number | undefined {
  return instantsOf(timeZone, wallMs)[0] ?? instantsOf(timeZone, wallMs + HOUR_MS)[0]
}
