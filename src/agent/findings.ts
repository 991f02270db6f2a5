/** What a turn found of each desired object: what was decided, what became of it, and how it is. */
import { formatDuration } from '../core/calendar/duration.ts'
import { isOlder } from './observe.ts'
import { isJob, isProtected } from '../core/diff/marks.ts'
import type { Difference, InventoryEntry, Outcome, Step } from '../core/diff/types.ts'
import type { HealthCheck } from '../core/health/checks.ts'
import { healthOf } from '../core/health/health.ts'
import { formatRef, parseRefKey, type Manifest, type ObjectRef } from '../core/model/object.ts'
import { REASONS } from '../core/model/fault.ts'
import type { HealthState, SyncState, Waiting } from '../core/model/state.ts'
import type { ObjectFinding } from './report.ts'

const MAX_POINTERS = 5

export interface FindingInput {
  readonly step: Step
  readonly outcome: Outcome | undefined
  readonly entry: InventoryEntry | undefined
  /** As it is known after the turn. */
  readonly live: Manifest | null | undefined
  /** Why it is not healthy, where somebody looked at its pods. */
  readonly because: string | undefined
  /** Why nothing is done about what was decided. */
  readonly idle: Waiting | undefined
  readonly nowMs: number
  /** Its Workload's own. */
  readonly checks: readonly HealthCheck[]
}

interface Said {
  readonly sync: SyncState
  readonly reason?: string
  readonly message?: string
  readonly waiting?: Waiting
  readonly refused?: boolean
  readonly sealed?: boolean
  readonly applied?: boolean
}

export function findingOf(input: FindingInput): ObjectFinding {
  const said = saidOf(input)
  const health = healthNow(input)
  const { reason = health.reason, message = health.message, refused = false, sealed = false, applied = false } = said
  const { sync, waiting } = said
  return {
    ref: input.step.ref,
    sync,
    ...(waiting === undefined ? {} : { waiting }),
    health: health.health,
    reason,
    message,
    refused,
    sealed,
    applied,
  }
}

function saidOf({ step, outcome, idle = { reason: 'Observe' } }: FindingInput): Said {
  if (outcome !== undefined) return saidOfOutcome(outcome)
  switch (step.kind) {
    case 'wait':
      return { sync: 'Waiting', waiting: step.because, sealed: step.because.reason === 'Secret' }
    case 'leave':
      return saidOfLeave(step)
    case 'update':
    case 'handover':
      if (step.differences.some(({ drift }) => drift !== 'pending'))
        return { sync: 'Drifted', reason: 'Drift', message: `would correct ${pointers(step.differences)}` }
      return { sync: 'Waiting', waiting: idle, message: `would ${step.kind}` }
    default:
      return { sync: 'Waiting', waiting: idle, message: `would ${step.kind} it: ${step.because}` }
  }
}

function saidOfLeave(step: Extract<Step, { kind: 'leave' }>): Said {
  const { differences, message } = step
  switch (step.because) {
    case 'drift-reported':
      return { sync: 'Drifted', reason: 'Drift', message: pointers(differences), applied: true }
    case 'fought':
      return {
        sync: 'Drifted',
        reason: 'Fought',
        message: `changed back again and again: ${pointers(differences)}`,
        applied: true,
      }
    case 'terminating':
      return { sync: 'Progressing', reason: 'Terminating', message: 'it is being deleted' }
    case 'unread':
      return { sync: 'Unknown', reason: 'Unread', message: 'it could not be read' }
    case 'never-adopt':
      return {
        sync: 'Failed',
        reason: 'NotAdopted',
        message: 'it exists, is not ours, and adopt is never',
        refused: true,
      }
    case 'differs':
      return {
        sync: 'Failed',
        reason: 'NotAdopted',
        message: `it exists, is not ours, and differs in ${pointers(differences)}`,
        refused: true,
      }
    case 'invalid':
      return { sync: 'Failed', reason: 'InvalidInput', message: message ?? 'its order cannot be met', refused: true }
    default:
      return { sync: 'Synced', applied: true }
  }
}

