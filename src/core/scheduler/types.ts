/**
 * What the scheduler core takes and gives (SCHEDULER.md). Pure data: Kubernetes objects as JSON for what Kubernetes has a kind for,
 * flat records for jobs and queues. Times are milliseconds, quantities are as users write them.
 */
import type { JsonObject } from '../model/json.ts'

/** A quantity as text, or the number that YAML makes of `cpu: 1`. */
export type ResourceList = Readonly<Record<string, string | number>>

export type JobPhase = 'Pending' | 'Inqueue' | 'Running' | 'Unknown' | 'Completed'

/** A gang, or any set of pods that is queued as one. Pods name it by annotation (`JOB_ANNOTATIONS`). */
export interface JobInput {
  readonly namespace: string
  readonly name: string
  readonly uid?: string
  readonly queue?: string
  readonly priority?: number
  readonly priorityClassName?: string
  /** The gang's size; 0 or absent: every pod by itself. */
  readonly minMember?: number
  readonly minTaskMember?: Readonly<Record<string, number>>
  readonly minResources?: ResourceList
  readonly phase?: JobPhase
  readonly createdMs?: number
  /** Enforced by whoever runs the pods; backfill rests on it. */
  readonly timeLimitMs?: number
  /** What such jobs usually take: shown start times rest on it, permission never does. */
  readonly estimateMs?: number
  /** May be evicted when a reservation it was let past starts. */
  readonly preemptible?: boolean
  readonly annotations?: Readonly<Record<string, string>>
  readonly networkTopology?: NetworkTopology
  readonly subGroupPolicy?: readonly SubGroupPolicy[]
}

export interface NetworkTopology {
  readonly mode?: string
  readonly highestTierAllowed?: number
  readonly highestTierName?: string
}

/** Splits a job into sub gangs by the values of some labels. */
export interface SubGroupPolicy {
  readonly name: string
  readonly matchLabelKeys?: readonly string[]
  readonly labelSelector?: JsonObject
  readonly subGroupSize?: number
  readonly minSubGroups?: number
  readonly networkTopology?: NetworkTopology
}

export interface QueueInput {
  readonly name: string
  readonly parent?: string
  readonly weight?: number
  readonly priority?: number
  readonly state?: 'Open' | 'Closed' | 'Closing' | 'Unknown'
  readonly reclaimable?: boolean
  readonly deserved?: ResourceList
  readonly guarantee?: ResourceList
  readonly capability?: ResourceList
  /** fifo: a job that cannot start holds those behind it in its queue. */
  readonly dequeueStrategy?: 'fifo' | 'traverse'
  /** At most so many jobs of the queue may hold nodes at once. */
  readonly maxRunning?: number
  readonly annotations?: Readonly<Record<string, string>>
  readonly affinity?: JsonObject
}

/** A group of nodes near each other in the network; tier 1 is the nearest. */
export interface HyperNodeInput {
  readonly name: string
  readonly tier: number
  readonly tierName?: string
  readonly leafNodes: readonly string[]
}

/** Everything the scheduler may see. Objects are as the API server gives them; unknown fields are ignored. */
export interface Snapshot {
  readonly nodes: readonly JsonObject[]
  readonly pods: readonly JsonObject[]
  readonly jobs?: readonly JobInput[]
  readonly queues?: readonly QueueInput[]
  readonly namespaces?: readonly JsonObject[]
  readonly podDisruptionBudgets?: readonly JsonObject[]
  readonly persistentVolumes?: readonly JsonObject[]
  readonly persistentVolumeClaims?: readonly JsonObject[]
  readonly storageClasses?: readonly JsonObject[]
  readonly csiNodes?: readonly JsonObject[]
  readonly csiDrivers?: readonly JsonObject[]
  readonly csiStorageCapacities?: readonly JsonObject[]
  readonly priorityClasses?: readonly JsonObject[]
  readonly resourceQuotas?: readonly JsonObject[]
  readonly hyperNodes?: readonly HyperNodeInput[]
  readonly resourceClaims?: readonly JsonObject[]
  readonly resourceSlices?: readonly JsonObject[]
  readonly deviceClasses?: readonly JsonObject[]
  /** Names of the nodes that are this scheduler's own: hard, it uses no others; soft, it prefers them. */
  readonly shard?: { readonly mode: 'hard' | 'soft'; readonly nodes: readonly string[] }
}

/** One change to the world of a long-lived scheduler: the object as it now is, or its key when it is gone. */
export type Delta =
  | { readonly kind: ObjectKind; readonly set: JsonObject }
  | { readonly kind: ObjectKind; readonly gone: { readonly namespace?: string; readonly name: string } }
  | { readonly kind: 'Job'; readonly set: JobInput }
  | { readonly kind: 'Job'; readonly gone: { readonly namespace?: string; readonly name: string } }
  | { readonly kind: 'Queue'; readonly set: QueueInput }
  | { readonly kind: 'Queue'; readonly gone: { readonly name: string } }
  | { readonly kind: 'HyperNode'; readonly set: HyperNodeInput }
  | { readonly kind: 'HyperNode'; readonly gone: { readonly name: string } }

