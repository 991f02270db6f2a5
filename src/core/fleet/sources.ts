/** The plain manifests of a source folder as objects, read as kubectl reads them; encrypted documents as their original bytes. */
import { byUtf16, isObject, type Json, type JsonObject } from '../model/json.ts'
import type { Place, Problem } from '../model/problem.ts'
import type { Code } from './codes.ts'
import { isUnder, MANIFEST_FILE, problemsOf, readFile } from './documents.ts'
import { API_GROUP } from './kinds.ts'
import { resolveSource } from './source-path.ts'
import type { FleetCache, SourceFile, SourceTree } from './types.ts'
import { decodeText } from './yaml.ts'
import type { YamlDocument, YamlText } from './yaml-text.ts'

/** One object as a source says it. */
export interface SourceObject {
  readonly value: JsonObject
  /** Exact bytes of an encrypted document; null for all others. */
  readonly sealed: Uint8Array | null
  readonly place: Place
}

export interface Source {
  readonly objects: readonly SourceObject[]
  /** Any of them holds the workload. */
  readonly problems: readonly Problem[]
  /** Paths and contents that were read: what the source is, for the class digest. */
  readonly read: readonly { readonly path: string; readonly oid: string }[]
}

/** Beyond this a site could not report on it, and no workload that people made comes near. */
const MOST_OBJECTS = 10_000
const KUSTOMIZATION = /(?:^|\/)(?:kustomization\.ya?ml|Kustomization)$/

/** `path` as in Workload.source.path: a folder with all below it, or one file. `place` is where the Workload stands. */
export function readSource(tree: SourceTree, path: string, place: Place, cache: FleetCache): Source {
  const folder = path === '.' ? '' : path
  const single = tree.get(folder)
  if (single !== undefined) return readFiles([single], cache)
  const below = [...tree.keys()]
    .filter((file) => isUnder(file, folder) && !hasHiddenPart(file, folder))
    .toSorted(byUtf16)
  if (tree.has(folder === '' ? 'Chart.yaml' : `${folder}/Chart.yaml`)) {
    const message = 'not yet: Helm charts are not rendered'
    const next = 'Commit the rendered manifests, or wait for the release that renders charts.'
    return failed('FLT2010', place, message, next)
  }
  const kustomizations = below.filter((file) => KUSTOMIZATION.test(file))
  const here = kustomizations.filter((file) => !file.slice(folder === '' ? 0 : folder.length + 1).includes('/'))
  if (here.length > 0) return readKustomization(tree, folder, here, cache)
  const [nested] = kustomizations
  if (nested !== undefined) {
    const message = 'not yet: a kustomization inside a folder of plain manifests is not rendered'
    return failed('FLT2010', { file: nested, line: 1, column: 1 }, message, 'Point source.path at this folder itself.')
  }
  const files = below.filter((file) => MANIFEST_FILE.test(file)).flatMap((file) => tree.get(file) ?? [])
  if (below.length === 0) return failed('FLT2001', place, `there is no folder ${path}`, hint(tree, path))
  const source = readFiles(files, cache)
  if (source.objects.length > 0 || source.problems.length > 0) return source
  return failed('FLT2001', place, `${path} holds no manifest`, 'Add a manifest, or correct source.path.')
}

function hasHiddenPart(file: string, folder: string): boolean {
  return /(?:^|\/)\./.test(file.slice(folder.length))
}

function failed(code: Code, place: Place, message: string, next: string): Source {
  return { objects: [], problems: [{ code, severity: 'error', place, path: '', message, next }], read: [] }
}

/** People write paths from the root of the repository where they count from the file. */
function hint(tree: SourceTree, path: string): string {
  const parts = path.split('/')
  for (let i = 1; i < parts.length; i++) {
    const shorter = parts.slice(i).join('/')
    if ([...tree.keys()].some((file) => isUnder(file, shorter))) {
      return `From the root of the repository it is written /${shorter}.`
    }
  }
  return 'Correct source.path: it counts from the folder of this file.'
}

/** The everyday kustomization that only lists files of its folder is those files; anything more is not rendered yet. */
function readKustomization(tree: SourceTree, folder: string, files: readonly string[], cache: FleetCache): Source {
  const [path = '', second] = files
  const start = { file: path, line: 1, column: 1 }
  if (second !== undefined) return failed('FLT2002', start, `${second} stands beside it`, 'Keep one of them.')
  const file = tree.get(path)
  const text = file === undefined ? undefined : readFile(file, 'kubectl', cache)
  const bad = text === undefined ? [] : problemsOf(text, path).filter(({ severity }) => severity === 'error')
  if (bad.length > 0)
    return { objects: [], problems: bad.map((problem) => ({ ...problem, code: 'FLT2002' })), read: [] }
  const value = text?.documents[0]?.value
  if (!isObject(value)) return failed('FLT2002', start, 'the kustomization is empty', 'List the files under resources.')
  const known = ['apiVersion', 'kind', 'resources']
  const other = Object.keys(value).filter((key) => !known.includes(key))
  if (other.length > 0 || (value['kind'] !== undefined && value['kind'] !== 'Kustomization')) {
    const what = other.length > 0 ? other.join(', ') : `kind ${JSON.stringify(value['kind'])}`
    const next = 'Use overlays of the Workload, or wait for the release that renders kustomizations.'
    return failed('FLT2010', start, `not yet: ${what} of a kustomization is not rendered`, next)
  }
  const resources = value['resources']
  if (!Array.isArray(resources) || resources.length === 0) {
    return failed('FLT2001', start, 'the kustomization lists no resources', 'List the files under resources.')
  }
  const listed: SourceFile[] = []
  for (const resource of resources as readonly Json[]) {
    const resolved = typeof resource === 'string' ? resolveSource(path, resource) : undefined
    const at = resolved === undefined ? undefined : tree.get(resolved)
    if (at === undefined || !isUnder(at.path, folder)) {
      const shown = JSON.stringify(resource).slice(0, 100)
      const message = `not yet: the resource ${shown} is no file of this folder`
      return failed('FLT2010', start, message, 'List files of this folder only.')
    }
    listed.push(at)
  }
  const source = readFiles(listed, cache)
  return file === undefined ? source : { ...source, read: [{ path, oid: file.oid }, ...source.read] }
}

