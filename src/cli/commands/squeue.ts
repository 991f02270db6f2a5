/** squeue: jobs that wait or run, with Slurm's options as far as they mean something here. */
import { readArrayTask } from '../../core/batch/arrays.ts'
import type { SlurmJob } from '../../core/batch/slurm-columns.ts'
import { type Formatted, formatSqueue, squeueLayout } from '../../core/batch/slurm-format.ts'
import { squeueJson } from '../../core/batch/slurm-json.ts'
import { byQueue, byStart, readJobSort } from '../../core/batch/slurm-sort.ts'
import { formatStamp } from '../../core/batch/slurm-time.ts'
import type { BatchView } from '../../core/batch/view.ts'
import type { Command, Io, Values } from '../command.ts'
import { EXIT } from '../exit.ts'
import type { CliPorts } from '../ports.ts'
import { BATCH_FLAGS, batchViews } from './batch-views.ts'
import { CHOICE_FLAGS,
  areThere, FORMAT_FLAGS, headerOf, hostsOf, isChosen, layoutOf, OVER, printEach, printJson, statesOf, WHO_FLAGS,
} from './slurm-flags.ts' // prettier-ignore

export const squeue: Command<CliPorts> = {
  name: 'squeue',
  group: 'Batch',
  summary: 'Jobs that wait or run, as Slurm shows them',
  flags: {
    ...CHOICE_FLAGS,
    ...WHO_FLAGS,
    states: { type: 'string', short: 't', placeholder: 'STATES', help: 'PD,R,…; all: also what is over' },
    nodelist: { type: 'string', short: 'w', placeholder: 'NODES', help: 'jobs on these nodes only' },
    start: { type: 'switch', help: 'when jobs that wait are expected to start' },
    array: { type: 'switch', short: 'r', help: 'a line for each element of an array' },
    all: { type: 'switch', short: 'a', help: 'taken; no queue is hidden' },
    ...FORMAT_FLAGS,
    ...BATCH_FLAGS,
  },
  async run(_args, flags, ports, io) {
    const shown = choose(flags, io)
    if (shown === undefined) return EXIT.failed
    const views = await batchViews(flags, ports, (view) => view.jobs.some(shown))
    if (!areThere(flags, views, io)) return EXIT.difference
    const rows = (view: BatchView): readonly SlurmJob[] => {
      const jobs = view.jobs.filter(shown)
      return flags['array'] === true ? jobs.flatMap(elementsOf) : jobs
    }
    if (flags['json'] === true) return printJson(views, io, squeueJson(views.sites.flatMap(rows)))
    return printEach(views, io, (view) => show(rows(view), view, flags))
  },
}

/** undefined: what is wrong was said. */
function choose(flags: Values, io: Io): ((job: SlurmJob) => boolean) | undefined {
  const states = statesOf(flags, 'states', io)
  const hosts = hostsOf(flags, 'nodelist', io)
  if (states === undefined || hosts === undefined) return undefined
  const isAll = typeof flags['states'] === 'string'
  return (job) => {
    if (!isChosen(flags, job) || (flags['start'] === true && job.code !== 'PD')) return false
    if (hosts !== null && !job.nodes.some((node) => hosts.has(node))) return false
    return states === null ? isAll || !OVER.has(job.code) : states.has(job.code)
  }
}

function show(jobs: readonly SlurmJob[], view: BatchView, flags: Values): Formatted {
  const { timeZone } = view
  const isStart = flags['start'] === true
  const isLong = flags['long'] === true && !isStart
  const sort = flags['sort']
  const order =
    typeof sort === 'string'
      ? readJobSort(sort, timeZone)
      : ({ ok: true, compare: isStart ? byStart : byQueue } as const)
  if (!order.ok) return order
  const layout = layoutOf(flags, squeueLayout(isStart ? 'start' : isLong ? 'long' : 'short', jobs))
  const shown = formatSqueue(jobs.toSorted(order.compare), layout, { timeZone, header: headerOf(flags) })
  return shown.ok && isLong ? { ok: true, text: `${formatStamp(view.asOfMs, timeZone)}\n${shown.text}` } : shown
}

function elementsOf(job: SlurmJob): readonly SlurmJob[] {
  if (job.arrayTask === null) return [job]
  return [...readArrayTask(job.arrayTask)].map((index) => ({
    ...job,
    id: `${job.arrayJobId}_${index}`,
    arrayTask: String(index),
  }))
}
