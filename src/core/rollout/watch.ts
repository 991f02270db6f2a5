import type { Digest } from '../model/digest.ts'
import type { Waiting } from '../model/state.ts'
import type { FleetBudget } from './budget.ts'
import { type Draft, putSite, sitesOf } from './draft.ts'
import type { Look } from './look.ts'
import { advance, answerOf, hasBegun, isBroken, isHealthyAt, isPresent, type Looked } from './observe.ts'
import { excusedAtMs, clockText, type Standing } from './standing.ts'
import type { RolloutWorld, SiteFacts, SiteProgress, SiteWorkload } from './types.ts'
import { ruleOf } from './waves.ts'

/** What the look at one rollout's sites found, for gates and grants of the same tick. */
export interface Found {
  /** Places taken: told to move, present, not proven. */
  used: number
  /** Present and not seen healthy: moving, failed or broken again. */
  unavailable: number
  readonly waiting: Map<string, Waiting>
  /** What keeps every other site whose wave is there: no place, or no budget. */
  shared: Waiting | null
  /** Soaking sites: the latest end. */
  soakingUntilMs: number | null
  nextAtMs: number | null
}

/** Look at every site that may change by itself; write its new place, and count it. */
export function watchSites(draft: Draft, world: RolloutWorld, look: Look, budget: FleetBudget): Found {
  const found: Found = {
    used: 0,
    unavailable: 0,
    waiting: new Map(),
    shared: null,
    soakingUntilMs: null,
    nextAtMs: null,
  }
  for (const site of [...draft.tally.watched, ...doneToLookAt(draft, world)]) {
    const place = sitesOf(draft).get(site)
    const target = draft.spec.targets.get(site)
    if (place === undefined || target === undefined) continue
    const at = world.at(site, draft.spec.workload)
    const facts = world.site(site)
    const seen: Seen = {
      site,
      target,
      at,
      facts,
      standing: look.standing(site),
      heardMs: facts?.lastContactMs ?? null,
    }
    const told = toldAnew(draft, place, seen, world.nowMs)
    if (told !== place) putSite(draft, site, told)
    if (told.phase === 'granted' || told.phase === 'changing' || told.phase === 'failed' || told.phase === 'done')
      watchMoving(draft, told, seen, world, found, budget)
    else if (told.phase === 'rolledBack') watchBack(draft, told, seen, world.nowMs, budget)
    else if (told.revoke !== undefined || told.grantedAtMs !== undefined) watchRevoked(told, seen, budget)
  }
  return found
}

/** The earlier of two times, where null is never. */
export function soonest(a: number | null, b: number | null | undefined, nowMs: number): number | null {
  if (b == null || b <= nowMs) return a
  return a === null || b < a ? b : a
}

interface Seen {
  readonly site: string
  readonly target: Digest
  readonly at: SiteWorkload | undefined
  readonly facts: SiteFacts | undefined
  readonly standing: Standing
  readonly heardMs: number | null
}

function doneToLookAt(draft: Draft, world: RolloutWorld): Iterable<string> {
  const { phase } = draft.state
  if (phase !== 'Progressing' && phase !== 'Paused') return []
  const { done } = draft.tally
  const { changed } = world
  return changed === undefined || changed.size > done.size ? done : [...changed].filter((site) => done.has(site))
}

