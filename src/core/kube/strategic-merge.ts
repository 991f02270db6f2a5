/**
 * Strategic merge patches, as the API server applies them, and as kustomize does where it differs. Never changes its inputs.
 * The order of a merged list is: what $setElementOrder says, then the patch's order, then the object's.
 */
import { isObject, type Json, type JsonObject } from '../model/json.ts'
import { groupOf } from '../model/object.ts'
import { arrange } from './list-order.ts'
import { type FieldRule, shapeOfKind, SHAPES, type Shapes } from './merge-keys.ts'

export type Merged =
  | { readonly ok: true; readonly object: JsonObject }
  | { readonly ok: false; readonly because: string; readonly path: string }

export interface MergeOptions {
  /** Name in `shapes` of what is merged; undefined: no list merges. */
  readonly shape: string | undefined
  readonly shapes: Shapes
}

const PATCH = '$patch'
const RETAIN = '$retainKeys'
const DELETE_LIST = '$deleteFromPrimitiveList/'
const ORDER = '$setElementOrder/'

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

/** Leaves a deep recursion; never leaves this file. */
class Refused extends Error {
  readonly path: string
  constructor(path: string, because: string) {
    super(because)
    this.path = path
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
    for (const [key, value] of rest) {
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
      if (found === undefined) merged.push(element)
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

type Fields = Map<string, Json | undefined>

/** Clears what `$retainKeys` does not name; a patch that sets another field is refused. */
function retainKeys(merged: Fields, rest: Fields, path: string): void {
  const list = rest.get(RETAIN)
  if (list === undefined) return
  rest.delete(RETAIN)
  if (!isList(list)) throw new Refused(`${path}/${RETAIN}`, 'must be a list')
  const retained = new Set(list)
  for (const [key, value] of rest) {
    if (value === null || value === undefined || key.startsWith(DELETE_LIST) || key.startsWith(ORDER)) continue
    if (!retained.has(key)) throw new Refused(path, `${RETAIN} does not name ${key}, which the patch sets`)
  }
  for (const key of merged.keys()) if (!retained.has(key)) merged.delete(key)
}

function deleteScalars(merged: Fields, field: string, before: Json | undefined, values: Json, path: string): void {
  if (!isList(values)) throw new Refused(path, 'must be a list')
  if (!isList(before) || (before.length === 0 && values.length === 0)) return
  if (elementForm([before, values], path) === 'map') throw new Refused(path, 'is for lists of scalars')
  const gone = new Set(values)
  merged.set(
    field,
    before.filter((item) => !gone.has(item)),
  )
}

/** Carries out `$patch` on elements: what is kept of the list, and what is left of the patch. */
function takeDirectives(
  before: readonly JsonObject[],
  patch: readonly JsonObject[],
  key: string,
  path: string,
): { readonly kept: readonly JsonObject[]; readonly patches: readonly JsonObject[] } {
  const patches = patch.filter((element) => element[PATCH] === undefined)
  let kept = before
  let replace = false
  for (const element of patch) {
    const directive = element[PATCH]
    if (directive === 'replace') replace = true
    else if (directive === 'delete') {
      const name = nameBy(key, path)(element)
      kept = kept.filter((item) => item[key] !== name)
    } else if (directive !== undefined)
      throw new Refused(path, `$patch: ${JSON.stringify(directive)} is not one for a list element`)
  }
  return replace ? { kept: patches, patches: [] } : { kept, patches }
}

/** The patch's elements must stand in the order list, in its order; deletions need not. */
function checkOrder(patch: readonly Json[], order: readonly Json[], key: string | undefined, path: string): void {
  if (patch.length === 0 || order.length === 0) return
  const nameOf = key === undefined ? (item: Json) => item : nameBy(key, path)
  let at = 0
  for (const element of patch) {
    if (isObject(element) && element[PATCH] !== undefined) continue
    const name = nameOf(element)
    while (at < order.length && nameOf(order[at] as Json) !== name) at++
    if (at++ >= order.length)
      throw new Refused(path, `${ORDER.slice(0, -1)} does not name ${JSON.stringify(name)} there`)
  }
}

/**
 * The names of a list before the patch, as the API server sees them when it orders: the places of deleted elements are taken
 * by new ones, so that one deleted and one added element count as a change in place at the end of the list.
 */
function oldNames(
  before: readonly Json[],
  patch: readonly Json[],
  key: string,
  nameOf: (item: Json) => Json,
  path: string,
): readonly Json[] {
  const { kept, patches } = takeDirectives(before as JsonObject[], patch as JsonObject[], key, path)
  const names = kept.map(nameOf)
  const added = patches.map(nameOf).filter((name) => !names.includes(name))
  return [...names, ...added.slice(0, Math.max(0, before.length - kept.length))]
}

/** A value that stands where nothing stood: without nulls, and without the elements and fields that are directives. */
function fresh(value: Json): Json | undefined {
  if (isList(value)) return value.map(fresh).filter((item) => item !== undefined)
  if (!isObject(value)) return value
  if (value[PATCH] !== undefined) return undefined
  const entries = Object.entries(value).flatMap(([key, item]): [string, Json][] => {
    const kept = item === null || item === undefined ? undefined : fresh(item)
    return kept === undefined ? [] : [[key, kept]]
  })
  return Object.fromEntries(entries)
}

function setOrDelete(merged: Fields, field: string, value: Json | undefined): void {
  if (value === undefined) merged.delete(field)
  else merged.set(field, value)
}

function nameBy(key: string, path: string): (item: Json) => Json {
  return (item) => {
    const name = isObject(item) ? item[key] : undefined
    if (name === undefined) throw new Refused(path, `an element has no ${key}`)
    return name
  }
}

type Form = 'map' | 'list' | 'scalar' | 'string' | 'number' | 'boolean'

/** All elements must be of one form, and lists of lists do not merge. */
function elementForm(lists: readonly (readonly Json[])[], path: string): Form {
  const forms = new Set(lists.flatMap((list) => list.map(formOf)))
  if (forms.size > 1) throw new Refused(path, 'the elements are not all of one type')
  if (forms.has('list')) throw new Refused(path, 'lists of lists do not merge')
  return [...forms][0] ?? 'scalar'
}

function formOf(value: Json): Form {
  if (isList(value)) return 'list'
  if (isObject(value)) return 'map'
  return value === null ? 'scalar' : (typeof value as Form)
}

function sameForm(a: Json, b: Json): boolean {
  return formOf(a) === formOf(b)
}

function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value)
}

function without(map: JsonObject, key: string): JsonObject {
  return Object.fromEntries(Object.entries(map).filter(([name]) => name !== key))
}
