/** Rollouts: a head and a map each, and a row for every site that has moved since the map was written. */
import type { Transaction } from 'kysely'
import type { HubChange } from '../../hub/store.ts'
import { rolloutHead, rolloutTargets, specText } from './hub-rows.ts'
import type { HubTables } from './hub-schema.ts'
import { putRows } from './put-rows.ts'

type Tx = Transaction<HubTables>

export async function writeRollouts(tx: Tx, change: HubChange): Promise<void> {
  for (const workload of change.rolloutsGone ?? []) {
    await tx.deleteFrom('rollout').where('workload', '=', workload).execute()
    await tx.deleteFrom('rollout_site').where('workload', '=', workload).execute()
  }
  for (const { record, whole, sites } of change.rollouts ?? []) {
    const { workload } = record.spec
    const head = rolloutHead(record)
    if (whole) {
      const targets = rolloutTargets(record)
      const next = record.next === null ? null : specText(record.next)
      await tx.deleteFrom('rollout_site').where('workload', '=', workload).execute()
      await tx
        .insertInto('rollout')
        .values({ workload, head, targets, next })
        .onConflict((c) => c.column('workload').doUpdateSet({ head, targets, next }))
        .execute()
    } else await tx.updateTable('rollout').set({ head }).where('workload', '=', workload).execute()
    const moved = whole ? [] : [...sites].map(([site, place]) => ({ workload, site, doc: JSON.stringify(place) }))
    await putRows(tx, 'rollout_site', ['workload', 'site', 'doc'], moved, (rows) =>
      tx
        .insertInto('rollout_site')
        .values(rows)
        .onConflict((c) => c.columns(['workload', 'site']).doUpdateSet((e) => ({ doc: e.ref('excluded.doc') }))),
    )
  }
  for (const { workload, id, atMs, doc } of change.history ?? [])
    await tx
      .insertInto('rollout_history')
      .values({ workload, id, at: atMs, doc: JSON.stringify(doc) })
      .execute()
  for (const record of change.withdrawn ?? [])
    await tx
      .insertInto('withdrawn')
      .values({ digest: record.digest, doc: JSON.stringify(record) })
      .onConflict((c) => c.column('digest').doNothing())
      .execute()
  for (const digest of change.readmitted ?? []) await tx.deleteFrom('withdrawn').where('digest', '=', digest).execute()
}
