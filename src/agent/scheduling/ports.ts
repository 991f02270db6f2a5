/** What the scheduler of a site asks of the world, and what it shows of itself. */
import type { Cluster } from '../../core/kube/cluster.ts'
import type { Options } from '../../core/scheduler/types.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { BatchSource, PlacementSource } from '../batch/ports.ts'
import type { RoomTrouble } from '../room-trouble.ts'

export interface SchedulingPorts {
  readonly cluster: Cluster
  readonly clock: Clock
  readonly log: Logger
  /** Jobs and queues of the site; absent: every pod by itself, in one queue. */
  readonly batch?: BatchSource
  /** Uniform in [0, 1). */
  random(): number
  /** False while another agent holds the site, or this one is told to observe: then nothing is bound, evicted or said. */
  mayWrite(): boolean
  /** Called after `trouble` gives something else. */
  onTrouble?(): void
}

export interface SchedulingOptions {
  /** Breaks ties: the site's name. */
  readonly seed: string
  /** Pods that name it are ours. */
  readonly schedulerName: string
  /** Of the core; absent: its own. */
  readonly core: Pick<Options, 'profile' | 'minRunMs' | 'reservations'>
  /** Binds under way at once. */
  readonly parallelBinds: number
  /** So long a burst of events is gathered into one cycle. */
  readonly coalesceMs: number
  /** A claim that is not bound after this long gives its pod back. */
  readonly volumeBindMs: number
  /** Without a pod of ours for so long, the cluster is no longer watched. */
  readonly idleMs: number
}

export const SCHEDULING_DEFAULTS: Omit<SchedulingOptions, 'seed'> = {
  schedulerName: 'flotilla',
  core: {},
  parallelBinds: 32,
  coalesceMs: 20,
  volumeBindMs: 10 * 60_000,
  idleMs: 10 * 60_000,
}

/** Since the start of the process, but for what says `now`. */
export interface SchedulingCounts {
  cycles: number
  cycleMsTotal: number
  cycleMsMost: number
  bound: number
  bindsFailed: number
  evicted: number
  evictionsRefused: number
  eventsWritten: number
  conditionsWritten: number
  /** Sessions that ended by a fault: all was read again. */
  restarts: number
  /** Now. */
  pendingPods: number
  bindingPods: number
}

export interface SchedulingRoom {
  /** Until the signal aborts. */
  run(signal: AbortSignal): Promise<void>
  /** What jobs that wait are waiting for. */
  readonly placement: PlacementSource
  counts(): Readonly<SchedulingCounts>
  /** null: it watches and may do what it decides, or has nothing to watch for. */
  trouble(): RoomTrouble | null
}
