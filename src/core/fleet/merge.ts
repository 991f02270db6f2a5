/** Merging of vars over the layers: maps merge deeply, everything else replaces. */
import { isObject, jsonEqual, type Json, type JsonObject } from '../model/json.ts'
import type { Path } from './yaml-text.ts'

export function mergeDeep(weaker: JsonObject, stronger: JsonObject): JsonObject {
  const merged: Record<string, Json | undefined> = Object.create(null) as Record<string, Json | undefined>
  for (const key of Object.keys(weaker)) merged[key] = weaker[key]
  for (const key of Object.keys(stronger)) {
    const below = merged[key]
    const above = stronger[key]
    merged[key] = isObject(below) && isObject(above) ? mergeDeep(below, above) : above
  }
  return merged
}

/** Paths at which both say something, and not the same. */
export function disagreements(a: JsonObject, b: JsonObject, path: Path = []): readonly Path[] {
  const found: Path[] = []
  for (const key of Object.keys(a)) {
    const left = a[key]
    const right = b[key]
    if (left === undefined || right === undefined) continue
    if (isObject(left) && isObject(right)) found.push(...disagreements(left, right, [...path, key]))
    else if (!jsonEqual(left, right)) found.push([...path, key])
  }
  return found
}
