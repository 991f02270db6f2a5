/** The world as the scheduler was told it is: objects come in one by one, rows of the state and records of jobs and queues go out. */
import { isObject, type JsonObject } from '../model/json.ts'
import { Books } from './books.ts'
import type { PodClass } from './classes.ts'
import { Devices } from './devices.ts'
import { hashText } from './hash.ts'
import { DEFAULT_NAMESPACE, readPod, type PodRecord } from './ingest.ts'
import { readNode, sameFacts } from './node.ts'
import { numberAt, objectAt, textAt, textsByKey } from './object.ts'
import { Registry } from './registry.ts'
import { State } from './state.ts'
import {
  ALLOCATED,
  BINDING,
  BOUND,
  FAILED,
  INVALID,
  isOnNode,
  PENDING,
  RELEASING,
  RUNNING,
  SUCCEEDED,
} from './status.ts'
import type { ReadChange } from './read-change.ts'
import type { Delta, HyperNodeInput, JobInput } from './types.ts'
import { Volumes } from './volumes.ts'
import { jobKey } from './records.ts'

export class World {
  readonly state = new State()
  readonly registry = new Registry(this.state)
  readonly devices = new Devices(this.state)
  readonly volumes = new Volumes(this.state, this.devices)
  readonly taskFacts: (PodRecord | null)[] = []
  readonly nodeHash: number[] = []
  readonly budgets = new Map<string, JsonObject>()
  readonly quotas = new Map<string, JsonObject>()
  readonly priorities = new Map<string, number>()
  readonly books = new Books(this.state, this.taskFacts, this.priorities)
  readonly jobs = this.books.jobs
  readonly queues = this.books.queues
  readonly hyperNodes = new Map<string, HyperNodeInput>()
  /** Pods without a node that are promised to one: ours and others'. */
  readonly nominated = new Set<number>()
  /** Counts every change from outside: nothing new, nothing to do. */
  version = 0
  readonly #seed: number
  readonly #ours: ReadonlySet<string>
  readonly #tasksBy: Map<string, number>[] = []
  readonly #incoming: PodRecord[] = []
  readonly #unplaced = new Map<string, Set<number>>()
  #pods = 0
  #reclassify = false

  constructor(seed: string, schedulerNames: readonly string[]) {
    this.#seed = hashText(seed)
    this.#ours = new Set(schedulerNames)
    this.state.attached = (podClass, node, sign) => this.volumes.moved(podClass, node, sign)
  }

  get pods(): number {
    return this.#pods
  }

  apply(delta: Delta): void {
    if ('set' in delta && !isObject(delta.set)) return
    // A node says every now and then that it is still the same.
    if (delta.kind !== 'Node' || 'gone' in delta) this.version++
    if (delta.kind === 'Pod' && 'set' in delta) this.#incoming.push(readPod(delta.set))
    else if ('set' in delta) this.#set(delta)
    else this.#gone(delta)
  }

