import { isObject, type Json, type JsonObject } from '../core/model/json.ts'

/**
 * A set of fields as a tree of path elements: `f:name`, `k:{"name":"web"}` for an item of a list map, `v:"x"` for one of a set.
 * A node that is a member owns the value at its path; its children are further members below it.
 */
export interface Fields {
  member: boolean
  readonly children: Map<string, Fields>
}

export function noFields(): Fields {
  return { member: false, children: new Map() }
}

export function isEmpty(fields: Fields): boolean {
  if (fields.member) return false
  for (const child of fields.children.values()) if (!isEmpty(child)) return false
  return true
}

/** The node at one element, made where it is not there. */
export function at(fields: Fields, element: string): Fields {
  let child = fields.children.get(element)
  if (child === undefined) {
    child = noFields()
    fields.children.set(element, child)
  }
  return child
}

/** From `fieldsV1`: a leaf `{}` is a member, `.` marks a member that has children. */
export function parseFields(json: Json | undefined): Fields {
  return parseNode(json, false)
}

function parseNode(json: Json | undefined, leafIsMember: boolean): Fields {
  const node = noFields()
  if (!isObject(json)) return node
  const keys = Object.keys(json)
  node.member = (leafIsMember && keys.length === 0) || json['.'] !== undefined
  for (const key of keys) if (key !== '.') node.children.set(key, parseNode(json[key], true))
  return node
}

export function formatFields(fields: Fields): JsonObject {
  const json: Record<string, Json> = {}
  if (fields.member && fields.children.size > 0) json['.'] = {}
  for (const key of [...fields.children.keys()].toSorted()) {
    const child = fields.children.get(key) as Fields
    if (!isEmpty(child)) json[key] = formatFields(child)
  }
  return json
}

function combine(a: Fields, b: Fields, member: (a: boolean, b: boolean) => boolean): Fields {
  const result: Fields = { member: member(a.member, b.member), children: new Map() }
  for (const key of new Set([...a.children.keys(), ...b.children.keys()])) {
    const child = combine(a.children.get(key) ?? noFields(), b.children.get(key) ?? noFields(), member)
    if (child.member || child.children.size > 0) result.children.set(key, child)
  }
  return result
}

export function union(a: Fields, b: Fields): Fields {
  return combine(a, b, (x, y) => x || y)
}

export function intersection(a: Fields, b: Fields): Fields {
  return combine(a, b, (x, y) => x && y)
}

export function difference(a: Fields, b: Fields): Fields {
  return combine(a, b, (x, y) => x && !y)
}

export function sameFields(a: Fields, b: Fields): boolean {
  return isEmpty(combine(a, b, (x, y) => x !== y))
}

/** Members as people write them: `.spec.template.spec.containers[name="web"].image`. */
export function pathsOf(fields: Fields, prefix = ''): readonly string[] {
  const paths = fields.member ? [prefix] : []
  for (const [element, child] of fields.children) paths.push(...pathsOf(child, prefix + formatElement(element)))
  return paths
}

function formatElement(element: string): string {
  const rest = element.slice(2)
  if (element.startsWith('f:')) return `.${rest}`
  if (element.startsWith('v:')) return `[=${rest}]`
  if (element.startsWith('i:')) return `[${rest}]`
  const keys = JSON.parse(rest) as JsonObject
  return `[${Object.keys(keys)
    .map((key) => `${key}=${JSON.stringify(keys[key])}`)
    .join(',')}]`
}
