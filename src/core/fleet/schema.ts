/** JSON Schema (2020-12) over one document of ours, and its errors as words with a path. */
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js'
import { parseDuration } from '../calendar/duration.ts'
import { isObject, type Json, type JsonObject } from '../model/json.ts'
import type { Code } from './codes.ts'
import { COMMON_SCHEMA, KINDS } from './kinds.ts'
import { nearest } from '../model/nearest.ts'
import type { Path } from './yaml-text.ts'

export interface SchemaProblem {
  readonly code: Code
  readonly path: Path
  /** Point at the key itself where the key is what is wrong. */
  readonly at: 'key' | 'value'
  readonly message: string
  readonly found: string
  readonly expected: string
  readonly next: string
}

/** More of one document helps nobody, and a hostile one could make as many as it has values. */
const MOST_PROBLEMS = 20

let ajv: Ajv2020 | undefined
const validators = new Map<string, ValidateFunction>()

/** Compiled when a kind is first met: a command that reads no fleet pays nothing. */
function validatorOf(kind: string): ValidateFunction | undefined {
  const known = validators.get(kind)
  if (known !== undefined) return known
  const rule = KINDS.get(kind)
  if (rule === undefined) return undefined
  if (ajv === undefined) {
    ajv = new Ajv2020({ allErrors: true, verbose: true, strict: false, logger: false })
    ajv.addFormat('flotilla-duration', (text) => parseDuration(text) !== undefined)
    ajv.addFormat('flotilla-moment', (text) => !Number.isNaN(Date.parse(text)))
    ajv.addFormat('flotilla-time-zone', isTimeZone)
    ajv.addFormat('flotilla-site-or-time-zone', (text) => text === 'site' || isTimeZone(text))
    ajv.addSchema(COMMON_SCHEMA)
  }
  const id = (rule.schema as { readonly $id: string }).$id
  const validate = ajv.getSchema(id) ?? ajv.compile(rule.schema)
  validators.set(kind, validate)
  return validate
}

const zones = new Map<string, boolean>()

/** The IANA list is the one that this runtime carries. */
function isTimeZone(name: string): boolean {
  const known = zones.get(name)
  if (known !== undefined) return known
  let valid: boolean
  try {
    valid = new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== ''
  } catch {
    valid = false
  }
  // `+02:00` is an offset that the runtime takes and that knows no summer.
  valid = valid && /^[A-Za-z]/.test(name)
  if (zones.size < 1_000) zones.set(name, valid)
  return valid
}

/** What is wrong with a document of this kind by its schema, in the order of the document's schema, at most 20. */
export function checkSchema(kind: string, value: JsonObject): readonly SchemaProblem[] {
  const validate = validatorOf(kind)
  if (validate === undefined || validate(value)) return []
  const errors = leaves(validate.errors ?? [])
  return errors.slice(0, MOST_PROBLEMS).map((error) => say(error, value))
}

const BRANCHES = new Set(['anyOf', 'oneOf'])
const ONE_OF_A_TEXT = new Set(['pattern', 'format', 'minLength', 'maxLength'])

/** Of a failed choice, either what is wrong deeper inside, or the choice itself: never each branch's complaint. */
function leaves(errors: readonly ErrorObject[]): readonly ErrorObject[] {
  const choices = errors.filter(({ keyword }) => BRANCHES.has(keyword))
  const under = (error: ErrorObject, choice: ErrorObject): boolean =>
    error !== choice && error.schemaPath.startsWith(`${choice.schemaPath}/`) && inside(error, choice)
  const deeper = (error: ErrorObject, choice: ErrorObject): boolean =>
    error.instancePath.length > choice.instancePath.length
  const meant = errors.filter((error) => {
    if (error.keyword === 'if' || error.propertyName !== undefined) return false
    if (BRANCHES.has(error.keyword)) return !errors.some((other) => under(other, error) && deeper(other, error))
    return choices.every((choice) => !under(error, choice) || deeper(error, choice))
  })
  const seen = new Set<string>()
  // A text that has neither the form nor the meaning is one mistake.
  return meant.filter(({ keyword, instancePath }) => {
    if (!ONE_OF_A_TEXT.has(keyword)) return true
    if (seen.has(instancePath)) return false
    seen.add(instancePath)
    return true
  })
}

function inside(error: ErrorObject, choice: ErrorObject): boolean {
  return error.instancePath === choice.instancePath || error.instancePath.startsWith(`${choice.instancePath}/`)
}