  #set(delta: Extract<Delta, { set: unknown }>): void {
    if (delta.kind === 'Job') return this.books.setJob(delta.set)
    if (delta.kind === 'Queue') return this.books.setQueue(delta.set)
    if (delta.kind === 'HyperNode') return void this.hyperNodes.set(delta.set.name, delta.set)
    const object = delta.set
    const metadata = objectAt(object, 'metadata')
    const name = textAt(metadata, 'name')
    const key = `${textAt(metadata, 'namespace') || DEFAULT_NAMESPACE}/${name}`
    switch (delta.kind) {
      case 'Node':
        return this.#setNode(object)
      case 'Namespace':
        this.registry.namespaceLabels.set(name, textsByKey(metadata, 'labels'))
        this.#reclassify = true
        return
      case 'PodDisruptionBudget':
        return void this.budgets.set(key, object)
      case 'ResourceQuota':
        return void this.quotas.set(key, object)
      case 'PriorityClass':
        return void this.priorities.set(name, numberAt(object, 'value', 0))
      case 'PersistentVolumeClaim':
        return this.#volumesChanged(() => this.volumes.setClaim(object, key), this.volumes.concernsPlaced(object, key))
      case 'PersistentVolume':
        return this.#volumesChanged(() => this.volumes.setVolume(object), false)
      case 'StorageClass':
        return this.#volumesChanged(() => this.volumes.setClass(object), false)
      case 'CSINode':
        return this.#volumesChanged(() => this.volumes.setLimits(object), false)
      case 'CSIDriver':
        return this.#volumesChanged(() => this.volumes.setDriver(object), false)
      case 'CSIStorageCapacity':
        return this.#volumesChanged(() => this.volumes.setRoom(object, key), false)
      case 'ResourceClaim':
        return this.#volumesChanged(() => this.devices.setClaim(object, key))
      case 'DeviceClass':
        return this.#volumesChanged(() => this.devices.setClass(object))
      case 'ResourceSlice':
        return this.#volumesChanged(() => this.devices.setSlice(object))
    }
  }

  /** Volumes are asked for by few: what was remembered of nodes is looked at again; the pods that stand there, where it concerns them. */
  #volumesChanged(change: () => void, recount = true): void {
    this.flush()
    const nodes = recount ? this.state.nodeRows : 0
    for (let node = 0; node < nodes; node++) if (this.state.isAlive(node)) this.state.recountNode(node, 'out')
    change()
    for (let node = 0; node < nodes; node++) if (this.state.isAlive(node)) this.state.recountNode(node, 'in')
    this.state.changes++
    this.state.log.add(this.state.tally, 0, 1)
  }

  #gone(delta: Extract<Delta, { gone: unknown }>): void {
    const gone = delta.gone as { readonly namespace?: string; readonly name: string }
    const key = `${gone.namespace ?? DEFAULT_NAMESPACE}/${gone.name}`
    switch (delta.kind) {
      case 'Node':
        return this.#dropNode(gone.name)
      case 'Pod':
        this.flush()
        return this.#dropPod(gone.namespace ?? DEFAULT_NAMESPACE, gone.name)
      case 'Job':
        return this.books.dropJob(jobKey(gone.namespace ?? DEFAULT_NAMESPACE, gone.name))
      case 'Queue':
        return this.books.dropQueue(gone.name)
      case 'HyperNode':
        return void this.hyperNodes.delete(gone.name)
      case 'Namespace':
        this.registry.namespaceLabels.delete(gone.name)
        this.#reclassify = true
        return
      case 'PodDisruptionBudget':
        return void this.budgets.delete(key)
      case 'ResourceQuota':
        return void this.quotas.delete(key)
      case 'PriorityClass':
        return void this.priorities.delete(gone.name)
      case 'PersistentVolumeClaim':
        return this.#volumesChanged(() => this.volumes.drop('claim', key))
      case 'PersistentVolume':
        return this.#volumesChanged(() => this.volumes.drop('volume', gone.name))
      case 'StorageClass':
        return this.#volumesChanged(() => this.volumes.drop('class', gone.name))
      case 'CSINode':
        return this.#volumesChanged(() => this.volumes.drop('limits', gone.name))
      case 'CSIDriver':
        return this.#volumesChanged(() => this.volumes.drop('driver', gone.name))
      case 'CSIStorageCapacity':
        return this.#volumesChanged(() => this.volumes.drop('room', key))
      case 'ResourceClaim':
        return this.#volumesChanged(() => this.devices.drop('claim', key))
      case 'DeviceClass':
        return this.#volumesChanged(() => this.devices.drop('class', gone.name))
      case 'ResourceSlice':
        return this.#volumesChanged(() => this.devices.drop('slice', gone.name))
    }
  }

  // Nodes.

  #setNode(object: JsonObject): void {
    const { state } = this
    const facts = readNode(object, state.dimensions)
    const known = state.nodeIds.get(facts.name)
    const before = known === undefined ? null : (state.facts[known] ?? null)
    if (known !== undefined && before !== null && sameFacts(before, facts)) return
    this.version++
    const node = known ?? state.nodeRows++
    state.nodeIds.set(facts.name, node)
    state.fitNodes(state.nodeRows)
    if (before !== null) {
      state.recountNode(node, 'out')
      for (const counter of state.counters) counter.dropNode(node)
    }
    state.facts[node] = facts
    this.nodeHash[node] = hashText(facts.name, this.#seed)
    state.setAlive(node, true)
    for (const key of state.keys.values()) key.setNode(node, facts.labels[key.name], state.nodeCapacity)
    for (const counter of state.counters) {
      counter.setNode(node, true, state.nodeCapacity)
      counter.refresh(state.log)
    }
    for (let dim = 0; dim < state.idle.length; dim++) {
      const now = facts.allocatable[dim] ?? 0
      const was = before?.allocatable[dim] ?? 0
      ;(state.allocatable[dim] as Float64Array)[node] = now
      state.log.add(state.idle[dim] as Float64Array, node, now - was)
    }
    if (before !== null) state.recountNode(node, 'in')
    this.#nodeChanged(node)
    if (before === null) this.#placeWaiting(facts.name, node)
  }

  #nodeChanged(node: number): void {
    const { state } = this
    state.changes++
    state.touch(node)
    state.log.add(state.tally, 0, 1)
  }

  #placeWaiting(name: string, node: number): void {
    const waiting = this.#unplaced.get(name)
    if (waiting === undefined) return
    this.#unplaced.delete(name)
    for (const task of waiting) this.state.place(task, node, this.state.taskStatus[task] as number)
  }

  #dropNode(name: string): void {
    this.flush()
    const { state } = this
    const node = state.nodeIds.get(name)
    if (node === undefined || state.facts[node] === null) return
    for (const task of state.tasksOn(node)) {
      const status = state.taskStatus[task] as number
      state.remove(task, status)
      this.#wait(name, task)
    }
    for (const counter of state.counters) {
      counter.dropNode(node)
      counter.refresh(state.log)
    }
    for (const key of state.keys.values()) key.setNode(node, undefined, state.nodeCapacity)
    for (let dim = 0; dim < state.idle.length; dim++)
      for (const columns of [state.allocatable, state.idle, state.later]) (columns[dim] as Float64Array)[node] = 0
    state.facts[node] = null
    state.setAlive(node, false)
    this.#nodeChanged(node)
  }

  #wait(nodeName: string, task: number): void {
    const waiting = this.#unplaced.get(nodeName)
    if (waiting === undefined) this.#unplaced.set(nodeName, new Set([task]))
    else waiting.add(task)
  }

  /** It does not wait for its node to come back any more: by its own word, or by what we assumed of it. */
  #unwait(task: number): void {
    for (const waiting of this.#unplaced.values()) waiting.delete(task)
  }

  // Pods.

  task(namespace: string, name: string): number {
    const id = this.state.namespaces.find(namespace)
    return id < 0 ? -1 : (this.#tasksBy[id]?.get(name) ?? -1)
  }

  /** Applies a change and gives back what takes it away again: new pods and a new job only, others are put back as they were. */
  applyForNow({ change, pods, specs }: ReadChange): () => void {
    this.flush()
    const { version } = this
    const replaced: JobInput | null =
      change.job === undefined
        ? null
        : (this.books.job(change.job.namespace || DEFAULT_NAMESPACE, change.job.name)?.input ?? null)
    for (const { namespace, name } of change.remove ?? []) this.apply({ kind: 'Pod', gone: { namespace, name } })
    if (change.job !== undefined) this.apply({ kind: 'Job', set: change.job })
    this.version++
    for (const record of pods) this.#incoming.push({ ...record })
    this.registry.lent = specs
    this.flush()
    this.registry.lent = null
    return () => {
      for (const { namespace, name } of pods) this.#dropPod(namespace, name)
      if (change.job !== undefined) {
        if (replaced === null) this.books.dropJob(jobKey(change.job.namespace || DEFAULT_NAMESPACE, change.job.name))
        else this.books.setJob(replaced)
      }
      for (const set of change.restore ?? []) this.apply({ kind: 'Pod', set })
      this.flush()
      this.version = version
    }
  }

  /** Takes in the pods that came since: first all their terms, so that each gets its class once. */
  flush(): void {
    if (this.#incoming.length > 0) {
      const incoming = this.#incoming.splice(0)
      const specs = incoming.map((record) => this.registry.spec(record.signature, record.pod as JsonObject))
      this.state.fitNodes(this.state.nodeRows)
      this.state.fitTasks(this.state.taskRows + incoming.length)
      if (this.registry.stale || this.#reclassify) this.#classifyAnew('all')
      for (let k = 0; k < incoming.length; k++) this.#takePod(incoming[k] as PodRecord, specs[k] as PodClass['spec'])
    }
    if (this.#reclassify || this.registry.stale || this.registry.isCrowded()) this.#classifyAnew('used')
    this.books.settle()
  }

  /** `all`: pods that wait to be taken in were compiled already, and their specs must stay. */
  #classifyAnew(specsKept: 'all' | 'used'): void {
    const { state, registry } = this
    this.#reclassify = false
    for (let node = 0; node < state.nodeRows; node++) if (state.isAlive(node)) state.recountNode(node, 'out')
    registry.reset()
    const specs = new Set<PodClass['spec']>()
    for (let task = 0; task < state.taskRows; task++) {
      const facts = this.taskFacts[task]
      const before = state.taskClass[task]
      if (facts === null || facts === undefined || before === null || before === undefined) continue
      const podClass = registry.class(before.spec, before.namespace, facts.labels)
      podClass.pods++
      specs.add(before.spec)
      state.taskClass[task] = podClass
    }
    if (specsKept === 'used') registry.keepSpecs(specs)
    for (let node = 0; node < state.nodeRows; node++) if (state.isAlive(node)) state.recountNode(node, 'in')
    state.changes++
    state.log.add(state.tally, 0, 1)
  }

  #takePod(record: PodRecord, spec: PodClass['spec']): void {
    const { state } = this
    const known = this.task(record.namespace, record.name)
    if (known >= 0) {
      if (this.#updated(known, record)) return
      this.#dropPod(record.namespace, record.name)
    }
    if (record.status === SUCCEEDED || record.status === FAILED ? record.job === null : false) return
    const task = state.freeTasks.pop() ?? state.taskRows++
    state.fitTasks(state.taskRows)
    const namespace = state.namespaces.id(record.namespace)
    const byName = (this.#tasksBy[namespace] ??= new Map())
    byName.set(record.name, task)
    this.#pods++
    const podClass = this.registry.class(spec, namespace, record.labels)
    podClass.pods++
    state.taskClass[task] = podClass
    state.taskNames[task] = record
    state.taskCreated[task] = record.createdMs
    state.taskStarted[task] = record.startedMs
    state.taskPriority[task] = spec.priority ?? this.priorities.get(spec.priorityClassName) ?? 0
    const ours = this.#ours.has(record.schedulerName)
    record.pod = null
    record.ours = ours
    this.taskFacts[task] = record
    state.taskStatus[task] = INVALID
    state.taskNode[task] = -1
    state.taskCounted[task] = 0
    if (ours) this.books.join(task, record)
    const status = record.status === PENDING && spec.problem !== null ? INVALID : record.status
    const node = record.node === '' ? -1 : (state.nodeIds.get(record.node) ?? -1)
    if (isOnNode(status) && state.isAlive(node)) state.place(task, node, status)
    else {
      state.setStatus(task, status)
      if (isOnNode(status)) this.#wait(record.node, task)
    }
    if (status === PENDING && record.nominated !== '') this.nominated.add(task)
    state.log.add(state.tally, 0, 1)
  }

  /** True where only the status moved on, which is what most updates are. */
  #updated(task: number, record: PodRecord): boolean {
    const { state } = this
    const facts = this.taskFacts[task] as PodRecord
    const status = state.taskStatus[task] as number
    if (facts.signature !== record.signature || facts.role !== record.role || facts.preemptable !== record.preemptable)
      return false
    if (facts.labels !== record.labels && JSON.stringify(facts.labels) !== JSON.stringify(record.labels)) return false
    if (state.taskNames[task]?.uid !== record.uid) return false
    if (record.status === PENDING) {
      // Old news about a pod that we know to be on its way.
      if (status === BINDING || status === ALLOCATED) return true
      return status === PENDING && facts.nominated === record.nominated
    }
    if (record.status !== BOUND && record.status !== RUNNING) return false
    if (status !== BINDING && status !== BOUND && status !== RUNNING)
      return status === RELEASING && facts.node === record.node
    if ((state.taskNode[task] as number) !== (state.nodeIds.get(record.node) ?? -2)) return false
    state.setStatus(task, record.status)
    state.taskStarted[task] = record.startedMs
    record.pod = null
    record.ours = facts.ours
    record.nominated = ''
    this.taskFacts[task] = record
    state.taskNames[task] = record
    return true
  }

  #dropPod(namespace: string, name: string): void {
    const { state } = this
    const task = this.task(namespace, name)
    if (task < 0) return
    if ((state.taskNode[task] as number) >= 0) state.remove(task, FAILED)
    else state.setStatus(task, FAILED)
    this.#unwait(task)
    this.books.leave(task)
    this.nominated.delete(task)
    ;(state.taskClass[task] as PodClass).pods--
    state.taskClass[task] = null
    state.taskNames[task] = null
    this.taskFacts[task] = null
    this.#tasksBy[state.namespaces.id(namespace)]?.delete(name)
    this.#pods--
    state.freeTasks.push(task)
    state.log.add(state.tally, 0, 1)
  }

  /** A bind or an eviction that we assumed did not happen. */
  forget(namespace: string, name: string): void {
    this.version++
    this.flush()
    const { state } = this
    const task = this.task(namespace, name)
    if (task < 0) return
    const status = state.taskStatus[task]
    if (status === BINDING) {
      // Its node may have gone meanwhile: then it stands nowhere.
      if ((state.taskNode[task] as number) >= 0) return state.remove(task, PENDING)
      this.#unwait(task)
      state.setStatus(task, PENDING)
      state.log.add(state.tally, 0, 1)
    } else if (status === RELEASING) {
      const node = state.taskNode[task] as number
      state.remove(task, RELEASING)
      state.setStatus(task, PENDING)
      state.place(task, node, RUNNING)
    }
  }
}
