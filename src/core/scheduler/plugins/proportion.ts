/** Queues by weight: what is there is poured out in rounds, and no queue is filled beyond what it asks for or may have. */
import type { Cycle } from '../cycle.ts'
import { addSparse, addTo, at, exceeding, lessOrEqual, share, zeroes, type Dense } from '../dense.ts'
import type { Queue } from '../ledger.ts'
import type { Hooks, Vote } from '../plugin.ts'
import { pour, type Vessel } from './pour.ts'
import { PENDING } from '../status.ts'
import { elasticOf, inqueueOf, queueHolds, totalOf } from '../totals.ts'

interface Part extends Vessel {
  readonly queue: Queue
  readonly inqueue: Dense
  readonly elastic: Dense
}

export function proportion(cycle: Cycle): Hooks {
  const parts = divide(cycle)
  const partOf = (queue: Queue): Part | undefined => parts.get(queue.row)
  const shareOf = (queue: Queue): number => {
    const part = partOf(queue)
    if (part === undefined) return 0
    let most = 0
    for (let dim = 0; dim < part.deserved.length; dim++)
      most = Math.max(
        most,
        share((cycle.state.queueHeld[dim] as Float64Array)[queue.row] as number, at(part.deserved, dim)),
      )
    return most
  }
  /** With the task, in each dimension that it asks for. */
  const staysWithin = (queue: Queue, task: number): boolean => {
    const part = partOf(queue)
    if (part === undefined || (queue.input.state ?? 'Open') !== 'Open' || queue.problem !== null) return false
    const { dims, values } = cycle.classOf(task).spec.requests.amounts
    for (let k = 0; k < dims.length; k++) {
      const dim = dims[k] as number
      if (
        ((cycle.state.queueHeld[dim] as Float64Array)[queue.row] as number) + (values[k] as number) >
        at(part.deserved, dim)
      )
        return false
    }
    return true
  }
  return {
    queueOrder: (a, b) => (b.input.priority ?? 0) - (a.input.priority ?? 0) || shareOf(a) - shareOf(b),
    overused: (queue) => {
      const part = partOf(queue)
      return part !== undefined && lessOrEqual(part.deserved, queueHolds(cycle, queue.row))
    },
    allocatable: staysWithin,
    queueLimit: (queue, task) => {
      const part = partOf(queue)
      if (part === undefined) return null
      const { dims, values } = cycle.classOf(task).spec.requests.amounts
      for (let k = 0; k < dims.length; k++) {
        const dim = dims[k] as number
        const used = (cycle.state.queueHeld[dim] as Float64Array)[queue.row] as number
        const [asked, limit] = [values[k] as number, at(part.deserved, dim)]
        if (used + asked > limit)
          return { name: queue.name, resource: cycle.state.dimensions.names.names[dim] as string, used, limit, asked }
      }
      return null
    },
    preemptive: staysWithin,
    reclaimable: (_preemptor, candidates) => {
      const left = new Map<number, Dense>()
      return candidates.filter((task) => {
        const queue = cycle.queueAt(cycle.jobOf(task).queue)
        const part = queue === null ? undefined : partOf(queue)
        if (queue === null || part === undefined) return false
        let held = left.get(queue.row)
        if (held === undefined) left.set(queue.row, (held = queueHolds(cycle, queue.row)))
        if (lessOrEqual(held, part.deserved)) return false
        addSparse(held, cycle.classOf(task).spec.requests.amounts, -1)
        return true
      })
    },
    jobEnqueueable: (job): Vote => {
      const queue = cycle.queueOf(job)
      if ((queue.input.state ?? 'Open') !== 'Open') return -1
      const part = partOf(queue)
      if (queue.capability === null || job.minResources === null || part === undefined) return 1
      const held = queueHolds(cycle, queue.row)
      for (let dim = 0; dim < held.length; dim++) {
        const asked = at(job.minResources, dim)
        if (asked > 0 && asked + at(held, dim) + at(part.inqueue, dim) - at(part.elastic, dim) > at(part.most, dim))
          return -1
      }
      return 1
    },
    jobEnqueued: (job) => {
      const part = partOf(cycle.queueOf(job))
      if (part !== undefined && job.minResources !== null) addTo(part.inqueue, job.minResources)
    },
  }
}

/** Queues that have jobs, with what they deserve. */
function divide(cycle: Cycle): Map<number, Part> {
  const size = cycle.state.dimensions.size
  const total = totalOf(cycle)
  const guaranteed = zeroes(size)
  for (const queue of cycle.world.queues) if (queue !== null) addTo(guaranteed, queue.guarantee)
  const parts = new Map<number, Part>()
  for (const job of cycle.jobs) {
    const queue = cycle.queueAt(job.queue)
    if (queue === null) continue
    let part = parts.get(queue.row)
    if (part === undefined) {
      const free = addTo(exceeding(total, guaranteed, size), queue.guarantee)
      const { capability } = queue
      const most =
        capability === null
          ? free
          : free.map((value, dim) => (at(capability, dim) > 0 ? Math.min(value, at(capability, dim)) : value))
      part = {
        queue,
        weight: Math.max(1, queue.input.weight ?? 1),
        request: queueHolds(cycle, queue.row),
        guarantee: queue.guarantee,
        inqueue: zeroes(size),
        elastic: zeroes(size),
        most,
        deserved: zeroes(size),
      }
      parts.set(queue.row, part)
    }
    for (const task of job.tasks)
      if (cycle.state.taskStatus[task] === PENDING) addSparse(part.request, cycle.classOf(task).spec.requests.amounts)
    const waiting = inqueueOf(cycle, job)
    if (waiting !== null) addTo(part.inqueue, waiting)
    addTo(part.elastic, elasticOf(cycle, job))
  }
  pour(total, [...parts.values()])
  return parts
}
