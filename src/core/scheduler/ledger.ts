/** Jobs and queues as records over the state's columns. */
import type { JobInput, JobPhase, QueueInput } from './types.ts'

export interface Role {
  readonly name: string
  /** Row of the state's groups. */
  readonly group: number
  readonly min: number
}

/** A part of a job that must start together, where the job is divided; else the one default part. */
export interface SubJob {
  readonly name: string
  readonly policy: string
  readonly group: number
  readonly minMember: number
  readonly topology: { readonly hard: boolean; readonly soft: boolean; readonly tier: number } | null
  /** Hyper node it stands in so far; '' for none. */
  allocatedHyperNode: string
}

export interface Job {
  readonly row: number
  readonly key: string
  namespace: string
  name: string
  uid: string
  group: number
  queue: number
  queueName: string
  priority: number
  minMember: number
  roles: Map<string, Role>
  minTaskTotal: number
  minResources: Float64Array | null
  phase: JobPhase
  createdMs: number
  input: JobInput | null
  /** Made for pods that name no job. */
  implicit: boolean
  /** What cannot be read of it. */
  problem: string | null
  readonly tasks: Set<number>
  subJobs: Map<string, SubJob>
  /** Within the cycle: roles of which a pod found no node. */
  failedRoles: Set<string>
  allocatedHyperNode: string
}

export interface Queue {
  readonly row: number
  readonly name: string
  input: QueueInput
  /** -1 for a root. */
  parent: number
  /** Nearest first; the queue itself not included. */
  ancestors: number[]
  children: number[]
  /** A cycle of parents, a parent that is not there: its jobs wait and say so. */
  problem: string | null
  /** Amounts in it that cannot be read. */
  readonly unreadable: string | null
  deserved: Float64Array
  guarantee: Float64Array
  /** Infinity where there is no limit. */
  capability: Float64Array | null
  /** Decayed use by dimension, and when it was last brought up to date. */
  usage: Float64Array
  usageAtMs: number
}

export const ROOT_QUEUE = 'root'
export const DEFAULT_QUEUE = 'default'

/** Pods name their job by these, the first that is there; those of this domain may be labels as well. */
export const JOB_ANNOTATIONS = ['flotilla.dev/job', 'scheduling.k8s.io/group-name'] as const
export const QUEUE_ANNOTATIONS = ['flotilla.dev/queue', 'scheduling.volcano.sh/queue-name'] as const
export const ROLE_ANNOTATIONS = ['flotilla.dev/task', 'volcano.sh/task-spec'] as const
export const PREEMPTABLE_ANNOTATIONS = ['flotilla.dev/preemptible', 'volcano.sh/preemptable'] as const
