/**
 * The columns of the state: nodes, pods, jobs and queues as rows, and the room for more of them. Rows are added and removed only
 * between cycles, because no column may be replaced while a savepoint of the undo log is open.
 */
import { bitsFor, grownBits, type Bits } from './bits.ts'
import type { PodClass } from './classes.ts'
import { Interner } from './intern.ts'
import type { NodeFacts } from './node.ts'
import { Dimensions } from './resources.ts'
import { STATUSES } from './status.ts'
import type { Counter, TopologyKey } from './topology.ts'
import { grown, UndoLog } from './undo.ts'

export interface TaskNames {
  readonly namespace: string
  readonly name: string
  readonly uid: string
}

/** Pods that come later, one by one, or only to be tried, do not make every column anew. */
const SPARE_TASKS = 16

/** Room for so many groups is made at once. */
const FEW_GROUPS = 64

export class Columns {
  readonly log = new UndoLog()
  readonly dimensions = new Dimensions()
  readonly namespaces = new Interner()

  // Nodes.
  readonly nodeIds = new Map<string, number>()
  readonly facts: (NodeFacts | null)[] = []
  nodeRows = 0
  nodeCapacity = 0
  alive: Bits = bitsFor(32)
  /** By dimension, then node. `later` is what leaves minus what is promised: idle + later is what a nomination may count on. */
  readonly allocatable: Float64Array[] = []
  readonly idle: Float64Array[] = []
  readonly later: Float64Array[] = []
  nonZeroCpu = new Float64Array(0)
  nonZeroMemory = new Float64Array(0)
  firstTask = new Int32Array(0)
  /** Nodes whose room changed, in order; a class that knows how far it has read catches up from there. */
  readonly touched: number[] = []
  touchedBase = 0
  #touches = new Int32Array(0)
  /** How often a node's own facts changed. */
  changes = 0
  /** How often something went that others may have waited for, and how often something came. */
  readonly tally = new Int32Array(2)

  // Topology.
  readonly keys = new Map<string, TopologyKey>()
  readonly counters: Counter[] = []
  /** By port number of `portNames`: how many pods on the node hold it. */
  readonly portUse: Int32Array[] = []
  /** Told of pods with volumes or devices that come and go. */
  attached: ((podClass: PodClass, node: number, sign: 1 | -1) => void) | null = null

  // Pods.
  taskRows = 0
  readonly freeTasks: number[] = []
  taskStatus = new Int32Array(0)
  taskNode = new Int32Array(0)
  taskJob = new Int32Array(0)
  taskRole = new Int32Array(0)
  taskGroup = new Int32Array(0)
  taskCounted = new Int32Array(0)
  taskNext = new Int32Array(0)
  taskPrevious = new Int32Array(0)
  taskPriority = new Float64Array(0)
  taskCreated = new Float64Array(0)
  taskStarted = new Float64Array(0)
  readonly taskClass: (PodClass | null)[] = []
  readonly taskNames: (TaskNames | null)[] = []

  // Groups: a job, a role of a job, a sub gang of a job. Counts by status.
  groupRows = 0
  groupCount = new Int32Array(0)

  // What jobs and queues hold, by dimension.
  readonly jobHeld: Float64Array[] = []
  jobCapacity = 0
  readonly queueHeld: Float64Array[] = []
  queueCapacity = 0
  /** By job: its queue and that queue's ancestors, nearest first. */
  readonly jobQueues: (readonly number[])[] = []
  /** By job: its group. */
  readonly jobGroup: number[] = []

  constructor() {
    this.fitDimensions()
  }

  /** After the dimensions grew: columns for the new ones. */
  fitDimensions(): void {
    for (let dim = this.idle.length; dim < this.dimensions.size; dim++) {
      for (const columns of [this.allocatable, this.idle, this.later]) columns.push(new Float64Array(this.nodeCapacity))
      this.jobHeld.push(new Float64Array(this.jobCapacity))
      this.queueHeld.push(new Float64Array(this.queueCapacity))
    }
  }

