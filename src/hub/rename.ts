/**
 * A Site that Git lists under a new name with the old one among its `formerNames`: whoever stands there goes on under the new name,
 * with its identity and keys, generation, entries, reports, holds and places in the rollouts. Nothing of it is told to begin anew.
 */
import type { Digest } from '../core/model/digest.ts'
import type { Problem } from '../core/model/problem.ts'
import type { Fleet } from '../core/fleet/types.ts'
import type { SiteTargets } from './compile.ts'
import type { EntryRecord, KeptSpec, Rename, RolloutRecord, SiteRecord } from './store.ts'
import type { World } from './world.ts'

/** What the adoption of a revision reads of the hub. */
export type Known = Pick<World, 'sites' | 'rollouts' | 'keys' | 'entriesOf'>

/** Names that an agent may go by which has not heard of its newest one: those of this identity alone. */
const KEPT_NAMES = 16

export function goesBy({ name, formerNames = [] }: SiteRecord, said: string): boolean {
  return said === name || formerNames.includes(said)
}

const isLive = (site: SiteRecord | undefined): boolean => site?.siteId != null && site.standing === 'active'

/** Steady state is none: a former name that nobody goes by any more says nothing. */
export function renamesOf(
  fleet: Fleet,
  sites: ReadonlyMap<string, SiteRecord>,
): { readonly renames: readonly Rename[]; readonly problems: readonly Problem[] } {
  const renames: Rename[] = []
  const problems: Problem[] = []
  for (const { name: to, formerNames, place } of fleet.sites.values()) {
    const live = formerNames.filter((old) => isLive(sites.get(old)))
    const [from] = live
    if (from === undefined) continue
    const owners = isLive(sites.get(to)) ? [to, ...live] : live
    if (owners.length === 1) renames.push({ from, to })
    else
      problems.push({
        code: 'FLT1022',
        severity: 'error',
        place,
        path: 'spec.formerNames',
        message: `a box runs under each of ${owners.join(', ')}: they cannot go on as one ${to}`,
        found: from,
        next: 'Name the one that goes on, and retire the others first.',
      })
  }
  return { renames, problems }
}

/** The hub as it is once the sites go by their new names; itself where nobody does. */
export function renamedWorld(world: World, renames: readonly Rename[]): Known {
  if (renames.length === 0) return world
  const to = new Map(renames.map((rename) => [rename.from, rename.to]))
  const sites = new Map(world.sites)
  for (const rename of renames) {
    const site = sites.get(rename.from)
    sites.delete(rename.from)
    if (site !== undefined) sites.set(rename.to, renamedSite(site, rename))
  }
  const from = new Map(renames.map((rename) => [rename.to, rename.from]))
  return {
    sites,
    keys: new Map([...world.keys].map(([hash, key]) => [hash, { ...key, site: to.get(key.site) ?? key.site }])),
    rollouts: new Map([...world.rollouts].map(([workload, record]) => [workload, renamedRollout(record, to)])),
    async entriesOf(site): Promise<readonly EntryRecord[]> {
      const entries = await world.entriesOf(from.get(site) ?? site)
      return entries.map((entry) => ({ ...entry, site }))
    },
  }
}

function renamedSite(site: SiteRecord, { from, to }: Rename): SiteRecord {
  const names = [...(site.formerNames ?? []), from].filter((name, i, all) => name !== to && all.lastIndexOf(name) === i)
  return { ...site, name: to, formerNames: names.slice(-KEPT_NAMES) }
}

/** The same record where none of its sites was renamed. */
function renamedRollout(record: RolloutRecord, to: ReadonlyMap<string, string>): RolloutRecord {
  const { spec, state, next } = record
  const touched = [...to.keys()].some(
    (name) => spec.targets.has(name) || next?.targets.has(name) === true || state?.sites.has(name) === true,
  )
  if (!touched) return record
  const renamed = (of: KeptSpec): KeptSpec => ({ ...of, targets: renamedKeys(of.targets, to) })
  return {
    spec: renamed(spec),
    state: state === null ? null : { ...state, sites: renamedKeys(state.sites, to) },
    next: next === null ? null : renamed(next),
  }
}

/** In the order of before: what stands under an old name counts, and not what waited under the new one. */
export function renamedKeys<V>(map: ReadonlyMap<string, V>, to: ReadonlyMap<string, string>): Map<string, V> {
  const taken = new Set([...to].flatMap(([from, name]) => (map.has(from) ? [name] : [])))
  const out = new Map<string, V>()
  for (const [name, value] of map) {
    const now = to.get(name)
    if (now !== undefined || !taken.has(name)) out.set(now ?? name, value)
  }
  return out
}

export function renamedTargets(targets: SiteTargets, renames: readonly Rename[]): SiteTargets {
  return renames.length === 0
    ? targets
    : renamedKeys<ReadonlyMap<string, Digest>>(targets, new Map(renames.map(({ from, to }) => [from, to])))
}
