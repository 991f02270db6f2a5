/** Whether this hub may say what time it is. A wrong time that was signed is dear to take back: only the root can. */
import { Fault } from '../core/model/fault.ts'

/** Clock discipline corrects within this; more is another clock. */
const BACKSTEP_MS = 60_000
/** Sites whose clocks are kept for the median, and how many of them decide. */
const KEPT_SITES = 64
const DECIDE_SITES = 3

export interface ClockGuardOptions {
  /** The latest time this hub is known to have lived through; null on a first start. */
  readonly floorMs: number | null
  /** How far from the sites' median or from the last known time is still believable; null: not judged (a demo's faster clock). */
  readonly maxSkewMs: number | null
  /** Sites that can bear witness at all. */
  readonly witnesses: () => number
}

export class ClockGuard {
  readonly #options: ClockGuardOptions
  readonly #skews = new Map<string, number>()
  #floorMs: number | null

  constructor(options: ClockGuardOptions) {
    this.#options = options
    this.#floorMs = options.floorMs
  }

  /** The latest time that was believed: what is written down for the next start. */
  get floorMs(): number | null {
    return this.#floorMs
  }

  witness(site: string, siteMs: number, nowMs: number): void {
    this.#skews.delete(site)
    this.#skews.set(site, siteMs - nowMs)
    const oldest = this.#skews.keys().next().value
    if (this.#skews.size > KEPT_SITES && oldest !== undefined) this.#skews.delete(oldest)
  }

  /** Why this time is not believed; undefined: it is. */
  doubt(nowMs: number): string | undefined {
    const { maxSkewMs } = this.#options
    const floorMs = this.#floorMs
    if (floorMs !== null && nowMs < floorMs - BACKSTEP_MS)
      return `it shows ${iso(nowMs)}, and this hub has lived through ${iso(floorMs)}`
    if (maxSkewMs === null) return undefined
    if (this.#skews.size >= DECIDE_SITES) {
      const median = this.#median()
      if (Math.abs(median) > maxSkewMs)
        return `it is ${Math.round(Math.abs(median) / 1000)} s ${median > 0 ? 'behind' : 'ahead of'} the median of ${this.#skews.size} sites`
      return undefined
    }
    // A hub that was off for long is believed once its sites agree; a small fleet has few of them.
    const jumped = floorMs !== null && nowMs > floorMs + maxSkewMs
    if (jumped && (this.#skews.size < this.#options.witnesses() || Math.abs(this.#median()) > maxSkewMs))
      return `it jumped from ${iso(floorMs)} to ${iso(nowMs)}, and not enough sites agree`
    return undefined
  }

  /** Fault HubClock. */
  trusted(nowMs: number): number {
    const doubt = this.doubt(nowMs)
    if (doubt !== undefined) throw new Fault('HubClock', `the hub does not trust its clock: ${doubt}`)
    this.#floorMs = Math.max(this.#floorMs ?? nowMs, nowMs)
    return nowMs
  }

  #median(): number {
    const sorted = [...this.#skews.values()].sort((a, b) => a - b)
    return sorted[Math.floor(sorted.length / 2)] ?? 0
  }
}

const iso = (ms: number): string => new Date(ms).toISOString()
