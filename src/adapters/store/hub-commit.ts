import type { Transaction } from 'kysely'
import { Fault } from '../../core/model/fault.ts'
import type { EntryRecord, HubChange } from '../../hub/store.ts'
import { writeAsks } from './hub-commit-asks.ts'
import { writeLogs, writeOperators } from './hub-commit-logs.ts'
import { writeRename } from './hub-commit-rename.ts'
import { writeRollouts } from './hub-commit-rollouts.ts'
import { groupSites, siteRow } from './hub-rows.ts'
import { inParts } from './in-parts.ts'
import type { HubTables } from './hub-schema.ts'
import { putRows } from './put-rows.ts'

type Tx = Transaction<HubTables>

/** Manifests kept per site, the current one included: what a delta can be made against. */
const KEPT_MANIFESTS = 4
const KEPT_RENDERS = 6

/** True when there is nothing to write. */
export function isEmpty(change: HubChange): boolean {
  return Object.values(change).every(
    (part) =>
      part === undefined || (Array.isArray(part) && part.length === 0) || (part instanceof Map && part.size === 0),
  )
}

/** Writes one change inside a transaction; what must hold before is checked first. */
export async function writeChange(tx: Tx, change: HubChange): Promise<void> {
  if (change.spend !== undefined) await spend(tx, change.spend)
  for (const rename of change.renames ?? []) await writeRename(tx, rename)
  await forget(tx, change.forgetSites ?? [])
  await writeManifests(tx, change)
  await writeFacts(tx, change)
  await writeAtSites(tx, change)
  await writeRollouts(tx, change)
  await writeOperators(tx, change)
  await writeAsks(tx, change)
  await writeLogs(tx, change)
}

async function spend(tx: Tx, token: NonNullable<HubChange['spend']>): Promise<void> {
  const spent = await tx
    .updateTable('join_token')
    .set({ used_by: token.by })
    .where('hash', '=', token.hash)
    .where('site', '=', token.site)
    .where((e) => e.or([e('used_by', 'is', null), e('used_by', '=', token.by)]))
    .where('expires_at', '>', token.nowMs)
    .executeTakeFirst()
  if (spent.numUpdatedRows !== 1n)
    throw new Fault('TokenRefused', 'the token is used, expired, unknown or for another site', {
      facts: { site: token.site },
    })
}

async function forget(tx: Tx, sites: readonly string[]): Promise<void> {
  for (const site of sites) {
    for (const table of ['entry', 'observation', 'manifest', 'rollout_site', 'hold'] as const)
      await tx.deleteFrom(table).where('site', '=', site).execute()
    await tx.updateTable('site').set({ epoch: 0, counter: 0 }).where('name', '=', site).execute()
  }
}

async function writeManifests(tx: Tx, change: HubChange): Promise<void> {
  for (const { record, expected } of change.manifests ?? []) {
    const { site, generation, body, payload } = record
    const moved = await tx
      .updateTable('site')
      .set({ epoch: generation.epoch, counter: generation.counter })
      .where('name', '=', site)
      .where('epoch', '=', expected?.epoch ?? 0)
      .where('counter', '=', expected?.counter ?? 0)
      .executeTakeFirst()
    if (moved.numUpdatedRows !== 1n)
      throw new Fault('Conflict', 'another hub moved this site meanwhile', { facts: { site } })
    await tx
      .insertInto('manifest')
      .values({ site, epoch: generation.epoch, counter: generation.counter, body, payload })
      // A recovered site's own manifest takes the place of the one that this hub had made and the site never took.
      .onConflict((c) => c.columns(['site', 'epoch', 'counter']).doUpdateSet({ body, payload }))
      .execute()
    // The counter goes on through epochs: by it alone the older ones are known.
    if (generation.counter > KEPT_MANIFESTS)
      await tx
        .deleteFrom('manifest')
        .where('site', '=', site)
        .where('counter', '<=', generation.counter - KEPT_MANIFESTS)
        .execute()
  }
}

