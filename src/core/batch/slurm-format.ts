/** squeue, sinfo and sacct as text: the default columns, `-o` with percent codes, `-O` with names, as in Slurm's manual. */
import { nodeColumns, SINFO_CODES } from './sinfo-columns.ts'
import { type SacctColumn, sacctColumns } from './sacct-columns.ts'
import { type Column, jobColumns, type SlurmJob, type SlurmNodes, SQUEUE_CODES } from './slurm-columns.ts'

export type Formatted = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly because: string }

export interface FormatOptions {
  readonly timeZone: string
  readonly header?: 'on' | 'off'
}

/** As squeue comes, with -l, and with --start. */
const SQUEUE = {
  short: '%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R',
  long: '%.18i %.9P %.8j %.8u %.8T %.10M %.9l %.6D %R',
  start: '%.18i %.9P %.8j %.8u %.2t  %.19S %.6D %20Y %R',
} as const
/** `#` is as wide as the longest. */
export const SINFO_DEFAULT = '%#P %.5a %.10l %.6D %.6t %N'
export const SINFO_LONG = '%#P %.5a %.10l %.10s %.4r %.8h %.10g %.6D %.11T %N'
/** A line a node. */
export const SINFO_NODES = '%#N %.6D %#P %6t'
export const SINFO_NODES_LONG = '%#N %.6D %#P %.11T %.4c %.8z %.6m %.8d %.6w %.8f %20E'
export const SINFO_SUMMARY = '%#P %.5a %.10l %.16F %N'
/** Why nodes take nothing. */
export const SINFO_REASONS = '%20E %9u %19H %N'
export const SINFO_REASONS_LONG = '%20E %12u %19H %6t %N'
export const SACCT_LONG =
  'jobid,jobidraw,jobname,partition,ntasks,alloccpus,elapsed,state,exitcode,reqmem,start,end,submit,timelimit,nodelist,reason'
export const SACCT_BRIEF = 'jobid,state,exitcode'
export const SACCT_DEFAULT = 'jobid,jobname,partition,account,alloccpus,state,exitcode'

/** One column as asked for: its width (null: as wide as the text, 'longest': as wide as the longest), its side, what follows it. */
interface Field {
  readonly name: string
  readonly width: number | null | 'longest'
  readonly side: 'left' | 'right'
  readonly suffix: string
}

type Fields =
  | { readonly ok: true; readonly prefix: string; readonly fields: readonly Field[] }
  | { readonly ok: false; readonly because: string }

const MAX_WIDTH = 1_000