function readFiles(files: readonly SourceFile[], cache: FleetCache): Source {
  const objects: SourceObject[] = []
  const problems: Problem[] = []
  for (const file of files) {
    const text = readFile(file, 'kubectl', cache)
    const bad = problemsOf(text, file.path).filter(({ severity }) => severity === 'error')
    problems.push(...bad.map((problem): Problem => ({ ...problem, code: 'FLT2002' })))
    if (bad.length > 0) continue
    problems.push(...sharedMacs(text, file.path))
    for (const document of text.documents) readDocument(file, text, document, objects, problems)
  }
  if (objects.length > MOST_OBJECTS) {
    const place = { file: files[0]?.path ?? '', line: 1, column: 1 }
    return failed('FLT1007', place, `more than ${MOST_OBJECTS} objects in one workload`, 'Split the workload.')
  }
  return { objects, problems, read: files.map(({ path, oid }) => ({ path, oid })) }
}

function readDocument(
  file: SourceFile,
  text: YamlText,
  document: YamlDocument,
  objects: SourceObject[],
  problems: Problem[],
): void {
  const { value } = document
  const place: Place = { file: file.path, ...document.at }
  // `null` documents are passed over, as kubectl does; documents of ours beside the manifests are no manifests.
  if (value === null) return
  if (!isObject(value)) {
    const next = 'Write apiVersion, kind and metadata, or remove the document.'
    problems.push({
      code: 'FLT2003',
      severity: 'error',
      place,
      path: '',
      message: 'this is no Kubernetes object',
      next,
    })
    return
  }
  const { apiVersion, kind } = value
  if (typeof apiVersion === 'string' && (apiVersion === API_GROUP || apiVersion.startsWith(`${API_GROUP}/`))) return
  const sops = value['sops']
  if (sops !== undefined) {
    const refused = refuseSealed(value, sops)
    if (refused === undefined) objects.push({ value, sealed: bytesOf(file, text, document), place })
    else {
      const next = 'Encrypt it again with sops, each document in a file of its own.'
      problems.push({ code: 'FLT2007', severity: 'error', place, path: 'sops', message: refused, next })
    }
    return
  }
  const items = value['items']
  if (typeof kind === 'string' && kind.endsWith('List') && Array.isArray(items)) {
    for (const [i, item] of (items as readonly Json[]).entries()) {
      if (isObject(item)) objects.push({ value: typed(item, value, kind), sealed: null, place })
      else {
        const path = `items[${i}]`
        const message = 'an item of the list is no object'
        problems.push({ code: 'FLT2003', severity: 'error', place, path, message, next: 'Remove it.' })
      }
    }
    return
  }
  objects.push({ value, sealed: null, place })
}

/** An item of a ConfigMapList that says no kind is a ConfigMap. */
function typed(item: JsonObject, list: JsonObject, kind: string): JsonObject {
  if (item['kind'] !== undefined || kind === 'List') return item
  return { ...item, apiVersion: item['apiVersion'] ?? list['apiVersion'], kind: kind.slice(0, -4) }
}

function refuseSealed(value: JsonObject, sops: Json): string | undefined {
  if (!isObject(sops) || typeof sops['mac'] !== 'string') return 'a sops stanza without a MAC: nothing vouches for it'
  if (sops['mac_only_encrypted'] === true) return 'mac_only_encrypted leaves its kind, namespace and name unprotected'
  if (typeof value['kind'] === 'string' && value['kind'].endsWith('List'))
    return 'an encrypted List cannot be taken apart'
  return undefined
}

/** The MAC of sops covers the file it was given: documents that share one cannot travel alone. */
function sharedMacs(text: YamlText, path: string): readonly Problem[] {
  const seen = new Set<string>()
  const problems: Problem[] = []
  for (const { value, at } of text.documents) {
    const sops = isObject(value) ? value['sops'] : undefined
    const mac = isObject(sops) ? sops['mac'] : undefined
    if (typeof mac !== 'string') continue
    if (seen.has(mac)) {
      problems.push({
        code: 'FLT2007',
        severity: 'error',
        place: { file: path, ...at },
        path: 'sops.mac',
        message: 'encrypted as one file of several documents: its MAC covers all of them, and each travels alone',
        next: 'Encrypt each document in a file of its own.',
      })
    }
    seen.add(mac)
  }
  return problems
}

const utf8 = new TextEncoder()

/** The whole file where it holds nothing else, or exactly this document of it. */
function bytesOf(file: SourceFile, text: YamlText, document: YamlDocument): Uint8Array {
  if (text.documents.length === 1 && document.index === 0) return file.bytes
  return utf8.encode((decodeText(file.bytes) ?? '').slice(document.from, document.to))
}
