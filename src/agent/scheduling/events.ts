/** Events about pods and jobs, as `kubectl describe pod` and `kubectl get events` show them. They are said once and lost without harm. */
import { randomBytes } from 'node:crypto'
import type { Manifest } from '../../core/model/object.ts'

/** As the API server has it: longer ones are refused. */
const MOST_BYTES = 1024
const NAME_BYTES = 6

export interface About {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  /** Absent: a pod. */
  readonly object?: { readonly apiVersion: string; readonly kind: string }
}

const POD = { apiVersion: 'v1', kind: 'Pod' }

export function eventOf(
  about: About,
  said: {
    readonly type: 'Normal' | 'Warning'
    readonly reason: string
    readonly action: string
    readonly message: string
  },
  reporter: { readonly component: string; readonly instance: string },
  nowMs: number,
): Manifest {
  const at = new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z')
  const { namespace, name, uid, object = POD } = about
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${name.slice(0, 230)}.${randomBytes(NAME_BYTES).toString('hex')}`, namespace },
    involvedObject: { ...object, namespace, name, uid },
    type: said.type,
    reason: said.reason,
    action: said.action,
    message: cut(said.message),
    source: { component: reporter.component },
    reportingComponent: reporter.component,
    reportingInstance: reporter.instance,
    firstTimestamp: at,
    lastTimestamp: at,
    count: 1,
  }
}

function cut(message: string): string {
  return Buffer.byteLength(message) <= MOST_BYTES
    ? message
    : `${Buffer.from(message)
        .subarray(0, MOST_BYTES - 4)
        .toString('utf8')
        .replace(/\uFFFD+$/, '')}…`
}
