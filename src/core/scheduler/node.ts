/** A node's constraints and what they say to a pod's specification: everything that no pod on it can change. */
import { requirementHolds, type Requirement } from '../kube/selector.ts'
import type { JsonObject } from '../model/json.ts'
import { listAt, numberAt, objectAt, textAt, textsAt, textsByKey } from './object.ts'
import type { Dimensions } from './resources.ts'
import type { NodeTerm, PodSpec, Toleration } from './spec.ts'
import type { ResourceList } from './types.ts'

export interface Taint {
  readonly key: string
  readonly value: string
  readonly effect: string
}

export interface NodeFacts {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly taints: readonly Taint[]
  readonly unschedulable: boolean
  readonly allocatable: Float64Array
  /** Image name to its size in bytes. */
  readonly images: ReadonlyMap<string, number>
  readonly problems: readonly string[]
}

const UNSCHEDULABLE: Taint = { key: 'node.kubernetes.io/unschedulable', value: '', effect: 'NoSchedule' }

export function readNode(node: JsonObject, dimensions: Dimensions): NodeFacts {
  const metadata = objectAt(node, 'metadata')
  const spec = objectAt(node, 'spec')
  const status = objectAt(node, 'status')
  const { amounts, problems } = dimensions.read(objectAt(status, 'allocatable') as ResourceList)
  const images = new Map<string, number>()
  for (const image of listAt(status, 'images'))
    for (const name of textsAt(image, 'names')) images.set(name, numberAt(image, 'sizeBytes', 0))
  return {
    name: textAt(metadata, 'name'),
    labels: textsByKey(metadata, 'labels'),
    annotations: textsByKey(metadata, 'annotations'),
    taints: listAt(spec, 'taints').map((taint) => ({
      key: textAt(taint, 'key'),
      value: textAt(taint, 'value'),
      effect: textAt(taint, 'effect'),
    })),
    unschedulable: spec['unschedulable'] === true,
    allocatable: amounts,
    images,
    problems,
  }
}

export function tolerates(tolerations: readonly Toleration[], taint: Taint): boolean {
  return tolerations.some(
    (one) =>
      (one.effect === '' || one.effect === taint.effect) &&
      (one.key === '' ? one.exists : one.key === taint.key && (one.exists || one.value === taint.value)),
  )
}

/** The first taint that keeps the pod away, or undefined. */
export function untolerated(spec: PodSpec, node: NodeFacts): Taint | undefined {
  return node.taints.find(
    (taint) => taint.effect !== 'PreferNoSchedule' && taint.effect !== '' && !tolerates(spec.tolerations, taint),
  )
}

export function toleratesUnschedulable(spec: PodSpec): boolean {
  return tolerates(spec.tolerations, UNSCHEDULABLE)
}

/** PreferNoSchedule taints that the pod does not tolerate: the fewer the better. */
export function dislikedTaints(spec: PodSpec, node: NodeFacts): number {
  let count = 0
  for (const taint of node.taints)
    if (taint.effect === 'PreferNoSchedule' && !tolerates(spec.tolerations, taint)) count++
  return count
}

/** Node selector and required node affinity. */
export function matchesNode(spec: PodSpec, node: NodeFacts): boolean {
  for (const requirement of spec.nodeSelector) if (!requirementHolds(requirement, node.labels)) return false
  return spec.nodeTerms === null || spec.nodeTerms.some((term) => matchesTerm(term, node))
}

/** An empty term matches nothing. */
export function matchesTerm(term: NodeTerm, node: NodeFacts): boolean {
  if (term.labels.length === 0 && term.fields.length === 0) return false
  for (const requirement of term.labels) if (!holds(requirement, node.labels)) return false
  const fields = { 'metadata.name': node.name }
  for (const requirement of term.fields) if (!holds(requirement, fields)) return false
  return true
}

const OPERATORS = new Set(['In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt'])

/** What is not valid matches nothing, as in kube-scheduler. */
function holds(requirement: Requirement, labels: Readonly<Record<string, string>>): boolean {
  if (!OPERATORS.has(requirement.operator)) return false
  if ((requirement.operator === 'In' || requirement.operator === 'NotIn') && requirement.values.length === 0)
    return false
  return requirementHolds(requirement, labels)
}

/** Sum of the weights of the preferred terms that match; an empty preferred term matches every node. */
export function preference(spec: PodSpec, node: NodeFacts): number {
  let sum = 0
  for (const { weight, term } of spec.preferredNodes)
    if ((term.labels.length === 0 && term.fields.length === 0) || matchesTerm(term, node)) sum += weight
  return sum
}

/** Nothing that placement could see has changed. */
export function sameFacts(a: NodeFacts, b: NodeFacts): boolean {
  if (a.unschedulable !== b.unschedulable || a.allocatable.length > b.allocatable.length) return false
  for (let dim = 0; dim < b.allocatable.length; dim++)
    if ((a.allocatable[dim] ?? 0) !== b.allocatable[dim]) return false
  return (
    JSON.stringify(a.labels) === JSON.stringify(b.labels) &&
    JSON.stringify(a.taints) === JSON.stringify(b.taints) &&
    JSON.stringify(a.annotations) === JSON.stringify(b.annotations) &&
    a.images.size === b.images.size
  )
}
