/** Label selectors as kubectl's `-l` takes them: `a=b,c in (d,e),!f,g>1`. */
import { byUtf16 } from '../model/json.ts'
import {
  EVERYTHING,
  type Operator,
  type ParsedSelector,
  refuseRequirement,
  type Requirement,
  sortRequirements,
} from './selector.ts'

/** As long as an API server takes a query in practice. */
const MAX_TEXT = 64 * 1024

interface Token {
  /** `word`, `end`, or the symbol itself. */
  readonly is: 'word' | 'end' | '(' | ')' | ',' | '!' | '=' | '==' | '!=' | '>' | '<'
  readonly text: string
}

const TOKEN = /[ \t\r\n]*(?:(==|!=|[=!(),<>])|([^=!(),<> \t\r\n]+))/y
const OPERATORS: Readonly<Record<string, Operator>> = {
  '=': '=',
  '==': '==',
  '!=': '!=',
  '>': 'Gt',
  '<': 'Lt',
  in: 'In',
  notin: 'NotIn',
}

/** Requirements come back sorted by key, their values sorted and each once. The empty text selects everything. */
export function parseSelector(text: string): ParsedSelector {
  if (text.length > MAX_TEXT) return { ok: false, because: 'a selector is never so long' }
  const tokens = tokensOf(text)
  const requirements: Requirement[] = []
  let at = 0
  if (tokens[0]?.is === 'end') return { ok: true, selector: EVERYTHING }
  for (;;) {
    const read = readRequirement(tokens, at)
    if (typeof read === 'string') return { ok: false, because: read }
    const because = refuseRequirement(read.requirement)
    if (because !== undefined) return { ok: false, because }
    requirements.push(read.requirement)
    const next = tokens[read.at]
    if (next?.is === 'end') break
    if (next?.is !== ',') return { ok: false, because: found(next, '"," or the end') }
    at = read.at + 1
  }
  return { ok: true, selector: { selects: 'matching', requirements: sortRequirements(requirements) } }
}

function tokensOf(text: string): readonly Token[] {
  const tokens: Token[] = []
  TOKEN.lastIndex = 0
  for (let match = TOKEN.exec(text); match !== null; match = TOKEN.exec(text)) {
    const [, symbol, word] = match
    tokens.push(word === undefined ? { is: symbol as Token['is'], text: symbol ?? '' } : { is: 'word', text: word })
  }
  tokens.push({ is: 'end', text: 'the end' })
  return tokens
}

type Read = { readonly requirement: Requirement; readonly at: number } | string

function readRequirement(tokens: readonly Token[], start: number): Read {
  let at = start
  const negated = tokens[at]?.is === '!'
  if (negated) at++
  const key = tokens[at]
  if (key?.is !== 'word') return found(key, 'a label key')
  at++
  if (negated) return { requirement: { key: key.text, operator: 'DoesNotExist', values: [] }, at }
  const token = tokens[at]
  if (token === undefined || token.is === 'end' || token.is === ',')
    return { requirement: { key: key.text, operator: 'Exists', values: [] }, at }
  const operator = Object.hasOwn(OPERATORS, token.text) ? OPERATORS[token.text] : undefined
  if (operator === undefined) return found(token, 'an operator: =, ==, !=, in, notin, > or <')
  at++
  if (operator === 'In' || operator === 'NotIn') return readValues(tokens, at, key.text, operator)
  const value = tokens[at]
  // `x=` and `x=,y` compare with the empty value.
  if (value === undefined || value.is === 'end' || value.is === ',')
    return { requirement: { key: key.text, operator, values: [''] }, at }
  if (value.is !== 'word') return found(value, 'a value')
  return { requirement: { key: key.text, operator, values: [value.text] }, at: at + 1 }
}

/** `(a,b)`; nothing between the parentheses, or before or behind a comma, stands for the empty value. */
function readValues(tokens: readonly Token[], start: number, key: string, operator: Operator): Read {
  if (tokens[start]?.is !== '(') return found(tokens[start], '"("')
  const values = new Set<string>()
  let at = start + 1
  let open = true
  for (; tokens[at]?.is !== ')'; at++) {
    const token = tokens[at]
    if (token?.is === 'word' && open) {
      values.add(token.text)
      open = false
    } else if (token?.is === ',') {
      if (open) values.add('')
      open = true
    } else return found(token, open ? 'a value, "," or ")"' : '"," or ")"')
  }
  if (open) values.add('')
  return { requirement: { key, operator, values: [...values].toSorted(byUtf16) }, at: at + 1 }
}

function found(token: Token | undefined, expected: string): string {
  return `found "${token?.text ?? 'the end'}", expected ${expected}`
}
