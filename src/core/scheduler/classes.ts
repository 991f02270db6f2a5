/**
 * Equivalence classes: pods between which scheduling can see no difference. A class holds what its pods' terms mean here, resolved to
 * counters, and which counters its pods move when they are placed.
 */
import type { Selector } from '../kube/selector.ts'
import { byUtf16 } from '../model/json.ts'
import { formatSelector, selectorMatches } from '../kube/selector.ts'
import { hashText } from './hash.ts'
import type { PodSpec, PodTerm, SpreadSpec } from './spec.ts'
import { matchesPod, type Counter, type PodMatcher } from './topology.ts'
import type { BatchScorer } from './plugin.ts'
import type { RankView } from './rank.ts'

export interface Spread {
  readonly counter: Counter
  readonly maxSkew: number
  readonly minDomains: number
  /** 1 when the pod itself will count. */
  readonly self: number
  readonly hard: boolean
}

export interface PodClass {
  readonly id: number
  readonly spec: PodSpec
  readonly namespace: number
  readonly labels: Readonly<Record<string, string>>
  /** Of its content, not of its number: the same in every run. */
  readonly hash: number
  /** Counters that a placed pod of this class moves, and by how much. */
  readonly moves: Counter[]
  readonly by: number[]
  /** Each must count something in the node's domain. */
  readonly affinity: Counter[]
  /** It selects itself, so the first of its kind may go anywhere. */
  readonly selfAffinity: boolean
  /** Each must count nothing in the node's domain: its own terms, then those of pods that keep it away. */
  readonly anti: Counter[]
  readonly against: Counter[]
  readonly spreads: Spread[]
  /** Wishes of its own, with weights, and of others for it. */
  readonly wishes: { readonly counter: Counter; readonly weight: number }[]
  readonly liked: Counter[]
  /** Ports it takes and ports that are in its way. */
  readonly ports: number[]
  readonly conflicts: number[]
  /** What choosing a node for it takes in this cycle. */
  ask: Ask | null
  /** Live pods of the class. */
  pods: number
  /** Its nodes and scores; kept only while it is asked for. */
  view: RankView | null
  /** State of the world when no node was found for it: [frees, placements] so far. */
  failedAt: [number, number] | null
}

export interface Ask {
  readonly cycle: object
  readonly dynamic: boolean
  readonly scorers: readonly BatchScorer[]
}

/** Has to be asked about the placement of other pods, for every pod anew. */
export function isDynamic(podClass: PodClass): boolean {
  return (
    podClass.affinity.length > 0 ||
    podClass.anti.length > 0 ||
    podClass.against.length > 0 ||
    podClass.spreads.length > 0 ||
    podClass.wishes.length > 0 ||
    podClass.liked.length > 0
  )
}

export function classKey(spec: PodSpec, namespace: string, projected: string): string {
  return `${spec.id} ${namespace} ${projected}`
}

export function classHash(signature: string, namespace: string, projected: string): number {
  return hashText(projected, hashText(namespace, hashText(signature)))
}

/** The labels that some term looks at, as one text. */
export function projectLabels(labels: Readonly<Record<string, string>> | undefined, keys: readonly string[]): string {
  if (labels === undefined) return ''
  let text = ''
  for (const key of keys) {
    const value = labels[key]
    if (value !== undefined) text += `${key}=${value},`
  }
  return text
}

export function pickLabels(
  labels: Readonly<Record<string, string>> | undefined,
  keys: readonly string[],
): Readonly<Record<string, string>> {
  const picked: Record<string, string> = {}
  if (labels !== undefined) for (const key of keys) if (Object.hasOwn(labels, key)) picked[key] = labels[key] as string
  return picked
}

/** What resolves a term of a pod against the cluster. */
export interface TermContext {
  readonly namespace: number
  readonly labels: Readonly<Record<string, string>>
  namespaceId(name: string): number
  /** Ids of the namespaces that a selector selects. */
  namespacesBy(selector: Selector): ReadonlySet<number>
}

export function podMatcher(terms: readonly PodTerm[], context: TermContext): PodMatcher {
  const parts = terms.map((term) => {
    const selector = withPodLabels(term.selector, term.matchLabelKeys, term.mismatchLabelKeys, context.labels)
    return { namespaces: namespacesOf(term, context), selector }
  })
  const key = parts
    .map(
      ({ namespaces, selector }) =>
        `${namespaces === 'all' ? '*' : [...namespaces].toSorted((a, b) => a - b).join('+')}:${selectorKey(selector)}`,
    )
    .toSorted(byUtf16)
    .join('&')
  return { key, parts }
}

export function spreadMatcher(spread: SpreadSpec, context: TermContext): PodMatcher {
  const selector = withPodLabels(spread.selector, spread.matchLabelKeys, [], context.labels)
  return {
    key: `${context.namespace}:${selectorKey(selector)}`,
    parts: [{ namespaces: new Set([context.namespace]), selector }],
  }
}

function namespacesOf(term: PodTerm, context: TermContext): ReadonlySet<number> | 'all' {
  const { namespaceSelector } = term
  if (namespaceSelector === null)
    return new Set(
      term.namespaces.length === 0 ? [context.namespace] : term.namespaces.map((name) => context.namespaceId(name)),
    )
  if (namespaceSelector.selects === 'matching' && namespaceSelector.requirements.length === 0) return 'all'
  const selected = new Set(context.namespacesBy(namespaceSelector))
  for (const name of term.namespaces) selected.add(context.namespaceId(name))
  return selected
}

function withPodLabels(
  selector: Selector,
  same: readonly string[],
  other: readonly string[],
  labels: Readonly<Record<string, string>>,
): Selector {
  if (same.length === 0 && other.length === 0) return selector
  const requirements = selector.selects === 'matching' ? [...selector.requirements] : []
  for (const key of same)
    if (Object.hasOwn(labels, key)) requirements.push({ key, operator: 'In', values: [labels[key] as string] })
  for (const key of other)
    if (Object.hasOwn(labels, key)) requirements.push({ key, operator: 'NotIn', values: [labels[key] as string] })
  return { selects: 'matching', requirements }
}

function selectorKey(selector: Selector): string {
  return formatSelector(selector) ?? '(nothing)'
}

export function selectsNamespace(selector: Selector, labels: Readonly<Record<string, string>>): boolean {
  return selectorMatches(selector, labels)
}

/** Joins a class and a counter that did not know each other. */
export function relate(podClass: PodClass, counter: Counter): void {
  const selected = matchesPod(counter.matcher, podClass.namespace, podClass.labels)
  if (!selected) return
  if (counter.kind === 'owner') podClass.against.push(counter)
  else if (counter.kind === 'liking') podClass.liked.push(counter)
  else {
    podClass.moves.push(counter)
    podClass.by.push(1)
  }
}
