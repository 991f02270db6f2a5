/** Decorrelated exponential backoff with full jitter (PROTOCOL.md, Backoff and storms). */
export const BACKOFF_MIN_MS = 1_000
export const BACKOFF_MAX_MS = 300_000

/** Up to here it grows whatever the outage's age. */
const EARLY_MS = 10_000

/**
 * The wait after one of `previousMs` (0: the first), never below what the other side asked for. `random`: uniform in [0, 1).
 * `downMs`, how long it has been in vain: a wait is no longer than that, so that whoever was away for a minute is found within the next.
 */
export function nextBackoffMs(previousMs: number, random: number, retryAfterMs = 0, downMs = Infinity): number {
  const grown = Math.min(previousMs * 3, Math.max(EARLY_MS, downMs))
  const ceiling = Math.min(BACKOFF_MAX_MS, Math.max(BACKOFF_MIN_MS, grown))
  const waitMs = BACKOFF_MIN_MS + random * (ceiling - BACKOFF_MIN_MS)
  // Asked to wait: everybody was asked the same, so come back spread out.
  return retryAfterMs > waitMs ? retryAfterMs + random * BACKOFF_MIN_MS : waitMs
}
