/**
 * The site's rows: groups of key and value, each row with a checksum, each group with a count and a sum over its rows, so that a
 * flipped bit is seen in the row and a lost row is seen in the group. One table; what the groups mean is agent-store.ts.
 */
import { createHash } from 'node:crypto'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { Fault } from '../../core/model/fault.ts'
import { storeFault } from './node-sqlite.ts'

/**
 * The newest that this code reads and writes. A higher number is a newer agent's store: not opened. An older one is opened and
 * stays as it is, so that the agent before this one can have it back, until `confirmFormat`: rows only gain fields and groups.
 */
const AGENT_FORMAT = 1
const SUM_BYTES = 16
const SQLITE_ERROR = 1
/** No group of rows: counts the transactions. */
const COMMITS = '#'
/** Beside the format's number, so that a flipped bit of it is not taken for a newer agent's store: 'FL' and the format. */
const STAMP = 0x464c0000

export interface AgentRows {
  /** Rows whose checksum holds; `damaged` says whether any did not, or is missing. */
  read(group: string): { readonly rows: ReadonlyMap<string, Uint8Array>; readonly damaged: boolean }
  get(group: string, key: string): Uint8Array | undefined
  has(group: string, key: string): boolean
  keys(group: string): readonly string[]
  /** One transaction; on the disk when it returns, or with the next that is. A null value drops the row. */
  write(changes: readonly RowChange[], outlives?: 'power' | 'process'): void
  /** How many transactions there were. An agent of before this was counted adds none. */
  commits(): number
  /** No older agent is to read this any more. */
  confirmFormat(): void
  close(): void
}

export interface RowChange {
  readonly group: string
  readonly key: string
  readonly value: Uint8Array | null
}

/** Fault StoreCorrupt where the file is no store of ours or its pages are damaged. */
export function openAgentRows(file: string, newest = AGENT_FORMAT, onDisk?: (commits: number) => void): AgentRows {
  const db = attempt(() => new DatabaseSync(file))
  try {
    return attempt(() => rowsOf(db, newest, onDisk))
  } catch (error) {
    db.close()
    // A header that asks for what no SQLite can: our statements are the same at every start.
    if (error instanceof Fault && error.facts['code'] === SQLITE_ERROR)
      throw new Fault('StoreCorrupt', error.message, { cause: error })
    throw error
  }
}

/** A whole and consistent copy of a file that another process may be writing. */
export function copyAgentRows(from: string, to: string): void {
  attempt(() => {
    const db = new DatabaseSync(from)
    try {
      db.exec('PRAGMA busy_timeout = 5000')
      db.prepare('VACUUM INTO ?').run(to)
    } finally {
      db.close()
    }
  })
}

function rowsOf(db: DatabaseSync, newest: number, onDisk?: (commits: number) => void): AgentRows {
  db.exec(
    'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; PRAGMA cell_size_check = ON',
  )
  checkIntegrity(db)
  const format = numberOf(db, 'user_version')
  const stamp = numberOf(db, 'application_id')
  if (stamp !== 0 && stamp !== STAMP + format)
    throw new Fault('StoreCorrupt', `format ${format} and its stamp do not agree`)
  if (format > newest) throw new Fault('StoreFailed', `the store has format ${format}, this agent knows ${newest}`)
  db.exec(`
    CREATE TABLE IF NOT EXISTS rows (grp TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, sum BLOB NOT NULL,
      PRIMARY KEY (grp, key)) STRICT;
    CREATE TABLE IF NOT EXISTS groups (grp TEXT PRIMARY KEY NOT NULL, count INTEGER NOT NULL, sum BLOB NOT NULL) STRICT;`)
  if (format === 0) stampAs(db, newest)
  else if (stamp === 0) stampAs(db, format)
  return attemptOn(() => statementsOf(db, newest, onDisk))
}

/** A schema that does not say what it said: a bit of it flipped. */
function attemptOn<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw new Fault('StoreCorrupt', error instanceof Error ? error.message : 'sqlite', { cause: error })
  }
}

function stampAs(db: DatabaseSync, format: number): void {
  db.exec(`BEGIN IMMEDIATE; PRAGMA user_version = ${format}; PRAGMA application_id = ${STAMP + format}; COMMIT`)
}

function numberOf(db: DatabaseSync, pragma: 'user_version' | 'application_id'): number {
  return Number(db.prepare(`PRAGMA ${pragma}`).get()?.[pragma] ?? 0)
}

