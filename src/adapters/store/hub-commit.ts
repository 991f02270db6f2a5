import type { Transaction } from 'kysely'
import { Fault } from '../../core/model/fault.ts'
import type { HubChange } from '../../hub/store.ts'
import { rests, rolloutHead, rolloutTargets, siteRow, specText, groupSites } from './hub-rows.ts'
import type { HubTables } from './hub-schema.ts'

type Tx = Transaction<HubTables>

/** Rows of one insert: SQLite binds at most 32,766 values a statement, PostgreSQL 65,535. */
const ROWS_PER_INSERT = 500
/** Manifests kept per site, the current one included: what a delta can be made against. */
const KEPT_MANIFESTS = 4
/** Events kept: a ring for people, not a log. */
const KEPT_EVENTS = 5_000
const KEPT_RENDERS = 6
/** A result nobody fetched in this time is gone (PROTOCOL.md, Up). */
const KEPT_RESULTS_MS = 30 * 86_400_000

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
  await forget(tx, change.forgetSites ?? [])
  await writeManifests(tx, change)
  await writeFacts(tx, change)
  await writeAtSites(tx, change)
  await writeRollouts(tx, change)
  await writeOperators(tx, change)
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
      .execute()
    const kept = await tx
      .selectFrom('manifest')
      .select(['epoch', 'counter'])
      .where('site', '=', site)
      .orderBy('epoch', 'desc')
      .orderBy('counter', 'desc')
      .offset(KEPT_MANIFESTS)
      .limit(KEPT_MANIFESTS)
      .execute()
    for (const old of kept)
      await tx
        .deleteFrom('manifest')
        .where('site', '=', site)
        .where('epoch', '=', old.epoch)
        .where('counter', '=', old.counter)
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
  for (const rows of chunks([...(change.blobs ?? [])]))
    await tx
      .insertInto('blob')
      .values(rows.map(({ digest, domain, bytes }) => ({ digest, domain, bytes })))
      .onConflict((c) => c.column('digest').doNothing())
      .execute()
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
  for (const rows of chunks((change.sites ?? []).map(siteRow)))
    await tx
      .insertInto('site')
      .values(rows)
      .onConflict((c) =>
        c.column('name').doUpdateSet((e) => ({
          // epoch and counter move by compare-and-set only
          last_contact: e.ref('excluded.last_contact'),
          due_at: e.ref('excluded.due_at'),
          doc: e.ref('excluded.doc'),
        })),
      )
      .execute()
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

async function writeAtSites(tx: Tx, change: HubChange): Promise<void> {
  for (const { site, workload } of change.entriesGone ?? [])
    await tx.deleteFrom('entry').where('site', '=', site).where('workload', '=', workload).execute()
  for (const { site, workload } of change.observationsGone ?? [])
    await tx.deleteFrom('observation').where('site', '=', site).where('workload', '=', workload).execute()
  const entries = (change.entries ?? []).map((e) => ({ site: e.site, workload: e.workload, doc: JSON.stringify(e) }))
  for (const rows of chunks(entries))
    await tx
      .insertInto('entry')
      .values(rows)
      .onConflict((c) => c.columns(['site', 'workload']).doUpdateSet((e) => ({ doc: e.ref('excluded.doc') })))
      .execute()
  const seen = (change.observations ?? []).map(({ site, observation }) => ({
    site,
    workload: observation.workload,
    doc: JSON.stringify(observation),
  }))
  for (const rows of chunks(seen))
    await tx
      .insertInto('observation')
      .values(rows)
      .onConflict((c) => c.columns(['site', 'workload']).doUpdateSet((e) => ({ doc: e.ref('excluded.doc') })))
      .execute()
}

async function writeRollouts(tx: Tx, change: HubChange): Promise<void> {
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
    const moved = [...(whole ? (record.state?.sites ?? []) : sites)]
      .filter(([site, progress]) => !whole || !rests(progress, record.spec.targets.get(site)))
      .map(([site, progress]) => ({ workload, site, doc: JSON.stringify(progress) }))
    for (const rows of chunks(moved))
      await tx
        .insertInto('rollout_site')
        .values(rows)
        .onConflict((c) => c.columns(['workload', 'site']).doUpdateSet((e) => ({ doc: e.ref('excluded.doc') })))
        .execute()
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

async function writeOperators(tx: Tx, change: HubChange): Promise<void> {
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

async function writeLogs(tx: Tx, change: HubChange): Promise<void> {
  // A taken sequence means that another hub wrote since: the chain must not fork.
  for (const record of change.audit ?? []) {
    const { seq, atMs, hash, ...doc } = record
    await tx
      .insertInto('audit')
      .values({ seq, at: atMs, hash, doc: JSON.stringify(doc) })
      .execute()
  }
  const events = change.events ?? []
  for (const rows of chunks(events))
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
  for (const rows of chunks(change.results ?? [])) {
    await tx
      .insertInto('result')
      .values(
        rows.map((r) => ({
          site: r.site,
          store_epoch: r.storeEpoch,
          item: r.seq,
          at: r.atMs,
          doc: JSON.stringify({ class: r.class, body: r.body }),
        })),
      )
      .onConflict((c) => c.columns(['site', 'store_epoch', 'item']).doNothing())
      .execute()
    await tx
      .deleteFrom('result')
      .where('at', '<', Math.min(...rows.map((r) => r.atMs)) - KEPT_RESULTS_MS)
      .execute()
  }
}

function chunks<T>(rows: readonly T[]): readonly (readonly T[])[] {
  const out: (readonly T[])[] = []
  for (let i = 0; i < rows.length; i += ROWS_PER_INSERT) out.push(rows.slice(i, i + ROWS_PER_INSERT))
  return out
}
