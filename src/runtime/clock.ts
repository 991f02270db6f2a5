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

/** A clock that runs `factor` times as fast as another: the demo keeps real soaks and approvals and does not wait for them. */
export function scaledClock(base: Clock, factor: number): Clock {
  const wall = base.nowMs()
  const mono = base.monotonicMs()
  return {
    nowMs: () => Math.floor(wall + (base.nowMs() - wall) * factor),
    monotonicMs: () => Math.floor(mono + (base.monotonicMs() - mono) * factor),
    sleep: (ms, signal) => base.sleep(ms / factor, signal),
  }
}
