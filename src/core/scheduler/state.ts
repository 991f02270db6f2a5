/**
 * The one authoritative state, changed through an undo log: inside a cycle only `place`, `evict` and their reversal by rollback happen,
 * and every sum (room, groups, queues, counters of topology) moves with the pod.
 */
import { setBit } from './bits.ts'
import type { PodClass } from './classes.ts'
import { Columns, type TaskNames } from './columns.ts'
import { ALLOCATED, isHeld, isOnNode, PENDING, PIPELINED, RELEASING, STATUSES } from './status.ts'
import type { Counter } from './topology.ts'

/** Which counters a placed pod moves now. */
const COUNTED_NOT = 0
const COUNTED_ALL = 1
/** It is leaving: spread no longer sees it. */
const COUNTED_LEAVING = 2

export class State extends Columns {
  setStatus(task: number, status: number): void {
    const { log } = this
    const before = this.taskStatus[task] as number
    if (before === status) return
    log.set(this.taskStatus, task, status)
    // The group of a job has the number of its row in `jobs`: see the ledger.
    this.#recount(this.taskGroup[task] as number, before, status)
    this.#recount(this.taskRole[task] as number, before, status)
    const job = this.taskJob[task] as number
    if (job < 0) return
    this.#recount(this.jobGroup[job] as number, before, status)
    const holds = isHeld(status)
    if (holds !== isHeld(before)) this.#hold(task, job, holds ? 1 : -1)
  }

