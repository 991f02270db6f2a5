/** Which runs of the site's crons are due, as rows: the cron's own and those of the jobs it starts are written together. Pure. */
import { type CronSpec, parseCronBatchJob, type CronRun, runSpec, stepCron } from '../../core/batch/cron.ts'
import type { JobFact } from '../../core/batch/dependencies.ts'
import { beginJob } from '../../core/batch/record.ts'
import { BATCH_GROUP } from '../../core/batch/release.ts'
import type { JobWait } from '../../core/batch/types.ts'
import { isObject, type JsonObject } from '../../core/model/json.ts'
import { jobUid } from './adopt.ts'
import { type CronRow, jobKey, type JobRow, type Journal, type Row } from './journal.ts'

export interface CronsStep {
  readonly rows: Map<string, Row | null>
  /** Why a cron starts nothing now, by its key. */
  readonly waits: ReadonlyMap<string, JobWait>
  readonly nextAtMs: number | null
}

export function stepCrons(journal: Journal, facts: readonly JobFact[], site: string, nowMs: number): CronsStep {
  const rows = new Map<string, Row | null>()
  const waits = new Map<string, JobWait>()
  let nextAtMs: number | null = null
  for (const [key, row] of journal.crons()) {
    const spec = cronOf(row.document)
    if (spec === null) continue
    const step = stepCron(spec, row.record, facts, { site, timeZone: row.timeZone }, nowMs)
    if (step.record !== row.record) rows.set(key, { ...row, record: step.record })
    if (step.wait !== null) waits.set(key, step.wait)
    if (step.nextAtMs !== null) nextAtMs = Math.min(nextAtMs ?? Infinity, step.nextAtMs)
    const change = (name: string, how: (job: JobRow) => JobRow): void => {
      const at = jobKey({ namespace: spec.namespace, name })
      const job = journal.jobs().get(at)
      if (job !== undefined && !job.leaving) rows.set(at, how(job))
    }
    for (const run of step.start) {
      const at = jobKey({ namespace: spec.namespace, name: run.name })
      const job = journal.jobs().has(at) ? undefined : runRow(spec, row, run, nowMs)
      if (job !== undefined) rows.set(at, job)
    }
    for (const name of step.cancel) {
      const command = { id: `replaced by ${step.start.at(-1)?.name ?? 'a newer run'}`, action: 'TerminateJob' } as const
      change(name, (job) => ({ ...job, commands: [...job.commands, command] }))
    }
    for (const name of step.forget) change(name, (job) => ({ ...job, leaving: true }))
  }
  return { rows, waits, nextAtMs }
}

const specs = new WeakMap<JsonObject, CronSpec | null>()

/** Read once a document. */
function cronOf(document: JsonObject): CronSpec | null {
  const known = specs.get(document)
  if (known !== undefined) return known
  const parsed = parseCronBatchJob(document)
  const spec = parsed.ok ? parsed.value : null
  specs.set(document, spec)
  return spec
}

/** A cron whose template no longer parses starts nothing: its finding says why. */
function runRow(spec: CronSpec, cron: CronRow, run: CronRun, nowMs: number): JobRow | undefined {
  const parsed = runSpec(spec, run)
  if (!parsed.ok) return undefined
  const { labels, annotations, namespace, group } = parsed.value
  const document: JsonObject = {
    apiVersion: `${BATCH_GROUP}/v1alpha1`,
    kind: 'BatchJob',
    metadata: { name: run.name, namespace, labels, annotations },
    spec: isObject(spec.template['spec']) ? spec.template['spec'] : {},
  }
  const { timeZone, account } = cron
  return {
    is: 'job',
    from: 'cron',
    workload: cron.workload,
    digest: cron.digest,
    document,
    group,
    timeZone,
    user: 'git',
    account,
    record: beginJob(parsed.value, { uid: jobUid(document), createdMs: nowMs, timeZone }),
    commands: [],
    leaving: false,
    cleaned: false,
  }
}
