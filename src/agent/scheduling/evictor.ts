/**
 * Evicts pods through the Eviction API, so that disruption budgets are honoured and the pod is marked as a disruption's target. A
 * budget that does not allow it now may do so soon: the eviction stays decided, and is tried again for a while.
 */
import { asFault, type Fault } from '../../core/model/fault.ts'
import type { Eviction } from '../../core/scheduler/types.ts'
import { refTo, POD } from './binder.ts'
import { createLane, type Lane } from './lane.ts'
import type { SchedulingPorts } from './ports.ts'

const PARALLEL = 8
/** Between two tries of one eviction, as `kubectl drain` waits. */
const AGAIN_MS = 5_000
/** After that the decision is taken back, and others may be asked. */
const GIVE_UP_MS = 60_000

export interface EvictorDeps {
  readonly ports: SchedulingPorts
  readonly signal: AbortSignal
  evicted(eviction: Eviction): void
  /** `fault` null: it was not tried. */
  refused(eviction: Eviction, fault: Fault | null, because: string): void
}

export function createEvictor(deps: EvictorDeps): Lane<Eviction> {
  const { ports, signal } = deps
  const { clock } = ports
  return createLane(
    () => PARALLEL,
    async (eviction) => {
      const endMs = clock.monotonicMs() + GIVE_UP_MS
      const body = { deleteOptions: { preconditions: { uid: eviction.uid } } }
      for (;;) {
        if (!ports.mayWrite()) return deps.refused(eviction, null, 'another agent holds this site')
        try {
          await ports.cluster.subresource(POD, refTo(eviction), 'eviction', body, signal)
          return deps.evicted(eviction)
        } catch (error) {
          if (signal.aborted) return
          const fault = asFault(error)
          // Gone, or another pod of that name: the watch tells.
          if (fault.reason === 'NotFound' || fault.reason === 'Conflict') return deps.evicted(eviction)
          if (fault.retry === 'on-change' || clock.monotonicMs() + AGAIN_MS > endMs)
            return deps.refused(eviction, fault, fault.message)
          await clock.sleep(Math.max(AGAIN_MS, fault.retryAfterMs ?? 0), signal).catch(() => undefined)
        }
      }
    },
  )
}
