/** Why a job does not run, in words. Every job that neither runs nor is over has a reason. */
import type { Draft } from './draft.ts'
import { gangSize, releasedTasks, tallyOf } from './gang.ts'
import { isOver } from './record.ts'
import type { Gate, JobRecord, JobWait } from './types.ts'

/** What the scheduler says of a job (its `Waiting`), where it says something. */
export interface PlacementReason {
  readonly kind: string
  readonly message: string
}

/** Slurm's BeginTime. */
export const BEGINS_LATER = 'its begin time has not come'

export function waitOf(draft: Draft, dependencies: Gate, queue: Gate): JobWait | null {
  const { phase, admitted, notBeforeMs, because } = draft.record
  if (isOver(phase)) return null
  if (phase === 'Aborted') {
    const how = draft.record.firstStartedMs === null ? 'held before it started' : 'aborted'
    return { reason: 'Suspended', detail: `${how}; resume it to go on` }
  }
  if (phase !== 'Pending' && phase !== 'Running') return stopping(draft)
  const mayStart = admitted && draft.spec.array === null
  const tally = tallyOf(draft)
  if (phase === 'Running' && (draft.spec.array === null || tally.running > 0)) return null
  if (!mayStart && !dependencies.open) return dependencies.wait
  if (!mayStart && !queue.open) return queue.wait
  if (notBeforeMs !== null && notBeforeMs > draft.nowMs)
    return {
      reason: 'Hold',
      detail: because === null ? BEGINS_LATER : `backing off: ${because.says}`,
      nextAtMs: notBeforeMs,
    }
  const backingOff = [...draft.slots.values()].filter(
    (slot) => slot.state === 'idle' && (slot.notBeforeMs ?? 0) > draft.nowMs,
  )
  if (backingOff.length > 0 && tally.running + tally.bound === 0 && draft.create.length === 0)
    return {
      reason: 'Hold',
      detail: `${backingOff.length} of ${tally.total} pods are made anew after a pause`,
      nextAtMs: Math.min(...backingOff.map((slot) => slot.notBeforeMs ?? 0)),
    }
  const needed = gangSize(draft.spec, releasedTasks(draft.spec, draft.slots, draft.done))
  const leaving = [...draft.pods.values()].filter((pod) => pod.terminating).length
  if (leaving > 0 && tally.running + tally.bound === 0 && draft.create.length === 0)
    return { reason: 'Capacity', detail: `${leaving} old pods are still leaving` }
  if (tally.bound > 0)
    return {
      reason: 'Capacity',
      detail: `${tally.running} of ${needed} run, ${tally.bound} are starting on their nodes`,
    }
  return { reason: 'Capacity', detail: `${tally.running} of ${needed} pods run; the others wait for a place` }
}

function stopping(draft: Draft): JobWait {
  const { phase, because } = draft.record
  const left = draft.pods.size
  const why = because === null ? '' : `: ${because.says}`
  return { reason: 'Hold', detail: `${phase}${why}; ${left} ${left === 1 ? 'pod is' : 'pods are'} still there` }
}

/** One line for people: the phase, and why. `placed` is what the scheduler says of the job, if anything. */
export function explainJob(record: JobRecord, wait: JobWait | null, placed?: PlacementReason): string {
  if (record.phase === 'Running' && wait === null) return 'Running'
  if (isOver(record.phase)) return record.because === null ? record.phase : `${record.phase}: ${record.because.says}`
  if (wait === null) return record.phase
  // The scheduler knows better which nodes have too little of what.
  const detail = wait.reason === 'Capacity' && placed !== undefined ? placed.message : wait.detail
  return `${record.phase}: ${wait.reason}(${detail})`
}
