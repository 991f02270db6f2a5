/** Carries out actions on a job: what each does in each phase, as Volcano's job controller has it. */
import { backoffMs } from './backoff.ts'
import { type Draft, enter, failSlot, isAlive, isCurrent, restartAll, retrySlot, slotAt, update } from './draft.ts'
import { isOver, type Place } from './record.ts'
import { BATCH_LIMITS, type Because, type Command, type JobAction } from './types.ts'

export interface Order {
  readonly action: JobAction
  readonly task: string | null
  readonly index: number | null
  /** Commands cost none, and nor does what was done to the job. */
  readonly costs: boolean
  readonly because: Because
}

/** What has ended stays ended; what is being stopped goes on being stopped; only Resume leads back, from an abort. */
export function act(draft: Draft, order: Order): void {
  const { phase } = draft.record
  if (isOver(phase)) return
  if (phase === 'Aborting' || phase === 'Aborted') {
    if (order.action === 'ResumeJob') {
      restartAll(draft, 'requeue')
      update(draft, { notBeforeMs: null, streak: 0 })
      enter(draft, 'Restarting', order.because)
    } else if (order.action === 'TerminateJob' && order.task === null) enter(draft, 'Terminating', order.because)
    return
  }
  if (phase !== 'Pending' && phase !== 'Running') {
    // A restart is interrupted by a person who wants it ended; policies of old pods do not get here.
    if (phase === 'Restarting' && order.task === null) stop(draft, order)
    return
  }
  if (order.action === 'RestartJob') restartJob(draft, order)
  else if (order.action === 'RestartTask') restartTask(draft, order)
  else if (order.action === 'RestartPod') restartPod(draft, order)
  else if (order.action === 'TerminateJob' && order.task !== null && draft.spec.array !== null)
    cancelElements(draft, order)
  else stop(draft, order)
}

function stop(draft: Draft, { action, because }: Order): void {
  if (action === 'AbortJob') enter(draft, 'Aborting', because)
  else if (action === 'TerminateJob') enter(draft, 'Terminating', because)
  else if (action === 'CompleteJob') enter(draft, 'Completing', because)
}

/** `maxRetry` of 3 is three tries: the third failure is the last. */
function isUsedUp(draft: Draft, retries: number): boolean {
  return retries >= draft.spec.maxRetry
}

function fail(draft: Draft, retries: number, because: Because): void {
  update(draft, { retries })
  enter(draft, 'Failed', {
    cause: 'RetriesUsedUp',
    says: `${because.says}; its retries are used up (${retries} of ${draft.spec.maxRetry})`,
  })
}

function restartJob(draft: Draft, { costs, because }: Order): void {
  const retries = draft.record.retries + 1
  enter(draft, 'Restarting', because)
  if (costs && isUsedUp(draft, retries)) fail(draft, retries, because)
  else restartAll(draft, costs ? 'retry' : 'requeue')
}

/** The whole gang goes back to waiting, at no cost: preempted, drained, or not whole in time. */
export function requeueJob(draft: Draft, because: Because): void {
  enter(draft, 'Restarting', because)
  restartAll(draft, 'requeue')
}

function placesIn(draft: Draft, task: string | null, index: number | null): readonly Place[] {
  return draft.places.filter((place) => place.task.name === task && (index === null || place.index === index))
}

/** All of the task that has not completed. */
function restartTask(draft: Draft, order: Order): void {
  const places = placesIn(draft, order.task, null).filter((place) => !draft.done.has(place.task.name, place.index))
  if (places.length === 0 || !pay(draft, order)) return
  for (const place of places) renew(draft, place, false)
  const afterMs = draft.nowMs + (order.costs ? backoffMs('retry', draft.record.retries) : 0)
  for (const { key } of places) {
    const slot = slotAt(draft, key)
    draft.slots.set(key, { ...slot, notBeforeMs: Math.max(afterMs, slot.notBeforeMs ?? 0) })
  }
}

function restartPod(draft: Draft, order: Order): void {
  const [place] = placesIn(draft, order.task, order.index)
  if (place === undefined || order.index === null || draft.done.has(place.task.name, place.index)) return
  const retries = slotAt(draft, place.key).retries + 1
  if (draft.spec.array !== null) {
    // An element is a job of its own, and its retries are too.
    if (order.costs && isUsedUp(draft, retries)) {
      failSlot(
        draft,
        place.key,
        { cause: 'RetriesUsedUp', says: `${order.because.says}; its retries are used up` },
        exitCodeAt(draft, place),
      )
      draft.notes.push(`element ${place.index} failed for good: its retries are used up`)
    } else renew(draft, place, order.costs)
    return
  }
  if (pay(draft, order)) renew(draft, place, order.costs)
}

function exitCodeAt(draft: Draft, place: Place): number | null {
  return slotAt(draft, place.key).exitCode ?? null
}

/** False: it could not, and the job has failed. */
function pay(draft: Draft, { costs, because }: Order): boolean {
  if (!costs) return true
  const retries = draft.record.retries + 1
  if (isUsedUp(draft, retries)) {
    fail(draft, retries, because)
    return false
  }
  update(draft, { retries })
  return true
}

/** What was only taken away is already waiting to be made anew. */
function renew(draft: Draft, place: Place, costs: boolean): void {
  const slot = draft.slots.get(place.key)
  if (slot !== undefined && slot.state !== 'idle') retrySlot(draft, place.key, costs)
}

/** `scancel job_3`: that element and no other. */
function cancelElements(draft: Draft, { task, index, because }: Order): void {
  for (const place of placesIn(draft, task, index))
    if (!draft.done.has(place.task.name, place.index) && slotAt(draft, place.key).state !== 'failed') {
      adoptVersion(draft, place)
      failSlot(draft, place.key, because, null)
    }
}

function adoptVersion(draft: Draft, place: Place): void {
  const pod = draft.pods.get(place.key)
  if (pod === undefined || !isCurrent(draft, place.key, pod) || !isAlive(pod)) return
  draft.slots.set(place.key, { ...slotAt(draft, place.key), version: pod.version })
}

/** Each command once, however often it is given. */
export function obey(draft: Draft, commands: readonly Command[]): void {
  for (const { id, action, target } of commands) {
    if (draft.record.commands.includes(id)) continue
    update(draft, { commands: [...draft.record.commands, id].slice(-BATCH_LIMITS.commands) })
    const because: Because = { cause: 'Cancelled', says: `${action} was asked for` }
    act(draft, { action, task: target?.task ?? null, index: target?.index ?? null, costs: false, because })
  }
}
