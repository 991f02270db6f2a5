import { sql, type Generated, type Kysely } from 'kysely'
import { Fault } from '../../core/model/fault.ts'

/** Text columns named `doc` hold JSON; a row group has one format number, in `format`. */
export interface HubTables {
  format: { group_name: string; version: number }
  meta: { name: string; value: string }
  site: {
    name: string
    epoch: number
    counter: number
    last_contact: number | null
    due_at: number | null
    doc: string
  }
  site_key: { hash: string; site: string; site_id: string; state: string }
  join_token: { hash: string; site: string; expires_at: number; used_by: string | null }
  api_token: { hash: string; doc: string }
  blob: { digest: string; domain: string; bytes: Uint8Array }
  blob_unused: { digest: string; since: number }
  render: { input: string; renderer: string; doc: string; seq: Generated<number> }
  entry: { site: string; workload: string; doc: string }
  observation: { site: string; workload: string; doc: string }
  manifest: { site: string; epoch: number; counter: number; body: string; payload: Uint8Array }
  rollout: { workload: string; head: string; targets: string; next: string | null }
  rollout_site: { workload: string; site: string; doc: string }
  rollout_history: { seq: Generated<number>; workload: string; id: string; at: number; doc: string }
  withdrawn: { digest: string; doc: string }
  statement: { id: string; release: string; doc: string }
  hold: { site: string; doc: string }
  freeze: { id: string; doc: string }
  audit: { seq: number; at: number; doc: string; hash: string }
  event: { seq: number; at: number; doc: string }
  ask: { id: string; doc: string }
  ask_site: { id: string; site_id: string; doc: string }
  ask_part: { id: string; site_id: string; part: number; text: string }
  result: { seq: Generated<number>; site: string; store_epoch: string; item: number; at: number; doc: string }
}

/** What this build writes. A store of a higher number belongs to a newer hub and is refused. */
export const HUB_STORE_FORMAT = 1

/** Kysely has no way to say WITHOUT ROWID or a compound key on every engine alike, so the text is written out: it is SQL that PostgreSQL takes with `bytea` and `bigserial` in place of the two types named here. */
const TABLES: readonly string[] = [
  'format (group_name text primary key, version integer not null)',
  'meta (name text primary key, value text not null)',
  'site (name text primary key, epoch integer not null, counter integer not null, last_contact integer, due_at integer, doc text not null)',
  'site_key (hash text primary key, site text not null, site_id text not null, state text not null)',
  'join_token (hash text primary key, site text not null, expires_at integer not null, used_by text)',
  'api_token (hash text primary key, doc text not null)',
  'blob (digest text primary key, domain text not null, bytes blob not null)',
  'blob_unused (digest text primary key, since integer not null)',
  'render (seq integer primary key, input text not null, renderer text not null, doc text not null, unique (input, renderer))',
  'entry (site text not null, workload text not null, doc text not null, primary key (site, workload))',
  'observation (site text not null, workload text not null, doc text not null, primary key (site, workload))',
  'manifest (site text not null, epoch integer not null, counter integer not null, body text not null, payload blob not null, primary key (site, epoch, counter))',
  'rollout (workload text primary key, head text not null, targets text not null, next text)',
  'rollout_site (workload text not null, site text not null, doc text not null, primary key (workload, site))',
  'rollout_history (seq integer primary key, workload text not null, id text not null, at integer not null, doc text not null)',
  'withdrawn (digest text primary key, doc text not null)',
  'statement (id text primary key, release text not null, doc text not null)',
  'hold (site text primary key, doc text not null)',
  'freeze (id text primary key, doc text not null)',
  'audit (seq integer primary key, at integer not null, doc text not null, hash text not null)',
  'event (seq integer primary key, at integer not null, doc text not null)',
  'ask (id text primary key, doc text not null)',
  'ask_site (id text not null, site_id text not null, doc text not null, primary key (id, site_id))',
  'ask_part (id text not null, site_id text not null, part integer not null, text text not null, primary key (id, site_id, part))',
  'result (seq integer primary key, site text not null, store_epoch text not null, item integer not null, at integer not null, doc text not null, unique (site, store_epoch, item))',
]

const INDEXES: readonly string[] = [
  'entry_of_workload on entry (workload, site)',
  'observation_of_workload on observation (workload, site)',
  'site_key_by_site on site_key (site)',
  'manifest_by_body on manifest (site, body)',
  'result_of_site on result (site, item)',
  'result_by_time on result (at)',
  'rollout_history_by_workload on rollout_history (workload, seq)',
]

/** Makes what is missing. Fault StoreCorrupt where the store was written by a newer hub. */
export async function migrateHub(db: Kysely<HubTables>): Promise<void> {
  await db.transaction().execute(async (tx) => {
    for (const table of TABLES) await sql.raw(`create table if not exists ${table}`).execute(tx)
    for (const index of INDEXES) await sql.raw(`create index if not exists ${index}`).execute(tx)
    const found = await tx.selectFrom('format').selectAll().execute()
    const newer = found.find((row) => row.version > HUB_STORE_FORMAT)
    if (newer !== undefined)
      throw new Fault('StoreCorrupt', 'this store was written by a newer hub; start that one, or restore a backup', {
        facts: { group: newer.group_name, format: newer.version, known: HUB_STORE_FORMAT },
      })
    const known = new Set(found.map((row) => row.group_name))
    const groups = TABLES.map((table) => table.slice(0, table.indexOf(' '))).filter((name) => !known.has(name))
    if (groups.length > 0)
      await tx
        .insertInto('format')
        .values(groups.map((group_name) => ({ group_name, version: HUB_STORE_FORMAT })))
        .execute()
  })
}
