/** Pods of one job, one after the other, each on the best node there is for it. */
import { choose, isStillHopeless, remember, type Choice, type Limits } from '../choose.ts'
import type { Cycle } from '../cycle.ts'
import type { Job, Queue } from '../ledger.ts'
import { readyOf } from '../plugins/gang.ts'
import type { Statement } from '../statement.ts'

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
