/** Reads of untrusted JSON: each gives the value with its type, or throws Fault InvalidInput naming the path. */
import { isDigest, type Digest } from '../model/digest.ts'
import { Fault } from '../model/fault.ts'
import { isObject, type Json, type JsonObject } from '../model/json.ts'
import type { Generation } from '../model/observation.ts'

/** Nothing that we speak nests deeper than an object in an observation or a queue's settings; deeper text is an attack on recursion. */
export const MAX_JSON_DEPTH = 32

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Strict UTF-8, bounded depth, JSON. */
export function parseJson(bytes: Uint8Array, what: string): Json {
  let text: string
  try {
    text = UTF8.decode(bytes)
  } catch (cause) {
    throw new Fault('InvalidInput', `${what} is not UTF-8`, { cause })
  }
  return parseJsonText(text, what)
}

export function parseJsonText(text: string, what: string): Json {
  if (depthOf(text) > MAX_JSON_DEPTH) throw new Fault('TooLarge', `${what} nests deeper than ${MAX_JSON_DEPTH}`)
  try {
    return JSON.parse(text) as Json
  } catch (cause) {
    throw new Fault('InvalidInput', `${what} is not JSON`, { cause })
  }
}

function depthOf(text: string): number {
  let depth = 0
  let deepest = 0
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 0x22) {
      // Jump over the string: to the next quote that an even number of backslashes precedes.
      for (let end = i; ;) {
        end = text.indexOf('"', end + 1)
        if (end < 0) return deepest
        let slashes = 0
        while (text.charCodeAt(end - 1 - slashes) === 0x5c) slashes++
        if (slashes % 2 === 0) {
          i = end
          break
        }
      }
    } else if (c === 0x7b || c === 0x5b) {
      if (++depth > deepest) deepest = depth
    } else if (c === 0x7d || c === 0x5d) depth--
  }
  return deepest
}

export function invalid(path: string, expected: string): never {
  throw new Fault('InvalidInput', `${path} is not ${expected}`)
}

export function record(value: Json | undefined, path: string): JsonObject {
  return isObject(value) ? value : invalid(path, 'an object')
}

export function text(value: Json | undefined, path: string, maxChars = 256): string {
  if (typeof value !== 'string') return invalid(path, 'a string')
  if (value.length > maxChars) throw new Fault('TooLarge', `${path} is longer than ${maxChars} characters`)
  return value
}

/** A non-negative integer that JSON carries exactly. */
export function count(value: Json | undefined, path: string): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
    ? value
    : invalid(path, 'a whole number of 0 or more')
}

/** Milliseconds may be fractional (monotonic clocks) and, of a broken site clock, negative. */
export function number(value: Json | undefined, path: string): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : invalid(path, 'a number')
}

export function flag(value: Json | undefined, path: string): boolean {
  return typeof value === 'boolean' ? value : invalid(path, 'true or false')
}

export function list(value: Json | undefined, path: string, maxItems: number): readonly Json[] {
  if (!Array.isArray(value)) return invalid(path, 'a list')
  if (value.length > maxItems) throw new Fault('TooLarge', `${path} has more than ${maxItems} items`)
  return value as readonly Json[]
}

export function digest(value: Json | undefined, path: string): Digest {
  return isDigest(value) ? value : invalid(path, 'a sha256 digest')
}

export function oneOf<T extends string>(value: Json | undefined, path: string, allowed: readonly T[]): T {
  return allowed.includes(value as T) ? (value as T) : invalid(path, `one of ${allowed.join(', ')}`)
}

export function generation(value: Json | undefined, path: string): Generation {
  const it = record(value, path)
  return { epoch: count(it.epoch, `${path}.epoch`), counter: count(it.counter, `${path}.counter`) }
}

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/
/** RFC 3339 in UTC; the milliseconds it names. */
export function instantMs(value: Json | undefined, path: string): number {
  const ms = INSTANT.test(text(value, path, 32)) ? Date.parse(value as string) : Number.NaN
  return Number.isNaN(ms) ? invalid(path, 'an RFC 3339 time in UTC') : ms
}

/** A map with a null prototype: names from outside never find what they did not put there. */
export function textMap(
  value: Json | undefined,
  path: string,
  maxKeys: number,
  maxChars: number,
): Record<string, string> {
  const it = record(value, path)
  const keys = Object.keys(it)
  if (keys.length > maxKeys) throw new Fault('TooLarge', `${path} has more than ${maxKeys} keys`)
  const map = Object.create(null) as Record<string, string>
  for (const key of keys) map[text(key, path)] = text(it[key], `${path}.${key}`, maxChars)
  return map
}

export const SITE_NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
export const SITE_ID = /^[A-Za-z0-9_-]{1,64}$/

export function siteName(value: Json | undefined, path: string): string {
  return SITE_NAME.test(text(value, path, 63)) ? (value as string) : invalid(path, 'a DNS label')
}

export function siteIdText(value: Json | undefined, path: string): string {
  return SITE_ID.test(text(value, path, 64)) ? (value as string) : invalid(path, 'a site id')
}
