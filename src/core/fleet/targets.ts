/** Who gets what: sites of workloads, groups of sites. Labels in Git only, never what a site reports. */
import { matches } from '../kube/selector.ts'
import { byUtf16 } from '../model/json.ts'
import type { RolloutPolicy } from '../model/policy.ts'
import type { Fleet, Site, SiteGroup, Workload } from './types.ts'

export function isTargeted(workload: Workload, site: Site): boolean {
  return workload.targets.some(({ selector }) => matches(selector, site.labels))
}

/** Workload → the names of the sites it targets, sorted. Held ones too: a target is what Git says. */
export function targetsOf(fleet: Fleet): ReadonlyMap<string, readonly string[]> {
  const sites = [...fleet.sites.values()].toSorted((a, b) => byUtf16(a.name, b.name))
  return new Map(
    [...fleet.workloads.values()].map((workload) => [
      workload.name,
      sites.filter((site) => isTargeted(workload, site)).map(({ name }) => name),
    ]),
  )
}

export function isMember(group: SiteGroup, site: Site): boolean {
  return group.sites.includes(site.name) || (group.selector !== null && matches(group.selector, site.labels))
}

/** Site → its groups in the order in which they apply: by layer, then by name. */
export function groupsOf(fleet: Fleet): ReadonlyMap<string, readonly SiteGroup[]> {
  const layer = new Map(fleet.layers.map((name, i) => [name, i]))
  const ordered = [...fleet.groups.values()].toSorted(
    (a, b) => (layer.get(a.layer) ?? 0) - (layer.get(b.layer) ?? 0) || byUtf16(a.name, b.name),
  )
  return new Map([...fleet.sites.values()].map((site) => [site.name, ordered.filter((group) => isMember(group, site))]))
}

/** Of these sites, those that no wave of the policy takes. A wave of a size takes so many of those that are left. */
export function sitesInNoWave(policy: RolloutPolicy, sites: readonly Site[]): readonly string[] {
  let left = sites
  for (const { selector, size } of policy.waves) {
    const taken = left.filter((site) => selector === null || matches(selector, site.labels))
    const most =
      size === null ? taken.length : 'count' in size ? size.count : Math.ceil((sites.length * size.percent) / 100)
    const gone = new Set(taken.slice(0, most))
    left = left.filter((site) => !gone.has(site))
    if (left.length === 0) break
  }
  return left.map(({ name }) => name)
}
