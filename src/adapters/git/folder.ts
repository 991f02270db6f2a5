/** A folder on disk read as a revision would hold it, for lint and render before a commit. */
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { Fault } from '../../core/model/fault.ts'
import { TREE_LIMITS, type TreeFile } from './tree.ts'

/** Folders that are never part of a fleet and may be huge. */
const PASSED_OVER: ReadonlySet<string> = new Set(['.git', 'node_modules', '.flotilla'])

/** Faults: NotFound (no such folder), UnsafeTree (symlink), TooLarge. */
export function readFolder(dir: string): ReadonlyMap<string, TreeFile> {
  if (!fs.existsSync(dir)) throw new Fault('NotFound', `${dir}: no such folder`)
  const files = new Map<string, TreeFile>()
  const walk = (folder: string, prefix: string): void => {
    for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
      const file = path.join(folder, entry.name)
      if (entry.isDirectory()) {
        if (!PASSED_OVER.has(entry.name)) walk(file, `${prefix}${entry.name}/`)
        continue
      }
      if (entry.isSymbolicLink())
        throw new Fault('UnsafeTree', `${prefix}${entry.name}: a symlink; commit the file itself`)
      if (!entry.isFile()) continue
      if (files.size >= TREE_LIMITS.files) throw new Fault('TooLarge', `more than ${TREE_LIMITS.files} files in ${dir}`)
      const bytes = fs.readFileSync(file)
      if (bytes.length > TREE_LIMITS.fileBytes)
        throw new Fault('TooLarge', `${file}: ${bytes.length} bytes, above the limit of ${TREE_LIMITS.fileBytes}`)
      const oid = createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
      files.set(prefix + entry.name, { path: prefix + entry.name, oid, bytes })
    }
  }
  walk(dir, '')
  return files
}