async function writeFacts(tx: Tx, change: HubChange): Promise<void> {
  for (const [name, value] of Object.entries(change.meta ?? {}))
    await tx
      .insertInto('meta')
      .values({ name, value })
      .onConflict((c) => c.column('name').doUpdateSet({ value }))
      .execute()
  for await (const rows of inParts([...(change.blobs ?? [])]))
    await tx
      .insertInto('blob')
      .values(rows.map(({ digest, domain, bytes }) => ({ digest, domain, bytes })))
      .onConflict((c) => c.column('digest').doNothing())
      .execute()
  for await (const rows of inParts(change.blobsUnused ?? []))
    await tx
      .insertInto('blob_unused')
      .values(rows.map(({ digest, sinceMs }) => ({ digest, since: sinceMs })))
      .onConflict((c) => c.column('digest').doNothing())
      .execute()
  for await (const digests of inParts(change.blobsGone ?? []))
    await tx.deleteFrom('blob').where('digest', 'in', digests).execute()
  for await (const digests of inParts([...(change.blobsUsed ?? []), ...(change.blobsGone ?? [])]))
    await tx.deleteFrom('blob_unused').where('digest', 'in', digests).execute()
  if (change.render !== undefined) {
    const { input, renderer, sites } = change.render
    const doc = JSON.stringify(Object.fromEntries(byWorkload(sites)))
    await tx
      .insertInto('render')
      .values({ input, renderer, doc })
      .onConflict((c) => c.columns(['input', 'renderer']).doNothing())
      .execute()
    await tx
      .deleteFrom('render')
      .where('seq', '<=', (q) =>
        q.selectFrom('render').select((e) => e(e.fn.max('seq'), '-', KEPT_RENDERS).as('least')),
      )
      .execute()
  }
  const sites = (change.sites ?? []).map(siteRow)
  await putRows(tx, 'site', ['name', 'epoch', 'counter', 'last_contact', 'due_at', 'doc'], sites, (rows) =>
    tx
      .insertInto('site')
      .values(rows)
      .onConflict((c) =>
        c.column('name').doUpdateSet((e) => ({
          // epoch and counter move by compare-and-set only
          last_contact: e.ref('excluded.last_contact'),
          due_at: e.ref('excluded.due_at'),
          doc: e.ref('excluded.doc'),
        })),
      ),
  )
  for (const { name, lastContactMs, dueAtMs } of change.contacts ?? [])
    await tx
      .updateTable('site')
      .set({ last_contact: lastContactMs, due_at: dueAtMs })
      .where('name', '=', name)
      .execute()
  for (const key of change.keys ?? [])
    await tx
      .insertInto('site_key')
      .values({ hash: key.hash, site: key.site, site_id: key.siteId, state: key.state })
      .onConflict((c) => c.column('hash').doUpdateSet({ site: key.site, site_id: key.siteId, state: key.state }))
      .execute()
}

/** Each site's map turned round, so that a release is written once and not once a site. */
function byWorkload(
  sites: NonNullable<HubChange['render']>['sites'],
): Map<string, Readonly<Record<string, readonly string[]>>> {
  const maps = new Map<string, Map<string, `sha256:${string}`>>()
  for (const [site, workloads] of sites)
    for (const [workload, digest] of workloads) {
      const map = maps.get(workload) ?? new Map<string, `sha256:${string}`>()
      maps.set(workload, map.set(site, digest))
    }
  const named = [...maps].map(([workload, map]) => [workload, groupSites(map)] as const)
  return new Map([...named, ['', { sites: [...sites.keys()] }]])
}

/** As they lie on the disk: where every site's entry of one workload after another is written, each page is written so many times. */
function bySite(entries: readonly EntryRecord[]): EntryRecord[] {
  const sites = new Map<string, EntryRecord[]>()
  for (const entry of entries) {
    const here = sites.get(entry.site)
    if (here === undefined) sites.set(entry.site, [entry])
    else here.push(entry)
  }
  return [...sites.values()].flat()
}

async function writeAtSites(tx: Tx, change: HubChange): Promise<void> {
  for (const { site, workload } of change.entriesGone ?? [])
    await tx.deleteFrom('entry').where('site', '=', site).where('workload', '=', workload).execute()
  for (const { site, workload } of change.observationsGone ?? [])
    await tx.deleteFrom('observation').where('site', '=', site).where('workload', '=', workload).execute()
  const entries = bySite(change.entries ?? []).map((e) => ({
    site: e.site,
    workload: e.workload,
    doc: JSON.stringify(e),
  }))
  await putRows(tx, 'entry', ['site', 'workload', 'doc'], entries, (rows) =>
    tx
      .insertInto('entry')
      .values(rows)
      .onConflict((c) => c.columns(['site', 'workload']).doUpdateSet((e) => ({ doc: e.ref('excluded.doc') }))),
  )
  const seen = (change.observations ?? []).map(({ site, observation }) => ({
    site,
    workload: observation.workload,
    doc: JSON.stringify(observation),
  }))
  await putRows(tx, 'observation', ['site', 'workload', 'doc'], seen, (rows) =>
    tx
      .insertInto('observation')
      .values(rows)
      .onConflict((c) => c.columns(['site', 'workload']).doUpdateSet((e) => ({ doc: e.ref('excluded.doc') }))),
  )
}
