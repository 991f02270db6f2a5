/** Pods that ask for nothing find a place; and those who were let past a reservation leave when it is due. */
import { choose } from '../choose.ts'
import type { Cycle } from '../cycle.ts'
import { Statement } from '../statement.ts'
import { isPasser } from '../reservations.ts'
import { PENDING } from '../status.ts'
import { bestQueue, byQueue, isCandidate } from './queues.ts'
import { askable } from './askable.ts'
import { mayGo } from '../choose.ts'

export function backfill(cycle: Cycle): void {
  placeBestEffort(cycle)
  for (const { job, tasks, nodes } of cycle.reservations?.due ?? []) {
    const statement = new Statement(cycle)
    for (const [k, task] of tasks.entries()) {
      const node = nodes[k] as number
      if (!cycle.state.isPending(task)) continue
      const past = askable(cycle, task, node, (victim) => isPasser(cycle, cycle.jobOf(victim), job))
      for (const victim of past.toSorted((a, b) => cycle.compareVictims(a, b, task))) {
        if (mayGo(cycle, task, node)) break
        statement.do({ kind: 'evict', task: victim, because: 'reservation', for: task, breaksBudget: false })
      }
      if (mayGo(cycle, task, node)) statement.do({ kind: 'pipeline', task, node })
    }
    // Somebody may be late in ending: then nobody leaves for it yet.
    const isWhole = tasks.every((task) => !cycle.state.isPending(task))
    if (statement.moves.length > 0 && isWhole && cycle.jobPipelined(job)) statement.commit()
    else statement.discard()
  }
}

function placeBestEffort(cycle: Cycle): void {
  const jobs = cycle.jobs.filter(
    (job) => cycle.state.count(job.group, PENDING) > 0 && job.phase !== 'Pending' && isCandidate(cycle, job),
  )
  const tasksOf = new Map(jobs.map((job) => [job, cycle.pendingOf(job).filter((task) => cycle.isBestEffort(task))]))
  const waiting = byQueue(
    cycle,
    jobs.filter((job) => (tasksOf.get(job) as number[]).length > 0),
  )
  for (let queue = bestQueue(cycle, waiting); queue !== null; queue = bestQueue(cycle, waiting)) {
    for (const job of waiting.get(queue) ?? [])
      for (const task of tasksOf.get(job) as number[]) {
        const choice = choose(cycle, task)
        if (choice?.when !== 'now') continue
        const statement = new Statement(cycle)
        statement.do({ kind: 'allocate', task, node: choice.node })
        statement.commit()
      }
    waiting.delete(queue)
  }
}
