/** Typed values under server-side apply: which fields a value has, what changed between two, merging, and taking fields out. */
import { isObject, jsonEqual, type Json, type JsonObject } from '../core/model/json.ts'
import { at, isEmpty, noFields, type Fields } from './fields.ts'
import { childSchema, itemElement, type Schema } from './schema.ts'

type Shape = 'map' | 'list-map' | 'set' | 'leaf'

function shapeOf(schema: Schema | undefined, value: Json | undefined): Shape {
  if (schema?.merge === 'atomic') return 'leaf'
  if (Array.isArray(value)) return schema?.merge === 'list-map' || schema?.merge === 'set' ? schema.merge : 'leaf'
  return isObject(value) ? 'map' : 'leaf'
}

/** The parts of a composite value, by path element, in their order. */
function partsOf(
  schema: Schema | undefined,
  value: Json | undefined,
): Map<string, { value: Json; schema: Schema | undefined }> {
  const parts = new Map<string, { value: Json; schema: Schema | undefined }>()
  if (Array.isArray(value)) {
    for (const item of value as readonly Json[]) {
      if (schema?.merge === 'list-map') parts.set(itemElement(schema.keys, item), { value: item, schema: schema.item })
      else parts.set(`v:${JSON.stringify(item)}`, { value: item, schema: undefined })
    }
  } else if (isObject(value)) {
    for (const key of Object.keys(value)) {
      const child = value[key]
      if (child !== undefined) parts.set(`f:${key}`, { value: child, schema: childSchema(schema, key) })
    }
  }
  return parts
}

/** The fields that an applied configuration claims: leaves, items of list maps and sets, and empty composites. */
export function fieldsOf(schema: Schema | undefined, value: Json): Fields {
  const shape = shapeOf(schema, value)
  const fields = noFields()
  const parts = shape === 'leaf' ? undefined : partsOf(schema, value)
  if (parts === undefined || (parts.size === 0 && shape === 'map')) {
    fields.member = true
    return fields
  }
  for (const [element, part] of parts) {
    const child = fieldsOf(part.schema, part.value)
    if (shape !== 'map') child.member = true
    fields.children.set(element, child)
  }
  return fields
}

export interface Comparison {
  readonly added: Fields
  readonly modified: Fields
  readonly removed: Fields
}

export function compare(schema: Schema | undefined, before: Json | undefined, after: Json | undefined): Comparison {
  const result: Comparison = { added: noFields(), modified: noFields(), removed: noFields() }
  compareInto(result.added, result.modified, result.removed, schema, before, after)
  return result
}

function compareInto(
  added: Fields,
  modified: Fields,
  removed: Fields,
  schema: Schema | undefined,
  before: Json | undefined,
  after: Json | undefined,
): void {
  if (before === undefined && after === undefined) return
  if (before === undefined) added.member = true
  if (after === undefined) removed.member = true
  const shape = shapeOf(schema, after ?? before)
  const comparable = before === undefined || after === undefined || shapeOf(schema, before) === shape
  if (shape === 'leaf' || !comparable) {
    if (before !== undefined && after !== undefined && !jsonEqual(before, after)) modified.member = true
    return
  }
  const old = partsOf(schema, before)
  const next = partsOf(schema, after)
  for (const element of new Set([...old.keys(), ...next.keys()])) {
    const [a, b] = [old.get(element), next.get(element)]
    if (a !== undefined && b !== undefined && a.value === b.value) continue
    compareInto(at(added, element), at(modified, element), at(removed, element), (b ?? a)?.schema, a?.value, b?.value)
  }
}

/** Live with the applied configuration laid over it. */
export function merge(schema: Schema | undefined, live: Json | undefined, applied: Json): Json {
  const shape = shapeOf(schema, applied)
  if (live === undefined || shape === 'leaf' || shapeOf(schema, live) !== shape) return applied
  if (shape === 'map') {
    const merged: Record<string, Json | undefined> = { ...(live as JsonObject) }
    for (const [key, value] of Object.entries(applied as JsonObject))
      if (value !== undefined) merged[key] = merge(childSchema(schema, key), merged[key], value)
    return merged
  }
  return mergeItems(schema, live, applied)
}

/** Items that both have in the order of the applied ones; items that only live has stay where they stood among them. */
function mergeItems(schema: Schema | undefined, live: Json, applied: Json): Json {
  const theirs = partsOf(schema, live)
  const mine = partsOf(schema, applied)
  const [left, right] = [[...theirs.keys()], [...mine.keys()]]
  const shared = right.filter((element) => theirs.has(element))
  const placed = new Set<string>()
  const merged: Json[] = []
  const place = (element: string): void => {
    const part = mine.get(element) as { value: Json; schema: Schema | undefined }
    placed.add(element)
    merged.push(merge(part.schema, theirs.get(element)?.value, part.value))
    if (shared[0] === element) shared.shift()
  }
  for (let l = 0, r = 0; l < left.length || r < right.length;) {
    const [theirNext, myNext] = [left[l], right[r]]
    if (theirNext !== undefined && theirNext === myNext) {
      place(myNext)
      l++
      r++
    } else if (theirNext !== undefined && !mine.has(theirNext)) {
      merged.push(theirs.get(theirNext)?.value as Json)
      l++
    } else if (theirNext !== undefined && (placed.has(theirNext) || (myNext !== undefined && shared[0] !== theirNext)))
      l++
    else if (myNext !== undefined) {
      place(myNext)
      r++
    }
  }
  return merged
}

/**
 * Takes out what `last` owned and nobody owns any more, with everything below it: an item that goes takes its defaulted fields
 * along, and a struct goes when no field below it has an owner. `undefined`: the whole value goes.
 */
export function takeOut(schema: Schema | undefined, value: Json, last: Fields, owned: Fields): Json | undefined {
  const shape = shapeOf(schema, value)
  if (shape === 'leaf') return isEmpty(last) || !isEmpty(owned) ? value : undefined
  const kept: [string, Json][] = []
  for (const [element, part] of partsOf(schema, value)) {
    const was = last.children.get(element)
    const now = owned.children.get(element)
    if (was === undefined || isEmpty(was)) kept.push([element, part.value])
    else if (now !== undefined && !isEmpty(now)) {
      const left = takeOut(part.schema, part.value, was, now)
      if (left !== undefined) kept.push([element, left])
    }
  }
  if (shape !== 'map') return kept.map(([, item]) => item)
  return Object.fromEntries(kept.map(([element, child]) => [element.slice(2), child]))
}
