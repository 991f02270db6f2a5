/**
 * What the site keeps of its jobs, crons and queues, in memory as on the disk: a row is written before the cluster is touched for it,
 * so that after a power cut nothing is run twice and nothing is forgotten.
 */
import type { CronRecord } from '../../core/batch/cron.ts'
import type { PastJob } from '../../core/batch/past.ts'
import type { Command, JobRecord } from '../../core/batch/types.ts'
import type { JsonObject } from '../../core/model/json.ts'
import type { AgentStore } from '../ports.ts'

/** One job. Key: `job <namespace>/<name>`. */
export interface JobRow {
  readonly is: 'job'
  readonly from: 'git' | 'cron' | 'submitted'
  /** The workload that it came with; of a cron's run its cron's; '' for what was submitted here. */
  readonly workload: string
  /** Of the document as it was last told. */
  readonly digest: string
  readonly document: JsonObject
  /** What `singleton` compares: the cron's name of its runs, the script's of what was submitted. */
  readonly group: string
  readonly timeZone: string
  readonly user: string
  /** As `Wanted.account`. */
  readonly account: string
  readonly record: JobRecord
  /** Asked for and not carried out yet. */
  readonly commands: readonly Command[]
  /** Named by nobody any more: its pods and objects go, and then this row. */
  readonly leaving: boolean
  /** What was made beside its pods is gone. */
  readonly cleaned: boolean
}

/** One CronBatchJob. Key: `cron <namespace>/<name>`. */
export interface CronRow {
  readonly is: 'cron'
  readonly workload: string
  readonly digest: string
  readonly document: JsonObject
  readonly timeZone: string
  readonly account: string
  readonly record: CronRecord
}

/** What a person at the site said of a queue, over what Git says. Key: `queue <name>`. */
export interface QueueRow {
  readonly is: 'queue'
  readonly name: string
  readonly stopPolicy: 'Hold' | 'HoldAndDrain'
  readonly atMs: number
}

/** A job that was over before the journal was lost, as the hub told. Key: `past <uid>`. It goes once the job is named again. */
export interface PastRow {
  readonly is: 'past'
  readonly job: PastJob
}

export type Row = JobRow | CronRow | QueueRow | PastRow

export function jobKey({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `job ${namespace}/${name}`
}
export function cronKey({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `cron ${namespace}/${name}`
}
export function queueKey(name: string): string {
  return `queue ${name}`
}

export function pastKey(uid: string): string {
  return `past ${uid}`
}

export interface Journal {
  jobs(): ReadonlyMap<string, JobRow>
  crons(): ReadonlyMap<string, CronRow>
  queues(): ReadonlyMap<string, QueueRow>
  past(): ReadonlyMap<string, PastRow>
  /** On the disk when it returns; null: drop. */
  write(rows: ReadonlyMap<string, Row | null>): void
}

export function openJournal(store: Pick<AgentStore, 'batch' | 'write'>): Journal {
  const jobs = new Map<string, JobRow>()
  const crons = new Map<string, CronRow>()
  const queues = new Map<string, QueueRow>()
  const past = new Map<string, PastRow>()
  const keep = (key: string, row: Row | null): void => {
    if (row === null) for (const map of [jobs, crons, queues, past]) map.delete(key)
    else if (row.is === 'job') jobs.set(key, row)
    else if (row.is === 'cron') crons.set(key, row)
    else if (row.is === 'queue') queues.set(key, row)
    else past.set(key, row)
  }
  for (const [key, row] of store.batch()) keep(key, row as unknown as Row)
  return {
    jobs: () => jobs,
    crons: () => crons,
    queues: () => queues,
    past: () => past,
    write(rows) {
      if (rows.size === 0) return
      store.write({ batch: rows as ReadonlyMap<string, JsonObject | null> })
      for (const [key, row] of rows) keep(key, row)
    },
  }
}