export type ObjectKind =
  | 'Node'
  | 'Pod'
  | 'Namespace'
  | 'PodDisruptionBudget'
  | 'PersistentVolume'
  | 'PersistentVolumeClaim'
  | 'StorageClass'
  | 'CSINode'
  | 'CSIDriver'
  | 'CSIStorageCapacity'
  | 'PriorityClass'
  | 'ResourceQuota'
  | 'ResourceClaim'
  | 'ResourceSlice'
  | 'DeviceClass'

export const ACTIONS = ['enqueue', 'allocate', 'backfill', 'preempt', 'reclaim', 'shuffle'] as const
export type ActionName = (typeof ACTIONS)[number]

/** The hooks a plugin may take part in; a tier's entry may name the ones that are on. */
export type HookName =
  | 'queueOrder' | 'victimQueueOrder' | 'jobOrder' | 'subJobOrder' | 'taskOrder' | 'jobValid' | 'jobReady' | 'subJobReady'
  | 'jobPipelined' | 'jobStarving' | 'jobEnqueued' | 'allocatable' | 'overused' | 'preemptive' | 'preemptable' | 'reclaimable'
  | 'predicate' | 'nodeOrder' | 'hyperNodeOrder' | 'hyperNodeGradient' | 'victim' | 'hierarchy' // prettier-ignore

export interface PluginOption {
  readonly name: string
  /** Absent: all of them. */
  readonly enabled?: readonly HookName[]
  readonly arguments?: Readonly<Record<string, unknown>>
}

export interface Options {
  /** `calm`, the default, keeps the laws of SCHEDULER.md section 3; `volcano` makes Volcano's choices. */
  readonly profile?: 'calm' | 'volcano'
  /** Mixed into the hash that breaks ties: the site's name, and whatever else should make two runs differ. */
  readonly seed?: string
  readonly nowMs?: number
  readonly actions?: readonly ActionName[]
  /** Absent: the profile's own. Plugins of one tier decide together, the first tier with an answer wins. */
  readonly tiers?: readonly (readonly PluginOption[])[]
  /** Pods of these schedulers are ours to place; all others count and are never touched. */
  readonly schedulerNames?: readonly string[]
  /** off: every question is asked of every node again. The result is the same. */
  readonly cache?: 'on' | 'off'
  /** off: no reasons are worked out; each: with the names of all pods that they are for. */
  readonly explain?: 'on' | 'off' | 'each'
  /** How many blocked jobs or gangs get a reservation; 0 turns backfill with reservations off. */
  readonly reservations?: number
  /** A pod is not evicted before it has run so long. */
  readonly minRunMs?: number
  /** Past use is forgotten by half in this time. 0: fairness looks at the instant only. */
  readonly usageHalfLifeMs?: number
  readonly preemption?: 'simulate' | 'by-resources'
  /** honour: nobody is evicted whose disruption budget does not allow it; spend: only where nothing else helps, as kube-scheduler does. */
  readonly budgets?: 'honour' | 'spend'
}

export interface Bind {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly node: string
  /** Volume claims to be bound with it: claim to volume (or to a node, for one to be provisioned there). */
  readonly volumes?: readonly { readonly claim: string; readonly volume: string | null }[]
}

export interface Eviction {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly node: string
  readonly because: 'preempt' | 'reclaim' | 'reservation' | 'shuffle'
  /** `namespace/name` of the pod it gives way to. */
  readonly for: string
  readonly breaksBudget: boolean
}

/** A pod that will go to this node when what stands there has gone. */
export interface Nomination {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly node: string
}

export interface PhaseChange {
  readonly namespace: string
  readonly name: string
  readonly phase: JobPhase
}

/** Room that is kept for a job which cannot start yet. */
export interface Reservation {
  readonly namespace: string
  readonly name: string
  readonly startMs: number
  /** By estimates: what people are shown, never what permission rests on. */
  readonly expectedMs: number
  readonly nodes: readonly { readonly node: string; readonly pods: number }[]
}

/** Why nodes refuse a pod. Append-only; the words are kube-scheduler's where it has some. */
export const REFUSALS = {
  Invalid: 'the pod cannot be scheduled as it is written',
  NodeName: "node(s) didn't match the requested node name",
  Unschedulable: 'node(s) were unschedulable',
  Taint: 'node(s) had untolerated taint(s)',
  NodeAffinity: "node(s) didn't match Pod's node affinity/selector",
  Ports: "node(s) didn't have free ports for the requested pod ports",
  Resources: 'Insufficient',
  Pods: 'Too many pods',
  SpreadLabel: "node(s) didn't match pod topology spread constraints (missing required label)",
  Spread: "node(s) didn't match pod topology spread constraints",
  Affinity: "node(s) didn't match pod affinity rules",
  AntiAffinity: "node(s) didn't match pod anti-affinity rules",
  ExistingAntiAffinity: "node(s) didn't satisfy existing pods anti-affinity rules",
  VolumeNode: 'node(s) had volume node affinity conflict',
  VolumeZone: 'node(s) had no available volume zone',
  VolumeBinding: "node(s) didn't find available persistent volumes to bind",
  VolumeLimit: 'node(s) exceed max volume count',
  VolumeRoom: 'node(s) did not have enough free storage',
  VolumeInUse: 'node(s) had no available volume: it is in use by another pod',
  Devices: 'cannot allocate all claims',
  Shard: 'node(s) belong to another scheduler',
  NodeGroup: "node(s) didn't match the queue's node groups",
  Zone: 'node(s) are in a revocable zone that is closed',
  Usage: 'node(s) are above the usage threshold',
  Reserved: 'node(s) are reserved for a job ahead',
} as const
export type Refusal = keyof typeof REFUSALS

