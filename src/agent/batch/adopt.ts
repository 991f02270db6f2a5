/** What Git wants against what is journalled: which jobs and crons begin, which go on with other words, which have to go. Pure. */
import { beginCron, parseCronBatchJob } from '../../core/batch/cron.ts'
import { parseBatchJob } from '../../core/batch/parse.ts'
import { pastRecord } from '../../core/batch/past.ts'
import { beginJob, isOver } from '../../core/batch/record.ts'
import { TIME_ZONE_ANNOTATION } from '../../core/batch/release.ts'
import { BEGIN_ANNOTATION } from '../../core/batch/types.ts'
import { digestJson } from '../../core/model/digest.ts'
import { isObject, type Json, type JsonObject } from '../../core/model/json.ts'
import type { BatchDesired, Wanted } from './desired.ts'
import { cronKey, jobKey, type JobRow, type Journal, pastKey, type Row } from './journal.ts'

/** What makes a job another job. The rest (limits, retries, queue, priority) changes under a job that goes on. */
const IDENTITY = ['namespace', 'tasks', 'array', 'plugins', 'minAvailable', 'minSuccess', 'deadline'] as const

/** Jobs that were submitted here and are over. */
const KEPT_SUBMITTED = 200

/** The same for the same words, so that a site that lost its journal knows its pods again. */
export function jobUid(document: JsonObject): string {
  const metadata = objectAt(document, 'metadata')
  const spec = objectAt(document, 'spec')
  const begin = objectAt(metadata, 'annotations')[BEGIN_ANNOTATION]
  const what: Record<string, Json> = { name: metadata['name'] ?? '', begin: begin ?? null }
  for (const field of IDENTITY) what[field] = spec[field] ?? null
  return digestJson('job', what).slice('sha256:'.length, 'sha256:'.length + 32)
}

export function timeZoneOf(document: JsonObject): string {
  const zone = objectAt(objectAt(document, 'metadata'), 'annotations')[TIME_ZONE_ANNOTATION]
  return typeof zone === 'string' ? zone : 'UTC'
}

function objectAt(object: JsonObject, field: string): JsonObject {
  const value = object[field]
  return isObject(value) ? value : {}
}

/** Rows to write before anything is done. */
export function adopt(desired: BatchDesired, journal: Journal, nowMs: number): Map<string, Row | null> {
  const rows = new Map<string, Row | null>()
  const named = new Set<string>()
  for (const wanted of desired.wanted) {
    if (wanted.kind === 'BatchJob') {
      named.add(jobKey(wanted.ref))
      adoptJob(wanted, journal, rows, nowMs)
    } else if (wanted.kind === 'CronBatchJob') {
      named.add(cronKey(wanted.ref))
      adoptCron(wanted, journal, rows, nowMs)
    }
  }
  const isKept = (workload: string): boolean => desired.kept === 'all' || desired.kept.has(workload)
  const crons = new Set<string>()
  for (const [key, row] of journal.crons()) {
    if (named.has(key) || isKept(row.workload)) crons.add(row.workload)
    else rows.set(key, null)
  }
  for (const [key, row] of journal.jobs()) {
    if (row.leaving || row.from === 'submitted' || isKept(row.workload)) continue
    const isNamed = row.from === 'cron' ? crons.has(row.workload) : named.has(key)
    if (!isNamed) rows.set(key, { ...row, leaving: true })
  }
  // All that Git wants was read: what is not among it is not wanted any more.
  if (desired.kept !== 'all' && desired.kept.size === 0) for (const key of journal.past().keys()) rows.set(key, null)
  for (const [key, row] of beyondKept(journal)) rows.set(key, { ...row, leaving: true })
  return rows
}

/** What was submitted here and is over is kept for sacct, within bounds: nobody in Git takes it away. */
function beyondKept(journal: Journal): readonly (readonly [string, JobRow])[] {
  const over = [...journal.jobs()].filter(
    ([, { from, record, leaving }]) => from === 'submitted' && isOver(record.phase) && !leaving,
  )
  return over.toSorted(([, a], [, b]) => (b.record.finishedMs ?? 0) - (a.record.finishedMs ?? 0)).slice(KEPT_SUBMITTED)
}

function adoptJob(wanted: Wanted, journal: Journal, rows: Map<string, Row | null>, nowMs: number): void {
  const { workload, digest, document, account } = wanted
  const row = journal.jobs().get(jobKey(wanted.ref))
  const uid = jobUid(document)
  if (row !== undefined) {
    if (row.leaving) return
    if (row.from === 'git' && row.record.uid === uid) {
      if (row.digest !== digest || row.account !== account)
        rows.set(jobKey(wanted.ref), { ...row, workload, digest, document, account })
    } else if (row.from === 'git' || isOver(row.record.phase)) {
      // Another job of this name: the one before has to be gone first, pods and all.
      rows.set(jobKey(wanted.ref), { ...row, leaving: true })
    }
    return
  }
  const parsed = parseBatchJob(document)
  if (!parsed.ok) return
  const timeZone = timeZoneOf(document)
  const beginning = { uid, createdMs: nowMs, timeZone }
  const past = journal.past().get(pastKey(uid))
  if (past !== undefined) rows.set(pastKey(uid), null)
  rows.set(jobKey(wanted.ref), {
    is: 'job',
    from: 'git',
    workload,
    digest,
    document,
    group: parsed.value.name,
    timeZone,
    user: 'git',
    account,
    record: past === undefined ? beginJob(parsed.value, beginning) : pastRecord(parsed.value, beginning, past.job),
    commands: [],
    leaving: false,
    cleaned: false,
  })
}

function adoptCron(wanted: Wanted, journal: Journal, rows: Map<string, Row | null>, nowMs: number): void {
  const { workload, digest, document, account } = wanted
  const key = cronKey(wanted.ref)
  const row = journal.crons().get(key)
  if (row?.digest === digest && row.account === account) return
  if (row === undefined && !parseCronBatchJob(document).ok) return
  const record = row?.record ?? beginCron(nowMs)
  rows.set(key, { is: 'cron', workload, digest, document, timeZone: timeZoneOf(document), account, record })
}
