/** Words of operators, tokens, and what is only ever appended. */
import { createHash } from 'node:crypto'
import type { Transaction } from 'kysely'
import type { SignedStatement } from '../../core/protocol/messages.ts'
import type { HubChange } from '../../hub/store.ts'
import { inParts } from './in-parts.ts'
import type { HubTables } from './hub-schema.ts'

type Tx = Transaction<HubTables>

/** Events kept: a ring for people, not a log. */
const KEPT_EVENTS = 5_000
/** From when it was acknowledged, by the hub's clock (PROTOCOL.md, Up). */
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
  for (const { release, statement } of change.statements ?? []) {
    await tx
      .insertInto('statement')
      .values({ id: statementId(statement), release, doc: JSON.stringify(statement) })
      .onConflict((c) => c.column('id').doNothing())
      .execute()
  }
  for (const statement of change.statementsGone ?? [])
    await tx.deleteFrom('statement').where('id', '=', statementId(statement)).execute()
  for (const record of change.apiTokens ?? [])
    await tx
      .insertInto('api_token')
      .values({ hash: record.hash, doc: JSON.stringify(record) })
      .execute()
}

function statementId(statement: SignedStatement): string {
  return createHash('sha256').update(JSON.stringify(statement)).digest('hex')
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
    const rows: ResultRow[] = []
    for (const result of results) {
      const row = await unheard(tx, rowOf(result))
      if (row !== undefined) rows.push(row)
    }
    if (rows.length > 0)
      await tx
        .insertInto('result')
        .values(rows)
        .onConflict((c) => c.columns(['site', 'store_epoch', 'item']).doNothing())
        .execute()
    await tx
      .deleteFrom('result')
      .where('at', '<', Math.min(...results.map(({ atMs }) => atMs)) - KEPT_RESULTS_MS)
      .execute()
  }
}

type ResultRow = Omit<HubTables['result'], 'seq'>

function rowOf(r: NonNullable<HubChange['results']>[number]): ResultRow {
  const doc = JSON.stringify({ class: r.class, body: r.body })
  return { site: r.site, store_epoch: r.storeEpoch, item: r.seq, at: r.atMs, doc }
}

/**
 * undefined: it is there, under whatever name its store had then, for a store that was rebuilt says again what it still knows. A site
 * whose disk went back to an older copy, and two boxes with one disk, count from the same number again: another result under a
 * number that is taken is kept under a name of its own.
 */
async function unheard(tx: Tx, row: ResultRow): Promise<ResultRow | undefined> {
  const there = await tx
    .selectFrom('result')
    .select(['store_epoch', 'doc'])
    .where('site', '=', row.site)
    .where('item', '=', row.item)
    .execute()
  if (there.some(({ doc }) => doc === row.doc)) return undefined
  if (!there.some((other) => other.store_epoch === row.store_epoch)) return row
  const sum = createHash('sha256').update(row.doc).digest('hex').slice(0, OTHER_SUM_CHARS)
  return { ...row, store_epoch: `${row.store_epoch}+${sum}` }
}