export interface Verdict {
  readonly fits: boolean
  readonly refusals: readonly Refusal[]
  /** As kube-scheduler words them. */
  readonly reasons: readonly string[]
  /** True where removing pods from the node would change nothing. */
  readonly evictionCannotHelp: boolean
}

/** What could unblock it. */
export type UnblockEvent =
  | { readonly on: 'pod-ends'; readonly atMs: number | null; readonly node: string }
  | { readonly on: 'node-changes' }
  | { readonly on: 'pod-placed' }
  | { readonly on: 'queue-frees'; readonly queue: string }
  | { readonly on: 'volume-appears' }
  | { readonly on: 'gate-lifted' }
  | { readonly on: 'input-changes' }
  | { readonly on: 'reservation'; readonly atMs: number }

export interface ClassReason {
  readonly refusal: Refusal
  /** As text, with the resource where there is one: `Insufficient cpu`. */
  readonly reason: string
  readonly nodes: number
  /** How little is missing on the node that is nearest, in the unit of the resource (millicores, bytes, thousandths). */
  readonly shortfall?: { readonly resource: string; readonly amount: number; readonly node: string }
  readonly next: UnblockEvent
}

/** Why the pods of one class of one job wait; the reason that blocks most nodes first. */
export interface Waiting {
  readonly job: string
  readonly pods: number
  /** One of them, `namespace/name`. */
  readonly example: string
  /** All of them, where `explain` is `each`. */
  readonly members?: readonly string[]
  readonly kind: 'nodes' | 'queue' | 'gang' | 'gated' | 'invalid' | 'not-admitted' | 'reservation' | 'nominated'
  readonly message: string
  /** What is odd in what it asks for, and how it was taken. */
  readonly notes?: readonly string[]
  readonly classReasons: readonly ClassReason[]
  readonly queue?: {
    readonly name: string
    readonly resource: string
    readonly used: number
    readonly limit: number
    readonly asked: number
  }
  /** Of what its queue deserves, where it has used most of it: within it, the queue takes back from others what they hold above theirs. */
  readonly share?: {
    readonly name: string
    readonly resource: string
    readonly used: number
    readonly deserved: number
    readonly asked: number
  }
  readonly next: UnblockEvent
}

export interface CycleResult {
  readonly binds: readonly Bind[]
  readonly evictions: readonly Eviction[]
  readonly nominations: readonly Nomination[]
  readonly phases: readonly PhaseChange[]
  readonly reasons: readonly Waiting[]
  readonly reservations: readonly Reservation[]
  /** When to look again though nothing changed: a reservation starts, a minimum run time ends. */
  readonly nextMs: number | null
}

/** A scheduler that lives: it keeps its state between cycles and is told what changes. */
export interface Scheduler {
  apply(delta: Delta): void
  /** Binds and evictions are assumed to happen; tell it otherwise by the pod as it is. `reasons` later: this once none are worked out. */
  cycle(nowMs: number, reasons?: 'now' | 'later'): CycleResult
  /** May this pod go there now? `node` and `pod` by name, the pod one that was given and is not placed. */
  verdict(pod: { readonly namespace: string; readonly name: string }, node: string): Verdict
  readonly counts: { readonly nodes: number; readonly pods: number; readonly classes: number; readonly jobs: number }
}

/** What a change would do, pod by pod, on the state as it is. */
export type Prediction =
  | { readonly fit: 'now'; readonly binds: readonly Bind[] }
  | { readonly fit: 'after-evicting'; readonly binds: readonly Nomination[]; readonly evict: readonly Eviction[] }
  | { readonly fit: 'at'; readonly atMs: number; readonly reservation: Reservation }
  | { readonly fit: 'never'; readonly shortfall: ClassReason | null; readonly reasons: readonly Waiting[] }

/** New or changed pods, with the job they belong to. Pods of the same name are replaced. */
export interface Change {
  readonly pods: readonly JsonObject[]
  readonly job?: JobInput
  readonly remove?: readonly { readonly namespace: string; readonly name: string }[]
  /** The removed pods as they were, where the state lives on afterwards. */
  readonly restore?: readonly JsonObject[]
}
