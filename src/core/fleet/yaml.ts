/** The one door through which YAML and JSON text enters: text in, JSON out, every limit checked on the way. Never throws. */
import { isMap, isScalar, isSeq } from 'yaml'
import type { Code } from './codes.ts'
import type { Reading } from './scalars.ts'
import { Reader } from './yaml-values.ts'
import {
  compose,
  offsetOf,
  YAML_LIMITS,
  type Composed,
  type Path,
  type TextPosition,
  type YamlDocument,
  type YamlText,
} from './yaml-text.ts'

/** Decodes UTF-8; undefined for anything else. The byte order mark stays, so that offsets hold. */
export function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

/** As YAML 1.2 says and kubectl's reader holds it: control characters stand in a text as escapes alone. */
// oxlint-disable-next-line no-control-regex
const UNPRINTABLE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u0084\u0086-\u009f\ufffe\uffff]/

const START: TextPosition = { line: 1, column: 1 }

/** Reads all documents of a file. Never throws. */
export function readYaml(bytes: Uint8Array, reading: Reading): YamlText {
  const refuse = (code: Code, message: string, next: string, at = START): YamlText => ({
    documents: [],
    problems: [{ code, severity: 'error', at, path: '', message, next }],
  })
  if (bytes.length > YAML_LIMITS.bytes) {
    return refuse('FLT1007', `the file has ${bytes.length} bytes, the limit is ${YAML_LIMITS.bytes}`, 'Split the file.')
  }
  const text = decodeText(bytes)
  if (text === undefined) return refuse('FLT1017', 'the file is not UTF-8 text', 'Save it as UTF-8.')
  const control = UNPRINTABLE.exec(text)
  if (control !== null) {
    const before = text.slice(0, control.index).split(/\r\n?|\n/)
    const at = { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 }
    const name = `U+${control[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`
    return refuse(
      'FLT1002',
      `a character that YAML does not have: ${name}`,
      'Remove it, or write it as an escape in double quotes.',
      at,
    )
  }
  const composed = composeSafely(text)
  if (composed === undefined) return refuse('FLT1002', 'the YAML parser gave up on this text', 'Correct the YAML.')
  if ('tooDeep' in composed) {
    const { line, col } = composed.lines.linePos(composed.tooDeep)
    const at = { line, column: col }
    return refuse('FLT1007', `nested deeper than ${YAML_LIMITS.depth}`, 'Flatten the document.', at)
  }
  if (composed.documents.length > YAML_LIMITS.documents) {
    return refuse('FLT1007', `more than ${YAML_LIMITS.documents} documents in one file`, 'Split the file.')
  }
  const reader = new Reader(text, composed.lines, reading)
  const documents: YamlDocument[] = []
  for (const [index, document] of composed.documents.entries()) {
    const read = reader.document(document, index)
    if (read !== undefined) documents.push(read)
    if (reader.full) break
  }
  return { documents, problems: reader.problems }
}

/**
 * Where a path of one document stands: the key itself for `at: 'key'`, else its value; the nearest parent that is there where
 * the path is not. Parses again: only asked for when there is something to point at.
 */
export function locate(bytes: Uint8Array, index: number, path: Path, at: 'key' | 'value' = 'value'): TextPosition {
  const composed = composeOnce(bytes)
  if (composed === undefined || 'tooDeep' in composed) return START
  let node: unknown = composed.documents[index]?.contents
  let offset = offsetOf(node)
  for (const [i, part] of path.entries()) {
    const last = i === path.length - 1
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(part))
      if (pair === undefined) break
      node = pair.value
      offset = last && at === 'key' ? offsetOf(pair.key) : node === null ? offsetOf(pair.key) : offsetOf(node)
    } else if (isSeq(node) && typeof part === 'number') {
      const item = node.items[part]
      if (item === undefined) break
      node = item
      offset = offsetOf(node)
    } else break
  }
  const { line, col } = composed.lines.linePos(offset)
  return { line: Math.max(line, 1), column: Math.max(col, 1) }
}

/** Many questions in a row are about one file: the last one is kept. */
let lastComposed: { readonly bytes: Uint8Array; readonly composed: Composed | undefined } | undefined
function composeOnce(bytes: Uint8Array): Composed | undefined {
  if (lastComposed?.bytes !== bytes) {
    const text = decodeText(bytes)
    lastComposed = { bytes, composed: text === undefined ? undefined : composeSafely(text) }
  }
  return lastComposed.composed
}

/** No text that a user can write may end a process: what the library throws for is text that does not parse. */
function composeSafely(text: string): Composed | undefined {
  try {
    return compose(text)
  } catch {
    return undefined
  }
}
