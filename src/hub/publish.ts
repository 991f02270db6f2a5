/**
 * Turns grants into the next manifest of a site. The generation and the body are committed by compare-and-set before a byte is
 * sent; signing happens when a site asks.
 */
import type { Digest } from '../core/model/digest.ts'
import type { Generation } from '../core/model/observation.ts'
import type { ManifestEntry, SignedStatement, SiteManifest } from '../core/protocol/messages.ts'
import { bodyDigest, writeManifest } from '../core/protocol/manifest.ts'
import type { Grant } from '../core/rollout/types.ts'
import { byUtf16 } from '../core/model/json.ts'
import { echoOf } from './echo.ts'
import { orders, type Releases } from './releases.ts'
import type { Signed } from './signed.ts'
import type { EntryRecord, SiteRecord } from './store.ts'
import { stopsOf } from './windows.ts'
import type { Draft, World } from './world.ts'

/** A manifest bars installing something new after this; a site that comes later is given a fresh one. */
const LIFE_MS = 30 * 86_400_000
/** Sites in one transaction of publishing: about 50 ms, in which no exchange is answered. */
const SITES_PER_TURN = 64
const KEPT_PREVIOUS = 3

export interface Publisher {
  /** Publishes what differs: grants, and the sites whose mode, holds or lists changed. Sites that cannot be told are left out. */
  publish(grants: readonly Grant[], sites: Iterable<string>): Promise<readonly string[]>
  /** A site that still lacks its current manifest, which has gone stale meanwhile. */
  renew(site: string): Promise<void>
}

export interface PublisherParts {
  readonly world: World
  readonly releases: Releases
  readonly signed: Signed
  readonly nowMs: () => number
  readonly epoch: () => number
  readonly revision: () => string
  /** A site that this hub may not speak to before it was heard. */
  readonly isUnheard: (site: SiteRecord) => boolean
}

export function createPublisher(parts: PublisherParts): Publisher {
  const { world } = parts
  return {
    async publish(grants, sites) {
      const bySite = new Map<string, Grant[]>()
      for (const site of sites) bySite.set(site, [])
      for (const grant of grants) bySite.set(grant.site, [...(bySite.get(grant.site) ?? []), grant])
      const names = [...bySite.keys()].filter((name) => mayTell(parts, world.sites.get(name)))
      const told: string[] = []
      for (let i = 0; i < names.length; i += SITES_PER_TURN) {
        if (i > 0) await breathe()
        const part = names.slice(i, i + SITES_PER_TURN)
        const published = await world.turn((commit) =>
          publishSome(
            parts,
            part.map((name) => [name, bySite.get(name) ?? []]),
            'changed',
            commit,
          ),
        )
        told.push(...published)
        // Called as they are told: those of the first part are through before the last is made.
        if (published.length > 0) world.onPublished(published)
      }
      // Only now: where a commit failed they are still to do. So are those that may not be told yet.
      for (const site of bySite.keys()) {
        const record = world.sites.get(site)
        if (record === undefined || !parts.isUnheard(record)) world.unpublished.delete(site)
      }
      return told
    },
    async renew(site) {
      await world.turn((commit) => publishSome(parts, [[site, []]], 'always', commit))
    },
  }
}

/** Exchanges that wait are answered before the next part. */
function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function mayTell(parts: PublisherParts, site: SiteRecord | undefined): site is SiteRecord & { siteId: string } {
  if (site === undefined || site.siteId === null || site.standing !== 'active' || site.fork !== null) return false
  return !parts.isUnheard(site)
}

