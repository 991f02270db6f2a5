import type { Digest } from '../model/digest.ts'
import { begin, mustWait, reconcileSites } from './begin.ts'
import { sweep } from './back.ts'
import { type FleetBudget, openBudget } from './budget.ts'
import { byWorkload, type ByWorkload } from './depends.ts'
import { closeDraft, type Draft, openDraft, putSite, putState, sitesOf } from './draft.ts'
import { contentFor, grantFor, grantPlaces, roomIn, WAY_BACK_MS } from './grants.ts'
import { glassAt, type Look, lookAt, type Standings } from './look.ts'
import { judgeFailures, noteWithdrawn, passWaves } from './progress.ts'
import { isPresent } from './observe.ts'
import { provision } from './provision.ts'
import { reasonsOf, wholeReason } from './reasons.ts'
import type { Grant, RolloutDecision, RolloutEntry, RolloutSpec, RolloutState, RolloutWorld } from './types.ts'
import { WaitingView } from './waiting-view.ts'
import { type Found, soonest, watchSites } from './watch.ts'

/**
 * Who may move now, and why the others wait: one decision an entry of `world.rollouts`, in that order. Pure; call it after every
 * change and at the least `nextAtMs`. Store `state` and `withdraw` before publishing the grants. Counts are remembered by the
 * state objects of the last tick, so that a tick costs what changed and not what there is.
 */
export function decide(world: RolloutWorld): readonly RolloutDecision[] {
  const standings: Standings = new Map()
  const budget = openBudget(world)
  const isFresh = freshSites(world)
  const turns = world.rollouts.map((entry) => openTurn(entry, world, standings, isFresh))
  for (const turn of turns) turn.found = watchSites(turn.draft, world, turn.look, budget)
  // All that goes back is known before anybody is told to start: it takes of the same budget.
  for (const { draft, look } of turns) {
    noteWithdrawn(draft, world.withdrawn)
    judgeFailures(draft, world.nowMs)
    for (const site of sweep(draft, world)) if (isPresent(look.standing(site))) budget.changing.add(site)
  }
  const rollouts = byWorkload(world)
  const decisions = new Map<Turn, RolloutDecision>()
  for (const turn of turns.toSorted(byPriority)) decisions.set(turn, takeTurn(turn, world, budget, rollouts))
  return turns.flatMap((turn) => decisions.get(turn) ?? [])
}

interface Turn {
  readonly entry: RolloutEntry
  readonly draft: Draft
  readonly look: Look
  /** A newer map waits for the running wave. */
  readonly next: RolloutSpec | null
  readonly superseded: RolloutState | null
  readonly isFresh: (site: string) => boolean
  found: Found
}

const NOTHING_FOUND: Found = {
  used: 0,
  unavailable: 0,
  waiting: new Map(),
  shared: null,
  soakingUntilMs: null,
  nextAtMs: null,
}

/** The rollout that runs in this tick: a new one, the newer map that may begin, or the one that was there. */
function openTurn(
  entry: RolloutEntry,
  world: RolloutWorld,
  standings: Standings,
  isFresh: (site: string) => boolean,
): Turn {
  const { spec, state } = entry
  const next = entry.next !== undefined && entry.next.id !== spec.id ? entry.next : null
  const turn = (spec: RolloutSpec, state: RolloutState, next: RolloutSpec | null, superseded: RolloutState | null) => ({
    entry,
    draft: openDraft(spec, state),
    look: lookAt(spec, world, standings, glassAt(state, world.nowMs)),
    next,
    superseded,
    isFresh,
    found: NOTHING_FOUND,
  })
  if (state === null) return turn(next ?? spec, begin(next ?? spec, null, world, isFresh), null, null)
  const running = { spec, state }
  if (next !== null && !mustWait(next, running))
    return turn(next, begin(next, running, world, isFresh), null, superseded(state, world.nowMs))
  if (isReadmitted(state, world))
    return turn(spec, begin(spec, running, world, isFresh), next, superseded(state, world.nowMs))
  return turn(spec, current(spec, state, world, isFresh), next, null)
}

