/** Words of operators, tokens, and what is only ever appended. */
import { createHash } from 'node:crypto'
import type { Transaction } from 'kysely'
import type { HubChange } from '../../hub/store.ts'
import { inParts } from './in-parts.ts'
import type { HubTables } from './hub-schema.ts'

type Tx = Transaction<HubTables>

/** Events kept: a ring for people, not a log. */
const KEPT_EVENTS = 5_000
/** A result nobody fetched in this time is gone (PROTOCOL.md, Up). */
const KEPT_RESULTS_MS = 30 * 86_400_000
const OTHER_SUM_CHARS = 16

export async function writeOperators(tx: Tx, change: HubChange): Promise<void> {
  for (const record of change.holds ?? []) {
    const doc = JSON.stringify(record)
    await tx
      .insertInto('hold')
      .values({ site: record.site, doc })
      .onConflict((c) => c.column('site').doUpdateSet({ doc }))
      .execute()
  }
  for (const site of change.holdsGone ?? []) await tx.deleteFrom('hold').where('site', '=', site).execute()
  for (const record of change.freezes ?? [])
    await tx
      .insertInto('freeze')
      .values({ id: record.id, doc: JSON.stringify(record) })
      .execute()
  for (const id of change.freezesGone ?? []) await tx.deleteFrom('freeze').where('id', '=', id).execute()
  for (const { hash, site, expiresMs } of change.tokens ?? [])
    await tx.insertInto('join_token').values({ hash, site, expires_at: expiresMs, used_by: null }).execute()
  for (const record of change.apiTokens ?? [])
    await tx
      .insertInto('api_token')
      .values({ hash: record.hash, doc: JSON.stringify(record) })
      .execute()
}

export async function writeLogs(tx: Tx, change: HubChange): Promise<void> {
  // A taken sequence means that another hub wrote since: the chain must not fork.
  for (const record of change.audit ?? []) {
    const { seq, atMs, hash, ...doc } = record
    await tx
      .insertInto('audit')
      .values({ seq, at: atMs, hash, doc: JSON.stringify(doc) })
      .execute()
  }
  const events = change.events ?? []
  for await (const rows of inParts(events))
    await tx
      .insertInto('event')
      .values(rows.map(({ seq, atMs, ...doc }) => ({ seq, at: atMs, doc: JSON.stringify(doc) })))
      .onConflict((c) => c.column('seq').doNothing())
      .execute()
  const last = events.at(-1)
  if (last !== undefined)
    await tx
      .deleteFrom('event')
      .where('seq', '<=', last.seq - KEPT_EVENTS)
      .execute()
  for await (const results of inParts(change.results ?? [])) {
    const rows = results.map(rowOf)
    if ((await insertResults(tx, rows)) < rows.length) await insertResults(tx, await renamed(tx, rows))
    await tx
      .deleteFrom('result')
      .where('at', '<', Math.min(...rows.map((row) => row.at)) - KEPT_RESULTS_MS)
      .execute()
  }
}

type ResultRow = Omit<HubTables['result'], 'seq'>

function rowOf(r: NonNullable<HubChange['results']>[number]): ResultRow {
  const doc = JSON.stringify({ class: r.class, body: r.body })
  return { site: r.site, store_epoch: r.storeEpoch, item: r.seq, at: r.atMs, doc }
}

/** Returns how many were not there yet. */
async function insertResults(tx: Tx, rows: readonly ResultRow[]): Promise<number> {
  if (rows.length === 0) return 0
  const [done] = await tx
    .insertInto('result')
    .values(rows)
    .onConflict((c) => c.columns(['site', 'store_epoch', 'item']).doNothing())
    .execute()
  return Number(done?.numInsertedOrUpdatedRows ?? 0)
}

/**
 * A site whose disk went back to an older copy, and two boxes with one disk, count from the same number again: another result under
 * a number that is taken is another result, and is kept under a name of its own.
 */
async function renamed(tx: Tx, rows: readonly ResultRow[]): Promise<ResultRow[]> {
  const others: ResultRow[] = []
  for (const row of rows) {
    const there = await tx
      .selectFrom('result')
      .select('doc')
      .where('site', '=', row.site)
      .where('store_epoch', '=', row.store_epoch)
      .where('item', '=', row.item)
      .executeTakeFirst()
    if (there === undefined || there.doc === row.doc) continue
    const sum = createHash('sha256').update(row.doc).digest('hex').slice(0, OTHER_SUM_CHARS)
    others.push({ ...row, store_epoch: `${row.store_epoch}+${sum}` })
  }
  return others
}
