/** Compares what the record says of each place with the pods that are there, and names what happened since. */
import { endOf } from './pods.ts'
import type { Happening } from './policies.ts'
import { type Draft, failSlot, isCurrent, requeueSlot, slotAt, update } from './draft.ts'
import { indexesOf, isOver, type Place, slotKey } from './record.ts'
import type { Because, PodSeen, Slot, TaskSpec } from './types.ts'

/** Of single pods. What they did counts in every phase; what was done to them only while the job is to run. */
export function observePods(draft: Draft): readonly Happening[] {
  const happenings: Happening[] = []
  if (isOver(draft.record.phase)) return happenings
  for (const place of draft.places) {
    if (draft.done.has(place.task.name, place.index)) continue
    const pod = draft.pods.get(place.key)
    if (pod !== undefined && isCurrent(draft, place.key, pod)) observePod(draft, place, pod, happenings)
    else observeAbsence(draft, place, pod, happenings)
  }
  return happenings
}

/** Of whole tasks, each once in a version of the job; asked after what single pods call for is done. */
export function observeTasks(draft: Draft): readonly Happening[] {
  const happenings: Happening[] = []
  for (const task of draft.spec.tasks) observeTask(draft, task, happenings)
  return happenings
}

function isToRun(draft: Draft): boolean {
  return draft.record.phase === 'Pending' || draft.record.phase === 'Running'
}

function observePod(draft: Draft, place: Place, pod: PodSeen, happenings: Happening[]): void {
  const slot = slotAt(draft, place.key)
  if (slot.state === 'failed') return
  const end = endOf(pod)
  if (end === undefined) {
    observeAlive(draft, place, pod, slot, happenings)
    return
  }
  if (end.is === 'succeeded') {
    draft.slots.delete(place.key)
    draft.done.add(place.task.name, place.index)
    return
  }
  adopt(draft, place, pod, slot)
  if (end.is === 'failed') {
    failSlot(draft, place.key, end.because, pod.exitCode)
    if (isToRun(draft))
      happenings.push(happening(place, pod.version, 'PodFailed', end.because.says, true, pod.exitCode))
    return
  }
  takenAway(draft, place, pod.version, end.because, end.is === 'evicted', happenings)
}

/** Evicted or refused: it is made anew, and nothing is held against the job. */
function takenAway(
  draft: Draft,
  place: Place,
  version: number,
  because: Because,
  isEvent: boolean,
  happenings: Happening[],
): void {
  if (!isToRun(draft)) {
    draft.slots.delete(place.key)
    return
  }
  draft.notes.push(`${because.says}; it is made anew`)
  requeueSlot(draft, place.key)
  if (isEvent) happenings.push(happening(place, version, 'PodEvicted', because.says, false))
}

/** A pod of a later version than ours: the journal lost its last words, the cluster did not. */
function adopt(draft: Draft, place: Place, pod: PodSeen, slot: Slot): void {
  if (!draft.slots.has(place.key) || slot.version !== pod.version)
    draft.slots.set(place.key, { ...slot, version: pod.version })
}

function observeAlive(draft: Draft, place: Place, pod: PodSeen, slot: Slot, happenings: Happening[]): void {
  if (pod.nodeGone) {
    adopt(draft, place, pod, slot)
    const says = `${pod.name} was lost with its node ${pod.node}`
    takenAway(draft, place, pod.version, { cause: 'NodeLost', says }, true, happenings)
    return
  }
  const state = pod.terminating ? 'stopping' : stateOf(pod)
  if (state === 'unknown' && slot.state !== 'unknown' && isToRun(draft))
    happenings.push(happening(place, pod.version, 'Unknown', `nobody knows how ${pod.name} is`, false))
  const startedMs =
    slot.startedMs ?? (state === 'running' ? Math.min(draft.nowMs, pod.startedMs ?? draft.nowMs) : undefined)
  const isNew = slot.state !== state || slot.uid !== pod.uid || slot.version !== pod.version
  if (!isNew && slot.startedMs === startedMs) return
  const { notBeforeMs: _, ...rest } = slot
  draft.slots.set(place.key, {
    ...rest,
    version: pod.version,
    state,
    uid: pod.uid,
    sinceMs:
      slot.state === state ? slot.sinceMs : state === 'pending' ? Math.min(draft.nowMs, pod.createdMs) : draft.nowMs,
    ...(startedMs === undefined ? {} : { startedMs }),
  })
}

function stateOf(pod: PodSeen): 'pending' | 'running' | 'unknown' {
  if (pod.phase === 'Running') return 'running'
  return pod.phase === 'Pending' ? 'pending' : 'unknown'
}

/** The pod that we had seen is not there any more: it was deleted, or went with its node. */
function observeAbsence(draft: Draft, place: Place, other: PodSeen | undefined, happenings: Happening[]): void {
  const slot = draft.slots.get(place.key)
  if (slot === undefined || slot.state === 'idle' || slot.state === 'made' || slot.state === 'failed') return
  const says = `the pod of ${place.key} is gone${other === undefined ? '' : ', and an older one stands in its place'}`
  takenAway(draft, place, slot.version, { cause: 'Evicted', says }, true, happenings)
}

function observeTask(draft: Draft, task: TaskSpec, happenings: Happening[]): void {
  if (!isToRun(draft)) return
  const indexes = indexesOf(draft.spec, task)
  if (draft.done.count(task.name) >= indexes.length && say(draft, `TaskCompleted/${task.name}`))
    happenings.push(taskHappening(draft, task, 'TaskCompleted', `all of task ${task.name} completed`))
  if (hasFailed(draft, task, indexes) && say(draft, `TaskFailed/${task.name}`))
    happenings.push(taskHappening(draft, task, 'TaskFailed', `task ${task.name} failed`))
}

/** Restarted in place too often, or so many failed for good that the task cannot be whole any more. */
function hasFailed(draft: Draft, task: TaskSpec, indexes: readonly number[]): boolean {
  let failed = 0
  let restarts = 0
  for (const index of indexes) {
    const key = slotKey(task.name, index)
    const slot = draft.slots.get(key)
    if (slot?.state === 'failed') failed++
    const pod = draft.pods.get(key)
    if (pod !== undefined && slot?.version === pod.version) restarts += pod.restarts
  }
  if (task.maxRetry !== null && restarts > 0 && restarts >= task.maxRetry) return true
  return failed > 0 && failed > indexes.length - task.minAvailable && draft.spec.array === null
}

/** True the first time in this version of the job. */
function say(draft: Draft, what: string): boolean {
  if (draft.record.said.includes(what)) return false
  update(draft, { said: [...draft.record.said, what] })
  return true
}

function happening(
  place: Place,
  version: number,
  event: Happening['event'],
  says: string,
  costs: boolean,
  exitCode: number | null = null,
): Happening {
  return { event, task: place.task.name, index: place.index, version, exitCode, costs, says }
}

function taskHappening(draft: Draft, task: TaskSpec, event: Happening['event'], says: string): Happening {
  return { event, task: task.name, index: null, version: draft.record.version, exitCode: null, costs: true, says }
}
