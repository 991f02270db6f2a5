/** Who may have an exchange now, and how long the others are told to wait: spread over what was turned away lately. */

export interface AdmissionLimits {
  readonly exchanges: number
  readonly ratePerKey: number
  readonly burstPerKey: number
  readonly retryAfterMaxMs: number
}

export type Admitted =
  | { readonly admitted: true; release(): void }
  | { readonly admitted: false; readonly retryAfterMs: number }

export interface Admission {
  /** One key's own rate. */
  mayAsk(key: string): Admitted
  /** A place among the exchanges in progress. */
  enter(): Admitted
  readonly inProgress: number
  readonly shed: number
}

const MIN_SPREAD_MS = 2_000
/** Half of what was counted is forgotten in this time. */
const HALF_LIFE_MS = 5_000
/** Buckets of keys that were quiet long enough to be full again are dropped beyond this number. */
const MAX_BUCKETS = 20_000

/** `nowMs` is monotonic; `random` is uniform in [0, 1). */
export function admission(limits: AdmissionLimits, nowMs: () => number, random: () => number): Admission {
  const buckets = new Map<string, { tokens: number; atMs: number }>()
  const recent = { shed: 0, served: 0, atMs: nowMs() }
  let inProgress = 0
  let shed = 0

  const turnAway = (): Admitted => {
    shed++
    const now = nowMs()
    const fade = 0.5 ** ((now - recent.atMs) / HALF_LIFE_MS)
    recent.shed = recent.shed * fade + 1
    recent.served *= fade
    recent.atMs = now
    // As many as were shed come back at the pace at which we serve.
    const spreadMs = (HALF_LIFE_MS * recent.shed) / Math.max(1, recent.served)
    const bounded = Math.min(limits.retryAfterMaxMs - 1_000, Math.max(MIN_SPREAD_MS, spreadMs))
    return { admitted: false, retryAfterMs: 1_000 + random() * bounded }
  }
  const forgetFull = (now: number): void => {
    const fullAfterMs = (limits.burstPerKey / limits.ratePerKey) * 1_000
    for (const [key, bucket] of buckets) if (now - bucket.atMs > fullAfterMs) buckets.delete(key)
  }
  return {
    mayAsk(key) {
      const now = nowMs()
      if (buckets.size > MAX_BUCKETS) forgetFull(now)
      const bucket = buckets.get(key) ?? { tokens: limits.burstPerKey, atMs: now }
      const grown = bucket.tokens + ((now - bucket.atMs) * limits.ratePerKey) / 1_000
      bucket.tokens = Math.min(limits.burstPerKey, grown)
      bucket.atMs = now
      buckets.set(key, bucket)
      if (bucket.tokens < 1) return turnAway()
      bucket.tokens--
      return { admitted: true, release() {} }
    },
    enter() {
      if (inProgress >= limits.exchanges) return turnAway()
      inProgress++
      recent.served++
      let held = true
      return {
        admitted: true,
        release() {
          if (held) inProgress--
          held = false
        },
      }
    },
    get inProgress() {
      return inProgress
    },
    get shed() {
      return shed
    },
  }
}
