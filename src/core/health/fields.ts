/** Reads fields of an object that anyone may have written: what has not the form it should have counts as absent. */
import { isObject, type Json, type JsonObject } from '../model/json.ts'

export function fieldAt(object: Json | undefined, ...path: readonly string[]): Json | undefined {
  let value = object
  for (const name of path) value = isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined
  return value
}

export function textAt(object: Json | undefined, ...path: readonly string[]): string {
  const value = fieldAt(object, ...path)
  return typeof value === 'string' ? value : ''
}

export function numberAt(object: Json | undefined, ...path: readonly string[]): number | undefined {
  const value = fieldAt(object, ...path)
  return typeof value === 'number' ? value : undefined
}

/** 0 where there is none. */
export function countAt(object: Json | undefined, ...path: readonly string[]): number {
  return numberAt(object, ...path) ?? 0
}

/** The maps of a list; other elements are passed over. */
export function mapsAt(object: Json | undefined, ...path: readonly string[]): readonly JsonObject[] {
  const value = fieldAt(object, ...path)
  return Array.isArray(value) ? (value as readonly Json[]).filter(isObject) : []
}

export interface ReadCondition {
  readonly type: string
  readonly status: string
  readonly reason: string
  readonly message: string
}

export function conditionsOf(object: Json | undefined): readonly ReadCondition[] {
  return mapsAt(object, 'status', 'conditions').map(readCondition)
}

export function readCondition(condition: JsonObject): ReadCondition {
  return {
    type: textAt(condition, 'type'),
    status: textAt(condition, 'status'),
    reason: textAt(condition, 'reason'),
    message: textAt(condition, 'message'),
  }
}

export function conditionOf(object: Json | undefined, type: string): ReadCondition | undefined {
  return conditionsOf(object).find((condition) => condition.type === type)
}