/** `%[[.]size]type[suffix]`. */
function readPercent(format: string, codes: Readonly<Record<string, string>>, all: readonly string[]): Fields {
  if (format === '%all')
    return { ok: true, prefix: '', fields: all.map((name) => ({ name, width: null, side: 'left', suffix: '|' })) }
  const [prefix = '', ...parts] = format.split('%')
  const fields: Field[] = []
  for (const part of parts) {
    const match = /^(\.?)(\d*|#)([A-Za-z])(.*)$/s.exec(part)
    if (match === null) return { ok: false, because: `"%${part}" is no field; fields are %[[.]size]type` }
    const [, dot, size = '', code = '', suffix = ''] = match
    const name = Object.hasOwn(codes, code) ? codes[code] : undefined
    if (name === undefined)
      return { ok: false, because: `%${code} is not known here; there are ${Object.keys(codes).join('')}` }
    if (Number(size) > MAX_WIDTH) return { ok: false, because: `%${part} is wider than ${MAX_WIDTH}` }
    const width = size === '#' ? 'longest' : size === '' ? null : Number(size)
    fields.push({ name, width, side: dot === '.' ? 'right' : 'left', suffix })
  }
  if (fields.length === 0) return { ok: false, because: 'a format names one field at least' }
  return { ok: true, prefix, fields }
}

const LONG_WIDTH = 20

/** `type[:[.][size][suffix]]`, separated by commas. */
function readNames(format: string, known: readonly string[]): Fields {
  const fields: Field[] = []
  for (const part of format.split(',')) {
    const [written, rest] = splitOnce(part.trim(), ':')
    const name = written.toLowerCase()
    if (!known.includes(name))
      return { ok: false, because: `${written} is not known here; there are ${known.join(', ')}` }
    const [, dot, size = '', suffix = ''] = /^(\.?)(\d*)(.*)$/s.exec(rest) ?? []
    if (Number(size) > MAX_WIDTH) return { ok: false, because: `${part} is wider than ${MAX_WIDTH}` }
    fields.push({ name, width: size === '' ? LONG_WIDTH : Number(size), side: dot === '.' ? 'right' : 'left', suffix })
  }
  return { ok: true, prefix: '', fields }
}

function splitOnce(text: string, at: string): readonly [string, string] {
  const i = text.indexOf(at)
  return i < 0 ? [text, ''] : [text.slice(0, i), text.slice(i + 1)]
}

function table<T>(
  rows: readonly T[],
  columns: Readonly<Record<string, Column<T>>>,
  read: Fields,
  header: 'on' | 'off',
): Formatted {
  if (!read.ok) return read
  const cells = [...(header === 'on' ? [null] : []), ...rows].map((row) =>
    read.fields.map(({ name }) => {
      const column = columns[name]
      return row === null ? (column?.head ?? '') : (column?.value(row) ?? '')
    }),
  )
  const widths = read.fields.map(({ width }, i) =>
    width === 'longest' ? Math.max(0, ...cells.map((line) => line[i]?.length ?? 0)) : width,
  )
  const lines = cells.map(
    (line) => read.prefix + line.map((text, i) => fit(text, widths[i] ?? null, read.fields[i] as Field)).join(''),
  )
  return { ok: true, text: lines.map((line) => `${line}\n`).join('') }
}

/** Cut and filled to its width. */
function fit(text: string, width: number | null, { side, suffix }: Field): string {
  if (width === null || width === 0) return text + suffix
  const cut = text.slice(0, width)
  return (side === 'right' ? cut.padStart(width) : cut.padEnd(width)) + suffix
}

/** `format` with percent codes, or `names` as of `--Format`. */
export interface Layout {
  readonly format?: string
  readonly names?: string
}

/** As Slurm has it, but for ids: ours are names, and one that is cut could not be cancelled. */
export function squeueLayout(kind: keyof typeof SQUEUE, jobs: readonly SlurmJob[]): Layout {
  const { jobarrayid } = jobColumns('UTC')
  const longest = Math.max(18, ...jobs.map((job) => jobarrayid?.value(job).length ?? 0))
  return { format: SQUEUE[kind].replace('%.18i', `%.${longest}i`) }
}

export function formatSqueue(
  jobs: readonly SlurmJob[],
  layout: Layout,
  { timeZone, header = 'on' }: FormatOptions,
): Formatted {
  const columns = jobColumns(timeZone)
  const known = Object.keys(columns)
  const read =
    layout.names === undefined
      ? readPercent(layout.format ?? SQUEUE.short, SQUEUE_CODES, known)
      : readNames(layout.names, known)
  return table(jobs, columns, read, header)
}

export interface SinfoOptions extends FormatOptions {
  /** exact: nodes that differ in CPUs or memory have lines of their own, where those are shown. */
  readonly grouping?: 'loose' | 'exact'
  /** nodes: each of its own line. */
  readonly lines?: 'groups' | 'nodes'
}

/** Nodes that are alike in all that is shown stand in one line. */
export function formatSinfo(
  nodes: readonly SlurmNodes[],
  layout: Layout,
  { timeZone, header = 'on', grouping = 'loose', lines = 'groups' }: SinfoOptions,
): Formatted {
  const columns = nodeColumns(timeZone)
  const known = Object.keys(columns)
  const read =
    layout.names === undefined
      ? readPercent(layout.format ?? SINFO_DEFAULT, SINFO_CODES, known)
      : readNames(layout.names, known)
  if (!read.ok) return read
  const shown = read.fields.flatMap(({ name }) => columns[name] ?? [])
  const apart = shown.filter(({ over }) => over === 'apart' || (over === 'least' && grouping === 'exact'))
  // Host names stand one a line.
  const isEach = lines === 'nodes' || read.fields.some(({ name }) => name === 'nodehost')
  const rows = isEach ? nodes.flatMap(eachNode) : nodes
  const alike = Map.groupBy(rows, (row) =>
    JSON.stringify([...(isEach ? row.nodes : []), ...apart.map((column) => column.value([row]))]),
  )
  return table([...alike.values()], columns, read, header)
}

/** One row a node. */
export function eachNode(row: SlurmNodes): readonly SlurmNodes[] {
  const { length } = row.nodes
  return row.nodes.map((node, i) => ({
    ...row,
    nodes: [node],
    cpusAllocated: share(row.cpusAllocated, i, length),
    memoryAllocatedMiB: share(row.memoryAllocatedMiB ?? 0, i, length),
  }))
}

/** What is known of them together, in whole parts. */
function share(amount: number, i: number, of: number): number {
  return Math.floor((amount * (i + 1)) / of) - Math.floor((amount * i) / of)
}

export interface SacctOptions extends FormatOptions {
  /** `parsable`: as -p, a `|` after each; `parsable2`: as -P, between them. */
  readonly style?: 'columns' | 'parsable' | 'parsable2'
  readonly delimiter?: string
}

/** `name%30` is 30 wide to the right, `name%-30` to the left. What is cut ends in `+`. */
export function formatSacct(jobs: readonly SlurmJob[], format: string | undefined, options: SacctOptions): Formatted {
  const columns = sacctColumns(options.timeZone)
  const fields: { readonly column: SacctColumn; readonly width: number }[] = []
  for (const part of (format ?? SACCT_DEFAULT).split(',')) {
    const [written, size] = splitOnce(part.trim(), '%')
    const column = Object.hasOwn(columns, written.toLowerCase()) ? columns[written.toLowerCase()] : undefined
    if (column === undefined)
      return { ok: false, because: `${written} is not known here; there are ${Object.keys(columns).join(', ')}` }
    if (size !== '' && (!/^-?\d+$/.test(size) || Math.abs(Number(size)) > MAX_WIDTH))
      return { ok: false, because: `${part.trim()} has no width that can be` }
    const longest = column.head === 'JobID' && format === undefined ? -Math.max(12, ...jobs.map((job) => column.value(job).length)) : column.width // prettier-ignore
    fields.push({ column, width: size === '' ? longest : Number(size) })
  }
  const { style = 'columns', delimiter = '|', header = 'on' } = options
  const lines = jobs.map((job) => fields.map(({ column }) => column.value(job)))
  if (header === 'on') lines.unshift(fields.map(({ column }) => column.head))
  if (style !== 'columns') {
    const end = style === 'parsable' ? `${delimiter}\n` : '\n'
    return { ok: true, text: lines.map((line) => line.join(delimiter) + end).join('') }
  }
  const text = lines.map((line) => `${line.map((cell, i) => sacctCell(cell, fields[i]?.width ?? 0)).join(' ')} \n`)
  const rule = `${fields.map(({ width }) => '-'.repeat(Math.abs(width))).join(' ')} \n`
  if (header === 'on') text.splice(1, 0, rule)
  return { ok: true, text: text.join('') }
}

/** What `--format` takes, as `--helpformat` prints it. */
export function sacctNames(): string {
  const heads = Object.values(sacctColumns('UTC')).map(({ head }) => head)
  const lines: string[] = []
  for (let i = 0; i < heads.length; i += 4)
    lines.push(
      heads
        .slice(i, i + 4)
        .map((head) => head.padEnd(19))
        .join(' ')
        .trimEnd(),
    )
  return lines.join('\n')
}

function sacctCell(text: string, width: number): string {
  const size = Math.abs(width)
  const cut = text.length > size ? `${text.slice(0, Math.max(0, size - 1))}+` : text
  return width < 0 ? cut.padEnd(size) : cut.padStart(size)
}
