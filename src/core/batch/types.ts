/**
 * Batch jobs as plain data (SCHEDULER.md, section 4): what is wanted, what is journalled, what is seen, what to do next.
 * Times are milliseconds of the site's clock.
 */
import type { JsonObject } from '../model/json.ts'
import type { WaitingReason } from '../model/state.ts'

export const EVENTS = ['*', 'PodFailed', 'PodEvicted', 'PodPending', 'TaskCompleted', 'TaskFailed', 'Unknown'] as const
export type PolicyEvent = (typeof EVENTS)[number]
/** What really happens; `*` only stands in policies. */
export type JobEvent = Exclude<PolicyEvent, '*'>

export const ACTIONS = [
  'AbortJob', 'RestartJob', 'RestartTask', 'RestartPod', 'TerminateJob', 'CompleteJob', 'ResumeJob',
] as const // prettier-ignore
export type JobAction = (typeof ACTIONS)[number]

/** Either events or an exit code; the first policy that matches wins, a task's before the job's. */
export interface Policy {
  readonly events: readonly PolicyEvent[]
  readonly exitCode: number | null
  readonly action: JobAction
  /** So long the event may cure itself before the action is taken. 0: at once. */
  readonly timeoutMs: number
}

export interface TaskSpec {
  readonly name: string
  readonly replicas: number
  /** So many pods of the task must be there for the gang to be whole. */
  readonly minAvailable: number
  /** A PodTemplateSpec as written. */
  readonly template: JsonObject
  /** Tasks that must run before this one is made; `any` of them or `all`. */
  readonly dependsOn: { readonly names: readonly string[]; readonly iteration: 'any' | 'all' } | null
  readonly policies: readonly Policy[]
  /** TaskFailed comes when its containers were restarted in place so often; null: never. */
  readonly maxRetry: number | null
}

export interface ArraySpec {
  /** Ascending, each once. */
  readonly indexes: readonly number[]
  readonly maxParallel: number | null
}

export type DependencyKind = 'afterok' | 'afterany' | 'afternotok'
export interface JobDependencies {
  /** All must hold. */
  readonly after: readonly { readonly kind: DependencyKind; readonly job: string }[]
  /** No other job of this name may be under way. */
  readonly singleton: boolean
}

/** A moment, a time of the wall clock in the site's zone (the next one), or a time after creation. */
export type Deadline =
  | { readonly is: 'moment'; readonly atMs: number }
  | { readonly is: 'wall'; readonly hour: number; readonly minute: number }
  | { readonly is: 'after'; readonly ms: number }

export const PLUGINS = ['env', 'svc', 'tensorflow', 'pytorch', 'mpi'] as const
export type PluginName = (typeof PLUGINS)[number]

export interface BatchJobSpec {
  readonly namespace: string
  readonly name: string
  /** What `singleton` compares; runs of one CronBatchJob share it. */
  readonly group: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly queue: string
  readonly priorityClassName: string | null
  readonly minAvailable: number
  readonly minSuccess: number | null
  readonly tasks: readonly TaskSpec[]
  /** An array's elements are jobs of their own: no gang, retries and time limits each for itself. */
  readonly array: ArraySpec | null
  readonly dependency: JobDependencies
  readonly policies: readonly Policy[]
  readonly timeLimitMs: number | null
  readonly deadline: Deadline | null
  /** Not started before: `--begin`, by BEGIN_ANNOTATION. */
  readonly beginMs: number | null
  readonly maxRetry: number
  readonly ttlMs: number | null
  readonly preemptible: boolean
  readonly gangTimeoutMs: number
  readonly plugins: Readonly<Partial<Record<PluginName, readonly string[]>>>
}

export const PHASES = [
  'Pending', 'Running', 'Restarting', 'Aborting', 'Aborted', 'Completing', 'Completed', 'Terminating', 'Terminated', 'Failed',
] as const // prettier-ignore
export type JobPhase = (typeof PHASES)[number]

/** Why it ended, or was stopped. Append-only. */
export type Cause =
  | 'Succeeded'
  | 'PodFailed'
  | 'TooFewSucceeded'
  | 'RetriesUsedUp'
  | 'TimeLimit'
  | 'Deadline'
  | 'Cancelled'
  | 'Policy'
  | 'Evicted'
  | 'NodeLost'
  | 'OutOfMemory'
  | 'GangTimeout'
  | 'QueueDrained'

export interface Because {
  readonly cause: Cause
  /** As a sentence, for people. */
  readonly says: string
}

/** One pod's place: `<task>/<index>`. Those that completed have none; they stand in `done`. */
export interface Slot {
  /** The pod that counts carries it; pods with a lower one are leftovers. */
  readonly version: number
  /** idle: to be made when it may. made: decided, not seen yet. */
  readonly state: 'idle' | 'made' | 'pending' | 'running' | 'unknown' | 'stopping' | 'failed'
  readonly sinceMs: number
  /** UID of the pod last seen. */
  readonly uid?: string
  readonly startedMs?: number
  /** Not made before. */
  readonly notBeforeMs?: number
  /** Failures that were answered by making it anew. */
  readonly retries: number
  /** Evictions and refusals: they cost no retry. */
  readonly requeues: number
  /** Requeues in a row without having run. */
  readonly streak: number
  readonly exitCode?: number
  readonly because?: Because
}

