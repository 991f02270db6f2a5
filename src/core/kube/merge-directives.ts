/** What the directives of a strategic merge patch do, and the small parts that a merge is made of. */
import { isObject, type Json, type JsonObject } from '../model/json.ts'

export const PATCH = '$patch'
export const RETAIN = '$retainKeys'
export const DELETE_LIST = '$deleteFromPrimitiveList/'
export const ORDER = '$setElementOrder/'

/** Leaves a deep recursion; never leaves strategicMerge. */
export class Refused extends Error {
  readonly path: string
  constructor(path: string, because: string) {
    super(because)
    this.path = path
  }
}

export type Fields = Map<string, Json | undefined>

/** Clears what `$retainKeys` does not name; a patch that sets another field is refused. */
export function retainKeys(merged: Fields, rest: Fields, path: string): void {
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

export function deleteScalars(
  merged: Fields,
  field: string,
  before: Json | undefined,
  values: Json,
  path: string,
): void {
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
export function takeDirectives(
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
export function checkOrder(
  patch: readonly Json[],
  order: readonly Json[],
  key: string | undefined,
  path: string,
): void {
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
export function oldNames(
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

/**
 * A value that stands where nothing stood: without nulls, and without directives, which have nothing to direct here. Kubernetes
 * leaves some of both behind in new list elements, and a second merge of the same patch then changes the object again.
 */
export function fresh(value: Json): Json | undefined {
  if (isList(value)) return value.map(fresh).filter((item) => item !== undefined)
  if (!isObject(value)) return value
  if (value[PATCH] !== undefined) return undefined
  const entries = Object.entries(value).flatMap(([key, item]): [string, Json][] => {
    const isDirective = key === RETAIN || key.startsWith(ORDER) || key.startsWith(DELETE_LIST)
    const kept = isDirective || item === null || item === undefined ? undefined : fresh(item)
    return kept === undefined ? [] : [[key, kept]]
  })
  return Object.fromEntries(entries)
}

export function setOrDelete(merged: Fields, field: string, value: Json | undefined): void {
  if (value === undefined) merged.delete(field)
  else merged.set(field, value)
}

export function nameBy(key: string, path: string): (item: Json) => Json {
  return (item) => {
    const name = isObject(item) ? item[key] : undefined
    if (name === undefined) throw new Refused(path, `an element has no ${key}`)
    return name
  }
}

type Form = 'map' | 'list' | 'scalar' | 'string' | 'number' | 'boolean'

/** All elements must be of one form, and lists of lists do not merge. */
export function elementForm(lists: readonly (readonly Json[])[], path: string): Form {
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

export function sameForm(a: Json, b: Json): boolean {
  return formOf(a) === formOf(b)
}

export function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value)
}

export function without(map: JsonObject, key: string): JsonObject {
  return Object.fromEntries(Object.entries(map).filter(([name]) => name !== key))
}
