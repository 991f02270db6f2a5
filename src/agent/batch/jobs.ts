/** Steps every job of the site once: rows to write, then pods to make and delete. Pure; the decisions are in core/batch. */
import { dependencyCircles, dependencyGate, factOf, type JobFact, JobFacts } from '../../core/batch/dependencies.ts'
import { stepJob } from '../../core/batch/lifecycle.ts'
import { parseBatchJob } from '../../core/batch/parse.ts'
import { readPod } from '../../core/batch/pods.ts'
import { queueGate, type QueueTree, withQueueLimits } from '../../core/batch/queue.ts'
import { isOver } from '../../core/batch/record.ts'
import {
  type BatchJobSpec,
  type JobRecord,
  type JobWait,
  POD_LABELS,
  type PodDelete,
  type PodPlan,
  type PodSeen,
} from '../../core/batch/types.ts'
import type { JsonObject } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'
import type { JobRow, Journal, Row } from './journal.ts'

/** What is to be done for one job once its row is written. */
export interface JobAct {
  readonly key: string
  readonly row: JobRow
  /** As it was before the step. */
  readonly before: JobRecord
  readonly spec: BatchJobSpec
  readonly create: readonly PodPlan[]
  readonly delete: readonly PodDelete[]
  /** Nothing of it is left: what stood beside its pods goes. */
  readonly clean: boolean
  readonly notes: readonly string[]
}

export interface JobsStep {
  readonly rows: Map<string, Row | null>
  readonly acts: readonly JobAct[]
  readonly waits: ReadonlyMap<string, JobWait>
  readonly nextAtMs: number | null
}

export interface JobsInput {
  readonly journal: Journal
  readonly tree: QueueTree
  readonly pods: ReadonlyMap<string, readonly PodSeen[]>
  readonly nowMs: number
}

const specs = new WeakMap<JsonObject, BatchJobSpec | null>()

/** Read once a document. null: it can no longer be read; its row stays as it is. */
export function specOf({ document, group }: Pick<JobRow, 'document' | 'group'>): BatchJobSpec | null {
  const known = specs.get(document)
  if (known !== undefined) return known
  const parsed = parseBatchJob(document)
  const spec = parsed.ok ? { ...parsed.value, group } : null
  specs.set(document, spec)
  return spec
}

/** Pods of jobs by `namespace/job`; `isGone` says which nodes are no more. */
export function podsByJob(
  pods: Iterable<Manifest>,
  isGone: (node: string) => boolean,
): ReadonlyMap<string, readonly PodSeen[]> {
  const byJob = new Map<string, PodSeen[]>()
  for (const pod of pods) {
    const seen = readPod(pod)
    const job = pod.metadata.labels?.[POD_LABELS.job]
    if (seen === undefined || job === undefined) continue
    const key = `${pod.metadata.namespace ?? ''}/${job}`
    const list = byJob.get(key) ?? []
    list.push(seen.node !== '' && isGone(seen.node) ? { ...seen, nodeGone: true } : seen)
    byJob.set(key, list)
  }
  return byJob
}

export function factsOf(journal: Journal): readonly JobFact[] {
  return [...journal.jobs().values()].flatMap((row) => {
    const spec = specOf(row)
    return spec === null ? [] : [factOf(spec, row.record)]
  })
}

export function stepJobs({ journal, tree, pods, nowMs }: JobsInput): JobsStep {
  const facts = new JobFacts(factsOf(journal))
  const live = [...journal.jobs().values()].flatMap((row) => (isOver(row.record.phase) ? [] : (specOf(row) ?? [])))
  const circles = dependencyCircles(live)
  const rows = new Map<string, Row | null>()
  const acts: JobAct[] = []
  const waits = new Map<string, JobWait>()
  let nextAtMs: number | null = null
  for (const [key, row] of journal.jobs()) {
    const spec = specOf(row)
    const seen = pods.get(`${row.record.namespace}/${row.record.name}`) ?? []
    if (spec === null || row.leaving) {
      acts.push(leave(key, row, spec, seen))
      continue
    }
    if (isDone(row, spec) && seen.length === 0) {
      if (!row.cleaned && row.record.expired) acts.push({ ...nothing(key, row, spec), clean: true })
      continue
    }
    const limited = withQueueLimits(spec, tree)
    const gate = dependencyGate(spec, row.record, facts, circles)
    const step = stepJob(limited, row.record, seen, row.commands, gate, nowMs, queueGate(spec, tree))
    const next =
      step.record === row.record && row.commands.length === 0 ? row : { ...row, record: step.record, commands: [] }
    if (next !== row) rows.set(key, next)
    if (step.wait !== null) waits.set(key, step.wait)
    if (step.nextAtMs !== null) nextAtMs = Math.min(nextAtMs ?? Infinity, step.nextAtMs)
    const { create, delete: gone, notes } = step
    if (create.length + gone.length + notes.length > 0)
      acts.push({ key, row: next, before: row.record, spec: limited, create, delete: gone, clean: false, notes })
  }
  return { rows, acts, waits, nextAtMs }
}

/** Over, and nothing changes by time any more. */
function isDone({ record, commands }: JobRow, { ttlMs }: BatchJobSpec): boolean {
  return isOver(record.phase) && commands.length === 0 && (record.expired || ttlMs === null)
}

function nothing(key: string, row: JobRow, spec: BatchJobSpec): JobAct {
  return { key, row, before: row.record, spec, create: [], delete: [], clean: false, notes: [] }
}

/** Its pods go, and once they are gone what stood beside them. A job that cannot be read any more is left alone. */
function leave(key: string, row: JobRow, spec: BatchJobSpec | null, seen: readonly PodSeen[]): JobAct {
  const own = seen.filter(({ jobUid }) => jobUid === row.record.uid)
  const because = 'it is not wanted any more'
  const gone = own
    .filter((pod) => !pod.terminating || pod.nodeGone)
    .map(({ name, uid, nodeGone }): PodDelete => ({ name, uid, how: nodeGone ? 'force' : 'graceful', because }))
  const asSpec = spec ?? ({ ...row.record, plugins: {}, tasks: [] } as unknown as BatchJobSpec)
  if (!row.leaving) return nothing(key, row, asSpec)
  return { ...nothing(key, row, asSpec), delete: gone, clean: own.length === 0 }
}
