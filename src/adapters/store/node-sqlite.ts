import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import type { SqliteDatabase, SqliteStatement } from 'kysely'
import { asFault, Fault, type FaultReason } from '../../core/model/fault.ts'

/** Prepared statements kept: kysely makes the same text again and again, and preparing costs ten times the step. */
const KEPT_STATEMENTS = 256

/** KiB of pages kept: the rows of one change, which lie all over the indexes, and not the whole file. */
const CACHE_KIB = 32 * 1024

/** `power`: a commit is on the disk when it returns (WAL with a full sync). `process`: it outlives a kill and no power cut. */
export type Durability = 'power' | 'process'

/** `node:sqlite` in the shape that kysely's SQLite dialect takes. */
export function openSqlite(file: string, durability: Durability = 'power'): SqliteDatabase {
  const db = new DatabaseSync(file)
  db.exec(`PRAGMA synchronous = ${durability === 'power' ? 'FULL' : 'OFF'}`)
  db.exec('PRAGMA journal_mode = WAL; PRAGMA foreign_keys = OFF; PRAGMA busy_timeout = 5000')
  db.exec(`PRAGMA cache_size = -${CACHE_KIB}`)
  const kept = new Map<string, SqliteStatement>()
  return {
    close: () => {
      kept.clear()
      db.close()
    },
    prepare(text) {
      const known = kept.get(text)
      if (known !== undefined) return known
      const made = wrap(db.prepare(text))
      if (kept.size >= KEPT_STATEMENTS) kept.delete(kept.keys().next().value ?? '')
      kept.set(text, made)
      return made
    },
  }
}

function wrap(statement: StatementSync): SqliteStatement {
  return {
    reader: statement.columns().length > 0,
    all: (values) => statement.all(...(values as SQLInputValue[])),
    run: (values) => statement.run(...(values as SQLInputValue[])),
    iterate: (values) => statement.iterate(...(values as SQLInputValue[])) as IterableIterator<unknown>,
  }
}

/** https://sqlite.org/rescode.html, primary codes: what each means to a loop. */
const BY_CODE: Readonly<Record<number, FaultReason>> = {
  5: 'Conflict',
  6: 'Conflict',
  8: 'StoreReadOnly',
  10: 'StoreFailed',
  11: 'StoreCorrupt',
  13: 'StoreFull',
  14: 'StoreFailed',
  26: 'StoreCorrupt',
}

/** Any error of the store as a Fault, once. */
export function storeFault(error: unknown): Fault {
  if (error instanceof Fault) return error
  const code = (error as { errcode?: unknown }).errcode
  if (typeof code === 'number') {
    const reason = BY_CODE[code & 0xff] ?? 'StoreFailed'
    return new Fault(reason, error instanceof Error ? error.message : 'sqlite', { cause: error, facts: { code } })
  }
  const other = asFault(error)
  return other.reason === 'Unexpected' ? new Fault('StoreFailed', other.message, { cause: error }) : other
}
