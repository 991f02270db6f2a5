/** The deletion brake: what a revision would take away, whether that is more than a slip of the hand may cost, and the yes in Git. */
import { digestJson, shortDigest, type Digest } from '../model/digest.ts'
import { byUtf16, type Json } from '../model/json.ts'
import { formatRef, parseRefKey, refKey } from '../model/object.ts'
import type { Release } from '../model/release.ts'
import { carryHeld, previousOf } from './carry.ts'
import { ownedKey } from './objects.ts'
import type { BrakeVerdict, DeletionList, Fleet, RenderedFleet, Targets } from './types.ts'

export interface BrakeInput {
  /** What the hub last published from: targets of the revision before, held ones carried. */
  readonly previous: Targets
  readonly next: RenderedFleet
  /** The fleet of `next`: its limits, its confirmations, its former names. */
  readonly fleet: Fleet
  /** Confirmations that were used: a yes counts once. */
  readonly spent: ReadonlySet<Digest>
}

/** A Workload may always stop being targeted at so many sites, however small the fleet. */
const FEWEST_SITES = 5

/**
 * Judges one revision against the one before. Sites that Git no longer lists become Unlisted and keep everything: they count as
 * removed sites, not as deletions of their objects. What an error holds is not taken away.
 */
export function judgeDeletions({ previous, next, fleet, spent }: BrakeInput): BrakeVerdict {
  const { list, objects } = listDeletions(previous, next, fleet)
  const { deletionBrake: brake } = fleet
  const total = Math.max(previous.sites.size, fleet.sites.size)
  const most = Math.max(FEWEST_SITES, Math.ceil((total * brake.percentOfSites) / 100))
  const because = [
    ...(list.sites.length > brake.sites
      ? [`${list.sites.length} Sites would be removed, the limit is ${brake.sites}`]
      : []),
    ...list.untargeted
      .filter(({ sites }) => sites.length > most)
      .map(({ workload, sites }) => `${workload} would leave ${sites.length} sites, the limit is ${most}`),
    ...(objects > brake.objects ? [`${objects} objects would be deleted, the limit is ${brake.objects}`] : []),
  ]
  const digest = digestJson('deletions', list as unknown as Json)
  // Below every limit a yes still says something: that what is protected may go.
  if (brake.confirmed.includes(digest) && !spent.has(digest)) return { kind: 'ok', confirmed: digest, list }
  if (because.length === 0) return { kind: 'ok', confirmed: null, list }
  const used = spent.has(digest) ? ' (the yes to it was used once already)' : ''
  const message =
    `${because.join('; ')}${used}. If this is meant, add ${digest} to deletionBrake.confirmed in the root file; ` +
    `if not, revert the commit (list ${shortDigest(digest)})`
  return { kind: 'stopped', digest, message, list }
}

/** What would go, sorted: equal changes give equal lists and so equal digests. `objects` counts each object at each site. */
export function listDeletions(
  previous: Targets,
  next: RenderedFleet,
  fleet: Fleet,
): { readonly list: DeletionList; readonly objects: number } {
  const targets = carryHeld(previous.sites, fleet, next)
  const listed = new Set([...fleet.sites.values()].flatMap(({ name, formerNames }) => [name, ...formerNames]))
  const untargeted = new Map<string, string[]>()
  const gone = new Map<string, { readonly workload: string; readonly object: string; readonly sites: string[] }>()
  const lookUp = (digest: Digest): Release | undefined => next.releases.get(digest) ?? previous.releases.get(digest)
  const keys = keysOf(lookUp)
  const successor = new Map<string, string>()
  for (const { name, formerNames } of fleet.workloads.values()) for (const old of formerNames) successor.set(old, name)
  let objects = 0
  for (const [site, now] of targets) {
    const before = previousOf(previous.sites, fleet, site)
    if (before === undefined) continue
    let owned: Set<string> | undefined
    for (const [workload, release] of before) {
      const name = now.has(workload) ? workload : (successor.get(workload) ?? workload)
      const after = now.get(name)
      if (after === release) continue
      if (after === undefined) untargeted.set(workload, [...(untargeted.get(workload) ?? []), site])
      // The rules that are in force when it goes: the new ones, or the last ones where there are none.
      if (lookUp(after ?? release)?.rules.prune === 'off') continue
      const left = after === undefined ? undefined : keys(after)
      for (const [key, object] of keys(release)) {
        if (left?.has(key) === true) continue
        owned ??= new Set([...now.values()].flatMap((digest) => [...keys(digest).keys()]))
        // Another workload of the site has it: handed over, not deleted.
        if (owned.has(key)) continue
        objects++
        const known = gone.get(`${workload} ${object}`)
        if (known === undefined) gone.set(`${workload} ${object}`, { workload, object, sites: [site] })
        else known.sites.push(site)
      }
    }
  }
  const list: DeletionList = {
    sites: [...previous.sites.keys()].filter((site) => !listed.has(site)).toSorted(byUtf16),
    untargeted: [...untargeted]
      .map(([workload, sites]) => ({ workload, sites: sites.toSorted(byUtf16) }))
      .toSorted((a, b) => byUtf16(a.workload, b.workload)),
    objects: [...gone.values()]
      .map(({ workload, object, sites }) => ({ workload, object, sites: sites.toSorted(byUtf16) }))
      .toSorted((a, b) => byUtf16(a.workload, b.workload) || byUtf16(a.object, b.object)),
  }
  return { list, objects }
}

/** Objects of a release: the key by which they are owned → the key under which they stand. */
function keysOf(lookUp: (digest: Digest) => Release | undefined): (digest: Digest) => ReadonlyMap<string, string> {
  const known = new Map<Digest, ReadonlyMap<string, string>>()
  return (digest) => {
    const keys =
      known.get(digest) ?? new Map((lookUp(digest)?.objects ?? []).map(({ ref }) => [ownedKey(ref), refKey(ref)]))
    known.set(digest, keys)
    return keys
  }
}

/** What goes at each site, by refKey: a site is told of its own part of a confirmed list and of no other. */
export function deletionsBySite({ objects }: DeletionList): ReadonlyMap<string, readonly string[]> {
  const bySite = new Map<string, string[]>()
  for (const { object, sites } of objects)
    for (const site of sites) {
      const keys = bySite.get(site)
      if (keys === undefined) bySite.set(site, [object])
      else keys.push(object)
    }
  return bySite
}

/** All that a site has of these releases, by workload: what it loses when it is emptied. */
export function deletionsAt(site: string, releases: ReadonlyMap<string, Release>): DeletionList {
  const pruned = [...releases].filter(([, { rules }]) => rules.prune === 'on')
  const sites = [site]
  return {
    sites,
    untargeted: [...releases.keys()].toSorted(byUtf16).map((workload) => ({ workload, sites })),
    objects: pruned
      .flatMap(([workload, { objects }]) => objects.map(({ ref }) => ({ workload, object: refKey(ref), sites })))
      .toSorted((a, b) => byUtf16(a.workload, b.workload) || byUtf16(a.object, b.object)),
  }
}

/** For people: one line a workload and object, never collapsed. */
export function formatDeletions(list: DeletionList): readonly string[] {
  return [
    ...list.sites.map((site) => `Site ${site} is no longer in Git (it keeps what it has, Unlisted)`),
    ...list.untargeted.map(({ workload, sites }) => `${workload} leaves ${sites.length} sites: ${sites.join(', ')}`),
    ...list.objects.map(
      ({ workload, object, sites }) =>
        `${formatRef(parseRefKey(object))} of ${workload} is deleted at ${sites.length} sites: ${sites.join(', ')}`,
    ),
  ]
}
