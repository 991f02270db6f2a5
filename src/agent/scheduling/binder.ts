/** Binds pods, many at once. What is not known to have happened is asked for before it is taken for undone. */
import { asFault, type Fault } from '../../core/model/fault.ts'
import { isObject } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'
import type { Bind } from '../../core/scheduler/types.ts'
import { nextBackoffMs } from '../../runtime/backoff.ts'
import { createLane, type Lane } from './lane.ts'
import type { SchedulingPorts } from './ports.ts'

export const POD = { apiVersion: 'v1', kind: 'Pod' } as const

export interface BinderDeps {
  readonly ports: SchedulingPorts
  readonly parallel: number
  readonly signal: AbortSignal
  /** Why it should not be done any more, by what is known now: another pod of that name, a node that went. */
  objection(bind: Bind): string | null
  bound(bind: Bind): void
  /** It is not bound. `fault` null: it was not tried. */
  failed(bind: Bind, fault: Fault | null, because: string): void
}

export function createBinder(deps: BinderDeps): Lane<Bind> {
  const { ports, signal } = deps
  return createLane(
    () => deps.parallel,
    async (bind) => {
      const objection = ports.mayWrite() ? deps.objection(bind) : 'another agent holds this site'
      if (objection !== null) return deps.failed(bind, null, objection)
      try {
        await ports.cluster.subresource(POD, refTo(bind), 'binding', bodyOf(bind), signal)
        deps.bound(bind)
      } catch (error) {
        if (signal.aborted) return
        const fault = asFault(error)
        // Conflict is said of a pod that has a node too: perhaps by our own bind, whose answer was lost.
        const uncertain = fault.reason === 'OutcomeUnknown' || fault.reason === 'Timeout' || fault.reason === 'Conflict'
        if (uncertain && (await isBound(deps, bind))) deps.bound(bind)
        else if (!signal.aborted) deps.failed(bind, fault, fault.message)
      }
    },
  )
}

function bodyOf({ namespace, name, uid, node }: Bind): Record<string, Record<string, string>> {
  return { metadata: { namespace, name, uid }, target: { apiVersion: 'v1', kind: 'Node', name: node } }
}

/** Asked until somebody answers: until then the room stays taken. */
async function isBound({ ports, signal }: BinderDeps, bind: Bind): Promise<boolean> {
  let waitMs = 0
  while (!signal.aborted) {
    try {
      const pod = await ports.cluster.get(POD, refTo(bind), signal)
      return pod !== undefined && pod.metadata.uid === bind.uid && nodeOf(pod) === bind.node
    } catch (error) {
      waitMs = nextBackoffMs(Math.min(waitMs, 5_000), ports.random(), asFault(error).retryAfterMs)
      await ports.clock.sleep(waitMs, signal).catch(() => undefined)
    }
  }
  return false
}

export function nodeOf(pod: Manifest): string {
  const spec = isObject(pod['spec']) ? pod['spec'] : {}
  return typeof spec['nodeName'] === 'string' ? spec['nodeName'] : ''
}

export function refTo({ namespace, name }: { readonly namespace: string; readonly name: string }): {
  readonly group: string
  readonly kind: string
  readonly namespace: string
  readonly name: string
} {
  return { group: '', kind: 'Pod', namespace, name }
}
