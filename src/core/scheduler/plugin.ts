/** What a plugin may say, hook by hook, and how it is made. Hooks are pure over the state as it is when they are asked. */
import type { PodClass } from './classes.ts'
import type { Cycle } from './cycle.ts'
import type { ExtraFilter } from './filters.ts'
import type { Job, Queue, SubJob } from './ledger.ts'
import type { HookName } from './types.ts'

/** Against, no opinion, for. */
export type Vote = -1 | 0 | 1

/** Scores that need all candidates at once, because they are normalised over them or depend on other pods. */
export interface BatchScorer {
  /** False: every node would get the same, so need not be asked. */
  applies(podClass: PodClass): boolean
  /** Adds to `scores`, parallel to `nodes`. */
  score(podClass: PodClass, nodes: readonly number[], scores: Float64Array, task: number): void
}

export interface Hooks {
  /** Negative: a first. */
  queueOrder?(a: Queue, b: Queue): number
  victimQueueOrder?(a: Queue, b: Queue, preemptor: Queue): number
  jobOrder?(a: Job, b: Job): number
  subJobOrder?(a: SubJob, b: SubJob): number
  taskOrder?(a: number, b: number): number
  /** Why the job cannot run as it is, or null. */
  jobValid?(job: Job): string | null
  jobReady?(job: Job): boolean
  jobPipelined?(job: Job): Vote
  jobStarving?(job: Job): boolean
  subJobReady?(job: Job, subJob: SubJob): boolean
  subJobPipelined?(job: Job, subJob: SubJob): Vote
  jobEnqueueable?(job: Job): Vote
  jobEnqueued?(job: Job): void
  overused?(queue: Queue): boolean
  allocatable?(queue: Queue, task: number): boolean
  preemptive?(queue: Queue, task: number): boolean
  /** Where a queue (or one above it) has no more for the task: the first such dimension. */
  queueLimit?(queue: Queue, task: number): QueueLimit | null
  /** Of what the queue deserves, where it has used most of it: what decides whether it may take from others. */
  queueShare?(queue: Queue, task: number): QueueShare | null
  /** Which of the candidates may give way to the task; null is no opinion, an empty list is one. `whole`: they are all that runs of their job. */
  preemptable?(preemptor: number, candidates: readonly number[], leaving: Leaving): readonly number[] | null
  reclaimable?(preemptor: number, candidates: readonly number[], leaving: Leaving): readonly number[] | null
  /** kube-scheduler's filters are on. */
  kubeFilters?: true
  filters?: readonly ExtraFilter[]
  /** Depends on the class and on what stands on the node, and on nothing else: it is remembered. */
  localScore?(podClass: PodClass, node: number): number
  batchScores?: readonly BatchScorer[]
  /** Hyper nodes to try for a job or a part of it, nearest tier first. */
  hyperNodeGradient?(of: HyperNodeQuestion): readonly (readonly string[])[] | null
  hyperNodeOrder?(tasks: readonly number[], hyperNodes: readonly string[]): ReadonlyMap<string, number>
  /** Pods that should leave whatever else happens. */
  victims?(): readonly number[]
}

export type Leaving = 'pods' | 'whole'

export interface QueueShare {
  readonly name: string
  readonly resource: string
  readonly used: number
  readonly deserved: number
  readonly asked: number
}

export interface QueueLimit {
  readonly name: string
  readonly resource: string
  readonly used: number
  readonly limit: number
  readonly asked: number
}

export interface HyperNodeQuestion {
  readonly within: string
  readonly topology: SubJob['topology']
  readonly allocated: string
  /** Least amounts a hyper node must have free, by dimension. */
  readonly least: Float64Array
}

export type Arguments = Readonly<Record<string, unknown>>
export type PluginFactory = (cycle: Cycle, given: Arguments) => Hooks

/** Which switch of a tier's entry turns a hook on. */
export const SWITCH_OF: Readonly<Record<keyof Hooks, HookName>> = {
  queueOrder: 'queueOrder',
  victimQueueOrder: 'hierarchy',
  jobOrder: 'jobOrder',
  subJobOrder: 'subJobOrder',
  taskOrder: 'taskOrder',
  jobValid: 'jobValid',
  jobReady: 'jobReady',
  jobPipelined: 'jobPipelined',
  jobStarving: 'jobStarving',
  subJobReady: 'subJobReady',
  subJobPipelined: 'subJobReady',
  jobEnqueueable: 'jobEnqueued',
  jobEnqueued: 'jobEnqueued',
  overused: 'overused',
  allocatable: 'allocatable',
  preemptive: 'preemptive',
  queueLimit: 'allocatable',
  queueShare: 'preemptive',
  preemptable: 'preemptable',
  reclaimable: 'reclaimable',
  kubeFilters: 'predicate',
  filters: 'predicate',
  localScore: 'nodeOrder',
  batchScores: 'nodeOrder',
  hyperNodeGradient: 'hyperNodeGradient',
  hyperNodeOrder: 'hyperNodeOrder',
  victims: 'victim',
}

export function numberArgument(given: Arguments, name: string, otherwise: number): number {
  const value = given[name]
  const number = typeof value === 'string' ? Number(value) : value
  return typeof number === 'number' && Number.isFinite(number) ? number : otherwise
}
