/** What workloads are to each other at a site: two that own one object, and dependencies that can never be met. */
import type { Digest } from '../model/digest.ts'
import { formatRef, type ObjectRef } from '../model/object.ts'
import type { Place, Problem } from '../model/problem.ts'
import type { Release } from '../model/release.ts'
import type { Holds } from './holds.ts'
import { ownedKey, type PreparedWorkload } from './objects.ts'
import type { Fleet, Workload } from './types.ts'

type Assigned = ReadonlyMap<string, ReadonlyMap<string, Digest>>

/** FLT2102. `sites` is site → workload → release. Both are held where both would own it: nobody can say whose it is. */
export function holdSharedObjects(
  prepared: ReadonlyMap<string, PreparedWorkload>,
  sites: Assigned,
  releases: ReadonlyMap<Digest, Release>,
  holds: Holds,
): void {
  const owners = new Map<string, { readonly workload: string; readonly ref: ObjectRef; readonly place: Place }[]>()
  for (const [workload, { objects }] of prepared) {
    for (const { ref, place } of objects) {
      const key = ownedKey(ref)
      const known = owners.get(key)
      if (known === undefined) owners.set(key, [{ workload, ref, place }])
      else known.push({ workload, ref, place })
    }
  }
  const names = keysOf(releases)
  for (const [key, all] of owners) {
    for (const [i, a] of all.entries()) {
      for (const b of all.slice(i + 1)) {
        const owns = (site: ReadonlyMap<string, Digest>, workload: string): boolean => {
          const digest = site.get(workload)
          return digest !== undefined && names(digest).has(key)
        }
        const both = [...sites]
          .filter(([, site]) => owns(site, a.workload) && owns(site, b.workload))
          .map(([name]) => name)
        if (both.length === 0) continue
        const problem: Problem = {
          code: 'FLT2102',
          severity: 'error',
          place: b.place,
          also: [a.place],
          path: '',
          message: `${a.workload} and ${b.workload} both own ${formatRef(b.ref)} at ${countSites(both)}`,
          next: 'Remove it from one of them, or change its name.',
        }
        holds.hold(a.workload, both, problem)
        holds.hold(b.workload, both, problem)
      }
    }
  }
}

function keysOf(releases: ReadonlyMap<Digest, Release>): (digest: Digest) => ReadonlySet<string> {
  const keys = new Map<Digest, ReadonlySet<string>>()
  return (digest) => {
    const known = keys.get(digest) ?? new Set((releases.get(digest)?.objects ?? []).map(({ ref }) => ownedKey(ref)))
    keys.set(digest, known)
    return known
  }
}

function countSites(sites: readonly string[]): string {
  const [first = ''] = sites
  return sites.length === 1
    ? first
    : `${sites.length} sites (${sites.slice(0, 3).join(', ')}${sites.length > 3 ? ', …' : ''})`
}

/** FLT2104: names that nothing has, dependencies that are not at a site, and circles. */
export function holdUnmetDependencies(
  fleet: Fleet,
  targets: ReadonlyMap<string, readonly string[]>,
  holds: Holds,
): void {
  for (const workload of fleet.workloads.values()) {
    for (const { name, optional, place } of workload.dependsOn) {
      const there = targets.get(name)
      if (there === undefined) {
        if (!optional)
          holds.hold(workload.name, null, unmet(place, `${workload.name} depends on ${name}, which does not exist`))
        continue
      }
      if (optional) continue
      const has = new Set(there)
      const without = (targets.get(workload.name) ?? []).filter((site) => !has.has(site))
      if (without.length === 0) continue
      const message = `${workload.name} depends on ${name}, which is not targeted at ${countSites(without)}`
      holds.hold(workload.name, without, unmet(place, message))
    }
    const circle = circleOf(fleet, workload)
    if (circle === undefined) continue
    const place = workload.dependsOn.find(({ name }) => name === circle[1])?.place ?? workload.place
    holds.hold(workload.name, null, unmet(place, `a circle of dependencies: ${circle.join(' → ')}`))
  }
}

function unmet(place: Place, message: string): Problem {
  const next = 'Target it there, say optional: true, or remove the dependency.'
  return { code: 'FLT2104', severity: 'error', place, path: 'spec.dependsOn', message, next }
}

/** A way from a workload back to itself: the shortest, by breadth. */
function circleOf(fleet: Fleet, start: Workload): readonly string[] | undefined {
  const queue: (readonly string[])[] = [[start.name]]
  const seen = new Set<string>()
  for (const way of queue) {
    for (const { name } of fleet.workloads.get(way.at(-1) ?? '')?.dependsOn ?? []) {
      if (name === start.name) return [...way, name]
      if (seen.has(name)) continue
      seen.add(name)
      queue.push([...way, name])
    }
  }
  return undefined
}
