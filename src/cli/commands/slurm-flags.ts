/** What squeue, sinfo and sacct share: which jobs are meant, how they are shown, several sites one under the other. */
import os from 'node:os'
import { readArrayTask, readRanges } from '../../core/batch/arrays.ts'
import type { SlurmJob } from '../../core/batch/slurm-columns.ts'
import { type Formatted, type Layout } from '../../core/batch/slurm-format.ts'
import { readHostList } from '../../core/batch/slurm-hosts.ts'
import { readSlurmState, type SlurmCode } from '../../core/batch/slurm-state.ts'
import { BATCH_FORMAT, type BatchView } from '../../core/batch/view.ts'
import type { Json } from '../../core/model/json.ts'
import type { Io, Values } from '../command.ts'
import { EXIT, type ExitCode } from '../exit.ts'
import type { Views } from './batch-views.ts'

export const CHOICE_FLAGS = {
  partition: { type: 'string', short: 'p', placeholder: 'QUEUES', help: 'of these queues only' },
  user: { type: 'string', short: 'u', placeholder: 'USERS', help: 'of these people only; git: what Git brought' },
  jobs: { type: 'string', short: 'j', placeholder: 'JOBS', help: 'these jobs only' },
  name: { type: 'string', short: 'n', placeholder: 'NAMES', help: 'jobs of these names only' },
} as const

export const FORMAT_FLAGS = {
  format: { type: 'string', short: 'o', placeholder: 'FORMAT', help: 'fields as %[[.]size]type' },
  Format: { type: 'string', short: 'O', placeholder: 'NAMES', help: 'fields as name[:[.]size],…' },
  noheader: { type: 'switch', short: 'h', help: 'no line of headings' },
  long: { type: 'switch', short: 'l', help: 'more columns' },
  sort: {
    type: 'string',
    short: 'S',
    placeholder: 'LETTERS',
    help: 'in this order: letters as of -o, - turns one round',
  },
  json: { type: 'switch', help: "as JSON, by the names of Slurm's data parser" },
} as const

export const WHO_FLAGS = {
  user: CHOICE_FLAGS.user,
  me: { type: 'switch', help: 'what I submitted' },
  account: { type: 'string', short: 'A', placeholder: 'ACCOUNTS', help: 'jobs of these accounts only' },
} as const

export const OVER: ReadonlySet<SlurmCode> = new Set(['BF', 'CA', 'CD', 'DL', 'F', 'NF', 'OOM', 'PR', 'TO'])

export function listOf(flags: Values, name: string): readonly string[] | undefined {
  const text = flags[name]
  return typeof text === 'string' && text !== '' ? text.split(',') : undefined
}

/** undefined after saying what is no state; null: all of them. */
export function statesOf(flags: Values, flag: string, io: Io): ReadonlySet<SlurmCode> | null | undefined {
  const words = listOf(flags, flag)
  if (words === undefined || words.some((word) => word.toLowerCase() === 'all')) return null
  const codes = words.map(readSlurmState)
  const unknown = words.find((_, i) => codes[i] === undefined)
  if (unknown === undefined) return new Set(codes as SlurmCode[])
  io.err(`error: Invalid job state specified: ${unknown}`)
  return undefined
}

/** undefined after saying what is no list of nodes; null: all of them. */
export function hostsOf(flags: Values, flag: string, io: Io): ReadonlySet<string> | null | undefined {
  const text = flags[flag]
  if (typeof text !== 'string') return null
  const hosts = readHostList(text)
  if (hosts !== undefined) return new Set(hosts)
  io.err(`error: Invalid node list: ${text}`)
  return undefined
}

export function isChosen(flags: Values, job: SlurmJob): boolean {
  const has = (flag: string, value: string): boolean => listOf(flags, flag)?.includes(value) ?? true
  return (
    has('partition', job.partition) &&
    has('user', job.user) &&
    has('account', job.account) &&
    (flags['me'] !== true || job.user === os.userInfo().username) &&
    has('name', job.name) &&
    (jobsOf(flags)?.some((wanted) => isCalled(job, wanted)) ?? true)
  )
}

/** Jobs as they are called, the commas of `sweep_[1,4]` not between them. */
function jobsOf(flags: Values): readonly string[] | undefined {
  const text = flags['jobs']
  return typeof text === 'string' && text !== '' ? text.split(/,(?![^[]*\])/) : undefined
}

/** `sweep`, `sweep_3`, `sweep_[1-4]`: a line that stands for several elements is meant by any of them. */
function isCalled({ id, arrayJobId, arrayTask }: SlurmJob, wanted: string): boolean {
  if (wanted === id || wanted === arrayJobId) return true
  const [, job, one, ranges] = /^(.+)_(?:(\d+)|\[([\d,-]+)\])$/.exec(wanted) ?? []
  if (job !== arrayJobId || arrayTask === null) return false
  const indexes = readArrayTask(arrayTask)
  return [...readRanges(one ?? ranges ?? '')].some((index) => indexes.has(index))
}

/** False after saying so: jobs were named, and there is none of them. */
export function areThere(flags: Values, views: Views, io: Io): boolean {
  const wanted = jobsOf(flags)
  if (
    wanted === undefined ||
    views.sites.some(({ jobs }) => jobs.some((job) => wanted.some((one) => isCalled(job, one))))
  )
    return true
  io.err('slurm_load_jobs error: Invalid job id specified')
  return false
}

export function layoutOf(flags: Values, otherwise: Layout): Layout {
  const { format, Format: names } = flags
  if (typeof names === 'string') return { names }
  return typeof format === 'string' ? { format } : otherwise
}

export function headerOf(flags: Values): 'on' | 'off' {
  return flags['noheader'] === true ? 'off' : 'on'
}

/** One site as it stands; several one after the other under their names, as -M of Slurm has it; none: a line of headings. */
export function printEach(views: Views, io: Io, format: (view: BatchView) => Formatted): ExitCode {
  const blocks: string[] = []
  for (const view of views.sites.length === 0 ? [nothingAt(io.nowMs())] : views.sites) {
    const formatted = format(view)
    if (!formatted.ok) {
      io.err(`error: ${formatted.because}`)
      return EXIT.failed
    }
    blocks.push(views.several && view.site !== '' ? `CLUSTER: ${view.site}\n${formatted.text}` : formatted.text)
    if (view.leftOut > 0) io.err(`${view.site}: ${view.leftOut} more jobs are not shown; ask at the site`)
  }
  const text = blocks.join('\n').trimEnd()
  if (text !== '') io.out(text)
  if (views.more > 0) io.err(`${views.more} more sites; name them with -M, or raise --limit`)
  return EXIT.ok
}

function nothingAt(asOfMs: number): BatchView {
  return { formatVersion: BATCH_FORMAT, asOfMs, site: '', timeZone: 'UTC', jobs: [], nodes: [], queues: [], leftOut: 0 }
}

/** All sites in one document: each row says its cluster. */
export function printJson(views: Views, io: Io, json: Json): ExitCode {
  io.out(JSON.stringify(json, null, 2))
  if (views.more > 0) io.err(`${views.more} more sites; name them with -M, or raise --limit`)
  return EXIT.ok
}
