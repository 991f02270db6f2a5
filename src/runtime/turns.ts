/** A loop of turns, one after the other: rest until something changed or the next is due, and after a fault with growing patience. */
import { asFault, type Fault } from '../core/model/fault.ts'
import { nextBackoffMs } from './backoff.ts'
import type { Bell } from './bell.ts'
import type { Clock } from './clock.ts'
import type { Logger } from './logger.ts'

export interface Turns {
  readonly clock: Clock
  readonly log: Logger
  /** Uniform in [0, 1). */
  random(): number
  /** What is logged of one that failed. */
  readonly failure: string
  /** Ms until the next is due by itself. */
  turn(signal: AbortSignal): Promise<{ readonly nextMs: number }>
  readonly changed: Pick<Bell, 'heard'>
  /** Another turn comes at least so often, whatever was heard. */
  readonly mostRestMs: number
  /** So long a burst of changes is gathered into one turn. */
  readonly debounceMs: number
  failed?(fault: Fault): void
  /** After each turn, failed or not: ms within which the next has to come. */
  after?(): number
  /** By how many ms the rest was longer than meant. */
  rested?(overMs: number): void
}

/** Until the signal aborts. What a turn throws is met here. */
export async function runTurns(turns: Turns, signal: AbortSignal): Promise<void> {
  const { clock, log } = turns
  let backoffMs = 0
  while (!signal.aborted) {
    let nextMs: number
    try {
      nextMs = (await turns.turn(signal)).nextMs
      backoffMs = 0
    } catch (error) {
      if (signal.aborted) return
      const fault = asFault(error)
      log.warn({ reason: fault.reason, because: fault.message }, turns.failure)
      turns.failed?.(fault)
      backoffMs = nextBackoffMs(backoffMs, turns.random(), fault.retryAfterMs)
      nextMs = backoffMs
    }
    const restMs = Math.max(0, Math.min(nextMs, turns.after?.() ?? Infinity, turns.mostRestMs))
    const startMs = clock.monotonicMs()
    await restUntilHeard(clock, restMs, turns.changed, signal)
    if (signal.aborted) return
    await clock.sleep(turns.debounceMs, signal).catch(() => undefined)
    turns.rested?.(clock.monotonicMs() - startMs - restMs - turns.debounceMs)
  }
}

/** Until the time is up, the bell rings, or the signal aborts. */
export async function restUntilHeard(
  clock: Clock,
  ms: number,
  bell: Pick<Bell, 'heard'>,
  signal: AbortSignal,
): Promise<void> {
  const timer = new AbortController()
  const slept = clock.sleep(Math.max(0, ms), AbortSignal.any([signal, timer.signal])).catch(() => undefined)
  await Promise.race([slept, bell.heard()])
  timer.abort()
}
