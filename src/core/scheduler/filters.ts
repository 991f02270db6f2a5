/**
 * kube-scheduler's filters over the columns. Three kinds, by what can change their answer: the node's own facts, what stands on the
 * node, and where other pods stand. A class remembers the first two per node; the third is read from counters each time.
 */
import type { PodClass, Spread } from './classes.ts'
import { matchesNode, toleratesUnschedulable, untolerated } from './node.ts'
import { PODS } from './resources.ts'
import type { State } from './state.ts'
import type { Counter } from './topology.ts'
import { REFUSALS, type Refusal, type Verdict } from './types.ts'
import type { Volumes } from './volumes.ts'

/** A filter of a plugin: asked per class and node; null lets the pod through. */
export interface ExtraFilter {
  /** node: only the node's facts matter. room: what stands on it too. live: asked each time, of the pod itself. */
  readonly kind: 'node' | 'room' | 'live'
  readonly refuses: (podClass: PodClass, node: number, task: number) => Refusal | null
}

/** What is on: without the predicates plugin only room counts. */
export interface FilterSet {
  readonly kube: boolean
  readonly extra: readonly ExtraFilter[]
  readonly volumes: Volumes
}

/** By the node's own facts. */
export function nodeRefuses(state: State, filters: FilterSet, podClass: PodClass, node: number): Refusal | null {
  const facts = state.facts[node]
  if (facts === null || facts === undefined) return 'NodeName'
  const { spec } = podClass
  if (filters.kube) {
    if (facts.unschedulable && !toleratesUnschedulable(spec)) return 'Unschedulable'
    if (facts.taints.length > 0 && untolerated(spec, facts) !== undefined) return 'Taint'
    if ((spec.nodeSelector.length > 0 || spec.nodeTerms !== null) && !matchesNode(spec, facts)) return 'NodeAffinity'
  }
  for (const filter of filters.extra)
    if (filter.kind === 'node') {
      const refusal = filter.refuses(podClass, node, -1)
      if (refusal !== null) return refusal
    }
  return null
}

/** By what stands on the node, room aside. */
export function standingRefuses(state: State, filters: FilterSet, podClass: PodClass, node: number): Refusal | null {
  if (filters.kube) {
    for (const port of podClass.conflicts) if (((state.portUse[port] as Int32Array)[node] as number) > 0) return 'Ports'
    if (podClass.spec.claims.length > 0 || podClass.spec.disks.length > 0 || podClass.spec.devices.length > 0) {
      const refusal = filters.volumes.refuses(podClass, node)
      if (refusal !== null) return refusal
    }
  }
  for (const filter of filters.extra)
    if (filter.kind === 'room') {
      const refusal = filter.refuses(podClass, node, -1)
      if (refusal !== null) return refusal
    }
  return null
}

/** By where other pods stand. */
export function placementRefuses(podClass: PodClass, node: number): Refusal | null {
  const { affinity, anti, against, spreads } = podClass
  for (let k = 0; k < spreads.length; k++) {
    const spread = spreads[k] as Spread
    if (!spread.hard) continue
    const refusal = spreadRefuses(spread, node)
    if (refusal !== null) return refusal
  }
  for (let k = 0; k < affinity.length; k++)
    if ((affinity[k] as Counter).at(node) <= 0) return firstOfItsKind(podClass, node) ? null : 'Affinity'
  for (let k = 0; k < anti.length; k++) if ((anti[k] as Counter).at(node) > 0) return 'AntiAffinity'
  for (let k = 0; k < against.length; k++) if ((against[k] as Counter).at(node) > 0) return 'ExistingAntiAffinity'
  return null
}

function spreadRefuses(spread: Spread, node: number): Refusal | null {
  const { counter } = spread
  const domain = counter.key.domains[node] as number
  if (domain < 0) return 'SpreadLabel'
  const { meta } = counter
  const least = (meta[3] as number) < spread.minDomains ? 0 : (meta[1] as number)
  const here = (counter.hosts[domain] as number) > 0 ? (counter.counts[domain] as number) : 0
  return here + spread.self - least > spread.maxSkew ? 'Spread' : null
}

/** No pod anywhere matches its terms, it matches them itself, and the node has all the labels: then it may be the first. */
function firstOfItsKind(podClass: PodClass, node: number): boolean {
  if (!podClass.selfAffinity) return false
  for (const counter of podClass.affinity)
    if ((counter.meta[0] as number) > 0 || (counter.key.domains[node] as number) < 0) return false
  // Its anti-affinity still counts.
  for (const counter of podClass.anti) if (counter.at(node) > 0) return false
  for (const counter of podClass.against) if (counter.at(node) > 0) return false
  return true
}

/** Every reason why this pod cannot go there now, in kube-scheduler's order. */
export function verdictOn(state: State, filters: FilterSet, podClass: PodClass, node: number, task: number): Verdict {
  const refusals: Refusal[] = []
  const reasons: string[] = []
  let hopeless = false
  const note = (refusal: Refusal | null, reason?: string): void => {
    if (refusal === null) return
    refusals.push(refusal)
    reasons.push(reason ?? REFUSALS[refusal])
    if (HOPELESS.has(refusal)) hopeless = true
  }
  if (podClass.spec.problem !== null)
    return { fits: false, refusals: ['Invalid'], reasons: [podClass.spec.problem], evictionCannotHelp: true }
  note(nodeRefuses(state, filters, podClass, node))
  for (const { dim, possible } of shortDims(state, podClass, node, 'now')) {
    note(
      dim === PODS ? 'Pods' : 'Resources',
      dim === PODS ? REFUSALS.Pods : `Insufficient ${state.dimensions.names.names[dim]}`,
    )
    if (!possible) hopeless = true
  }
  note(standingRefuses(state, filters, podClass, node))
  if (filters.kube) {
    const refusal = placementRefuses(podClass, node)
    note(refusal)
    if (refusal === 'Affinity' || refusal === 'SpreadLabel') hopeless = true
  }
  for (const filter of filters.extra) if (filter.kind === 'live') note(filter.refuses(podClass, node, task))
  return { fits: refusals.length === 0, refusals, reasons, evictionCannotHelp: hopeless }
}

/** No eviction on the node changes these. */
export const HOPELESS: ReadonlySet<Refusal> = new Set<Refusal>([
  'NodeName', 'Unschedulable', 'Taint', 'NodeAffinity', 'SpreadLabel', 'Affinity', 'VolumeNode', 'VolumeZone', 'VolumeBinding', 'VolumeRoom', 'Shard', 'NodeGroup', 'Zone',
]) // prettier-ignore

/** The dimensions in which the node lacks room (now, or when those who leave have left), what is missing, and whether the node empty would have enough. */
export function shortDims(
  state: State,
  podClass: PodClass,
  node: number,
  when: 'now' | 'later',
): readonly { readonly dim: number; readonly missing: number; readonly possible: boolean }[] {
  const { dims, values } = podClass.spec.requests.amounts
  const short: { dim: number; missing: number; possible: boolean }[] = []
  for (let k = 0; k < dims.length; k++) {
    const dim = dims[k] as number
    const asked = values[k] as number
    let room = (state.idle[dim] as Float64Array)[node] as number
    if (when === 'later') room += (state.later[dim] as Float64Array)[node] as number
    if (asked > room)
      short.push({
        dim,
        missing: asked - room,
        possible: asked <= ((state.allocatable[dim] as Float64Array)[node] as number),
      })
  }
  return short
}
