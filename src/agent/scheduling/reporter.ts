/**
 * Tells people why pods wait: the PodScheduled condition, the nominated node and an event, written when what they say has changed and
 * off the way of the binds. A pod's numbers drift with every other pod, so the same kind of reason is not told again at once.
 */
import { asFault } from '../../core/model/fault.ts'
import { isObject, type Json, type JsonObject } from '../../core/model/json.ts'
import { POD, refTo } from './binder.ts'
import { eventOf } from './events.ts'
import { createLane } from './lane.ts'
import { toldOf, type OwnPod } from './own-pods.ts'
import type { SchedulingCounts, SchedulingPorts } from './ports.ts'
import type { Troubles } from '../room-trouble.ts'

/** What is to be said of a pod that waits. */
export interface Word {
  /** `Unschedulable`, `SchedulerError`: Kubernetes' own. */
  readonly reason: string
  /** Changes with the kind of reason, not with its numbers. */
  readonly kind: string
  readonly message: string
  readonly nominated: string
}

/** New numbers for the same kind of reason wait so long. */
const DRIFT_MS = 30_000
/** Events live for an hour: one that still holds is said again. */
const EVENT_AGAIN_MS = 30 * 60_000
const PARALLEL = 4

interface Told {
  readonly uid: string
  kind: string
  message: string
  /** By the clock that is never put back. */
  atMs: number
  eventAtMs: number
}

export interface Reporter {
  /** Of all pods that wait, by `namespace/name`. */
  say(words: ReadonlyMap<string, Word>): void
  assigned(pod: { readonly namespace: string; readonly name: string; readonly uid: string }, node: string): void
  preempted(
    pod: { readonly namespace: string; readonly name: string; readonly uid: string },
    by: string,
    node: string,
  ): void
  /** Forgets what was said of pods that are not here any more. */
  forget(key: string): void
  readonly size: number
}

export interface ReporterDeps {
  readonly ports: SchedulingPorts
  readonly counts: SchedulingCounts
  readonly troubles: Troubles
  readonly instance: string
  readonly parallelEvents: number
  readonly component: string
  readonly signal: AbortSignal
  pod(key: string): OwnPod | undefined
  /** Binds go before words. */
  isBusy(): boolean
}

export function createReporter(deps: ReporterDeps): Reporter {
  const { ports, counts, troubles, signal } = deps
  const { clock, log } = ports
  const told = new Map<string, Told>()
  const wanted = new Map<string, Word>()
  const from = { component: deps.component, instance: deps.instance }

  // As many at once as binds, or events of a thousand binds would be written when nobody looks any more.
  const events = createLane<Parameters<typeof eventOf>>(
    () => deps.parallelEvents,
    async (args) => {
      if (!ports.mayWrite()) return
      try {
        await ports.cluster.create(eventOf(...args), {}, signal)
        counts.eventsWritten++
        troubles.writes('event', null)
      } catch (error) {
        // Whatever it is: an event is not worth a second try.
        if (signal.aborted) return
        const fault = asFault(error)
        troubles.writes('event', fault)
        log.debug({ reason: fault.reason }, 'an event was not written')
      }
    },
  )
  const statuses = createLane<string>(
    () => (deps.isBusy() ? 1 : PARALLEL),
    async (key) => {
      const word = wanted.get(key)
      wanted.delete(key)
      const pod = deps.pod(key)
      if (word === undefined || pod === undefined || pod.node !== '' || !ports.mayWrite()) return
      const nowMs = clock.nowMs()
      const patch = statusPatch(pod, word, nowMs)
      const last = told.get(key)
      const isNews = last === undefined || last.uid !== pod.uid || last.kind !== word.kind
      const atMs = clock.monotonicMs()
      try {
        if (patch !== null) {
          await ports.cluster.subresource(POD, refTo(pod), 'status', patch, signal)
          counts.conditionsWritten++
          troubles.writes('condition', null)
        }
      } catch (error) {
        // It changed meanwhile, or is gone: the next look says it again if it still holds.
        if (signal.aborted) return
        const fault = asFault(error)
        troubles.writes('condition', fault)
        log.debug({ pod: key, reason: fault.reason }, 'a condition was not written')
        return
      }
      const eventDue = isNews ? patch !== null : atMs - last.eventAtMs >= EVENT_AGAIN_MS
      told.set(key, {
        uid: pod.uid,
        kind: word.kind,
        message: word.message,
        atMs,
        eventAtMs: eventDue ? atMs : (last?.eventAtMs ?? atMs),
      })
      const said = { type: 'Warning', reason: 'FailedScheduling', action: 'Scheduling', message: word.message } as const
      if (eventDue) events.add([pod, said, from, nowMs])
    },
  )

  function isDue(key: string, word: Word): boolean {
    const pod = deps.pod(key)
    if (pod === undefined || pod.node !== '') return false
    if (pod.nominated !== word.nominated) return true
    const last = told.get(key)
    const atMs = clock.monotonicMs()
    // After a restart, what stands in the pod was told.
    if (last === undefined || last.uid !== pod.uid) {
      if (toldOf(pod) !== `${word.reason}: ${word.message}`) return true
      told.set(key, { uid: pod.uid, kind: word.kind, message: word.message, atMs, eventAtMs: atMs })
      return false
    }
    if (atMs - last.eventAtMs >= EVENT_AGAIN_MS) return true
    return last.message !== word.message && (last.kind !== word.kind || atMs - last.atMs >= DRIFT_MS)
  }

  return {
    say(words) {
      for (const [key, word] of words) {
        if (!isDue(key, word)) continue
        const isNew = !wanted.has(key)
        wanted.set(key, word)
        if (isNew) statuses.add(key)
      }
    },
    assigned(pod, node) {
      told.delete(`${pod.namespace}/${pod.name}`)
      const message = `Successfully assigned ${pod.namespace}/${pod.name} to ${node}`
      events.add([pod, { type: 'Normal', reason: 'Scheduled', action: 'Binding', message }, from, clock.nowMs()])
    },
    preempted(pod, by, node) {
      const message = `Preempted by pod ${by} on node ${node}`
      events.add([pod, { type: 'Normal', reason: 'Preempted', action: 'Preempting', message }, from, clock.nowMs()])
    },
    forget: (key) => void told.delete(key),
    get size() {
      return events.size + statuses.size
    },
  }
}

/** Null where the pod says so already. Counts only for the version that was read. */
function statusPatch(pod: OwnPod, word: Word, nowMs: number): JsonObject | null {
  const says = toldOf(pod) === `${word.reason}: ${word.message}`
  if (says && pod.nominated === word.nominated) return null
  const before = pod.conditions.find((one): one is JsonObject => isObject(one) && one['type'] === 'PodScheduled')
  const now = new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z')
  const since = before?.['status'] === 'False' ? (before['lastTransitionTime'] ?? now) : now
  const condition: JsonObject = {
    type: 'PodScheduled',
    status: 'False',
    reason: word.reason,
    message: word.message,
    lastProbeTime: null,
    lastTransitionTime: since,
  }
  const conditions: Json[] = [...pod.conditions.filter((one) => one !== before), condition]
  return {
    metadata: { resourceVersion: pod.version },
    status: {
      conditions,
      ...(pod.nominated === word.nominated ? {} : { nominatedNodeName: word.nominated === '' ? null : word.nominated }),
    },
  }
}
