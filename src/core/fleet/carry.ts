/** An error never shrinks what a site should have: what a held workload was at a site stays part of its target. */
import type { Digest } from '../model/digest.ts'
import type { Fleet, RenderedFleet } from './types.ts'

type SiteTargets = ReadonlyMap<string, ReadonlyMap<string, Digest>>

/**
 * Targets of every site that Git lists, with held workloads filled in from `previous` (site → workload → release). A held
 * workload that a site did not have stays away. Renamed sites and workloads are found by their former names.
 */
export function carryHeld(
  previous: SiteTargets,
  fleet: Fleet,
  next: Pick<RenderedFleet, 'sites' | 'held'>,
): SiteTargets {
  if (next.held.length === 0) return next.sites
  const everywhere = new Set<string>()
  const heldAt = new Map<string, Set<string>>()
  for (const { workload, sites } of next.held) {
    if (sites === null) everywhere.add(workload)
    else for (const site of sites) heldAt.set(site, (heldAt.get(site) ?? new Set()).add(workload))
  }
  return new Map(
    [...next.sites].map(([site, workloads]): [string, ReadonlyMap<string, Digest>] => {
      const before = previousOf(previous, fleet, site)
      if (before === undefined) return [site, workloads]
      const kept = new Map(workloads)
      for (const held of [...everywhere, ...(heldAt.get(site) ?? [])]) {
        const names = [held, ...(fleet.workloads.get(held)?.formerNames ?? [])]
        const name = names.find((one) => before.has(one))
        const release = name === undefined ? undefined : before.get(name)
        if (name !== undefined && release !== undefined && !kept.has(name)) kept.set(name, release)
      }
      return [site, kept]
    }),
  )
}

/** What a site had, under the name it has now or one it had before. */
export function previousOf(previous: SiteTargets, fleet: Fleet, site: string): ReadonlyMap<string, Digest> | undefined {
  const own = previous.get(site)
  if (own !== undefined) return own
  const former = fleet.sites.get(site)?.formerNames.find((name) => previous.has(name))
  return former === undefined ? undefined : previous.get(former)
}
