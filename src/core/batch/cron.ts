/** CronBatchJobs: which runs are due at one site, each made once, whatever is restarted in between. */
import { type CronSchedule, nextActivation, parseCron } from '../calendar/cron.ts'
import { isTimeZone } from '../calendar/zone.ts'
import type { JsonObject } from '../model/json.ts'
import type { JobFact } from './dependencies.ts'
import { countOf, durationOf, type Gathering, objectOf, type Parsed, refuse, textMapOf, textOf } from './fields.ts'
import { parseJobSpec } from './parse.ts'
import { isOver } from './record.ts'
import type { BatchJobSpec, JobWait } from './types.ts'

export interface CronSpec {
  readonly name: string
  readonly namespace: string
  readonly schedule: CronSchedule
  /** null: the site's own. */
  readonly timeZone: string | null
  /** Every site starts at its own moment of this window. */
  readonly spreadMs: number
  readonly startingDeadlineMs: number | null
  readonly concurrency: 'Allow' | 'Forbid' | 'Replace'
  readonly missed: 'Once' | 'Skip'
  readonly suspend: boolean
  readonly keepSucceeded: number
  readonly keepFailed: number
  readonly template: JsonObject
}

/** `name-29123456`: room for the digits. */
const MAX_NAME = 52
const DEFAULT_KEEP = { succeeded: 3, failed: 1 }
/** A start that is later than this was missed, for those that skip what they missed. */
export const LATE_MS = 60_000

export function parseCronBatchJob(document: JsonObject): Parsed<CronSpec> {
  const into: Gathering = { refused: [] }
  const spec = objectOf(document['spec'])
  const name = textOf(objectOf(document['metadata'])['name']) ?? ''
  if (name.length > MAX_NAME)
    refuse(into, 'metadata.name', `is longer than ${MAX_NAME} characters: its runs add theirs`)
  const schedule = parseCron(textOf(spec['schedule']) ?? '')
  if (!schedule.ok) refuse(into, 'spec.schedule', schedule.because)
  const timeZone = textOf(spec['timeZone']) ?? 'site'
  if (timeZone !== 'site' && !isTimeZone(timeZone))
    refuse(into, 'spec.timeZone', `"${timeZone}" is no time zone; write site or an IANA name`)
  const deadline = countOf(into, spec['startingDeadlineSeconds'], 'spec.startingDeadlineSeconds', 0)
  const template = objectOf(spec['jobTemplate'])
  const job = parseJobSpec(
    objectOf(template['spec']),
    { name, group: name, labels: {}, annotations: {} },
    'spec.jobTemplate.spec',
  )
  if (!job.ok) into.refused.push(...job.refused)
  const spreadMs = durationOf(into, objectOf(spec['spread'])['window'], 'spec.spread.window') ?? 0
  const keepSucceeded = countOf(into, spec['successfulJobsHistoryLimit'], 'spec.successfulJobsHistoryLimit', 0)
  const keepFailed = countOf(into, spec['failedJobsHistoryLimit'], 'spec.failedJobsHistoryLimit', 0)
  if (into.refused.length > 0 || !schedule.ok || !job.ok) return { ok: false, refused: into.refused }
  const value: CronSpec = {
    name,
    namespace: job.value.namespace,
    schedule: schedule.schedule,
    timeZone: timeZone === 'site' ? null : timeZone,
    spreadMs,
    startingDeadlineMs: deadline === undefined ? null : deadline * 1_000,
    concurrency:
      spec['concurrencyPolicy'] === 'Forbid' || spec['concurrencyPolicy'] === 'Replace'
        ? spec['concurrencyPolicy']
        : 'Allow',
    missed: spec['missed'] === 'Skip' ? 'Skip' : 'Once',
    suspend: spec['suspend'] === true,
    keepSucceeded: keepSucceeded ?? DEFAULT_KEEP.succeeded,
    keepFailed: keepFailed ?? DEFAULT_KEEP.failed,
    template,
  }
  return { ok: true, value }
}

/** What the journal keeps of one CronBatchJob. Write it together with the jobs it starts, or before them. */
export interface CronRecord {
  readonly format: 1
  readonly createdMs: number
  /** The last activation that was started or passed over. */
  readonly lastMs: number | null
  /** Started, and not yet seen among the jobs. */
  readonly owed: readonly CronRun[]
}

export interface CronRun {
  /** The same for the same activation, always. */
  readonly name: string
  readonly dueMs: number
  readonly startMs: number
}

export interface CronStep {
  readonly record: CronRecord
  /** Make these jobs, unless they are there. */
  readonly start: readonly CronRun[]
  /** End these first: a newer run takes their place. */
  readonly cancel: readonly string[]
  /** Finished runs beyond what is kept. */
  readonly forget: readonly string[]
  readonly wait: JobWait | null
  readonly nextAtMs: number | null
}

export function beginCron(createdMs: number): CronRecord {
  return { format: 1, createdMs, lastMs: null, owed: [] }
}

export interface CronSite {
  readonly site: string
  readonly timeZone: string
}

