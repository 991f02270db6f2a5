/** The classes of the pods that are here, and the counters their terms need, each made when it is first needed. */
import { byUtf16 } from '../model/json.ts'
import type { Selector } from '../kube/selector.ts'
import {
  classHash,
  classKey,
  pickLabels,
  podMatcher,
  projectLabels,
  relate,
  selectsNamespace,
  spreadMatcher,
  type PodClass,
  type Spread,
  type TermContext,
} from './classes.ts'
import { matchesNode, untolerated, type NodeFacts } from './node.ts'
import { compileSpec, type PodSpec, type Port, type SpreadSpec } from './spec.ts'
import { isFixed } from './resources.ts'
import type { State } from './state.ts'
import { RELEASING } from './status.ts'
import { Counter, matchesPod, TopologyKey, type CounterKind, type PodMatcher } from './topology.ts'
import type { JsonObject } from '../model/json.ts'

/** So many classes are kept whatever becomes of their pods. */
const FEW_CLASSES = 4096

export class Registry {
  readonly #state: State
  readonly #specs = new Map<string, PodSpec>()
  #specCount = 0
  #crowd = FEW_CLASSES
  #lastSignature = ''
  #lastSpec: PodSpec | null = null
  readonly #classes = new Map<string, PodClass>()
  readonly classes: PodClass[] = []
  /** Label keys that some term looks at, sorted. */
  termKeys: readonly string[] = []
  /** True when a term came that looks at labels which classes so far left out. */
  stale = false
  readonly #termKeys = new Set<string>()
  #counters = new Map<string, Counter>()
  /** By `key=value` of one label that a counter's pods must have. */
  #countersBy = new Map<string, Counter[]>()
  #countersOpen: Counter[] = []
  #classesBy = new Map<string, PodClass[]>()
  readonly #ports: Port[] = []
  readonly namespaceLabels = new Map<string, Readonly<Record<string, string>>>()
  /** Specs by signature that other worlds compiled, where they mean the same in each. */
  lent: Map<string, PodSpec> | null = null

  constructor(state: State) {
    this.#state = state
  }

