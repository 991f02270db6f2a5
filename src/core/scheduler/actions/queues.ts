/** Jobs by queue, each list in job order; and which queue's turn it is. */
import type { Cycle } from '../cycle.ts'
import type { Job, Queue } from '../ledger.ts'

export function byQueue(cycle: Cycle, jobs: readonly Job[]): Map<Queue, Job[]> {
  const map = new Map<Queue, Job[]>()
  for (const job of jobs) {
    const queue = cycle.queueAt(job.queue)
    if (queue === null) continue
    const list = map.get(queue)
    if (list === undefined) map.set(queue, [job])
    else list.push(job)
  }
  for (const list of map.values()) list.sort((a, b) => cycle.compareJobs(a, b))
  return map
}

export function bestQueue(cycle: Cycle, map: ReadonlyMap<Queue, unknown>): Queue | null {
  let best: Queue | null = null
  for (const queue of map.keys()) if (best === null || cycle.compareQueues(queue, best) < 0) best = queue
  return best
}

/** The same lists, best last: the next one is popped, however long the list is. */
export function stacked(map: Map<Queue, Job[]>): Map<Queue, Job[]> {
  for (const list of map.values()) list.reverse()
  return map
}

/** Puts a job back where it now belongs in a list with the best last. */
export function putBack(cycle: Cycle, jobs: Job[], job: Job): void {
  let low = 0
  let high = jobs.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (cycle.compareJobs(job, jobs[middle] as Job) > 0) high = middle
    else low = middle + 1
  }
  jobs.splice(low, 0, job)
}

/** Job that may be looked at at all: admitted, known, its queue there, and valid. */
export function isCandidate(cycle: Cycle, job: Job): boolean {
  if (job.input === null && !job.implicit) return false
  if (job.problem !== null || cycle.queueAt(job.queue) === null) return false
  return cycle.invalidity(job) === null
}
