import type { Waiting } from '../model/state.ts'
import { amountOf, coverageNeeded } from './amount.ts'
import { type Draft, sitesOf } from './draft.ts'
import { breaches } from './step.ts'
import { changedOf, openSites, type WaveTally } from './tally.ts'
import type { Look } from './look.ts'
import { isPresent } from './observe.ts'
import { ruleOf } from './waves.ts'

/** What keeps a wave, or how it ends. */
export type Gate =
  | { readonly is: 'passed'; readonly by?: string }
  /** Nothing in it changes. `carry`: no evidence exists yet, and the next wave's canary soaks as long as this one would. */
  | { readonly is: 'skipped'; readonly carry: boolean }
  /** Sites of it are still due. */
  | { readonly is: 'running' }
  | { readonly is: 'kept'; readonly because: Waiting; readonly short: boolean }

/** May the rollout leave this wave? */
export function gateOf(draft: Draft, index: number, look: Look): Gate {
  const wave = draft.tally.waves[index]
  const state = draft.state.waves[index]
  if (wave === undefined || state === undefined || wave.targeted === 0) return { is: 'skipped', carry: false }
  const rule = ruleOf(draft.spec.policy, state)
  const approval = draft.state.approvals[state.name]
  const held: Gate | null =
    rule.approval !== null && approval === undefined
      ? { is: 'kept', because: { reason: 'ApprovalNeeded', detail: rule.approval }, short: false }
      : null
  const open = openIn(draft, index, look)
  if (open === 'due') return { is: 'running' }
  const changed = changedOf(wave) - open.aside
  const proven = draft.tally.waves.some((other) => other.done > 0)
  if (changed - open.unenrolled === 0) {
    if (proven) return { is: 'skipped', carry: false }
    if (open.withdrawn !== null && !changesElse(draft, look))
      return { is: 'kept', because: open.withdrawn, short: false }
    if (changed === 0 && changesInAll(draft) <= 1) return { is: 'skipped', carry: false }
    // Sites that never joined keep nobody: a later wave begins with a canary of its own. Nor are they evidence: where nobody else
    // changes, coverage below says what is missing until the first of them comes.
    if (changed === 0 || joinedAfter(draft, index, look)) return held ?? { is: 'skipped', carry: true }
  }
  if (hasMoving(draft, index, look)) return { is: 'running' }
  const needed = coverageNeeded(draft.spec.policy.minCoveragePercent, Math.max(1, changed - open.unenrolled))
  if (wave.done < needed) {
    // The yes must have been given to this shortage, and not before anybody knew of it.
    if (approval !== undefined && state.shortSinceMs !== undefined && approval.atMs >= state.shortSinceMs)
      return { is: 'passed', by: approval.by }
    return { is: 'kept', because: { reason: 'Coverage', detail: `${wave.done} of ${needed}` }, short: true }
  }
  return held ?? { is: 'passed' }
}

/** Why the policy has failed, in words; null: it has not. */
export function breachOf(draft: Draft, active: number): string | null {
  const { maxFailures, minCoveragePercent } = draft.spec.policy
  const { waves } = draft.tally
  const total = waves.reduce((sum, wave) => sum + wave.failed, 0)
  if (total === 0) return null
  if ('count' in maxFailures && breaches(total, maxFailures.count))
    return `${total} ${total === 1 ? 'site' : 'sites'} failed, the limit is ${maxFailures.count}`
  for (const [index, wave] of waves.entries()) {
    const name = draft.state.waves[index]?.name ?? ''
    const limit = amountOf(maxFailures, wave.targeted)
    if ('percent' in maxFailures && wave.failed > 0 && breaches(wave.failed, limit))
      return `${wave.failed} of ${wave.targeted} sites of wave ${name} failed, the limit is ${limit}`
    if (index === active && wave.failed > 0 && cannotPass(wave, minCoveragePercent))
      return `${wave.failed} failed sites of wave ${name} leave too few to show that it works`
  }
  return null
}

/** Sites that the rollout changes, over all waves. */
export function changesInAll(draft: Draft): number {
  return draft.tally.waves.reduce((sum, wave) => sum + changedOf(wave), 0)
}

function cannotPass(wave: WaveTally, percent: number): boolean {
  const changed = changedOf(wave)
  return wave.done + wave.moving + wave.open.size < coverageNeeded(percent, changed)
}

/** Does the rollout change any site to a release that is not withdrawn? Asked only where a wave has none. */
function changesElse(draft: Draft, look: Look): boolean {
  const { waves } = draft.tally
  if (waves.some((wave) => changedOf(wave) > wave.open.size)) return true
  return waves.some((wave) => [...wave.open].some((site) => look.withdrawn(site) === null))
}

/** Is there a later wave with a site that has joined and may still move? */
function joinedAfter(draft: Draft, index: number, look: Look): boolean {
  for (const { open } of draft.tally.waves.slice(index + 1))
    for (const site of open) {
      const standing = look.standing(site)
      if (standing.is === 'observe' || (standing.is === 'excused' && standing.why === 'enrol')) continue
      if (look.withdrawn(site) === null) return true
    }
  return false
}

interface Open {
  /** Open sites that are no part of the count: observed only, withdrawn, or provisioned outside the waves when they come. */
  readonly aside: number
  readonly unenrolled: number
  readonly withdrawn: Waiting | null
}

/** Open sites of the wave by why they are open; `due` as soon as one is met that should still move. */
function openIn(draft: Draft, index: number, look: Look): Open | 'due' {
  let aside = 0
  let unenrolled = 0
  let withdrawn: Waiting | null = null
  for (const site of openSites(draft.tally, index, sitesOf(draft))) {
    const gone = look.withdrawn(site)
    const standing = look.standing(site)
    if (gone !== null) {
      withdrawn = gone
      aside += 1
    } else if (standing.is === 'observe') aside += 1
    else if (standing.is !== 'excused') return 'due'
    else if (standing.why === 'enrol') {
      if (sitesOf(draft).get(site)?.fresh === undefined) unenrolled += 1
      else aside += 1
    }
  }
  return { aside, unenrolled, withdrawn }
}

/** Sites of the wave that are on their way and not excused. */
function hasMoving(draft: Draft, index: number, look: Look): boolean {
  if ((draft.tally.waves[index]?.moving ?? 0) === 0) return false
  for (const site of draft.tally.watched) {
    const place = sitesOf(draft).get(site)
    if (place?.wave !== index || place.provisioned !== undefined) continue
    if ((place.phase === 'granted' || place.phase === 'changing') && isPresent(look.standing(site))) return true
  }
  return false
}
