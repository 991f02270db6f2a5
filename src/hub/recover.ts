/**
 * `hub recover`: a hub that was restored from a backup, or copied, takes what its sites report as what they should have. The
 * epoch goes up, so that its next words count; each site is asked for the signed manifest that it holds, and until it has shown
 * it, or has been heard and is not ahead, nothing is published there.
 */
import { type KeyRing, opens, PAYLOAD_TYPES } from '../core/protocol/envelope.ts'
import { bodyDigest, parseManifest } from '../core/protocol/manifest.ts'
import type { SiteManifest, SyncUp } from '../core/protocol/messages.ts'
import type { JsonObject } from '../core/model/json.ts'
import type { SiteProgress } from '../core/rollout/types.ts'
import { asStopped, learnt } from './echo.ts'
import type { EntryRecord, SiteRecord } from './store.ts'
import type { Draft, World } from './world.ts'

export const ASK_MANIFEST: JsonObject = { kind: 'manifest' }

export function epochOf(world: World): number {
  return Number(world.meta.get('epoch') ?? '1')
}

/** When `hub recover` was said last; null: never. */
function recoveredAtMs(world: World): number | null {
  const at = world.meta.get('recoveredAtMs')
  return at === undefined ? null : Number(at)
}

/** Above every epoch that any site was seen with. */
export function nextEpoch(world: World): number {
  let most = epochOf(world)
  for (const { fork, current } of world.sites.values())
    most = Math.max(most, fork?.seen.generation.epoch ?? 0, current?.generation.epoch ?? 0)
  return most + 1
}

/** Ahead of what this hub remembers from before the last `hub recover`: it is asked for what it has. */
export function awaitsAdoption(world: World, site: SiteRecord): boolean {
  return site.fork !== null && recoveredAtMs(world) !== null && site.fork.seen.generation.epoch < epochOf(world)
}

/** A site that has something of before `hub recover` is told nothing before it was heard: it may be ahead. */
export function isUnheard(world: World, site: SiteRecord, lastContactMs: number | null): boolean {
  const since = recoveredAtMs(world)
  if (since === null || site.current === null || site.current.generation.epoch >= epochOf(world)) return false
  return lastContactMs === null || lastContactMs < since
}

/**
 * The manifest that a site shows, where it is the one that it says it has and a key of this hub signed it: of any time, for what was
 * signed before a rotation stays with a site until it is told something new. undefined: it shows none.
 */
export function shownManifest(
  up: SyncUp,
  ring: KeyRing,
): { readonly manifest: SiteManifest; readonly payload: Uint8Array } | undefined {
  const { held, have } = up
  if (held === undefined || have === null) return undefined
  const payload = Buffer.from(held.payload, 'base64')
  if (bodyDigest(payload) !== have.body) return undefined
  const signatures = held.signatures.map(({ keyid, sig }) => ({ keyid, sig: Buffer.from(sig, 'base64') }))
  const envelope = { payloadType: PAYLOAD_TYPES.manifest, payload, signatures }
  if (!opens(envelope, PAYLOAD_TYPES.manifest, ring).ok) return undefined
  const read = parseManifest(payload)
  if (!read.ok || read.value.site !== up.site || read.value.siteId !== up.siteId) return undefined
  return { manifest: read.value, payload }
}

