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
  /** How far a site's clock was from ours, and when that was by ours. */
  readonly #skews = new Map<string, { readonly skewMs: number; readonly atMs: number }>()
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
    this.#skews.set(site, { skewMs: siteMs - nowMs, atMs: nowMs })
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
    // What was witnessed before this clock jumped says nothing of where it is now.
    const skews = [...this.#skews.values()].filter(({ atMs }) => Math.abs(nowMs - atMs) <= maxSkewMs)
    const median = medianOf(skews.map(({ skewMs }) => skewMs))
    if (skews.length >= DECIDE_SITES) {
      if (Math.abs(median) > maxSkewMs)
        return `it is ${Math.round(Math.abs(median) / 1000)} s ${median > 0 ? 'behind' : 'ahead of'} the median of ${skews.length} sites`
      return undefined
    }
    // A hub that was off for long is believed once its sites agree; a small fleet has few of them.
    const jumped = floorMs !== null && nowMs > floorMs + maxSkewMs
    if (jumped && (skews.length < this.#options.witnesses() || Math.abs(median) > maxSkewMs))
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
}

function medianOf(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}

const iso = (ms: number): string => new Date(ms).toISOString()