async function publishSome(
  parts: PublisherParts,
  sites: readonly (readonly [string, readonly Grant[]])[],
  when: 'changed' | 'always',
  commit: (draft: Draft) => Promise<void>,
): Promise<readonly string[]> {
  const made: Made[] = []
  const asTold: SiteRecord[] = []
  for (const [name, grants] of sites) {
    // Read again under the lock: a site may have been retired, or found to be ahead of us, since it was listed.
    const site = parts.world.sites.get(name)
    if (!mayTell(parts, site)) continue
    const next = await nextOf(parts, site, site.siteId, grants, when)
    // It is as it was, and still behind: `untold` says so until the signer's word comes.
    if (next === 'unsigned') continue
    if (next !== undefined) made.push(next)
    else if (site.published === 'behind') asTold.push({ ...site, published: 'current' })
  }
  await commit({
    entries: made.flatMap(({ entries }) => entries),
    entriesGone: made.flatMap(({ gone }) => gone),
    manifests: made.map(({ manifest }) => manifest),
    sites: [...made.map(({ site }) => site), ...asTold],
  })
  return made.map(({ site }) => site.name)
}

interface Made {
  readonly site: SiteRecord
  readonly entries: readonly EntryRecord[]
  readonly gone: NonNullable<Draft['entriesGone']>
  readonly manifest: NonNullable<Draft['manifests']>[number]
}

async function nextOf(
  parts: PublisherParts,
  site: SiteRecord,
  siteId: string,
  grants: readonly Grant[],
  when: 'changed' | 'always',
): Promise<Made | 'unsigned' | undefined> {
  const generation = after(site.current?.generation ?? null, parts.epoch())
  const before = await parts.world.entriesOf(site.name)
  const allowed = grants.filter(({ workload, release }) => parts.signed.allows(site.name, workload, release))
  const changed = allowed.flatMap((grant) => {
    const entry = granted(
      parts.world,
      before.find(({ workload }) => workload === grant.workload) ?? null,
      grant,
      generation,
    )
    return entry === null ? [] : [entry]
  })
  const touched = new Set(changed.map(({ workload }) => workload))
  const kept = before.filter(({ workload }) => !touched.has(workload))
  // A renamed workload leaves in the generation in which its new name comes: the site hands its objects over.
  const former = new Set<string>()
  for (const { release } of changed)
    for (const name of (await parts.releases.known(release)).formerNames) former.add(name)
  const entries = [...kept.filter(({ workload }) => !former.has(workload)), ...changed]
  // A site that was never told anything, and that nothing is meant for, is not told that.
  if (entries.length === 0 && site.current === null) return undefined
  // A manifest in which one release lacks the signer's word is refused whole: what the site has stays until it comes.
  if (entries.some(({ workload, release }) => !parts.signed.allows(site.name, workload, release))) return 'unsigned'
  const nowMs = parts.nowMs()
  const { manifest, payload } = writeManifest({
    site: site.name,
    siteId,
    generation,
    revision: parts.revision(),
    issued: new Date(nowMs).toISOString(),
    expires: new Date(nowMs + LIFE_MS).toISOString(),
    ...(await bodyOf(parts, site, entries, nowMs)),
  })
  if (when === 'changed' && manifest.root === site.current?.root) return undefined
  const body = bodyDigest(payload)
  const { root, revision } = manifest
  return {
    site: { ...site, published: 'current', current: { generation, root, body, revision, expiresMs: nowMs + LIFE_MS } },
    entries: changed,
    gone: kept.filter(({ workload }) => former.has(workload)).map(({ workload }) => ({ site: site.name, workload })),
    manifest: { record: { site: site.name, generation, body, payload }, expected: site.current?.generation ?? null },
  }
}

/** The entry that a grant makes; null where it says what stands there already. */
function granted(world: World, entry: EntryRecord | null, grant: Grant, generation: Generation): EntryRecord | null {
  const { site, workload, release, startAfterMs, startByMs, because } = grant
  const permit = { startAfterMs, startByMs, because, ...(grant.glass === undefined ? {} : { glass: grant.glass }) }
  if (entry?.release === release) {
    const { glass: _glass, ...rest } = entry
    const same = entry.startAfterMs === startAfterMs && entry.startByMs === startByMs
    if (same && (entry.glass ?? []).join() === (grant.glass ?? []).join()) return null
    // Only the permit is new: `since` stays, so that what was observed and soaked still counts.
    return { ...rest, ...permit }
  }
  const rollout = world.rollouts.get(workload)
  const spec = rollout?.spec.targets.get(site) === release ? rollout.spec : (rollout?.next ?? rollout?.spec)
  return {
    site,
    workload,
    release,
    since: generation,
    ...permit,
    confirm: spec?.confirm ?? entry?.confirm ?? null,
    previous:
      entry === null
        ? []
        : [entry.release, ...entry.previous.filter((old) => old !== entry.release)].slice(0, KEPT_PREVIOUS),
    good: entry?.good ?? [],
  }
}

