import type { FieldRule, Shapes } from '../../src/core/kube/merge-keys.ts'
import { strategicMerge, strategicMergeWith } from '../../src/core/kube/strategic-merge.ts'
import type { JsonObject } from '../../src/core/model/json.ts'
import { type Adapter, failed, NO_ROOM, PASSED, type Row, same } from './adapter.ts'

type Case = Row & {
  readonly object: JsonObject
  readonly patch: JsonObject
  readonly schema?: string
  readonly ordered?: boolean
  readonly expected: { readonly object?: JsonObject; readonly error?: unknown }
}
interface TableField {
  readonly items?: string
  readonly map?: string
  readonly mergeKey?: string
  readonly strategy?: string
}
type TableSchemas = Readonly<Record<string, Readonly<Record<string, TableField | string>>>>

export const adapter: Adapter = {
  kind: (row) => String(row['engine']),
  check(row, meta) {
    const { engine, object, patch, schema, ordered, expected } = row as Case
    if (engine !== 'kubernetes') return NO_ROOM
    const shapes = shapesOf(meta['schemas'] as TableSchemas)
    const merged =
      schema === undefined
        ? strategicMerge(object, patch)
        : strategicMergeWith(object, patch, { shape: schema, shapes })
    if (!merged.ok) return expected.error === undefined ? failed(`${merged.path}: ${merged.because}`) : PASSED
    if (expected.error !== undefined) return failed('accepted')
    const asked = (value: unknown) => (ordered === false ? sorted(value) : value)
    return same(asked(merged.object), asked(expected.object))
  },
}

function shapesOf(schemas: TableSchemas): Shapes {
  const shape = (fields: TableSchemas[string]) =>
    Object.entries(fields).flatMap(([name, field]) =>
      typeof field === 'string' ? [] : [[name, ruleOf(field)] as const],
    )
  return Object.fromEntries(Object.entries(schemas).map(([name, fields]) => [name, Object.fromEntries(shape(fields))]))
}

/** One field is a map by its schema and a list in one case; the original's merge key for it, name, is not in the table. */
function ruleOf({ items, map, mergeKey, strategy }: TableField): FieldRule {
  const merges = strategy?.split(',').includes('merge') === true
  const key = mergeKey ?? (map === undefined ? undefined : 'name')
  return {
    ...(map === undefined ? { of: items ?? 'scalar' } : { of: map }),
    ...(merges ? { list: 'merge' as const } : {}),
    ...(key === undefined ? {} : { key }),
    ...(map !== undefined && strategy === 'replace' ? { map: 'replace' as const } : {}),
  }
}

/** Lists in an order of their own, for cases that do not assert any. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value))
    return value.map(sorted).toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([key, item]) => [key, sorted(item)] as const)
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)))
}
