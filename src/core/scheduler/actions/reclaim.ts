/** Queues that have less than they deserve take it from queues that have more. */
import { choose } from '../choose.ts'
import type { Cycle } from '../cycle.ts'
import type { Job } from '../ledger.ts'
import { Statement } from '../statement.ts'
import { PENDING } from '../status.ts'
import { mayAsk } from './askable.ts'
import { takeRoom } from './preempt.ts'
import { byQueue, isCandidate } from './queues.ts'
import { makeRoomByJobs } from './whole.ts'

export function reclaim(cycle: Cycle): void {
  const starving = cycle.jobs.filter(
    (job) =>
      job.phase !== 'Pending' &&
      cycle.state.count(job.group, PENDING) > 0 &&
      isCandidate(cycle, job) &&
      cycle.jobStarving(job),
  )
  const waiting = byQueue(cycle, starving)
  const order = [...waiting.keys()].toSorted((a, b) => cycle.compareQueues(a, b))
  for (const queue of order) {
    if (cycle.overused(queue)) continue
    for (const job of waiting.get(queue) as Job[]) reclaimForJob(cycle, job)
  }
}

function reclaimForJob(cycle: Cycle, job: Job): void {
  const statement = new Statement(cycle)
  const queue = cycle.queueOf(job)
  const wanted = (other: Job): boolean =>
    other.queue !== job.queue && cycle.queueAt(other.queue)?.input.reclaimable !== false
  for (const task of cycle.pendingOf(job)) {
    if (!cycle.jobStarving(job)) break
    if (!mayAsk(cycle, task)) continue
    // All of it within what its queue deserves, the part as well for which nobody leaves.
    if (!cycle.preemptive(queue, task)) continue
    if (cycle.options.profile === 'calm' && useFree(cycle, statement, task)) continue
    takeRoom(cycle, statement, task, 'reclaim', 'others', (victim) => wanted(cycle.jobOf(victim)))
  }
  if (statement.moves.length > 0 && cycle.jobPipelined(job)) return statement.commit()
  statement.discard()
  makeRoomByJobs(cycle, { job, tasks: cycle.pendingOf(job), because: 'reclaim', wanted })
}

/** Where there is room, or will be when those who leave already have left, nobody else leaves. */
function useFree(cycle: Cycle, statement: Statement, task: number): boolean {
  if (!cycle.allocatable(cycle.queueOf(cycle.jobOf(task)), task)) return false
  const choice = choose(cycle, task)
  if (choice === null) return false
  statement.do({ kind: 'pipeline', task, node: choice.node })
  return true
}
