import { answerOf, isHealthyAt } from './observe.ts'
import type { RolloutEntry, RolloutSpec, RolloutWorld } from './types.ts'

/** Rollouts by workload: what a dependency should be at a site in Git's newest revision. */
export type ByWorkload = ReadonlyMap<string, RolloutEntry>

export function byWorkload(world: RolloutWorld): ByWorkload {
  return new Map(world.rollouts.map((entry) => [entry.spec.workload, entry]))
}

/**
 * The first dependency that is not met at this site, or null. Met: healthy there at the release that Git's newest revision
 * gives it. Not targeted there: met where optional (where not, lint has refused the revision).
 */
export function unmetDependency(
  spec: RolloutSpec,
  site: string,
  world: RolloutWorld,
  rollouts: ByWorkload,
): string | null {
  for (const { name, optional } of spec.dependsOn) {
    const entry = rollouts.get(name)
    const at = world.at(site, name)
    const release =
      entry === undefined ? (at?.published ?? null) : ((entry.next ?? entry.spec).targets.get(site) ?? null)
    if (release === null) {
      if (optional) continue
      return name
    }
    if (!isHealthyAt(answerOf(at, release), release)) return name
  }
  return null
}
