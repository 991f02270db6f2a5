import { Places } from './places.ts'
import type { RolloutSpec, RolloutState, SiteProgress, WaveState } from './types.ts'
import { recount, type Tally, tallyOf } from './tally.ts'

/** One rollout while a tick works on it. The state given stays as it was; the counts move along to the new one. */
export interface Draft {
  readonly spec: RolloutSpec
  readonly given: RolloutState
  state: RolloutState
  /** Once something changed. */
  sites: Places | null
  tally: Tally
}

/** Counts by the map they count: a tick in which nothing changed builds none. Losing an entry costs time only. */
const TALLIES = new WeakMap<ReadonlyMap<string, SiteProgress>, Tally>()

export function openDraft(spec: RolloutSpec, state: RolloutState): Draft {
  const tally = TALLIES.get(state.sites) ?? tallyOf(state)
  TALLIES.set(state.sites, tally)
  return { spec, given: state, state, sites: null, tally }
}

export function sitesOf(draft: Draft): ReadonlyMap<string, SiteProgress> {
  return draft.sites ?? draft.state.sites
}

export function putSite(draft: Draft, site: string, progress: SiteProgress): void {
  const before = sitesOf(draft).get(site)
  if (before === progress) return
  if (draft.sites === null) {
    draft.sites = Places.on(draft.state.sites)
    // The counts are about to be those of the copy.
    TALLIES.delete(draft.state.sites)
  }
  draft.sites.set(site, progress)
  recount(draft.tally, site, before, progress)
}

export function putWave(draft: Draft, index: number, wave: WaveState): void {
  draft.state = { ...draft.state, waves: draft.state.waves.with(index, wave) }
}

export function putState(draft: Draft, change: Partial<RolloutState>): void {
  draft.state = { ...draft.state, ...change }
}

/** The state after the tick; the very object that was given where nothing changed. */
export function closeDraft(draft: Draft): RolloutState {
  if (draft.sites === null) return draft.state
  const state = { ...draft.state, sites: draft.sites }
  TALLIES.set(draft.sites, draft.tally)
  return state
}
