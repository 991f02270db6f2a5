/** Which pods may be asked to leave, and which may ask. */
import type { Cycle } from '../cycle.ts'
import { BOUND, RELEASING, RUNNING } from '../status.ts'

export function isEvictable(cycle: Cycle, task: number): boolean {
  const status = cycle.state.taskStatus[task]
  return status === BOUND || status === RUNNING
}

/** It is ours, there for a while, willing, and not better than the one who asks. */
export function isAskable(cycle: Cycle, task: number, victim: number): boolean {
  const { state, options, nowMs } = cycle
  if ((state.taskJob[victim] as number) < 0 || !isEvictable(cycle, victim)) return false
  // Within one job Volcano asks nobody whether they are willing.
  const isKin = options.profile === 'volcano' && state.taskJob[victim] === state.taskJob[task]
  if (!isKin && !cycle.factsOf(victim).preemptable) return false
  if (cycle.isBestEffort(task) && !cycle.isBestEffort(victim)) return false
  const started = state.taskStarted[victim] as number
  if (options.minRunMs <= 0 || started <= 0 || nowMs - started >= options.minRunMs) return true
  const againMs = started + options.minRunMs
  if (cycle.askAgainMs === null || againMs < cycle.askAgainMs) cycle.askAgainMs = againMs
  return false
}

/** Pods on the node that may be asked at all. */
export function askable(cycle: Cycle, task: number, node: number, wanted: (victim: number) => boolean): number[] {
  return cycle.state.tasksOn(node, (victim) => isAskable(cycle, task, victim) && wanted(victim))
}

/** A pod whose nominated node is already being cleared for it waits; and some never take from others. */
export function mayAsk(cycle: Cycle, task: number): boolean {
  const { spec } = cycle.classOf(task)
  if (spec.never) return false
  const { nominated } = cycle.factsOf(task)
  const node = nominated === '' ? -1 : (cycle.state.nodeIds.get(nominated) ?? -1)
  if (!cycle.state.isAlive(node)) return true
  const mine = cycle.state.taskPriority[task] as number
  return !cycle.state
    .tasksOn(node)
    .some((other) => cycle.state.taskStatus[other] === RELEASING && (cycle.state.taskPriority[other] as number) < mine)
}
