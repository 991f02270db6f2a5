/** sacct: what became of jobs, with Slurm's options as far as they mean something here. */
import type { SlurmJob } from '../../core/batch/slurm-columns.ts'
import { formatSacct, SACCT_BRIEF, SACCT_LONG, sacctNames } from '../../core/batch/slurm-format.ts'
import { sacctJson } from '../../core/batch/slurm-json.ts'
import { byAge } from '../../core/batch/slurm-sort.ts'
import { readMoment } from '../../core/batch/slurm-time.ts'
import type { BatchView } from '../../core/batch/view.ts'
import type { Command, Values } from '../command.ts'
import { EXIT } from '../exit.ts'
import type { CliPorts } from '../ports.ts'
import { BATCH_FLAGS, batchViews } from './batch-views.ts'
import { CHOICE_FLAGS, hostsOf, isChosen, OVER, printEach, printJson, statesOf, WHO_FLAGS } from './slurm-flags.ts'

export const sacct: Command<CliPorts> = {
  name: 'sacct',
  group: 'Batch',
  summary: 'What became of jobs, as Slurm accounts for them',
  flags: {
    jobs: CHOICE_FLAGS.jobs,
    ...WHO_FLAGS,
    allusers: { type: 'switch', short: 'a', help: 'taken; jobs of all are shown' },
    name: { type: 'string', placeholder: 'NAMES', help: CHOICE_FLAGS.name.help },
    partition: { ...CHOICE_FLAGS.partition, short: 'r' },
    nodelist: { type: 'string', short: 'N', placeholder: 'NODES', help: 'jobs that ran on these nodes only' },
    state: { type: 'string', short: 's', placeholder: 'STATES', help: 'CD,F,TO,…' },
    starttime: { type: 'string', short: 'S', placeholder: 'TIME', help: 'since when; by itself since midnight' },
    endtime: { type: 'string', short: 'E', placeholder: 'TIME', help: 'until when' },
    format: { type: 'string', short: 'o', placeholder: 'NAMES', help: 'fields as name[%width],…' },
    long: { type: 'switch', short: 'l', help: 'many columns' },
    brief: { type: 'switch', short: 'b', help: 'job, state and exit code' },
    helpformat: { type: 'switch', short: 'e', help: 'the names that --format takes' },
    noheader: { type: 'switch', short: 'n', help: 'no line of headings' },
    parsable: { type: 'switch', short: 'p', help: 'a | after each field' },
    parsable2: { type: 'switch', short: 'P', help: 'a | between fields' },
    delimiter: { type: 'string', help: 'in place of |' },
    allocations: { type: 'switch', short: 'X', help: 'taken, and nothing else is shown: jobs have no steps' },
    duplicates: { type: 'switch', short: 'D', help: 'taken; a job that was made anew stands in one line' },
    json: { type: 'switch', help: "as JSON, by the names of Slurm's data parser" },
    ...BATCH_FLAGS,
  },
  async run(_args, flags, ports, io) {
    if (flags['helpformat'] === true) {
      io.out(sacctNames())
      return EXIT.ok
    }
    const states = statesOf(flags, 'state', io)
    const hosts = hostsOf(flags, 'nodelist', io)
    if (states === undefined || hosts === undefined) return EXIT.failed
    const views = await batchViews(flags, ports, (view) => view.jobs.length > 0)
    const rows = (view: BatchView): readonly SlurmJob[] | string => {
      const within = inTime(flags, view)
      if (typeof within === 'string') return within
      const isShown = (job: SlurmJob): boolean =>
        isChosen(flags, job) &&
        within(job) &&
        (states === null || states.has(job.code)) &&
        (hosts === null || job.nodes.some((node) => hosts.has(node)))
      return view.jobs.filter(isShown).toSorted(byAge)
    }
    if (flags['json'] === true) {
      const all: SlurmJob[] = []
      for (const view of views.sites) {
        const jobs = rows(view)
        if (typeof jobs === 'string') {
          io.err(`sacct: error: ${jobs}`)
          return EXIT.failed
        }
        all.push(...jobs)
      }
      return printJson(views, io, sacctJson(all))
    }
    return printEach(views, io, (view) => {
      const jobs = rows(view)
      if (typeof jobs === 'string') return { ok: false, because: jobs }
      const { delimiter } = flags
      return formatSacct(jobs, formatOf(flags), {
        timeZone: view.timeZone,
        header: flags['noheader'] === true ? 'off' : 'on',
        style: flags['parsable2'] === true ? 'parsable2' : flags['parsable'] === true ? 'parsable' : 'columns',
        ...(typeof delimiter === 'string' ? { delimiter } : {}),
      })
    })
  },
}

function formatOf({ format, long, brief }: Values): string | undefined {
  if (typeof format === 'string') return format
  return long === true ? SACCT_LONG : brief === true ? SACCT_BRIEF : undefined
}

/** Jobs that were there at some time between the two; or what is wrong with those. */
function inTime(flags: Values, view: BatchView): ((job: SlurmJob) => boolean) | string {
  const since = momentOf(flags, 'starttime', view)
  const until = momentOf(flags, 'endtime', view)
  if (typeof since === 'string') return since
  if (typeof until === 'string') return until
  // Jobs that are asked for by name are shown however old they are, as sacct has it.
  const isNamed = flags['jobs'] !== undefined && flags['starttime'] === undefined
  const fromMs = since ?? (isNamed ? -Infinity : midnight(view))
  if (until !== undefined && until < fromMs) return 'End time requested is before start time'
  return (job) =>
    (job.endMs === null || !OVER.has(job.code) || job.endMs >= fromMs) && job.submitMs <= (until ?? Infinity)
}

function midnight(view: BatchView): number {
  return readMoment('today', view.asOfMs, view.timeZone, 'past') ?? view.asOfMs
}

function momentOf(flags: Values, flag: string, view: BatchView): number | string | undefined {
  const text = flags[flag]
  if (typeof text !== 'string') return undefined
  return readMoment(text, view.asOfMs, view.timeZone, 'past') ?? `Invalid time specification: ${text}`
}
