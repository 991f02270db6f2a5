/** Sums over the cluster and over jobs that several plugins need; worked out once a cycle. */
import type { Cycle } from './cycle.ts'
import { at, exceeding, zeroes, type Dense } from './dense.ts'
import type { Job } from './ledger.ts'
import { readyOf } from './plugins/gang.ts'
import { SUCCEEDED } from './status.ts'

const totals = new WeakMap<Cycle, Dense>()

export function totalOf(cycle: Cycle): Dense {
  let total = totals.get(cycle)
  if (total === undefined) {
    total = sumOf(cycle, cycle.state.allocatable)
    totals.set(cycle, total)
  }
  return total
}

export function usedOf(cycle: Cycle): Dense {
  const idle = sumOf(cycle, cycle.state.idle)
  const total = totalOf(cycle)
  for (let dim = 0; dim < idle.length; dim++) idle[dim] = at(total, dim) - at(idle, dim)
  return idle
}

function sumOf(cycle: Cycle, columns: readonly Float64Array[]): Dense {
  const sum = zeroes(columns.length)
  const { nodeRows } = cycle.state
  for (let dim = 0; dim < columns.length; dim++) {
    const column = columns[dim] as Float64Array
    let total = 0
    for (let node = 0; node < nodeRows; node++) total += column[node] as number
    sum[dim] = total
  }
  return sum
}

export function heldBy(cycle: Cycle, job: Job): Dense {
  const { jobHeld } = cycle.state
  const held = zeroes(jobHeld.length)
  for (let dim = 0; dim < held.length; dim++) held[dim] = (jobHeld[dim] as Float64Array)[job.row] as number
  return held
}

export function queueHolds(cycle: Cycle, row: number): Dense {
  const { queueHeld } = cycle.state
  const held = zeroes(queueHeld.length)
  for (let dim = 0; dim < held.length; dim++) held[dim] = (queueHeld[dim] as Float64Array)[row] as number
  return held
}

/** What an admitted job still waits for of its least amounts; null where it counts for nothing. */
export function inqueueOf(cycle: Cycle, job: Job): Dense | null {
  if (job.minResources === null) return null
  const phase = cycle.phases.get(job) ?? job.phase
  const { state } = cycle
  const placed = readyOf(state, job.group) - state.count(job.group, SUCCEEDED)
  if (phase === 'Inqueue' && cycle.options.profile === 'volcano') return job.minResources
  if (phase !== 'Inqueue' && (phase !== 'Running' || placed < job.minMember)) return null
  return exceeding(job.minResources, heldBy(cycle, job), cycle.state.dimensions.size)
}

/** What a job holds beyond its least amounts: it could do without. */
export function elasticOf(cycle: Cycle, job: Job): Dense {
  const held = heldBy(cycle, job)
  return job.minResources === null ? held : exceeding(held, job.minResources, held.length)
}
