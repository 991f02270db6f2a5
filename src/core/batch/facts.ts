/** A site's batch view within bounds, as it travels to the hub: without what changes by time alone, so that silence is no news. */
import { isObject, type Json, type JsonObject } from '../model/json.ts'
import type { SlurmJob, SlurmNodes } from './slurm-columns.ts'
import { BATCH_FORMAT, type BatchView, type QueueRowView } from './view.ts'

/** Of 16 KiB that a site may say of itself. */
const MOST_BYTES = 12 * 1024
const MOST_QUEUES = 50
const MOST_NODES = 50

/** What most jobs have is not said. */
const USUAL = {
  arrayTask: null, account: '', reason: 'None', startMs: null, endMs: null, timeLimitMs: null, nodes: [], nodeCount: 1, tasks: 1, cpus: 1,
  memoryMiB: 0, priority: 1, dependency: '', exitCode: '0:0', restarts: 0, comment: '', user: 'git',
} as const satisfies Partial<SlurmJob> // prettier-ignore

const WAITING_OR_RUNNING = new Set(['PD', 'R', 'CF', 'CG', 'S', 'RQ'])
const RUNNING = new Set(['R', 'CF', 'CG'])

/** Null where there is nothing to tell. What does not fit is counted: what is under way comes first. */
export function batchFacts(view: BatchView): JsonObject | null {
  if (view.jobs.length === 0 && view.queues.length <= 1) return null
  const queues = view.queues.slice(0, MOST_QUEUES) as unknown as readonly Json[]
  const nodes = view.nodes.slice(0, MOST_NODES) as unknown as readonly Json[]
  const rest = { format: BATCH_FORMAT, timeZone: view.timeZone, queues, nodes }
  let bytes = bytesOf(rest)
  const jobs: JsonObject[] = []
  for (const job of view.jobs) {
    const row = squeezed(job)
    bytes += bytesOf(row) + 1
    if (bytes > MOST_BYTES) break
    jobs.push(row)
  }
  return { ...rest, jobs, leftOut: view.leftOut + view.jobs.length - jobs.length }
}

function bytesOf(value: Json): number {
  return new TextEncoder().encode(JSON.stringify(value)).length
}

function squeezed(job: SlurmJob): JsonObject {
  const { cluster: _cluster, usedMs: _used, ...said } = job
  const entries = Object.entries(said).filter(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify((USUAL as Readonly<Record<string, unknown>>)[name]),
  )
  return Object.fromEntries(entries)
}

/** What a site said, as of now; undefined: nothing that this hub can read. Times are the site's. */
export function batchView(site: string, facts: Json | undefined, nowMs: number): BatchView | undefined {
  if (!isObject(facts) || facts['format'] !== BATCH_FORMAT) return undefined
  const { timeZone, jobs, nodes, queues, leftOut } = facts
  return {
    formatVersion: BATCH_FORMAT,
    asOfMs: nowMs,
    site,
    timeZone: typeof timeZone === 'string' ? timeZone : 'UTC',
    jobs: rows(jobs).map((row) => whole(row, site, nowMs)),
    nodes: rows(nodes) as unknown as readonly SlurmNodes[],
    queues: rows(queues) as unknown as readonly QueueRowView[],
    leftOut: typeof leftOut === 'number' ? leftOut : 0,
  }
}

function rows(value: Json | undefined): readonly JsonObject[] {
  return Array.isArray(value) ? (value as readonly Json[]).filter(isObject) : []
}

function whole(row: JsonObject, site: string, nowMs: number): SlurmJob {
  const job = { ...USUAL, ...row, cluster: site, usedMs: 0 } as unknown as SlurmJob
  if (job.startMs === null || (WAITING_OR_RUNNING.has(job.code) && !RUNNING.has(job.code))) return job
  const untilMs = RUNNING.has(job.code) ? nowMs : (job.endMs ?? nowMs)
  return { ...job, usedMs: Math.max(0, untilMs - job.startMs) }
}
