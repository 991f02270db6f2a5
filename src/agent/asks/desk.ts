/** One desk for whatever is asked of this site, at its box or by the hub. */
import { type BatchAsk, readAsk } from '../../core/batch/ask.ts'
import { Fault } from '../../core/model/fault.ts'
import { isObject, type JsonObject } from '../../core/model/json.ts'
import type { WorkloadObservation } from '../../core/model/observation.ts'
import type { Ask } from '../../core/protocol/ask.ts'
import type { Look } from '../reconcile.ts'
import { emptyDiff, siteDiff } from './diff.ts'
import { execIn, readExecAsk } from './exec.ts'
import { logsOf, readLogsAsk } from './logs.ts'
import type { PodsPorts } from './pods.ts'

/** What is asked: `by` speaks, and of the answer so many characters are kept. */
export type Asked = Pick<Ask, 'verb' | 'args' | 'by' | 'most'>

/** Faults InvalidInput, NotFound, Conflict, AgentTooOld (an unknown verb), Store*, and those of the cluster. */
export type AskDesk = (asked: Asked, signal: AbortSignal) => Promise<JsonObject>

export interface AskDeskParts extends PodsPorts {
  /** What a turn would decide now. */
  look(signal: AbortSignal): Promise<Look | undefined>
  /** Compares everything anew, tries again what failed, and acts. */
  reconcile(signal: AbortSignal): Promise<void>
  observations(): ReadonlyMap<string, WorkloadObservation>
  batch(ask: BatchAsk): Promise<JsonObject>
}

export function createAskDesk(parts: AskDeskParts): AskDesk {
  return async ({ verb, args, by, most }, signal) => {
    switch (verb) {
      case 'diff': {
        const look = await parts.look(signal)
        const diff = look === undefined ? emptyDiff() : siteDiff(look, parts.observations(), most)
        return diff as unknown as JsonObject
      }
      case 'logs':
        return (await logsOf(readLogsAsk(args), parts, most, signal)) as unknown as JsonObject
      case 'exec':
        return (await execIn(readExecAsk(args), parts, most, signal)) as unknown as JsonObject
      case 'reconcile':
        await parts.reconcile(signal)
        return { workloads: standing(parts.observations()) }
      case 'predict':
        return withoutSite(await parts.batch(readAsk({ op: 'predict', documents: args['documents'] })))
      case 'sbatch':
        return parts.batch(readAsk({ ...args, op: 'submit', user: by }))
      case 'scancel':
        return parts.batch(readAsk({ ...args, op: 'cancel' }))
      case 'queue':
      case 'job':
        return parts.batch(readAsk({ ...args, op: verb }))
      default:
        throw new Fault('AgentTooOld', `unknown verb ${verb}`)
    }
  }
}

/** Whoever asked knows where: alike answers of many sites are told together. */
function withoutSite(answer: JsonObject): JsonObject {
  const { predictions } = answer
  if (!Array.isArray(predictions)) return answer
  return { ...answer, predictions: predictions.filter(isObject).map(({ site: _site, ...rest }) => rest) }
}

function standing(observations: ReadonlyMap<string, WorkloadObservation>): readonly JsonObject[] {
  return [...observations.values()].map(({ workload, sync, health, waiting, failure }) => ({
    workload,
    sync,
    health,
    waiting: waiting === undefined ? null : { ...waiting },
    failure: failure?.message ?? null,
  }))
}
