/** What decisions about rollouts change in the store: states by the rows that moved, entries that are good now, history, events. */
import { jsonEqual, type Json } from '../core/model/json.ts'
import type { RolloutDecision, RolloutState, SiteProgress } from '../core/rollout/types.ts'
import type { AtSite, EntryRecord, KeptSpec, RolloutRecord } from './store.ts'
import type { Draft, NewEvent, World } from './world.ts'

const KEPT_GOOD = 3
/** Where more of a rollout's sites than this move in one turn, its map is written anew: thousands that stand alike share one text. */
const MOST_ROWS = 0.5

/** What the decisions of one tick change in the store. */
export function draftOf(
  world: World,
  records: readonly RolloutRecord[],
  decisions: readonly RolloutDecision[],
  nowMs: number,
): Draft {
  const rollouts: NonNullable<Draft['rollouts']>[number][] = []
  const history: NonNullable<Draft['history']>[number][] = []
  const entries: EntryRecord[] = []
  const events: NewEvent[] = []
  for (const [i, decision] of decisions.entries()) {
    const before = records[i]
    if (before === undefined || decision.state === before.state) continue
    const began = before.next !== null && decision.state.id === before.next.id
    const after: RolloutRecord = began
      ? { spec: before.next ?? before.spec, state: decision.state, next: null }
      : { ...before, state: decision.state }
    const moved = movedPlaces(before.state, decision.state)
    rollouts.push(changeOf(before, after, moved))
    // What had ended stands in the history already.
    if (began && before.state !== null && !isOver(before.state))
      history.push(past(before.spec, decision.superseded ?? before.state, nowMs))
    else if (!began && endsNow(before.state, decision.state)) history.push(past(after.spec, decision.state, nowMs))
    entries.push(...completed(after, moved, world.books.get(decision.workload)))
    events.push(...eventsOf(began ? null : before.state, after, moved, nowMs))
  }
  const withdrawn = decisions.flatMap(({ workload, withdraw }) =>
    withdraw
      .filter(({ digest }) => !world.withdrawn.has(digest))
      .map(({ digest, reason }) => ({ digest, workload, reason, by: 'policy', atMs: nowMs })),
  )
  return { rollouts, history, entries, events, withdrawn }
}

/** Sites whose place is another than before, with the old one. One walk a rollout that changed. */
type Moved = readonly (readonly [site: string, place: SiteProgress, before: SiteProgress | undefined])[]

export function movedPlaces(before: RolloutState | null, after: RolloutState): Moved {
  if (before?.sites === after.sites) return []
  const moved: [string, SiteProgress, SiteProgress | undefined][] = []
  for (const [site, place] of after.sites) {
    const old = before?.sites.get(site)
    if (old !== place) moved.push([site, place, old])
  }
  return moved
}

export function changeOf(
  before: RolloutRecord,
  after: RolloutRecord,
  moved: Moved,
): NonNullable<Draft['rollouts']>[number] {
  const whole =
    before.state === null ||
    after.state === null ||
    before.spec !== after.spec ||
    before.next !== after.next ||
    before.state.sites.size !== after.state.sites.size ||
    moved.length > after.state.sites.size * MOST_ROWS
  const changed = whole ? [] : moved.filter(([, place, old]) => !jsonEqual(old as unknown as Json, place as unknown as Json)) // prettier-ignore
  return { record: after, whole, sites: new Map(changed.map(([site, place]) => [site, place])) }
}

/** Entries of sites that came to an end with the release they were meant to have: there a rollback may go. */
function completed(
  { spec }: RolloutRecord,
  moved: Moved,
  book: ReadonlyMap<string, AtSite> | undefined,
): EntryRecord[] {
  const out: EntryRecord[] = []
  for (const [site, { phase }] of moved) {
    if (phase !== 'done') continue
    const entry = book?.get(site)?.entry
    if (entry == null || entry.release !== spec.targets.get(site) || entry.good[0] === entry.release) continue
    const good = [entry.release, ...entry.good.filter((old) => old !== entry.release)].slice(0, KEPT_GOOD)
    out.push({ ...entry, good })
  }
  return out
}

const isOver = (state: RolloutState | null): boolean =>
  state !== null && state.phase !== 'Progressing' && state.phase !== 'Paused'

/** Came to an end, or to another one: what was complete may be undone. */
export function endsNow(before: RolloutState | null, after: RolloutState): boolean {
  return isOver(after) && after.phase !== before?.phase
}

export function past(spec: KeptSpec, state: RolloutState, nowMs: number): NonNullable<Draft['history']>[number] {
  const counts: Record<string, number> = {}
  for (const { phase } of state.sites.values()) counts[phase] = (counts[phase] ?? 0) + 1
  const doc = {
    workload: spec.workload,
    id: spec.id,
    revision: spec.revision,
    policy: spec.policy.name,
    phase: isOver(state) ? state.phase : 'Superseded',
    waves: state.waves.map(({ name, state: of }) => ({ name, state: of })),
    counts,
    total: state.sites.size,
    startedAtMs: spec.createdAtMs,
    endedAtMs: state.endedAtMs ?? nowMs,
    ...(state.ended === undefined ? {} : { ended: { ...state.ended } }),
  }
  return { workload: spec.workload, id: spec.id, atMs: nowMs, doc }
}

function eventsOf(before: RolloutState | null, { spec, state }: RolloutRecord, moved: Moved, atMs: number): NewEvent[] {
  if (state === null) return []
  const subject = `rollout/${spec.workload}`
  const events: NewEvent[] = []
  if (before === null)
    events.push({
      atMs,
      kind: 'RolloutBegan',
      subject,
      message: `${spec.revision.slice(0, 12)}: ${spec.targets.size} sites`,
    })
  for (const [i, wave] of state.waves.entries()) {
    const old = before?.waves[i]?.state ?? 'pending'
    if (wave.state === old || wave.state === 'pending') continue
    events.push({ atMs, kind: 'Wave', subject, message: `wave ${i + 1} ${wave.name}: ${wave.state}` })
  }
  const failed = moved.filter(
    ([, { phase, failure }, old]) => phase === 'failed' && failure !== undefined && old?.phase !== 'failed',
  )
  for (const [site, { failure }] of failed.slice(0, 20))
    events.push({
      atMs,
      kind: 'SiteFailed',
      subject: `site/${site}`,
      message: `${spec.workload}: ${failure?.reason} ${failure?.message}`,
    })
  if (before !== null && state.phase !== before.phase)
    events.push({ atMs, kind: 'Rollout', subject, message: `${before.phase} → ${state.phase}` })
  return events
}
