import type { Clock } from '../runtime/clock.ts'

interface Sleeper {
  readonly dueMs: number
  readonly seq: number
  wake(): void
}

/** A clock that stands still until it is told: `advance` runs what falls due, in order of (time, when it was asked for). */
export class VirtualClock implements Clock {
  #monotonicMs = 0
  #wallOffsetMs: number
  #seq = 0
  readonly #sleepers: Sleeper[] = []

  /** `startMs`: wall clock at the start, ms since 1970. */
  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#wallOffsetMs = startMs
  }

  nowMs(): number {
    return this.#wallOffsetMs + this.#monotonicMs
  }

  monotonicMs(): number {
    return this.#monotonicMs
  }

  /** Moves the wall clock only, as an operator or a wrong NTP server would. */
  jump(ms: number): void {
    this.#wallOffsetMs += ms
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error)
      const stop = (): void => {
        this.#remove(sleeper)
        reject(signal.reason as Error)
      }
      const sleeper: Sleeper = {
        dueMs: this.#monotonicMs + Math.max(0, ms),
        seq: this.#seq++,
        wake: () => {
          signal.removeEventListener('abort', stop)
          resolve()
        },
      }
      signal.addEventListener('abort', stop, { once: true })
      this.#insert(sleeper)
    })
  }

  /** When the next sleeper wakes, in monotonic ms; undefined: nobody sleeps. */
  get nextDueMs(): number | undefined {
    return this.#sleepers[0]?.dueMs
  }

  /** Lets time pass; everything that wakes runs until it waits again before the next one wakes. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#monotonicMs + ms
    await settle()
    for (;;) {
      const first = this.#sleepers[0]
      if (first === undefined || first.dueMs > untilMs) break
      this.#sleepers.shift()
      this.#monotonicMs = Math.max(this.#monotonicMs, first.dueMs)
      first.wake()
      await settle()
    }
    this.#monotonicMs = untilMs
  }

  /** Goes from wake to wake until `done` holds. Returns false where `limitMs` passed first or nobody sleeps. */
  async runUntil(done: () => boolean, limitMs: number): Promise<boolean> {
    const endMs = this.#monotonicMs + limitMs
    await settle()
    while (!done()) {
      const dueMs = this.nextDueMs
      if (dueMs === undefined || dueMs > endMs) return false
      await this.advance(dueMs - this.#monotonicMs)
    }
    return true
  }

  #insert(sleeper: Sleeper): void {
    let low = 0
    let high = this.#sleepers.length
    while (low < high) {
      const mid = (low + high) >> 1
      const other = this.#sleepers[mid] as Sleeper
      if (other.dueMs < sleeper.dueMs || (other.dueMs === sleeper.dueMs && other.seq < sleeper.seq)) low = mid + 1
      else high = mid
    }
    this.#sleepers.splice(low, 0, sleeper)
  }

  #remove(sleeper: Sleeper): void {
    const at = this.#sleepers.indexOf(sleeper)
    if (at >= 0) this.#sleepers.splice(at, 1)
  }
}

/** One turn of the event loop runs every promise that can go on. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