  spec(signature: string, pod: JsonObject): PodSpec {
    // Pods of one workload mostly come one after the other.
    if (this.#lastSpec !== null && signature === this.#lastSignature) return this.#lastSpec
    let spec = this.#specs.get(signature)
    if (spec === undefined) {
      spec = this.#compile(signature, pod)
      this.#specs.set(signature, spec)
      this.#learn(spec.termKeys)
    }
    this.#lastSignature = signature
    this.#lastSpec = spec
    return spec
  }

  #compile(signature: string, pod: JsonObject): PodSpec {
    const id = this.#specCount++
    const known = this.lent?.get(signature)
    if (known !== undefined) return { ...known, id, lastClass: null }
    const spec = compileSpec(id, signature, pod, this.#state.dimensions)
    if (spec.requests.amounts.dims.every(isFixed)) this.lent?.set(signature, spec)
    return spec
  }

  #learn(keys: readonly string[]): void {
    const before = this.#termKeys.size
    for (const key of keys) this.#termKeys.add(key)
    if (this.#termKeys.size === before) return
    this.termKeys = [...this.#termKeys].toSorted(byUtf16)
    if (this.classes.length > 0) this.stale = true
  }

  class(spec: PodSpec, namespace: number, labels: Readonly<Record<string, string>>): PodClass {
    const last = spec.lastClass as PodClass | null
    if (last !== null && last.namespace === namespace && this.#sameLabels(last.labels, labels)) return last
    const projected = this.termKeys.length === 0 ? '' : projectLabels(labels, this.termKeys)
    const name = this.#state.namespaces.names[namespace] as string
    const key = classKey(spec, name, projected)
    let podClass = this.#classes.get(key)
    if (podClass === undefined) {
      podClass = this.#make(spec, namespace, labels, classHash(spec.signature, name, projected))
      this.#classes.set(key, podClass)
    }
    spec.lastClass = podClass
    return podClass
  }

  #sameLabels(kept: Readonly<Record<string, string>>, labels: Readonly<Record<string, string>>): boolean {
    for (const key of this.termKeys) if (kept[key] !== labels[key]) return false
    return true
  }

  /** Most classes have no pods any more: time to forget them. Looked at only when they have doubled. */
  isCrowded(): boolean {
    if (this.classes.length < this.#crowd) return false
    const live = this.classes.reduce((count, podClass) => count + (podClass.pods > 0 ? 1 : 0), 0)
    this.#crowd = Math.max(FEW_CLASSES, 2 * live)
    return this.classes.length >= this.#crowd
  }

  /** Specs that no pod has any more are compiled again should one come. */
  keepSpecs(kept: ReadonlySet<PodSpec>): void {
    for (const [signature, spec] of this.#specs) if (!kept.has(spec)) this.#specs.delete(signature)
    this.#lastSpec = null
    this.#lastSignature = ''
  }

  /** Forgets all classes and counters: every pod must be given its class anew, and be off its node meanwhile. */
  reset(): void {
    this.stale = false
    for (const spec of this.#specs.values()) spec.lastClass = null
    this.#classes.clear()
    this.classes.length = 0
    this.#counters = new Map()
    this.#countersBy = new Map()
    this.#countersOpen = []
    this.#classesBy = new Map()
    this.#state.counters.length = 0
    this.#state.keys.clear()
  }

  #make(spec: PodSpec, namespace: number, labels: Readonly<Record<string, string>>, hash: number): PodClass {
    const kept = pickLabels(labels, this.termKeys)
    const context: TermContext = {
      namespace,
      labels: kept,
      namespaceId: (name) => this.#state.namespaces.id(name),
      namespacesBy: (selector) => this.#namespacesBy(selector),
    }
    const own = podMatcher(spec.affinity, context)
    const podClass: PodClass = {
      id: this.classes.length,
      spec,
      namespace,
      labels: kept,
      hash,
      moves: [],
      by: [],
      affinity: [],
      selfAffinity: spec.affinity.length > 0 && matchesPod(own, namespace, kept),
      anti: [],
      against: [],
      spreads: [],
      wishes: [],
      liked: [],
      ports: [],
      conflicts: [],
      ask: null,
      pods: 0,
      view: null,
      failedAt: null,
    }
    this.classes.push(podClass)
    for (const label in kept) {
      const pair = `${label}=${kept[label]}`
      const list = this.#classesBy.get(pair)
      if (list === undefined) this.#classesBy.set(pair, [podClass])
      else list.push(podClass)
      for (const counter of this.#countersBy.get(pair) ?? []) relate(podClass, counter)
    }
    for (const counter of this.#countersOpen) relate(podClass, counter)
    this.#resolve(podClass, context, own)
    this.#resolvePorts(podClass)
    return podClass
  }

  #resolve(podClass: PodClass, context: TermContext, own: PodMatcher): void {
    const { spec } = podClass
    for (const topologyKey of new Set(spec.affinity.map((term) => term.topologyKey)))
      podClass.affinity.push(this.#counter('match', topologyKey, own))
    for (const term of spec.antiAffinity) {
      const matcher = podMatcher([term], context)
      podClass.anti.push(this.#counter('match', term.topologyKey, matcher))
      this.#moveBy(podClass, this.#counter('owner', term.topologyKey, matcher), 1)
    }
    for (const { weight, term } of spec.preferredPods) {
      const matcher = podMatcher([term], context)
      podClass.wishes.push({ counter: this.#counter('match', term.topologyKey, matcher), weight })
      this.#moveBy(podClass, this.#counter('liking', term.topologyKey, matcher), weight)
    }
    // Those who need a pod near also like it, a little: kube-scheduler's hard pod affinity weight.
    for (const term of spec.affinity)
      this.#moveBy(podClass, this.#counter('liking', term.topologyKey, podMatcher([term], context)), 1)
    for (const spread of spec.spreads) podClass.spreads.push(this.#spread(podClass, spread, context))
  }

  #spread(podClass: PodClass, spread: SpreadSpec, context: TermContext): Spread {
    const { spec } = podClass
    const matcher = spreadMatcher(spread, context)
    const keys = spec.spreads.filter((one) => one.hard === spread.hard).map((one) => one.topologyKey)
    const selects = spread.honorAffinity && (spec.nodeSelector.length > 0 || spec.nodeTerms !== null)
    const masked = selects || spread.honorTaints || keys.some((key) => key !== spread.topologyKey)
    const maskKey = masked
      ? JSON.stringify([
          keys,
          selects ? [spec.nodeSelector, spec.nodeTerms] : 0,
          spread.honorTaints ? spec.tolerations : 0,
        ])
      : ''
    const eligible = (node: number): boolean => {
      const facts = this.#state.facts[node] as NodeFacts
      if (!keys.every((key) => facts.labels[key] !== undefined)) return false
      if (selects && !matchesNode(spec, facts)) return false
      return !spread.honorTaints || untolerated(spec, facts) === undefined
    }
    return {
      counter: this.#counter('spread', spread.topologyKey, matcher, maskKey, masked ? eligible : null),
      maxSkew: spread.maxSkew,
      minDomains: spread.minDomains,
      self: matchesPod(matcher, podClass.namespace, podClass.labels) ? 1 : 0,
      hard: spread.hard,
    }
  }

  #moveBy(podClass: PodClass, counter: Counter, weight: number): void {
    podClass.moves.push(counter)
    podClass.by.push(weight)
  }

  #counter(
    kind: CounterKind,
    topologyKey: string,
    matcher: PodMatcher,
    maskKey = '',
    eligible: ((node: number) => boolean) | null = null,
  ): Counter {
    const key = `${kind} ${topologyKey} ${matcher.key} ${maskKey}`
    const known = this.#counters.get(key)
    if (known !== undefined) return known
    const counter = new Counter(kind, this.#topologyKey(topologyKey), matcher, eligible)
    this.#counters.set(key, counter)
    this.#state.counters.push(counter)
    const { state } = { state: this.#state }
    for (let node = 0; node < state.nodeRows; node++)
      if (state.isAlive(node)) counter.setNode(node, true, state.nodeCapacity)
    counter.fit(state.nodeCapacity)
    counter.refresh(state.log)
    const pair = neededPair(matcher)
    if (pair === undefined) {
      this.#countersOpen.push(counter)
      for (const podClass of this.classes) relate(podClass, counter)
    } else {
      const list = this.#countersBy.get(pair)
      if (list === undefined) this.#countersBy.set(pair, [counter])
      else list.push(counter)
      for (const podClass of this.#classesBy.get(pair) ?? []) relate(podClass, counter)
    }
    // Of a workload that is new nothing stands yet, and nothing is walked.
    const moving = pair === undefined ? this.classes : (this.#classesBy.get(pair) ?? [])
    const counts = kind === 'match' || kind === 'spread'
    if (counts && moving.some((one) => one.pods > 0 && one.moves.includes(counter))) this.#countPlaced(counter)
    return counter
  }

  #countPlaced(counter: Counter): void {
    const { log, nodeRows, firstTask, taskNext, taskClass, taskStatus } = this.#state
    for (let node = 0; node < nodeRows; node++)
      for (let task = firstTask[node] as number; task >= 0; task = taskNext[task] as number) {
        const podClass = taskClass[task] as PodClass
        if (counter.kind === 'spread' && taskStatus[task] === RELEASING) continue
        if (podClass.moves.includes(counter)) counter.add(log, node, 1)
      }
  }

  #topologyKey(name: string): TopologyKey {
    const { keys, nodeCapacity, nodeRows, facts } = this.#state
    let key = keys.get(name)
    if (key === undefined) {
      key = new TopologyKey(name)
      key.domains = new Int32Array(Math.max(nodeCapacity, 1)).fill(-1)
      for (let node = 0; node < nodeRows; node++) {
        const value = facts[node]?.labels[name]
        if (value !== undefined) key.setNode(node, value, nodeCapacity)
      }
      keys.set(name, key)
    }
    return key
  }

  #namespacesBy(selector: Selector): ReadonlySet<number> {
    const found = new Set<number>()
    for (const [name, labels] of this.namespaceLabels)
      if (selectsNamespace(selector, labels)) found.add(this.#state.namespaces.id(name))
    return found
  }

  #resolvePorts(podClass: PodClass): void {
    for (const port of podClass.spec.ports) {
      let id = this.#ports.findIndex(
        (known) => known.ip === port.ip && known.protocol === port.protocol && known.port === port.port,
      )
      if (id < 0) {
        id = this.#ports.length
        this.#ports.push(port)
        this.#state.portUse.push(new Int32Array(Math.max(this.#state.nodeCapacity, 1)))
        for (const other of this.classes)
          if (other !== podClass && other.spec.ports.some((mine) => clash(mine, port))) other.conflicts.push(id)
      }
      podClass.ports.push(id)
    }
    if (podClass.ports.length > 0)
      for (const [id, known] of this.#ports.entries())
        if (podClass.spec.ports.some((mine) => clash(mine, known))) podClass.conflicts.push(id)
  }
}

function clash(a: Port, b: Port): boolean {
  return a.port === b.port && a.protocol === b.protocol && (a.ip === b.ip || a.ip === '0.0.0.0' || b.ip === '0.0.0.0')
}

/** A label that every pod the matcher selects must have, if its form shows one. */
function neededPair(matcher: PodMatcher): string | undefined {
  for (const { selector } of matcher.parts) {
    if (selector.selects === 'nothing') continue
    for (const { key, operator, values } of selector.requirements)
      if ((operator === '=' || operator === '==' || operator === 'In') && values.length === 1)
        return `${key}=${values[0]}`
  }
  return undefined
}