function statementsOf(db: DatabaseSync, newest: number, onDisk?: (commits: number) => void): AgentRows {
  // Named here: a schema of which a letter flipped from small to capital is still one, and its names are not.
  const one = db.prepare('SELECT value AS value, sum AS sum FROM rows WHERE grp = ? AND key = ?')
  const all = db.prepare('SELECT key AS key, value AS value, sum AS sum FROM rows WHERE grp = ?')
  const names = db.prepare('SELECT key AS key FROM rows WHERE grp = ? ORDER BY key')
  const known = db.prepare('SELECT 1 FROM rows WHERE grp = ? AND key = ?')
  const group = db.prepare('SELECT count AS count, sum AS sum FROM groups WHERE grp = ?')
  const write = writer(db, one, group)
  let doubtful = false
  /**
   * A sync that failed may have dropped what earlier commits left to it, and the next one would not say so: all of the log is
   * written once more, into the database itself.
   */
  const settle = (): void => {
    if (!doubtful) return
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    doubtful = false
  }
  return {
    read: (name) => attempt(() => readGroup(name, all, group)),
    get: (name, key) =>
      attempt(() => {
        const row = one.get(name, key) as Row | undefined
        return row === undefined || !holds(name, key, row) ? undefined : row.value
      }),
    has: (name, key) => attempt(() => known.get(name, key) !== undefined),
    keys: (name) => attempt(() => names.all(name).map((row) => String(row['key']))),
    write: (changes, outlives = 'power') =>
      attempt(() => {
        settle()
        try {
          if (outlives === 'power') {
            const commits = write(changes)
            if (commits > 0) onDisk?.(commits)
            return
          }
          // In WAL mode: written, and synced with the next commit that is.
          db.exec('PRAGMA synchronous = NORMAL')
          write(changes)
        } catch (error) {
          doubtful = isBroken(error)
          throw error
        } finally {
          if (outlives === 'process') db.exec('PRAGMA synchronous = FULL')
        }
      }),
    commits: () => attempt(() => totalOf(group.get(COMMITS)).count),
    confirmFormat: () =>
      attempt(() => {
        if (numberOf(db, 'user_version') < newest) stampAs(db, newest)
      }),
    close: () => db.close(),
  }
}

/** https://sqlite.org/rescode.html#ioerr, whatever of it. */
function isBroken(error: unknown): boolean {
  const code = (error as { errcode?: unknown }).errcode
  return typeof code === 'number' && (code & 0xff) === 10
}

/** Structure only: what a flip in a page header or a cell pointer does. Values have their own sums. */
function checkIntegrity(db: DatabaseSync): void {
  const found = db.prepare('PRAGMA integrity_check(1)').get()
  const verdict = found === undefined ? 'ok' : String(Object.values(found)[0])
  if (verdict !== 'ok') throw new Fault('StoreCorrupt', verdict)
}

interface Row {
  readonly value: Uint8Array
  readonly sum: Uint8Array
}

function readGroup(
  name: string,
  all: StatementSync,
  group: StatementSync,
): { readonly rows: ReadonlyMap<string, Uint8Array>; readonly damaged: boolean } {
  const rows = new Map<string, Uint8Array>()
  const total = new Uint8Array(SUM_BYTES)
  let damaged = false
  for (const found of all.all(name)) {
    const row = found as unknown as Row & { readonly key: string }
    if (!holds(name, row.key, row)) damaged = true
    else {
      rows.set(row.key, row.value)
      fold(total, row.sum)
    }
  }
  const said = group.get(name) as { readonly count: number; readonly sum: Uint8Array } | undefined
  if (said === undefined ? rows.size > 0 : said.count !== rows.size || Buffer.compare(said.sum, total) !== 0)
    damaged = true
  return { rows, damaged }
}

/** Returns how many transactions there were by then; 0: there was nothing to write. */
function writer(db: DatabaseSync, one: StatementSync, group: StatementSync): (changes: readonly RowChange[]) => number {
  const put = db.prepare('INSERT OR REPLACE INTO rows (grp, key, value, sum) VALUES (?, ?, ?, ?)')
  const drop = db.prepare('DELETE FROM rows WHERE grp = ? AND key = ?')
  const total = db.prepare('INSERT OR REPLACE INTO groups (grp, count, sum) VALUES (?, ?, ?)')
  return (changes) => {
    if (changes.length === 0) return 0
    db.exec('BEGIN IMMEDIATE')
    try {
      const totals = new Map<string, { count: number; readonly sum: Uint8Array }>()
      for (const { group: name, key, value } of changes) {
        const said = totals.get(name) ?? totalOf(group.get(name))
        totals.set(name, said)
        const before = one.get(name, key) as Row | undefined
        if (before !== undefined) fold(said.sum, before.sum)
        if (value === null) drop.run(name, key)
        else {
          const sum = sumOf(name, key, value)
          put.run(name, key, value, sum)
          fold(said.sum, sum)
        }
        said.count += (value === null ? 0 : 1) - (before === undefined ? 0 : 1)
      }
      for (const [name, { count, sum }] of totals) total.run(name, count, sum)
      const { count, sum } = totalOf(group.get(COMMITS))
      total.run(COMMITS, count + 1, sum)
      db.exec('COMMIT')
      return count + 1
    } catch (error) {
      if (db.isTransaction) db.exec('ROLLBACK')
      throw error
    }
  }
}

function totalOf(row: unknown): { count: number; readonly sum: Uint8Array } {
  const said = row as { readonly count: number; readonly sum: Uint8Array } | undefined
  return { count: said?.count ?? 0, sum: Uint8Array.from(said?.sum ?? new Uint8Array(SUM_BYTES)) }
}

function holds(group: string, key: string, { value, sum }: Row): boolean {
  return Buffer.compare(sumOf(group, key, value), sum) === 0
}

function sumOf(group: string, key: string, value: Uint8Array): Uint8Array {
  return createHash('sha256').update(`${group}\0${key}\0`).update(value).digest().subarray(0, SUM_BYTES)
}

/** Adds to a sum what was not in it, and takes out what was. */
function fold(into: Uint8Array, sum: Uint8Array): void {
  for (let i = 0; i < SUM_BYTES; i++) into[i] = (into[i] ?? 0) ^ (sum[i] ?? 0)
}

function attempt<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw storeFault(error)
  }
}
