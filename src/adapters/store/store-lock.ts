/**
 * One writer a store: a lock of the kernel's, gone with the process that holds it however that ends, and seen by every process
 * that has the folder, in another container too.
 */
import { randomUUID } from 'node:crypto'
import { mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Fault } from '../../core/model/fault.ts'
import { onFiles } from './agent-files.ts'
import { storeFault } from './node-sqlite.ts'

export interface StoreLock {
  /** Of this folder, and not of a copy of it: the process that has it next has the same. */
  readonly id: string
  release(): void
}

/** undefined: another holds it. Faults StoreReadOnly, StoreFull, StoreFailed. */
export function takeStoreLock(dir: string): StoreLock | undefined {
  if (dir === ':memory:') return { id: randomUUID(), release: () => undefined }
  onFiles(() => mkdirSync(dir, { recursive: true, mode: 0o700 }))
  // SQLite's own file locks: Node has none. Nothing is ever written to it.
  const file = join(dir, 'lock')
  let db: DatabaseSync | undefined
  try {
    db = new DatabaseSync(file)
    db.exec('PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE')
  } catch (error) {
    db?.close()
    const fault = storeFault(error)
    if (fault.reason === 'Conflict') return undefined
    throw new Fault(fault.reason, `cannot lock ${dir}: ${fault.message}`, { cause: error })
  }
  const held = db
  const { ino, birthtimeMs } = onFiles(() => statSync(file))
  return { id: `${ino}-${Math.floor(birthtimeMs)}`, release: () => held.close() }
}
