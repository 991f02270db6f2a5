import type { SiteProgress } from './types.ts'

/** Places of so many sites lie together: what one tick copies for a site that changed. */
const SLICE = 128

/**
 * The places of a rollout's sites, in slices that are shared with the states before: a tick copies the slices in which something
 * changed and not ten thousand entries. Only the tick that made it may `set`; after that it never changes.
 */
export class Places implements ReadonlyMap<string, SiteProgress> {
  /** Where each site's place lies; shared by all states of one assignment of waves. */
  readonly #index: ReadonlyMap<string, number>
  readonly #slices: SiteProgress[][]
  /** Slices that are this tick's own. */
  readonly #own = new Set<number>()

  private constructor(index: ReadonlyMap<string, number>, slices: SiteProgress[][]) {
    this.#index = index
    this.#slices = slices
  }

  static on(sites: ReadonlyMap<string, SiteProgress>): Places {
    if (sites instanceof Places) return new Places(sites.#index, sites.#slices.slice())
    const index = new Map<string, number>()
    const slices: SiteProgress[][] = []
    for (const [site, place] of sites) {
      const at = index.size
      if (at % SLICE === 0) slices.push([])
      slices.at(-1)?.push(place)
      index.set(site, at)
    }
    return new Places(index, slices)
  }

  /** The site must be there already: places come and go only where waves are assigned. */
  set(site: string, place: SiteProgress): void {
    const at = this.#index.get(site)
    if (at === undefined) return
    const which = Math.floor(at / SLICE)
    if (!this.#own.has(which)) {
      this.#own.add(which)
      this.#slices[which] = (this.#slices[which] ?? []).slice()
    }
    const slice = this.#slices[which]
    if (slice !== undefined) slice[at % SLICE] = place
  }

  get size(): number {
    return this.#index.size
  }

  get(site: string): SiteProgress | undefined {
    const at = this.#index.get(site)
    return at === undefined ? undefined : this.#slices[Math.floor(at / SLICE)]?.[at % SLICE]
  }

  has(site: string): boolean {
    return this.#index.has(site)
  }

  *entries(): MapIterator<[string, SiteProgress]> {
    for (const [site, at] of this.#index) {
      const place = this.#slices[Math.floor(at / SLICE)]?.[at % SLICE]
      if (place !== undefined) yield [site, place]
    }
    return undefined
  }

  keys(): MapIterator<string> {
    return this.#index.keys()
  }

  *values(): MapIterator<SiteProgress> {
    for (const slice of this.#slices) yield* slice
    return undefined
  }

  [Symbol.iterator](): MapIterator<[string, SiteProgress]> {
    return this.entries()
  }

  forEach(callback: (value: SiteProgress, key: string, map: ReadonlyMap<string, SiteProgress>) => void): void {
    for (const [site, place] of this) callback(place, site, this)
  }
}
