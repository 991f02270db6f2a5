import type { Digest } from '../model/digest.ts'
import { sameGeneration, type WorkloadObservation } from '../model/observation.ts'
import { formatRef } from '../model/object.ts'
import { NOT_ITS_DOING } from '../model/state.ts'
import { judge } from './step.ts'
import type { Standing } from './standing.ts'
import type { SiteFacts, SiteProgress, SiteWorkload } from './types.ts'

/**
 * The site's own words about the entry that is published now, or null: an answer about an older entry, or about another
 * release, says nothing about this one.
 */
export function answerOf(at: SiteWorkload | undefined, release: Digest | null): WorkloadObservation | null {
  if (at === undefined || release === null || at.published !== release || at.since === null) return null
  const { observation } = at
  return observation !== null && sameGeneration(observation.since, at.since) ? observation : null
}

/** Past the point where a permit matters. */
export function hasBegun(answer: WorkloadObservation | null, release: Digest): boolean {
  return answer !== null && (answer.begun || answer.applied?.digest === release)
}

/**
 * Healthy now at this release: applied equals desired, and health was read after that apply (the site's promise). What Git itself
 * suspends is as it should be: there the site says `healthy` of this release, as it does for anything else that is well.
 */
export function isHealthyAt(answer: WorkloadObservation | null, release: Digest): boolean {
  return (
    answer !== null &&
    (answer.health === 'Healthy' || answer.health === 'Suspended') &&
    (answer.sync === 'Synced' || answer.sync === 'Drifted') &&
    answer.desired?.digest === release &&
    answer.applied?.digest === release &&
    answer.healthy?.digest === release
  )
}

/** Seen broken by this entry: a site that has not begun it may be ill from what it ran before, and this is its cure. */
export function isBroken(answer: WorkloadObservation | null): boolean {
  if (answer === null) return false
  return answer.failure !== undefined || (answer.begun && answer.health === 'Degraded')
}

export interface Watch {
  readonly release: Digest
  readonly at: SiteWorkload | undefined
  readonly facts: SiteFacts | undefined
  readonly standing: Standing
  readonly soakMs: number
  readonly deadlineMs: number
  readonly nowMs: number
}

/** What one look at a site that was told to move says of it. `nextAtMs`: when time alone may say more. */
export interface Looked {
  readonly progress: SiteProgress
  readonly nextAtMs: number | null
  /** Where it is on its way: for reasons and counts. */
  readonly as: 'healthy' | 'moving' | 'broken'
}

/** Next place of a site that is granted, changing, failed or done. The same object where nothing changed. */
export function advance(before: SiteProgress, watch: Watch): Looked {
  const { release, at, nowMs } = watch
  const answer = answerOf(at, release)
  let progress = before
  if (progress.phase === 'granted' && hasBegun(answer, release))
    progress = { ...progress, phase: 'changing', begunAtMs: nowMs }
  if (answer?.failure !== undefined)
    return { progress: fail(progress, answer.failure, nowMs), nextAtMs: null, as: 'broken' }
  if (progress.phase === 'done') return watchDone(progress, answer)

  const healthy = isHealthyAt(answer, release)
  progress = clocked(progress, !healthy && mayAct(progress, watch, answer), nowMs)
  if (healthy && answer !== null) {
    const soaking = judge(
      { state: 'Succeeded', sinceMs: nowMs - answer.healthyForMs },
      { soakMs: watch.soakMs, deadlineMs: null },
      nowMs,
    )
    // A site that went dark meanwhile is no evidence, whatever it said last.
    if (soaking.is === 'out' && isPresent(watch.standing))
      return { progress: done(progress), nextAtMs: null, as: 'healthy' }
    // A crash loop that happens to be healthy at every poll: the site's own sum of what we never saw.
    if (soaking.is === 'in' && answer.unhealthyMs >= watch.deadlineMs && progress.phase === 'changing') {
      const message = 'healthy now, and unhealthy for longer than the progress deadline in all'
      return { progress: fail(progress, { reason: 'ProgressDeadline', message }, nowMs), nextAtMs: null, as: 'broken' }
    }
    return { progress, nextAtMs: soaking.is === 'in' ? soaking.recheckAtMs : null, as: 'healthy' }
  }
  if (progress.phase === 'failed') return { progress, nextAtMs: null, as: 'broken' }
  const { deadline } = progress
  if (deadline === undefined || deadline.sinceMs === null)
    return { progress, nextAtMs: null, as: isBroken(answer) ? 'broken' : 'moving' }
  const ran = { state: 'Progressing', sinceMs: deadline.sinceMs - deadline.ranMs } as const
  // Judged at the last contact: until the next one it may well have become healthy in time.
  const heardMs = watch.facts?.lastContactMs ?? 0
  const judged = judge(ran, { soakMs: watch.soakMs, deadlineMs: watch.deadlineMs }, heardMs)
  if (judged.is === 'timedOut') {
    return { progress: fail(progress, lateness(answer), nowMs), nextAtMs: null, as: 'broken' }
  }
  const nextAtMs = judged.is === 'in' ? judged.recheckAtMs : null
  return { progress, nextAtMs, as: isBroken(answer) ? 'broken' : 'moving' }
}

