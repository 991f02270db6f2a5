import type { Clock } from '../runtime/clock.ts'

/** Wakes one loop: rings before it waits are kept, many rings are one. */
export class Bell {
  #rung = false
  #wake: (() => void) | undefined

  ring(): void {
    this.#rung = true
    this.#wake?.()
  }

  /** Until it rings, or `ms` have passed (null: only a ring). Rejects with the signal's reason. */
  async wait(ms: number | null, clock: Clock, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (!this.#rung) {
      const rung = new AbortController()
      this.#wake = () => rung.abort()
      const until = AbortSignal.any([signal, rung.signal])
      try {
        if (ms === null) await new Promise<void>((_, reject) => until.addEventListener('abort', reject, { once: true }))
        else await clock.sleep(ms, until)
      } catch (error) {
        if (signal.aborted) throw signal.reason
        if (!rung.signal.aborted) throw error
      } finally {
        this.#wake = undefined
      }
    }
    this.#rung = false
  }
}
