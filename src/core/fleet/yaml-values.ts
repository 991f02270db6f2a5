/**
 * YAML nodes to JSON with null-prototype maps. All scalars are read by `scalars.ts` and duplicate keys are found here, in linear
 * time: the library's own check of them is quadratic (50,000 keys block for a minute).
 */
import { isAlias, isMap, isScalar, isSeq, type Document, type LineCounter } from 'yaml'
import type { Json } from '../model/json.ts'
import type { Code } from './codes.ts'
import { otherReading, resolvePlain, type Reading, type Scalar } from './scalars.ts'
import {
  formatPath,
  offsetOf,
  YAML_LIMITS,
  type TextPosition,
  type TextProblem,
  type YamlDocument,
} from './yaml-text.ts'

const CORE_TAGS = /^tag:yaml\.org,2002:(?:str|int|float|bool|null)$/
const CONTAINER_TAGS = /^tag:yaml\.org,2002:(?:map|seq)$/

/** Why a value could not be read; thrown and caught in this file only, to leave the recursion. */
class Refusal extends Error {}

/** Turns the nodes of one text into JSON, document by document; what is wrong stands in `problems`. */
export class Reader {
  readonly problems: TextProblem[] = []
  readonly #text: string
  readonly #lines: LineCounter
  readonly #reading: Reading
  #errors = 0
  #warnings = 0
  #values = 0
  #aliases = 0
  #path: (string | number)[] = []
  /** Anchored nodes so far; null while the node is still open, for an alias inside it would never end. */
  #anchors = new Map<string, Json | null>()
  #open = new Set<string>()

  constructor(text: string, lines: LineCounter, reading: Reading) {
    this.#text = text
    this.#lines = lines
    this.#reading = reading
  }

  /** So many errors that more would help nobody. Warnings never end the reading: what follows them is still wanted. */
  get full(): boolean {
    return this.#errors >= YAML_LIMITS.problems
  }

  document(document: Document.Parsed, index: number): YamlDocument | undefined {
    for (const error of document.errors.slice(0, 5)) {
      const message = (error.message.split('\n')[0] ?? '').replace(/ at line \d+, column \d+:?$/, '')
      this.#problem('FLT1002', error.pos[0], message, 'Correct the YAML here.')
    }
    if (document.errors.length > 0) return undefined
    const { contents } = document
    // A document of nothing but comments says nothing: kubectl passes over it too.
    if (contents === null) return undefined
    if (isScalar(contents) && contents.type === 'PLAIN' && String(contents.value) === '') return undefined
    this.#path = []
    this.#anchors = new Map()
    this.#open = new Set()
    try {
      const value = this.#value(contents, 1)
      const [start, end] = document.range
      const body = /^\uFEFF?---(?:[ \t]*\r?\n|[ \t]|$)/.exec(this.#text.slice(start, start + 200))?.[0].length ?? 0
      return { index, value, at: this.#position(contents.range?.[0] ?? start), from: start + body, to: end }
    } catch (error) {
      if (error instanceof Refusal) return undefined
      throw error
    }
  }

  #position(offset: number): TextPosition {
    const { line, col } = this.#lines.linePos(offset)
    return { line: Math.max(line, 1), column: Math.max(col, 1) }
  }

  #problem(code: Code, offset: number, message: string, next: string, found?: string): void {
    const severity = code === 'FLT1009' ? 'warning' : 'error'
    const earlier = severity === 'warning' ? this.#warnings++ : this.#errors++
    if (earlier >= YAML_LIMITS.problems) return
    const path = formatPath(this.#path)
    const problem = { code, severity, at: this.#position(offset), path, message, next } as const
    this.problems.push(found === undefined ? problem : { ...problem, found })
  }

  #refuse(code: Code, offset: number, message: string, next: string): never {
    this.#problem(code, offset, message, next)
    throw new Refusal(message)
  }

  #value(node: unknown, depth: number): Json {
    const offset = offsetOf(node)
    if (depth > YAML_LIMITS.depth) {
      this.#refuse('FLT1007', offset, `nested deeper than ${YAML_LIMITS.depth}`, 'Flatten the document.')
    }
    this.#count(1, offset)
    if (isAlias(node)) return this.#alias(node.source, offset)
    const anchor = anchorOf(node)
    if (anchor !== undefined) this.#open.add(anchor)
    const value = isMap(node)
      ? this.#map(node.items, tagOf(node), offset, depth)
      : isSeq(node)
        ? this.#list(node.items, tagOf(node), offset, depth)
        : this.#scalar(node, offset)
    if (anchor !== undefined) {
      this.#open.delete(anchor)
      this.#anchors.set(anchor, value)
    }
    return value
  }

