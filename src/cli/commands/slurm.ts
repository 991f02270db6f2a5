/** Slurm's eyes: squeue, sinfo and sacct, with Slurm's options as far as they mean something here. */
import type { SlurmJob, SlurmNodes } from '../../core/batch/slurm-columns.ts'
import { type Formatted, formatSacct, formatSinfo, formatSqueue, SQUEUE_START } from '../../core/batch/slurm-format.ts'
import { readSlurmState, type SlurmCode } from '../../core/batch/slurm-state.ts'
import { readMoment } from '../../core/batch/slurm-time.ts'
import type { BatchView } from '../../core/batch/view.ts'
import type { Command, Io, Values } from '../command.ts'
import { EXIT, type ExitCode } from '../exit.ts'
import type { CliPorts } from '../ports.ts'
import { BATCH_FLAGS, batchViews, type Views } from './batch-views.ts'
import { CHOICE_FLAGS, SLURM_WORDS } from './sbatch.ts'

const FORMAT_FLAGS = {
  format: { type: 'string', short: 'o', placeholder: 'FORMAT', help: 'fields as %[[.]size]type' },
  Format: { type: 'string', short: 'O', placeholder: 'NAMES', help: 'fields as name[:[.]size],…' },
  noheader: { type: 'switch', help: 'no line of headings' },
} as const

function listOf(flags: Values, name: string): readonly string[] | undefined {
  const text = flags[name]
  return typeof text === 'string' && text !== '' ? text.split(',') : undefined
}

/** undefined after saying what is no state; null: all of them. */
function statesOf(flags: Values, flag: string, io: Io): ReadonlySet<SlurmCode> | null | undefined {
  const words = listOf(flags, flag)
  if (words === undefined || words.some((word) => word.toLowerCase() === 'all')) return null
  const codes = words.map(readSlurmState)
  const unknown = words.find((_, i) => codes[i] === undefined)
  if (unknown === undefined) return new Set(codes as SlurmCode[])
  io.err(`error: Invalid job state specified: ${unknown}`)
  return undefined
}

function isChosen(flags: Values, job: SlurmJob): boolean {
  const has = (flag: string, ...values: readonly string[]): boolean => {
    const wanted = listOf(flags, flag)
    return wanted === undefined || values.some((value) => wanted.includes(value))
  }
  return (
    has('partition', job.partition) &&
    has('user', job.user) &&
    has('name', job.name) &&
    has('jobs', job.id, job.arrayJobId)
  )
}

const OVER: ReadonlySet<SlurmCode> = new Set(['BF', 'CA', 'CD', 'DL', 'F', 'NF', 'OOM', 'PR', 'TO'])
/** As Slurm numbers its states. */
const ORDER: readonly SlurmCode[] = ['PD', 'R', 'S', 'CD', 'CA', 'F', 'TO', 'NF', 'PR', 'BF', 'DL', 'OOM', 'CF', 'CG']

/** By partition, then state, then age, as squeue does by itself. */
function inOrder(a: SlurmJob, b: SlurmJob): number {
  if (a.partition !== b.partition) return a.partition < b.partition ? -1 : 1
  return ORDER.indexOf(a.code) - ORDER.indexOf(b.code) || a.submitMs - b.submitMs || (a.id < b.id ? -1 : 1)
}

/** One site as it stands; several one after the other under their names, as -M of Slurm has it. */
function printEach(views: Views, io: Io, format: (view: BatchView) => Formatted): ExitCode {
  const blocks: string[] = []
  for (const view of views.sites) {
    const formatted = format(view)
    if (!formatted.ok) {
      io.err(`error: ${formatted.because}`)
      return EXIT.failed
    }
    blocks.push(views.several ? `CLUSTER: ${view.site}\n${formatted.text}` : formatted.text)
    if (view.leftOut > 0) io.err(`${view.site}: ${view.leftOut} more jobs are not shown; ask at the site`)
  }
  if (blocks.length > 0) io.out(blocks.join('\n').trimEnd())
  if (views.more > 0) io.err(`${views.more} more sites; name them with -M, or raise --limit`)
  return EXIT.ok
}

const squeue: Command<CliPorts> = {
  name: 'squeue',
  group: 'Batch',
  summary: 'Jobs that wait or run, as Slurm shows them',
  flags: {
    ...CHOICE_FLAGS,
    states: { type: 'string', short: 't', placeholder: 'STATES', help: 'PD,R,…; all: also what is over' },
    start: { type: 'switch', help: 'when jobs that wait are expected to start' },
    ...FORMAT_FLAGS,
    ...BATCH_FLAGS,
  },
  async run(_args, flags, ports, io) {
    const states = statesOf(flags, 'states', io)
    if (states === undefined) return EXIT.failed
    const isAll = typeof flags['states'] === 'string'
    const isStart = flags['start'] === true
    const shown = (job: SlurmJob): boolean => {
      if (!isChosen(flags, job) || (isStart && job.code !== 'PD')) return false
      return states === null ? isAll || !OVER.has(job.code) : states.has(job.code)
    }
    const views = await batchViews(flags, ports, (view) => view.jobs.some(shown))
    return printEach(views, io, (view) =>
      formatSqueue(view.jobs.filter(shown).toSorted(inOrder), layoutOf(flags, isStart ? SQUEUE_START : undefined), {
        timeZone: view.timeZone,
        header: flags['noheader'] === true ? 'off' : 'on',
      }),
    )
  },
}

