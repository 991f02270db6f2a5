/** Commits and trees, read from the object database into the files that the hub parses. */
import { Fault } from '../../core/model/fault.ts'
import type { ObjectDb } from './object-db.ts'

/** One file of a revision; the same shape as core/fleet's SourceFile. */
export interface TreeFile {
  readonly path: string
  readonly oid: string
  readonly bytes: Uint8Array
}

export interface TreeLimits {
  readonly files: number
  readonly fileBytes: number
  readonly totalBytes: number
  readonly depth: number
}

/** A repository is one of a few per hub; what is beyond this is not configuration. */
export const TREE_LIMITS: TreeLimits = {
  files: 200_000,
  fileBytes: 8 * 1024 * 1024,
  totalBytes: 512 * 1024 * 1024,
  depth: 32,
}

/** Letters and digits of any script, and the punctuation that file names of manifests need; never a leading dash or `..`. */
const SEGMENT = /^[\p{L}\p{N}._@+=~()[\]{} ,#&'!%-]+$/u
const MAX_SEGMENT = 255

export function refusedSegment(name: string): string | undefined {
  if (name === '' || name === '.' || name === '..') return 'not a file name'
  if (name.length > MAX_SEGMENT) return `a name of ${name.length} characters`
  if (/^\.git$/i.test(name) || /^git~\d+$/i.test(name)) return 'a name that Git keeps for itself'
  if (name.startsWith('-')) return 'a name that begins with a dash'
  if (name.endsWith('\ufffd')) return 'a name that is not UTF-8'
  if (!SEGMENT.test(name)) return 'a character that paths may not have'
  return undefined
}

export interface Commit {
  readonly tree: string
  readonly parents: readonly string[]
  readonly message: string
  readonly timeMs: number
}

export function readCommit(db: ObjectDb, oid: string): Commit {
  const text = db.read(oid, 'commit').toString('utf8')
  const end = text.indexOf('\n\n')
  const head = end < 0 ? text : text.slice(0, end)
  const tree = /^tree ([0-9a-f]{40})$/m.exec(head)?.[1]
  if (tree === undefined) throw new Fault('ObjectUnreadable', `Git object ${oid}: a commit without a tree`)
  const seconds = /^committer .*> (\d+) [-+]\d{4}$/m.exec(head)?.[1] ?? '0'
  return {
    tree,
    parents: [...head.matchAll(/^parent ([0-9a-f]{40})$/gm)].map((match) => match[1] as string),
    message: end < 0 ? '' : (text.slice(end + 2).split('\n')[0] ?? '').slice(0, 200),
    timeMs: Number(seconds) * 1000,
  }
}

/** The blob at a path; undefined where there is none. */
export function blobAt(db: ObjectDb, commit: Commit, path: string): string | undefined {
  let oid = commit.tree
  const names = path.split('/')
  for (const [i, wanted] of names.entries()) {
    const found = readTree(db, oid).find(({ name }) => name === wanted)
    if (found === undefined || (found.mode === '40000') !== i < names.length - 1) return undefined
    oid = found.oid
  }
  return oid
}

/** Undefined for what is not UTF-8. */
export function decodedName(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

/** In one go; then whoever waits for the thread has it. */
const BUSY_MS = 20
const MOST_TREES = 10_000

/** What is wrong with an object says nothing to whoever wrote the file: the path does. */
function placed<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    throw new Fault(error.reason, `${path === '' ? 'the root folder' : path}: ${error.message}`, {
      cause: error,
      facts: { path },
    })
  }
}

interface TreeEntry {
  readonly mode: string
  readonly name: string
  readonly oid: string
}

function readTree(db: ObjectDb, oid: string): TreeEntry[] {
  const data = db.read(oid, 'tree')
  const entries: TreeEntry[] = []
  for (let at = 0; at < data.length;) {
    const space = data.indexOf(32, at)
    const end = data.indexOf(0, space)
    if (space < 0 || end < 0 || end + 21 > data.length)
      throw new Fault('ObjectUnreadable', `Git object ${oid}: a damaged tree`)
    entries.push({
      mode: data.toString('latin1', at, space),
      name: decodedName(data.subarray(space + 1, end)) ?? `${data.toString('latin1', space + 1, end)}\ufffd`,
      oid: data.toString('hex', end + 1, end + 21),
    })
    at = end + 21
  }
  return entries
}

