/**
 * The scheduler of a site. While no pod names it, it holds one small watch and nothing else; with the first pod it reads the cluster
 * and decides, and goes back to that watch when there was nothing for long.
 */
import { asFault } from '../../core/model/fault.ts'
import { nextBackoffMs } from '../../runtime/backoff.ts'
import { createBell } from '../../runtime/bell.ts'
import { openFeed } from './feed.ts'
import { ownPods } from './kinds.ts'
import { SCHEDULING_DEFAULTS, type SchedulingOptions, type SchedulingPorts, type SchedulingRoom } from './ports.ts'
import { runSession, type SessionState } from './session.ts'
import { createTroubles } from '../room-trouble.ts'
import { wordsOf } from './words.ts'

/** How often a standby asks whether the site is its own by now. */
const STANDBY_MS = 1_000

export function createSchedulingRoom(
  ports: SchedulingPorts,
  given: Partial<SchedulingOptions> & { readonly seed: string },
): SchedulingRoom {
  const options: SchedulingOptions = { ...SCHEDULING_DEFAULTS, ...given }
  const { clock, log } = ports
  const state: SessionState = {
    counts: {
      cycles: 0,
      cycleMsTotal: 0,
      cycleMsMost: 0,
      bound: 0,
      bindsFailed: 0,
      evicted: 0,
      evictionsRefused: 0,
      eventsWritten: 0,
      conditionsWritten: 0,
      restarts: 0,
      pendingPods: 0,
      bindingPods: 0,
    },
    troubles: createTroubles(() => ports.onTrouble?.()),
    nodes: 0,
    waiting: new Map(),
    expected: new Map(),
  }

  /** Until there is a pod of ours. */
  async function sentinel(signal: AbortSignal): Promise<void> {
    const bell = createBell()
    const found = { some: false }
    const feed = openFeed(
      ports,
      ownPods(options.schedulerName),
      (seen) => {
        found.some ||= seen.some(({ is }) => is === 'here')
        bell.ring()
      },
      () => bell.ring(),
    )
    const wake = (): void => bell.ring()
    signal.addEventListener('abort', wake, { once: true })
    try {
      while (!found.some && !signal.aborted) {
        state.troubles.reads(feed.fault())
        await bell.heard()
      }
    } finally {
      signal.removeEventListener('abort', wake)
      feed.stop()
    }
  }

  return {
    async run(signal) {
      let backoffMs = 0
      while (!signal.aborted) {
        if (!ports.mayWrite()) {
          state.troubles.calm()
          await clock.sleep(STANDBY_MS, signal).catch(() => undefined)
          continue
        }
        await sentinel(signal)
        if (signal.aborted) return
        const startMs = clock.monotonicMs()
        try {
          await runSession(ports, options, state, signal)
          backoffMs = 0
        } catch (error) {
          const fault = asFault(error)
          state.counts.restarts++
          state.troubles.reads(fault)
          log.error({ reason: fault.reason, because: fault.message, stack: fault.stack }, 'the scheduler begins anew')
          if (clock.monotonicMs() - startMs > 60_000) backoffMs = 0
          backoffMs = nextBackoffMs(backoffMs, ports.random(), fault.retryAfterMs)
          await clock.sleep(backoffMs, signal).catch(() => undefined)
        }
      }
    },
    placement: {
      waiting(job) {
        const waiting = state.waiting.get(job)
        if (waiting === undefined) return undefined
        const { kind, queue, classReasons } = waiting
        return {
          kind,
          message: wordsOf(waiting, state.nodes),
          refusals: classReasons.map(({ refusal }) => refusal),
          ...(queue === undefined ? {} : { resource: queue.resource }),
        }
      },
      expectedMs: (job) => state.expected.get(job),
    },
    counts: () => state.counts,
    trouble: () => state.troubles.now(),
  }
}
