/** A job's phase in Slurm's words: state codes, reason codes, exit codes. */
import type { Cause, JobRecord } from './types.ts'

export const SLURM_STATES = {
  BF: 'BOOT_FAIL', CA: 'CANCELLED', CD: 'COMPLETED', CF: 'CONFIGURING', CG: 'COMPLETING', DL: 'DEADLINE', F: 'FAILED', NF: 'NODE_FAIL',
  OOM: 'OUT_OF_MEMORY', PD: 'PENDING', PR: 'PREEMPTED', R: 'RUNNING', RQ: 'REQUEUED', RS: 'RESIZING', RV: 'REVOKED', S: 'SUSPENDED',
  SI: 'SIGNALING', SE: 'SPECIAL_EXIT', SO: 'STAGE_OUT', ST: 'STOPPED', TO: 'TIMEOUT',
} as const // prettier-ignore
export type SlurmCode = keyof typeof SLURM_STATES

const ENDED: Readonly<Record<Cause, SlurmCode>> = {
  Succeeded: 'CD',
  PodFailed: 'F',
  TooFewSucceeded: 'F',
  RetriesUsedUp: 'F',
  TimeLimit: 'TO',
  Deadline: 'DL',
  Cancelled: 'CA',
  Policy: 'CA',
  Evicted: 'PR',
  NodeLost: 'NF',
  OutOfMemory: 'OOM',
  GangTimeout: 'PR',
  QueueDrained: 'PR',
}

/** By compact or long name, in any case; undefined: no state of Slurm's. */
export function readSlurmState(text: string): SlurmCode | undefined {
  const word = text.toUpperCase()
  return (Object.keys(SLURM_STATES) as SlurmCode[]).find((code) => code === word || SLURM_STATES[code] === word)
}

/** `bound`: some of its pods are on their nodes and none runs yet. */
export function slurmCode(record: JobRecord, bound: 'bound' | 'unbound' = 'unbound'): SlurmCode {
  const { phase, because } = record
  if (phase === 'Completed') return 'CD'
  if (phase === 'Failed') return because === null ? 'F' : failedCode(because.cause)
  if (phase === 'Terminated') return because === null ? 'CA' : stoppedCode(because.cause)
  // Held before it ever ran, or stopped while it did.
  if (phase === 'Aborted') return record.firstStartedMs === null ? 'PD' : 'S'
  if (phase === 'Aborting') return 'CG'
  if (phase === 'Completing' || phase === 'Terminating') return 'CG'
  if (phase === 'Restarting') return 'RQ'
  if (phase === 'Running') return 'R'
  return bound === 'bound' ? 'CF' : 'PD'
}

/** Of one element of an array that failed for good, or was ended. */
export function elementEnd(cause: Cause | undefined): SlurmCode {
  return cause === undefined ? 'F' : failedCode(cause)
}

function failedCode(cause: Cause): SlurmCode {
  const code = ENDED[cause]
  return code === 'CD' ? 'F' : code
}

/** A job that was stopped never completed, whatever stopped it; a policy that ended it for a failed pod is a failure. */
function stoppedCode(cause: Cause): SlurmCode {
  return cause === 'Succeeded' ? 'CA' : ENDED[cause]
}

/** `code:signal`, of the pod that failed first; 128 and more is a signal, as shells have it. */
export function slurmExitCode(record: JobRecord): string {
  const code =
    Object.values(record.slots).find((slot) => slot.state === 'failed' && slot.exitCode !== undefined)?.exitCode ?? 0
  return code > 128 && code < 192 ? `0:${code - 128}` : `${code}:0`
}
