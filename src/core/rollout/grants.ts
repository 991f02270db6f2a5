import type { Digest } from '../model/digest.ts'
import type { Waiting } from '../model/state.ts'
import { amountOf } from './amount.ts'
import { budgetReason, type FleetBudget, isOverBudget } from './budget.ts'
import { type ByWorkload, unmetDependency } from './depends.ts'
import { type Draft, putSite, sitesOf } from './draft.ts'
import { changesInAll } from './gates.ts'
import { glassAt, type Look, WHOLE } from './look.ts'
import { answerOf, hasBegun } from './observe.ts'
import { fill, type Slots } from './step.ts'
import { openSites } from './tally.ts'
import type { Grant, RolloutWorld, SiteProgress, SiteWorkload } from './types.ts'
import type { Found } from './watch.ts'
import { ruleOf } from './waves.ts'

export interface Room {
  readonly slots: Slots
  readonly maxUnavailable: number
  /** Waves whose sites may move: up to and with this one. */
  readonly lastWave: number
}

/** How many more may move now. Returning sites of earlier waves share the running wave's places. */
export function roomIn(draft: Draft, active: number, found: Found): Room {
  const { spec, state, tally } = draft
  const lastWave = Math.min(active, state.waves.length - 1)
  const wave = state.waves[lastWave]
  const rule = wave === undefined ? undefined : ruleOf(spec.policy, wave)
  const width = rule === undefined ? 1 : amountOf(rule.maxConcurrent, tally.waves[lastWave]?.targeted ?? 0)
  const proven = tally.waves.some(({ done }) => done > 0)
  // Nothing before it gave evidence: the wave starts with a canary of its own.
  const canary = state.phase === 'Progressing' && lastWave > 0 && !proven && changesInAll(draft) > 1
  return {
    slots: { capacity: canary ? 1 : width, used: found.used },
    maxUnavailable: amountOf(spec.policy.maxUnavailable, spec.targets.size),
    lastWave,
  }
}

export interface Granting {
  readonly draft: Draft
  readonly world: RolloutWorld
  readonly look: Look
  readonly budget: FleetBudget
  readonly rollouts: ByWorkload
  readonly found: Found
  /** Fresh sites that are about to be provisioned are no candidates of a wave. */
  readonly provisioning: ReadonlySet<string>
}

/**
 * Give free places to the sites whose turn it is. Writes their new place, the reasons of sites that have one of their own, and
 * the one reason that all the others share: no place, or no budget.
 */
export function grantPlaces(granting: Granting, room: Room): Granted {
  const { draft, look, found, budget, world, rollouts, provisioning } = granting
  const { slots } = room
  const observers: string[] = []
  let lacksPlace = false
  const keep = (site: string, because: Waiting): false => {
    found.waiting.set(site, because)
    return false
  }
  const share = (because: Waiting): false => {
    found.shared = because
    return false
  }
  const admit = (site: string, isFree: boolean): boolean => {
    const barred = look.withdrawn(site) ?? look.unsigned(site)
    if (barred !== null) return keep(site, barred)
    const standing = look.standing(site)
    if (standing.is === 'observe') observers.push(site)
    if (standing.is !== 'ready') return keep(site, standing.because)
    if (!isFree) {
      lacksPlace = true
      return false
    }
    const dependency = unmetDependency(draft.spec, site, world, rollouts)
    if (dependency !== null) return keep(site, { reason: 'Dependency', detail: dependency })
    if (found.unavailable >= room.maxUnavailable) return share(unavailableReason(found, room))
    if (isOverBudget(budget, site)) return share(found.shared ?? budgetReason(budget))
    budget.changing.add(site)
    found.unavailable += 1
    return true
  }
  const joins = fill(candidates(draft, room.lastWave, provisioning), slots, admit)
  for (const site of joins) {
    const place = sitesOf(draft).get(site)
    if (place !== undefined) putSite(draft, site, granted(place, world.nowMs))
    found.waiting.delete(site)
  }
  if (lacksPlace) share({ reason: 'Slot', detail: `${slots.used} of ${slots.capacity}` })
  return { joins, observers }
}

export interface Granted {
  readonly joins: readonly string[]
  /** Sites that are told what they would run, and may not begin. */
  readonly observers: readonly string[]
}

/** What an observing site is told: the content, with a permit that is already over. null: it was told. */
export function contentFor(draft: Draft, site: string, world: RolloutWorld): Grant | null {
  const release = draft.spec.targets.get(site)
  const { workload } = draft.spec
  if (release === undefined || world.at(site, workload)?.published === release) return null
  return { site, workload, release, startAfterMs: world.nowMs, startByMs: world.nowMs, because: 'wave' }
}

export function granted(place: SiteProgress, nowMs: number): SiteProgress {
  const { revoke: _revoke, begunAtMs: _begun, deadline: _deadline, failure: _failure, fresh: _fresh, ...rest } = place
  return { ...rest, phase: 'granted', grantedAtMs: nowMs }
}

