/**
 * Backfill with reservations. The first blocked jobs get the earliest start that running jobs' enforced limits allow, node by node and
 * resource by resource; a later pod may pass only where, running to its own limit, it leaves what is reserved free from then on.
 */
import type { PodClass } from './classes.ts'
import { at } from './dense.ts'
import type { Cycle } from './cycle.ts'
import { nodeRefuses } from './filters.ts'
import type { Job, Queue } from './ledger.ts'
import { ALLOCATED, isOnNode } from './status.ts'
import { isByWeight } from './plugins/weights.ts'
import { totalOf } from './totals.ts'
import type { Reservation } from './types.ts'

/** Part of a reservation that stands on one node. */
interface Claim {
  readonly job: Job
  readonly podClass: PodClass
  pods: number
  readonly fromMs: number
  readonly toMs: number
}

/** More start times than this are not tried for one job. */
const MAX_TIMES = 64
/** A reservation for a gang larger than this is not worked out. */
const MAX_PODS = 2048

/**
 * Is it of those that may be let past what is reserved for the other, and leave when that is due? Only who comes behind it: of two jobs
 * that both give way one does so to the other, and never the other to it. Between queues only priority says who is behind, and not of
 * a queue that has a share of its own: it would take that back.
 */
export function isPasser(cycle: Cycle, one: Job, reserved: Job): boolean {
  if (one === reserved || one.input?.preemptible !== true) return false
  if (one.queue !== reserved.queue)
    return one.priority < reserved.priority && !hasShare(cycle, cycle.queueAt(one.queue))
  if (one.priority !== reserved.priority) return one.priority < reserved.priority
  if (one.createdMs !== reserved.createdMs) return one.createdMs > reserved.createdMs
  return one.key > reserved.key
}

function hasShare(cycle: Cycle, queue: Queue | null): boolean {
  if (queue === null) return false
  const { deserved, guarantee } = queue
  return isByWeight(cycle, queue) || [deserved, guarantee].some((amounts) => amounts.some((amount) => amount > 0))
}

export class Reservations {
  readonly made: Reservation[] = []
  readonly #cycle: Cycle
  readonly #claims = new Map<number, Claim[]>()
  readonly #jobs = new Set<Job>()
  #tried = 0
  /** Jobs whose start waits only for preemptible pods that were let past: where they would stand. */
  readonly due: { readonly job: Job; readonly tasks: readonly number[]; readonly nodes: readonly number[] }[] = []

  constructor(cycle: Cycle) {
    this.#cycle = cycle
  }

  get any(): boolean {
    return this.#claims.size > 0
  }

  has(job: Job): Reservation | undefined {
    return this.#jobs.has(job)
      ? this.made.find((one) => one.namespace === job.namespace && one.name === job.name)
      : undefined
  }

