/** Which documents of a revision are ours, and whose fleet they belong to. A document's kind decides, not its folder. */
import { isObject, byUtf16, type JsonObject } from '../model/json.ts'
import type { Place, Problem } from '../model/problem.ts'
import { recallFile } from './cache.ts'
import type { Code } from './codes.ts'
import { API_GROUP } from './kinds.ts'
import { nearest } from '../model/nearest.ts'
import type { Reading } from './scalars.ts'
import { resolveSource } from './source-path.ts'
import type { FleetCache, SourceFile, SourceTree } from './types.ts'
import { locate, readYaml } from './yaml.ts'
import type { Path, YamlText } from './yaml-text.ts'

export const ROOT_FILE = 'flotilla.yaml'
export const MANIFEST_FILE = /\.(?:ya?ml|json)$/

/** One document with our apiVersion; version, kind and schema are not yet judged. */
export interface OurDocument {
  readonly file: SourceFile
  readonly index: number
  readonly value: JsonObject
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly place: Place
  /** Where a field stands. Parses the file again: ask only when something is to be pointed at. */
  at(path: Path, what?: 'key' | 'value'): Place
}

export interface FoundDocuments {
  readonly documents: readonly OurDocument[]
  readonly problems: readonly Problem[]
}

/** Parsed once per content: `reading` decides what `yes` is. */
export function readFile(file: SourceFile, reading: Reading, cache: FleetCache): YamlText {
  return recallFile(cache, `${reading}:${file.oid}`, () => readYaml(file.bytes, reading))
}

export function problemsOf(text: YamlText, file: string): readonly Problem[] {
  return text.problems.map(({ at, ...problem }) => ({ ...problem, place: { file, ...at } }))
}

/** Folders that hold a root file, in order; '' is the repository's root. */
export function findRoots(tree: SourceTree): readonly string[] {
  const roots: string[] = []
  for (const path of tree.keys()) {
    if (path === ROOT_FILE) roots.push('')
    else if (path.endsWith(`/${ROOT_FILE}`)) roots.push(path.slice(0, -ROOT_FILE.length - 1))
  }
  return roots.toSorted(byUtf16)
}

export function isUnder(path: string, folder: string): boolean {
  return folder === '' || path.startsWith(`${folder}/`)
}