/** What the site has becomes what it should have; rollouts find it where it stands. Under the lock. */
export async function adoptShown(
  world: World,
  site: SiteRecord,
  shown: { readonly manifest: SiteManifest; readonly payload: Uint8Array },
  body: NonNullable<SyncUp['have']>['body'],
  nowMs: number,
): Promise<Draft> {
  const { manifest, payload } = shown
  const known = new Map((await world.entriesOf(site.name)).map((entry) => [entry.workload, entry]))
  await openBooks(world, manifest.entries)
  const entries = manifest.entries.map((entry): EntryRecord => {
    const old = known.get(entry.workload)
    const good = [entry.fallback, ...(old?.good ?? [])].filter((digest) => digest !== undefined)
    return {
      site: site.name,
      workload: entry.workload,
      release: entry.release,
      since: entry.since,
      startAfterMs: Date.parse(entry.startAfter),
      startByMs: Date.parse(entry.startBy),
      because: 'wave',
      confirm: entry.confirm ?? null,
      previous: old === undefined || old.release === entry.release ? (old?.previous ?? []) : [old.release],
      good: [...new Set(good)],
    }
  })
  const names = new Set(entries.map(({ workload }) => workload))
  const { generation, root, revision, expires } = manifest
  const current = { generation, root, body, revision, expiresMs: Date.parse(expires) }
  return {
    sites: [{ ...site, fork: null, current, confirmed: manifest.deletionsConfirmed, published: 'behind' }],
    manifests: [{ record: { site: site.name, generation, body, payload }, expected: site.current?.generation ?? null }],
    entries,
    entriesGone: [...known.keys()]
      .filter((workload) => !names.has(workload))
      .map((workload) => ({ site: site.name, workload })),
    rollouts: placedAnew(world, site.name, entries, manifest.echo),
    ...learnt(world, site, manifest, nowMs),
    events: [
      {
        atMs: nowMs,
        kind: 'SiteAdopted',
        subject: `site/${site.name}`,
        message: `generation ${generation.epoch}.${generation.counter} of revision ${revision.slice(0, 12)} is what it should have`,
      },
    ],
  }
}

/**
 * A site whose store was lost meanwhile has nothing to show: what this hub remembers is what it should have, above the floor that the
 * site kept. Nothing is taken from it, for what it runs is found again in its cluster: what Git wants there and this hub does not know
 * that it was told is named too, and may not begin. Under the lock.
 */
export async function adoptRemembered(world: World, site: SiteRecord, nowMs: number): Promise<Draft> {
  const message = 'it has lost the manifest that it had: what this hub remembers is what it should have'
  const known = new Set((await world.entriesOf(site.name)).map(({ workload }) => workload))
  const since = { epoch: epochOf(world), counter: (site.current?.generation.counter ?? 0) + 1 }
  const entries = [...world.rollouts.values()].flatMap(({ spec, next }): EntryRecord[] => {
    const { workload, targets, confirm } = next ?? spec
    const release = targets.get(site.name)
    if (release === undefined || known.has(workload)) return []
    const permit = { startAfterMs: nowMs, startByMs: nowMs, because: 'revoke' } as const
    return [{ site: site.name, workload, release, since, ...permit, confirm, previous: [], good: [] }]
  })
  await openBooks(world, entries)
  return {
    sites: [{ ...site, fork: null, published: 'behind' }],
    entries,
    events: [{ atMs: nowMs, kind: 'SiteAdopted', subject: `site/${site.name}`, message }],
  }
}

/** What is written of a workload that this hub had nothing of is kept in memory as well. */
async function openBooks(world: World, entries: readonly { readonly workload: string }[]): Promise<void> {
  for (const { workload } of entries) await world.book(workload)
}

/** Its place in each rollout follows from what it has; what was noted of it is of another past. */
function placedAnew(
  world: World,
  site: string,
  entries: readonly EntryRecord[],
  echo: JsonObject | undefined,
): NonNullable<Draft['rollouts']> {
  return [...world.rollouts.values()].flatMap((record) => {
    const before = record.state?.sites.get(site)
    const target = record.spec.targets.get(site)
    if (record.state === null || before === undefined || target === undefined) return []
    const from = entries.find(({ workload }) => workload === record.spec.workload)?.release ?? null
    const place: SiteProgress = { wave: before.wave, phase: from === target ? 'unchanged' : 'waiting', from }
    const placed = { ...record.state, sites: new Map(record.state.sites).set(site, place) }
    const state = asStopped(placed, record.spec.workload, echo)
    return [{ record: { ...record, state }, whole: false, sites: new Map([[site, place]]) }]
  })
}
