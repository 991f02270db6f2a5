/** Reads fields of a document that a schema has passed, and gathers what is still wrong with it. */
import { parseDuration } from '../calendar/duration.ts'
import { isObject, type Json, type JsonObject } from '../model/json.ts'

/** One mistake: where, and why, as a sentence. */
export interface Refusal {
  readonly path: string
  readonly because: string
}

export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly refused: readonly Refusal[] }

export interface Gathering {
  readonly refused: Refusal[]
}

export function refuse(into: Gathering, path: string, because: string): void {
  into.refused.push({ path, because })
}

export function textOf(value: Json | undefined): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

export function objectOf(value: Json | undefined): JsonObject {
  return isObject(value) ? value : {}
}

export function listOf(value: Json | undefined): readonly Json[] {
  return Array.isArray(value) ? value : []
}

export function textsOf(value: Json | undefined): readonly string[] {
  return listOf(value).filter((item): item is string => typeof item === 'string')
}

export function textMapOf(value: Json | undefined): Readonly<Record<string, string>> {
  const entries = Object.entries(objectOf(value)).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  )
  return Object.fromEntries(entries)
}

/** A whole number not below `least`; absent: undefined; anything else is refused. */
export function countOf(into: Gathering, value: Json | undefined, path: string, least: number): number | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least) return value
  refuse(into, path, `must be a whole number of ${least} or more, not ${JSON.stringify(value)}`)
  return undefined
}

export function durationOf(into: Gathering, value: Json | undefined, path: string): number | undefined {
  if (value === undefined || value === null) return undefined
  const ms = typeof value === 'string' ? parseDuration(value) : undefined
  if (ms === undefined) refuse(into, path, `must be a duration such as 90s or 1h30m, not ${JSON.stringify(value)}`)
  return ms
}