/**
 * All files below `root` ('' for the repository's root). Files of `previous` with the same blob are taken over unread. Others of
 * the process have their turn in between: a hundred thousand files take seconds.
 * Faults: UnsafeTree (symlink, submodule, odd mode or path), TooLarge, ObjectUnreadable, NotFound (no such root).
 */
export async function readFiles(
  db: ObjectDb,
  commit: Commit,
  root: string,
  previous: ReadonlyMap<string, TreeFile>,
  limits: TreeLimits = TREE_LIMITS,
): Promise<ReadonlyMap<string, TreeFile>> {
  const files = new Map<string, TreeFile>()
  const byOid = new Map<string, TreeFile>()
  for (const file of previous.values()) byOid.set(file.oid, file)
  /** A folder that stands in many places is read once. */
  const trees = new Map<string, readonly TreeEntry[]>()
  const entriesOf = (oid: string): readonly TreeEntry[] => {
    const known = trees.get(oid)
    if (known !== undefined) return known
    const entries = readTree(db, oid)
    if (trees.size < MOST_TREES) trees.set(oid, entries)
    return entries
  }
  let totalBytes = 0
  let busySinceMs = performance.now()

  const walk = async (treeOid: string, prefix: string, depth: number): Promise<void> => {
    if (depth > limits.depth) throw new Fault('TooLarge', `${prefix}: folders nested deeper than ${limits.depth}`)
    for (const { mode, name, oid } of placed(prefix, () => entriesOf(treeOid))) {
      if (performance.now() - busySinceMs > BUSY_MS) {
        await new Promise((resolve) => setImmediate(resolve))
        busySinceMs = performance.now()
      }
      const path = prefix + name
      const refused = refusedSegment(name)
      if (refused !== undefined)
        throw new Fault('UnsafeTree', `${JSON.stringify(path)}: ${refused}; rename it`, { facts: { path } })
      switch (mode) {
        case '40000':
          await walk(oid, `${path}/`, depth + 1)
          break
        case '100644':
        case '100755': {
          if (files.size >= limits.files) throw new Fault('TooLarge', `more than ${limits.files} files`)
          const known = byOid.get(oid)
          const bytes = known?.bytes ?? placed(path, () => db.read(oid, 'blob'))
          totalBytes += bytes.length
          if (bytes.length > limits.fileBytes) {
            throw new Fault('TooLarge', `${path}: ${bytes.length} bytes, above the limit of ${limits.fileBytes}`)
          }
          if (totalBytes > limits.totalBytes)
            throw new Fault('TooLarge', `files above ${limits.totalBytes} bytes in all`)
          const file = known?.path === path ? known : { path, oid, bytes }
          if (known === undefined) byOid.set(oid, file)
          files.set(path, file)
          break
        }
        case '120000':
          throw new Fault('UnsafeTree', `${path}: a symlink; commit the file itself`, { facts: { path } })
        case '160000':
          throw new Fault('UnsafeTree', `${path}: a submodule; commit its files`, { facts: { path } })
        default:
          throw new Fault('UnsafeTree', `${path}: file mode ${mode}; use 100644 or 100755`, { facts: { path } })
      }
    }
  }

  let tree = commit.tree
  const segments = root.split('/').filter((segment) => segment !== '' && segment !== '.')
  for (const segment of segments) {
    const entry = readTree(db, tree).find(({ name, mode }) => name === segment && mode === '40000')
    if (entry === undefined) throw new Fault('NotFound', `no folder ${root} in this revision`)
    tree = entry.oid
  }
  await walk(tree, segments.map((segment) => `${segment}/`).join(''), 0)
  return files
}

export type Ancestry = 'contains' | 'rewritten' | 'unknown'

/** Does the history of `tip` contain `oid`? `unknown` where a shallow boundary or the limit ends the walk first. */
export function historyContains(
  db: ObjectDb,
  tip: string,
  oid: string,
  shallow: ReadonlySet<string>,
  limit = 50_000,
): Ancestry {
  const seen = new Set<string>([tip])
  let front = [tip]
  let cut = false
  while (front.length > 0) {
    const next: string[] = []
    for (const commit of front) {
      if (commit === oid) return 'contains'
      if (shallow.has(commit)) {
        cut = true
        continue
      }
      for (const parent of readCommit(db, commit).parents) {
        if (seen.has(parent)) continue
        if (seen.size >= limit) return 'unknown'
        seen.add(parent)
        next.push(parent)
      }
    }
    front = next
  }
  return cut ? 'unknown' : 'rewritten'
}