/** A policy whose timeout runs. */
export interface Delayed {
  readonly event: JobEvent
  readonly task: string
  readonly index: number | null
  readonly version: number
  readonly action: JobAction
  readonly atMs: number
}

/** What the site's journal keeps of one job. Write it before the pods of the same step are made or deleted. */
export interface JobRecord {
  readonly format: 1
  readonly namespace: string
  readonly name: string
  /** This job and no later one of its name; its pods carry it. */
  readonly uid: string
  readonly createdMs: number
  readonly deadlineMs: number | null
  readonly phase: JobPhase
  readonly phaseSinceMs: number
  readonly because: Because | null
  /** Rises with every restart of the whole job. */
  readonly version: number
  readonly retries: number
  readonly requeues: number
  readonly streak: number
  /** Since when it holds nodes without a break. */
  readonly startedMs: number | null
  /** First start ever. */
  readonly firstStartedMs: number | null
  readonly finishedMs: number | null
  readonly notBeforeMs: number | null
  /** Pods were made since it was last queued; a held queue does not stop it any more. */
  readonly admitted: boolean
  /** A gang that is partly there: since when no more of it ran than `best`. */
  readonly gang: { readonly sinceMs: number; readonly best: number } | null
  /** Indexes that completed, per task, as ranges `0-7,9`: they outlive their pods. */
  readonly done: Readonly<Record<string, string>>
  readonly slots: Readonly<Record<string, Slot>>
  readonly delayed: readonly Delayed[]
  /** Tasks of which TaskCompleted and TaskFailed were said, in this version. */
  readonly said: readonly string[]
  /** Commands that were carried out, newest last. */
  readonly commands: readonly string[]
  /** Its time after the end is over: pods and objects are gone, and it is never run again. */
  readonly expired: boolean
}

/** One pod as the API server shows it, by `readPod`. */
export interface PodSeen {
  readonly name: string
  readonly uid: string
  readonly jobUid: string
  readonly task: string
  readonly index: number
  readonly version: number
  readonly phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown'
  readonly createdMs: number
  readonly startedMs: number | null
  readonly finishedMs: number | null
  readonly terminating: boolean
  readonly node: string
  /** Set by the caller where that node is no more: nobody is left to end the pod. */
  readonly nodeGone: boolean
  /** status.reason. */
  readonly reason: string
  /** Has the condition DisruptionTarget. */
  readonly disrupted: boolean
  /** The first container that failed says it. */
  readonly exitCode: number | null
  readonly outOfMemory: boolean
  /** Restarts in place, all containers. */
  readonly restarts: number
}

/** Given by a person or another program; carried out once, known by its id. It costs no retry. */
export interface Command {
  readonly id: string
  readonly action: JobAction
  /** One task, or one pod of it; for RestartTask, RestartPod, and TerminateJob of array elements. */
  readonly target?: { readonly task: string; readonly index?: number }
}

export interface PodPlan {
  readonly name: string
  readonly task: string
  readonly index: number
  readonly version: number
}

export interface PodDelete {
  readonly name: string
  /** Precondition. */
  readonly uid: string
  /** force: its node is gone, nobody will say it ended. */
  readonly how: 'graceful' | 'force'
  readonly because: string
}

/** May the job start now? */
export type Gate =
  | { readonly open: true }
  /** never: nothing that can still happen will open it. */
  | { readonly open: false; readonly wait: JobWait; readonly never?: boolean }

export interface JobWait {
  readonly reason: WaitingReason
  readonly detail: string
  readonly nextAtMs?: number
}

export interface Surroundings {
  /** Of the queue (`queueGate`). Absent: open. */
  readonly queue?: Gate
  /** The queue is being emptied: what runs goes back to waiting. */
  readonly drain?: boolean
}

export interface JobStep {
  readonly record: JobRecord
  readonly create: readonly PodPlan[]
  readonly delete: readonly PodDelete[]
  /** What happened, as sentences, for events and logs. */
  readonly notes: readonly string[]
  /** Why it does not run; null while it runs or when it is over. */
  readonly wait: JobWait | null
  /** When to step again though nothing changed; null: on an event only. */
  readonly nextAtMs: number | null
}

/** Pods and objects of one job carry it. */
export const POD_LABELS = {
  job: 'flotilla.dev/job',
  task: 'flotilla.dev/task',
  index: 'flotilla.dev/index',
} as const
export const POD_ANNOTATIONS = {
  uid: 'flotilla.dev/job-uid',
  version: 'flotilla.dev/job-version',
} as const

/** A moment, ISO 8601. */
export const BEGIN_ANNOTATION = 'flotilla.dev/begin'

/** Limits, each with its reason. */
export const BATCH_LIMITS = {
  /** A job with more roles is several jobs. */
  tasks: 100,
  /** The journal writes a record whole. */
  pods: 10_000,
  /** As far as an index is a name's ending. */
  arrayIndex: 999_999,
  dependencies: 200,
  policies: 50,
  /** One step must not flood an API server; the next goes on. */
  createsPerStep: 500,
  /** Commands whose ids are kept. */
  commands: 50,
  /** Runs that one look at a cron may make. */
  cronRunsPerLook: 10,
} as const

export const DEFAULT_MAX_RETRY = 3
export const DEFAULT_GANG_TIMEOUT_MS = 600_000