/** `jobs`: all jobs of the site with this cron's group, finished ones too. */
export function stepCron(
  spec: CronSpec,
  before: CronRecord,
  jobs: readonly JobFact[],
  where: CronSite,
  nowMs: number,
): CronStep {
  const zone = spec.timeZone ?? where.timeZone
  const jitterMs = spreadOf(where.site, `${spec.namespace}/${spec.name}`, spec.spreadMs)
  const runs = jobs.filter((job) => job.namespace === spec.namespace && job.group === spec.name)
  const names = new Set(runs.map((job) => job.name))
  const owed = before.owed.filter((run) => !names.has(run.name))
  const record = owed.length === before.owed.length ? before : { ...before, owed }
  const active = runs.filter((job) => !isOver(job.phase) && job.phase !== 'Terminating').map((job) => job.name)
  const sinceMs = record.lastMs ?? record.createdMs
  const dueMs = lastActivation(spec.schedule, sinceMs, nowMs - jitterMs, zone)
  const forget = beyondHistory(spec, runs)
  const nextMs = nextAfter(spec.schedule, Math.max(sinceMs, dueMs ?? sinceMs), zone)
  const nextAtMs = nextMs === undefined ? null : Math.max(nowMs, nextMs + jitterMs)
  const still = { record, start: owed, cancel: [], forget, wait: null, nextAtMs }
  if (spec.suspend) return { ...still, wait: { reason: 'Suspended', detail: 'suspended in Git' } }
  if (dueMs === undefined) return still
  const passed = { ...record, lastMs: dueMs }
  const startMs = dueMs + jitterMs
  if (nowMs > startMs + latestOf(spec)) return { ...still, record: passed }
  const busy = [...active, ...owed.map((run) => run.name)]
  if (spec.concurrency === 'Forbid' && busy.length > 0) {
    if (spec.missed === 'Skip') return { ...still, record: passed }
    return { ...still, wait: { reason: 'Dependency', detail: `the run before, ${busy[0]}, is not over` } }
  }
  const run: CronRun = { name: runName(spec.name, dueMs), dueMs, startMs }
  const cancel = spec.concurrency === 'Replace' ? active.filter((name) => name !== run.name) : []
  const kept = spec.concurrency === 'Replace' ? [] : owed
  // A run that is there already was made before a power cut took the journal's last words.
  const start = names.has(run.name) ? kept : [...kept, run]
  return { ...still, record: { ...passed, owed: start }, start, cancel }
}

function latestOf({ startingDeadlineMs, missed }: CronSpec): number {
  return startingDeadlineMs ?? (missed === 'Skip' ? LATE_MS : Infinity)
}

/** Minutes, as Kubernetes names a CronJob's; seconds, which are longer, where they are not whole. */
export function runName(cron: string, dueMs: number): string {
  return `${cron}-${dueMs % 60_000 === 0 ? dueMs / 60_000 : Math.floor(dueMs / 1_000)}`
}

export function runSpec(spec: CronSpec, run: CronRun): Parsed<BatchJobSpec> {
  const metadata = objectOf(spec.template['metadata'])
  return parseJobSpec(objectOf(spec.template['spec']), {
    name: run.name,
    group: spec.name,
    labels: textMapOf(metadata['labels']),
    annotations: { ...textMapOf(metadata['annotations']), 'flotilla.dev/due': new Date(run.dueMs).toISOString() },
  })
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** Looked back step by step: few candidates where there are many activations, and far where there are few. */
const LOOK_BACK_MS = [HOUR_MS, DAY_MS, 32 * DAY_MS, 366 * DAY_MS, 5 * 366 * DAY_MS]

/** The last answer of each schedule: every look at a cron asks the same until it is due, and time zones are slow. */
const answers = new WeakMap<CronSchedule, { readonly afterMs: number; readonly zone: string; readonly atMs: number | undefined }>() // prettier-ignore

function nextAfter(schedule: CronSchedule, afterMs: number, zone: string): number | undefined {
  const known = answers.get(schedule)
  if (known?.afterMs === afterMs && known.zone === zone) return known.atMs
  const atMs = nextActivation(schedule, afterMs, zone)
  answers.set(schedule, { afterMs, zone, atMs })
  return atMs
}

/** The latest activation after `sinceMs` and not after `untilMs`. */
export function lastActivation(
  schedule: CronSchedule,
  sinceMs: number,
  untilMs: number,
  zone: string,
): number | undefined {
  const first = nextAfter(schedule, sinceMs, zone)
  if (first === undefined || first > untilMs) return undefined
  if (schedule.is === 'every') return first + Math.floor((untilMs - first) / schedule.everyMs) * schedule.everyMs
  for (const backMs of LOOK_BACK_MS) {
    let at = nextActivation(schedule, Math.max(sinceMs, untilMs - backMs), zone)
    if (at === undefined || at > untilMs) continue
    for (let next = at; next <= untilMs; next = nextActivation(schedule, at, zone) ?? Infinity) at = next
    return at
  }
  return first
}

/** Where in the window this site starts: always the same, and evenly over many sites. In ms, whole seconds. */
export function spreadOf(site: string, what: string, windowMs: number): number {
  if (windowMs <= 0) return 0
  return Math.floor(((hash(`${site}\0${what}`) / 2 ** 32) * windowMs) / 1_000) * 1_000
}

/** FNV-1a with murmur's last mixing, so that names that differ in a digit fall far apart. */
function hash(text: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

function beyondHistory(spec: CronSpec, runs: readonly JobFact[]): readonly string[] {
  const over = runs.filter((job) => isOver(job.phase)).toSorted((a, b) => b.createdMs - a.createdMs)
  const good = over.filter((job) => job.phase === 'Completed').slice(spec.keepSucceeded)
  const bad = over.filter((job) => job.phase !== 'Completed').slice(spec.keepFailed)
  return [...good, ...bad].map((job) => job.name)
}
