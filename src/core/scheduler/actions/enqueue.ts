/** Admits jobs: one of a queue a turn, queues and jobs in their order. A job that is refused blocks nobody. */
import type { Cycle } from '../cycle.ts'
import type { Job } from '../ledger.ts'
import { bestQueue, byQueue, stacked } from './queues.ts'

export function enqueue(cycle: Cycle): void {
  const waiting = stacked(
    byQueue(
      cycle,
      cycle.jobs.filter((job) => isWaiting(cycle, job)),
    ),
  )
  for (let queue = bestQueue(cycle, waiting); queue !== null; queue = bestQueue(cycle, waiting)) {
    const jobs = waiting.get(queue) as Job[]
    const job = jobs.pop() as Job
    if (jobs.length === 0) waiting.delete(queue)
    if (job.minResources !== null && !cycle.jobEnqueueable(job)) {
      if (queue.input.dequeueStrategy === 'fifo') waiting.delete(queue)
      continue
    }
    cycle.jobEnqueued(job)
    job.phase = 'Inqueue'
    cycle.phases.set(job, 'Inqueue')
  }
}

function isWaiting(cycle: Cycle, job: Job): boolean {
  return (job.input !== null || job.implicit) && job.phase === 'Pending' && cycle.queueAt(job.queue) !== null
}
