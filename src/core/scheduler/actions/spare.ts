/** Who was to leave and need not any more: a gang that left whole for one job may have made the room that single pods left for before. */
import { mayGo } from '../choose.ts'
import type { Cycle } from '../cycle.ts'
import type { Job } from '../ledger.ts'
import { PENDING, PIPELINED } from '../status.ts'
import { isEvictable } from './askable.ts'

/** Takes back evictions without which all that was promised still holds, the first decided first. */
export function spareNeedless(cycle: Cycle): void {
  const { state, evictions } = cycle
  if (evictions.length < 2) return
  const spared = new Set<number>()
  for (const tasks of unitsOf(cycle)) {
    const mark = state.log.begin()
    for (const task of tasks) state.spare(task, cycle.factsOf(task).status)
    const nodes = new Set(tasks.map((task) => state.taskNode[task] as number))
    const takers = new Set(evictions.flatMap((note) => (tasks.includes(note.task) ? [note.for] : [])))
    if (promisedOn(cycle, nodes, takers).every((task) => stillGoes(cycle, task))) {
      state.log.keep(mark)
      for (const task of tasks) spared.add(task)
    } else state.log.rollback(mark)
  }
  if (spared.size > 0) evictions.splice(0, evictions.length, ...evictions.filter(({ task }) => !spared.has(task)))
}

/** What left together stays together. */
function unitsOf(cycle: Cycle): Iterable<readonly number[]> {
  const units = new Map<Job | number, number[]>()
  for (const { task } of cycle.evictions) {
    const job = cycle.jobOf(task)
    const isWhole = job.minMember > 0 && ![...job.tasks].some((other) => isEvictable(cycle, other))
    const key = isWhole ? job : task
    units.set(key, [...(units.get(key) ?? []), task])
  }
  return units.values()
}

function promisedOn(cycle: Cycle, nodes: ReadonlySet<number>, takers: ReadonlySet<number>): readonly number[] {
  const isPromised = (task: number): boolean => cycle.state.taskStatus[task] === PIPELINED
  const promised = new Set([...takers].filter(isPromised))
  for (const node of nodes) for (const task of cycle.state.tasksOn(node, isPromised)) promised.add(task)
  return [...promised]
}

/** Taken off its node, could it be put there again? */
function stillGoes(cycle: Cycle, task: number): boolean {
  const { state } = cycle
  // Of other schedulers: nothing is known of their limits.
  const row = state.taskJob[task] as number
  const node = state.taskNode[task] as number
  state.remove(task, PENDING)
  const queue = row < 0 ? null : cycle.queueOf(cycle.jobOf(task))
  const goes = (queue === null || cycle.allocatable(queue, task)) && mayGo(cycle, task, node)
  state.place(task, node, PIPELINED)
  return goes
}
