import { isObject, type Json, type JsonObject } from '../core/model/json.ts'
import { BUILT_IN_TYPES } from './schema-table.ts'

/**
 * How one position merges under server-side apply. `undefined` is the loose rule of positions that no schema names: objects are
 * granular, lists and scalars are replaced whole.
 */
export type Schema =
  | { readonly merge: 'atomic' }
  | { readonly merge: 'map'; readonly fields: ReadonlyMap<string, Schema>; readonly rest?: Schema | undefined }
  | { readonly merge: 'list-map'; readonly keys: readonly string[]; readonly item: Schema | undefined }
  | { readonly merge: 'set' }

const ATOMIC: Schema = { merge: 'atomic' }
const SET: Schema = { merge: 'set' }

const types = new Map<string, Schema>()
const typeOfKind = new Map<string, string>()

function load(): void {
  const lines = new Map<string, readonly string[]>()
  for (const line of BUILT_IN_TYPES.trim().split('\n')) {
    const [head = '', ...fields] = line.split(' ')
    const [name = '', kind] = head.split('=')
    lines.set(name, fields)
    if (kind !== undefined) typeOfKind.set(kind, name)
  }
  const resolve = (name: string): Schema | undefined => {
    const done = types.get(name)
    const line = lines.get(name)
    if (done !== undefined || line === undefined) return done
    const fields = new Map<string, Schema>()
    types.set(name, { merge: 'map', fields })
    for (const field of line) {
      const match = /^([^![:]+)(!|\[=\]|\[([^\]]+)\])?(?::(.+))?$/.exec(field)
      if (match === null) throw new TypeError(`schema table: ${field}`)
      const [, key = '', mark, keys, type] = match
      if (mark === '!') fields.set(key, ATOMIC)
      else if (mark === '[=]') fields.set(key, SET)
      else if (keys !== undefined)
        fields.set(key, { merge: 'list-map', keys: keys.split(','), item: resolve(type ?? '') })
      else fields.set(key, resolve(type ?? '') ?? { merge: 'map', fields: new Map() })
    }
    return types.get(name)
  }
  for (const name of lines.keys()) resolve(name)
}

const byKind = new Map<string, Schema>()

/** Schema of a built-in kind in a version. */
export function builtInSchema(group: string, version: string, kind: string): Schema {
  const key = `${group}/${version}/${kind}`
  const known = byKind.get(key)
  if (known !== undefined) return known
  if (types.size === 0) load()
  const schema = withMetadata(types.get(typeOfKind.get(key) ?? ''))
  byKind.set(key, schema)
  return schema
}

function withMetadata(schema: Schema | undefined): Schema {
  if (types.size === 0) load()
  const fields = new Map(schema?.merge === 'map' ? schema.fields : [])
  fields.set('metadata', types.get('ObjectMeta') as Schema)
  return { merge: 'map', fields, rest: schema?.merge === 'map' ? schema.rest : undefined }
}

/** Schema of a custom kind, from the OpenAPI of its CustomResourceDefinition. */
export function customSchema(openApi: Json | undefined): Schema {
  return withMetadata(fromOpenApi(openApi))
}

function fromOpenApi(node: Json | undefined): Schema | undefined {
  if (!isObject(node)) return undefined
  const listType = node['x-kubernetes-list-type']
  if (node['type'] === 'array' || node['items'] !== undefined) {
    if (listType === 'set') return SET
    if (listType !== 'map') return ATOMIC
    return {
      merge: 'list-map',
      keys: node['x-kubernetes-list-map-keys'] as readonly string[],
      item: fromOpenApi(node['items']),
    }
  }
  if (node['x-kubernetes-map-type'] === 'atomic') return ATOMIC
  const properties = isObject(node['properties']) ? node['properties'] : undefined
  const rest = fromOpenApi(node['additionalProperties'])
  if (properties === undefined && rest === undefined) return undefined
  const fields = new Map<string, Schema>()
  for (const [key, child] of Object.entries(properties ?? {})) {
    const schema = fromOpenApi(child)
    if (schema !== undefined) fields.set(key, schema)
  }
  return { merge: 'map', fields, rest }
}

export function childSchema(schema: Schema | undefined, key: string): Schema | undefined {
  return schema?.merge === 'map' ? (schema.fields.get(key) ?? schema.rest) : undefined
}

/** Fields that are part of a list key although most people leave them out. */
const KEY_DEFAULTS: JsonObject = { protocol: 'TCP' }

/** The `k:{…}` element that names an item of a list map. */
export function itemElement(keys: readonly string[], item: Json): string {
  const named: Record<string, Json> = {}
  for (const key of keys.toSorted()) {
    const value = isObject(item) ? (item[key] ?? KEY_DEFAULTS[key]) : undefined
    if (value !== undefined) named[key] = value
  }
  return `k:${JSON.stringify(named)}`
}
