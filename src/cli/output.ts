/** Data in, text out: tables, JSON, YAML and names. */
import { EXIT, type ExitCode } from './exit.ts'
import type { Io, Values } from './command.ts'

export type Format = 'text' | 'wide' | 'json' | 'yaml' | 'name'
const FORMATS: readonly string[] = ['text', 'wide', 'json', 'yaml', 'name']

/** The `-o` flag, or undefined after saying what was wrong with it. */
export function formatOf(flags: Values, io: Io): Format | undefined {
  const format = String(flags['output'] ?? 'text')
  if (FORMATS.includes(format)) return format as Format
  io.err(`error: -o found ${format}, expected one of ${FORMATS.join(', ')}`)
  return undefined
}

/** Prints `value` as json or yaml; text and name by the functions given. */
export async function print<T>(
  value: T,
  format: Format,
  io: Io,
  as: { text(value: T, wide: boolean): string; name(value: T): readonly string[] },
): Promise<ExitCode> {
  switch (format) {
    case 'json':
      io.out(JSON.stringify(value, null, 2))
      break
    case 'yaml':
      io.out((await import('yaml')).stringify(value).trimEnd())
      break
    case 'name':
      for (const name of as.name(value)) io.out(name)
      break
    default:
      io.out(as.text(value, format === 'wide'))
  }
  return EXIT.ok
}

/** Columns padded to their widest cell, two spaces between; the last one free. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (i === cells.length - 1 ? cell : cell.padEnd(widths[i] as number)))
      .join('  ')
      .trimEnd()
  return [line(head), ...rows.map(line)].join('\n')
}

/** `3d`, `2h57m`, `12s`: the two largest units, as ages and waits are shown. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  const days = Math.floor(seconds / 86_400)
  const hours = Math.floor((seconds % 86_400) / 3600)
  const minutes = Math.floor((seconds % 3600) / 60)
  if (days > 0) return hours > 0 ? `${days}d${hours}h` : `${days}d`
  if (hours > 0) return minutes > 0 ? `${hours}h${minutes}m` : `${hours}h`
  if (minutes > 0) return seconds % 60 > 0 && minutes < 10 ? `${minutes}m${seconds % 60}s` : `${minutes}m`
  return `${seconds}s`
}

/** `Wed 20:31:07Z`, with the date where it is not this week. */
export function when(ms: number, nowMs: number): string {
  const date = new Date(ms)
  const clock = date.toISOString().slice(11, 19)
  if (Math.abs(ms - nowMs) > 6 * 86_400_000) return `${date.toISOString().slice(0, 10)} ${clock}Z`
  return `${['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'][date.getUTCDay()]} ${clock}Z`
}

export function bar(done: number, total: number, width: number, ascii: boolean): string {
  const full = ascii ? '#' : '█'
  const empty = ascii ? '.' : '░'
  const cells = total === 0 ? 0 : Math.floor((done / total) * width)
  return full.repeat(cells) + empty.repeat(width - cells)
}

/** `online 41  late 2`: counts that are not zero, the first word always. */
export function counts(record: Readonly<Record<string, number>>, always: string): string {
  return Object.entries(record)
    .filter(([name, count]) => count > 0 || name === always)
    .map(([name, count]) => `${name.toLowerCase()} ${count}`)
    .join('  ')
}