function takeTurn(turn: Turn, world: RolloutWorld, budget: FleetBudget, rollouts: ByWorkload): RolloutDecision {
  const { draft, look, found } = turn
  const { nowMs } = world
  // Before the gates: a site that is provisioned is no open site of its wave. After them again: what has just completed provisions.
  provision(draft, world, look)
  const reached = passWaves(draft, look, nowMs, turn.next !== null)
  if (draft.state.phase === 'Completed') establish(draft, turn.isFresh)
  const baselines = provision(draft, world, look)
  const grants: Grant[] = []
  const { phase } = draft.state
  if (phase === 'Progressing' || phase === 'Completed') {
    const provisioning = new Set(baselines.keys())
    const room = roomIn(draft, reached.active, found)
    const { observers } = grantPlaces({ draft, world, look, budget, rollouts, found, provisioning }, room)
    for (const site of observers) push(grants, contentFor(draft, site, world))
  }
  for (const [site, release] of baselines) {
    const { workload } = draft.spec
    grants.push({ site, workload, release, startAfterMs: nowMs, startByMs: nowMs + WAY_BACK_MS, because: 'provision' })
  }
  for (const site of draft.tally.watched) push(grants, grantFor(draft, site, world, reached.active))
  const state = closeDraft(draft)
  const why = state.ended?.why ?? 'withdrawn'
  const withdraw =
    state.ended?.kind === 'failure'
      ? (state.withdrew ?? [])
          .filter((digest) => !world.withdrawn.has(digest))
          .map((digest) => ({ digest, reason: why }))
      : []
  const reasonOf = reasonsOf(draft.spec, state, reached, found.shared, goneOf(state, withdraw, world))
  return {
    workload: draft.spec.workload,
    state,
    ...(turn.superseded === null ? {} : { superseded: turn.superseded }),
    grants,
    withdraw,
    waiting: new WaitingView(found.waiting, state, (site, place) =>
      baselines.has(site) ? null : reasonOf(site, place),
    ),
    because: wholeReason(state, reached, found),
    nextAtMs: nextLook(turn, state, grants, world),
  }
}

/** What is withdrawn as of now, of what this rollout would give. */
function goneOf(state: RolloutState, withdraw: RolloutDecision['withdraw'], world: RolloutWorld): ReadonlySet<Digest> {
  const noted = (state.withdrew ?? []).filter((digest) => world.withdrawn.has(digest))
  return new Set([...noted, ...withdraw.map(({ digest }) => digest)])
}

function push(grants: Grant[], grant: Grant | null): void {
  if (grant !== null) grants.push(grant)
}

function nextLook(turn: Turn, state: RolloutState, grants: readonly Grant[], world: RolloutWorld): number | null {
  const { nowMs } = world
  // The wave that a newer map waited for is over: go on at once.
  if (turn.next !== null && !mustWait(turn.next, { spec: turn.draft.spec, state })) return nowMs
  // What a new map carried over was judged before its waves were: judge it again.
  if (turn.superseded !== null) return nowMs
  let nextAtMs = turn.found.nextAtMs
  for (const waiting of turn.found.waiting.values()) nextAtMs = soonest(nextAtMs, waiting.nextAtMs, nowMs)
  for (const { untilMs } of glassAt(state, nowMs)) nextAtMs = soonest(nextAtMs, untilMs, nowMs)
  for (const { startByMs } of grants) nextAtMs = soonest(nextAtMs, startByMs, nowMs)
  return nextAtMs
}

/** Higher priority first, then the older, then by name: the order in which the fleet's budget is handed out. */
function byPriority(a: Turn, b: Turn): number {
  const [left, right] = [a.draft.spec, b.draft.spec]
  return (
    right.priority - left.priority ||
    left.createdAtMs - right.createdAtMs ||
    (left.workload < right.workload ? -1 : left.workload > right.workload ? 1 : 0)
  )
}

/** The revision whose sites and labels a spec's state was last held against; a miss costs one walk over the sites. */
const SETTLED = new WeakMap<RolloutSpec, string>()

function current(
  spec: RolloutSpec,
  state: RolloutState,
  world: RolloutWorld,
  isFresh: (site: string) => boolean,
): RolloutState {
  const { revision } = world
  if (revision !== undefined && SETTLED.get(spec) === revision && state.sites.size === spec.targets.size) return state
  if (revision !== undefined) SETTLED.set(spec, revision)
  return reconcileSites(spec, state, world, isFresh)
}

/** A first rollout that is through makes the fleet one that has something to provision with. */
function establish(draft: Draft, isFresh: (site: string) => boolean): void {
  if (draft.state.established) return
  for (const [site, place] of sitesOf(draft))
    if (place.phase === 'waiting' && place.from === null && place.fresh === undefined && isFresh(site))
      putSite(draft, site, { ...place, fresh: true })
  putState(draft, { established: true })
}

function superseded(state: RolloutState, nowMs: number): RolloutState {
  const running = state.phase === 'Progressing' || state.phase === 'Paused'
  return running ? { ...state, phase: 'Superseded', endedAtMs: nowMs } : state
}

/** Something that this rollout took back, or found withdrawn, may be published again: it goes through the waves anew. */
function isReadmitted(state: RolloutState, world: RolloutWorld): boolean {
  if (state.phase === 'Paused' || state.phase === 'Aborted' || state.phase === 'Superseded') return false
  if (state.phase === 'RolledBack' && state.ended?.swept === undefined) return false
  return (state.withdrew ?? []).some((digest) => !world.withdrawn.has(digest))
}

/** Was nothing of any workload ever published to this site? Asked once a site and tick. */
function freshSites(world: RolloutWorld): (site: string) => boolean {
  const known = new Map<string, boolean>()
  const workloads = world.rollouts.map(({ spec }) => spec.workload)
  return (site) => {
    let fresh = known.get(site)
    if (fresh === undefined) {
      fresh = workloads.every((workload) => (world.at(site, workload)?.published ?? null) === null)
      known.set(site, fresh)
    }
    return fresh
  }
}
