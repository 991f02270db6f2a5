import type { Digest } from '../model/digest.ts'
import { type Draft, putSite, sitesOf } from './draft.ts'
import type { Look } from './look.ts'
import type { RolloutWorld, SiteProgress } from './types.ts'

/**
 * What a site with nothing installed gets at once, outside waves: the last completed release for what it should have. Read from
 * the sites that should have the same: what they ran before this rollout. null: nothing completed yet, it goes in waves.
 */
export function baselineOf(draft: Draft, withdrawn: ReadonlySet<Digest>): (site: string) => Digest | null {
  const { spec, state } = draft
  const allowed = (digest: Digest | null): Digest | null => (digest === null || withdrawn.has(digest) ? null : digest)
  if (state.phase === 'Completed') return (site) => allowed(spec.targets.get(site) ?? null)
  const ran = new Map<Digest, Map<Digest, number>>()
  let changesInstalled = false
  for (const [site, { from, onOld, fresh, phase }] of sitesOf(draft)) {
    const target = spec.targets.get(site)
    if (target === undefined || from === null || fresh !== undefined) continue
    changesInstalled ||= phase !== 'unchanged'
    // A release of a rollout that was superseded half way never completed.
    if (onOld !== undefined) continue
    const counts = ran.get(target) ?? new Map<Digest, number>()
    ran.set(target, counts.set(from, (counts.get(from) ?? 0) + 1))
  }
  return (site) => {
    const target = spec.targets.get(site) ?? null
    const counts = target === null ? undefined : ran.get(target)
    if (counts !== undefined) {
      const good = [...counts].filter(([digest]) => !withdrawn.has(digest))
      return good.sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))[0]?.[0] ?? null
    }
    // Only new sites differ from what the fleet runs: what they should have is what completed.
    return state.established && !changesInstalled && state.phase === 'Progressing' ? allowed(target) : null
  }
}

/**
 * Provision the fresh sites that something completed exists for. Those that get their very target take their place at once;
 * the others get the baseline published and are candidates of their wave once they have it. Returns baselines by site.
 */
export function provision(draft: Draft, world: RolloutWorld, look: Look): ReadonlyMap<string, Digest> {
  const baselines = new Map<string, Digest>()
  if (draft.tally.fresh === 0) return baselines
  const baseline = baselineOf(draft, world.withdrawn)
  for (const [site, place] of freshPlaces(draft)) {
    const release = baseline(site)
    if (release === null) continue
    const standing = look.standing(site)
    if (world.site(site)?.enrolled !== true || standing.is === 'observe') continue
    if (standing.is === 'excused' && standing.why !== 'enrol' && standing.why !== 'dark') continue
    if (release === draft.spec.targets.get(site)) {
      const { fresh: _fresh, ...rest } = place
      putSite(draft, site, { ...rest, phase: 'granted', provisioned: true, grantedAtMs: world.nowMs })
    } else baselines.set(site, release)
  }
  return baselines
}

function freshPlaces(draft: Draft): readonly (readonly [string, SiteProgress])[] {
  return [...draft.tally.watched].flatMap((site) => {
    const place = sitesOf(draft).get(site)
    return place?.fresh !== undefined && place.phase === 'waiting' ? [[site, place] as const] : []
  })
}
