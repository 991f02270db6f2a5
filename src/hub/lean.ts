/**
 * What the hub keeps by the hundred thousand, with its texts shared: it came as JSON, in which each name of the same release is a text
 * of its own. Equal to what was given in all that is written down.
 */
import type { Digest } from '../core/model/digest.ts'
import { sameGeneration, type Stamped, type WorkloadObservation } from '../core/model/observation.ts'
import type { AtSite, EntryRecord } from './store.ts'

const NONE: readonly never[] = []

/** `entry`: what the site was told of this workload, which most of its words are about. */
export function leanObservation(seen: WorkloadObservation, entry: EntryRecord | null): WorkloadObservation {
  if (entry === null) return seen
  let last: Stamped | null = null
  const stamped = (it: Stamped | null): Stamped | null => {
    if (it === null || it.digest !== entry.release) return it
    if (last?.atMs !== it.atMs) last = { digest: entry.release, atMs: it.atMs }
    return last
  }
  return {
    ...seen,
    workload: entry.workload,
    since: sameGeneration(seen.since, entry.since) ? entry.since : seen.since,
    desired: stamped(seen.desired),
    received: stamped(seen.received),
    staged: stamped(seen.staged),
    applied: stamped(seen.applied),
    healthy: stamped(seen.healthy),
    objects: seen.objects.length === 0 ? NONE : seen.objects,
  }
}

/** One workload's sites as they were read. `nameOf`: the text by which a site is known elsewhere. */
export function leanBook(
  workload: string,
  book: ReadonlyMap<string, AtSite>,
  nameOf: (site: string) => string,
): Map<string, AtSite> {
  const releases = new Map<Digest, Digest>()
  const same = (digest: Digest): Digest => {
    const known = releases.get(digest)
    if (known === undefined) releases.set(digest, digest)
    return known ?? digest
  }
  const out = new Map<string, AtSite>()
  for (const [site, { entry: read, observation }] of book) {
    const name = nameOf(site)
    const entry: EntryRecord | null =
      read === null
        ? null
        : {
            ...read,
            site: name,
            workload,
            release: same(read.release),
            previous: read.previous.map(same),
            good: read.good.map(same),
          }
    out.set(name, { entry, observation: observation === null ? null : leanObservation(observation, entry) })
  }
  return out
}
