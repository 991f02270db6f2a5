/** JSON Patch, RFC 6902: all or nothing, and never a change to the input. */
import { isObject, type Json, jsonEqual, type JsonObject } from '../model/json.ts'
import { indexOf, parsePointer } from './json-pointer.ts'

export type Patched =
  | { readonly ok: true; readonly doc: Json }
  /** `index` of the operation, and the pointer at which it could not go on. */
  | { readonly ok: false; readonly index: number; readonly pointer: string; readonly because: string }

/** As many as the API server takes. */
const MAX_OPERATIONS = 10_000
/** All copies of one patch together, in values: a few copies of copies would otherwise outgrow any memory when written out. */
const MAX_COPIED_VALUES = 1_000_000

/** Applies `patch`, a list of operations as parsed from JSON or YAML; members that the RFC does not name are ignored. */
export function applyJsonPatch(doc: Json, patch: Json): Patched {
  if (!Array.isArray(patch))
    return { ok: false, index: 0, pointer: '', because: 'a JSON patch is a list of operations' }
  if (patch.length > MAX_OPERATIONS)
    return { ok: false, index: MAX_OPERATIONS, pointer: '', because: `more than ${MAX_OPERATIONS} operations` }
  let result = doc
  let copied = 0
  for (const [index, operation] of (patch as readonly Json[]).entries()) {
    const step = readOperation(operation)
    if (!step.ok) return { ok: false, index, pointer: step.at, because: step.because }
    if (step.op === 'copy') {
      const source = read(result, step.from)
      if (source.ok) copied += countValues(source.value, MAX_COPIED_VALUES - copied)
      if (copied >= MAX_COPIED_VALUES) return { ok: false, index, pointer: step.at, because: 'copies too much' }
    }
    const next = perform(result, step)
    if (!next.ok) return { ok: false, index, pointer: next.at ?? step.at, because: next.because }
    result = next.value
  }
  return { ok: true, doc: result }
}

type Got = { readonly ok: true; readonly value: Json } | NotGot
interface NotGot {
  readonly ok: false
  readonly because: string
  /** Pointer, where it is not the operation's path. */
  readonly at?: string
}

interface Step {
  readonly ok: true
  readonly op: 'add' | 'remove' | 'replace' | 'move' | 'copy' | 'test'
  readonly at: string
  readonly path: readonly string[]
  readonly from: readonly string[]
  readonly fromText: string
  readonly value: Json
}

const OPS = new Set(['add', 'remove', 'replace', 'move', 'copy', 'test'])

function readOperation(operation: Json): Step | { readonly ok: false; readonly at: string; readonly because: string } {
  const refuse = (because: string, at = '') => ({ ok: false as const, at, because })
  if (!isObject(operation)) return refuse('an operation is a map with op and path')
  const { op, path: at, from: fromText, value } = operation
  if (typeof op !== 'string' || !OPS.has(op)) return refuse(`${JSON.stringify(op ?? null)} is not an operation`)
  if (typeof at !== 'string') return refuse(`${op} needs a path`)
  const path = parsePointer(at)
  if (path === undefined) return refuse(`"${at}" is not a JSON pointer`, at)
  const takesFrom = op === 'move' || op === 'copy'
  if (takesFrom && typeof fromText !== 'string') return refuse(`${op} needs a from`, at)
  const from = takesFrom ? parsePointer(fromText as string) : []
  if (from === undefined) return refuse(`${JSON.stringify(fromText)} is not a JSON pointer`, at)
  const takesValue = op === 'add' || op === 'replace' || op === 'test'
  if (takesValue && value === undefined) return refuse(`${op} needs a value`, at)
  return {
    ok: true,
    op: op as Step['op'],
    at,
    path,
    from,
    fromText: takesFrom ? (fromText as string) : '',
    value: value ?? null,
  }
}

