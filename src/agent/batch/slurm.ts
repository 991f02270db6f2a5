/** The site's jobs, nodes and queues as the rows of squeue, sacct, sinfo and `queue list`. Pure. */
import { formatRanges } from '../../core/batch/arrays.ts'
import { objectOf } from '../../core/batch/fields.ts'
import { type QueueTree, withQueueLimits } from '../../core/batch/queue.ts'
import { DoneSet, indexesOf, isOver, slotKey } from '../../core/batch/record.ts'
import { endReason, placedReason, slurmReason, type WaitWords } from '../../core/batch/slurm-reason.ts'
import { elementEnd, slurmCode, slurmExitCode, type SlurmCode } from '../../core/batch/slurm-state.ts'
import type { SlurmJob } from '../../core/batch/slurm-columns.ts'
import type { BatchJobSpec, PodSeen, Slot, TaskSpec } from '../../core/batch/types.ts'
import { milliOf, parseQuantity, wholeOf } from '../../core/kube/quantity.ts'
import { isObject, type Json } from '../../core/model/json.ts'
import { specOf } from './jobs.ts'
import type { JobRow } from './journal.ts'

const MIB = 2 ** 20

export interface JobContext {
  readonly site: string
  readonly nowMs: number
  readonly pods: readonly PodSeen[]
  readonly words: WaitWords
  readonly expectedMs: number | undefined
  /** Queues' limits hold for jobs that have none. */
  readonly tree: QueueTree
}

/** One row a job; of an array one for all elements that wait, and one for each that does not. */
export function slurmJobs(row: JobRow, context: JobContext): readonly SlurmJob[] {
  const own = specOf(row)
  if (own === null) return []
  const spec = withQueueLimits(own, context.tree)
  const whole = wholeRow(row, spec, context)
  const lines = spec.array === null ? [whole] : elements(row, spec, whole, context)
  const [first, ...rest] = lines
  if (first === undefined || row.from !== 'git' || !isOver(row.record.phase)) return lines
  return [{ ...first, over: { uid: row.record.uid, code: whole.code } }, ...rest]
}

function wholeRow(row: JobRow, spec: BatchJobSpec, { site, nowMs, pods, words, expectedMs }: JobContext): SlurmJob {
  const { record } = row
  const own = pods.filter(({ jobUid }) => jobUid === record.uid)
  const placed = own.filter(({ node, phase }) => node !== '' && (phase === 'Running' || phase === 'Pending'))
  const isOut = isOver(record.phase)
  const nodes = [...new Set((isOut ? own : placed).map(({ node }) => node).filter((node) => node !== ''))].toSorted()
  const code = slurmCode(record, placed.length > 0 ? 'bound' : 'unbound')
  const started = isOut ? record.firstStartedMs : record.startedMs
  const startMs = started ?? (isOut ? null : (expectedMs ?? null))
  const sizes = spec.tasks.map((task) => ({ ...sizeOf(task), pods: indexesOf(spec, task).length }))
  const runsUntilMs =
    record.startedMs !== null && spec.timeLimitMs !== null ? record.startedMs + spec.timeLimitMs : null
  return {
    id: record.name,
    arrayJobId: record.name,
    arrayTask: null,
    name: spec.group,
    partition: spec.queue,
    user: row.user,
    account: '',
    cluster: site,
    code,
    reason: slurmReason(record, words),
    submitMs: record.createdMs,
    startMs,
    endMs: record.finishedMs ?? runsUntilMs,
    timeLimitMs: spec.timeLimitMs,
    usedMs: started === null ? 0 : Math.max(0, (record.finishedMs ?? nowMs) - started),
    nodes,
    nodeCount: Math.max(1, nodes.length),
    tasks: sizes.reduce((sum, { pods: count }) => sum + count, 0),
    cpus: sizes.reduce((sum, { cpus, pods: count }) => sum + cpus * count, 0),
    memoryMiB: Math.max(0, ...sizes.map(({ memoryMiB }) => memoryMiB)),
    priority: 1,
    dependency: words.wait?.reason === 'Dependency' ? dependencyText(spec) : '',
    exitCode: slurmExitCode(record),
    restarts: record.retries + record.requeues,
    comment: spec.annotations['flotilla.dev/comment'] ?? '',
  }
}

function dependencyText({ dependency }: BatchJobSpec): string {
  const after = dependency.after.map(({ kind, job }) => `${kind}:${job}(unfulfilled)`)
  return [...after, ...(dependency.singleton ? ['singleton'] : [])].join(',')
}

