/** The newest lines of pods' logs. Lossy by design: what does not fit is cut at its oldest end, and counted. */
import type { LogTail } from '../../core/kube/cluster.ts'
import { Fault } from '../../core/model/fault.ts'
import { isObject, type Json, type JsonObject } from '../../core/model/json.ts'
import { type Manifest, refOf } from '../../core/model/object.ts'
import { podsOf, type PodsPorts } from './pods.ts'

export interface PodLog {
  /** `shop/till-7d9f-x2v`. */
  readonly pod: string
  readonly container: string
  readonly text: string
  /** Of the lines that were asked for, older bytes that are not here. */
  readonly cutBytes: number
  /** Why there is nothing; null: there is. */
  readonly because: string | null
}

export interface LogsAnswer {
  readonly logs: readonly PodLog[]
  /** Pods beyond those that are shown. */
  readonly leftOut: number
}

const MOST_PODS = 10
const MOST_LINES = 10_000
const DEFAULT_LINES = 100
const REST_CHARS = 4_096
/** Of each pod, however little is kept: what is above that is an answer that says so. */
const LEAST_CHARS = 256

export interface LogsAsk {
  readonly of: string
  readonly container: string | null
  readonly tail: number
  readonly previous: boolean
  readonly sinceSeconds: number | null
}

/** Fault InvalidInput names the field. */
export function readLogsAsk(args: JsonObject): LogsAsk {
  const { of, container = null, tail = DEFAULT_LINES, previous = false, sinceSeconds = null } = args
  if (typeof of !== 'string' || of === '' || of.length > 400) return bad('of', 'the name of a workload or a pod')
  if (container !== null && typeof container !== 'string') return bad('container', 'a name')
  if (!isCount(tail) || tail > MOST_LINES) return bad('tail', `a number of lines, at most ${MOST_LINES}`)
  if (typeof previous !== 'boolean') return bad('previous', 'true or false')
  if (sinceSeconds !== null && !isCount(sinceSeconds)) return bad('sinceSeconds', 'a number of seconds')
  return { of, container, tail, previous, sinceSeconds }
}

function bad(field: string, expected: string): never {
  throw new Fault('InvalidInput', `${field} must be ${expected}`)
}

function isCount(value: Json): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0
}

/** Faults NotFound, InvalidInput, and those of the cluster where no pod's log can be read. */
export async function logsOf(
  ask: LogsAsk,
  ports: PodsPorts,
  mostChars: number,
  signal: AbortSignal,
): Promise<LogsAnswer> {
  const pods = await podsOf(ask.of, ports, signal)
  const shown = pods.slice(0, MOST_PODS)
  const share = Math.max(LEAST_CHARS, Math.floor((mostChars - REST_CHARS) / Math.max(1, shown.length)))
  const logs: PodLog[] = []
  const faults: Fault[] = []
  for (const pod of shown) {
    const { namespace = '', name } = pod.metadata
    const at = { pod: `${namespace}/${name}`, container: containerOf(pod, ask.container) }
    try {
      const { tail: tailLines, previous, sinceSeconds } = ask
      const options = { container: at.container, tailLines, maxBytes: share, previous, sinceSeconds }
      logs.push({ ...at, ...fitting(await ports.cluster.log(refOf(pod), options, signal), share), because: null })
    } catch (error) {
      if (!(error instanceof Fault) || signal.aborted) throw error
      faults.push(error)
      logs.push({ ...at, text: '', cutBytes: 0, because: `${error.reason}: ${error.message}` })
    }
  }
  const [fault] = faults
  if (fault !== undefined && faults.length === logs.length) throw fault
  return { logs, leftOut: pods.length - shown.length }
}

/** As JSON: a line of control characters takes six times its length. Cut at the older end, at a line where there is one. */
function fitting(log: LogTail, mostChars: number): LogTail {
  let { text, cutBytes } = log
  while (text !== '' && JSON.stringify(text).length > mostChars) {
    const from = Math.ceil(text.length / 8)
    const line = text.indexOf('\n', from)
    const cut = line < 0 || line === text.length - 1 ? from : line + 1
    cutBytes += Buffer.byteLength(text.slice(0, cut))
    text = text.slice(cut)
  }
  return { text, cutBytes }
}

const DEFAULT_CONTAINER = 'kubectl.kubernetes.io/default-container'

/** Fault InvalidInput: it has none of this name. */
export function containerOf(pod: Manifest, named: string | null): string {
  const spec = isObject(pod['spec']) ? pod['spec'] : {}
  const names = ['containers', 'initContainers', 'ephemeralContainers'].flatMap((list) => {
    const found = spec[list]
    return (Array.isArray(found) ? (found as readonly Json[]) : []).flatMap((one) =>
      isObject(one) && typeof one['name'] === 'string' ? [one['name']] : [],
    )
  })
  const wanted = named ?? pod.metadata.annotations?.[DEFAULT_CONTAINER]
  if (wanted === undefined) return names[0] ?? ''
  if (names.includes(wanted)) return wanted
  throw new Fault('InvalidInput', `pod ${pod.metadata.name} has no container ${wanted}: ${names.join(', ')}`)
}
