/** Evaluates an expression over one object. An error is a value: `&&` and `||` pass it over where the other side decides. */
import { isObject, jsonEqual, type Json, type JsonObject } from '../model/json.ts'
import type { BinaryOp, Cel, CelFunction } from './cel-parse.ts'

export type CelValue = { readonly ok: true; readonly value: Json } | { readonly ok: false; readonly message: string }

/** Steps of one evaluation: a macro within a macro over long lists must end. */
const MAX_STEPS = 100_000

/** `names`: what expressions may begin with. */
export function evaluate(cel: Cel, names: Readonly<Record<string, Json | undefined>>): CelValue {
  const run: Run = { names: new Map(Object.entries(names)), steps: 0 }
  try {
    return { ok: true, value: value(cel, run) }
  } catch (error) {
    if (error instanceof CelError) return { ok: false, message: error.message }
    throw error
  }
}

class CelError extends Error {}

interface Run {
  readonly names: ReadonlyMap<string, Json | undefined>
  steps: number
}

function fail(message: string): never {
  throw new CelError(message)
}

function value(cel: Cel, run: Run): Json {
  if (++run.steps > MAX_STEPS) fail(`more than ${MAX_STEPS} steps`)
  switch (cel.kind) {
    case 'literal':
      return cel.value
    case 'name':
      return run.names.get(cel.name) ?? (run.names.has(cel.name) ? null : fail(`no such field: ${cel.name}`))
    case 'field':
      return member(value(cel.of, run), cel.name)
    case 'index':
      return indexed(value(cel.of, run), value(cel.at, run))
    case 'list':
      return cel.items.map((item) => value(item, run))
    case 'map':
      return Object.fromEntries(cel.entries.map(([key, item]) => [text(value(key, run)), value(item, run)]))
    case 'has': {
      const of = value(cel.field.of, run)
      return isObject(of) && of[cel.field.name] !== undefined
    }
    case 'unary':
      return cel.op === '!' ? !truth(value(cel.of, run)) : -number(value(cel.of, run))
    case 'choice':
      return value(truth(value(cel.test, run)) ? cel.yes : cel.no, run)
    case 'binary':
      return cel.op === '&&' || cel.op === '||' ? either(cel.op, cel.left, cel.right, run) : operate(cel.op, value(cel.left, run), value(cel.right, run)) // prettier-ignore
    case 'call':
      return call(cel.name, cel.args.map((arg) => value(arg, run))) // prettier-ignore
    case 'each':
      return each(cel, run)
  }
}

/** What decides by itself decides, on whichever side it stands. */
function either(op: '&&' | '||', left: Cel, right: Cel, run: Run): boolean {
  const decides = op === '||'
  let error: CelError | undefined
  for (const side of [left, right]) {
    try {
      if (truth(value(side, run)) === decides) return decides
    } catch (caught) {
      if (!(caught instanceof CelError)) throw caught
      error ??= caught
    }
  }
  if (error !== undefined) throw error
  return !decides
}

function each(cel: Cel & { readonly kind: 'each' }, run: Run): Json {
  const of = value(cel.of, run)
  const items: readonly Json[] = Array.isArray(of) ? (of as Json[]) : isObject(of) ? Object.keys(of) : fail('a list was expected') // prettier-ignore
  const [first, second] = cel.body
  if (first === undefined) return fail('an expression was expected')
  const inside = (item: Json, body: Cel): Json => {
    const inner: Run = { names: new Map([...run.names, [cel.as, item]]), steps: run.steps }
    try {
      return value(body, inner)
    } finally {
      run.steps = inner.steps
    }
  }
  const holds = (item: Json): boolean => truth(inside(item, first))
  switch (cel.macro) {
    case 'all':
    case 'exists':
      return quantified(items, holds, cel.macro === 'exists')
    case 'exists_one':
      return items.filter(holds).length === 1
    case 'filter':
      return items.filter(holds)
    case 'map':
      return second === undefined
        ? items.map((item) => inside(item, first))
        : items.filter(holds).map((item) => inside(item, second))
  }
}