function layoutOf(flags: Values, otherwise?: string): { readonly format?: string; readonly names?: string } {
  const { format = otherwise, Format: names } = flags
  return {
    ...(typeof format === 'string' ? { format } : {}),
    ...(typeof names === 'string' ? { names } : {}),
  }
}

const sinfo: Command<CliPorts> = {
  name: 'sinfo',
  group: 'Batch',
  summary: 'Queues and nodes, as Slurm shows them',
  flags: {
    partition: CHOICE_FLAGS.partition,
    states: { type: 'string', short: 't', placeholder: 'STATES', help: 'nodes in these states only' },
    ...FORMAT_FLAGS,
    ...BATCH_FLAGS,
  },
  async run(_args, flags, ports, io) {
    const partitions = listOf(flags, 'partition')
    const states = listOf(flags, 'states')?.map((word) => NODE_WORDS[word.toLowerCase()] ?? word.toLowerCase())
    const shown = (row: SlurmNodes): boolean =>
      (partitions === undefined || partitions.includes(row.partition)) &&
      (states === undefined || states.includes(row.state))
    const views = await batchViews(flags, ports, (view) => view.nodes.some(shown))
    return printEach(views, io, (view) =>
      formatSinfo(view.nodes.filter(shown), layoutOf(flags), { header: flags['noheader'] === true ? 'off' : 'on' }),
    )
  },
}

const NODE_WORDS: Readonly<Record<string, string>> = {
  alloc: 'allocated',
  mix: 'mixed',
  drain: 'drained',
  drng: 'draining',
}

const DAY_MS = 86_400_000

const sacct: Command<CliPorts> = {
  name: 'sacct',
  group: 'Batch',
  summary: 'What became of jobs, as Slurm accounts for them',
  flags: {
    jobs: CHOICE_FLAGS.jobs,
    user: CHOICE_FLAGS.user,
    name: { type: 'string', placeholder: 'NAMES', help: CHOICE_FLAGS.name.help },
    partition: { ...CHOICE_FLAGS.partition, short: 'r' },
    state: { type: 'string', short: 's', placeholder: 'STATES', help: 'CD,F,TO,…' },
    starttime: { type: 'string', short: 'S', placeholder: 'TIME', help: 'since when; by itself since midnight' },
    endtime: { type: 'string', short: 'E', placeholder: 'TIME', help: 'until when' },
    format: { type: 'string', short: 'o', placeholder: 'NAMES', help: 'fields as name[%width],…' },
    noheader: { type: 'switch', short: 'n', help: FORMAT_FLAGS.noheader.help },
    parsable: { type: 'switch', short: 'p', help: 'a | after each field' },
    parsable2: { type: 'switch', short: 'P', help: 'a | between fields' },
    delimiter: { type: 'string', help: 'in place of |' },
    allocations: { type: 'switch', short: 'X', help: 'taken, and nothing else is shown: jobs have no steps' },
    ...BATCH_FLAGS,
  },
  async run(_args, flags, ports, io) {
    const states = statesOf(flags, 'state', io)
    if (states === undefined) return EXIT.failed
    const inTime = (view: BatchView): ((job: SlurmJob) => boolean) | string => {
      const since = momentOf(flags, 'starttime', view)
      const until = momentOf(flags, 'endtime', view)
      if (typeof since === 'string') return since
      if (typeof until === 'string') return until
      // Jobs that are asked for by name are shown however old they are, as sacct has it.
      const isNamed = flags['jobs'] !== undefined && flags['starttime'] === undefined
      const fromMs = since ?? (isNamed ? -Infinity : midnight(view))
      return (job) =>
        (job.endMs === null || !OVER.has(job.code) || job.endMs >= fromMs) && job.submitMs <= (until ?? Infinity)
    }
    const views = await batchViews(flags, ports, (view) => view.jobs.length > 0)
    const { delimiter, format } = flags
    return printEach(views, io, (view) => {
      const within = inTime(view)
      if (typeof within === 'string') return { ok: false, because: within }
      const jobs = view.jobs.filter(
        (job) => isChosen(flags, job) && within(job) && (states === null || states.has(job.code)),
      )
      return formatSacct(
        jobs.toSorted((a, b) => a.submitMs - b.submitMs || (a.id < b.id ? -1 : 1)),
        typeof format === 'string' ? format : undefined,
        {
          timeZone: view.timeZone,
          header: flags['noheader'] === true ? 'off' : 'on',
          style: flags['parsable2'] === true ? 'parsable2' : flags['parsable'] === true ? 'parsable' : 'columns',
          ...(typeof delimiter === 'string' ? { delimiter } : {}),
        },
      )
    })
  },
}

function midnight(view: BatchView): number {
  return (readMoment('tomorrow', view.asOfMs, view.timeZone) ?? view.asOfMs) - DAY_MS
}

function momentOf(flags: Values, flag: string, view: BatchView): number | string | undefined {
  const text = flags[flag]
  if (typeof text !== 'string') return undefined
  return readMoment(text, view.asOfMs, view.timeZone) ?? `Invalid time specification: ${text}`
}

export const SLURM: readonly Command<CliPorts>[] = [squeue, sinfo, sacct, ...SLURM_WORDS]
