/** What a YAML text is before its values are read: limits, tokens, documents of nodes. */
import { Composer, Lexer, LineCounter, Parser, type Document } from 'yaml'
import type { Json } from '../model/json.ts'
import type { Code } from './codes.ts'

/** Each far above what a person writes or a tool makes for Kubernetes, and low enough that a hostile file ends at once. */
export const YAML_LIMITS = {
  /** An API server refuses an object above 1.5 MiB; a file may hold several. */
  bytes: 4 * 1024 * 1024,
  /** The schemas of large CRDs nest about 60 deep. */
  depth: 128,
  keysPerMap: 20_000,
  /** Values after aliases are expanded, over the whole file. */
  values: 500_000,
  aliases: 500,
  documents: 5_000,
  /** More errors in one file help nobody. */
  problems: 50,
} as const

export interface TextPosition {
  readonly line: number
  readonly column: number
}

/** What is wrong with a text; the file's name is added by who asked. */
export interface TextProblem {
  readonly code: Code
  readonly severity: 'error' | 'warning'
  readonly at: TextPosition
  readonly path: string
  readonly message: string
  readonly found?: string
  readonly next?: string
}

export interface YamlDocument {
  /** Place in the file, from 0; empty documents are counted and left out. */
  readonly index: number
  readonly value: Json
  readonly at: TextPosition
  /** The document's characters in the text, without its `---` line. */
  readonly from: number
  readonly to: number
}

export interface YamlText {
  readonly documents: readonly YamlDocument[]
  readonly problems: readonly TextProblem[]
}

export type Path = readonly (string | number)[]

/** `spec.targets[0].selector`, keys that are no identifiers in brackets. */
export function formatPath(path: Path): string {
  let text = ''
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`
    else if (/^[A-Za-z_$][\w$-]*$/.test(part)) text += text === '' ? part : `.${part}`
    else text += `[${JSON.stringify(part)}]`
  }
  return text
}

export type Composed =
  | { readonly documents: readonly Document.Parsed[]; readonly lines: LineCounter }
  | { readonly tooDeep: number; readonly lines: LineCounter }

/** Token by token, so that depth is known before the library's recursive composer meets it. */
export function compose(text: string): Composed {
  const lines = new LineCounter()
  const parser = new Parser(lines.addNewLine)
  const composer = new Composer({
    schema: 'failsafe',
    resolveKnownTags: false,
    uniqueKeys: false,
    version: '1.2',
    logLevel: 'silent',
  })
  const documents: Document.Parsed[] = []
  lines.addNewLine(0)
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) documents.push(...composer.next(token))
    if (parser.stack.length > YAML_LIMITS.depth * 2) return { tooDeep: parser.offset, lines }
  }
  for (const token of parser.end()) documents.push(...composer.next(token))
  documents.push(...composer.end(false, text.length))
  return { documents, lines }
}

/** Where a node begins, in characters from the start of its text. */
export function offsetOf(node: unknown): number {
  const range = (node as { readonly range?: readonly number[] | null } | null)?.range
  return range?.[0] ?? 0
}
