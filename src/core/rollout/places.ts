import type { SiteProgress } from './types.ts'

/** Changes on top of a map grow to this share of it before they are written into a new one. */
const MAX_SHARE = 1 / 8

/**
 * The places of a rollout's sites: a map that is shared with the states before, and what changed since. So that a tick costs what
 * changed in it and not a copy of ten thousand entries. Only the tick that made it may `set`; after that it never changes.
 */
export class Places implements ReadonlyMap<string, SiteProgress> {
  readonly #base: ReadonlyMap<string, SiteProgress>
  readonly #changes: Map<string, SiteProgress>

  private constructor(base: ReadonlyMap<string, SiteProgress>, changes: Map<string, SiteProgress>) {
    this.#base = base
    this.#changes = changes
  }

  static on(sites: ReadonlyMap<string, SiteProgress>): Places {
    if (!(sites instanceof Places)) return new Places(sites, new Map())
    if (sites.#changes.size > sites.size * MAX_SHARE) return new Places(new Map(sites), new Map())
    return new Places(sites.#base, new Map(sites.#changes))
  }

  /** The site must be there already: places come and go only where waves are assigned. */
  set(site: string, place: SiteProgress): void {
    this.#changes.set(site, place)
  }

  get size(): number {
    return this.#base.size
  }

  get(site: string): SiteProgress | undefined {
    return this.#changes.get(site) ?? this.#base.get(site)
  }

  has(site: string): boolean {
    return this.#base.has(site)
  }

  *entries(): MapIterator<[string, SiteProgress]> {
    for (const [site, place] of this.#base) yield [site, this.#changes.get(site) ?? place]
    return undefined
  }

  keys(): MapIterator<string> {
    return this.#base.keys()
  }

  *values(): MapIterator<SiteProgress> {
    for (const [, place] of this.entries()) yield place
    return undefined
  }

  [Symbol.iterator](): MapIterator<[string, SiteProgress]> {
    return this.entries()
  }

  forEach(callback: (value: SiteProgress, key: string, map: ReadonlyMap<string, SiteProgress>) => void): void {
    for (const [site, place] of this) callback(place, site, this)
  }
}