/** As a chain of `||` (or `&&`): one item that decides outweighs others that are errors. */
function quantified(items: readonly Json[], holds: (item: Json) => boolean, decides: boolean): boolean {
  let error: CelError | undefined
  for (const item of items) {
    try {
      if (holds(item) === decides) return decides
    } catch (caught) {
      if (!(caught instanceof CelError)) throw caught
      error ??= caught
    }
  }
  if (error !== undefined) throw error
  return !decides
}

function member(of: Json, name: string): Json {
  if (!isObject(of)) return fail(`no such field: ${name}`)
  return Object.hasOwn(of, name) ? (of[name] ?? null) : fail(`no such field: ${name}`)
}

function indexed(of: Json, at: Json): Json {
  if (Array.isArray(of)) return typeof at === 'number' && at in of ? ((of as Json[])[at] ?? null) : fail(`no item ${JSON.stringify(at)}`) // prettier-ignore
  return typeof at === 'string' ? member(of, at) : fail(`no such field: ${JSON.stringify(at)}`)
}

function operate(op: Exclude<BinaryOp, '&&' | '||'>, a: Json, b: Json): Json {
  switch (op) {
    case '==':
      return jsonEqual(a, b)
    case '!=':
      return !jsonEqual(a, b)
    case 'in':
      if (Array.isArray(b)) return (b as Json[]).some((item) => jsonEqual(a, item))
      return isObject(b) ? typeof a === 'string' && Object.hasOwn(b, a) : fail('a list was expected')
    case '+':
      if (typeof a === 'string' && typeof b === 'string') return a + b
      if (Array.isArray(a) && Array.isArray(b)) return [...(a as Json[]), ...(b as Json[])]
      return number(a) + number(b)
    case '-':
      return number(a) - number(b)
    case '*':
      return number(a) * number(b)
    case '/':
    case '%':
      return divided(op, number(a), number(b))
    default:
      return compared(op, a, b)
  }
}

function divided(op: '/' | '%', a: number, b: number): number {
  const whole = Number.isInteger(a) && Number.isInteger(b)
  if (whole && b === 0) return fail('divided by zero')
  if (op === '%') return a % b
  return whole ? Math.trunc(a / b) : a / b
}

function compared(op: '<' | '<=' | '>' | '>=', a: Json, b: Json): boolean {
  const same = (typeof a === 'number' && typeof b === 'number') || (typeof a === 'string' && typeof b === 'string')
  if (!same) return fail(`${op} compares two numbers, or two texts`)
  const order = a < b ? -1 : a > b ? 1 : 0
  return { '<': order < 0, '<=': order <= 0, '>': order > 0, '>=': order >= 0 }[op]
}

function call(name: CelFunction, [a = null, b = null]: readonly Json[]): Json {
  switch (name) {
    case 'size':
      if (typeof a === 'string') return Array.from(a).length
      return Array.isArray(a) ? a.length : isObject(a) ? Object.keys(a).length : fail('size() of no list')
    case 'int':
      return Number.isFinite(Number(a)) && a !== null && a !== '' ? Math.trunc(Number(a)) : fail('int() of no number')
    case 'double':
      return Number.isFinite(Number(a)) && a !== null && a !== '' ? Number(a) : fail('double() of no number')
    case 'string':
      return typeof a === 'string' ? a : JSON.stringify(a)
    case 'contains':
      return text(a).includes(text(b))
    case 'startsWith':
      return text(a).startsWith(text(b))
    case 'endsWith':
      return text(a).endsWith(text(b))
    case 'lowerAscii':
      return text(a).toLowerCase()
    case 'upperAscii':
      return text(a).toUpperCase()
  }
}

function truth(a: Json): boolean {
  return typeof a === 'boolean' ? a : fail(`true or false was expected, found ${JSON.stringify(a)}`)
}
function number(a: Json): number {
  return typeof a === 'number' ? a : fail(`a number was expected, found ${JSON.stringify(a)}`)
}
function text(a: Json): string {
  return typeof a === 'string' ? a : fail(`a text was expected, found ${JSON.stringify(a)}`)
}

/** The fields of an object as names, and the object itself as `object` and `self`. */
export function celNames(object: JsonObject): Readonly<Record<string, Json | undefined>> {
  return { ...object, object, self: object }
}
