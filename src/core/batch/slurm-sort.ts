/** The order of squeue's and sinfo's lines: by themselves, and by `-S`, in the letters of `-o`. */
import { SQUEUE_CODES, jobColumns, type SlurmJob, type SlurmNodes } from './slurm-columns.ts'
import { SLURM_STATES, type SlurmCode } from './slurm-state.ts'

export type Compare<T> = (a: T, b: T) => number
export type ReadSort<T> =
  | { readonly ok: true; readonly compare: Compare<T> }
  | { readonly ok: false; readonly because: string }

/** As Slurm numbers its states. */
const ORDER: readonly SlurmCode[] = ['PD', 'R', 'S', 'CD', 'CA', 'F', 'TO', 'NF', 'PR', 'BF', 'DL', 'OOM', 'CF', 'CG']

/** What is no text: by what a column is ordered. */
const NUMBERS: Readonly<Record<string, (job: SlurmJob) => number>> = {
  endtime: (job) => job.endMs ?? Infinity,
  minmemory: (job) => job.memoryMiB,
  numcpus: (job) => job.cpus,
  numnodes: (job) => job.nodeCount,
  numtasks: (job) => job.tasks,
  priority: (job) => job.priority,
  prioritylong: (job) => job.priority,
  starttime: (job) => job.startMs ?? Infinity,
  state: stateOrder,
  statecompact: stateOrder,
  submittime: (job) => job.submitMs,
  timeleft: (job) => (job.timeLimitMs === null ? Infinity : job.timeLimitMs - job.usedMs),
  timelimit: (job) => job.timeLimitMs ?? Infinity,
  timeused: (job) => job.usedMs,
}

function stateOrder({ code }: SlurmJob): number {
  const at = ORDER.indexOf(code)
  return at < 0 ? ORDER.length + Object.keys(SLURM_STATES).indexOf(code) : at
}

/** By partition, state, priority and age, as squeue does by itself. */
export function byQueue(a: SlurmJob, b: SlurmJob): number {
  if (a.partition !== b.partition) return a.partition < b.partition ? -1 : 1
  return stateOrder(a) - stateOrder(b) || b.priority - a.priority || byAge(a, b)
}

export function byAge(a: SlurmJob, b: SlurmJob): number {
  return a.submitMs - b.submitMs || compareTexts(a.id, b.id)
}

/** Those that start first; those of which nobody knows, last. */
export function byStart(a: SlurmJob, b: SlurmJob): number {
  return compareNumbers(a.startMs ?? Infinity, b.startMs ?? Infinity) || byAge(a, b)
}

/** `P,-t,u`: letters as of `-o`, with a - the other way round. */
export function readJobSort(text: string, timeZone: string): ReadSort<SlurmJob> {
  const columns = jobColumns(timeZone)
  const compares: Compare<SlurmJob>[] = []
  for (const part of text.split(',')) {
    const [, sign, letter = ''] = /^([+-]?)#?([A-Za-z])$/.exec(part.trim()) ?? []
    const name = Object.hasOwn(SQUEUE_CODES, letter) ? (SQUEUE_CODES[letter] as string) : undefined
    if (name === undefined)
      return { ok: false, because: `Invalid sort specification: ${part}; letters are ${Object.keys(SQUEUE_CODES).join('')}` } // prettier-ignore
    const number = NUMBERS[name]
    const column = columns[name]
    const compare: Compare<SlurmJob> =
      number === undefined
        ? (a, b) => compareTexts(column?.value(a) ?? '', column?.value(b) ?? '')
        : (a, b) => compareNumbers(number(a), number(b))
    compares.push(sign === '-' ? (a, b) => compare(b, a) : compare)
  }
  return {
    ok: true,
    compare: (a, b) => compares.reduce((so, compare) => (so === 0 ? compare(a, b) : so), 0) || byAge(a, b),
  }
}

function compareNumbers(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a === b ? 0 : 1
}

/** What is odd first, then what is busy, as sinfo has it. */
const NODE_ORDER: readonly SlurmNodes['state'][] = ['draining', 'drained', 'mixed', 'allocated', 'idle', 'down']

/** Within a partition; partitions stay as they come. */
export function nodesInOrder(rows: readonly SlurmNodes[]): readonly SlurmNodes[] {
  const partitions = [...new Set(rows.map(({ partition }) => partition))]
  return rows.toSorted(
    (a, b) =>
      partitions.indexOf(a.partition) - partitions.indexOf(b.partition) ||
      NODE_ORDER.indexOf(a.state) - NODE_ORDER.indexOf(b.state),
  )
}