  #recount(group: number, before: number, status: number): void {
    if (group < 0) return
    this.log.add(this.groupCount, group * STATUSES + before, -1)
    this.log.add(this.groupCount, group * STATUSES + status, 1)
  }

  #hold(task: number, job: number, sign: 1 | -1): void {
    const { dims, values } = (this.taskClass[task] as PodClass).spec.requests.amounts
    const queues = this.jobQueues[job] as readonly number[]
    for (let k = 0; k < dims.length; k++) {
      const dim = dims[k] as number
      const delta = sign * (values[k] as number)
      this.log.add(this.jobHeld[dim] as Float64Array, job, delta)
      for (const queue of queues) this.log.add(this.queueHeld[dim] as Float64Array, queue, delta)
    }
  }

  /** Puts a pod that is on no node on one: `ALLOCATED` and later take its room now, `PIPELINED` the room of those who leave. */
  place(task: number, node: number, status: number): void {
    const { log } = this
    const podClass = this.taskClass[task] as PodClass
    log.set(this.taskNode, task, node)
    const first = this.firstTask[node] as number
    log.set(this.taskNext, task, first)
    log.set(this.taskPrevious, task, -1)
    if (first >= 0) log.set(this.taskPrevious, first, task)
    log.set(this.firstTask, node, task)
    this.#take(podClass, node, status, 1)
    this.setStatus(task, status)
    this.#recountTopology(task, podClass, node, status === RELEASING ? COUNTED_LEAVING : COUNTED_ALL)
    log.add(this.tally, 1, 1)
    this.touch(node)
  }

  /** Takes a pod off its node. */
  remove(task: number, status: number): void {
    const { log } = this
    const node = this.taskNode[task] as number
    const podClass = this.taskClass[task] as PodClass
    this.#recountTopology(task, podClass, node, COUNTED_NOT)
    this.#take(podClass, node, this.taskStatus[task] as number, -1)
    this.setStatus(task, status)
    const next = this.taskNext[task] as number
    const previous = this.taskPrevious[task] as number
    if (next >= 0) log.set(this.taskPrevious, next, previous)
    if (previous >= 0) log.set(this.taskNext, previous, next)
    else log.set(this.firstTask, node, next)
    log.set(this.taskNode, task, -1)
    log.set(this.taskNext, task, -1)
    log.set(this.taskPrevious, task, -1)
    log.add(this.tally, 0, 1)
    this.touch(node)
  }

  /** A pod on a node begins to leave: its room is still taken, and counts for those who can wait. Terms already see it gone. */
  evict(task: number): void {
    const node = this.taskNode[task] as number
    const podClass = this.taskClass[task] as PodClass
    this.#recountTopology(task, podClass, node, COUNTED_NOT)
    this.#promise(podClass, node, 1)
    this.setStatus(task, RELEASING)
    this.log.add(this.tally, 0, 1)
    this.touch(node)
  }

  /** The reverse of `evict`, for one that turned out not to be needed. */
  spare(task: number, status: number): void {
    const node = this.taskNode[task] as number
    const podClass = this.taskClass[task] as PodClass
    this.#promise(podClass, node, -1)
    this.setStatus(task, status)
    this.#recountTopology(task, podClass, node, COUNTED_ALL)
    this.touch(node)
  }

  /** From one status on a node to another that takes the same room. */
  settle(task: number, status: number): void {
    this.setStatus(task, status)
  }

  #take(podClass: PodClass, node: number, status: number, sign: 1 | -1): void {
    const { log } = this
    const { requests } = podClass.spec
    const { dims, values } = requests.amounts
    const now = isOnNode(status)
    const leaving = status === RELEASING
    for (let k = 0; k < dims.length; k++) {
      const dim = dims[k] as number
      const value = sign * (values[k] as number)
      if (now) log.add(this.idle[dim] as Float64Array, node, -value)
      if (leaving) log.add(this.later[dim] as Float64Array, node, value)
      else if (status === PIPELINED) log.add(this.later[dim] as Float64Array, node, -value)
    }
    if (now) {
      log.add(this.nonZeroCpu, node, sign * requests.nonZeroCpu)
      log.add(this.nonZeroMemory, node, sign * requests.nonZeroMemory)
    }
  }

  #promise(podClass: PodClass, node: number, sign: 1 | -1): void {
    const { dims, values } = podClass.spec.requests.amounts
    for (let k = 0; k < dims.length; k++)
      this.log.add(this.later[dims[k] as number] as Float64Array, node, sign * (values[k] as number))
  }

  #recountTopology(task: number, podClass: PodClass, node: number, counted: number): void {
    const before = this.taskCounted[task] as number
    const { moves, by } = podClass
    for (let k = 0; k < moves.length; k++) {
      const counter = moves[k] as Counter
      const was = before === COUNTED_ALL || (before === COUNTED_LEAVING && counter.kind !== 'spread')
      const is = counted === COUNTED_ALL || (counted === COUNTED_LEAVING && counter.kind !== 'spread')
      if (was !== is) counter.add(this.log, node, is ? (by[k] as number) : -(by[k] as number))
    }
    if (before === counted) return
    this.log.set(this.taskCounted, task, counted)
    if ((before === COUNTED_NOT) === (counted === COUNTED_NOT)) return
    for (const port of podClass.ports)
      this.log.add(this.portUse[port] as Int32Array, node, counted === COUNTED_NOT ? -1 : 1)
    if (podClass.spec.claims.length > 0 || podClass.spec.devices.length > 0)
      this.attached?.(podClass, node, counted === COUNTED_NOT ? -1 : 1)
  }

  /** Takes a node's pods out of the counters, or puts them back, around a change of the node's labels or of the counters. */
  recountNode(node: number, on: 'out' | 'in'): void {
    for (let task = this.firstTask[node] as number; task >= 0; task = this.taskNext[task] as number) {
      const status = this.taskStatus[task] as number
      const counted = on === 'out' ? COUNTED_NOT : status === RELEASING ? COUNTED_LEAVING : COUNTED_ALL
      this.#recountTopology(task, this.taskClass[task] as PodClass, node, counted)
    }
  }

  /** Does this class fit the room of the node: `now`, or when those who leave have left. */
  fits(podClass: PodClass, node: number, when: 'now' | 'later'): boolean {
    const { dims, values } = podClass.spec.requests.amounts
    for (let k = 0; k < dims.length; k++) {
      const dim = dims[k] as number
      let room = (this.idle[dim] as Float64Array)[node] as number
      if (when === 'later') room += (this.later[dim] as Float64Array)[node] as number
      if ((values[k] as number) > room) return false
    }
    return true
  }

  isAlive(node: number): boolean {
    return node >= 0 && this.facts[node] !== null && this.facts[node] !== undefined
  }

  setAlive(node: number, on: boolean): void {
    setBit(this.alive, node, on)
  }

  /** Pods on a node (that pass), in an order that does not depend on how they came there. */
  tasksOn(node: number, passes?: (task: number) => boolean): number[] {
    const tasks: number[] = []
    for (let task = this.firstTask[node] as number; task >= 0; task = this.taskNext[task] as number)
      if (passes === undefined || passes(task)) tasks.push(task)
    return tasks.length < 2 ? tasks : tasks.sort((a, b) => this.compareByAge(a, b))
  }

  /** Older first, then by UID: the order of last resort. */
  compareByAge(a: number, b: number): number {
    const age = (this.taskCreated[a] as number) - (this.taskCreated[b] as number)
    if (age !== 0) return age
    const left = (this.taskNames[a] as TaskNames).uid
    const right = (this.taskNames[b] as TaskNames).uid
    return left < right ? -1 : left > right ? 1 : 0
  }

  /** Bound now, or to be: Pending pods with room taken. */
  isPending(task: number): boolean {
    return this.taskStatus[task] === PENDING
  }

  isNew(task: number): boolean {
    return this.taskStatus[task] === ALLOCATED
  }
}
