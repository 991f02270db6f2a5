/** Pods of one job, one after the other, each on the best node there is for it. */
import { choose, isStillHopeless, NO_LIMITS, remember, type Choice, type Limits } from '../choose.ts'
import type { PodClass } from '../classes.ts'
import type { Cycle } from '../cycle.ts'
import type { Job, Queue } from '../ledger.ts'
import { readyOf } from '../plugins/gang.ts'
import type { Statement } from '../statement.ts'
import { ALLOCATED, PIPELINED } from '../status.ts'

/** Takes tasks from the front of the list until `enough`; what it takes and cannot place is skipped. True when something was placed. */
export function placeTasks(
  cycle: Cycle,
  queue: Queue,
  job: Job,
  tasks: number[],
  statement: Statement,
  enough: () => boolean,
  limits: Limits = NO_LIMITS,
  placed?: (task: number, node: number) => void,
): boolean {
  let some = false
  let taken = 0
  while (taken < tasks.length) {
    const task = tasks[taken++] as number
    if (!cycle.allocatable(queue, task)) continue
    const { role } = cycle.factsOf(task)
    if (role !== '' && job.failedRoles.has(role)) continue
    const choice = pick(cycle, task, limits, (podClass) => statement.foundNone(podClass))
    if (choice === null) {
      job.failedRoles.add(role)
      if (mayGoOn(cycle, job, tasks, taken)) continue
      break
    }
    const now = choice.when === 'now' && !waitsForLeavers(cycle, task)
    statement.do({ kind: now ? 'allocate' : 'pipeline', task, node: choice.node })
    placed?.(task, choice.node)
    some = true
    if (enough()) break
  }
  tasks.splice(0, taken)
  return some
}

function pick(cycle: Cycle, task: number, limits: Limits, foundNone: (podClass: PodClass) => void): Choice | null {
  const podClass = cycle.classOf(task)
  const { nominated } = cycle.factsOf(task)
  const { reservations } = cycle
  const bound: Limits =
    reservations === null || !reservations.any
      ? limits
      : { ...limits, allows: (node) => reservations.allows(task, node) }
  const free = bound === limits && limits.within === undefined
  if (free && cycle.options.cache === 'on' && isStillHopeless(cycle.state, podClass) && cycle.liveFilters.length === 0)
    return null
  if (nominated !== '') {
    const node = cycle.state.nodeIds.get(nominated) ?? -1
    if (cycle.state.isAlive(node) && (limits.within === undefined || limits.within.has(node))) {
      const choice = choose(cycle, task, { ...bound, within: new Set([node]) })
      if (choice !== null) return choice
    }
  }
  const choice = choose(cycle, task, bound)
  if (choice === null && free) foundNone(podClass)
  return choice
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

/** Places the first pod from `from` on that finds a node, at once; where it left off, or null when none of them finds one. */
export function placeNext(
  cycle: Cycle,
  queue: Queue,
  job: Job,
  tasks: readonly number[],
  from: number,
  limits: Limits = NO_LIMITS,
): number | null {
  for (let k = from; k < tasks.length; k++) {
    const task = tasks[k] as number
    if (!cycle.allocatable(queue, task)) continue
    const { role } = cycle.factsOf(task)
    if (role !== '' && job.failedRoles.has(role)) continue
    const choice = pick(cycle, task, limits, (podClass) => remember(cycle.state, podClass))
    if (choice === null) {
      if (role !== '') job.failedRoles.add(role)
      continue
    }
    const now = choice.when === 'now' && !waitsForLeavers(cycle, task)
    cycle.state.place(task, choice.node, now ? ALLOCATED : PIPELINED)
    if (now) cycle.binds.push(task)
    return k + 1
  }
  return null
}

/** What leaves in this cycle still stands on its node: terms must not be met by its absence yet. */
function waitsForLeavers(cycle: Cycle, task: number): boolean {
  if (cycle.evictions.length === 0) return false
  const podClass = cycle.classOf(task)
  return podClass.anti.length + podClass.against.length > 0
}