function pathOf(instancePath: string, root: Json): Path {
  const path: (string | number)[] = []
  let node: Json | undefined = root
  for (const part of instancePath.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~')
    path.push(Array.isArray(node) ? Number(key) : key)
    node = Array.isArray(node) ? (node[Number(key)] as Json) : isObject(node) ? node[key] : undefined
  }
  return path
}

function say(error: ErrorObject, root: Json): SchemaProblem {
  const path = pathOf(error.instancePath, root)
  const params = error.params as Readonly<Record<string, unknown>>
  const found = show(error.data as Json)
  if (error.keyword === 'additionalProperties') {
    const key = String(params['additionalProperty'])
    const fields = Object.keys((error.parentSchema?.['properties'] ?? {}) as object)
    const near = nearest(key, fields)
    return {
      code: 'FLT1004',
      path: [...path, key],
      at: 'key',
      message: `unknown field ${key}`,
      found: key,
      expected: `one of ${fields.join(', ')}`,
      next: near === undefined ? 'Remove it, or correct its name.' : `Did you mean ${near}?`,
    }
  }
  if (error.keyword === 'required') {
    const key = String(params['missingProperty'])
    const expected = `the field ${key}`
    return { code: 'FLT1005', path, at: 'value', message: `${key} is missing`, found, expected, next: `Add ${key}.` }
  }
  if (error.keyword === 'dependentRequired') {
    const key = String(params['missingProperty'])
    const message = `${key} is missing beside ${String(params['property'])}`
    return { code: 'FLT1005', path, at: 'value', message, found, expected: `the field ${key}`, next: `Add ${key}.` }
  }
  if (error.keyword === 'propertyNames') {
    const key = String(params['propertyName'])
    const expected = 'a key of the form that the field asks for'
    const next = 'Use letters, digits, dashes and dots.'
    return {
      code: 'FLT1003',
      path: [...path, key],
      at: 'key',
      message: `${key} cannot be a key here`,
      found: key,
      expected,
      next,
    }
  }
  const expected = expectedBy(error)
  const empty = error.keyword === 'minProperties' || error.keyword === 'minItems'
  const name = path.length === 0 ? 'the document' : `${path.at(-1)}`
  const message = empty ? `${name} is empty` : `${name} is not what it must be`
  return { code: 'FLT1003', path, at: 'value', message, found, expected, next: nextBy(error) }
}

function expectedBy(error: ErrorObject): string {
  const described = error.parentSchema?.['description'] as unknown
  const params = error.params as Readonly<Record<string, unknown>>
  switch (error.keyword) {
    case 'type':
      return typeof described === 'string' ? `${String(params['type'])}: ${described}` : String(params['type'])
    case 'enum':
      return (params['allowedValues'] as readonly unknown[]).map((value) => JSON.stringify(value)).join(' or ')
    case 'const':
      return JSON.stringify(params['allowedValue'])
    case 'anyOf':
    case 'oneOf': {
      const fields = (error.schema as readonly { readonly required?: readonly string[] }[]).map(
        ({ required }) => required,
      )
      if (fields.every((list) => list !== undefined)) return fields.map((list) => list.join(' and ')).join(', or ')
      return typeof described === 'string' ? described : 'one of several forms'
    }
    case 'maxProperties':
      return typeof described === 'string' ? described : `at most ${String(params['limit'])}`
    default:
      return typeof described === 'string' ? described : (error.message ?? error.keyword).replace(/^must /, '')
  }
}

function nextBy(error: ErrorObject): string {
  const params = error.params as Readonly<Record<string, unknown>>
  const scalar = typeof error.data === 'boolean' || typeof error.data === 'number'
  if (error.keyword === 'type' && params['type'] === 'string' && scalar)
    return `Write "${String(error.data)}" in quotes.`
  if (error.keyword === 'minProperties' || error.keyword === 'minItems') return 'Fill it, or remove the field.'
  return 'Correct the value.'
}

/** JSON of at most 80 characters; large values are not written out first. */
function show(value: Json | undefined): string {
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`
  if (isObject(value)) {
    const keys = Object.keys(value)
    return keys.length === 0 ? 'an empty map' : `a map with ${keys.slice(0, 5).join(', ')}`.slice(0, 80)
  }
  const text = typeof value === 'string' ? JSON.stringify(value.slice(0, 100)) : (JSON.stringify(value) ?? 'nothing')
  return text.length > 80 ? `${text.slice(0, 79)}…` : text
}
