/** Decorrelated exponential backoff with full jitter (PROTOCOL.md, Backoff and storms). */
export const BACKOFF_MIN_MS = 1_000
export const BACKOFF_MAX_MS = 300_000

/** The wait after one of `previousMs` (0: the first), never below what the other side asked for. `random`: uniform in [0, 1). */
export function nextBackoffMs(previousMs: number, random: number, retryAfterMs = 0): number {
  const ceiling = Math.min(BACKOFF_MAX_MS, Math.max(BACKOFF_MIN_MS, previousMs * 3))
  const waitMs = BACKOFF_MIN_MS + random * (ceiling - BACKOFF_MIN_MS)
  // Asked to wait: everybody was asked the same, so come back spread out.
  return retryAfterMs > waitMs ? retryAfterMs + random * BACKOFF_MIN_MS : waitMs
}
