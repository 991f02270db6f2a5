/** The journal's record of one job: how it begins, and how its slots are read and written. */
import { instantsOf, wallAt } from '../calendar/zone.ts'
import { formatRanges, readRanges } from './arrays.ts'
import type { BatchJobSpec, Deadline, JobPhase, JobRecord, Slot, TaskSpec } from './types.ts'

const DAY_MS = 86_400_000

export interface Beginning {
  /** This job and no later one of its name: the object's UID, or a digest of where it came from. */
  readonly uid: string
  readonly createdMs: number
  /** The site's own: deadlines such as 05:00 are by its wall clock. */
  readonly timeZone: string
}

export function beginJob(spec: BatchJobSpec, { uid, createdMs, timeZone }: Beginning): JobRecord {
  return {
    format: 1,
    namespace: spec.namespace,
    name: spec.name,
    uid,
    createdMs,
    deadlineMs: spec.deadline === null ? null : deadlineAt(spec.deadline, createdMs, timeZone),
    phase: 'Pending',
    phaseSinceMs: createdMs,
    because: null,
    version: 1,
    retries: 0,
    requeues: 0,
    streak: 0,
    startedMs: null,
    firstStartedMs: null,
    finishedMs: null,
    notBeforeMs: spec.beginMs !== null && spec.beginMs > createdMs ? spec.beginMs : null,
    admitted: false,
    gang: null,
    done: {},
    slots: {},
    delayed: [],
    said: [],
    commands: [],
    expired: false,
  }
}

/** A wall time that a clock change skips on its day is that of the next day. */
function deadlineAt(deadline: Deadline, createdMs: number, timeZone: string): number {
  if (deadline.is === 'moment') return deadline.atMs
  if (deadline.is === 'after') return createdMs + deadline.ms
  const todayMs = Math.floor(wallAt(timeZone, createdMs) / DAY_MS) * DAY_MS
  const timeMs = (deadline.hour * 60 + deadline.minute) * 60_000
  for (let day = 0; day <= 2; day++) {
    const atMs = instantsOf(timeZone, todayMs + day * DAY_MS + timeMs).find((ms) => ms > createdMs)
    if (atMs !== undefined) return atMs
  }
  return createdMs + DAY_MS
}

export function isOver(phase: JobPhase): boolean {
  return phase === 'Completed' || phase === 'Terminated' || phase === 'Failed'
}

/** Every pod's place, in the order in which they are made: tasks as written, indexes ascending. */
export interface Place {
  readonly key: string
  readonly task: TaskSpec
  readonly index: number
}

export function placesOf(spec: BatchJobSpec): readonly Place[] {
  return spec.tasks.flatMap((task) =>
    indexesOf(spec, task).map((index) => ({ key: slotKey(task.name, index), task, index })),
  )
}

export function indexesOf(spec: BatchJobSpec, task: TaskSpec): readonly number[] {
  return spec.array?.indexes ?? Array.from({ length: task.replicas }, (_, i) => i)
}

export function slotKey(task: string, index: number): string {
  return `${task}/${index}`
}

export function newSlot(record: JobRecord): Slot {
  return { version: record.version, state: 'idle', sinceMs: record.phaseSinceMs, retries: 0, requeues: 0, streak: 0 }
}

/** What has completed, as keys of slots. */
export class DoneSet {
  readonly #done: Map<string, Set<number>>
  #changed = false

  constructor(record: JobRecord) {
    this.#done = new Map(Object.entries(record.done).map(([task, ranges]) => [task, readRanges(ranges)]))
  }

  has(task: string, index: number): boolean {
    return this.#done.get(task)?.has(index) ?? false
  }

  add(task: string, index: number): void {
    const indexes = this.#done.get(task) ?? new Set<number>()
    this.#done.set(task, indexes.add(index))
    this.#changed = true
  }

  count(task: string): number {
    return this.#done.get(task)?.size ?? 0
  }

  get total(): number {
    return [...this.#done.values()].reduce((sum, indexes) => sum + indexes.size, 0)
  }

  /** As the record keeps it; the same object where nothing was added. */
  written(before: JobRecord['done']): JobRecord['done'] {
    if (!this.#changed) return before
    return Object.fromEntries([...this.#done].map(([task, indexes]) => [task, formatRanges(indexes)]))
  }
}
