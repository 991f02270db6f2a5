/** What failed and when it is worth another try; what was corrected so often that somebody else must be fighting it. In memory. */
import type { Difference } from '../core/diff/types.ts'
import { differencesDigest } from '../core/diff/drift.ts'
import type { Fault, FaultReason } from '../core/model/fault.ts'
import { nextBackoffMs } from '../runtime/backoff.ts'

/** A refusal stands until what we ask for changes; the world may change too, so it is asked again now and then. */
export const REFUSED_RETRY_MS = 600_000
/** So many corrections of the same fields within the window mean that another writes them back. */
export const FIGHT_CORRECTIONS = 5
export const FIGHT_WINDOW_MS = 600_000
/** How long a fight is left alone. */
export const TRUCE_MS = 3_600_000

export interface Attempt {
  readonly reason: FaultReason
  readonly message: string
  /** What was tried: another digest is another attempt. */
  readonly digest: string
  readonly waitMs: number
  readonly untilMs: number
  /** It needs another desired state, or another world. */
  readonly refused: boolean
}

export interface Attempts {
  /** The failure that still stands, monotonic ms. */
  held(key: string, digest: string, nowMs: number): Attempt | undefined
  last(key: string): Attempt | undefined
  failed(key: string, digest: string, fault: Fault, nowMs: number): void
  succeeded(key: string): void
  corrected(key: string, differences: readonly Difference[], nowMs: number): void
  fought(key: string, differences: readonly Difference[], nowMs: number): boolean
  /** When the next one that waits may be tried. */
  nextAtMs(nowMs: number): number | undefined
  keep(keys: (key: string) => boolean): void
}

interface Fight {
  readonly digest: string
  readonly count: number
  readonly sinceMs: number
  readonly lastMs: number
}

export function createAttempts(random: () => number): Attempts {
  const attempts = new Map<string, Attempt>()
  const fights = new Map<string, Fight>()
  return {
    held: (key, digest, nowMs) => {
      const attempt = attempts.get(key)
      return attempt !== undefined && attempt.digest === digest && attempt.untilMs > nowMs ? attempt : undefined
    },
    last: (key) => attempts.get(key),
    failed: (key, digest, fault, nowMs) => {
      const before = attempts.get(key)
      const refused = fault.retry === 'on-change'
      // A conflict is settled by reading again, which was done: the first retry is at once.
      const first = fault.reason === 'Conflict' && before?.digest !== digest
      const previousMs = before?.digest === digest ? before.waitMs : 0
      const waitMs = refused ? REFUSED_RETRY_MS : first ? 0 : nextBackoffMs(previousMs, random(), fault.retryAfterMs)
      const { reason, message } = fault
      attempts.set(key, { reason, message, digest, waitMs, untilMs: nowMs + waitMs, refused })
    },
    succeeded: (key) => {
      attempts.delete(key)
    },
    corrected: (key, differences, nowMs) => {
      const digest = differencesDigest(differences)
      const before = fights.get(key)
      const again = before?.digest === digest && nowMs - before.sinceMs < FIGHT_WINDOW_MS
      fights.set(key, {
        digest,
        count: again ? before.count + 1 : 1,
        sinceMs: again ? before.sinceMs : nowMs,
        lastMs: nowMs,
      })
    },
    fought: (key, differences, nowMs) => {
      const fight = fights.get(key)
      if (fight === undefined || fight.count < FIGHT_CORRECTIONS || nowMs - fight.lastMs > TRUCE_MS) return false
      return fight.digest === differencesDigest(differences)
    },
    nextAtMs: (nowMs) => {
      let next: number | undefined
      for (const { untilMs } of attempts.values()) {
        if (untilMs > nowMs && (next === undefined || untilMs < next)) next = untilMs
      }
      return next
    },
    keep: (keys) => {
      for (const map of [attempts, fights]) for (const key of map.keys()) if (!keys(key)) map.delete(key)
    },
  }
}
