/** Dominant resource fairness: of two jobs, the one whose largest share of the cluster is smaller goes first. */
import type { Cycle } from '../cycle.ts'
import { addSparse, at, share, type Dense } from '../dense.ts'
import type { Job } from '../ledger.ts'
import type { Hooks } from '../plugin.ts'
import { heldBy, totalOf } from '../totals.ts'

const SAME = 1e-6

export function drf(cycle: Cycle): Hooks {
  const total = totalOf(cycle)
  const dominant = (held: Dense): number => {
    let most = 0
    for (let dim = 0; dim < total.length; dim++)
      if (at(total, dim) > 0) most = Math.max(most, share(at(held, dim), at(total, dim)))
    return most
  }
  const shareOf = (job: Job): number => {
    let most = 0
    for (let dim = 0; dim < total.length; dim++)
      if (at(total, dim) > 0)
        most = Math.max(most, ((cycle.state.jobHeld[dim] as Float64Array)[job.row] as number) / at(total, dim))
    return most
  }
  return {
    jobOrder: (a, b) => shareOf(a) - shareOf(b),
    preemptable: (preemptor, candidates) => {
      const mine = dominant(
        addSparse(heldBy(cycle, cycle.jobOf(preemptor)), cycle.classOf(preemptor).spec.requests.amounts),
      )
      const left = new Map<Job, Dense>()
      return candidates.filter((task) => {
        const job = cycle.jobOf(task)
        const held = left.get(job) ?? heldBy(cycle, job)
        left.set(job, held)
        addSparse(held, cycle.classOf(task).spec.requests.amounts, -1)
        return mine < dominant(held) + SAME
      })
    },
  }
}
