/** How each document of Git does at the site: what a rollout's gates read. Pure. */
import { parseCronBatchJob } from '../../core/batch/cron.ts'
import { explainJob } from '../../core/batch/explain.ts'
import type { Refusal } from '../../core/batch/fields.ts'
import { parseBatchJob } from '../../core/batch/parse.ts'
import { parseBatchQueue, type QueueTree } from '../../core/batch/queue.ts'
import type { Cause, JobRecord, JobWait } from '../../core/batch/types.ts'
import type { JsonObject } from '../../core/model/json.ts'
import type { HealthState, Waiting } from '../../core/model/state.ts'
import type { Trouble } from './act.ts'
import { jobUid } from './adopt.ts'
import type { BatchFinding, Wanted } from './desired.ts'
import { cronKey, jobKey, type Journal } from './journal.ts'
import type { PlacementSource } from './ports.ts'

export interface FindingInput {
  readonly wanted: Wanted
  readonly journal: Journal
  readonly tree: QueueTree
  readonly waits: ReadonlyMap<string, JobWait>
  readonly troubles: ReadonlyMap<string, Trouble>
  /** undefined: it acts. */
  readonly idle: Waiting | undefined
  readonly placement: PlacementSource | null
}

/** Of what stands in the brackets. */
const MOST_DETAIL = 300

const PARSE = { BatchQueue: parseBatchQueue, BatchJob: parseBatchJob, CronBatchJob: parseCronBatchJob } as const

export function findingOf(input: FindingInput): BatchFinding {
  const { wanted, idle } = input
  const refused = refusedOf(wanted)
  if (refused.length > 0) {
    const message = refused.map(({ path, because }) => `${path} ${because}`).join('; ')
    return { applied: false, health: 'Degraded', reason: 'InvalidInput', message, refused: true }
  }
  if (idle !== undefined && idle.reason !== 'Paused')
    return { applied: false, health: 'Unknown', reason: idle.reason, message: 'it would be run', waiting: idle }
  const found = OF[wanted.kind](input)
  // A pause begins nothing new; what it found is as it was.
  return idle === undefined || found.applied ? found : { ...found, waiting: idle }
}

const read = new WeakMap<JsonObject, readonly Refusal[]>()

/** Read once a document. */
function refusedOf({ kind, document }: Wanted): readonly Refusal[] {
  const known = read.get(document)
  if (known !== undefined) return known
  const parsed = PARSE[kind](document)
  const refused = parsed.ok ? [] : parsed.refused
  read.set(document, refused)
  return refused
}

function fine(health: HealthState = 'Healthy', message = ''): BatchFinding {
  return { applied: true, health, reason: health === 'Healthy' ? '' : health, message }
}

function notYet(message: string): BatchFinding {
  return { applied: false, health: 'Progressing', reason: 'Progressing', message }
}

function ofQueue({ wanted, tree }: FindingInput): BatchFinding {
  const line = tree.line(wanted.ref.name)
  if (!line.ok) return { ...fine('Degraded', line.because), reason: 'HeldByError' }
  return tree.get(wanted.ref.name) === undefined ? notYet('it is not taken up yet') : fine()
}

function ofJob({ wanted, journal, waits, troubles, placement }: FindingInput): BatchFinding {
  const key = jobKey(wanted.ref)
  const row = journal.jobs().get(key)
  if (row === undefined) return notYet('it is not taken up yet')
  if (row.leaving) return notYet('the job of this name before it is being ended')
  if (row.from !== 'git' || row.record.uid !== jobUid(wanted.document)) {
    const detail = `a job ${wanted.ref.name} that was submitted here is ${row.record.phase}`
    return { ...notYet(detail), waiting: { reason: 'Dependency', detail } }
  }
  if (row.digest !== wanted.digest) return notYet('its new words are not taken up yet')
  const trouble = troubles.get(key)
  if (trouble !== undefined) {
    const { reason, message, retry } = trouble.fault
    return { applied: true, health: retry === 'on-change' ? 'Degraded' : 'Progressing', reason, message }
  }
  const wait = waits.get(key) ?? null
  const placed = placement?.waiting(`${wanted.ref.namespace}/${wanted.ref.name}`)
  const message = explainJob(row.record, wait, placed)
  const health = healthOfJob(row.record)
  const said = { ...fine(health, message), reason: health === 'Healthy' ? '' : row.record.phase }
  if (wait === null || health !== 'Progressing') return said
  // The scheduler knows better which nodes have too little of what.
  const detail = wait.reason === 'Capacity' && placed !== undefined ? placed.message : wait.detail
  return { ...said, waiting: { reason: wait.reason, detail: detail.slice(0, MOST_DETAIL) } }
}

/** A person stopped it: nothing is wrong with what was rolled out. */
const STOPPED_BY_PEOPLE: ReadonlySet<Cause> = new Set<Cause>(['Cancelled'])

/** A job that runs as it should is well, as kstatus has it of Jobs; one that failed, or ran out of its time, is not. */
function healthOfJob({ phase, because }: JobRecord): HealthState {
  if (phase === 'Running' || phase === 'Completed') return 'Healthy'
  if (phase === 'Failed') return 'Degraded'
  if (phase === 'Aborted' || phase === 'Aborting') return 'Suspended'
  if (phase !== 'Terminated') return 'Progressing'
  return because !== null && STOPPED_BY_PEOPLE.has(because.cause) ? 'Suspended' : 'Degraded'
}

/** By its latest run that is over; the one before it is no news. */
function ofCron({ wanted, journal, waits }: FindingInput): BatchFinding {
  const key = cronKey(wanted.ref)
  const row = journal.crons().get(key)
  if (row === undefined || row.digest !== wanted.digest) return notYet('it is not taken up yet')
  const wait = waits.get(key)
  if (wait?.reason === 'Suspended') return fine('Suspended', wait.detail)
  const over = [...journal.jobs().values()]
    // A run of other words says nothing of these.
    .filter((job) => job.workload === wanted.workload && job.digest === wanted.digest && job.record.finishedMs !== null)
    .toSorted((a, b) => (b.record.finishedMs ?? 0) - (a.record.finishedMs ?? 0))
  const last = over[0]?.record
  if (last === undefined || healthOfJob(last) !== 'Degraded') return fine('Healthy', wait?.detail ?? '')
  return { ...fine('Degraded', `its run ${last.name}: ${explainJob(last, null)}`), reason: 'JobFailed' }
}

const OF = { BatchQueue: ofQueue, BatchJob: ofJob, CronBatchJob: ofCron } as const
