/** What each queue deserves, may at most have and is guaranteed, worked out for a cycle; and the questions about limits and order. */
import type { Cycle } from '../cycle.ts'
import { addTo, at, exceeding, isEmpty, share, zeroes, type Dense } from '../dense.ts'
import { ROOT_QUEUE, type Job, type Queue } from '../ledger.ts'
import type { QueueLimit, Vote } from '../plugin.ts'
import type { Amounts } from '../resources.ts'
import { elasticOf, inqueueOf, queueHolds, totalOf } from '../totals.ts'
import { weigh } from './weights.ts'

export interface Share {
  readonly queue: Queue
  deserved: Dense
  guarantee: Dense
  /** Infinity where nothing limits. */
  most: Dense
  readonly inqueue: Dense
  readonly elastic: Dense
}

export class ShareBook {
  readonly ready: boolean
  readonly #cycle: Cycle
  readonly #shares = new Map<number, Share>()
  readonly #chains = new Map<number, readonly number[]>()
  readonly #size: number
  #counted = false

  constructor(cycle: Cycle) {
    this.#cycle = cycle
    this.#size = cycle.state.dimensions.size
    for (const queue of cycle.world.queues) {
      if (queue === null) continue
      this.#shares.set(queue.row, {
        queue,
        deserved: padded(queue.deserved, this.#size),
        guarantee: padded(queue.guarantee, this.#size),
        most: zeroes(this.#size),
        inqueue: zeroes(this.#size),
        elastic: zeroes(this.#size),
      })
    }
    if (cycle.hierarchical) this.#tree()
    else this.#flat()
    this.ready = !(cycle.hierarchical && cycle.options.profile === 'volcano' && this.#misplaced())
  }

  /** Volcano schedules nothing at all while a queue's parent is missing or a job stands in a queue that has children. */
  #misplaced(): boolean {
    for (const { queue } of this.#shares.values()) if (queue.problem !== null) return true
    return this.#cycle.jobs.some(
      (job) => job.queue >= 0 && (this.#shares.get(job.queue) as Share).queue.children.length > 0,
    )
  }

  /** What admitted jobs wait for and running ones could do without: only admission asks. */
  #countJobs(): void {
    if (this.#counted) return
    this.#counted = true
    for (const job of this.#cycle.jobs) this.#countJob(job)
  }

  #countJob(job: Job): void {
    const queue = this.#cycle.queueAt(job.queue)
    if (queue === null) return
    const waiting = inqueueOf(this.#cycle, job)
    const elastic = elasticOf(this.#cycle, job)
    for (const row of this.chain(queue)) {
      const one = this.#shares.get(row) as Share
      if (waiting !== null) addTo(one.inqueue, waiting)
      addTo(one.elastic, elastic)
    }
  }

  #flat(): void {
    const guaranteed = zeroes(this.#size)
    for (const { guarantee } of this.#shares.values()) addTo(guaranteed, guarantee)
    const free = exceeding(totalOf(this.#cycle), guaranteed, this.#size)
    for (const one of this.#shares.values()) {
      one.most = limited(addTo(free.slice(), one.guarantee), one.queue.capability)
      one.deserved = raised(lowered(one.deserved, one.most), one.guarantee)
    }
    weigh(this.#cycle, totalOf(this.#cycle), [...this.#shares.values()])
  }

  #tree(): void {
    for (const one of this.#shares.values()) {
      one.deserved = raised(one.deserved, one.guarantee)
      if (one.queue.parent >= 0 && one.queue.name !== ROOT_QUEUE) continue
      one.most =
        one.queue.capability === null
          ? zeroes(this.#size).fill(Number.POSITIVE_INFINITY)
          : limited(zeroes(this.#size).fill(Number.POSITIVE_INFINITY), one.queue.capability)
    }
    const roots = [...this.#shares.values()].filter(({ queue }) => queue.parent < 0)
    // Trees without a common root share the cluster as if they had one.
    if (roots.every(({ queue }) => queue.name !== ROOT_QUEUE)) {
      this.#divide(totalOf(this.#cycle), roots, null)
      weigh(this.#cycle, totalOf(this.#cycle), roots)
    }
    for (const root of roots) this.#descend(root, new Set())
  }

  #descend(parent: Share, seen: Set<number>): void {
    if (seen.has(parent.queue.row)) return
    seen.add(parent.queue.row)
    const children = parent.queue.children.flatMap((row) => this.#shares.get(row) ?? [])
    const room = parent.queue.name === ROOT_QUEUE ? rootRoom(parent, totalOf(this.#cycle)) : parent.most
    this.#divide(room, children, parent)
    weigh(this.#cycle, this.#roomToShare(parent, room), children)
    if (parent.queue.name === ROOT_QUEUE) {
      parent.guarantee = zeroes(this.#size)
      parent.deserved = zeroes(this.#size)
      for (const child of children) {
        addTo(parent.guarantee, child.guarantee)
        addTo(parent.deserved, child.deserved)
      }
    }
    for (const child of children) this.#descend(child, seen)
  }

  /** What the children of a queue share by weight: what it deserves itself, and where it has no share, what it may have. */
  #roomToShare(parent: Share, room: Dense): Dense {
    const own = parent.queue.name === ROOT_QUEUE ? zeroes(this.#size) : parent.deserved
    const within = lowered(room, totalOf(this.#cycle))
    return within.map((value, dim) => (at(own, dim) > 0 ? at(own, dim) : value))
  }

  #divide(room: Dense, children: readonly Share[], parent: Share | null): void {
    const guaranteed = zeroes(this.#size)
    for (const child of children) addTo(guaranteed, child.guarantee)
    for (const child of children) {
      const most = zeroes(this.#size)
      for (let dim = 0; dim < this.#size; dim++)
        most[dim] = Math.max(0, at(room, dim) - at(guaranteed, dim)) + at(child.guarantee, dim)
      child.most = limited(most, child.queue.capability)
      if (parent !== null) child.most = lowered(child.most, parent.most)
    }
  }

  /** The queue and, in a tree, its ancestors. */
  chain(queue: Queue): readonly number[] {
    let chain = this.#chains.get(queue.row)
    if (chain === undefined) {
      chain = this.#cycle.hierarchical ? [queue.row, ...queue.ancestors] : [queue.row]
      this.#chains.set(queue.row, chain)
    }
    return chain
  }

  takesJobs(queue: Queue): boolean {
    if (!this.ready || queue.problem !== null || (queue.input.state ?? 'Open') !== 'Open') return false
    return !this.#cycle.hierarchical || queue.children.length === 0
  }

  share(row: number): Share {
    return this.#shares.get(row) as Share
  }

  held(row: number): Dense {
    return queueHolds(this.#cycle, row)
  }

  fits(row: number, amounts: Amounts): boolean {
    const { most } = this.#shares.get(row) as Share
    const { queueHeld } = this.#cycle.state
    const { dims, values } = amounts
    for (let k = 0; k < dims.length; k++) {
      const dim = dims[k] as number
      if (((queueHeld[dim] as Float64Array)[row] as number) + (values[k] as number) > at(most, dim)) return false
    }
    return true
  }

  limitOf(queue: Queue, amounts: Amounts): QueueLimit | null {
    const { names } = this.#cycle.state.dimensions.names
    const { dims, values } = amounts
    for (const row of this.chain(queue))
      for (let k = 0; k < dims.length; k++) {
        const dim = dims[k] as number
        const used = (this.#cycle.state.queueHeld[dim] as Float64Array)[row] as number
        const { most, queue: one } = this.#shares.get(row) as Share
        if (used + (values[k] as number) > at(most, dim))
          return {
            name: one.name,
            resource: names[dim] as string,
            used,
            limit: at(most, dim),
            asked: values[k] as number,
          }
      }
    return null
  }

  /** Of what it deserves, in the dimension where it has most of it. */
  shareOf(row: number): number {
    const { deserved } = this.#shares.get(row) as Share
    if (isEmpty(deserved)) return 1
    let most = 0
    for (let dim = 0; dim < this.#size; dim++)
      if (at(deserved, dim) > 0)
        most = Math.max(
          most,
          share((this.#cycle.state.queueHeld[dim] as Float64Array)[row] as number, at(deserved, dim)),
        )
    return most
  }

  compare(a: Queue, b: Queue): number {
    const byPriority = (b.input.priority ?? 0) - (a.input.priority ?? 0)
    if (byPriority !== 0) return byPriority
    if (!this.#cycle.hierarchical) return this.#compareShares(a.row, b.row)
    const leaves = Number(b.children.length === 0) - Number(a.children.length === 0)
    if (leaves !== 0) return leaves
    if (a.children.length > 0) return this.#compareShares(a.row, b.row)
    const [left, right] = belowCommon(a, b)
    return this.#compareShares(left, right)
  }

  #compareShares(left: number, right: number): number {
    const byShare = this.shareOf(left) + this.#past(left) - (this.shareOf(right) + this.#past(right))
    if (byShare !== 0) return byShare
    const empty = (row: number): number => Number(isEmpty((this.#shares.get(row) as Share).deserved))
    return empty(left) - empty(right)
  }

  /** Decayed use, where fairness looks back. */
  #past(row: number): number {
    if (this.#cycle.options.usageHalfLifeMs === 0) return 0
    const { queue, deserved } = this.#shares.get(row) as Share
    let most = 0
    for (let dim = 0; dim < queue.usage.length; dim++)
      if (at(deserved, dim) > 0) most = Math.max(most, at(queue.usage, dim) / at(deserved, dim))
    return most
  }

  /** How many ancestors two queues share, from the root on. */
  nearness(a: Queue, b: Queue): number {
    if (!this.#cycle.hierarchical) return 0
    return commonDepth(a.ancestors, b.ancestors)
  }

  enqueueable(job: Job): Vote {
    const queue = this.#cycle.queueOf(job)
    if (!this.takesJobs(queue)) return -1
    const { minResources } = job
    if (minResources === null) return 1
    this.#countJobs()
    for (const row of this.chain(queue)) {
      const one = this.#shares.get(row) as Share
      const held = this.held(row)
      for (let dim = 0; dim < this.#size; dim++) {
        const asked = at(minResources, dim)
        if (asked > 0 && asked + at(held, dim) + at(one.inqueue, dim) - at(one.elastic, dim) > at(one.most, dim))
          return -1
      }
    }
    return 1
  }

  enqueued(job: Job): void {
    if (job.minResources === null) return
    this.#countJobs()
    for (const row of this.chain(this.#cycle.queueOf(job)))
      addTo((this.#shares.get(row) as Share).inqueue, padded(job.minResources, this.#size))
  }
}

function rootRoom(root: Share, total: Dense): Dense {
  if (root.queue.capability !== null) return lowered(root.most, total)
  return root.most
}

function padded(amounts: Dense, size: number): Dense {
  if (amounts.length === size) return amounts
  const result = zeroes(size)
  result.set(amounts.subarray(0, size))
  return result
}

/** A capability of nothing in a dimension is no limit in it. */
function limited(most: Dense, capability: Dense | null): Dense {
  if (capability === null) return most
  return most.map((value, dim) => (at(capability, dim) > 0 ? Math.min(value, at(capability, dim)) : value))
}

function lowered(a: Dense, b: Dense): Dense {
  return a.map((value, dim) => Math.min(value, at(b, dim)))
}

function raised(a: Dense, b: Dense): Dense {
  return a.map((value, dim) => Math.max(value, at(b, dim)))
}

function belowCommon(a: Queue, b: Queue): [number, number] {
  const depth = commonDepth(a.ancestors, b.ancestors)
  const below = (queue: Queue): number => {
    const at = queue.ancestors.length - 1 - depth
    return at >= 0 ? (queue.ancestors[at] as number) : queue.row
  }
  return [below(a), below(b)]
}

/** Ancestors are nearest first, so they agree at the end. */
function commonDepth(a: readonly number[], b: readonly number[]): number {
  let depth = 0
  while (depth < a.length && depth < b.length && a[a.length - 1 - depth] === b[b.length - 1 - depth]) depth++
  return depth
}