/** Of the site, for nothing desired is this object any more: it has its yes and cannot go. */
export function saidOfInUse(steps: readonly Step[]): { readonly reason: string; readonly message: string } | null {
  const step = steps.find((it) => it.kind === 'leave' && (it.because === 'in-use' || it.because === 'uncounted'))
  if (step?.kind !== 'leave') return null
  return { reason: 'InUse', message: `${formatRef(step.ref)} stays: ${step.message ?? 'what it defines is in use'}` }
}

/** What was seen before the API server fell silent is no news of now. A soak goes by what was seen, and ends by itself. */
export function lastSeen(finding: ObjectFinding, silentMs: number): ObjectFinding {
  const message = `the API server is silent for ${formatDuration(Math.floor(silentMs / 1_000) * 1_000)}; last seen ${finding.health}`
  return { ...finding, health: 'Unknown', reason: 'Unreachable', message }
}

function saidOfOutcome(outcome: Outcome): Said {
  switch (outcome.kind) {
    case 'applied':
      return { sync: 'Synced', applied: true }
    case 'failed': {
      const refused = REASONS[outcome.reason].retry === 'on-change'
      const message = outcome.message + (outcome.reason === 'ImmutableField' ? allowedBy(outcome.step.ref) : '')
      return { sync: refused ? 'Failed' : 'Progressing', reason: outcome.reason, message, refused }
    }
    case 'stopped':
      return { sync: 'Waiting', waiting: outcome.because }
    case 'waits':
      return { sync: 'Waiting', waiting: { reason: 'Dependency', detail: formatRef(parseRefKey(outcome.on)) } }
    case 'deleted':
      return { sync: 'Progressing', reason: 'Replaced', message: 'deleted, to be made again' }
    case 'spared':
      return { sync: 'Progressing', reason: 'Conflict', message: 'it was made by another meanwhile' }
  }
}

/** What is never replaced would take data or other people's objects along. */
function allowedBy(ref: ObjectRef): string {
  return isProtected(ref) ? '' : ' (`replace: onImmutable` in its Workload would delete it and make it anew)'
}

/** Counts only from what our apply returned, or later. */
function healthNow({ step, entry, live, because, nowMs, checks }: FindingInput): {
  readonly health: HealthState
  readonly reason: string
  readonly message: string
} {
  const done = entry?.state === 'owned' ? entry.done : undefined
  if (live === null && done !== undefined) return healthOfDone(done.result)
  if (live === null && step.kind === 'leave' && step.because === 'job-done') return healthOfDone('Complete')
  if (live === undefined) return { health: 'Unknown', reason: 'Unread', message: 'it could not be read' }
  if (live === null) return { health: 'Progressing', reason: 'NotFound', message: 'the object is not in the cluster' }
  if (entry?.state === 'owned' && entry.uid === live.metadata.uid && isOlder(live, versioned(entry.resourceVersion)))
    return { health: 'Progressing', reason: 'Stale', message: 'not read since it was applied' }
  const { health, reason, message } = healthOf(live, { nowMs, checks })
  if (health === 'Healthy' || because === undefined || isJob(live)) return { health, reason, message }
  return { health, reason, message: because }
}

function healthOfDone(result: 'Complete' | 'Failed'): ReturnType<typeof healthNow> {
  if (result === 'Complete') return { health: 'Healthy', reason: '', message: 'the Job completed' }
  return {
    health: 'Degraded',
    reason: 'JobFailed',
    message: 'the Job failed, and is not run again until its template changes',
  }
}

function versioned(resourceVersion: string): Manifest {
  return { apiVersion: '', kind: '', metadata: { name: '', resourceVersion } }
}

/** `/spec/replicas (kubectl-edit), /data/a and 3 more`. */
export function pointers(differences: readonly Difference[]): string {
  const shown = differences.slice(0, MAX_POINTERS).map(({ pointer, managers }) => {
    return managers.length === 0 ? pointer : `${pointer} (${managers.join(', ')})`
  })
  const more = differences.length - shown.length
  return shown.join(', ') + (more > 0 ? ` and ${more} more` : '')
}
