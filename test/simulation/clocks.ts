/** One machine's wall clock over the time that passes for all; whoever waits by it waits longer while the machine is frozen. */
import type { Clock } from '../../src/runtime/clock.ts'

export class SkewedClock implements Clock {
  skewMs = 0
  readonly #base: Clock
  #thaw: Promise<void> | undefined

  constructor(base: Clock) {
    this.#base = base
  }

  nowMs(): number {
    return Math.floor(this.#base.nowMs() + this.skewMs)
  }

  monotonicMs(): number {
    return Math.floor(this.#base.monotonicMs())
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    await this.#base.sleep(ms, signal)
    await this.thawed(signal)
    signal.throwIfAborted()
  }

  /** As a cgroup's freezer does: time passes, and nothing of the process goes on. */
  freeze(ms: number): void {
    this.#thaw ??= this.#base.sleep(ms, new AbortController().signal).finally(() => {
      this.#thaw = undefined
    })
  }

  /** Once the machine goes on, or at the signal: a frozen process can be killed. */
  async thawed(signal: AbortSignal): Promise<void> {
    if (this.#thaw === undefined || signal.aborted) return
    const ended = Promise.withResolvers<void>()
    const end = (): void => ended.resolve()
    signal.addEventListener('abort', end, { once: true })
    await Promise.race([this.#thaw, ended.promise])
    signal.removeEventListener('abort', end)
  }
}