/** The grant that a place stands for, while what is published is not it; null: nothing to publish. */
export function grantFor(draft: Draft, site: string, world: RolloutWorld, active: number): Grant | null {
  const place = sitesOf(draft).get(site)
  const target = draft.spec.targets.get(site)
  if (place === undefined || target === undefined) return null
  const { workload, policy } = draft.spec
  const at = world.at(site, workload)
  const published = at?.published ?? null
  const { nowMs } = world
  const grant = (release: Digest, startByMs: number, because: Grant['because']): Grant => ({
    site,
    workload,
    release,
    startAfterMs: nowMs,
    startByMs,
    because,
  })
  const open = at?.startByMs != null && at.startByMs > nowMs
  if (place.phase === 'granted') {
    if (world.withdrawn.has(target)) return null
    const permit = (release: Digest, because: Grant['because']): Grant => {
      const given = grant(release, nowMs + policy.startByMs, because)
      return place.provisioned === undefined ? inItsWindow(given, draft, world) : given
    }
    if (published !== target) return permit(target, whyGranted(place, active))
    if (open) return null
    if (place.provisioned !== undefined) return permit(target, 'provision')
    // Its own permit ended and it was not heard since: it may have begun. Only a place given after that renews it.
    const isOlder = at?.startByMs == null || at.startByMs <= (place.grantedAtMs ?? nowMs)
    return isOlder ? permit(target, 'renew') : null
  }
  if (place.phase === 'changing' || place.phase === 'failed')
    return published === target ? onceMore(grant(target, at?.startByMs ?? nowMs, 'renew'), draft, world) : null
  if (place.phase === 'rolledBack') {
    // Nothing good to go back to: what it was told and has not begun it may not begin any more.
    if (place.back === undefined) return published === target && open ? closed(grant, target, at, nowMs) : null
    if (published === place.back || world.withdrawn.has(place.back)) return null
    return grant(place.back, nowMs + WAY_BACK_MS, draft.state.ended?.kind === 'undo' ? 'undo' : 'rollback')
  }
  if (place.revoke !== undefined) return revocation(place, published, open, world, grant)
  // Its permit is taken, its content stays: it had not begun when it was held or turned to observing.
  const lapsed = place.phase === 'waiting' && place.grantedAtMs !== undefined && published === target
  return lapsed && open ? grant(target, nowMs, 'revoke') : null
}

/** Its permit ends now, where it is not seen to have begun. */
function closed(
  grant: (release: Digest, startByMs: number, because: Grant['because']) => Grant,
  release: Digest,
  at: SiteWorkload | undefined,
  nowMs: number,
): Grant | null {
  return hasBegun(answerOf(at, release), release) ? null : grant(release, nowMs, 'revoke')
}

/** A permit lasts no longer than the window that is open, or opens next, and does not begin before it. */
function inItsWindow(grant: Grant, draft: Draft, world: RolloutWorld): Grant {
  const glass = glassAt(draft.state, world.nowMs)
  const window = world.window?.(grant.site, grant.workload, glass)
  if (window === undefined) return grant
  const startAfterMs = window.open ? grant.startAfterMs : Math.max(grant.startAfterMs, window.opensAtMs ?? 0)
  const startByMs = Math.min(grant.startByMs, window.closesAtMs ?? grant.startByMs)
  if (glass === WHOLE) return { ...grant, startAfterMs, startByMs }
  // Where it goes by a yes alone, it begins no later than that lasts.
  const byYes = window.open && world.window?.(grant.site, grant.workload, WHOLE)?.open === false
  const endMs = byYes ? Math.min(...glass.map(({ untilMs }) => untilMs)) : Infinity
  return { ...grant, startAfterMs, startByMs: Math.min(startByMs, endMs), glass: glass.map(({ team }) => team) }
}

/** A window stopped it half way, and somebody broke the glass since: it is told that it may go on. */
function onceMore(grant: Grant, draft: Draft, world: RolloutWorld): Grant | null {
  const glass = glassAt(draft.state, world.nowMs).map(({ team }) => team)
  const at = world.at(grant.site, grant.workload)
  const stands = answerOf(at, grant.release)?.waiting?.reason === 'WindowClosed'
  return stands && glass.some((team) => at?.glass?.includes(team) !== true) ? { ...grant, glass } : null
}

function whyGranted(place: SiteProgress, active: number): Grant['because'] {
  if (place.provisioned !== undefined) return 'provision'
  return place.wave < active ? 'return' : 'wave'
}

function revocation(
  place: SiteProgress,
  published: Digest | null,
  open: boolean,
  world: RolloutWorld,
  grant: (release: Digest, startByMs: number, because: Grant['because']) => Grant,
): Grant | null {
  if (published === null || published === place.from) return null
  if (place.revoke === 'back' && place.from !== null && !world.withdrawn.has(place.from))
    return grant(place.from, world.nowMs + WAY_BACK_MS, 'revoke')
  // Nothing was there before: an entry that may not begin is as good as none, and deletes nothing.
  return open ? grant(published, world.nowMs, 'revoke') : null
}

/** The way back to what it ran before stays open for a site that is dark for months. */
export const WAY_BACK_MS = 400 * 86_400_000

function unavailableReason(found: Found, room: Room): Waiting {
  // Thousands of sites share it: made once.
  if (found.shared?.reason === 'Budget') return found.shared
  return { reason: 'Budget', detail: `maxUnavailable ${found.unavailable} of ${room.maxUnavailable}` }
}

function* candidates(draft: Draft, lastWave: number, provisioning: ReadonlySet<string>): Iterable<string> {
  for (let wave = 0; wave <= lastWave; wave++) {
    for (const site of openSites(draft.tally, wave, sitesOf(draft))) if (!provisioning.has(site)) yield site
  }
}
