/** Time as data, whole milliseconds. `nowMs` may jump (wall clock); `monotonicMs` never goes back and is what waits and soaks are measured by. */
export interface Clock {
  nowMs(): number
  monotonicMs(): number
  /** Resolves after `ms`, rejects with the signal's reason when it aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => Math.floor(performance.now()),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error)
      const stop = (): void => {
        clearTimeout(timer)
        reject(signal.reason as Error)
      }
      const timer = setTimeout(() => {
        signal.removeEventListener('abort', stop)
        resolve()
      }, ms)
      signal.addEventListener('abort', stop, { once: true })
    }),
}

/**
 * A clock that runs `factor` times as fast, in steps of `tickMs` real ms, and only while this process keeps up: a step is taken
 * when the event loop gets to it, and steps that were missed are not made up for. So a deadline of the fast time never passes
 * because the machine was busy.
 */
export function pacedClock(factor: number, tickMs: number, startMs: number): Clock & Disposable {
  const step = tickMs * factor
  const sleepers = new Map<number, Set<() => void>>()
  let ticks = 0
  const timer = setInterval(() => {
    ticks++
    const due = sleepers.get(ticks)
    sleepers.delete(ticks)
    if (due !== undefined) for (const wake of due) wake()
  }, tickMs)
  return {
    nowMs: () => Math.floor(startMs + ticks * step),
    monotonicMs: () => Math.floor(ticks * step),
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason as Error)
        const at = ticks + Math.max(1, Math.ceil(ms / step))
        const sleeping = sleepers.get(at) ?? new Set()
        sleepers.set(at, sleeping)
        const stop = (): void => {
          sleeping.delete(wake)
          if (sleeping.size === 0) sleepers.delete(at)
          reject(signal.reason as Error)
        }
        const wake = (): void => {
          signal.removeEventListener('abort', stop)
          resolve()
        }
        sleeping.add(wake)
        signal.addEventListener('abort', stop, { once: true })
      }),
    [Symbol.dispose]: () => clearInterval(timer),
  }
}