async function bodyOf(
  parts: PublisherParts,
  site: SiteRecord,
  entries: readonly EntryRecord[],
  nowMs: number,
): Promise<Omit<SiteManifest, 'site' | 'siteId' | 'generation' | 'revision' | 'issued' | 'expires' | 'root'>> {
  const { world, releases } = parts
  const dependsOn = new Map<string, readonly string[]>()
  for (const entry of entries) dependsOn.set(entry.workload, (await releases.known(entry.release)).dependsOn)
  const order = orders(dependsOn)
  const wanted = new Set(entries.map(({ release }) => release))
  const withdrawn = new Set(
    entries.flatMap(({ previous }) => previous).filter((old) => world.withdrawn.has(old) && !wanted.has(old)),
  )
  const echo = echoOf(world, site, entries, nowMs)
  const { gates, windows } = stopsOf(world, site, entries)
  const named = entries
    .map((entry) =>
      manifestEntry(
        entry,
        order.get(entry.workload) ?? 0,
        gates.get(entry.workload) ?? [],
        (old) => !world.withdrawn.has(old) && parts.signed.allows(site.name, entry.workload, old),
      ),
    )
    .sort((a, b) => a.order - b.order || byUtf16(a.workload, b.workload))
  return {
    // What an older agent would do harm by passing over.
    critical: [
      ...(site.mode === 'observe' ? ['mode'] : []),
      ...(entries.some(({ confirm }) => confirm !== null) ? ['confirm', 'fallback'] : []),
      ...(windows === null ? [] : ['gates', 'windows']),
    ],
    mode: site.mode,
    entries: named,
    config: null,
    queues: {},
    keys: {},
    withdrawn: [...withdrawn].sort(byUtf16),
    deletionsConfirmed: site.confirmed,
    ...(windows === null ? {} : { windows }),
    ...(site.formerNames === undefined ? {} : { formerNames: site.formerNames }),
    ...wordsFor(parts.signed, site.name, named),
    ...(Object.keys(echo).length === 0 ? {} : { echo }),
  }
}

/** The signers' words for what a manifest names and for whom the site was, each once. */
function wordsFor(signed: Signed, site: string, entries: readonly ManifestEntry[]): Pick<SiteManifest, 'statements'> {
  if (!signed.demanded) return {}
  const words = new Set<SignedStatement>()
  for (const { workload, release, fallback } of entries)
    for (const named of fallback === undefined ? [release] : [release, fallback]) {
      const word = signed.of(site, workload, named)
      if (word !== undefined) words.add(word)
    }
  return { statements: [...words, ...signed.renames(site, words)] }
}

function manifestEntry(
  entry: EntryRecord,
  order: number,
  gates: readonly string[],
  may: (old: Digest) => boolean,
): ManifestEntry {
  const fallback = entry.confirm === null ? undefined : entry.good.find((old) => old !== entry.release && may(old))
  return {
    workload: entry.workload,
    since: entry.since,
    release: entry.release,
    order,
    startAfter: new Date(entry.startAfterMs).toISOString(),
    startBy: new Date(entry.startByMs).toISOString(),
    ...(entry.confirm === null ? {} : { confirm: entry.confirm }),
    ...(fallback === undefined ? {} : { fallback }),
    gates,
  }
}

/** Never back: the epoch is the hub's, the counter goes on through it. */
function after(current: Generation | null, epoch: number): Generation {
  return { epoch: Math.max(epoch, current?.epoch ?? 0), counter: (current?.counter ?? 0) + 1 }
}
