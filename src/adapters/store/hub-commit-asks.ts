/** What is asked of sites, and what came back. */
import type { Transaction } from 'kysely'
import type { HubChange } from '../../hub/store.ts'
import { inParts } from './in-parts.ts'
import type { HubTables } from './hub-schema.ts'

type Tx = Transaction<HubTables>

export async function writeAsks(tx: Tx, change: HubChange): Promise<void> {
  for (const ask of change.asks ?? []) {
    const doc = JSON.stringify(ask)
    await tx
      .insertInto('ask')
      .values({ id: ask.id, doc })
      .onConflict((c) => c.column('id').doUpdateSet({ doc }))
      .execute()
  }
  const rows = (change.askSites ?? []).map((row) => ({ id: row.id, site_id: row.siteId, doc: JSON.stringify(row) }))
  for await (const part of inParts(rows))
    await tx
      .insertInto('ask_site')
      .values(part)
      .onConflict((c) => c.columns(['id', 'site_id']).doUpdateSet((e) => ({ doc: e.ref('excluded.doc') })))
      .execute()
  for (const { id, siteId, part, text } of change.askParts ?? [])
    await tx
      .insertInto('ask_part')
      .values({ id, site_id: siteId, part, text })
      .onConflict((c) => c.columns(['id', 'site_id', 'part']).doNothing())
      .execute()
  for (const id of change.asksGone ?? [])
    for (const table of ['ask', 'ask_site', 'ask_part'] as const)
      await tx.deleteFrom(table).where('id', '=', id).execute()
}
