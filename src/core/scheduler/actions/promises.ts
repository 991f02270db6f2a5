/**
 * Room that others were asked to leave for is given to whom it was promised before anybody has a turn: another queue's jobs in it, and
 * those would have left for nobody. Better jobs of the same queue may have it all the same.
 */
import { NO_LIMITS, type Limits } from '../choose.ts'
import type { Cycle } from '../cycle.ts'
import type { Job, Queue } from '../ledger.ts'
import { placeNext } from './place.ts'
import { byQueue } from './queues.ts'
import { isDivided } from './topology.ts'

/** Of a job's turn: it was placed as far as it goes, waits for others to leave, or found no room. */
export type Outcome = 'done' | 'held' | 'blocked'
type Turn = (cycle: Cycle, queue: Queue, job: Job, tasks: number[]) => Outcome

/** `left`: by job, what of it is still to be placed; what is settled here is taken from it. */
export function keepPromises(cycle: Cycle, left: Map<Job, number[]>, turn: Turn): void {
  if (cycle.options.profile !== 'calm' || cycle.world.nominated.size === 0) return
  const promised = promisesOf(cycle, left)
  const waiting = byQueue(cycle, [...promised.keys()])
  for (const queue of [...waiting.keys()].toSorted((a, b) => cycle.compareQueues(a, b)))
    for (const job of waiting.get(queue) as Job[]) {
      if (cycle.overused(queue)) break
      const tasks = promised.get(job) as number[]
      letBetterGoFirst(cycle, queue, job, tasks, left)
      if (isEachForItself(cycle, job)) placeAll(cycle, queue, job, tasks, left)
      else {
        const outcome = turn(
          cycle,
          queue,
          job,
          tasks.toSorted((a, b) => cycle.compareTasks(a, b)),
        )
        if (outcome === 'held') left.delete(job)
        else settle(cycle, job, left)
      }
    }
}

function promisesOf(cycle: Cycle, left: ReadonlyMap<Job, readonly number[]>): Map<Job, number[]> {
  const { state, world } = cycle
  const promised = new Map<Job, number[]>()
  for (const task of world.nominated) {
    const { ours, nominated } = cycle.factsOf(task)
    const node = state.nodeIds.get(nominated) ?? -1
    if (!ours || !state.isPending(task) || !state.isAlive(node) || !state.fits(cycle.classOf(task), node, 'later'))
      continue
    const job = cycle.jobOf(task)
    if (left.get(job)?.includes(task) === true) promised.set(job, [...(promised.get(job) ?? []), task])
  }
  return promised
}

/** Jobs of higher priority in the same queue, on the nodes in question and no others. */
function letBetterGoFirst(
  cycle: Cycle,
  queue: Queue,
  job: Job,
  tasks: readonly number[],
  left: Map<Job, number[]>,
): void {
  const isBetter = (other: Job): boolean =>
    other.queue === job.queue && other.priority > job.priority && isEachForItself(cycle, other)
  const better = [...left.keys()].filter(isBetter).toSorted((a, b) => cycle.compareJobs(a, b))
  const within = new Set(tasks.map((task) => cycle.state.nodeIds.get(cycle.factsOf(task).nominated) ?? -1))
  for (const other of better) placeAll(cycle, queue, other, left.get(other) as number[], left, { within })
}

/** Pods that are each for themselves, as many of them as find a node. */
function placeAll(
  cycle: Cycle,
  queue: Queue,
  job: Job,
  tasks: readonly number[],
  left: Map<Job, number[]>,
  limits: Limits = NO_LIMITS,
): void {
  const order = tasks.toSorted((a, b) => cycle.compareTasks(a, b))
  for (let from: number | null = 0; from !== null && from < order.length;)
    from = placeNext(cycle, queue, job, order, from, limits)
  settle(cycle, job, left)
}

/** Its other pods wait for their turn; what found nothing here may find something elsewhere. */
function settle(cycle: Cycle, job: Job, left: Map<Job, number[]>): void {
  job.failedRoles.clear()
  const rest = left.get(job) as number[]
  left.set(
    job,
    rest.filter((task) => cycle.state.isPending(task)),
  )
}

export function isEachForItself(cycle: Cycle, job: Job): boolean {
  return job.minMember === 0 && job.minTaskTotal === 0 && !isDivided(cycle, job)
}
