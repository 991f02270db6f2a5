/** A step's working copy of the record, and the answers it gathers. Lives for one call of `stepJob`. */
import { backoffMs, RAN_WELL_MS } from './backoff.ts'
import { DoneSet, newSlot, type Place, placesOf } from './record.ts'
import type {
  Because, BatchJobSpec, Delayed, JobPhase, JobRecord, PodDelete, PodPlan, PodSeen, Slot,
} from './types.ts' // prettier-ignore

export interface Draft {
  readonly spec: BatchJobSpec
  readonly nowMs: number
  readonly places: readonly Place[]
  /** As journalled, its plain fields replaced as the step goes on. */
  record: JobRecord
  readonly slots: Map<string, Slot>
  done: DoneSet
  /** The pod of each place, whatever its version. */
  readonly pods: ReadonlyMap<string, PodSeen>
  readonly create: PodPlan[]
  readonly delete: Map<string, PodDelete>
  readonly notes: string[]
  /** Moments at which something changes by itself. */
  readonly alarms: number[]
}

export function openDraft(
  spec: BatchJobSpec,
  record: JobRecord,
  pods: ReadonlyMap<string, PodSeen>,
  nowMs: number,
): Draft {
  return {
    spec,
    nowMs,
    places: placesOf(spec),
    record,
    slots: new Map(Object.entries(record.slots)),
    done: new DoneSet(record),
    pods,
    create: [],
    delete: new Map(),
    notes: [],
    alarms: [],
  }
}

/** The record to journal; the very same object where nothing changed. */
export function closeDraft(draft: Draft, before: JobRecord): JobRecord {
  const done = draft.done.written(draft.record.done)
  let isSame = draft.slots.size === Object.keys(before.slots).length
  for (const [key, slot] of draft.slots) isSame &&= before.slots[key] === slot
  if (draft.record === before && done === before.done && isSame) return before
  return { ...draft.record, done, slots: isSame ? before.slots : Object.fromEntries(draft.slots) }
}

export function update(draft: Draft, change: Partial<JobRecord>): void {
  draft.record = { ...draft.record, ...change }
}

export function slotAt(draft: Draft, key: string): Slot {
  return draft.slots.get(key) ?? newSlot(draft.record)
}

export function enter(draft: Draft, phase: JobPhase, because: Because | null): void {
  if (draft.record.phase === phase) return
  const over = phase === 'Completed' || phase === 'Terminated' || phase === 'Failed'
  draft.notes.push(`${draft.record.phase} -> ${phase}${because === null ? '' : `: ${because.says}`}`)
  update(draft, { phase, phaseSinceMs: draft.nowMs, because, finishedMs: over ? draft.nowMs : null })
}

/** Is this pod the one that counts for its place? */
export function isCurrent(draft: Draft, key: string, pod: PodSeen): boolean {
  if (pod.jobUid !== draft.record.uid) return false
  return pod.version >= slotAt(draft, key).version
}

export function isAlive(pod: PodSeen): boolean {
  return pod.phase !== 'Succeeded' && pod.phase !== 'Failed'
}

/** To be made anew without costing a retry. */
export function requeueSlot(draft: Draft, key: string): void {
  const slot = slotAt(draft, key)
  const ranMs = slot.startedMs === undefined ? 0 : draft.nowMs - slot.startedMs
  const streak = ranMs >= RAN_WELL_MS ? 1 : slot.streak + 1
  const notBeforeMs = draft.nowMs + backoffMs('requeue', streak)
  draft.slots.set(key, {
    ...idleAgain(slot, draft.nowMs),
    requeues: slot.requeues + 1,
    streak,
    notBeforeMs,
  })
}

/** To be made anew because it failed. */
export function retrySlot(draft: Draft, key: string, costs: boolean): void {
  const slot = slotAt(draft, key)
  const retries = slot.retries + (costs ? 1 : 0)
  const notBeforeMs = costs ? draft.nowMs + backoffMs('retry', retries) : draft.nowMs
  draft.slots.set(key, { ...idleAgain(slot, draft.nowMs), retries, notBeforeMs })
}

function idleAgain(slot: Slot, nowMs: number): Slot {
  const { retries, requeues, streak } = slot
  return { version: slot.version + 1, state: 'idle', sinceMs: nowMs, retries, requeues, streak }
}

export function failSlot(draft: Draft, key: string, because: Because, exitCode: number | null): void {
  const { startedMs: _, notBeforeMs: __, ...slot } = slotAt(draft, key)
  draft.slots.set(key, {
    ...slot,
    state: 'failed',
    sinceMs: draft.nowMs,
    because,
    ...(exitCode === null ? {} : { exitCode }),
  })
}

/** Everything is made again, in a new version; pods of the old one do not count. An array keeps what has completed. */
export function restartAll(draft: Draft, kind: 'retry' | 'requeue'): void {
  const { record, nowMs, spec } = draft
  const versions = [...draft.slots.values()].map((slot) => slot.version)
  const seen = [...draft.pods.values()].filter((pod) => pod.jobUid === record.uid).map((pod) => pod.version)
  const ranMs = record.startedMs === null ? 0 : nowMs - record.startedMs
  const streak = ranMs >= RAN_WELL_MS ? 1 : record.streak + 1
  draft.slots.clear()
  update(draft, {
    version: Math.max(record.version, ...versions, ...seen) + 1,
    retries: record.retries + (kind === 'retry' ? 1 : 0),
    requeues: record.requeues + (kind === 'retry' ? 0 : 1),
    streak,
    notBeforeMs: nowMs + backoffMs(kind, streak),
    startedMs: null,
    admitted: false,
    gang: null,
    delayed: [],
    said: [],
    ...(spec.array === null ? { done: {} } : { done: draft.done.written(record.done) }),
  })
  draft.done = new DoneSet(draft.record)
}

export function dropDelayed(draft: Draft, keep: (delayed: Delayed) => boolean): void {
  const delayed = draft.record.delayed.filter(keep)
  if (delayed.length < draft.record.delayed.length) update(draft, { delayed })
}
