/** When to talk to the hub: when it expects us, sooner with news, and after a failure with growing, spread-out patience. */
import { asFault } from '../core/model/fault.ts'
import type { Resting } from '../core/protocol/ports.ts'
import type { Bell } from '../runtime/bell.ts'
import { nextBackoffMs } from '../runtime/backoff.ts'
import type { SyncDeps, SyncSite } from './sync.ts'
import { setCondition } from './turn-state.ts'

/** A site that is called less often than this pays for each call: news wait for the next one. */
const CONNECTED_DUE_MS = 120_000
const MIN_DUE_MS = 100

/** Runs until the signal aborts. `news` rings when an observation changed. */
export async function syncLoop(site: SyncSite, deps: SyncDeps, news: Bell, signal: AbortSignal): Promise<void> {
  const { ports, state, options, link } = deps
  const { clock, log } = ports
  let backoffMs = 0
  /** Since when no exchange came about. */
  let downSinceMs: number | undefined
  const call = { heard: false }
  const nudged = (): void => {
    call.heard = true
    news.ring()
  }
  while (!signal.aborted) {
    let waitMs: number
    let connected = false
    let callWithinMs = (): number => Infinity
    // Whoever calls from now on may mean what this exchange does not bring any more.
    call.heard = false
    try {
      const { nextDueMs } = await site.exchange(signal)
      backoffMs = 0
      downSinceMs = undefined
      waitMs = Math.max(MIN_DUE_MS, Math.min(nextDueMs, options.pollMs ?? Infinity))
      connected = waitMs <= CONNECTED_DUE_MS
      // Somebody waits for an answer; not so much that a hub that is away is called without patience.
      callWithinMs = () => deps.asks.callWithinMs()
      void link.rest?.(waitMs, nudged).then(
        (resting) => noteResting(deps, resting),
        () => undefined,
      )
    } catch (error) {
      if (signal.aborted) return
      const fault = asFault(error)
      state.counts.syncFailures += 1
      setCondition(state, fault.reason.startsWith('Store') ? 'Store' : 'Link', fault, clock.nowMs())
      log.debug({ reason: fault.reason, because: fault.message }, 'no exchange with the hub')
      // Whoever must know whether it is heard goes on asking, and is not left waiting once it is.
      const patienceMs = deps.uplink.callWithinMs() < Infinity ? 0 : backoffMs
      downSinceMs ??= clock.monotonicMs()
      backoffMs = nextBackoffMs(patienceMs, ports.random(), fault.retryAfterMs, clock.monotonicMs() - downSinceMs)
      waitMs = backoffMs
    }
    await restUntil(deps, { waitMs, callWithinMs }, call, connected ? news : null, signal)
  }
}

function noteResting({ ports, state }: SyncDeps, resting: Resting): void {
  if (state.resting?.by !== resting.by) {
    const because = resting.by === 'polling' ? resting.because : 'the hub can call this site'
    ports.log.info({ by: resting.by, because }, 'waits for the next exchange')
  }
  state.resting = resting
}

async function pause(clock: SyncDeps['ports']['clock'], ms: number, signal: AbortSignal): Promise<void> {
  await clock.sleep(ms, signal).catch(() => undefined)
}

/**
 * Until the time is up, the hub calls, or, a while after the last exchange, there is news. Bells without any of these are slept
 * through. `news` null: a site that pays for each call, which only calls sooner where it must know whether it is heard.
 */
async function restUntil(
  deps: SyncDeps,
  { waitMs, callWithinMs }: { readonly waitMs: number; readonly callWithinMs: () => number },
  call: { readonly heard: boolean },
  news: Bell | null,
  signal: AbortSignal,
): Promise<void> {
  const { ports, outbox, state, options, urgent, uplink } = deps
  const { clock } = ports
  const startMs = clock.monotonicMs()
  const mayTellMs = startMs + options.newsAfterMs
  const called = (): boolean => news !== null && call.heard
  while (!signal.aborted && !called()) {
    const nowMs = clock.monotonicMs()
    const endMs = startMs + Math.min(waitMs, uplink.callWithinMs(), callWithinMs())
    const hasNews = news !== null && nowMs >= mayTellMs && outbox.hasNews(state.observations)
    if (nowMs >= endMs || hasNews) return
    const untilMs = news !== null && nowMs < mayTellMs ? Math.min(mayTellMs, endMs) : endMs
    const timer = new AbortController()
    const slept = pause(clock, untilMs - nowMs, AbortSignal.any([signal, timer.signal]))
    await Promise.race([slept, urgent.heard(), ...(news === null ? [] : [news.heard()])])
    timer.abort()
  }
}
