import { Kysely, SqliteDialect } from 'kysely'
import type { Digest } from '../../core/model/digest.ts'
import type { SignedStatement } from '../../core/protocol/messages.ts'
import type { JsonObject } from '../../core/model/json.ts'
import type { WorkloadObservation } from '../../core/model/observation.ts'
import type { BlobDomain } from '../../core/model/release.ts'
import type { SiteProgress } from '../../core/rollout/types.ts'
import type {
  ApiTokenRecord,
  AskRecord,
  AskSiteRecord,
  AtSite,
  AuditRecord,
  EntryRecord,
  EventRecord,
  FreezeRecord,
  HoldRecord,
  HubStore,
  WithdrawnRecord,
} from '../../hub/store.ts'
import { isEmpty, writeChange } from './hub-commit.ts'
import { rolloutRecord, siteRecord, ungroupSites } from './hub-rows.ts'
import { breathe } from './in-parts.ts'
import { migrateHub, type HubTables } from './hub-schema.ts'
import { type Durability, openSqlite, storeFault } from './node-sqlite.ts'

type Db = Kysely<HubTables>

/** Opens (and where needed makes) the embedded store in one SQLite file. Faults as `HubStore` says, here too. */
export async function openHubStore(options: {
  readonly file: string
  readonly durability?: Durability
}): Promise<HubStore> {
  return guarded(async () => {
    const db = new Kysely<HubTables>({
      dialect: new SqliteDialect({ database: openSqlite(options.file, options.durability) }),
    })
    try {
      await migrateHub(db)
    } catch (error) {
      await db.destroy()
      throw error
    }
    return hubStore(db)
  })
}

/** The store over any engine that kysely speaks. */
function hubStore(db: Db): HubStore {
  let written = 0
  return {
    get written() {
      return written
    },
    load: () => guarded(() => load(db)),
    async commit(change) {
      if (isEmpty(change)) return
      await guarded(() => db.transaction().execute((tx) => writeChange(tx, change)))
      written += 1
    },
    book: (workload) => guarded(() => atSites(db, 'workload', workload, 'site')),
    atSite: (site) => guarded(() => atSites(db, 'site', site, 'workload')),
    workloads: () =>
      guarded(async () =>
        (await db.selectFrom('entry').select('workload').distinct().execute()).map(({ workload }) => workload),
      ),
    blob: (digest) =>
      guarded(async () => {
        const row = await db
          .selectFrom('blob')
          .select(['domain', 'bytes'])
          .where('digest', '=', digest)
          .executeTakeFirst()
        return row === undefined ? undefined : { domain: row.domain as BlobDomain, bytes: row.bytes }
      }),
    hasBlobs: (digests) =>
      guarded(async () => {
        const found = new Set<Digest>()
        for (let i = 0; i < digests.length; i += 1000) {
          const part = digests.slice(i, i + 1000)
          const rows = await db.selectFrom('blob').select('digest').where('digest', 'in', part).execute()
          for (const row of rows) found.add(row.digest as Digest)
        }
        return found
      }),
    blobNames: (after, limit) =>
      guarded(async () => {
        const rows = await db
          .selectFrom('blob')
          .select('digest')
          .where('digest', '>', after)
          .orderBy('digest')
          .limit(limit)
          .execute()
        return rows.map(({ digest }) => digest as Digest)
      }),
    unusedBlobs: () =>
      guarded(async () => {
        const rows = await db.selectFrom('blob_unused').selectAll().execute()
        return new Map(rows.map(({ digest, since }) => [digest as Digest, since]))
      }),
    render: (input, renderer) => guarded(() => render(db, input, renderer)),
    manifest: (site, body) =>
      guarded(async () => {
        const row = await db
          .selectFrom('manifest')
          .selectAll()
          .where('site', '=', site)
          .where('body', '=', body)
          .executeTakeFirst()
        if (row === undefined) return undefined
        return { site, generation: { epoch: row.epoch, counter: row.counter }, body, payload: row.payload }
      }),
    events: (after, limit) =>
      guarded(async () => {
        const rows = await db
          .selectFrom('event')
          .selectAll()
          .where('seq', '>', after)
          .orderBy('seq')
          .limit(limit)
          .execute()
        return rows.map((row) => ({ ...parse<EventRecord>(row.doc), seq: row.seq, atMs: row.at }))
      }),
    history: (workload, limit) =>
      guarded(async () => {
        const rows = await db
          .selectFrom('rollout_history')
          .select('doc')
          .where('workload', '=', workload)
          .orderBy('seq', 'desc')
          .limit(limit)
          .execute()
        return rows.map((row) => parse<JsonObject>(row.doc))
      }),
    audit: (after, limit) =>
      guarded(async () => {
        const rows = await db
          .selectFrom('audit')
          .selectAll()
          .where('seq', '>', after)
          .orderBy('seq')
          .limit(limit)
          .execute()
        return rows.map(auditRecord)
      }),
    results: (after, limit) =>
      guarded(async () => {
        const rows = await db
          .selectFrom('result')
          .selectAll()
          .where('seq', '>', after)
          .orderBy('seq')
          .limit(limit)
          .execute()
        return rows.map((row) => ({
          ...parse<{ class: string; body: JsonObject }>(row.doc),
          site: row.site,
          storeEpoch: row.store_epoch,
          seq: row.item,
          atMs: row.at,
        }))
      }),
    askParts: (id) =>
      guarded(async () => {
        const rows = await db.selectFrom('ask_part').selectAll().where('id', '=', id).execute()
        return rows.map(({ site_id: siteId, part, text }) => ({ id, siteId, part, text }))
      }),
    close: () => guarded(() => db.destroy()),
  }
}

