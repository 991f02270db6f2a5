/** One command in one container of what Flotilla runs here: without input, bounded in time and in what is kept of its words. */
import type { ExecResult } from '../../core/kube/cluster.ts'
import { Fault } from '../../core/model/fault.ts'
import { isObject, type JsonObject } from '../../core/model/json.ts'
import { type Manifest, refOf } from '../../core/model/object.ts'
import { containerOf } from './logs.ts'
import { podsOf, type PodsPorts } from './pods.ts'

export interface ExecAnswer extends ExecResult {
  readonly pod: string
  readonly container: string
}

interface ExecAsk {
  readonly of: string
  readonly container: string | null
  readonly command: readonly string[]
}

const MOST_WORDS = 100
const REST_CHARS = 1_024
/** A byte may take six characters of JSON. */
const ESCAPED = 6

/** Fault InvalidInput names the field. */
export function readExecAsk({ of, container = null, command }: JsonObject): ExecAsk {
  if (typeof of !== 'string' || of === '') throw new Fault('InvalidInput', 'of must be the name of a workload or a pod')
  if (container !== null && typeof container !== 'string') throw new Fault('InvalidInput', 'container must be a name')
  const isCommand = Array.isArray(command) && command.length > 0 && command.length <= MOST_WORDS
  if (!isCommand || !command.every((word) => typeof word === 'string'))
    throw new Fault('InvalidInput', `command must be 1 to ${MOST_WORDS} words`)
  return { of, container, command }
}

/** In the first pod of it that runs. Faults NotFound, InvalidInput, Rejected, OutcomeUnknown, and those of the cluster. */
export async function execIn(
  { of, container, command }: ExecAsk,
  ports: PodsPorts,
  mostChars: number,
  signal: AbortSignal,
): Promise<ExecAnswer> {
  const pods = await podsOf(of, ports, signal)
  const pod = pods.find(isRunning) ?? pods[0]
  if (pod === undefined) throw new Fault('NotFound', `no pod of ${of} is there`)
  const where = { pod: `${pod.metadata.namespace}/${pod.metadata.name}`, container: containerOf(pod, container) }
  const maxBytes = Math.max(0, Math.floor((mostChars - REST_CHARS) / ESCAPED))
  return {
    ...where,
    ...(await ports.cluster.exec(refOf(pod), { container: where.container, command, maxBytes }, signal)),
  }
}

function isRunning(pod: Manifest): boolean {
  return isObject(pod['status']) && pod['status']['phase'] === 'Running'
}
