/** Is the gang whole? Which tasks may be made yet? What the scheduler is told of the job. */
import { type Draft, slotAt, update } from './draft.ts'
import { DoneSet, indexesOf, slotKey } from './record.ts'
import type { BatchJobSpec, JobRecord, Slot, TaskSpec } from './types.ts'

export interface Tally {
  readonly total: number
  readonly done: number
  readonly failed: number
  readonly running: number
  /** On a node and not running yet. */
  readonly bound: number
}

export function tallyOf(draft: Draft): Tally {
  const tally = { total: draft.places.length, done: 0, failed: 0, running: 0, bound: 0 }
  for (const { key, task, index } of draft.places) {
    if (draft.done.has(task.name, index)) tally.done++
    else {
      const { state, uid } = slotAt(draft, key)
      const pod = draft.pods.get(key)
      if (state === 'failed') tally.failed++
      else if (state === 'running') tally.running++
      else if (state === 'pending' && pod?.uid === uid && pod?.node !== '') tally.bound++
    }
  }
  return tally
}

/** Tasks whose forerunners run, or have run. */
export function releasedTasks(
  spec: BatchJobSpec,
  slots: ReadonlyMap<string, Slot>,
  done: DoneSet,
): ReadonlySet<string> {
  const isReady = (name: string): boolean => {
    const task = spec.tasks.find((candidate) => candidate.name === name)
    if (task === undefined) return true
    const running = indexesOf(spec, task).filter((index) => slots.get(slotKey(name, index))?.state === 'running').length
    return running + done.count(name) >= Math.max(1, task.minAvailable)
  }
  // Once made, a task is not unmade because the one it waited for is made anew.
  const isMade = (task: TaskSpec): boolean =>
    done.count(task.name) > 0 || indexesOf(spec, task).some((index) => slots.has(slotKey(task.name, index)))
  const released = spec.tasks.filter(({ dependsOn, ...task }) => {
    if (dependsOn === null || isMade({ ...task, dependsOn })) return true
    return dependsOn.iteration === 'any' ? dependsOn.names.some(isReady) : dependsOn.names.every(isReady)
  })
  return new Set(released.map((task) => task.name))
}

/** How many pods must be there together now: never more than there are pods that may be made. */
export function gangSize(spec: BatchJobSpec, released: ReadonlySet<string>): number {
  if (spec.array !== null) return 1
  const made = spec.tasks.filter((task) => released.has(task.name))
  return Math.min(
    spec.minAvailable,
    made.reduce((sum, task) => sum + task.replicas, 0),
  )
}

/** A gang that is partly there has until `gangTimeoutMs` after its last step forward. True: it is over that. */
export function watchGang(draft: Draft, tally: Tally, needed: number): boolean {
  const ready = tally.running + tally.done + tally.failed
  const isPartly = needed > 1 && tally.running + tally.bound > 0 && ready < needed
  const { gang } = draft.record
  if (!isPartly) {
    if (gang !== null) update(draft, { gang: null })
    return false
  }
  const watched = gang !== null && ready <= gang.best ? gang : { sinceMs: draft.nowMs, best: ready }
  if (watched !== gang) update(draft, { gang: watched })
  const endMs = watched.sinceMs + draft.spec.gangTimeoutMs
  if (draft.nowMs >= endMs) return true
  draft.alarms.push(endMs)
  return false
}

/** What the scheduler core takes as a job (`JobInput` there). */
export interface SchedulerJob {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly queue: string
  readonly priorityClassName?: string
  readonly minMember: number
  readonly minTaskMember?: Readonly<Record<string, number>>
  readonly createdMs: number
  readonly timeLimitMs?: number
  readonly preemptible: boolean
}

/** Completed pods hold no place in the gang any more, and tasks that wait for others none yet. */
export function schedulerJob(spec: BatchJobSpec, record: JobRecord): SchedulerJob {
  const done = new DoneSet(record)
  const released = releasedTasks(spec, new Map(Object.entries(record.slots)), done)
  const members = spec.tasks
    .filter((task) => released.has(task.name))
    .map((task) => [task.name, Math.max(0, task.minAvailable - done.count(task.name))] as const)
  const isGang = spec.array === null
  return {
    namespace: spec.namespace,
    name: spec.name,
    uid: record.uid,
    queue: spec.queue,
    ...(spec.priorityClassName === null ? {} : { priorityClassName: spec.priorityClassName }),
    minMember: isGang ? Math.max(1, gangSize(spec, released) - done.total) : 0,
    ...(isGang ? { minTaskMember: Object.fromEntries(members) } : {}),
    createdMs: record.createdMs,
    ...(spec.timeLimitMs === null ? {} : { timeLimitMs: spec.timeLimitMs }),
    preemptible: spec.preemptible,
  }
}
