/** Does what a turn decided, job by job, says what became of each, and remembers what stands in the way of which. */
import { type JobSaid, saidOf } from '../../core/batch/said.ts'
import type { Logger } from '../../runtime/logger.ts'
import { type ActPorts, actOn, type Trouble } from './act.ts'
import type { Sayer } from './events.ts'
import type { JobAct } from './jobs.ts'
import type { Journal } from './journal.ts'

export interface CarryPorts extends ActPorts {
  readonly log: Logger
  readonly journal: Journal
  readonly sayer: Sayer
  /** By key of the job; changed here. */
  readonly troubles: Map<string, Trouble>
  mayAct(): boolean
}

/** Pods that were just made are seen soon. */
const LOOK_AGAIN_MS = 50

/** Ms until it has to be looked at again; Infinity: not for this. Only a cancellation is thrown. */
export async function carryOut(acts: readonly JobAct[], ports: CarryPorts, signal: AbortSignal): Promise<number> {
  const { log, journal, troubles, sayer } = ports
  let nextMs = Infinity
  for (const act of acts) {
    // Told to stop meanwhile: the rest is written down, as over a kill, and done when it may be.
    if (!ports.mayAct()) break
    for (const note of act.notes) log.info({ job: act.key, note }, 'a job went on')
    const before = troubles.get(act.key)
    const acted = await actOn(act, before, ports, signal)
    const said = saidOf({ ...act, after: act.row.record })
    if (acted.is === 'troubled') {
      const { trouble } = acted
      sayer.say(act.row.record, [...said.filter(isOfJob), ...newTrouble(before, trouble)])
      if (before?.fault !== trouble.fault)
        log.warn({ job: act.key, reason: trouble.fault.reason, because: trouble.fault.message }, 'a job cannot be carried out') // prettier-ignore
      troubles.set(act.key, trouble)
      nextMs = Math.min(nextMs, trouble.untilMs - ports.monotonicMs())
      continue
    }
    troubles.delete(act.key)
    sayer.say(act.row.record, said)
    if (act.clean) {
      const row = journal.jobs().get(act.key) ?? act.row
      journal.write(new Map([[act.key, row.leaving ? null : { ...row, cleaned: true }]]))
      nextMs = 0
    }
    if (act.create.length > 0) nextMs = Math.min(nextMs, LOOK_AGAIN_MS)
  }
  for (const key of troubles.keys()) if (!journal.jobs().has(key)) troubles.delete(key)
  return nextMs
}

/** What is true of it although its pods could not be made or ended. */
function isOfJob({ reason, pod }: JobSaid): boolean {
  return reason !== 'SuccessfulCreate' && pod === undefined
}

function newTrouble(before: Trouble | undefined, { fault }: Trouble): readonly JobSaid[] {
  if (before?.fault.message === fault.message) return []
  return [{ type: 'Warning', reason: 'FailedCreate', message: fault.message }]
}