function elements(
  row: JobRow,
  spec: BatchJobSpec,
  whole: SlurmJob,
  { pods, nowMs, words }: JobContext,
): readonly SlurmJob[] {
  const { record } = row
  const [task] = spec.tasks
  if (task === undefined) return []
  const done = new DoneSet(record)
  const waiting: number[] = []
  const rows: SlurmJob[] = []
  const one = { ...whole, tasks: 1, cpus: sizeOf(task).cpus, nodeCount: 1 }
  for (const index of indexesOf(spec, task)) {
    const slot = record.slots[slotKey(task.name, index)]
    const pod = pods.find((seen) => seen.jobUid === record.uid && seen.index === index)
    const code = elementCode(row, slot, done.has(task.name, index), pod)
    if (code === 'PD') {
      waiting.push(index)
      continue
    }
    const startMs = slot?.startedMs ?? pod?.startedMs ?? null
    const isRunning = code === 'R' || code === 'CG' || code === 'CF'
    const endMs = isRunning ? null : (pod?.finishedMs ?? slot?.sinceMs ?? null)
    rows.push({
      ...one,
      id: `${whole.id}_${index}`,
      arrayTask: String(index),
      code,
      reason: slot?.state === 'failed' ? endReason({ because: slot.because ?? null }) : 'None',
      startMs,
      endMs: endMs ?? (startMs !== null && spec.timeLimitMs !== null ? startMs + spec.timeLimitMs : null),
      usedMs: startMs === null ? 0 : Math.max(0, (endMs ?? nowMs) - startMs),
      nodes: pod === undefined || pod.node === '' ? [] : [pod.node],
      exitCode: slot?.exitCode === undefined ? '0:0' : exitText(slot.exitCode),
      restarts: (slot?.retries ?? 0) + (slot?.requeues ?? 0),
    })
  }
  if (waiting.length === 0) return rows
  const code = whole.code === 'R' ? 'PD' : whole.code
  const alive = rows.filter((one) => ALIVE.has(one.code)).length
  const reason = whole.code !== 'R' ? whole.reason : alive >= (spec.array?.maxParallel ?? Infinity) ? 'JobArrayTaskLimit' : elementReason(words) // prettier-ignore
  return [
    { ...one, arrayTask: waitingText(waiting, spec), code, reason, usedMs: 0, startMs: null, endMs: null, nodes: [] },
    ...rows,
  ]
}

function waitingText(indexes: readonly number[], { array }: BatchJobSpec): string {
  const most = array?.maxParallel ?? null
  return indexes.length === 1 || most === null ? formatRanges(indexes) : `${formatRanges(indexes)}%${most}`
}

const ALIVE: ReadonlySet<SlurmCode> = new Set(['R', 'CF', 'CG'])

/** Of those that wait while others of the array run. */
function elementReason({ placed, trouble }: WaitWords): string {
  return trouble ?? (placed === undefined ? 'Resources' : placedReason(placed))
}

function elementCode(row: JobRow, slot: Slot | undefined, isDone: boolean, pod: PodSeen | undefined): SlurmCode {
  if (isDone) return 'CD'
  if (slot?.state === 'failed') return elementEnd(slot.because?.cause)
  if (slot?.state === 'running' || slot?.state === 'unknown') return 'R'
  if (slot?.state === 'stopping') return 'CG'
  if (slot?.state === 'pending' && pod !== undefined && pod.node !== '') return 'CF'
  return isOver(row.record.phase) ? slurmCode(row.record) : 'PD'
}

function exitText(code: number): string {
  return code > 128 && code < 192 ? `0:${code - 128}` : `${code}:0`
}

interface Size {
  readonly cpus: number
  readonly memoryMiB: number
}

/** Of one pod, as Slurm counts: one CPU at least. */
function sizeOf({ template }: TaskSpec): Size {
  const containers = objectOf(template['spec'])['containers']
  let milli = 0
  let bytes = 0
  for (const container of Array.isArray(containers) ? (containers as readonly Json[]) : []) {
    const resources = isObject(container) ? objectOf(container['resources']) : {}
    const asked = { ...objectOf(resources['limits']), ...objectOf(resources['requests']) }
    milli += amount(asked['cpu'], milliOf)
    bytes += amount(asked['memory'], wholeOf)
  }
  return { cpus: Math.max(1, Math.ceil(milli / 1_000)), memoryMiB: Math.ceil(bytes / MIB) }
}

type Read = typeof milliOf

export function amount(value: Json | undefined, read: Read): number {
  if (typeof value !== 'string' && typeof value !== 'number') return 0
  const parsed = parseQuantity(value)
  return parsed.ok ? (read(parsed.quantity) ?? 0) : 0
}
