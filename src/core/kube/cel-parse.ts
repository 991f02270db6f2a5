/**
 * The Common Expression Language as health checks use it, as a tree. No macros of time and no regular expressions: what is not
 * known here is an error when it is read, and not when it is needed.
 */
import type { Json } from '../model/json.ts'

export type Cel =
  | { readonly kind: 'literal'; readonly value: Json }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'field'; readonly of: Cel; readonly name: string }
  | { readonly kind: 'index'; readonly of: Cel; readonly at: Cel }
  | { readonly kind: 'list'; readonly items: readonly Cel[] }
  | { readonly kind: 'map'; readonly entries: readonly (readonly [Cel, Cel])[] }
  | { readonly kind: 'unary'; readonly op: '!' | '-'; readonly of: Cel }
  | { readonly kind: 'binary'; readonly op: BinaryOp; readonly left: Cel; readonly right: Cel }
  | { readonly kind: 'choice'; readonly test: Cel; readonly yes: Cel; readonly no: Cel }
  | { readonly kind: 'has'; readonly field: Cel & { readonly kind: 'field' } }
  | { readonly kind: 'call'; readonly name: CelFunction; readonly args: readonly Cel[] }
  | {
      readonly kind: 'each'
      readonly macro: Macro
      readonly of: Cel
      readonly as: string
      readonly body: readonly Cel[]
    }

export type BinaryOp = '||' | '&&' | '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | '+' | '-' | '*' | '/' | '%'
export type Macro = 'all' | 'exists' | 'exists_one' | 'filter' | 'map'
export type CelFunction = 'size' | 'int' | 'double' | 'string' | 'contains' | 'startsWith' | 'endsWith' | 'lowerAscii' | 'upperAscii' // prettier-ignore

export type CelRead = { readonly ok: true; readonly cel: Cel } | { readonly ok: false; readonly message: string }

export const CEL_MAX_CHARS = 4_096
const MAX_DEPTH = 64

