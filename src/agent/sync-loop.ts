/** When to talk to the hub: when it expects us, sooner with news, and after a failure with growing, spread-out patience. */
import { asFault } from '../core/model/fault.ts'
import { nextBackoffMs } from './backoff.ts'
import type { SyncDeps, SyncSite } from './sync.ts'
import { setCondition } from './turn-state.ts'

/** A site that is called less often than this pays for each call: news wait for the next one. */
const CONNECTED_DUE_MS = 120_000
const MIN_DUE_MS = 100

export interface Bell {
  ring(): void
  /** Resolves at the next ring, or at once where it rang meanwhile. */
  heard(): Promise<void>
}

export function createBell(): Bell {
  let rung = false
  let waiter = Promise.withResolvers<void>()
  return {
    ring: () => {
      rung = true
      waiter.resolve()
    },
    heard: async () => {
      if (!rung) await waiter.promise
      rung = false
      waiter = Promise.withResolvers<void>()
    },
  }
}

/** Runs until the signal aborts. `news` rings when an observation changed. */
export async function syncLoop(site: SyncSite, deps: SyncDeps, news: Bell, signal: AbortSignal): Promise<void> {
  const { ports, state, options, outbox } = deps
  const { clock, log } = ports
  let backoffMs = 0
  while (!signal.aborted) {
    let waitMs: number
    let connected = false
    try {
      const { nextDueMs } = await site.exchange(signal)
      backoffMs = 0
      waitMs = Math.max(MIN_DUE_MS, Math.min(nextDueMs, options.pollMs ?? Infinity))
      connected = waitMs <= CONNECTED_DUE_MS
    } catch (error) {
      if (signal.aborted) return
      const fault = asFault(error)
      state.counts.syncFailures += 1
      setCondition(state, fault.reason.startsWith('Store') ? 'Store' : 'Link', fault, clock.nowMs())
      log.debug({ reason: fault.reason, because: fault.message }, 'no exchange with the hub')
      backoffMs = nextBackoffMs(backoffMs, ports.random(), fault.retryAfterMs)
      waitMs = backoffMs
    }
    const startedMs = clock.monotonicMs()
    if (connected && waitMs > options.newsAfterMs) {
      await pause(clock, options.newsAfterMs, signal)
      const leftMs = waitMs - (clock.monotonicMs() - startedMs)
      if (leftMs > 0 && !outbox.hasNews(state.observations)) await sleepOrBell(deps, leftMs, news, signal)
    } else await pause(clock, waitMs, signal)
  }
}

async function pause(clock: SyncDeps['ports']['clock'], ms: number, signal: AbortSignal): Promise<void> {
  await clock.sleep(ms, signal).catch(() => undefined)
}

/** Bells without news are slept through. */
async function sleepOrBell(deps: SyncDeps, ms: number, news: Bell, signal: AbortSignal): Promise<void> {
  const { clock } = deps.ports
  const endMs = clock.monotonicMs() + ms
  while (!signal.aborted && clock.monotonicMs() < endMs) {
    const timer = new AbortController()
    const slept = pause(clock, endMs - clock.monotonicMs(), AbortSignal.any([signal, timer.signal]))
    await Promise.race([slept, news.heard()])
    timer.abort()
    if (deps.outbox.hasNews(deps.state.observations)) return
  }
}