  /** May the pod start on the node now without standing, at its limit, where something is reserved. */
  allows(task: number, node: number): boolean {
    const claims = this.#claims.get(node)
    if (claims === undefined) return true
    const job = this.#cycle.jobOf(task)
    const endMs = this.#cycle.nowMs + this.#lengthOf(task, job, 'limit')
    const podClass = this.#cycle.classOf(task)
    for (const { fromMs, job: owner } of claims)
      if (
        owner !== job &&
        fromMs < endMs &&
        !isPasser(this.#cycle, job, owner) &&
        !this.#fitsAt(podClass, node, fromMs, { asking: job, owner })
      )
        return false
    return true
  }

  reserve(job: Job, blocked: readonly number[]): void {
    const cycle = this.#cycle
    if (blocked.length === 0 || this.#tried >= cycle.options.reservations || this.#jobs.has(job)) return
    this.#tried++
    const wanted = Math.max(1, job.minMember - this.#running(job))
    const tasks = blocked.slice(0, wanted)
    if (tasks.length > MAX_PODS || !this.#queueAllows(job, tasks)) return
    const found = this.#earliest(job, tasks, 'limit')
    if (found === null) return
    // There is room now and yet it found no node: that is no matter of time, unless those who were let past stand in its way.
    const past = found.atMs <= cycle.nowMs
    if (past && !found.nodes.some((node) => this.#hasPassers(node, job))) return
    this.#jobs.add(job)
    const expected = this.#earliest(job, tasks, 'estimate')
    if (past) this.due.push({ job, tasks, nodes: found.nodes })
    const pods = new Map<number, number>()
    for (const [k, node] of found.nodes.entries()) {
      pods.set(node, (pods.get(node) ?? 0) + 1)
      this.#claim(job, tasks[k] as number, node, found.atMs)
    }
    this.made.push({
      namespace: job.namespace,
      name: job.name,
      startMs: found.atMs,
      expectedMs: Math.min(found.atMs, expected?.atMs ?? found.atMs),
      nodes: [...pods].map(([node, count]) => ({ node: cycle.state.facts[node]?.name ?? '', pods: count })),
    })
  }

  /** What its queue forbids is not a matter of time on nodes. */
  #queueAllows(job: Job, tasks: readonly number[]): boolean {
    const { state } = this.#cycle
    const mark = state.log.begin()
    const allowed = tasks.every((task) => {
      if (!this.#cycle.allocatable(this.#cycle.queueOf(job), task) && !this.#isFull(job, task)) return false
      state.setStatus(task, ALLOCATED)
      return true
    })
    state.log.rollback(mark)
    return allowed
  }

  /** The queue's only limit is the cluster itself: then it is a matter of time. */
  #isFull(job: Job, task: number): boolean {
    const limit = this.#cycle.queueLimit(this.#cycle.queueOf(job), task)
    if (limit === null) return false
    const dim = this.#cycle.state.dimensions.names.find(limit.resource)
    return limit.limit >= at(totalOf(this.#cycle), dim)
  }

  #hasPassers(node: number, job: Job): boolean {
    const { state, world } = this.#cycle
    return state.tasksOn(node).some((task) => {
      const other = world.jobs[state.taskJob[task] as number]
      return other !== undefined && other !== null && isPasser(this.#cycle, other, job)
    })
  }

  #running(job: Job): number {
    let count = 0
    for (const task of job.tasks) if (isOnNode(this.#cycle.state.taskStatus[task] as number)) count++
    return count
  }

  #claim(job: Job, task: number, node: number, fromMs: number): void {
    const claims = this.#claims.get(node) ?? []
    this.#claims.set(node, claims)
    const podClass = this.#cycle.classOf(task)
    const same = claims.find((claim) => claim.job === job && claim.podClass === podClass)
    if (same === undefined)
      claims.push({ job, podClass, pods: 1, fromMs, toMs: fromMs + this.#lengthOf(task, job, 'limit') })
    else same.pods++
  }

  /** How long a pod runs at most, or usually. Infinity where nothing ends it. */
  #lengthOf(task: number, job: Job, by: 'limit' | 'estimate'): number {
    const { timeLimitMs, graceMs } = this.#cycle.classOf(task).spec
    const limit = Math.min(timeLimitMs, job.input?.timeLimitMs ?? Number.POSITIVE_INFINITY) + graceMs
    return by === 'estimate' ? Math.min(limit, job.input?.estimateMs ?? limit) : limit
  }

  /** When a pod that stands on a node will have left for what is reserved for the job, at the latest (or usually). */
  #endOf(task: number, by: 'limit' | 'estimate', reserved: Job): number {
    const { state, nowMs } = this.#cycle
    const row = state.taskJob[task] as number
    const job = row < 0 ? null : this.#cycle.world.jobs[row]
    if (job !== null && job !== undefined && isPasser(this.#cycle, job, reserved)) return nowMs
    const { timeLimitMs, graceMs } = (state.taskClass[task] as PodClass).spec
    const started = state.taskStarted[task] as number
    const begun = started > 0 ? started : nowMs
    const limit = Math.min(timeLimitMs, job?.input?.timeLimitMs ?? Number.POSITIVE_INFINITY) + graceMs
    const length = by === 'estimate' ? Math.min(limit, job?.input?.estimateMs ?? limit) : limit
    return Math.max(nowMs, begun + length)
  }

  /** Is there room for a pod of the class when the owner's time comes, beside what still runs then and what is reserved for others. */
  #fitsAt(podClass: PodClass, node: number, atMs: number, by: { readonly asking: Job; readonly owner: Job }): boolean {
    const { state } = this.#cycle
    const { dims, values } = podClass.spec.requests.amounts
    for (let k = 0; k < dims.length; k++) {
      const dim = dims[k] as number
      let room = (state.allocatable[dim] as Float64Array)[node] as number
      for (let task = state.firstTask[node] as number; task >= 0; task = state.taskNext[task] as number)
        if (this.#endOf(task, 'limit', by.owner) > atMs) room -= amountOf(state.taskClass[task] as PodClass, dim)
      for (const claim of this.#claims.get(node) ?? [])
        if (claim.job !== by.asking && claim.fromMs <= atMs && atMs < claim.toMs)
          room -= claim.pods * amountOf(claim.podClass, dim)
      if ((values[k] as number) > room) return false
    }
    return true
  }

  #earliest(job: Job, tasks: readonly number[], by: 'limit' | 'estimate'): { atMs: number; nodes: number[] } | null {
    const { state, filters, nowMs } = this.#cycle
    const open = new Map<PodClass, number[]>()
    for (const task of tasks) {
      const podClass = this.#cycle.classOf(task)
      if (open.has(podClass)) continue
      const nodes: number[] = []
      for (let node = 0; node < state.nodeRows; node++)
        if (state.isAlive(node) && nodeRefuses(state, filters, podClass, node) === null) nodes.push(node)
      open.set(
        podClass,
        nodes.filter((node) => fitsEmpty(this.#cycle, podClass, node)),
      )
    }
    const times = new Set([nowMs])
    for (const nodes of open.values())
      for (const node of nodes) {
        for (let task = state.firstTask[node] as number; task >= 0; task = state.taskNext[task] as number) {
          const end = this.#endOf(task, by, job)
          if (Number.isFinite(end)) times.add(end)
        }
        for (const { toMs } of this.#claims.get(node) ?? []) if (Number.isFinite(toMs)) times.add(toMs)
      }
    // Nothing ever ends for certain, and there is nobody who was let past: now is the only time, and now there is no room.
    if (times.size === 1 && !this.#cycle.jobs.some((other) => isPasser(this.#cycle, other, job))) return null
    const sorted = [...times].toSorted((a, b) => a - b)
    const step = Math.ceil(sorted.length / MAX_TIMES)
    for (let k = 0; k < sorted.length; k += step) {
      // When times are skipped, the later one stands for those before it.
      const atMs = sorted[Math.min(k + step - 1, sorted.length - 1)] as number
      const nodes = this.#placeAll(job, tasks, open, atMs, by)
      if (nodes !== null) return { atMs, nodes }
    }
    return null
  }

  /** Every pod on a node at that time and for its whole length, or null. */
  #placeAll(
    job: Job,
    tasks: readonly number[],
    open: ReadonlyMap<PodClass, readonly number[]>,
    atMs: number,
    by: 'limit' | 'estimate',
  ): number[] | null {
    const placed: number[] = []
    const own = new Map<number, Map<PodClass, number>>()
    for (const task of tasks) {
      const podClass = this.#cycle.classOf(task)
      const untilMs = atMs + this.#lengthOf(task, job, 'limit')
      const node = (open.get(podClass) as readonly number[]).find((one) =>
        this.#holds(podClass, one, atMs, untilMs, job, by, own.get(one)),
      )
      if (node === undefined) return null
      const here = own.get(node) ?? new Map<PodClass, number>()
      own.set(node, here)
      here.set(podClass, (here.get(podClass) ?? 0) + 1)
      placed.push(node)
    }
    return placed
  }

  #holds(
    podClass: PodClass,
    node: number,
    atMs: number,
    untilMs: number,
    job: Job,
    by: 'limit' | 'estimate',
    own: ReadonlyMap<PodClass, number> | undefined,
  ): boolean {
    const beside = this.#with(podClass, own)
    if (!this.#fitsTogether(beside, node, atMs, job, by)) return false
    for (const { fromMs, job: other } of this.#claims.get(node) ?? [])
      if (other !== job && fromMs > atMs && fromMs < untilMs && !this.#fitsTogether(beside, node, fromMs, job, by))
        return false
    return true
  }

  #with(podClass: PodClass, own: ReadonlyMap<PodClass, number> | undefined): Map<PodClass, number> {
    const beside = new Map(own ?? [])
    beside.set(podClass, (beside.get(podClass) ?? 0) + 1)
    return beside
  }

  #fitsTogether(
    pods: ReadonlyMap<PodClass, number>,
    node: number,
    atMs: number,
    job: Job,
    by: 'limit' | 'estimate',
  ): boolean {
    const { state } = this.#cycle
    for (let dim = 0; dim < state.dimensions.size; dim++) {
      let asked = 0
      for (const [podClass, count] of pods) asked += count * amountOf(podClass, dim)
      if (asked === 0) continue
      let room = (state.allocatable[dim] as Float64Array)[node] as number
      for (let task = state.firstTask[node] as number; task >= 0; task = state.taskNext[task] as number)
        if (this.#endOf(task, by, job) > atMs) room -= amountOf(state.taskClass[task] as PodClass, dim)
      for (const claim of this.#claims.get(node) ?? [])
        if (claim.job !== job && claim.fromMs <= atMs && atMs < claim.toMs)
          room -= claim.pods * amountOf(claim.podClass, dim)
      if (asked > room) return false
    }
    return true
  }
}

function amountOf(podClass: PodClass, dim: number): number {
  const { dims, values } = podClass.spec.requests.amounts
  for (let k = 0; k < dims.length; k++) if (dims[k] === dim) return values[k] as number
  return 0
}

function fitsEmpty(cycle: Cycle, podClass: PodClass, node: number): boolean {
  const { dims, values } = podClass.spec.requests.amounts
  for (let k = 0; k < dims.length; k++)
    if ((values[k] as number) > ((cycle.state.allocatable[dims[k] as number] as Float64Array)[node] as number))
      return false
  return true
}
