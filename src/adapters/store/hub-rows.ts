/** Records to rows and back: the one place that knows how a record is written down. */
import type { Digest } from '../../core/model/digest.ts'
import { byUtf16 } from '../../core/model/json.ts'
import type { RolloutState, SiteProgress } from '../../core/rollout/types.ts'
import type { KeptSpec, RolloutRecord, SiteRecord } from '../../hub/store.ts'

/** Maps of site → value are kept as value → sites: a fleet has few releases and many sites. */
type Grouped = Readonly<Record<string, readonly string[]>>

export function groupSites(map: ReadonlyMap<string, Digest>): Grouped {
  const groups: Record<string, string[]> = Object.create(null) as Record<string, string[]>
  for (const [site, digest] of map) (groups[digest] ??= []).push(site)
  return groups
}

export function ungroupSites(groups: Grouped): Map<string, Digest> {
  const pairs = Object.entries(groups).flatMap(([digest, sites]) =>
    sites.map((site) => [site, digest as Digest] as const),
  )
  return new Map(pairs)
}

export function siteRow(record: SiteRecord): {
  name: string
  epoch: number
  counter: number
  last_contact: number | null
  due_at: number | null
  doc: string
} {
  const { name, lastContactMs, dueAtMs, current, ...doc } = record
  return {
    name,
    epoch: current?.generation.epoch ?? 0,
    counter: current?.generation.counter ?? 0,
    last_contact: lastContactMs,
    due_at: dueAtMs,
    doc: JSON.stringify({ ...doc, current }),
  }
}

export function siteRecord(row: {
  name: string
  last_contact: number | null
  due_at: number | null
  doc: string
}): SiteRecord {
  const doc = JSON.parse(row.doc) as Omit<SiteRecord, 'name' | 'lastContactMs' | 'dueAtMs'>
  return { ...doc, name: row.name, lastContactMs: row.last_contact, dueAtMs: row.due_at }
}

interface RolloutHead {
  readonly spec: Omit<RolloutRecord['spec'], 'targets'>
  readonly state: Omit<RolloutState, 'sites'> | null
}

/** Without what stands in rows or columns of its own: targets, and each site's progress. */
export function rolloutHead(record: RolloutRecord): string {
  const { targets: _targets, ...spec } = record.spec
  if (record.state === null) return JSON.stringify({ spec, state: null })
  const { sites: _sites, ...state } = record.state
  return JSON.stringify({ spec, state } satisfies RolloutHead)
}

/** The map, and every site's place as of now: by thousands they stand alike, and share one text. Who moves after that has a row. */
export function rolloutTargets(record: RolloutRecord): string {
  const places: Record<string, string[]> = {}
  for (const [site, progress] of record.state?.sites ?? []) (places[JSON.stringify(progress)] ??= []).push(site)
  return JSON.stringify({ targets: groupSites(record.spec.targets), places } satisfies RolloutTargets)
}

interface RolloutTargets {
  readonly targets: Grouped
  /** By the JSON of the place. Absent: rows of before they were kept so. */
  readonly places?: Grouped
  /** In those: by wave, who had its release when the rollout began. */
  readonly unchanged?: Grouped
}

export function rolloutRecord(
  row: { head: string; targets: string; next: string | null },
  progress: ReadonlyMap<string, SiteProgress>,
): RolloutRecord {
  const head = JSON.parse(row.head) as RolloutHead
  const kept = JSON.parse(row.targets) as RolloutTargets
  const targets = ungroupSites(kept.targets)
  const spec = { ...head.spec, targets }
  const next = row.next === null ? null : parseSpec(row.next)
  if (head.state === null) return { spec, state: null, next }
  const sites = new Map<string, SiteProgress>()
  for (const [wave, names] of Object.entries(kept.unchanged ?? {}))
    for (const name of names)
      sites.set(name, { wave: Number(wave), phase: 'unchanged', from: targets.get(name) ?? null })
  for (const [doc, names] of Object.entries(kept.places ?? {})) {
    const place = JSON.parse(doc) as SiteProgress
    for (const name of names) sites.set(name, place)
  }
  for (const [name, own] of progress) sites.set(name, own)
  return { spec, state: { ...head.state, sites: new Map([...sites].sort(byPlace)) }, next }
}

/** The order in which the engine offers places: by wave, sites on a superseded release first, then by name. */
function byPlace([a, left]: [string, SiteProgress], [b, right]: [string, SiteProgress]): number {
  return left.wave - right.wave || Number(right.onOld === true) - Number(left.onOld === true) || byUtf16(a, b)
}

/** A spec that waits, with its map. */
export function specText(spec: KeptSpec): string {
  return JSON.stringify({ ...spec, targets: groupSites(spec.targets) })
}

function parseSpec(text: string): KeptSpec {
  const spec = JSON.parse(text) as Omit<KeptSpec, 'targets'> & { targets: Grouped }
  return { ...spec, targets: ungroupSites(spec.targets) }
}