/** Where what is published says more than our own note of the site: it began after all, or somebody else moved it. */
function toldAnew(draft: Draft, place: SiteProgress, seen: Seen, nowMs: number): SiteProgress {
  const { at, target, standing } = seen
  const published = at?.published ?? null
  const begun = published === target && hasBegun(answerOf(at, target), target)
  switch (place.phase) {
    case 'granted': {
      if (begun) return place
      const stopped = !isPresent(standing) || draft.state.phase === 'Paused'
      const held = standing.is === 'excused' && (standing.why === 'hold' || standing.why === 'freeze')
      // Decided and never published: nothing is in its hand.
      if (published !== target) return stopped || held ? withoutRevoke(lapsed(place)) : place
      const ended = at?.startByMs != null && at.startByMs <= nowMs
      // Its place goes to another, so its permit ends too: a site that returns takes its turn among those that move by then.
      if (place.provisioned === undefined && !isPresent(standing)) return lapsed(place)
      // Held or only observing, it must not begin.
      if (held || standing.is === 'observe' || (ended && stopped)) return lapsed(place)
      // It has spoken since its permit ended and had not begun: it gives its place up, and takes its turn for another one.
      const unused = place.provisioned === undefined && hasLetGo(seen, place.grantedAtMs ?? 0)
      return unused ? lapsed(place) : place
    }
    case 'changing':
    case 'failed':
    case 'done':
      return published === target ? place : { wave: place.wave, phase: 'waiting', from: published }
    case 'waiting':
    case 'unchanged': {
      const wasTold = place.revoke !== undefined || place.grantedAtMs !== undefined
      if (begun && wasTold && place.from !== target) {
        const { revoke: _revoke, ...rest } = place
        return { ...rest, phase: 'changing', grantedAtMs: place.grantedAtMs ?? nowMs, begunAtMs: nowMs }
      }
      if (place.revoke === 'close' && published !== null && published !== target && published !== place.from)
        // The older release began before its permit was closed: that is what it runs now.
        return hasBegun(answerOf(at, published), published)
          ? { wave: place.wave, phase: 'waiting', from: published, onOld: true }
          : place
      if (place.revoke !== undefined && isTakenBack(place, at, nowMs)) return withoutRevoke(place)
      if (place.fresh !== undefined && published !== null && published !== target)
        return { wave: place.wave, phase: 'waiting', from: published }
      return place
    }
    case 'rolledBack':
      return place
  }
}

/** The site was told that it may not begin any more, and said so itself: until then it may be on its way. */
function isTakenBack(place: SiteProgress, at: SiteWorkload | undefined, nowMs: number): boolean {
  const published = at?.published ?? null
  if (published === null) return true
  if (published === place.from) return answerOf(at, published) !== null
  return place.from === null && (at?.startByMs == null || at.startByMs <= nowMs)
}

/** Heard after its permit ended: what it did not begin until then it never will. A permit that ended before `grantedAtMs` is an older one. */
function hasLetGo({ at, heardMs }: Seen, grantedAtMs: number): boolean {
  const endMs = at?.startByMs ?? null
  return endMs !== null && endMs > grantedAtMs && heardMs !== null && heardMs > endMs
}

/** What is being taken back may have begun meanwhile: until the site has heard, it is one that changes. */
function watchRevoked(place: SiteProgress, { site, at, standing, heardMs }: Seen, budget: FleetBudget): void {
  if (!isPresent(standing)) return
  const published = at?.published ?? null
  if (published === null) return
  const closed = at?.startByMs != null && heardMs !== null && heardMs > at.startByMs
  if (published === place.from ? answerOf(at, published) === null : !closed) budget.changing.add(site)
}

function withoutRevoke(place: SiteProgress): SiteProgress {
  const { revoke: _revoke, grantedAtMs: _granted, ...rest } = place
  return rest
}

function lapsed(place: SiteProgress): SiteProgress {
  const { deadline: _deadline, provisioned: _provisioned, ...rest } = place
  return { ...rest, phase: 'waiting' }
}

function watchMoving(
  draft: Draft,
  place: SiteProgress,
  seen: Seen,
  world: RolloutWorld,
  found: Found,
  budget: FleetBudget,
): void {
  const { site, standing, facts } = seen
  const { policy } = draft.spec
  const looked = advance(place, {
    release: seen.target,
    at: seen.at,
    facts,
    standing,
    soakMs: soakOf(draft, place.wave),
    deadlineMs: policy.progressDeadlineMs,
    nowMs: world.nowMs,
  })
  if (looked.progress !== place) putSite(draft, site, looked.progress)
  found.nextAtMs = soonest(found.nextAtMs, looked.nextAtMs, world.nowMs)
  if (facts !== undefined && isPresent(standing))
    found.nextAtMs = soonest(found.nextAtMs, excusedAtMs(facts, policy.offline.excuseAfterMs), world.nowMs)
  countMoving(looked, seen, found, budget)
  noteReason(looked, seen, found)
}

