/**
 * One step of a job's life: the record, the pods that are there, what was asked for and what it waits for, to the next record,
 * pods to make and pods to delete. Level-based: a step that is repeated, late, or follows a power cut does no harm.
 *
 * The caller gives the pods of a synced list (a pod that is missing counts as gone), writes the record down, and only then makes
 * and deletes pods; a pod that already exists, or is already gone, is no error.
 *
 * Phases are Volcano's. What differs, and why: an eviction, a refusal by a kubelet and a command cost no retry, since none of them is
 * the job's failure; an array's elements are jobs of their own, so one that completed is never run again, and each has its own retries
 * and time limit; a job that lost all its pods is Pending again.
 */
import { act, obey, type Order, requeueJob } from './act.ts'
import { closeDraft, type Draft, dropDelayed, enter, failSlot, openDraft, slotAt, update } from './draft.ts'
import { waitOf } from './explain.ts'
import { gangSize, releasedTasks, tallyOf, watchGang } from './gang.ts'
import { observePods, observeTasks } from './observe.ts'
import { advance } from './phases.ts'
import { createPods, deletePods } from './pods-wanted.ts'
import { answerTo, type Happening } from './policies.ts'
import { isOver, placesOf, slotKey } from './record.ts'
import type {
  BatchJobSpec, Because, Command, Delayed, Gate, JobRecord, JobStep, PodSeen, Surroundings,
} from './types.ts' // prettier-ignore

export function stepJob(
  spec: BatchJobSpec,
  record: JobRecord,
  pods: readonly PodSeen[],
  commands: readonly Command[],
  dependencies: Gate,
  nowMs: number,
  around: Surroundings = {},
): JobStep {
  const draft = openDraft(spec, record, podsByPlace(spec, record, pods), nowMs)
  const happenings = observePods(draft)
  obey(draft, commands)
  enforceTimes(draft)
  answerAll(draft, happenings)
  if (around.drain === true && draft.record.admitted && isToRun(draft))
    requeueJob(draft, { cause: 'QueueDrained', says: `queue ${spec.queue} is being emptied` })
  keepGangWhole(draft)
  advance(draft)
  expire(draft)
  deletePods(draft, pods)
  const queue = around.queue ?? { open: true }
  createPods(draft, dependencies.open && queue.open)
  setAlarms(draft)
  const next = closeDraft(draft, record)
  const alarms = draft.alarms.filter((ms) => Number.isFinite(ms))
  const wait = waitOf(draft, dependencies, queue)
  if (wait?.nextAtMs !== undefined) alarms.push(wait.nextAtMs)
  return {
    record: next,
    create: draft.create,
    delete: [...draft.delete.values()],
    notes: draft.notes,
    wait,
    nextAtMs: alarms.length === 0 ? null : Math.max(nowMs, Math.min(...alarms)),
  }
}

/** Of two pods of one place, which names make impossible, the one of our job. */
function podsByPlace(spec: BatchJobSpec, record: JobRecord, pods: readonly PodSeen[]): ReadonlyMap<string, PodSeen> {
  const places = new Set(placesOf(spec).map((place) => place.key))
  const byPlace = new Map<string, PodSeen>()
  for (const pod of pods) {
    const key = slotKey(pod.task, pod.index)
    if (places.has(key) && byPlace.get(key)?.jobUid !== record.uid) byPlace.set(key, pod)
  }
  return byPlace
}

function isToRun(draft: Draft): boolean {
  return draft.record.phase === 'Pending' || draft.record.phase === 'Running'
}

/** Limits are kept by us, whatever the pods do: backfill rests on it. Neither is ever answered by a retry. */
function enforceTimes(draft: Draft): void {
  const { spec, nowMs } = draft
  const { deadlineMs, startedMs, phase } = draft.record
  if (isOver(phase) || phase === 'Terminating' || phase === 'Completing' || phase === 'Aborted') return
  if (deadlineMs !== null && nowMs >= deadlineMs) {
    enter(draft, 'Terminating', { cause: 'Deadline', says: 'its deadline has passed' })
    return
  }
  if (spec.timeLimitMs === null || !isToRun(draft)) return
  if (spec.array !== null) limitElements(draft, spec.timeLimitMs)
  else if (startedMs !== null && nowMs >= startedMs + spec.timeLimitMs)
    enter(draft, 'Terminating', { cause: 'TimeLimit', says: 'its time limit is reached' })
}

/** When those limits will be reached, as the step leaves the job. */
function setAlarms(draft: Draft): void {
  const { deadlineMs, startedMs, phase } = draft.record
  if (deadlineMs !== null && deadlineMs > draft.nowMs && !isOver(phase)) draft.alarms.push(deadlineMs)
  const { timeLimitMs, array } = draft.spec
  if (timeLimitMs === null || !isToRun(draft)) return
  const starts = array === null ? [startedMs] : [...draft.slots.values()].map((slot) => slot.startedMs ?? null)
  for (const ms of starts) if (ms !== null) draft.alarms.push(ms + timeLimitMs)
}

