/** One rollout as people see it: the one that runs, and those that are over. */
import type { RolloutOfHistory, RolloutView } from '../core/api/types.ts'
import type { JsonObject } from '../core/model/json.ts'
import type { Waiting } from '../core/model/state.ts'
import { etaOf } from '../core/rollout/eta.ts'
import { stoppedReason } from '../core/rollout/reasons.ts'
import type { RolloutDecision, RolloutState, SiteProgress } from '../core/rollout/types.ts'
import { countsOf } from './rollout-counts.ts'
import type { StandingParts } from './standing.ts'
import type { RolloutRecord } from './store.ts'

export function rolloutView(parts: StandingParts, { spec, state, next }: RolloutRecord): RolloutView {
  const decision = parts.decisions.get(spec.workload)
  const because = becauseOf(state, decision)
  const counts = state === null ? null : countsOf(state)
  const active = state?.waves.findIndex((wave) => wave.state === 'active') ?? -1
  const count = (...phases: readonly SiteProgress['phase'][]): number =>
    phases.reduce((sum, phase) => sum + (counts?.phases[phase] ?? 0), 0)
  const open = count('waiting', 'granted', 'changing')
  const excused = open === 0 ? NONE_EXCUSED : excusedOf(parts, state, decision)
  const waves = (state?.waves ?? []).map((wave, index) => ({
    name: wave.name,
    state: wave.state,
    sites: counts?.waves[index]?.sites ?? 0,
    done: counts?.waves[index]?.done ?? 0,
    waiting: index === active ? because : null,
  }))
  const failed = [...(counts?.failures.values() ?? [])].reduce((sum, sites) => sum + sites.length, 0)
  const total = (state?.sites.size ?? 0) - count('unchanged')
  return {
    workload: spec.workload,
    id: spec.id,
    revision: spec.revision,
    policy: spec.policy.name,
    phase: state === null ? 'Waiting' : state.phase,
    wave: active < 0 ? null : { index: active, name: state?.waves[active]?.name ?? '', of: waves.length },
    waves,
    counts: {
      total,
      done: count('done'),
      changing: count('granted', 'changing') - excused.moving,
      failed,
      excused: excused.waiting + excused.moving,
      // Those that were only taken back wait for another release.
      waiting: count('waiting', 'failed', 'rolledBack') - failed - excused.waiting,
    },
    waiting: because ?? (next === null ? null : { reason: 'WaveNotReached', detail: 'a newer map waits' }),
    paused: state?.paused ?? null,
    startedAtMs: spec.createdAtMs,
    endedAtMs: state?.endedAtMs ?? null,
    etaMs: eta(parts, spec, state, because, excused.left),
  }
}

/** Windows and dependencies have times of their own. */
const PACED: ReadonlySet<string> = new Set(['Slot', 'Soaking', 'Budget'])

function eta(
  { nowMs }: StandingParts,
  spec: RolloutRecord['spec'],
  state: RolloutState | null,
  because: Waiting | null,
  left: Excused['left'],
): number | null {
  if (state?.phase !== 'Progressing' || (because !== null && !PACED.has(because.reason))) return null
  const targeted = countsOf(state).waves.map(({ sites }) => sites)
  return etaOf(spec, state, left, targeted, nowMs())
}

/** What was said last, but for what somebody said since: until the next turn that is all that is known. */
function becauseOf(state: RolloutState | null, decision: RolloutDecision | undefined): Waiting | null {
  if (state === null || decision === undefined) return decision?.because ?? null
  const was = decision.state
  const asDecided =
    was.id === state.id && was.phase === state.phase && was.approvals === state.approvals && was.waves === state.waves
  return asDecided ? decision.because : stoppedReason(state)
}

interface Excused {
  readonly waiting: number
  /** Told to move when it was still heard of, or begun and then gone dark. */
  readonly moving: number
  /** By wave: joined, heard of, and still to change. */
  readonly left: readonly number[]
}

const NONE_EXCUSED: Excused = { waiting: 0, moving: 0, left: [] }
const EXCUSED = new WeakMap<RolloutDecision, WeakMap<RolloutState, Excused>>()

/** Sites that wait for nothing but their link. Counted once a decision and state. */
function excusedOf(
  { world }: StandingParts,
  state: RolloutState | null,
  decision: RolloutDecision | undefined,
): Excused {
  if (state === null || decision === undefined) return NONE_EXCUSED
  const counted = EXCUSED.get(decision) ?? new WeakMap<RolloutState, Excused>()
  const known = counted.get(state)
  if (known !== undefined) return known
  const excused = { waiting: 0, moving: 0, left: state.waves.map(() => 0) }
  for (const [name, { phase, wave }] of state.sites) {
    const isOpen = phase === 'waiting' || phase === 'granted' || phase === 'changing'
    if (decision.waiting.get(name)?.reason !== 'LinkDown') {
      if (isOpen && world.sites.get(name)?.standing === 'active') excused.left[wave] = (excused.left[wave] ?? 0) + 1
      continue
    }
    if (phase === 'waiting') excused.waiting += 1
    else if (phase === 'granted' || phase === 'changing') excused.moving += 1
  }
  EXCUSED.set(decision, counted.set(state, excused))
  return excused
}

/** One that is over, as it was written down when it ended. */
export function pastView(doc: JsonObject, counted: 'counted' | 'uncounted'): RolloutOfHistory {
  const past = doc as unknown as {
    readonly workload: string
    readonly id: string
    readonly revision: string
    readonly policy: string
    readonly phase: RolloutView['phase']
    readonly waves: readonly { readonly name: string; readonly state: string }[]
    readonly counts: Readonly<Record<string, number>>
    readonly total: number
    readonly startedAtMs: number
    readonly endedAtMs: number
  }
  const of = (...phases: readonly string[]): number => phases.reduce((sum, phase) => sum + (past.counts[phase] ?? 0), 0)
  const { workload, id, revision, policy, phase, startedAtMs, endedAtMs } = past
  return {
    workload,
    id,
    revision,
    policy,
    phase,
    wave: null,
    waves: past.waves.map(({ name, state }) => ({ name, state, sites: 0, done: 0, waiting: null })),
    counts:
      counted === 'uncounted'
        ? null
        : {
            total: past.total - of('unchanged'),
            done: of('done'),
            changing: of('granted', 'changing'),
            failed: of('failed', 'rolledBack'),
            excused: 0,
            waiting: of('waiting'),
          },
    waiting: null,
    paused: null,
    startedAtMs,
    endedAtMs,
    etaMs: null,
  }
}
