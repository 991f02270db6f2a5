/** Queues that have a weight and no fixed share: what those with one leave is poured out among their siblings by weight. */
import type { Cycle } from '../cycle.ts'
import { addSparse, at, exceeding, isEmpty, zeroes, type Dense } from '../dense.ts'
import type { Queue } from '../ledger.ts'
import { PODS } from '../resources.ts'
import { PENDING, RELEASING } from '../status.ts'
import { queueHolds } from '../totals.ts'
import { pour, type Vessel } from './pour.ts'

export interface Weighed {
  readonly queue: Queue
  deserved: Dense
  readonly guarantee: Dense
  readonly most: Dense
}

/** It has a share by its weight: by profile `calm` only, Volcano's `capacity` knows no weights. */
export function isByWeight(cycle: Cycle, queue: Queue): boolean {
  return cycle.options.profile === 'calm' && queue.input.weight !== undefined && isEmpty(queue.deserved)
}

/** Sets what those of the siblings deserve that go by weight, of the room that all of them share. */
export function weigh(cycle: Cycle, room: Dense, siblings: readonly Weighed[]): void {
  const byWeight = siblings.filter(({ queue }) => isByWeight(cycle, queue))
  // One that is alone shares with nobody.
  if (byWeight.length === 0 || siblings.length < 2) return
  const size = cycle.state.dimensions.size
  const fixed = zeroes(size)
  for (const one of siblings)
    if (!byWeight.includes(one))
      for (let dim = 0; dim < size; dim++) fixed[dim] = at(fixed, dim) + at(one.deserved, dim)
  const requests = requestsOf(cycle)
  const vessels = byWeight.map((one): Vessel & { readonly one: Weighed } => ({
    one,
    weight: Math.max(1, one.queue.input.weight ?? 1),
    request: requests.get(one.queue.row) ?? zeroes(size),
    guarantee: one.guarantee,
    most: one.most,
    deserved: zeroes(size),
  }))
  pour(exceeding(room, fixed, size), vessels)
  for (const { one, deserved } of vessels) {
    // Whole units, never more than there are; and nobody has a share of places for pods.
    one.deserved = deserved.map((value, dim) => (dim === PODS ? 0 : Math.floor(value + ROUNDING)))
  }
}

/** What water-filling loses in a double is less than this. */
const ROUNDING = 1e-3

const known = new WeakMap<Cycle, ReadonlyMap<number, Dense>>()

/** By queue, what it and those below it hold and wait for. */
function requestsOf(cycle: Cycle): ReadonlyMap<number, Dense> {
  let requests = known.get(cycle)
  if (requests === undefined) known.set(cycle, (requests = sumRequests(cycle)))
  return requests
}

function sumRequests(cycle: Cycle): ReadonlyMap<number, Dense> {
  const { state } = cycle
  const requests = new Map<number, Dense>()
  for (const queue of cycle.world.queues) if (queue !== null) requests.set(queue.row, queueHolds(cycle, queue.row))
  for (const job of cycle.jobs) {
    const chain = state.jobQueues[job.row] ?? []
    if (chain.length === 0 || state.count(job.group, PENDING) + state.count(job.group, RELEASING) === 0) continue
    for (const task of job.tasks) {
      const status = state.taskStatus[task]
      // Who leaves is made anew and waits again: shares do not change by it.
      if ((status !== PENDING && status !== RELEASING) || cycle.classOf(task).spec.gated) continue
      const { amounts } = cycle.classOf(task).spec.requests
      for (const row of chain) addSparse(requests.get(row) as Dense, amounts)
    }
  }
  return requests
}