function countMoving({ progress, as }: Looked, { site, standing }: Seen, found: Found, budget: FleetBudget): void {
  if (!isPresent(standing) || progress.phase === 'done') return
  // What failed is broken until it is through its soak, however well it looks between two crashes.
  if (as === 'broken' || progress.phase === 'failed') budget.broken.add(site)
  if (progress.provisioned !== undefined) return
  if (as !== 'healthy') found.unavailable += 1
  if (progress.phase === 'failed' || progress.regressed !== undefined) return
  found.used += 1
  budget.changing.add(site)
}

function noteReason({ progress, as, nextAtMs }: Looked, { site, standing, at, target }: Seen, found: Found): void {
  if (progress.phase === 'done') return
  // What has begun goes on when its window closes, unless the site itself says that it stands still.
  const keeps = standing.is !== 'ready' && (standing.is !== 'closed' || progress.phase === 'granted')
  if (keeps) found.waiting.set(site, standing.because)
  else if (as === 'healthy' && nextAtMs !== null) {
    found.waiting.set(site, { reason: 'Soaking', detail: untilText(nextAtMs), nextAtMs })
    found.soakingUntilMs = Math.max(found.soakingUntilMs ?? 0, nextAtMs)
  } else {
    const own = answerOf(at, target)?.waiting
    if (own !== undefined && progress.phase !== 'failed') found.waiting.set(site, own)
  }
}

const MINUTE_MS = 60_000
const KEPT_TEXTS = 128
/** By minute: sites that began together soak until the same few, and each is asked for thousands of times a tick. */
const UNTIL = new Map<number, string>()

function untilText(ms: number): string {
  const minute = Math.floor(ms / MINUTE_MS)
  const known = UNTIL.get(minute)
  if (known !== undefined) return known
  if (UNTIL.size >= KEPT_TEXTS) UNTIL.clear()
  const text = `until ${clockText(ms)}`
  UNTIL.set(minute, text)
  return text
}

/** A site going back counts as changing until it is seen healthy where it was sent, or where it must stay for want of better. */
function watchBack(draft: Draft, place: SiteProgress, seen: Seen, nowMs: number, budget: FleetBudget): void {
  const { site, at, standing, target } = seen
  const release = place.back ?? target
  const answer = answerOf(at, release)
  // Nothing to go back to, and its permit ended before it began: nothing of it will run.
  const neverBegins = place.back === undefined && !hasBegun(answer, release) && (at?.startByMs ?? 0) <= nowMs
  const healthy = isHealthyAt(answer, release)
  if (neverBegins || (healthy && place.back !== undefined)) return putSite(draft, site, { ...place, settled: true })
  // What must stay on a withdrawn release stays watched: it may break yet.
  if (healthy) return
  if (!isPresent(standing)) return
  // What failed and has nothing to go back to is broken where it is, and on its way nowhere.
  if (place.back !== undefined || place.failure === undefined) budget.changing.add(site)
  if (isBroken(at?.observation ?? null)) budget.broken.add(site)
}

/** A site that was carried into a new map may stand in a wave whose turn has not come: it soaks as long as those before it would. */
function soakOf(draft: Draft, wave: number): number {
  const { waves } = draft.state
  let soakMs = 0
  for (const [index, state] of waves.entries()) {
    if (index > wave) break
    if (index === wave || state.state === 'pending')
      soakMs = Math.max(soakMs, state.soakMs ?? 0, ruleOf(draft.spec.policy, state).soakMs)
  }
  return soakMs
}
