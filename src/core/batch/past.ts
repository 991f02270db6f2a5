/**
 * What a site that lost its store is told again of jobs that were over there, so that none of them is run a second time. The hub
 * knows it from what the site last said of its batch room.
 */
import { isObject, type Json, type JsonObject } from '../model/json.ts'
import { type Beginning, beginJob } from './record.ts'
import type { SlurmJob } from './slurm-columns.ts'
import { readSlurmState, SLURM_STATES, type SlurmCode } from './slurm-state.ts'
import type { BatchJobSpec, Cause, JobPhase, JobRecord } from './types.ts'

/** `asks` of a kind that needs no answer. */
export const PAST_KIND = 'past'

/** One job from Git that is over: by its UID, which the same words give again. */
export interface PastJob {
  readonly uid: string
  readonly code: SlurmCode
  /** Ms of the site's clock. */
  readonly submitMs: number
  readonly startMs: number | null
  readonly endMs: number | null
}

const MOST_JOBS = 1_000
const UID = /^[0-9a-f]{32}$/

/** Of the rows that a site said, which are read as they came; undefined: nothing is over. */
export function pastAsk(jobs: readonly SlurmJob[]): JsonObject | undefined {
  const past = jobs.flatMap(({ over, submitMs, startMs, endMs }) =>
    isObject(over) ? [{ ...over, submitMs, startMs, endMs }] : [],
  )
  return past.length === 0 ? undefined : { kind: PAST_KIND, jobs: past.slice(0, MOST_JOBS) }
}

/** What can be read of it; the rest is passed over. */
export function readPast(asks: readonly JsonObject[] | undefined): readonly PastJob[] {
  const { jobs } = asks?.find(({ kind }) => kind === PAST_KIND) ?? {}
  return Array.isArray(jobs) ? (jobs as readonly Json[]).slice(0, MOST_JOBS).flatMap((job) => readJob(job) ?? []) : []
}

function readJob(job: Json): PastJob | undefined {
  if (!isObject(job)) return undefined
  const { uid, code: word, submitMs, startMs, endMs } = job
  const code = typeof word === 'string' ? readSlurmState(word) : undefined
  if (typeof uid !== 'string' || !UID.test(uid) || code === undefined || ENDED[code] === undefined) return undefined
  return { uid, code, submitMs: momentOf(submitMs) ?? 0, startMs: momentOf(startMs), endMs: momentOf(endMs) }
}

function momentOf(value: Json | undefined): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null
}

const ENDED: Readonly<Partial<Record<SlurmCode, readonly [phase: JobPhase, cause: Cause]>>> = {
  CD: ['Completed', 'Succeeded'],
  F: ['Failed', 'PodFailed'],
  OOM: ['Failed', 'OutOfMemory'],
  NF: ['Failed', 'NodeLost'],
  PR: ['Failed', 'Evicted'],
  TO: ['Terminated', 'TimeLimit'],
  DL: ['Terminated', 'Deadline'],
  CA: ['Terminated', 'Cancelled'],
}

/** As it was when it ended; pods that are still there are its own, and nothing is made. */
export function pastRecord(spec: BatchJobSpec, beginning: Beginning, past: PastJob): JobRecord {
  const [phase, cause] = ENDED[past.code] ?? ['Completed', 'Succeeded']
  const finishedMs = past.endMs ?? beginning.createdMs
  return {
    ...beginJob(spec, { ...beginning, createdMs: past.submitMs }),
    phase,
    phaseSinceMs: finishedMs,
    because: { cause, says: `${SLURM_STATES[past.code].toLowerCase()} before this site lost its journal` },
    startedMs: past.startMs,
    firstStartedMs: past.startMs,
    finishedMs,
    admitted: true,
  }
}
