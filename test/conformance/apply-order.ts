import * as order from '../../src/core/diff/order.ts'
import { validateObjects, type ObjectError } from '../../src/core/diff/validate.ts'
import type { Manifest } from '../../src/core/model/object.ts'
import { type Adapter, all, failed, PASSED, type Row, same } from './adapter.ts'

interface Wrong {
  readonly objects: readonly string[]
  readonly reason: string
  readonly field?: string
}
type Case = Row & {
  readonly kind: string
  readonly objects: readonly Manifest[]
  readonly expected: {
    readonly error?: string
    readonly sets?: readonly string[][]
    readonly edges?: readonly string[][]
    readonly errors?: readonly Wrong[]
  }
}

const EDGES: Readonly<Record<string, (objects: readonly Manifest[]) => readonly order.Edge[]>> = {
  dependsOnEdges: (objects) => order.dependsOnEdges(objects).edges,
  namespaceEdges: order.namespaceEdges,
  crdEdges: order.crdEdges,
  allEdges: (objects) => order.allEdges(objects).edges,
}
const sorted = (items: readonly unknown[]): readonly string[] => items.map((item) => JSON.stringify(item)).toSorted()
const wrong = ({ ref, reason, ...rest }: order.OrderError | ObjectError): readonly string[] => [
  order.formatObjectId(ref),
  reason,
  'field' in rest ? rest.field : '',
]

export const adapter: Adapter = {
  check(row) {
    const { kind, objects, expected } = row as Case
    const errors = sorted((expected.errors ?? []).map(({ objects: [id], reason, field }) => [id, reason, field ?? '']))
    if (kind === 'validate') return same(sorted(validateObjects(objects).map(wrong)), errors, 'errors')
    if (kind === 'applyOrder' || kind === 'pruneOrder') {
      const ordered = kind === 'applyOrder' ? order.applyOrder(objects) : order.pruneOrder(objects)
      if (expected.error !== undefined) return ordered.kind === expected.error ? PASSED : failed('accepted')
      const sets = ordered.sets.map((set) => set.map(order.formatObjectId).toSorted())
      return same(
        sets,
        (expected.sets ?? []).map((set) => set.toSorted()),
        'sets',
      )
    }
    const edges = EDGES[kind]!(objects).map(({ from, to }) => [order.formatObjectId(from), order.formatObjectId(to)])
    const found = kind === 'dependsOnEdges' ? order.dependsOnEdges(objects).errors : []
    return all(
      same(sorted(edges), sorted(expected.edges ?? []), 'edges'),
      same(sorted(found.map(wrong)), errors, 'errors'),
    )
  },
}