  #count(values: number, offset: number): void {
    this.#values += values
    if (this.#values > YAML_LIMITS.values) {
      this.#refuse('FLT1007', offset, `more than ${YAML_LIMITS.values} values`, 'Split the file; use fewer aliases.')
    }
  }

  /** The anchored value itself is shared, so that a bomb costs no memory; its size is counted, so that it is still refused. */
  #alias(name: string, offset: number): Json {
    this.#aliases++
    if (this.#aliases > YAML_LIMITS.aliases) {
      this.#refuse('FLT1007', offset, `more than ${YAML_LIMITS.aliases} aliases`, 'Write the values out.')
    }
    if (this.#open.has(name)) {
      this.#refuse('FLT1018', offset, `*${name} stands inside &${name}`, 'A value cannot contain itself.')
    }
    const value = this.#anchors.get(name)
    if (value === undefined) this.#refuse('FLT1002', offset, `no anchor &${name} above`, 'Write the value out.')
    this.#count(sizeOf(value, YAML_LIMITS.values), offset)
    return value
  }

  #list(items: readonly unknown[], tag: string | undefined, offset: number, depth: number): Json {
    this.#containerTag(tag, offset)
    const list: Json[] = []
    for (const [i, item] of items.entries()) {
      this.#path.push(i)
      list.push(this.#value(item, depth + 1))
      this.#path.pop()
    }
    return list
  }

  #map(
    items: readonly { readonly key: unknown; readonly value: unknown }[],
    tag: string | undefined,
    offset: number,
    depth: number,
  ): Json {
    this.#containerTag(tag, offset)
    if (items.length > YAML_LIMITS.keysPerMap) {
      this.#refuse('FLT1007', offset, `more than ${YAML_LIMITS.keysPerMap} keys in one map`, 'Split the map.')
    }
    const map: Record<string, Json> = Object.create(null) as Record<string, Json>
    const merged: Json[] = []
    for (const { key, value } of items) {
      if (this.#reading === 'kubectl' && isMergeKey(key)) {
        merged.push(this.#value(value, depth + 1))
        continue
      }
      const name = this.#key(key)
      this.#path.push(name)
      if (name in map) {
        this.#problem('FLT1006', offsetOf(key), `the key ${JSON.stringify(name)} stands twice in one map`, 'Keep one.')
      }
      map[name] = value === null || value === undefined ? null : this.#value(value, depth + 1)
      this.#path.pop()
    }
    for (const source of merged.flatMap((value) => (Array.isArray(value) ? (value as Json[]) : [value]))) {
      this.#merge(map, source, offset)
    }
    return map
  }

  /** `<<`: what stands in the map wins over what is merged in, and earlier sources over later ones. */
  #merge(map: Record<string, Json>, source: Json, offset: number): void {
    if (typeof source !== 'object' || source === null || Array.isArray(source)) {
      this.#refuse('FLT1018', offset, '<< takes a map or a list of maps', 'Write the values out.')
    }
    for (const [key, value] of Object.entries(source)) {
      if (!(key in map) && value !== undefined) map[key] = value
    }
  }

  #key(key: unknown): string {
    const offset = offsetOf(key)
    if (!isScalar(key)) {
      if (!isAlias(key)) this.#refuse('FLT1018', offset, 'a key that is a map or a list', 'Keys are text.')
      const value = this.#alias(key.source, offset)
      if (typeof value === 'string') return value
      this.#refuse('FLT1018', offset, 'a key that is no text', 'Keys are text.')
    }
    const text = String(key.value)
    if (key.type !== 'PLAIN') return text
    if (this.#reading === 'core') {
      this.#ambiguous(text, offset)
      return text
    }
    const resolved = resolvePlain(text, 'kubectl')
    if ('refused' in resolved || resolved.value === null) {
      this.#refuse('FLT1018', offset, 'a key that is no text', 'Write the key in quotes.')
    }
    return String(resolved.value)
  }

  #scalar(node: unknown, offset: number): Scalar {
    if (!isScalar(node)) return null
    const text = typeof node.value === 'string' ? node.value : ''
    const tag = tagOf(node)
    if (tag !== undefined && tag !== '!') return this.#tagged(text, tag, offset)
    if (node.type !== 'PLAIN' || tag === '!') return text
    if (this.#reading === 'core') this.#ambiguous(text, offset)
    const resolved = resolvePlain(text, this.#reading)
    if ('value' in resolved) return resolved.value
    this.#problem('FLT1008', offset, resolved.refused, 'Write it in quotes, as text.', text.slice(0, 60))
    return null
  }

  #tagged(text: string, tag: string, offset: number): Scalar {
    if (tag === 'tag:yaml.org,2002:str') return text
    if (tag === 'tag:yaml.org,2002:binary' && this.#reading === 'kubectl') {
      return new TextDecoder().decode(Uint8Array.from(safeBase64(text), (c) => c.charCodeAt(0)))
    }
    if (!CORE_TAGS.test(tag)) {
      this.#refuse('FLT1018', offset, `the tag ${tag.slice(0, 60)} has no meaning here`, 'Remove the tag.')
    }
    const resolved = resolvePlain(text, this.#reading)
    const kind = tag.slice(tag.lastIndexOf(':') + 1)
    if ('refused' in resolved) this.#refuse('FLT1008', offset, resolved.refused, 'Write it in quotes, as text.')
    const is = { int: 'number', float: 'number', bool: 'boolean', null: 'object' }[kind]
    if (typeof resolved.value !== is) this.#refuse('FLT1018', offset, `not a ${kind}`, 'Remove the tag.')
    return resolved.value
  }

  #containerTag(tag: string | undefined, offset: number): void {
    if (tag === undefined || CONTAINER_TAGS.test(tag)) return
    this.#refuse('FLT1018', offset, `the tag ${tag.slice(0, 60)} has no meaning here`, 'Remove the tag.')
  }

  #ambiguous(text: string, offset: number): void {
    const other = otherReading(text)
    if (other === undefined) return
    const meant = other.startsWith('the boolean') ? `, or ${other.slice(12)} if a boolean is meant` : ''
    this.#problem(
      'FLT1009',
      offset,
      `unquoted ${text} is read as written here, and as ${other} by YAML 1.1 tools`,
      `Write "${text}" in quotes${meant}.`,
      text,
    )
  }
}

function safeBase64(text: string): string {
  try {
    return atob(text.replace(/\s+/g, ''))
  } catch {
    return ''
  }
}

function anchorOf(node: unknown): string | undefined {
  return (node as { readonly anchor?: string } | null)?.anchor
}

function tagOf(node: unknown): string | undefined {
  return (node as { readonly tag?: string } | null)?.tag
}

function isMergeKey(key: unknown): boolean {
  return isScalar(key) && key.type === 'PLAIN' && key.value === '<<'
}

/** Values in a JSON tree, up to a limit. Shared parts count each time they are met. */
function sizeOf(value: Json, limit: number): number {
  let size = 0
  const open: Json[] = [value]
  while (size < limit) {
    const next = open.pop()
    if (next === undefined) break
    size++
    if (typeof next !== 'object' || next === null) continue
    for (const item of Object.values(next)) if (item !== undefined) open.push(item)
  }
  return size
}
