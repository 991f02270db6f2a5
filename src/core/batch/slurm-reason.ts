/** Why a job waits, or why it failed, by Slurm's own word. */
import type { FaultReason } from '../model/fault.ts'
import { BEGINS_LATER } from './explain.ts'
import type { Because, JobRecord, JobWait } from './types.ts'

/** What the scheduler says of a job that waits for a place. */
export interface Placed {
  readonly kind: string
  /** What nodes say to it. */
  readonly refusals: readonly string[]
  /** Of `kind` queue: what the queue has too little of. */
  readonly resource?: string
}

export interface WaitWords {
  readonly wait: JobWait | null
  readonly placed?: Placed | undefined
  /** Its pods cannot be made: the API server's answer, which Slurm has no word for. */
  readonly trouble?: FaultReason | undefined
}

export function slurmReason(record: JobRecord, { wait, placed, trouble }: WaitWords): string {
  if (record.phase === 'Aborted') return 'JobHeldUser'
  if (wait === null || record.because?.cause === 'TimeLimit') return endReason(record)
  if (trouble !== undefined) return trouble
  if (wait.detail === BEGINS_LATER) return 'BeginTime'
  if (wait.reason === 'Dependency')
    return wait.detail.includes('never satisfied') || wait.detail.includes('circle')
      ? 'DependencyNeverSatisfied'
      : 'Dependency'
  if (wait.reason === 'QueueLimit') return wait.detail.includes('time limit') ? 'PartitionTimeLimit' : 'QOSJobLimit'
  if (wait.reason === 'Hold') return wait.detail.startsWith('queue ') ? 'PartitionDown' : 'BeginTime'
  if (wait.reason === 'HeldByError') return 'PartitionInactive'
  if (wait.reason === 'Suspended') return 'JobHeldUser'
  if (wait.reason === 'Priority') return 'Priority'
  return placed === undefined ? 'Resources' : placedReason(placed)
}

/** Other jobs end, and these nodes are still not for it. */
const NOT_FOR_IT = new Set([
  'NodeName',
  'NodeAffinity',
  'SpreadLabel',
  'VolumeNode',
  'VolumeZone',
  'Shard',
  'NodeGroup',
])
const CLOSED = new Set(['Unschedulable', 'Taint', 'Zone', 'Usage'])

export function placedReason({ kind, refusals, resource }: Placed): string {
  if (kind === 'queue') return limitReason(resource ?? '')
  if (kind === 'invalid') return 'BadConstraints'
  if (kind === 'gated') return 'JobHeldAdmin'
  // Whoever comes first in its queue has the room that there is.
  if (kind === 'not-admitted' || refusals.includes('Reserved')) return 'Priority'
  if (refusals.length === 0) return 'Resources'
  if (refusals.every((refusal) => NOT_FOR_IT.has(refusal))) return 'BadConstraints'
  return refusals.every((refusal) => NOT_FOR_IT.has(refusal) || CLOSED.has(refusal)) ? 'ReqNodeNotAvail' : 'Resources'
}

function limitReason(resource: string): string {
  if (resource === 'cpu') return 'QOSGrpCpuLimit'
  if (resource === 'memory') return 'QOSGrpMemLimit'
  return resource.includes('/') ? 'QOSGrpGRES' : 'QOSJobLimit'
}

/** Why it ended as it did; None: well, or because somebody wanted it. */
export function endReason({ because }: { readonly because: Because | null }): string {
  if (because === null || because.cause === 'Succeeded') return 'None'
  if (because.cause === 'TimeLimit') return 'TimeLimit'
  if (because.cause === 'Deadline') return 'DeadLine'
  if (because.cause === 'NodeLost') return 'NodeDown'
  if (because.cause === 'OutOfMemory') return 'OutOfMemory'
  return because.cause === 'PodFailed' || because.cause === 'RetriesUsedUp' ? 'NonZeroExitCode' : 'None'
}
