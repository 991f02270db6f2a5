import type { RolloutState, SiteProgress } from './types.ts'

/** Counts and lists of one rollout's sites, kept in step with every change, so that a tick looks only at what may move. */
export interface Tally {
  readonly waves: WaveTally[]
  /** Sites that may change by themselves: told to move, moving, failed, going back, being taken back, just arrived. */
  readonly watched: Set<string>
  readonly done: Set<string>
  fresh: number
}

export interface WaveTally {
  targeted: number
  /** Not told to move yet, in order. */
  open: Set<string>
  /** An open site came back out of order: sort before reading. */
  unsorted: boolean
  unchanged: number
  done: number
  /** Failures that count, and those an operator accepted. */
  failed: number
  accepted: number
  /** Granted or changing as part of the wave. */
  moving: number
  rolledBack: number
}

export function tallyOf(state: RolloutState): Tally {
  const tally: Tally = {
    waves: state.waves.map(() => ({
      targeted: 0,
      open: new Set<string>(),
      unsorted: false,
      unchanged: 0,
      done: 0,
      failed: 0,
      accepted: 0,
      moving: 0,
      rolledBack: 0,
    })),
    watched: new Set(),
    done: new Set(),
    fresh: 0,
  }
  for (const [site, progress] of state.sites) count(tally, site, progress, 1)
  return tally
}

/** Move one site from one place to another; O(1). */
export function recount(tally: Tally, site: string, before: SiteProgress | undefined, after: SiteProgress): void {
  if (before !== undefined) count(tally, site, before, -1)
  count(tally, site, after, 1)
  const wave = tally.waves[after.wave]
  if (before !== undefined && wave !== undefined && after.phase === 'waiting') wave.unsorted = true
}

/** Open sites of a wave in the order of the state's map, whatever way they came back. */
export function openSites(tally: Tally, wave: number, sites: ReadonlyMap<string, SiteProgress>): ReadonlySet<string> {
  const here = tally.waves[wave]
  if (here === undefined) return new Set()
  if (here.unsorted) {
    const sorted = new Set<string>()
    for (const site of sites.keys()) if (here.open.has(site)) sorted.add(site)
    here.open = sorted
    here.unsorted = false
  }
  return here.open
}

/** Sites that this rollout changes, but for those provisioned outside it. */
export function changedOf(wave: WaveTally): number {
  return wave.open.size + wave.done + wave.failed + wave.accepted + wave.moving + wave.rolledBack
}

export function isWatched(progress: SiteProgress): boolean {
  switch (progress.phase) {
    case 'granted':
    case 'changing':
    case 'failed':
      return true
    case 'rolledBack':
      return progress.settled === undefined
    case 'waiting':
      return progress.fresh !== undefined || progress.revoke !== undefined || progress.grantedAtMs !== undefined
    case 'unchanged':
      return progress.revoke !== undefined
    case 'done':
      return false
  }
}

function count(tally: Tally, site: string, progress: SiteProgress, by: 1 | -1): void {
  const wave = tally.waves[progress.wave]
  if (wave === undefined) return
  wave.targeted += by
  if (isWatched(progress)) put(tally.watched, site, by)
  if (progress.phase === 'done') put(tally.done, site, by)
  if (progress.phase === 'waiting') put(wave.open, site, by)
  if (progress.fresh !== undefined && progress.phase === 'waiting') tally.fresh += by
  if (progress.provisioned !== undefined) wave.unchanged += by
  else if (progress.phase === 'unchanged') wave.unchanged += by
  else if (progress.phase === 'done') wave.done += by
  else if (progress.phase === 'rolledBack') wave.rolledBack += by
  else if (progress.phase === 'granted' || progress.phase === 'changing') wave.moving += by
  else if (progress.phase === 'failed') {
    if (progress.failure?.accepted === true) wave.accepted += by
    else wave.failed += by
  }
}

function put(set: Set<string>, site: string, by: 1 | -1): void {
  if (by === 1) set.add(site)
  else set.delete(site)
}
