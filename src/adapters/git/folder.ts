/** A folder on disk read as a revision would hold it, for lint and render before a commit: what a hub would refuse is refused here. */
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { Fault } from '../../core/model/fault.ts'
import { decodedName, refusedSegment, TREE_LIMITS, type TreeFile } from './tree.ts'

/** Folders that are never part of a fleet and may be huge. */
const PASSED_OVER: ReadonlySet<string> = new Set(['.git', 'node_modules', '.flotilla'])

/** Faults: NotFound (no such folder), UnsafeTree (symlink, path), TooLarge. Facts of the last two: `path` and `why`. */
export function readFolder(dir: string): ReadonlyMap<string, TreeFile> {
  if (!fs.existsSync(dir)) throw new Fault('NotFound', `${dir}: no such folder`)
  const files = new Map<string, TreeFile>()
  let totalBytes = 0
  const walk = (folder: string, prefix: string, depth: number): void => {
    if (depth > TREE_LIMITS.depth) throw refused('TooLarge', prefix, `folders nested deeper than ${TREE_LIMITS.depth}`)
    for (const entry of fs.readdirSync(folder, { withFileTypes: true, encoding: 'buffer' })) {
      const name = decodedName(entry.name)
      const shown = prefix + (name ?? entry.name.toString('latin1'))
      if (name === undefined) throw refused('UnsafeTree', shown, 'a name that is not UTF-8; rename it')
      if (PASSED_OVER.has(name)) continue
      const bad = refusedSegment(name)
      if (bad !== undefined) throw refused('UnsafeTree', shown, `${bad}; rename it`)
      if (entry.isSymbolicLink()) throw refused('UnsafeTree', shown, 'a symlink; commit the file itself')
      const file = path.join(folder, name)
      if (entry.isDirectory()) walk(file, `${shown}/`, depth + 1)
      if (!entry.isFile()) continue
      if (files.size >= TREE_LIMITS.files) throw refused('TooLarge', shown, `more than ${TREE_LIMITS.files} files`)
      const { size } = fs.statSync(file)
      if (size > TREE_LIMITS.fileBytes)
        throw refused('TooLarge', shown, `${size} bytes, above the limit of ${TREE_LIMITS.fileBytes}`)
      totalBytes += size
      if (totalBytes > TREE_LIMITS.totalBytes)
        throw refused('TooLarge', shown, `files above ${TREE_LIMITS.totalBytes} bytes in all`)
      const bytes = fs.readFileSync(file)
      const oid = createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
      files.set(shown, { path: shown, oid, bytes })
    }
  }
  walk(dir, '', 0)
  return files
}

function refused(reason: 'UnsafeTree' | 'TooLarge', where: string, why: string): Fault {
  return new Fault(reason, `${where}: ${why}`, { facts: { path: where, why } })
}