  fitNodes(rows: number): void {
    this.fitDimensions()
    if (rows <= this.nodeCapacity) return
    this.firstTask = grown(this.firstTask, rows, -1)
    this.nodeCapacity = this.firstTask.length
    if (this.nodeRows === 0) this.firstTask.fill(-1)
    for (const columns of [this.allocatable, this.idle, this.later])
      for (let dim = 0; dim < columns.length; dim++)
        columns[dim] = grown(columns[dim] as Float64Array, this.nodeCapacity)
    this.nonZeroCpu = grown(this.nonZeroCpu, this.nodeCapacity)
    this.nonZeroMemory = grown(this.nonZeroMemory, this.nodeCapacity)
    this.#touches = grown(this.#touches, this.nodeCapacity)
    this.log.watch(this.#touches, (node) => this.touched.push(node))
    this.alive = grownBits(this.alive, this.nodeCapacity)
    for (let port = 0; port < this.portUse.length; port++)
      this.portUse[port] = grown(this.portUse[port] as Int32Array, this.nodeCapacity)
  }

  fitTasks(rows: number): void {
    if (rows <= this.taskStatus.length) return
    const at = this.taskStatus.length
    this.taskStatus = grown(this.taskStatus, rows + SPARE_TASKS)
    const size = this.taskStatus.length
    this.taskNode = grown(this.taskNode, size, -1)
    this.taskJob = grown(this.taskJob, size, -1)
    this.taskRole = grown(this.taskRole, size, -1)
    this.taskGroup = grown(this.taskGroup, size, -1)
    this.taskCounted = grown(this.taskCounted, size)
    this.taskNext = grown(this.taskNext, size, -1)
    this.taskPrevious = grown(this.taskPrevious, size, -1)
    this.taskPriority = grown(this.taskPriority, size)
    this.taskCreated = grown(this.taskCreated, size)
    this.taskStarted = grown(this.taskStarted, size)
    for (const column of [this.taskNode, this.taskJob, this.taskRole, this.taskGroup, this.taskNext, this.taskPrevious])
      if (at === 0) column.fill(-1)
  }

  /** Groups that nobody counts in any more. */
  readonly freeGroups: number[] = []

  newGroup(): number {
    const free = this.freeGroups.pop()
    if (free !== undefined) {
      this.groupCount.fill(0, free * STATUSES, (free + 1) * STATUSES)
      return free
    }
    const group = this.groupRows++
    this.groupCount = grown(this.groupCount, Math.max(FEW_GROUPS, this.groupRows) * STATUSES)
    return group
  }

  /** Room for groups that a cycle may make: no column may be replaced while savepoints are open. */
  reserveGroups(extra: number): void {
    this.groupCount = grown(this.groupCount, (this.groupRows + extra + FEW_GROUPS) * STATUSES)
  }

  fitJobs(rows: number): void {
    if (rows <= this.jobCapacity) return
    this.jobCapacity = Math.max(rows, this.jobCapacity * 4, FEW_GROUPS)
    for (let dim = 0; dim < this.jobHeld.length; dim++)
      this.jobHeld[dim] = grown(this.jobHeld[dim] as Float64Array, this.jobCapacity)
  }

  fitQueues(rows: number): void {
    if (rows <= this.queueCapacity) return
    this.queueCapacity = Math.max(rows, this.queueCapacity * 2, 4)
    for (let dim = 0; dim < this.queueHeld.length; dim++)
      this.queueHeld[dim] = grown(this.queueHeld[dim] as Float64Array, this.queueCapacity)
  }

  /** Room or pods of the node changed: whoever remembers something about it looks again. */
  touch(node: number): void {
    this.log.set(this.#touches, node, (this.#touches[node] as number) + 1)
    this.touched.push(node)
  }

  count(group: number, status: number): number {
    return this.groupCount[group * STATUSES + status] as number
  }
}
