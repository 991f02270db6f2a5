/**
 * Which object waits for which: a namespace for what stands in it, a CustomResourceDefinition for its objects, and the
 * annotations `config.kubernetes.io/depends-on` (cli-utils, Config Sync) and kapp's. Deletion goes the other way round.
 */
import { byUtf16, isObject } from '../model/json.ts'
import { groupOf, refKey, refOf, type Manifest, type ObjectRef } from '../model/object.ts'
import { kappOrder } from './order-kapp.ts'

export const DEPENDS_ON = 'config.kubernetes.io/depends-on'

/** `from` waits for `to`. */
export interface Edge {
  readonly from: ObjectRef
  readonly to: ObjectRef
}

/** What is wrong with an object's ordering annotation; a wrong reference orders nothing. */
export interface OrderError {
  readonly ref: ObjectRef
  readonly annotation: string
  /** `external`: not in this list. */
  readonly reason: 'invalid-reference' | 'duplicate' | 'external'
}

export interface Edges {
  readonly edges: readonly Edge[]
  readonly errors: readonly OrderError[]
}

/** `group/namespaces/NAMESPACE/Kind/name`, or `group/Kind/name` without a namespace; the core group is empty. */
export function formatObjectId(ref: ObjectRef): string {
  return ref.namespace === ''
    ? `${ref.group}/${ref.kind}/${ref.name}`
    : `${ref.group}/namespaces/${ref.namespace}/${ref.kind}/${ref.name}`
}

export function parseObjectId(text: string): ObjectRef | undefined {
  const parts = text.trim().split('/')
  if (parts.length === 3) {
    const [group = '', kind = '', name = ''] = parts
    return kind === '' || name === '' ? undefined : { group, kind, namespace: '', name }
  }
  const [group = '', word, namespace = '', kind = '', name = ''] = parts
  if (parts.length !== 5 || word !== 'namespaces' || namespace === '' || kind === '' || name === '') return undefined
  return { group, kind, namespace, name }
}

/** Edges that the annotation names. Within the list only; a self-reference is a cycle and is found by `inSets`. */
export function dependsOnEdges(objects: readonly Manifest[]): Edges {
  const known = new Set(objects.map((object) => refKey(refOf(object))))
  const edges: Edge[] = []
  const errors: OrderError[] = []
  for (const object of objects) {
    const text = object.metadata.annotations?.[DEPENDS_ON]
    if (text === undefined) continue
    const from = refOf(object)
    const targets = text.split(',').map(parseObjectId)
    if (!targets.every((target) => target !== undefined)) {
      errors.push({ ref: from, annotation: DEPENDS_ON, reason: 'invalid-reference' })
      continue
    }
    const seen = new Set<string>()
    for (const to of targets) {
      const key = refKey(to)
      const reason = seen.has(key) ? 'duplicate' : known.has(key) ? null : 'external'
      seen.add(key)
      if (reason === null) edges.push({ from, to })
      else errors.push({ ref: from, annotation: DEPENDS_ON, reason })
    }
  }
  return { edges, errors }
}

export function namespaceEdges(objects: readonly Manifest[]): readonly Edge[] {
  const namespaces = new Map(
    objects.filter(isNamespace).map((object) => [object.metadata.name, refOf(object)] as const),
  )
  return edgesTo(objects, (object) => namespaces.get(object.metadata.namespace ?? ''))
}

export function crdEdges(objects: readonly Manifest[]): readonly Edge[] {
  const definitions = new Map<string, ObjectRef>()
  for (const object of objects) {
    const defines = definedKind(object)
    if (defines !== undefined) definitions.set(`${defines.group}/${defines.kind}`, refOf(object))
  }
  return edgesTo(objects, (object) => definitions.get(`${groupOf(object.apiVersion)}/${object.kind}`))
}

export function allEdges(objects: readonly Manifest[]): Edges {
  const named = dependsOnEdges(objects)
  const all = new Map<string, Edge>()
  const kapp = kappOrder(objects)
  for (const edge of [...crdEdges(objects), ...namespaceEdges(objects), ...named.edges, ...kapp.applies]) {
    all.set(`${refKey(edge.from)} ${refKey(edge.to)}`, edge)
  }
  return { edges: [...all.values()], errors: [...named.errors, ...kapp.errors] }
}

/** Sets to be done one after another, or the objects that wait for each other in a circle (and those behind them). */
export type Ordered =
  | { readonly kind: 'sets'; readonly sets: readonly (readonly ObjectRef[])[] }
  | { readonly kind: 'cycle'; readonly sets: readonly (readonly ObjectRef[])[]; readonly stuck: readonly ObjectRef[] }

export function applyOrder(objects: readonly Manifest[]): Ordered {
  return inSets(objects.map(refOf), allEdges(objects).edges)
}

export function pruneOrder(objects: readonly Manifest[]): Ordered {
  const order = applyOrder(objects)
  return { ...order, sets: order.sets.toReversed() }
}

interface Node {
  readonly ref: ObjectRef
  waitsFor: number
  readonly waiters: string[]
}

/** Kahn's layers: linear in objects and edges. */
export function inSets(refs: readonly ObjectRef[], edges: readonly Edge[]): Ordered {
  const left = new Map(refs.map((ref): [string, Node] => [refKey(ref), { ref, waitsFor: 0, waiters: [] }]))
  for (const { from, to } of edges) {
    const target = left.get(refKey(to))
    const source = left.get(refKey(from))
    if (target === undefined || source === undefined) continue
    source.waitsFor += 1
    target.waiters.push(refKey(from))
  }
  const sets: ObjectRef[][] = []
  let ready = [...left].filter(([, node]) => node.waitsFor === 0)
  while (ready.length > 0) {
    sets.push(ready.map(([, node]) => node.ref).toSorted((a, b) => byUtf16(refKey(a), refKey(b))))
    const next: typeof ready = []
    for (const [key, node] of ready) {
      left.delete(key)
      for (const waiter of node.waiters) {
        const behind = left.get(waiter)
        if (behind === undefined) continue
        behind.waitsFor -= 1
        if (behind.waitsFor === 0) next.push([waiter, behind])
      }
    }
    ready = next
  }
  if (left.size === 0) return { kind: 'sets', sets }
  return { kind: 'cycle', sets, stuck: [...left.values()].map((node) => node.ref) }
}

/** Group and kind that a CustomResourceDefinition makes served. */
export function definedKind(object: Manifest): { readonly group: string; readonly kind: string } | undefined {
  if (object.kind !== 'CustomResourceDefinition' || groupOf(object.apiVersion) !== 'apiextensions.k8s.io')
    return undefined
  const { spec } = object
  if (!isObject(spec) || typeof spec.group !== 'string' || !isObject(spec.names)) return undefined
  return typeof spec.names.kind === 'string' ? { group: spec.group, kind: spec.names.kind } : undefined
}

function isNamespace(object: Manifest): boolean {
  return object.kind === 'Namespace' && groupOf(object.apiVersion) === ''
}

function edgesTo(objects: readonly Manifest[], target: (object: Manifest) => ObjectRef | undefined): readonly Edge[] {
  return objects.flatMap((object) => {
    const to = target(object)
    return to === undefined ? [] : [{ from: refOf(object), to }]
  })
}
