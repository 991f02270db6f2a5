/** Gives pods their nodes: best queue, best job, its pods in order, until the job has what it needs. */
import { byUtf16 } from '../../model/json.ts'
import type { Cycle } from '../cycle.ts'
import type { Job, Queue } from '../ledger.ts'
import { PENDING } from '../status.ts'
import { readyOf } from '../plugins/gang.ts'
import { Statement } from '../statement.ts'
import { placeNext, placeTasks } from './place.ts'
import { isEachForItself, keepPromises, type Outcome } from './promises.ts'
import { bestQueue, byQueue, isCandidate, putBack, stacked } from './queues.ts'
import { allocateDivided, isDivided } from './topology.ts'

export function allocate(cycle: Cycle): void {
  const admits = cycle.options.actions.includes('enqueue')
  const jobs = cycle.jobs.filter((job) => {
    if (cycle.state.count(job.group, PENDING) === 0) return false
    if (job.phase === 'Pending' && (job.input !== null || job.implicit)) {
      if (admits) return false
      job.phase = 'Inqueue'
      cycle.phases.set(job, 'Inqueue')
    }
    return isCandidate(cycle, job)
  })
  const left = new Map<Job, number[]>()
  for (const job of jobs) {
    job.failedRoles.clear()
    left.set(
      job,
      cycle.pendingOf(job).filter((task) => !cycle.isBestEffort(task)),
    )
  }
  keepPromises(cycle, left, turn)
  const waiting = stacked(
    byQueue(
      cycle,
      jobs.filter((job) => (left.get(job) ?? []).length > 0),
    ),
  )
  for (let queue = bestQueue(cycle, waiting); queue !== null; queue = bestQueue(cycle, waiting)) {
    const list = waiting.get(queue) as Job[]
    if (cycle.overused(queue)) {
      waiting.delete(queue)
      continue
    }
    const job = list.pop() as Job
    if (list.length === 0) waiting.delete(queue)
    const tasks = left.get(job) as number[]
    const outcome = isEachForItself(cycle, job)
      ? turnsOf(cycle, queue, job, tasks, () => isStillFirst(cycle, waiting, queue, job))
      : turn(cycle, queue, job, tasks)
    if (outcome === 'done' && tasks.length > 0) {
      if (list.length === 0) waiting.set(queue, list)
      putBack(cycle, list, job)
    } else if (outcome === 'blocked' && queue.input.dequeueStrategy === 'fifo') waiting.delete(queue)
  }
}

function isStillFirst(cycle: Cycle, waiting: ReadonlyMap<Queue, readonly Job[]>, queue: Queue, job: Job): boolean {
  const next = waiting.get(queue)?.at(-1)
  if (next !== undefined && cycle.compareJobs(next, job) < 0) return false
  for (const other of waiting.keys()) if (other !== queue && cycle.compareQueues(other, queue) < 0) return false
  return !cycle.overused(queue)
}

/** Turns of a job whose pods are each for themselves, one after the other while it would be its turn again anyway. */
function turnsOf(cycle: Cycle, queue: Queue, job: Job, tasks: number[], again: () => boolean): Outcome {
  if (isOverRunning(cycle, queue, job)) return 'blocked'
  let from = 0
  do {
    const next = placeNext(cycle, queue, job, tasks, from)
    if (next === null) {
      cycle.reservations?.reserve(job, blockedOf(cycle, tasks).slice(0, 1))
      return 'blocked'
    }
    from = next
  } while (from < tasks.length && again())
  tasks.splice(0, from)
  return 'done'
}

/** One turn of a job: it ends ready and committed, waiting for others to leave and held, or blocked and undone. */
function turn(cycle: Cycle, queue: Queue, job: Job, tasks: number[]): Outcome {
  if (isOverRunning(cycle, queue, job)) return 'blocked'
  if (isDivided(cycle, job)) return allocateDivided(cycle, queue, job, tasks)
  const statement = new Statement(cycle)
  const order = [...tasks]
  const placed = placeTasks(cycle, queue, job, tasks, statement, () => cycle.jobReady(job))
  if (cycle.jobReady(job)) {
    statement.commit()
    if (statement.moves.length > 0) return 'done'
    cycle.reservations?.reserve(job, blockedOf(cycle, order))
    return 'blocked'
  }
  if (placed && cycle.jobPipelined(job)) {
    statement.hold()
    return 'held'
  }
  statement.discard()
  const together = tryDomains(cycle, queue, job, order)
  if (together !== null) {
    tasks.splice(0, tasks.length, ...together.left)
    return together.outcome
  }
  cycle.reservations?.reserve(job, blockedOf(cycle, order))
  return 'blocked'
}

/** More places than this are not tried for one gang. */
const MAX_DOMAINS = 64

/** Pods that must stand together follow the first of them, which went where it was best for itself: try every other place too. */
function tryDomains(
  cycle: Cycle,
  queue: Queue,
  job: Job,
  order: readonly number[],
): { readonly outcome: Outcome; readonly left: readonly number[] } | null {
  const first = order.find((task) => cycle.classOf(task).selfAffinity)
  const counter = first === undefined ? undefined : cycle.classOf(first).affinity[0]
  if (counter === undefined || (counter.meta[0] as number) > 0) return null
  const { domains, values } = counter.key
  for (const value of values.names.toSorted(byUtf16).slice(0, MAX_DOMAINS)) {
    const domain = values.find(value)
    const within = new Set<number>()
    for (let node = 0; node < cycle.state.nodeRows; node++) if (domains[node] === domain) within.add(node)
    job.failedRoles.clear()
    const statement = new Statement(cycle)
    const left = [...order]
    placeTasks(cycle, queue, job, left, statement, () => cycle.jobReady(job), { within })
    if (cycle.jobReady(job)) {
      statement.commit()
      return { outcome: 'done', left }
    }
    statement.discard()
  }
  return null
}

function blockedOf(cycle: Cycle, tasks: readonly number[]): readonly number[] {
  return tasks.filter((task) => cycle.state.isPending(task))
}

/** A limit on jobs that run at once holds new ones, never more pods of those that run. */
function isOverRunning(cycle: Cycle, queue: Queue, job: Job): boolean {
  const most = queue.input.maxRunning
  if (most === undefined || readyOf(cycle.state, job.group) > 0) return false
  let running = 0
  for (const other of cycle.jobs)
    if (other.queue === queue.row && other !== job && readyOf(cycle.state, other.group) > 0) running++
  return running >= most
}
