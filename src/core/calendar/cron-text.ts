/** The text of a cron schedule as Kubernetes' CronJob takes it: five fields, the @ words, and `@every 90m`. */

export type CronText =
  /** Explicit lists, or `*`, which another cron reader understands the same way. */
  | { readonly ok: true; readonly is: 'fields'; readonly pattern: string }
  | { readonly ok: true; readonly is: 'every'; readonly everyMs: number }
  | { readonly ok: false; readonly because: string }

const WORDS: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
}

interface Field {
  readonly name: string
  readonly min: number
  readonly max: number
  readonly words: readonly string[]
}

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']
const FIELDS: readonly Field[] = [
  { name: 'minute', min: 0, max: 59, words: [] },
  { name: 'hour', min: 0, max: 23, words: [] },
  { name: 'day of month', min: 1, max: 31, words: [] },
  { name: 'month', min: 1, max: 12, words: MONTHS },
  { name: 'day of week', min: 0, max: 6, words: DAYS },
]

/** A schedule is a line; no honest one is longer. */
const MAX_TEXT = 1024

export function readCronText(text: string): CronText {
  if (text.length > MAX_TEXT) return { ok: false, because: 'a schedule is never so long' }
  if (/^(?:CRON_)?TZ=/.test(text)) return { ok: false, because: 'the time zone has a field of its own: timeZone' }
  if (text.startsWith('@every ')) return readEvery(text.slice('@every '.length))
  const written = Object.hasOwn(WORDS, text) ? WORDS[text] : undefined
  if (written === undefined && text.startsWith('@')) return { ok: false, because: `${text} is not a known word` }
  const parts = (written ?? text).split(/\s+/).filter((part) => part !== '')
  if (parts.length !== FIELDS.length)
    return { ok: false, because: `a schedule has 5 fields (minute hour day month weekday), this one ${parts.length}` }
  const lists: string[] = []
  for (const [i, field] of FIELDS.entries()) {
    const list = readField(parts[i] ?? '', field)
    if (typeof list !== 'string') return { ok: false, because: list.because }
    lists.push(list)
  }
  return { ok: true, is: 'fields', pattern: lists.join(' ') }
}

interface Refusal {
  readonly because: string
}

/** `*` where the field is free, which decides whether day and weekday must both hold; else its values, ascending. */
function readField(text: string, field: Field): string | Refusal {
  const values = new Set<number>()
  let isFree = false
  for (const part of text.split(',')) {
    const range = readRange(part, field)
    if ('because' in range) return range
    isFree ||= range.isFree
    for (let value = range.from; value <= range.to; value += range.step) values.add(value)
  }
  return isFree ? '*' : [...values].toSorted((a, b) => a - b).join(',')
}

interface Range {
  readonly from: number
  readonly to: number
  readonly step: number
  readonly isFree: boolean
}

/** `5`, `1-5`, `*`, `?`, each with `/step`; `5/15` goes from 5 to the end of the field. */
function readRange(text: string, field: Field): Range | Refusal {
  const refuse = (because: string) => ({ because: `${field.name} "${text}" ${because}` })
  const match = /^(?:([*?])|(\w+)(?:-(\w+))?)(?:\/(\d+))?$/.exec(text)
  if (match === null) return refuse('is not a value, a range, * or ?, with an optional /step')
  const [, star, low, high, stepText] = match
  const step = stepText === undefined ? 1 : Number(stepText)
  if (step === 0) return refuse('has a step of 0')
  if (star !== undefined) return { from: field.min, to: field.max, step, isFree: step === 1 }
  const from = readValue(low ?? '', field)
  const last = high === undefined ? from : readValue(high, field)
  if (from === undefined || last === undefined) return refuse('is not a number or a name')
  const to = high === undefined && stepText !== undefined ? field.max : last
  if (from < field.min || to > field.max) return refuse(`is outside ${field.min}-${field.max}`)
  if (from > to) return refuse('ends before it begins')
  return { from, to, step, isFree: false }
}

function readValue(text: string, field: Field): number | undefined {
  if (/^\d+$/.test(text)) return Number(text)
  const index = field.words.indexOf(text.toLowerCase())
  return index < 0 ? undefined : index + field.min
}

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
}

/** Whole seconds, one at least: `1h30m`, `1.5h`. */
function readEvery(text: string): CronText {
  const parts = [...text.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)/g)]
  const read = parts.map((part) => part[0]).join('')
  if (text === '' || read !== text) return { ok: false, because: `"${text}" is not a duration such as 90m or 1h30m` }
  const ms = parts.reduce((sum, [, count, unit]) => sum + Number(count) * (UNIT_MS[unit ?? ''] ?? 0), 0)
  if (!Number.isSafeInteger(Math.trunc(ms))) return { ok: false, because: `"${text}" is longer than any life` }
  return { ok: true, is: 'every', everyMs: Math.max(1_000, Math.trunc(ms / 1_000) * 1_000) }
}