async function load(db: Db): ReturnType<HubStore['load']> {
  const progress = new Map<string, Map<string, SiteProgress>>()
  for (const row of await db.selectFrom('rollout_site').selectAll().execute()) {
    const sites = progress.get(row.workload) ?? new Map<string, SiteProgress>()
    progress.set(row.workload, sites.set(row.site, parse(row.doc)))
  }
  const rollouts = await db.selectFrom('rollout').selectAll().execute()
  const audit = await db.selectFrom('audit').selectAll().orderBy('seq', 'desc').limit(1).executeTakeFirst()
  const event = await db.selectFrom('event').select('seq').orderBy('seq', 'desc').limit(1).executeTakeFirst()
  const keys = await db.selectFrom('site_key').selectAll().execute()
  return {
    meta: new Map((await db.selectFrom('meta').selectAll().execute()).map((row) => [row.name, row.value])),
    sites: (await db.selectFrom('site').selectAll().execute()).map(siteRecord),
    keys: keys.map((row) => ({
      hash: row.hash,
      site: row.site,
      siteId: row.site_id,
      state: row.state === 'active' || row.state === 'offered' ? row.state : 'retired',
    })),
    rollouts: rollouts.map((row) => rolloutRecord(row, progress.get(row.workload) ?? new Map())),
    withdrawn: docs<WithdrawnRecord>(await db.selectFrom('withdrawn').select('doc').execute()),
    holds: docs<HoldRecord>(await db.selectFrom('hold').select('doc').execute()),
    freezes: docs<FreezeRecord>(await db.selectFrom('freeze').select('doc').execute()),
    apiTokens: docs<ApiTokenRecord>(await db.selectFrom('api_token').select('doc').execute()),
    statements: docs<SignedStatement>(await db.selectFrom('statement').select('doc').execute()),
    asks: docs<AskRecord>(await db.selectFrom('ask').select('doc').execute()),
    askSites: docs<AskSiteRecord>(await db.selectFrom('ask_site').select('doc').execute()),
    lastAudit: audit === undefined ? null : auditRecord(audit),
    lastEvent: event?.seq ?? 0,
  }
}

async function atSites(
  db: Db,
  by: 'site' | 'workload',
  name: string,
  key: 'site' | 'workload',
): Promise<Map<string, AtSite>> {
  const out = new Map<string, AtSite>()
  for await (const row of rowsOf(db, 'entry', by, name, key))
    out.set(row.key, { entry: parse<EntryRecord>(row.doc), observation: null })
  for await (const row of rowsOf(db, 'observation', by, name, key))
    out.set(row.key, { entry: out.get(row.key)?.entry ?? null, observation: parse<WorkloadObservation>(row.doc) })
  return out
}

/** Rows read before others have their turn. */
const PAGE_ROWS = 1_000

async function* rowsOf(
  db: Db,
  table: 'entry' | 'observation',
  by: 'site' | 'workload',
  name: string,
  key: 'site' | 'workload',
): AsyncGenerator<{ readonly key: string; readonly doc: string }> {
  let after = ''
  for (;;) {
    const rows = await db
      .selectFrom(table)
      .select([`${key} as key`, 'doc'])
      .where(by, '=', name)
      .where(key, '>', after)
      .orderBy(key)
      .limit(PAGE_ROWS)
      .execute()
    yield* rows
    const last = rows.at(-1)
    if (last === undefined || rows.length < PAGE_ROWS) return
    after = last.key
    await breathe()
  }
}

async function render(db: Db, input: Digest, renderer: string): ReturnType<HubStore['render']> {
  const row = await db
    .selectFrom('render')
    .select('doc')
    .where('input', '=', input)
    .where('renderer', '=', renderer)
    .executeTakeFirst()
  if (row === undefined) return undefined
  const { '': all, ...workloads } = parse<Record<string, Record<string, string[]>>>(row.doc)
  const sites = new Map<string, Map<string, Digest>>((all?.['sites'] ?? []).map((name) => [name, new Map()]))
  for (const [workload, groups] of Object.entries(workloads))
    for (const [site, digest] of ungroupSites(groups)) sites.get(site)?.set(workload, digest)
  return { input, renderer, sites }
}

function auditRecord(row: { seq: number; at: number; doc: string; hash: string }): AuditRecord {
  return { ...parse<AuditRecord>(row.doc), seq: row.seq, atMs: row.at, hash: row.hash }
}

function docs<T>(rows: readonly { doc: string }[]): T[] {
  return rows.map((row) => parse<T>(row.doc))
}

/** What we wrote ourselves, in the format whose number was checked at start. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller names the row group
function parse<T>(text: string): T {
  return JSON.parse(text) as T
}

async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw storeFault(error)
  }
}
