/**
 * `${{ vars.tillCount }}`: strict (a name without a value is an error) and typed (an expression that is the whole text keeps its
 * type). `$${{` stands for `${{` itself. They stand in our kinds only: in vars, patches and values. A path, and nothing more:
 * no operators and no functions, so what a value depends on can be read off it.
 */
import { isObject, type Json } from '../model/json.ts'

type Part = { readonly text: string } | { readonly read: readonly string[]; readonly source: string }
export type Template =
  | { readonly ok: true; readonly parts: readonly Part[] }
  | { readonly ok: false; readonly because: string }

const OPEN = '${{'
/** One step of a path: `.name`, `["any.key/x"]` or `[0]`. */
const STEP = /^(?:\.([A-Za-z_][\w-]*)|\["((?:[^"\\]|\\.)*)"\]|\[(\d{1,9})\])/
const ROOT = /^[A-Za-z_][\w-]*/

const templates = new Map<string, Template>()

export function parseTemplate(text: string): Template {
  const known = templates.get(text)
  if (known !== undefined) return known
  const template = readTemplate(text)
  if (templates.size > 10_000) templates.clear()
  templates.set(text, template)
  return template
}

function readTemplate(text: string): Template {
  const parts: Part[] = []
  let from = 0
  for (;;) {
    const open = text.indexOf(OPEN, from)
    if (open < 0) break
    if (open > from && text[open - 1] === '$') {
      parts.push({ text: text.slice(from, open - 1) + OPEN })
      from = open + OPEN.length
      continue
    }
    const close = text.indexOf('}}', open)
    if (close < 0) return { ok: false, because: 'an expression is not closed by }}' }
    const source = text.slice(open + OPEN.length, close).trim()
    const read = parsePath(source)
    if (read === undefined) return { ok: false, because: `\${{ ${source.slice(0, 80)} }} is not a path` }
    if (open > from) parts.push({ text: text.slice(from, open) })
    parts.push({ read, source })
    from = close + 2
  }
  if (from < text.length) parts.push({ text: text.slice(from) })
  return { ok: true, parts }
}

function parsePath(source: string): readonly string[] | undefined {
  const root = ROOT.exec(source)?.[0]
  if (root === undefined) return undefined
  const path = [root]
  let rest = source.slice(root.length)
  while (rest !== '') {
    const step = STEP.exec(rest)
    if (step === null) return undefined
    path.push(step[1] ?? step[2]?.replaceAll(/\\(.)/g, '$1') ?? step[3] ?? '')
    rest = rest.slice(step[0].length)
  }
  return path
}

export type Looked = { readonly value: Json } | { readonly missing: string }
/** Gives a name its value, or says why it has none. */
export type Lookup = (path: readonly string[]) => Looked

export function hasExpression(value: Json): boolean {
  if (typeof value === 'string') return value.includes(OPEN)
  if (Array.isArray(value)) return (value as readonly Json[]).some(hasExpression)
  return isObject(value) && Object.values(value).some((item) => item !== undefined && hasExpression(item))
}

/** Every name that a value reads, each once, in the order met. What cannot be read as a template reads nothing. */
export function readsOf(value: Json, into = new Map<string, readonly string[]>()): Map<string, readonly string[]> {
  if (typeof value === 'string') {
    if (!value.includes(OPEN)) return into
    const template = parseTemplate(value)
    if (template.ok) for (const part of template.parts) if ('read' in part) into.set(part.read.join('\0'), part.read)
  } else if (Array.isArray(value)) for (const item of value as readonly Json[]) readsOf(item, into)
  else if (isObject(value)) for (const item of Object.values(value)) if (item !== undefined) readsOf(item, into)
  return into
}

/**
 * Values and characters that expressions may put into one value. Vars name vars, so without it thirty short lines could ask for
 * more than any memory holds; an API server refuses an object above 1.5 MiB anyway.
 */
const MOST_EXPANDED = 2_000_000

interface Budget {
  left: number
}

/** The value with every expression in it replaced; the first name without a value ends it. Keys are left as they are. */
export function evaluate(value: Json, lookup: Lookup, budget: Budget = { left: MOST_EXPANDED }): Looked {
  if (typeof value === 'string') return value.includes(OPEN) ? evaluateText(value, lookup, budget) : { value }
  if (Array.isArray(value)) {
    const list: Json[] = []
    for (const item of value as readonly Json[]) {
      const looked = evaluate(item, lookup, budget)
      if ('missing' in looked) return looked
      list.push(looked.value)
    }
    return { value: list }
  }
  if (!isObject(value)) return { value }
  const map: Record<string, Json> = Object.create(null) as Record<string, Json>
  for (const key of Object.keys(value)) {
    const item = value[key]
    if (item === undefined) continue
    const looked = evaluate(item, lookup, budget)
    if ('missing' in looked) return looked
    map[key] = looked.value
  }
  return { value: map }
}

function spend(looked: Looked, budget: Budget): Looked {
  if ('missing' in looked) return looked
  const open: Json[] = [looked.value]
  while (budget.left >= 0) {
    const next = open.pop()
    if (next === undefined) return looked
    budget.left -= typeof next === 'string' ? next.length + 1 : 1
    if (typeof next !== 'object' || next === null) continue
    for (const item of Object.values(next)) if (item !== undefined) open.push(item)
  }
  return { missing: `expressions expand to more than ${MOST_EXPANDED} values and characters` }
}

function evaluateText(text: string, lookup: Lookup, budget: Budget): Looked {
  const template = parseTemplate(text)
  if (!template.ok) return { missing: template.because }
  const [only] = template.parts
  if (template.parts.length === 1 && only !== undefined && 'read' in only) return spend(lookup(only.read), budget)
  let result = ''
  for (const part of template.parts) {
    if ('text' in part) {
      result += part.text
      continue
    }
    const looked = spend(lookup(part.read), budget)
    if ('missing' in looked) return looked
    if (looked.value === null || typeof looked.value === 'object') {
      return { missing: `\${{ ${part.source} }} is no text, number or boolean, and stands inside a text` }
    }
    result += String(looked.value)
  }
  return { value: result }
}

/** One step after another into a value. */
export function dig(value: Json | undefined, path: readonly string[]): Json | undefined {
  let node = value
  for (const part of path) {
    if (Array.isArray(node)) node = /^\d+$/.test(part) ? (node[Number(part)] as Json | undefined) : undefined
    else if (isObject(node)) node = Object.hasOwn(node, part) ? node[part] : undefined
    else return undefined
  }
  return node
}
