/** The world as the scheduler was told it is: objects come in one by one, rows of the state and records of jobs and queues go out. */
import { isObject, type JsonObject } from '../model/json.ts'
import { Books } from './books.ts'
import type { PodClass } from './classes.ts'
import { hashText } from './hash.ts'
import { DEFAULT_NAMESPACE, readPod, type PodRecord } from './ingest.ts'
import { readNode, sameFacts } from './node.ts'
import { putNode, takeNode } from './node-rows.ts'
import { Registry } from './registry.ts'
import { State } from './state.ts'
import { isStorage, keyOf, Surroundings, type Changed } from './surroundings.ts'
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
import { jobKey } from './records.ts'

export class World {
  readonly state = new State()
  readonly registry = new Registry(this.state)
  readonly surroundings = new Surroundings(this.state, this.registry)
  readonly devices = this.surroundings.devices
  readonly volumes = this.surroundings.volumes
  readonly taskFacts: (PodRecord | null)[] = []
  readonly nodeHash: number[] = []
  readonly budgets = this.surroundings.budgets
  readonly quotas = this.surroundings.quotas
  readonly priorities = this.surroundings.priorities
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
    if (delta.kind === 'Node') return this.#setNode(delta.set)
    if (delta.kind === 'Pod') return
    const { kind, set } = delta
    const key = keyOf(set)
    if (!isStorage(kind)) return this.#changed(this.surroundings.set(kind, set, key))
    this.#volumesChanged(() => this.surroundings.set(kind, set, key), this.surroundings.concernsPlaced(kind, set, key))
  }

  #changed(what: Changed): void {
    if (what === 'namespaces') this.#reclassify = true
  }

  /** Volumes are asked for by few: what was remembered of nodes is looked at again; the pods that stand there, where it concerns them. */
  #volumesChanged(change: () => unknown, recount = true): void {
    this.flush()
    const nodes = recount ? this.state.nodeRows : 0
    for (let node = 0; node < nodes; node++) if (this.state.isAlive(node)) this.state.recountNode(node, 'out')
    change()
    for (let node = 0; node < nodes; node++) if (this.state.isAlive(node)) this.state.recountNode(node, 'in')
    this.state.changes++
    this.state.log.add(this.state.tally, 0, 1)
  }

  #gone(delta: Extract<Delta, { gone: unknown }>): void {
    const { namespace = DEFAULT_NAMESPACE, name } = delta.gone as { readonly namespace?: string; readonly name: string }
    if (delta.kind === 'Node') return this.#dropNode(name)
    if (delta.kind === 'Pod') {
      this.flush()
      return this.#dropPod(namespace, name)
    }
    if (delta.kind === 'Job') return this.books.dropJob(jobKey(namespace, name))
    if (delta.kind === 'Queue') return this.books.dropQueue(name)
    if (delta.kind === 'HyperNode') return void this.hyperNodes.delete(name)
    const { kind } = delta
    const drop = (): Changed => this.surroundings.drop(kind, `${namespace}/${name}`, name)
    if (isStorage(kind)) this.#volumesChanged(drop)
    else this.#changed(drop())
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
    this.nodeHash[node] = hashText(facts.name, this.#seed)
    putNode(state, node, before, facts)
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
    takeNode(state, node)
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
