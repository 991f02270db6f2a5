/** Reading fields of objects from outside: what is not of the expected form reads as absent, so no input can throw. */
import { isObject, type JsonObject } from '../model/json.ts'

const NONE: JsonObject = Object.freeze({})
const EMPTY: readonly JsonObject[] = Object.freeze([])
const NO_TEXTS: readonly string[] = Object.freeze([])

export function objectAt(value: JsonObject, key: string): JsonObject {
  const found = value[key]
  return isObject(found) ? found : NONE
}

export function has(value: JsonObject, key: string): boolean {
  return value[key] !== undefined && value[key] !== null
}

export function listAt(value: JsonObject, key: string): readonly JsonObject[] {
  const found = value[key]
  if (!Array.isArray(found) || found.length === 0) return EMPTY
  return found.every(isObject) ? found : found.filter(isObject)
}

export function textsAt(value: JsonObject, key: string): readonly string[] {
  const found = value[key]
  return Array.isArray(found) ? found.filter((item): item is string => typeof item === 'string') : NO_TEXTS
}

/** Labels or annotations: a map of texts. */
export function textsByKey(value: JsonObject, key: string): Readonly<Record<string, string>> {
  const found = objectAt(value, key)
  for (const name in found)
    if (typeof found[name] !== 'string')
      return Object.fromEntries(Object.entries(found).filter(([, one]) => typeof one === 'string')) as Record<
        string,
        string
      >
  return found as Readonly<Record<string, string>>
}

export function textAt(value: JsonObject, key: string): string {
  const found = value[key]
  return typeof found === 'string' ? found : ''
}

export function numberAt(value: JsonObject, key: string, otherwise: number): number {
  const found = value[key]
  return typeof found === 'number' && Number.isFinite(found) ? found : otherwise
}

/** Milliseconds of an RFC 3339 time; `otherwise` where it is absent or not one. */
export function timeAt(value: JsonObject, key: string, otherwise: number): number {
  const found = value[key]
  if (typeof found !== 'string') return otherwise
  const ms = Date.parse(found)
  return Number.isNaN(ms) ? otherwise : ms
}
