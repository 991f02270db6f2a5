/** The plugins that fit on a few lines: priority, scarce, conformance, overcommit, sla, predicates, backfill. */
import type { Cycle } from '../cycle.ts'
import type { Job } from '../ledger.ts'
import { addTo, at, zeroes } from '../dense.ts'
import { numberArgument, type Arguments, type Hooks, type Vote } from '../plugin.ts'
import { parseDurationMs } from '../duration.ts'
import { PODS } from '../resources.ts'
import { PENDING, PIPELINED } from '../status.ts'
import { inqueueOf, totalOf, usedOf } from '../totals.ts'
import { readyOf } from './gang.ts'

export function priority(cycle: Cycle): Hooks {
  const { state } = cycle
  const of = (task: number): number => state.taskPriority[task] as number
  return {
    taskOrder: (a, b) => of(b) - of(a),
    jobOrder: (a, b) => b.priority - a.priority,
    preemptable: (preemptor, candidates) => {
      const mine = cycle.jobOf(preemptor)
      return candidates.filter((task) => {
        const job = cycle.jobOf(task)
        return job === mine ? of(task) < of(preemptor) : job.priority < mine.priority
      })
    },
    jobStarving: (job) =>
      readyOf(state, job.group) + state.count(job.group, PIPELINED) < job.tasks.size &&
      state.count(job.group, PENDING) > 0,
  }
}

/** Of one job, pods that need what few nodes have go first: the others can then be placed beside them. */
export function scarce(cycle: Cycle): Hooks {
  const of = (task: number): number => {
    const { dims } = cycle.classOf(task).spec.requests.amounts
    return (dims.at(-1) ?? 0) > PODS ? 1 : 0
  }
  return { taskOrder: (a, b) => of(b) - of(a) }
}

const CRITICAL = new Set(['system-cluster-critical', 'system-node-critical'])

/** What the cluster itself needs never gives way. */
export function conformance(cycle: Cycle): Hooks {
  const spared = (_preemptor: number, candidates: readonly number[]): readonly number[] =>
    candidates.filter((task) => {
      if (CRITICAL.has(cycle.classOf(task).spec.priorityClassName)) return false
      return cycle.state.taskNames[task]?.namespace !== 'kube-system'
    })
  return { preemptable: spared, reclaimable: spared }
}

const OVERCOMMIT = 1.2

function factorOf(given: Arguments, name: string, otherwise: number): number {
  const factor = numberArgument(given, name, otherwise)
  return factor < 1 ? OVERCOMMIT : factor
}

/** Admits jobs up to a little more than the cluster holds. */
export function overcommit(cycle: Cycle, given: Arguments): Hooks {
  const general = factorOf(given, 'overcommit-factor', OVERCOMMIT)
  const factors = cycle.state.dimensions.names.names.map((name) =>
    factorOf(given, `overcommit-factor.${name}`, general),
  )
  let room: { readonly idle: Float64Array; readonly inqueue: Float64Array } | null = null
  const roomOf = (): { readonly idle: Float64Array; readonly inqueue: Float64Array } => {
    if (room !== null) return room
    const total = totalOf(cycle)
    const used = usedOf(cycle)
    const idle = total.map((amount, dim) => Math.max(0, amount * (factors[dim] ?? general) - at(used, dim)))
    const inqueue = zeroes(total.length)
    for (const job of cycle.jobs) {
      const waiting = inqueueOf(cycle, job)
      if (waiting !== null) addTo(inqueue, waiting)
    }
    room = { idle, inqueue }
    return room
  }
  return {
    jobEnqueueable: (job): Vote => {
      if (job.minResources === null) return 1
      const { idle, inqueue } = roomOf()
      // Only what the job asks for is compared.
      const asked = job.minResources
      return asked.every((amount, dim) => amount === 0 || at(inqueue, dim) + amount <= at(idle, dim)) ? 1 : -1
    },
    jobEnqueued: (job) => {
      if (job.minResources !== null) addTo(roomOf().inqueue, job.minResources)
    },
  }
}

/** A job that has waited its time goes first and is admitted whatever others say. */
export function sla(cycle: Cycle, given: Arguments): Hooks {
  const general = parseDurationMs(given['sla-waiting-time'])
  const limitOf = (annotations: Readonly<Record<string, string>> | undefined): number | undefined =>
    parseDurationMs(annotations?.['sla-waiting-time']) ?? general
  const hasWaited = (job: Job): Vote => {
    const limit = limitOf(job.input?.annotations)
    return limit !== undefined && cycle.nowMs - job.createdMs >= limit ? 1 : 0
  }
  return {
    jobOrder: (a, b) => {
      const left = limitOf(a.input?.annotations)
      const right = limitOf(b.input?.annotations)
      if (left === undefined || right === undefined) return Number(left === undefined) - Number(right === undefined)
      return a.createdMs + left - (b.createdMs + right)
    },
    jobEnqueueable: (job): Vote => hasWaited(job),
    // Room is held for it even where it is not enough yet.
    jobPipelined: (job): Vote => hasWaited(job),
  }
}

/** Turns kube-scheduler's filters on. */
export function predicates(): Hooks {
  return { kubeFilters: true }
}

/** Turns reservations on (options.reservations says how many); it has no hooks of its own. */
export function backfill(): Hooks {
  return {}
}
