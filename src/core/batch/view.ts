/** What a site shows of its batch room, in the rows that squeue, sinfo, sacct and `queue list` print. */
import type { SlurmJob, SlurmNodes } from './slurm-columns.ts'

export const BATCH_FORMAT = 1

export interface BatchView {
  readonly formatVersion: number
  /** Ms of the site's clock. */
  readonly asOfMs: number
  readonly site: string
  /** At a hub: when the site said it, ms of the hub's clock. */
  readonly saidMs?: number
  readonly timeZone: string
  /** Under way first, then what is over, the newest first. */
  readonly jobs: readonly SlurmJob[]
  readonly nodes: readonly SlurmNodes[]
  readonly queues: readonly QueueRowView[]
  /** Jobs that were left out to stay within bounds. */
  readonly leftOut: number
}

export interface QueueRowView {
  readonly name: string
  readonly parent: string | null
  readonly weight: number
  readonly priority: number
  readonly state: 'open' | 'held' | 'draining' | 'error'
  /** Who holds it: Git, or somebody at the site. */
  readonly by: 'git' | 'site' | null
  readonly because: string
  readonly running: number
  readonly pending: number
  readonly deserved: Resources
  readonly guarantee: Resources
  readonly capability: Resources
  readonly maxRunning: number | null
  readonly maxTimeMs: number | null
}
type Resources = Readonly<Record<string, string | number>>

/** What a document would do at a site. */
export interface PredictedView {
  readonly site: string
  readonly subject: string
  readonly fit: 'now' | 'after-evicting' | 'at' | 'never'
  readonly places: readonly { readonly pod: string; readonly node: string }[]
  readonly evict: readonly { readonly pod: string; readonly node: string }[]
  /** Of `at`: when, by enforced limits, ms of the site's clock. */
  readonly atMs: number | null
  /** Of `never`: what is missing, with its numbers. */
  readonly because: readonly string[]
}