/** By the worst object where the site named one: `ImagePullBackOff` says more than that time ran out. */
function lateness(answer: WorkloadObservation | null): { readonly reason: string; readonly message: string } {
  const late = 'not healthy within the progress deadline'
  const [worst] = answer?.objects ?? []
  if (worst !== undefined && worst.reason !== '') {
    return { reason: worst.reason, message: `${formatRef(worst.ref)}: ${worst.message}; ${late}` }
  }
  return { reason: 'ProgressDeadline', message: answer === null ? late : `${late}: ${answer.sync}, ${answer.health}` }
}

/** A site whose silence excuses it, or that only observes, gives no evidence and takes no place. */
export function isPresent(standing: Standing): boolean {
  if (standing.is === 'observe') return false
  return standing.is !== 'excused' || standing.why === 'hold' || standing.why === 'freeze'
}

/** The deadline runs only while the site can act on what it was told: in contact since, not late, its window open. */
function mayAct(progress: SiteProgress, watch: Watch, answer: WorkloadObservation | null): boolean {
  const { standing, facts } = watch
  // Decided and not yet published, because the hub could not: it was told nothing, and is not late.
  if (watch.at?.published !== watch.release) return false
  if (!isPresent(standing) || standing.is === 'late' || progress.phase === 'failed') return false
  if (facts?.lastContactMs == null || facts.lastContactMs <= (progress.grantedAtMs ?? 0)) return false
  if (progress.phase === 'changing') return !NOT_ITS_DOING.has(answer?.waiting?.reason ?? '')
  return standing.is === 'ready' && answer?.waiting?.reason !== 'WindowClosed'
}

function clocked(progress: SiteProgress, runs: boolean, nowMs: number): SiteProgress {
  const { deadline } = progress
  const running = deadline !== undefined && deadline.sinceMs !== null
  if (runs === running) return progress
  if (runs) return { ...progress, deadline: { ranMs: deadline?.ranMs ?? 0, sinceMs: nowMs } }
  if (deadline?.sinceMs == null) return progress
  return { ...progress, deadline: { ranMs: deadline.ranMs + (nowMs - deadline.sinceMs), sinceMs: null } }
}

/** Done is no promise for ever: a site seen Degraded at the same entry is unproven again. */
function watchDone(progress: SiteProgress, answer: WorkloadObservation | null): Looked {
  if (!isBroken(answer)) return { progress, nextAtMs: null, as: 'healthy' }
  return { progress: { ...progress, phase: 'changing', regressed: true }, nextAtMs: null, as: 'broken' }
}

function done(progress: SiteProgress): SiteProgress {
  const { failure: _failure, deadline: _deadline, regressed: _regressed, ...rest } = progress
  return { ...rest, phase: 'done' }
}

function fail(
  progress: SiteProgress,
  failure: { readonly reason: string; readonly message: string },
  nowMs: number,
): SiteProgress {
  if (progress.phase === 'failed') return progress
  const { deadline: _deadline, ...rest } = progress
  return { ...rest, phase: 'failed', failure: { reason: failure.reason, message: failure.message, atMs: nowMs } }
}
