/** A site's rows under its new name. Those of rollouts are written with their rollouts. */
import type { Transaction } from 'kysely'
import type { EntryRecord, HoldRecord, Rename } from '../../hub/store.ts'
import type { HubTables } from './hub-schema.ts'

type Tx = Transaction<HubTables>

export async function writeRename(tx: Tx, { from, to }: Rename): Promise<void> {
  const entries = await tx.selectFrom('entry').selectAll().where('site', '=', from).execute()
  const hold = await tx.selectFrom('hold').select('doc').where('site', '=', from).executeTakeFirst()
  // Who waited under the new name, or was retired there, leaves nothing that could be taken for the one who comes.
  for (const table of ['entry', 'observation', 'manifest'] as const)
    await tx.deleteFrom(table).where('site', '=', to).execute()
  await tx.deleteFrom('site').where('name', '=', to).execute()
  await tx.updateTable('site').set({ name: to }).where('name', '=', from).execute()
  for (const table of ['site_key', 'join_token', 'observation', 'manifest', 'result'] as const)
    await tx.updateTable(table).set({ site: to }).where('site', '=', from).execute()
  for (const { workload, doc } of entries)
    await tx
      .updateTable('entry')
      .set({ site: to, doc: JSON.stringify({ ...(JSON.parse(doc) as EntryRecord), site: to }) })
      .where('site', '=', from)
      .where('workload', '=', workload)
      .execute()
  if (hold === undefined) return
  const doc = JSON.stringify({ ...(JSON.parse(hold.doc) as HoldRecord), site: to })
  await tx.deleteFrom('hold').where('site', 'in', [from, to]).execute()
  await tx.insertInto('hold').values({ site: to, doc }).execute()
}
