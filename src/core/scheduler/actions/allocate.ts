/** Gives pods their nodes: best queue, best job, its pods in order, until the job has what it needs. */
import { choose, isStillHopeless, remember, type Choice, type Limits } from '../choose.ts'
import type { Cycle } from '../cycle.ts'
import type { Job, Queue } from '../ledger.ts'
import { isAllocated, PENDING } from '../status.ts'
import { readyOf } from '../plugins/gang.ts'
import { Statement } from '../statement.ts'
import { bestQueue, byQueue, isCandidate, putBack } from './queues.ts'
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
    job.failedTasks.clear()
    left.set(
      job,
      cycle.pendingOf(job).filter((task) => !cycle.isBestEffort(task)),
    )
  }
  const waiting = byQueue(
    cycle,
    jobs.filter((job) => (left.get(job) as number[]).length > 0),
  )
  for (let queue = bestQueue(cycle, waiting); queue !== null; queue = bestQueue(cycle, waiting)) {
    const list = waiting.get(queue) as Job[]
    if (cycle.overused(queue)) {
      waiting.delete(queue)
      continue
    }
    const job = list.shift() as Job
    if (list.length === 0) waiting.delete(queue)
    const tasks = left.get(job) as number[]
    const outcome = turn(cycle, queue, job, tasks)
    if (outcome === 'done' && tasks.length > 0) {
      if (list.length === 0) waiting.set(queue, list)
      putBack(cycle, list, job)
    } else if (outcome === 'blocked' && queue.input.dequeueStrategy === 'fifo') waiting.delete(queue)
  }
}

type Outcome = 'done' | 'held' | 'blocked'

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
  cycle.reservations?.reserve(job, blockedOf(cycle, order))
  return 'blocked'
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

/** Takes tasks from the front of the list until `enough`; what it takes and cannot place is skipped. True when something was placed. */
export function placeTasks(
  cycle: Cycle,
  queue: Queue,
  job: Job,
  tasks: number[],
  statement: Statement,
  enough: () => boolean,
  limits: Limits = {},
  placed?: (task: number, node: number) => void,
): boolean {
  let some = false
  let taken = 0
  while (taken < tasks.length) {
    const task = tasks[taken++] as number
    if (!cycle.allocatable(queue, task)) continue
    const { role } = cycle.factsOf(task)
    if (role !== '' && job.failedRoles.has(role)) {
      job.failedTasks.add(task)
      continue
    }
    const choice = pick(cycle, task, limits)
    if (choice === null) {
      job.failedTasks.add(task)
      job.failedRoles.add(role)
      if (mayGoOn(cycle, job, tasks, taken)) continue
      break
    }
    // What leaves in this cycle still stands on its node: terms must not be met by its absence yet.
    const now =
      choice.when === 'now' &&
      !(cycle.evictions.length > 0 && cycle.classOf(task).anti.length + cycle.classOf(task).against.length > 0)
    statement.do({ kind: now ? 'allocate' : 'pipeline', task, node: choice.node })
    placed?.(task, choice.node)
    some = true
    if (enough()) break
  }
  tasks.splice(0, taken)
  return some
}

function pick(cycle: Cycle, task: number, limits: Limits): Choice | null {
  const podClass = cycle.classOf(task)
  const { nominated } = cycle.factsOf(task)
  const { reservations } = cycle
  const bound: Limits =
    reservations === null || !reservations.any
      ? limits
      : { ...limits, allows: (node) => reservations.allows(task, node) }
  const free = bound === limits && limits.within === undefined
  if (free && cycle.options.cache === 'on' && isStillHopeless(cycle.state, podClass) && !hasLive(cycle)) return null
  if (nominated !== '') {
    const node = cycle.state.nodeIds.get(nominated) ?? -1
    if (cycle.state.isAlive(node) && (limits.within === undefined || limits.within.has(node))) {
      const choice = choose(cycle, task, { ...bound, within: new Set([node]) })
      if (choice !== null) return choice
    }
  }
  const choice = choose(cycle, task, bound)
  if (choice === null && free) remember(cycle.state, podClass)
  return choice
}

function hasLive(cycle: Cycle): boolean {
  return cycle.filters.extra.some(({ kind }) => kind === 'live')
}

/**
 * A pod found no node: do the others make sense? With minimums of roles above the job's own, while those that have not failed are
 * enough; else while every role that failed already has its minimum.
 */
function mayGoOn(cycle: Cycle, job: Job, tasks: readonly number[], from: number): boolean {
  if (job.minMember < job.minTaskTotal) {
    let possible = readyOf(cycle.state, job.group)
    for (let k = from; k < tasks.length; k++)
      if (!job.failedRoles.has(cycle.factsOf(tasks[k] as number).role)) possible++
    return possible >= job.minMember
  }
  for (const role of job.failedRoles) {
    const min = job.roles.get(role)?.min ?? 0
    if (min > 0 && readyOf(cycle.state, (job.roles.get(role) as { group: number }).group) < min) return false
  }
  return true
}

export function holdsAny(cycle: Cycle, job: Job): boolean {
  for (const task of job.tasks) if (isAllocated(cycle.state.taskStatus[task] as number)) return true
  return false
}
