/** What is said of one workload: a level, not an event. Made anew each turn from what the turn found. */
import type { Digest } from '../core/model/digest.ts'
import { sameGeneration, type ObjectReport, type Stamped, type WorkloadObservation } from '../core/model/observation.ts'
import { formatWaiting, worstHealth, type HealthState, type SyncState, type Waiting } from '../core/model/state.ts'
import type { ManifestEntry } from '../core/protocol/messages.ts'
import type { WorkloadRecord } from './ports.ts'
import { isGood, type Soak } from './soak.ts'

/** Enough to name what is wrong; the rest is counted. */
export const MAX_REPORTS = 20
const MAX_MESSAGE = 500

/** One desired object after a turn. */
export interface ObjectFinding {
  readonly ref: ObjectReport['ref']
  readonly sync: SyncState
  readonly waiting?: Waiting
  readonly health: HealthState
  readonly reason: string
  readonly message: string
  /** Only another desired state helps. */
  readonly refused: boolean
  /** Encrypted, and not to be opened here: it waits and holds nobody else. */
  readonly sealed: boolean
  /** What was applied is what is desired. */
  readonly applied: boolean
}

export interface ReportInput {
  readonly entry: ManifestEntry
  readonly record: WorkloadRecord | undefined
  /** Why the entry has not begun. */
  readonly waiting: Waiting | undefined
  readonly findings: readonly ObjectFinding[]
  /** Not read, not reachable: nothing is known of it now. */
  readonly unknown: { readonly reason: string; readonly message: string } | undefined
  readonly soak: Soak | undefined
  readonly receivedAtMs: number
  readonly pruned: number
  readonly nowMonotonicMs: number
}

export function healthOfWorkload(findings: readonly ObjectFinding[]): HealthState {
  const counted = findings.filter(({ sealed }) => !sealed)
  return counted.length === 0 ? 'Healthy' : worstHealth(counted.map(({ health }) => health))
}

export function observationOf(input: ReportInput): WorkloadObservation {
  const { entry, record, soak } = input
  const desired: Stamped = { digest: entry.release, atMs: input.receivedAtMs }
  const begun = record !== undefined && sameGeneration(record.since, entry.since)
  const { sync, waiting } = syncOf(input)
  const health = input.unknown !== undefined || record === undefined ? 'Unknown' : healthOfWorkload(input.findings)
  const healthyForMs =
    soak === undefined || soak.healthySinceMs === null || !isGood(health)
      ? 0
      : input.nowMonotonicMs - soak.healthySinceMs
  const failure = input.findings.find(({ refused }) => refused)
  return {
    workload: entry.workload,
    since: entry.since,
    desired,
    received: desired,
    staged: desired,
    applied: record?.applied ?? null,
    healthy: record?.healthy ?? null,
    sync,
    ...(waiting === undefined ? {} : { waiting }),
    health,
    // The turn took its time before it read the objects: a soak that began since then has lasted nothing yet.
    healthyForMs: Math.max(0, Math.floor(healthyForMs)),
    unhealthyMs: Math.floor(soak?.unhealthyMs ?? record?.unhealthyMs ?? 0),
    transitions: soak?.transitions ?? record?.transitions ?? 0,
    begun,
    ...(failure === undefined || !begun ? {} : { failure: { reason: failure.reason, message: cut(failure.message) } }),
    objects: reports(input.findings),
    counts: {
      objects: input.findings.length,
      ready: input.findings.filter(({ health }) => health === 'Healthy').length,
      drifted: input.findings.filter(({ sync }) => sync === 'Drifted').length,
      pruned: input.pruned,
    },
  }
}

/** The worst thing that can be said, and why it waits. */
function syncOf({ waiting, findings, unknown, record, entry }: ReportInput): {
  readonly sync: SyncState
  readonly waiting?: Waiting
} {
  if (unknown !== undefined) return { sync: 'Unknown' }
  if (waiting !== undefined) return { sync: 'Waiting', waiting }
  const has = (sync: SyncState): ObjectFinding | undefined => findings.find((finding) => finding.sync === sync)
  if (has('Failed') !== undefined) return { sync: 'Failed' }
  const waits = findings.find((finding) => finding.waiting !== undefined && !finding.sealed)
  if (waits?.waiting !== undefined) return { sync: 'Waiting', waiting: waits.waiting }
  if (has('Progressing') !== undefined) return { sync: 'Progressing' }
  if (has('Drifted') !== undefined) return { sync: 'Drifted' }
  if (has('Unknown') !== undefined) return { sync: 'Unknown' }
  const sync = record?.applied?.digest === entry.release ? 'Synced' : 'Progressing'
  // What is encrypted waits for its key as an object, and holds neither its workload nor a wave.
  const sealed = findings.find((finding) => finding.sealed)?.waiting
  return sealed === undefined ? { sync } : { sync, waiting: sealed }
}

const SYNC_RANK: readonly SyncState[] = ['Failed', 'Drifted', 'Waiting', 'Unknown', 'Progressing', 'Synced']
const HEALTH_RANK: readonly HealthState[] = ['Degraded', 'Progressing', 'Unknown', 'Suspended', 'Healthy']

function reports(findings: readonly ObjectFinding[]): readonly ObjectReport[] {
  return findings
    .filter(({ sync, health }) => sync !== 'Synced' || health !== 'Healthy')
    .toSorted(
      (a, b) =>
        SYNC_RANK.indexOf(a.sync) - SYNC_RANK.indexOf(b.sync) ||
        HEALTH_RANK.indexOf(a.health) - HEALTH_RANK.indexOf(b.health),
    )
    .slice(0, MAX_REPORTS)
    .map(({ ref, sync, health, reason, message, waiting }) => ({
      ref,
      sync,
      health,
      reason: waiting === undefined ? reason : formatWaiting(waiting),
      message: cut(message),
    }))
}

function cut(message: string): string {
  return message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE - 1)}…` : message
}

/** Applied and healthy as they are to be kept: a stamp is set when a digest first holds, and stays while it does. */
export function restamp(before: Stamped | null, digest: Digest, holds: boolean, nowMs: number): Stamped | null {
  if (holds) return before?.digest === digest ? before : { digest, atMs: nowMs }
  return before?.digest === digest ? null : before
}