const LEVELS: readonly (readonly BinaryOp[])[] = [['||'], ['&&'], ['==', '!=', '<', '<=', '>', '>=', 'in'], ['+', '-'], ['*', '/', '%']] // prettier-ignore
const MACROS: ReadonlySet<string> = new Set<Macro>(['all', 'exists', 'exists_one', 'filter', 'map'])
/** How many arguments, the one before the dot included. */
const FUNCTIONS: Readonly<Record<CelFunction, 1 | 2>> = {
  size: 1, int: 1, double: 1, string: 1, contains: 2, startsWith: 2, endsWith: 2, lowerAscii: 1, upperAscii: 1,
} // prettier-ignore
const METHODS: ReadonlySet<string> = new Set(['size', 'contains', 'startsWith', 'endsWith', 'lowerAscii', 'upperAscii'])
const TOKEN =
  /\s*(?:(\d+\.\d+|\d+)|("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|([A-Za-z_]\w*)|(\|\||&&|[=!<>]=|[-+*/%<>!?:.,()[\]{}]))/y

type Token = { readonly is: 'number' | 'string' | 'name' | 'sign' | 'end'; readonly text: string; readonly at: number }

/** Never throws: a sentence says where it stops being an expression. */
export function readCel(text: string): CelRead {
  if (text.length > CEL_MAX_CHARS) return { ok: false, message: `longer than ${CEL_MAX_CHARS} characters` }
  try {
    const reader = new Reader(tokens(text))
    const cel = reader.expression(0)
    reader.end()
    return { ok: true, cel }
  } catch (error) {
    if (error instanceof NotCel) return { ok: false, message: error.message }
    throw error
  }
}

class NotCel extends Error {}

function tokens(text: string): readonly Token[] {
  const found: Token[] = []
  TOKEN.lastIndex = 0
  while (text.slice(TOKEN.lastIndex).trim() !== '') {
    const at = TOKEN.lastIndex
    const match = TOKEN.exec(text)
    if (match === null) throw new NotCel(`column ${at + 1}: not understood: ${text.slice(at, at + 20).trim()}`)
    const [, number, string, name, sign] = match
    const is = number !== undefined ? 'number' : string !== undefined ? 'string' : name !== undefined ? 'name' : 'sign'
    found.push({ is, text: number ?? string ?? name ?? sign ?? '', at })
  }
  return [...found, { is: 'end', text: 'the end', at: text.length }]
}

class Reader {
  readonly #tokens: readonly Token[]
  #next = 0
  #depth = 0

  constructor(all: readonly Token[]) {
    this.#tokens = all
  }

  get #token(): Token {
    return this.#tokens[this.#next] ?? { is: 'end', text: 'the end', at: 0 }
  }

  #take(text: string): boolean {
    const { is, text: found } = this.#token
    if (found !== text || is === 'string') return false
    this.#next += 1
    return true
  }

  #need(text: string): void {
    if (!this.#take(text)) this.#fail(`${text} was expected`)
  }

  #fail(why: string): never {
    throw new NotCel(`column ${this.#token.at + 1}: ${why}, found ${this.#token.text}`)
  }

  end(): void {
    if (this.#token.is !== 'end') this.#fail('the end was expected')
  }

  expression(level: number): Cel {
    if (++this.#depth > MAX_DEPTH * LEVELS.length) this.#fail('nested too deeply')
    const cel = level === 0 ? this.#choice() : this.#binary(level - 1)
    this.#depth -= 1
    return cel
  }

  #choice(): Cel {
    const test = this.#binary(0)
    if (!this.#take('?')) return test
    const yes = this.#binary(0)
    this.#need(':')
    return { kind: 'choice', test, yes, no: this.expression(0) }
  }

  #binary(level: number): Cel {
    const ops = LEVELS[level]
    if (ops === undefined) return this.#unary()
    let left = this.expression(level + 2)
    for (;;) {
      const op = ops.find((one) => this.#take(one))
      if (op === undefined) return left
      left = { kind: 'binary', op, left, right: this.expression(level + 2) }
    }
  }

  #unary(): Cel {
    for (const op of ['!', '-'] as const) {
      if (this.#take(op)) {
        if (++this.#depth > MAX_DEPTH * LEVELS.length) this.#fail('nested too deeply')
        return { kind: 'unary', op, of: this.#unary() }
      }
    }
    let cel = this.#primary()
    for (;;) {
      if (this.#take('.')) cel = this.#member(cel)
      else if (this.#take('[')) {
        cel = { kind: 'index', of: cel, at: this.expression(0) }
        this.#need(']')
      } else return cel
    }
  }

  #member(of: Cel): Cel {
    const name = this.#name()
    if (!this.#take('(')) return { kind: 'field', of, name }
    if (MACROS.has(name)) return this.#macro(of, name as Macro)
    if (!METHODS.has(name)) this.#fail(`.${name}() is not known`)
    return this.#call(name as CelFunction, [of, ...this.#list(')')])
  }

  #macro(of: Cel, macro: Macro): Cel {
    const as = this.#name()
    this.#need(',')
    const body = this.#list(')')
    if (body.length !== 1 && !(macro === 'map' && body.length === 2)) this.#fail(`.${macro}() has other arguments`)
    return { kind: 'each', macro, of, as, body }
  }

  #call(name: CelFunction, args: readonly Cel[]): Cel {
    if (args.length !== FUNCTIONS[name]) this.#fail(`${name}() has other arguments`)
    return { kind: 'call', name, args }
  }

  #name(): string {
    const { is, text } = this.#token
    if (is !== 'name') this.#fail('a name was expected')
    this.#next += 1
    return text
  }

  #list(close: string): readonly Cel[] {
    const items: Cel[] = []
    if (this.#take(close)) return items
    do items.push(this.expression(0))
    while (this.#take(','))
    this.#need(close)
    return items
  }

  #map(): Cel {
    const entries: (readonly [Cel, Cel])[] = []
    if (this.#take('}')) return { kind: 'map', entries }
    do {
      const key = this.expression(0)
      this.#need(':')
      entries.push([key, this.expression(0)])
    } while (this.#take(','))
    this.#need('}')
    return { kind: 'map', entries }
  }

  #primary(): Cel {
    const { is, text } = this.#token
    if (is === 'number' || is === 'string') {
      this.#next += 1
      return { kind: 'literal', value: is === 'number' ? Number(text) : unquoted(text) }
    }
    if (this.#take('(')) {
      const cel = this.expression(0)
      this.#need(')')
      return cel
    }
    if (this.#take('[')) return { kind: 'list', items: this.#list(']') }
    if (this.#take('{')) return this.#map()
    const name = this.#name()
    if (name === 'true' || name === 'false') return { kind: 'literal', value: name === 'true' }
    if (name === 'null') return { kind: 'literal', value: null }
    if (!this.#take('(')) return { kind: 'name', name }
    const args = this.#list(')')
    if (name === 'has') {
      const [field] = args
      if (args.length !== 1 || field?.kind !== 'field') this.#fail('has() takes one field, has(a.b)')
      return { kind: 'has', field }
    }
    if (!Object.hasOwn(FUNCTIONS, name) || FUNCTIONS[name as CelFunction] !== 1) this.#fail(`${name}() is not known`)
    return this.#call(name as CelFunction, args)
  }
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' }

function unquoted(text: string): string {
  return text.slice(1, -1).replaceAll(/\\(.)/g, (_all, sign: string) => ESCAPES[sign] ?? sign)
}