// The cheap question first, on bytes: most files of a repository are sources and charts, and none of our business.
/** A line of the outermost level: a file that says this and does not parse is ours, and stops the revision. */
const SAYS = /^(?:\uFEFF)?(?:---[ \t]+)?(?:\{[ \t]*)?["']?apiVersion["']?[ \t]*:[ \t]*["']?flotilla\.dev\b/m
const SAYS_IN_JSON = /[{,]\s*"apiVersion"\s*:\s*"flotilla\.dev\b/
const ALMOST = /^apiVersion:[ \t]*["']?([A-Za-z0-9.-]{8,16})\//gm

/** All documents of ours under the root, in order of path; folders with a root file of their own are other fleets. */
export function findDocuments(tree: SourceTree, root: string, cache: FleetCache): FoundDocuments {
  const documents: OurDocument[] = []
  const problems: Problem[] = []
  const nested = findRoots(tree).filter((other) => other !== root && isUnder(other, root))
  for (const other of nested) {
    const place = { file: `${other}/${ROOT_FILE}`, line: 1, column: 1 }
    problems.push({
      code: 'FLT1014',
      severity: 'notice',
      place,
      path: '',
      message: `${other} has a root file of its own: it is another fleet and is passed over`,
    })
  }
  const paths = [...tree.keys()].filter(
    (path) => MANIFEST_FILE.test(path) && isUnder(path, root) && !nested.some((other) => isUnder(path, other)),
  )
  for (const path of paths.toSorted(byUtf16)) {
    const file = tree.get(path)
    if (file !== undefined) readDocuments(file, cache, documents, problems)
  }
  // One in a source is no document of ours: it holds the workload, which says so.
  const sources = documents.flatMap(({ kind, file, value }) =>
    kind === 'Workload' ? (sourceOf(file, value) ?? []) : [],
  )
  const isSourced = ({ code, place }: Problem): boolean =>
    code === POINTER && sources.some((folder) => isUnder(place.file, folder === '.' ? '' : folder))
  return { documents, problems: problems.filter((problem) => !isSourced(problem)) }
}

function sourceOf({ path }: SourceFile, { spec }: JsonObject): string | undefined {
  const source = isObject(spec) ? spec['source'] : undefined
  const folder = isObject(source) ? source['path'] : undefined
  return typeof folder === 'string' ? resolveSource(path, folder) : undefined
}

type Sight =
  /** `mentions`: somewhere inside, a broken chart that quotes us for example. Ours only if a document of it turns out to be. */
  | { readonly sight: 'ours' | 'mentions' | 'other' | 'pointer' | 'utf-16' }
  | { readonly sight: 'almost'; readonly group: string }

const POINTER = 'FLT1025' satisfies Code
const LFS = /^version https:\/\/git-lfs\.github\.com\/spec\//

function wideText(bytes: Uint8Array): string | undefined {
  const mark = bytes.length < 2 ? 0 : ((bytes[0] as number) << 8) | (bytes[1] as number)
  if (mark === 0xfffe) return new TextDecoder('utf-16le').decode(bytes)
  return mark === 0xfeff ? new TextDecoder('utf-16be').decode(bytes) : undefined
}

function look(file: SourceFile): Sight {
  // Neither says in words that are looked for here what it holds: a document of ours would be gone, and nobody told.
  if (/\.ya?ml$/.test(file.path) && LFS.test(new TextDecoder().decode(file.bytes.subarray(0, 64))))
    return { sight: 'pointer' }
  const wide = wideText(file.bytes)
  if (wide !== undefined) return { sight: wide.includes(API_GROUP) ? 'utf-16' : 'other' }
  const text = new TextDecoder().decode(file.bytes)
  if (text.includes(API_GROUP)) {
    const says = SAYS.test(text) || (file.path.endsWith('.json') && SAYS_IN_JSON.test(text))
    return { sight: says ? 'ours' : 'mentions' }
  }
  for (const [, group] of text.matchAll(ALMOST)) {
    if (group !== undefined && group !== API_GROUP && nearest(group, [API_GROUP]) !== undefined) {
      return { sight: 'almost', group }
    }
  }
  return { sight: 'other' }
}

function readDocuments(file: SourceFile, cache: FleetCache, documents: OurDocument[], problems: Problem[]): void {
  const sight = recallFile(cache, `sight:${file.path.endsWith('.json') ? 'json' : 'yaml'}:${file.oid}`, () =>
    look(file),
  )
  if (sight.sight === 'almost') {
    problems.push({
      code: 'FLT1021',
      severity: 'warning',
      place: { file: file.path, line: 1, column: 1 },
      path: 'apiVersion',
      message: 'looks like a document of ours and is not read as one',
      found: sight.group,
      expected: API_GROUP,
      next: 'Correct the apiVersion.',
    })
  }
  const place = { file: file.path, line: 1, column: 1 }
  if (sight.sight === 'pointer') {
    const message = 'a pointer of Git LFS in the place of the file: what it stands for is not in the repository'
    const next = 'Commit the file itself: git lfs untrack, then git add --renormalize.'
    problems.push({ code: POINTER, severity: 'error', place, path: '', message, next })
  }
  if (sight.sight === 'utf-16') {
    const message = 'the file is UTF-16, not UTF-8 text'
    problems.push({ code: 'FLT1017', severity: 'error', place, path: '', message, next: 'Save it as UTF-8.' })
  }
  if (sight.sight !== 'ours' && sight.sight !== 'mentions') return
  if (!isPlainPath(file.path)) {
    problems.push(outside(file.path))
    return
  }
  const text = readFile(file, 'core', cache)
  const found = text.documents.flatMap((document) => {
    const { value } = document
    const apiVersion = isObject(value) ? value['apiVersion'] : undefined
    if (!isObject(value) || typeof apiVersion !== 'string') return []
    if (apiVersion !== API_GROUP && !apiVersion.startsWith(`${API_GROUP}/`)) return []
    return [ours(file, document.index, value, apiVersion, document.at)]
  })
  // A file whose own documents are all somebody else's is judged where it is used; one that does not parse is ours by its look.
  const broken = sight.sight === 'ours' && text.problems.some(({ severity }) => severity === 'error')
  if (found.length > 0 || broken) {
    problems.push(...problemsOf(text, file.path))
  }
  documents.push(...found)
}

function ours(
  file: SourceFile,
  index: number,
  value: JsonObject,
  apiVersion: string,
  at: { readonly line: number; readonly column: number },
): OurDocument {
  const metadata = value['metadata']
  const name = isObject(metadata) ? metadata['name'] : undefined
  return {
    file,
    index,
    value,
    apiVersion,
    kind: typeof value['kind'] === 'string' ? value['kind'] : '',
    name: typeof name === 'string' ? name : '',
    place: { file: file.path, ...at },
    at(path, what = 'value') {
      return { file: file.path, ...locate(file.bytes, index, path, what) }
    },
  }
}

/** No empty, `.` or `..` part, no backslash, no control character: what every file system and URL agrees on. */
export function isPlainPath(path: string): boolean {
  if (path === '' || path.length > 1024 || path.startsWith('/')) return false
  // eslint-disable-next-line no-control-regex
  if (/[\\\u0000-\u001f\u007f]/.test(path)) return false
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
}

function outside(path: string): Problem {
  const shown = JSON.stringify(path.slice(0, 200)).slice(1, -1)
  const code: Code = 'FLT1020'
  return {
    code,
    severity: 'error',
    place: { file: shown, line: 1, column: 1 },
    path: '',
    message: 'the path of this file is outside the grammar',
    expected: 'parts without control characters, backslashes, `.` and `..`',
    next: 'Rename the file.',
  }
}