function perform(doc: Json, step: Step): Got {
  switch (step.op) {
    case 'add':
      return add(doc, step.path, step.value)
    case 'remove':
      return remove(doc, step.path)
    case 'replace':
      return change(doc, step.path, () => step.value)
    case 'test': {
      const found = read(doc, step.path)
      if (!found.ok) return found
      return jsonEqual(found.value, step.value) ? { ok: true, value: doc } : no('the value there is another')
    }
    case 'copy': {
      const found = read(doc, step.from)
      return found.ok ? add(doc, step.path, found.value) : { ...found, at: step.fromText }
    }
    case 'move': {
      const found = read(doc, step.from)
      if (!found.ok) return { ...found, at: step.fromText }
      if (step.fromText === step.at) return { ok: true, value: doc }
      if (`${step.at}/`.startsWith(`${step.fromText}/`)) return no('a value cannot be moved into itself')
      const without = remove(doc, step.from)
      return without.ok ? add(without.value, step.path, found.value) : without
    }
  }
}

function read(doc: Json, path: readonly string[]): Got {
  let value = doc
  for (const token of path) {
    const next = child(value, token)
    if (!next.ok) return next
    ;({ value } = next)
  }
  return { ok: true, value }
}

function child(value: Json, token: string): Got {
  if (Array.isArray(value)) {
    const index = indexOf(token, value.length)
    return index === undefined
      ? no(`the list there has no element ${token}`)
      : { ok: true, value: value[index] as Json }
  }
  if (!isObject(value)) return no(`there is neither a map nor a list to look up ${token} in`)
  const found = Object.hasOwn(value, token) ? value[token] : undefined
  return found === undefined ? no(`there is no ${token}`) : { ok: true, value: found }
}

/** The document with the value at `path` replaced by what `make` gives for it; only what is on the path is copied. */
function change(doc: Json, path: readonly string[], make: (value: Json) => Json): Got {
  return descend(doc, path, (value) => ({ ok: true, value: make(value) }))
}

function descend(doc: Json, path: readonly string[], make: (value: Json) => Got): Got {
  const [token, ...rest] = path
  if (token === undefined) return make(doc)
  const below = child(doc, token)
  if (!below.ok) return below
  const made = descend(below.value, rest, make)
  if (!made.ok) return made
  return { ok: true, value: Array.isArray(doc) ? doc.with(Number(token), made.value) : put(doc, token, made.value) }
}

function add(doc: Json, path: readonly string[], value: Json): Got {
  const last = path.at(-1)
  if (last === undefined) return { ok: true, value }
  return descend(doc, path.slice(0, -1), (parent) => {
    if (isObject(parent)) return { ok: true, value: put(parent, last, value) }
    if (!Array.isArray(parent)) return no('there is neither a map nor a list to add to')
    const index = last === '-' ? parent.length : indexOf(last, parent.length + 1)
    if (index === undefined) return no(`${last} is not a place in a list of ${parent.length}`)
    return { ok: true, value: parent.toSpliced(index, 0, value) as Json }
  })
}

function remove(doc: Json, path: readonly string[]): Got {
  const last = path.at(-1)
  if (last === undefined) return no('the whole document cannot be removed')
  return descend(doc, path.slice(0, -1), (parent) => {
    const there = child(parent, last)
    if (!there.ok) return there
    if (Array.isArray(parent)) return { ok: true, value: parent.toSpliced(Number(last), 1) as Json }
    return { ok: true, value: Object.fromEntries(Object.entries(parent as JsonObject).filter(([key]) => key !== last)) }
  })
}

/** A computed key makes an own member even of `__proto__`. */
function put(map: Json, key: string, value: Json): JsonObject {
  return { ...(map as JsonObject), [key]: value }
}

/** How many values stand in this one, itself included; stops counting at `limit`. */
function countValues(value: Json, limit: number): number {
  let count = 0
  const open: Json[] = [value]
  for (let next = open.pop(); next !== undefined && count < limit; next = open.pop()) {
    count++
    if (Array.isArray(next)) for (const item of next) open.push(item as Json)
    else if (isObject(next)) for (const item of Object.values(next)) if (item !== undefined) open.push(item)
  }
  return count
}

function no(because: string): NotGot {
  return { ok: false, because }
}
