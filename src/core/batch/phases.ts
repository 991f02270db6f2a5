/** When a job goes from one phase to the next by itself, as Volcano's job controller decides it. */
import { type Draft, enter, isAlive, update } from './draft.ts'
import { gangSize, releasedTasks, type Tally, tallyOf } from './gang.ts'
import { type Because, type JobPhase, PHASES } from './types.ts'

/** Goes on until the phase stays; each is passed in order, so that the notes tell the whole way. */
export function advance(draft: Draft): void {
  for (let turn = 0; turn < PHASES.length; turn++) {
    const before = draft.record.phase
    advanceOnce(draft, before)
    if (draft.record.phase === before) return
  }
}

function advanceOnce(draft: Draft, phase: JobPhase): void {
  if (phase === 'Pending') fromPending(draft)
  else if (phase === 'Running') fromRunning(draft)
  else if (phase === 'Restarting') fromRestarting(draft)
  else if (phase === 'Aborting') whenStill(draft, 'Aborted')
  else if (phase === 'Completing') whenStill(draft, 'Completed')
  else if (phase === 'Terminating') whenStill(draft, 'Terminated')
}

function fromPending(draft: Draft): void {
  const tally = tallyOf(draft)
  const released = releasedTasks(draft.spec, draft.slots, draft.done)
  const ready = tally.running + tally.done + tally.failed
  if (ready === 0 || ready < gangSize(draft.spec, released)) return
  enter(draft, 'Running', null)
  const { startedMs, firstStartedMs } = draft.record
  update(draft, { startedMs: startedMs ?? draft.nowMs, firstStartedMs: firstStartedMs ?? draft.nowMs })
}

function fromRunning(draft: Draft): void {
  const { spec } = draft
  const tally = tallyOf(draft)
  if (spec.minSuccess !== null && tally.done >= spec.minSuccess) {
    enter(draft, 'Completed', {
      cause: 'Succeeded',
      says: `${tally.done} of ${tally.total} succeeded, ${spec.minSuccess} are enough`,
    })
    return
  }
  if (tally.done + tally.failed === tally.total) {
    const because = verdictOf(draft, tally)
    enter(draft, because.cause === 'Succeeded' ? 'Completed' : 'Failed', because)
    return
  }
  backToPending(draft, tally)
}

function verdictOf(draft: Draft, { done, total }: Tally): Because {
  const { spec } = draft
  const roles = spec.tasks.reduce((sum, task) => sum + task.minAvailable, 0)
  const short =
    spec.minAvailable >= roles ? spec.tasks.find((task) => draft.done.count(task.name) < task.minAvailable) : undefined
  if (short !== undefined && spec.array === null)
    return failure(
      draft,
      `${draft.done.count(short.name)} of task ${short.name} succeeded, ${short.minAvailable} are needed`,
    )
  // Where none has to be there, one at least has to do what it was made for.
  const needed = spec.minSuccess ?? (spec.array === null ? Math.max(1, spec.minAvailable) : total)
  if (done < needed) return failure(draft, `${done} of ${total} succeeded, ${needed} are needed`)
  return { cause: 'Succeeded', says: `${done} of ${total} succeeded` }
}

/** The first that failed says why; `PodFailed` is the word for a plain failure. */
function failure(draft: Draft, says: string): Because {
  const failed = draft.places.map((place) => draft.slots.get(place.key)).find((slot) => slot?.because !== undefined)
  const because = failed?.because
  if (because === undefined) return { cause: 'TooFewSucceeded', says }
  return { cause: because.cause, says: `${says}; ${because.says}` }
}

/** Nothing of it runs or is placed any more, because it was taken away: it waits again, and its time starts anew. */
function backToPending(draft: Draft, tally: Tally): void {
  if (draft.spec.array !== null || tally.running + tally.bound > 0) return
  const states = [...draft.slots.values()]
  if (
    states.some(
      (slot) => slot.state !== 'idle' && slot.state !== 'made' && slot.state !== 'failed' && slot.state !== 'pending',
    )
  )
    return
  if (!states.some((slot) => slot.requeues > 0 && slot.state === 'idle')) return
  if (tally.done + tally.failed >= gangSize(draft.spec, releasedTasks(draft.spec, draft.slots, draft.done))) return
  enter(draft, 'Pending', { cause: 'Evicted', says: 'its pods were taken away; it waits for a place again' })
  update(draft, { startedMs: null, admitted: false })
}

function fromRestarting(draft: Draft): void {
  const leaving = draft.places.filter(({ key }) => draft.pods.has(key)).length
  if (draft.places.length - leaving < draft.spec.minAvailable && draft.spec.array === null) return
  enter(draft, 'Pending', draft.record.because)
}

/** Once nothing of it is alive. */
function whenStill(draft: Draft, phase: 'Aborted' | 'Completed' | 'Terminated'): void {
  for (const pod of draft.pods.values()) if (isAlive(pod) && pod.jobUid === draft.record.uid && !pod.nodeGone) return
  enter(draft, phase, draft.record.because)
}