function limitElements(draft: Draft, limitMs: number): void {
  for (const [key, slot] of draft.slots) {
    if (slot.state === 'failed' || slot.startedMs === undefined) continue
    const endMs = slot.startedMs + limitMs
    if (draft.nowMs >= endMs) failSlot(draft, key, { cause: 'TimeLimit', says: `${key} reached its time limit` }, null)
  }
}

function answerAll(draft: Draft, happenings: readonly Happening[]): void {
  for (const happening of happenings) answer(draft, happening)
  for (const happening of observeTasks(draft)) answer(draft, happening)
  answerPending(draft)
  answerDelayed(draft)
}

function answer(draft: Draft, happening: Happening): void {
  const found = isToRun(draft) ? answerTo(draft.spec, happening) : undefined
  if (found === undefined) return
  if (found.timeoutMs === 0) {
    act(draft, orderOf(happening, found.action))
    return
  }
  const { event, task, index, version } = happening
  const delayed: Delayed = { event, task, index, version, action: found.action, atMs: draft.nowMs + found.timeoutMs }
  const isKnown = draft.record.delayed.some((one) => one.event === event && one.task === task && one.index === index)
  if (!isKnown) update(draft, { delayed: [...draft.record.delayed, delayed] })
}

function orderOf(happening: Omit<Happening, 'exitCode' | 'version'>, action: Delayed['action']): Order {
  const { event, task, index, costs, says } = happening
  const because: Because = {
    cause: event === 'PodEvicted' ? 'Evicted' : event === 'PodFailed' ? 'PodFailed' : 'Policy',
    says,
  }
  return { action, task, index, costs, because: action === 'CompleteJob' ? { cause: 'Succeeded', says } : because }
}

/** A pod that has been pending for as long as its policy allows. */
function answerPending(draft: Draft): void {
  for (const { key, task, index } of draft.places) {
    const slot = draft.slots.get(key)
    if (slot?.state !== 'pending' || !isToRun(draft)) continue
    const says = `the pod of ${key} has been pending for too long`
    const happening: Happening = {
      event: 'PodPending',
      task: task.name,
      index,
      version: slot.version,
      exitCode: null,
      costs: true,
      says,
    }
    const found = answerTo(draft.spec, happening)
    if (found === undefined) continue
    if (draft.nowMs >= slot.sinceMs + found.timeoutMs) act(draft, orderOf(happening, found.action))
    else draft.alarms.push(slot.sinceMs + found.timeoutMs)
  }
}

/** Actions whose time has come, unless what they answer has cured itself: the pod runs again. */
function answerDelayed(draft: Draft): void {
  if (!isToRun(draft)) return
  dropDelayed(draft, ({ task, index, version }) => {
    const slot = index === null ? undefined : slotAt(draft, slotKey(task, index))
    return slot === undefined || slot.state !== 'running' || slot.version <= version
  })
  for (const delayed of draft.record.delayed) {
    if (draft.nowMs < delayed.atMs) {
      draft.alarms.push(delayed.atMs)
      continue
    }
    dropDelayed(draft, (one) => one !== delayed)
    const { event, task, index, action } = delayed
    const costs = event !== 'PodEvicted' && event !== 'Unknown'
    act(draft, orderOf({ event, task, index, costs, says: `${event} of ${task} did not cure itself in time` }, action))
    if (!isToRun(draft)) return
  }
}

function keepGangWhole(draft: Draft): void {
  if (!isToRun(draft)) return
  const wasWhole = draft.record.gang === null
  const tally = tallyOf(draft)
  const needed = gangSize(draft.spec, releasedTasks(draft.spec, draft.slots, draft.done))
  if (watchGang(draft, tally, needed)) {
    const says = `${tally.running} of a gang of ${needed} ran, and the rest did not come in time`
    requeueJob(draft, { cause: 'GangTimeout', says })
    return
  }
  if (!wasWhole || draft.record.gang === null || draft.record.phase !== 'Running') return
  const says = `only ${tally.running} of a gang of ${needed} run`
  answer(draft, {
    event: 'Unknown',
    task: '',
    index: null,
    version: draft.record.version,
    exitCode: null,
    costs: false,
    says,
  })
}

function expire(draft: Draft): void {
  const { finishedMs, phase, expired } = draft.record
  if (draft.spec.ttlMs === null || finishedMs === null || expired || !isOver(phase)) return
  const endMs = finishedMs + draft.spec.ttlMs
  if (draft.nowMs >= endMs) update(draft, { expired: true })
  else draft.alarms.push(endMs)
}
