/**
 * The yes that empties a site which nothing is meant for any more. The site keeps what it has until Git names the digest of this very
 * list, made of its identity and of all that it was told to run: a yes to its removal from Git is none to that.
 */
import { deletionsAt, deletionsBySite } from '../core/fleet/deletions.ts'
import type { Fleet } from '../core/fleet/types.ts'
import { digestJson, type Digest } from '../core/model/digest.ts'
import type { Json } from '../core/model/json.ts'
import type { Release } from '../core/model/release.ts'
import type { SiteTargets } from './compile.ts'
import type { Known } from './rename.ts'
import type { EntryRecord, SiteRecord } from './store.ts'

export interface Emptying {
  readonly site: string
  readonly siteId: string
  /** What Git names to confirm it. */
  readonly digest: Digest
  readonly workloads: readonly string[]
  /** refKeys of what goes. */
  readonly objects: readonly string[]
}

type Load = (release: Digest) => Promise<Release | undefined>

/** Null where there is nothing to lose, nobody to tell, or a release that this hub cannot read: what cannot be named cannot be confirmed. */
export async function emptyingOf(
  { name, siteId, standing }: SiteRecord,
  entries: readonly EntryRecord[],
  load: Load,
): Promise<Emptying | null> {
  if (siteId === null || standing !== 'active' || entries.length === 0) return null
  const releases = new Map<string, Release>()
  for (const { workload, release } of entries) {
    const content = await load(release)
    if (content === undefined) return null
    releases.set(workload, content)
  }
  const list = deletionsAt(name, releases)
  return {
    site: name,
    siteId,
    digest: digestJson('deletions', { siteId, list } as unknown as Json),
    workloads: [...releases.keys()],
    objects: deletionsBySite(list).get(name) ?? [],
  }
}

/** Those that Git says yes to, of the sites that it means nothing for. Under the lock. */
export async function emptyings(
  world: Pick<Known, 'sites' | 'entriesOf'>,
  { deletionBrake }: Fleet,
  targets: SiteTargets,
  { spent, load }: { readonly spent: ReadonlySet<Digest>; readonly load: Load },
): Promise<readonly Emptying[]> {
  const fresh = new Set(deletionBrake.confirmed.filter((digest) => !spent.has(digest)))
  if (fresh.size === 0) return []
  const out: Emptying[] = []
  for (const site of world.sites.values()) {
    if ((targets.get(site.name)?.size ?? 0) > 0) continue
    const emptying = await emptyingOf(site, await world.entriesOf(site.name), load)
    if (emptying !== null && fresh.has(emptying.digest)) out.push(emptying)
  }
  return out
}
