/** Queues with fixed shares, in a tree: what a queue deserves, may at most have, and is guaranteed. */
import type { Cycle } from '../cycle.ts'
import { numberArgument, type Arguments, type Hooks, type Vote } from '../plugin.ts'
import { ShareBook } from './capacity-book.ts'
import { entitled, shareToTakeBack, victimsOf } from './capacity-reclaim.ts'

export function capacity(cycle: Cycle, given: Arguments): Hooks {
  const book = new ShareBook(cycle)
  const level = Math.max(0, Math.trunc(numberArgument(given, 'ancestorReclaimLevel', 0)))
  return {
    queueOrder: (a, b) => book.compare(a, b),
    victimQueueOrder: (a, b, preemptor) => book.nearness(b, preemptor) - book.nearness(a, preemptor),
    allocatable: (queue, task) => {
      if (!book.takesJobs(queue)) return false
      const { amounts } = cycle.classOf(task).spec.requests
      for (const row of book.chain(queue)) if (!book.fits(row, amounts)) return false
      return true
    },
    queueLimit: (queue, task) => book.limitOf(queue, cycle.classOf(task).spec.requests.amounts),
    queueShare: (queue, task) => shareToTakeBack(cycle, book, queue, cycle.classOf(task).spec.requests.amounts),
    jobEnqueueable: (job): Vote => book.enqueueable(job),
    jobEnqueued: (job) => book.enqueued(job),
    preemptive: (queue, task) => entitled(cycle, book, queue, cycle.classOf(task).spec.requests.amounts, level),
    reclaimable: (preemptor, candidates) => (book.ready ? victimsOf(cycle, book, preemptor, candidates, level) : []),
  }
}
