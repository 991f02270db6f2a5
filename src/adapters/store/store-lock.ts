/**
 * One writer a store: a lock of the kernel's, gone with the process that holds it however that ends, and seen by every process
 * that has the folder, in another container too.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Fault } from '../../core/model/fault.ts'
import { onFiles } from './agent-files.ts'
import { storeFault } from './node-sqlite.ts'

export interface StoreLock {
  release(): void
}

/** undefined: another holds it. Faults StoreReadOnly, StoreFull, StoreFailed. */
export function takeStoreLock(dir: string): StoreLock | undefined {
  if (dir === ':memory:') return { release: () => undefined }
  onFiles(() => mkdirSync(dir, { recursive: true, mode: 0o700 }))
  // SQLite's own file locks: Node has none. Nothing is ever written to it.
  let db: DatabaseSync | undefined
  try {
    db = new DatabaseSync(join(dir, 'lock'))
    db.exec('PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE')
  } catch (error) {
    db?.close()
    const fault = storeFault(error)
    if (fault.reason === 'Conflict') return undefined
    throw new Fault(fault.reason, `cannot lock ${dir}: ${fault.message}`, { cause: error })
  }
  const held = db
  return { release: () => held.close() }
}
