/**
 * Where pods stand, counted as they come and go: per topology key a domain for each node, per term a counter over the domains of its
 * key. A question about affinity or spread reads counters; it never walks pods.
 */
import { selectorMatches, type Selector } from '../kube/selector.ts'
import { hasBit, setBit, grownBits, bitsFor, type Bits } from './bits.ts'
import { Interner } from './intern.ts'
import { grown, type UndoLog } from './undo.ts'

/** One topology key: the value each node has for it, as a number. */
export class TopologyKey {
  readonly name: string
  readonly values = new Interner()
  /** By node; -1 where the node lacks the label. */
  domains: Int32Array = new Int32Array(0)

  constructor(name: string) {
    this.name = name
  }

  setNode(node: number, value: string | undefined, capacity: number): void {
    this.domains = grown(this.domains, capacity, -1)
    this.domains[node] = value === undefined ? -1 : this.values.id(value)
  }
}

/** Selects pods: by namespace and labels. `all` of them must hold, for the terms of one pod that are counted together. */
export interface PodMatcher {
  readonly key: string
  readonly parts: readonly { readonly namespaces: ReadonlySet<number> | 'all'; readonly selector: Selector }[]
}

export function matchesPod(matcher: PodMatcher, namespace: number, labels: Readonly<Record<string, string>>): boolean {
  for (const { namespaces, selector } of matcher.parts)
    if ((namespaces !== 'all' && !namespaces.has(namespace)) || !selectorMatches(selector, labels)) return false
  return true
}

/**
 * `match` counts pods that a term selects; `spread` the same on eligible nodes only and without pods that are leaving;
 * `owner` counts pods that have an anti-affinity term, so that others can be kept away; `liking` sums the weights of their wishes.
 */
export type CounterKind = 'match' | 'spread' | 'owner' | 'liking'

export class Counter {
  readonly kind: CounterKind
  readonly key: TopologyKey
  readonly matcher: PodMatcher
  /** Which nodes count at all; null: every node that has the key. */
  mask: Bits | null
  readonly eligible: ((node: number) => boolean) | null
  counts: Int32Array = new Int32Array(0)
  /** [sum over all domains, least count of an eligible domain, how many domains have it, eligible domains]. */
  readonly meta = new Int32Array(4)
  /** By domain: how many eligible nodes it has. */
  hosts: Int32Array = new Int32Array(0)

  constructor(kind: CounterKind, key: TopologyKey, matcher: PodMatcher, eligible: ((node: number) => boolean) | null) {
    this.kind = kind
    this.key = key
    this.matcher = matcher
    this.eligible = eligible
    this.mask = eligible === null ? null : bitsFor(32)
  }

  fit(capacity: number): void {
    this.counts = grown(this.counts, this.key.values.size)
    this.hosts = grown(this.hosts, this.key.values.size)
    if (this.mask !== null) this.mask = grownBits(this.mask, capacity)
  }

  /** Takes a node in or out. Its pods must not be counted at the time. */
  setNode(node: number, present: boolean, capacity: number): void {
    this.fit(capacity)
    const domain = this.key.domains[node] ?? -1
    const counts = present && domain >= 0 && (this.eligible === null || this.eligible(node))
    if (this.mask !== null) setBit(this.mask, node, counts)
    if (counts) this.hosts[domain] = (this.hosts[domain] as number) + 1
  }

  /** The reverse of setNode(true), with the domain the node still has. */
  dropNode(node: number): void {
    const domain = this.key.domains[node] ?? -1
    if (domain < 0 || (this.mask !== null && !hasBit(this.mask, node))) return
    if (this.mask !== null) setBit(this.mask, node, false)
    this.hosts[domain] = (this.hosts[domain] as number) - 1
  }

  add(log: UndoLog, node: number, delta: number): void {
    const domain = this.key.domains[node] as number
    if (domain < 0 || (this.mask !== null && !hasBit(this.mask, node))) return
    const before = this.counts[domain] as number
    log.set(this.counts, domain, before + delta)
    log.add(this.meta, 0, delta)
    if (this.kind === 'spread' && (this.hosts[domain] as number) > 0) this.#moved(log, before, before + delta)
  }

  #moved(log: UndoLog, before: number, after: number): void {
    const least = this.meta[1] as number
    if (after < least) {
      log.set(this.meta, 1, after)
      log.set(this.meta, 2, 1)
    } else if (after === least) log.add(this.meta, 2, 1)
    else if (before === least) {
      log.add(this.meta, 2, -1)
      if (this.meta[2] === 0) this.#rescan(log)
    }
  }

  #rescan(log: UndoLog): void {
    let least = 0
    let having = 0
    let domains = 0
    for (let domain = 0; domain < this.key.values.size; domain++) {
      if ((this.hosts[domain] ?? 0) <= 0) continue
      domains++
      const count = this.counts[domain] as number
      if (having === 0 || count < least) {
        least = count
        having = 1
      } else if (count === least) having++
    }
    log.set(this.meta, 1, least)
    log.set(this.meta, 2, having)
    log.set(this.meta, 3, domains)
  }

  /** After nodes came, went or changed. */
  refresh(log: UndoLog): void {
    if (this.kind === 'spread') this.#rescan(log)
  }

  at(node: number): number {
    const domain = this.key.domains[node] as number
    return domain < 0 ? 0 : (this.counts[domain] as number)
  }
}
