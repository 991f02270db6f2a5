import { type Digest, shortDigest } from '../model/digest.ts'
import { undoneBy } from './back.ts'
import { closeDraft, openDraft, putSite, putState } from './draft.ts'
import { glassAt } from './look.ts'
import { acceptFailures, activeWave } from './progress.ts'
import { clockText } from './standing.ts'
import type { CommandOutcome, RolloutCommand, RolloutSpec, RolloutState } from './types.ts'

/** Apply an operator's word to a rollout. Refusals are values with their reason; nobody is told anything until `decide`. */
export function command(state: RolloutState, spec: RolloutSpec, word: RolloutCommand, nowMs: number): CommandOutcome {
  if (state.id !== spec.id) return refused('the rollout was superseded meanwhile')
  const runs = state.phase === 'Progressing' || state.phase === 'Paused'
  switch (word.kind) {
    case 'pause':
      if (state.phase !== 'Progressing') return refused(`it is ${state.phase}, not Progressing`)
      return done({ ...state, phase: 'Paused', paused: { by: word.by, why: word.why, atMs: nowMs } })
    case 'resume':
      return state.phase === 'Paused' ? resume(state, spec) : refused(`it is ${state.phase}, not Paused`)
    case 'promote':
      return state.phase === 'Progressing'
        ? promote(state, word.by, word.wave, nowMs)
        : refused(`it is ${state.phase}, not Progressing`)
    case 'approve':
      return runs ? approve(state, word, nowMs) : refused(`it is ${state.phase}: nothing waits for a yes`)
    case 'breakGlass':
      return runs ? breakGlass(state, word, nowMs) : refused(`it is ${state.phase}: no window keeps it`)
    case 'abort':
      return runs ? abort(state, spec, word.by, word.why, nowMs) : refused(`it is ${state.phase}: nothing runs`)
    case 'undo':
      return undo(state, spec, word.by, word.why, nowMs)
    case 'readmit':
      return readmit(state, word.digest)
  }
}

function resume(state: RolloutState, spec: RolloutSpec): CommandOutcome {
  const draft = openDraft(spec, state)
  acceptFailures(draft)
  const { paused: _paused, ...rest } = closeDraft(draft)
  return done({ ...rest, phase: 'Progressing' })
}

/** Let the running wave pass without evidence, soak or approval; `wave` must be the running one where it is named. */
function promote(state: RolloutState, by: string, wanted: string | undefined, nowMs: number): CommandOutcome {
  const index = activeWave(state.waves)
  const wave = state.waves[index]
  if (wave === undefined) return refused('all waves are through')
  if (wanted !== undefined && wanted !== wave.name) return refused(`the running wave is ${wave.name}, not ${wanted}`)
  const passed = { ...wave, state: 'passed' as const, passedAtMs: nowMs, approvedBy: by }
  return done({ ...state, waves: state.waves.with(index, passed) })
}

function approve(
  state: RolloutState,
  word: Extract<RolloutCommand, { kind: 'approve' }>,
  nowMs: number,
): CommandOutcome {
  if (word.id !== state.id) return refused(`the yes names ${word.id}, and this is ${state.id}`)
  const wave = state.waves.find(({ name }) => name === word.wave)
  if (wave === undefined) return refused(`there is no wave ${word.wave}`)
  if (wave.state === 'passed' || wave.state === 'skipped') return refused(`wave ${word.wave} is through`)
  const approvals = { ...state.approvals, [word.wave]: { by: word.by, atMs: nowMs } }
  return done({ ...state, approvals })
}

/** For this rollout alone and for a time; said again meanwhile, the first word stands. */
function breakGlass(
  state: RolloutState,
  { team, by, why, id, untilMs }: Extract<RolloutCommand, { kind: 'breakGlass' }>,
  nowMs: number,
): CommandOutcome {
  if (id !== state.id) return refused(`the yes names ${id}, and this is ${state.id}`)
  const standing = glassAt(state, nowMs)
  const already = standing.find((one) => one.team === team)
  if (already !== undefined)
    return refused(`${team} broke the glass already: it lasts until ${clockText(already.untilMs)}`)
  const others = (state.glass ?? []).filter((one) => one.team !== team)
  return done({ ...state, glass: [...others, { team, by, why, atMs: nowMs, untilMs }] })
}

/** Nothing new starts. What was granted and not begun is taken back; what has begun goes on. */
function abort(state: RolloutState, spec: RolloutSpec, by: string, why: string, nowMs: number): CommandOutcome {
  const draft = openDraft(spec, state)
  for (const [site, place] of state.sites) {
    const inHand = place.phase === 'granted' || (place.phase === 'waiting' && place.grantedAtMs !== undefined)
    if (inHand && place.provisioned === undefined) putSite(draft, site, { ...place, phase: 'waiting', revoke: 'back' })
  }
  putState(draft, { phase: 'Aborted', endedAtMs: nowMs, ended: { kind: 'abort', by, why } })
  return done(closeDraft(draft))
}

function undo(state: RolloutState, spec: RolloutSpec, by: string, why: string, nowMs: number): CommandOutcome {
  if (state.phase === 'RolledBack' || state.phase === 'Superseded') return refused(`it is ${state.phase}`)
  const digests = undoneBy(spec, state)
  const withdrew = [...new Set<Digest>([...(state.withdrew ?? []), ...digests])]
  const { paused: _paused, ...rest } = state
  return {
    ok: true,
    state: { ...rest, phase: 'RolledBack', endedAtMs: nowMs, withdrew, ended: { kind: 'undo', by, why } },
    withdraw: digests.map((digest) => ({ digest, reason: `undone by ${by}: ${why}` })),
    readmit: [],
  }
}

function readmit(state: RolloutState, digest: Digest | undefined): CommandOutcome {
  const { withdrew = [] } = state
  if (withdrew.length === 0) return refused('nothing of it is withdrawn')
  const readmit = digest === undefined ? withdrew : withdrew.filter((one) => one === digest)
  if (readmit.length === 0) return refused(`${shortDigest(digest ?? '')} is not withdrawn by it`)
  return { ok: true, state, withdraw: [], readmit }
}

function done(state: RolloutState): CommandOutcome {
  return { ok: true, state, withdraw: [], readmit: [] }
}

function refused(because: string): CommandOutcome {
  return { ok: false, because }
}
