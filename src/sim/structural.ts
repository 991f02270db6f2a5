/** Custom objects against the OpenAPI of their CustomResourceDefinition: unknown fields go, defaults come, the rest is judged. */
import { isObject, jsonEqual, type Json, type JsonObject } from '../core/model/json.ts'

/** A copy without fields that the schema does not know; `metadata`, `apiVersion` and `kind` of the root stay. */
export function withoutUnknown(schema: Json | undefined, value: Json, root: 'root' | 'nested' = 'root'): Json {
  if (!isObject(schema) || schema['x-kubernetes-preserve-unknown-fields'] === true) return value
  if (Array.isArray(value))
    return (value as readonly Json[]).map((item) => withoutUnknown(schema['items'], item, 'nested'))
  if (!isObject(value)) return value
  const properties = isObject(schema['properties']) ? schema['properties'] : {}
  const rest = schema['additionalProperties']
  const kept: Record<string, Json> = {}
  for (const [key, child] of Object.entries(value)) {
    if (child === undefined) continue
    if (root === 'root' && (key === 'metadata' || key === 'apiVersion' || key === 'kind')) kept[key] = child
    else if (properties[key] !== undefined) kept[key] = withoutUnknown(properties[key], child, 'nested')
    else if (rest === true) kept[key] = child
    else if (isObject(rest)) kept[key] = withoutUnknown(rest, child, 'nested')
  }
  return kept
}

export function withDefaults(schema: Json | undefined, value: Json): Json {
  if (!isObject(schema)) return value
  if (Array.isArray(value)) return (value as readonly Json[]).map((item) => withDefaults(schema['items'], item))
  if (!isObject(value)) return value
  const filled: Record<string, Json | undefined> = { ...value }
  const properties = isObject(schema['properties']) ? schema['properties'] : {}
  for (const [key, child] of Object.entries(properties)) {
    if (filled[key] === undefined && isObject(child) && child['default'] !== undefined) filled[key] = child['default']
    const present = filled[key]
    if (present !== undefined) filled[key] = withDefaults(child, present)
  }
  const rest = schema['additionalProperties']
  if (isObject(rest))
    for (const [key, child] of Object.entries(value))
      if (child !== undefined && properties[key] === undefined) filled[key] = withDefaults(rest, child)
  return filled
}

export interface Objection {
  readonly field: string
  readonly message: string
}

export function judge(schema: Json | undefined, value: Json, field = ''): readonly Objection[] {
  if (!isObject(schema)) return []
  if (value === null) return schema['nullable'] === true ? [] : [{ field, message: 'must not be null' }]
  const wrongType = judgeType(schema, value)
  if (wrongType !== undefined) return [{ field, message: wrongType }]
  const found: Objection[] = judgeValue(schema, value).map((message) => ({ field, message }))
  if (Array.isArray(value)) {
    for (const [i, item] of (value as readonly Json[]).entries())
      found.push(...judge(schema['items'], item, `${field}[${i}]`))
  } else if (isObject(value)) {
    for (const key of (schema['required'] ?? []) as readonly string[])
      if (value[key] === undefined) found.push({ field: join(field, key), message: 'Required value' })
    const properties = isObject(schema['properties']) ? schema['properties'] : {}
    for (const [key, child] of Object.entries(value)) {
      if (child === undefined || (field === '' && key === 'metadata')) continue
      found.push(...judge(properties[key] ?? schema['additionalProperties'], child, join(field, key)))
    }
  }
  return found
}

function join(field: string, key: string): string {
  return field === '' ? key : `${field}.${key}`
}

function judgeType(schema: JsonObject, value: Json): string | undefined {
  if (schema['x-kubernetes-int-or-string'] === true)
    return typeof value === 'string' || Number.isInteger(value) ? undefined : 'must be an integer or a string'
  const type = schema['type']
  const is = Array.isArray(value) ? 'array' : typeof value
  if (type === undefined || type === is) return undefined
  if (type === 'integer' && Number.isInteger(value)) return undefined
  return `Invalid value: must be of type ${type as string}: "${is}"`
}

function judgeValue(schema: JsonObject, value: Json): string[] {
  const found: string[] = []
  const say = (rule: string, holds: (limit: Json) => boolean): void => {
    const limit = schema[rule]
    if (limit !== undefined && !holds(limit)) found.push(`Invalid value: ${rule} is ${JSON.stringify(limit)}`)
  }
  const length = typeof value === 'string' || Array.isArray(value) ? value.length : undefined
  if (typeof value === 'number') {
    say('minimum', (limit) => value >= (limit as number))
    say('maximum', (limit) => value <= (limit as number))
  }
  if (typeof value === 'string') {
    say('minLength', (limit) => (length as number) >= (limit as number))
    say('maxLength', (limit) => (length as number) <= (limit as number))
    // Patterns of a CustomResourceDefinition: whoever writes one already rules this cluster.
    say('pattern', (limit) => new RegExp(limit as string, 'u').test(value))
  }
  if (Array.isArray(value)) {
    say('minItems', (limit) => (length as number) >= (limit as number))
    say('maxItems', (limit) => (length as number) <= (limit as number))
  }
  say('enum', (limit) => (limit as readonly Json[]).some((allowed) => jsonEqual(allowed, value)))
  return found
}
