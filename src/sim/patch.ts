/** The two patches that a cluster takes besides apply. Both make a copy. */
import { Fault } from '../core/model/fault.ts'
import { isObject, jsonEqual, type Json, type JsonObject } from '../core/model/json.ts'

/** RFC 7386: null removes, objects merge, everything else replaces. */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch
  const merged: Record<string, Json | undefined> = { ...(isObject(target) ? target : {}) }
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key]
    else if (value !== undefined) merged[key] = mergePatch(merged[key], value)
  }
  return merged
}

/** RFC 6902. Fault Rejected where a test fails or a path is not there. */
export function jsonPatch(target: Json, operations: readonly JsonObject[]): Json {
  let document: Json = structuredClone(target)
  for (const operation of operations) document = perform(document, operation)
  return document
}

type Holder = { [key: string]: Json } | Json[]

function perform(document: Json, operation: JsonObject): Json {
  const path = pointer(operation['path'])
  switch (operation['op']) {
    case 'test':
      if (!jsonEqual(read(document, path), operation['value'])) throw refused(operation, 'testing value failed')
      return document
    case 'add':
      return write(document, path, operation['value'] as Json, 'add', operation)
    case 'replace':
      return write(document, path, operation['value'] as Json, 'replace', operation)
    case 'remove':
      return write(document, path, undefined, 'remove', operation)
    case 'copy':
    case 'move': {
      const from = pointer(operation['from'])
      const value = read(document, from)
      if (value === undefined) throw refused(operation, 'nothing is there')
      const rest = operation['op'] === 'move' ? write(document, from, undefined, 'remove', operation) : document
      return write(rest, path, structuredClone(value), 'add', operation)
    }
    default:
      throw refused(operation, 'no such operation')
  }
}

function pointer(path: Json | undefined): string[] {
  if (path === '') return []
  if (typeof path !== 'string' || !path.startsWith('/'))
    throw new Fault('Rejected', `not a JSON pointer: ${JSON.stringify(path)}`)
  return path
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function read(document: Json, path: readonly string[]): Json | undefined {
  return path.reduce<Json | undefined>((at, key) => {
    if (Array.isArray(at)) return (at as readonly Json[])[Number(key)]
    return isObject(at) ? at[key] : undefined
  }, document)
}

function write(
  document: Json,
  path: readonly string[],
  value: Json | undefined,
  mode: 'add' | 'replace' | 'remove',
  operation: JsonObject,
): Json {
  const last = path.at(-1)
  if (last === undefined) return value ?? null
  const holder = read(document, path.slice(0, -1)) as Holder | undefined
  if (Array.isArray(holder)) {
    const at = last === '-' && mode === 'add' ? holder.length : Number(last)
    if (!Number.isInteger(at) || at < 0 || at > holder.length - (mode === 'add' ? 0 : 1))
      throw refused(operation, 'index is out of bounds')
    if (mode === 'add') holder.splice(at, 0, value as Json)
    else if (mode === 'remove') holder.splice(at, 1)
    else holder[at] = value as Json
  } else if (isObject(holder)) {
    if (mode !== 'add' && holder[last] === undefined) throw refused(operation, 'nothing is there')
    if (mode === 'remove') delete holder[last]
    else holder[last] = value as Json
  } else throw refused(operation, 'nothing is there')
  return document
}

function refused(operation: JsonObject, because: string): Fault {
  return new Fault('Rejected', `patch ${operation['op'] as string} ${operation['path'] as string}: ${because}`, {
    facts: { status: 422 },
  })
}
