/**
 * Strategic merge patches, as the API server applies them, and as kustomize does where it differs. Never changes its inputs.
 * The order of a merged list is: what $setElementOrder says, then the patch's order, then the object's.
 */
import { isObject, type Json, type JsonObject } from '../model/json.ts'
import { groupOf } from '../model/object.ts'
import { arrange } from './list-order.ts'
import {
  checkOrder,
  DELETE_LIST,
  deleteScalars,
  elementForm,
  type Fields,
  fresh,
  isList,
  nameBy,
  oldNames,
  ORDER,
  PATCH,
  Refused,
  retainKeys,
  sameForm,
  setOrDelete,
  takeDirectives,
  without,
} from './merge-directives.ts'
import { type FieldRule, shapeOfKind, SHAPES, type Shapes } from './merge-keys.ts'

export type Merged =
  | { readonly ok: true; readonly object: JsonObject }
  | { readonly ok: false; readonly because: string; readonly path: string }

export interface MergeOptions {
  /** Name in `shapes` of what is merged; undefined: no list merges. */
  readonly shape: string | undefined
  readonly shapes: Shapes
}

/** Merges into one object of a built-in kind by the rules of its kind; other kinds have none, and all lists are replaced. */
export function strategicMerge(object: JsonObject, patch: JsonObject): Merged {
  const apiVersion = typeof object['apiVersion'] === 'string' ? object['apiVersion'] : ''
  const kind = typeof object['kind'] === 'string' ? object['kind'] : ''
  return strategicMergeWith(object, patch, { shape: shapeOfKind(groupOf(apiVersion), kind), shapes: SHAPES })
}

export function strategicMergeWith(object: JsonObject, patch: JsonObject, { shape, shapes }: MergeOptions): Merged {
  try {
    return { ok: true, object: new Merger(shapes).maps(object, patch, shape, '') }
  } catch (error) {
    if (error instanceof Refused) return { ok: false, because: error.message, path: error.path }
    throw error
  }
}

class Merger {
  readonly #shapes: Shapes
  constructor(shapes: Shapes) {
    this.#shapes = shapes
  }

  maps(original: JsonObject, patch: JsonObject, shape: string | undefined, path: string): JsonObject {
    const directive = patch[PATCH]
    if (directive === 'delete') return {}
    if (directive === 'replace') return without(patch, PATCH)
    if (directive !== undefined) throw new Refused(path, `$patch: ${JSON.stringify(directive)} is not one for a map`)

    const merged = new Map(Object.entries(original))
    const rest = new Map(Object.entries(patch))
    retainKeys(merged, rest, path)
    for (const key of Object.keys(patch)) if (key.startsWith(ORDER)) this.#ordered(merged, rest, key, shape, path)
    // Deletions first, so that the order in which a patch is written says nothing.
    const deletions = [...rest].filter(([key]) => key.startsWith(DELETE_LIST))
    for (const [key, value] of [...deletions, ...[...rest].filter(([key]) => !key.startsWith(DELETE_LIST))]) {
      if (value === undefined) continue
      const field = key.startsWith(DELETE_LIST) ? key.slice(DELETE_LIST.length) : key
      const before = merged.get(field)
      if (value === null) merged.delete(field)
      else if (field !== key) deleteScalars(merged, field, before, value, `${path}/${key}`)
      else if (before === undefined || !sameForm(before, value)) setOrDelete(merged, field, fresh(value))
      else merged.set(field, this.#values(before, value, this.#rule(shape, field), `${path}/${field}`))
    }
    return Object.fromEntries(merged)
  }

  #rule(shape: string | undefined, field: string): FieldRule {
    const fields = shape === undefined ? undefined : this.#shapes[shape]
    return (fields !== undefined && Object.hasOwn(fields, field) ? fields[field] : undefined) ?? {}
  }

  /** Both maps, both lists, or neither. */
  #values(before: Json, value: Json, rule: FieldRule, path: string): Json {
    if (isObject(before) && isObject(value))
      return rule.map === 'replace' ? value : this.maps(before, value, rule.of, path)
    if (isList(before) && isList(value)) return rule.list === 'merge' ? this.#lists(before, value, rule, path) : value
    return value
  }

  #lists(before: readonly Json[], patch: readonly Json[], rule: FieldRule, path: string): readonly Json[] {
    if (before.length === 0 && patch.length === 0) return before
    if (elementForm([before, patch], path) !== 'map')
      return arrange([...new Set([...before, ...patch])], patch, before, (item) => item)
    const { key } = rule
    if (key === undefined) throw new Refused(path, 'this list has no merge key')
    const { kept, patches } = takeDirectives(before as JsonObject[], patch as JsonObject[], key, path)
    const merged = [...kept]
    for (const element of patches) {
      const name = nameBy(key, path)(element)
      const at = merged.findIndex((item) => item[key] === name)
      const found = merged[at]
      if (found === undefined) merged.push(fresh(element) as JsonObject)
      else merged[at] = this.maps(found, element, rule.of, `${path}[${JSON.stringify(name)}]`)
    }
    const nameOf = nameBy(key, path)
    return arrange(merged, patches.map(nameOf), kept.map(nameOf), nameOf)
  }

  /** `$setElementOrder/field`: merges the field's list here, and takes both out of what is left of the patch. */
  #ordered(merged: Fields, rest: Fields, directive: string, shape: string | undefined, path: string): void {
    const field = directive.slice(ORDER.length)
    const where = `${path}/${field}`
    const order = rest.get(directive) ?? null
    const before = merged.get(field)
    const patch = rest.get(field)
    rest.delete(directive)
    if (!isList(order)) throw new Refused(`${path}/${directive}`, 'must be a list')
    if ((before !== undefined && !isList(before)) || (patch !== undefined && !isList(patch)))
      throw new Refused(where, 'must be a list to have an order')
    const rule = this.#rule(shape, field)
    checkOrder(patch ?? [], order, rule.key, where)
    if (before === undefined && patch === undefined) return
    rest.delete(field)
    const list =
      patch === undefined ? before : before === undefined ? fresh(patch) : this.#values(before, patch, rule, where)
    if (!isList(list)) return
    const nameOf = rule.key === undefined ? (item: Json) => item : nameBy(rule.key, where)
    const old = rule.key === undefined ? (before ?? []) : oldNames(before ?? [], patch ?? [], rule.key, nameOf, where)
    merged.set(field, arrange(list, order.map(nameOf), old, nameOf))
  }
}
