/** Ends what was started, last first, within a time. */
import type { Logger } from './logger.ts'

/** A process that is told to stop has this long before the cluster kills it. */
export const DRAIN_MS = 10_000

/** Waits for `work`, and no longer than `ms`. */
export async function within(ms: number, work: Promise<unknown>, log: Logger, what: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), ms)
  })
  try {
    const outcome = await Promise.race([work.then(() => 'done' as const), late])
    if (outcome === 'late') log.warn({ what, ms }, 'did not end in time')
  } catch (error) {
    log.warn({ what, err: error }, 'failed while ending')
  } finally {
    clearTimeout(timer)
  }
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
