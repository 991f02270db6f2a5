import type { Digest } from '../model/digest.ts'
import { type Draft, putSite, putState, sitesOf } from './draft.ts'
import type { RolloutSpec, RolloutState, RolloutWorld, SiteProgress } from './types.ts'

/** Releases that an undo withdraws: what this rollout changed, or its whole map where it changed nothing by itself. */
export function undoneBy(spec: RolloutSpec, state: RolloutState): readonly Digest[] {
  const kept = new Set<Digest>()
  const changed = new Set<Digest>()
  for (const [site, target] of spec.targets) {
    const place = state.sites.get(site)
    if (place?.provisioned !== undefined) continue
    const given = place !== undefined && place.phase !== 'unchanged'
    ;(given ? changed : kept).add(target)
  }
  const withdrawn = [...changed].filter((digest) => !kept.has(digest))
  return withdrawn.length > 0 || changed.size > 0 ? withdrawn : [...kept]
}

/** Releases that a failed policy withdraws: those that failed somewhere and that no site ran before this rollout. */
export function failedReleases(draft: Draft): readonly Digest[] {
  const failed = new Set<Digest>()
  const before = new Set<Digest>()
  for (const [site, { phase, from, provisioned }] of sitesOf(draft)) {
    if (from !== null) before.add(from)
    const target = draft.spec.targets.get(site)
    if (phase === 'failed' && provisioned === undefined && target !== undefined) failed.add(target)
  }
  return [...failed].filter((digest) => !before.has(digest))
}

/** After an undo or a failed policy: every site that was told the rollout's release is told where to go back to. Once; returns those that go. */
export function sweep(draft: Draft, world: RolloutWorld): readonly string[] {
  const { spec, state } = draft
  if (state.ended === undefined || state.ended.swept === true || state.phase !== 'RolledBack') return []
  const back: string[] = []
  const gone = new Set(state.withdrew ?? [])
  const good = (digest: Digest | null): digest is Digest =>
    digest !== null && !gone.has(digest) && !world.withdrawn.has(digest)
  for (const [site, place] of sitesOf(draft)) {
    const target = spec.targets.get(site)
    if (target === undefined || place.phase === 'rolledBack') continue
    const published = world.at(site, spec.workload)?.published ?? null
    if (place.phase === 'granted' && published !== target) {
      putSite(draft, site, { wave: place.wave, phase: 'waiting', from: place.from })
      continue
    }
    if (published !== target || (place.phase === 'unchanged' && !gone.has(target))) continue
    const lastGood = world.lastGood(site, spec.workload)
    const to = good(lastGood) && lastGood !== target ? lastGood : place.from
    const goes = good(to) && to !== target
    putSite(draft, site, sentBack(place, goes ? to : null))
    if (goes) back.push(site)
  }
  putState(draft, { ended: { ...state.ended, swept: true } })
  return back
}

function sentBack(place: SiteProgress, back: Digest | null): SiteProgress {
  const { wave, from, failure } = place
  return {
    wave,
    phase: 'rolledBack',
    from,
    ...(failure === undefined ? {} : { failure }),
    ...(back === null ? {} : { back }),
  }
}
