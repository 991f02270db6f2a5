import type { Waiting } from '../model/state.ts'
import type { RolloutState, SiteProgress } from './types.ts'

/** What stands for every site that has no reason of its own; null: it does not wait. */
export type ReasonOf = (site: string, place: SiteProgress) => Waiting | null

/**
 * Why each site waits: what was found in this tick, and for all the others what follows from their place. A view, so that a
 * tick does not write ten thousand reasons that nobody reads; it reads only the state it was made with, which never changes.
 */
export class WaitingView implements ReadonlyMap<string, Waiting> {
  readonly #found: ReadonlyMap<string, Waiting>
  readonly #state: RolloutState
  readonly #reasonOf: ReasonOf

  constructor(found: ReadonlyMap<string, Waiting>, state: RolloutState, reasonOf: ReasonOf) {
    this.#found = found
    this.#state = state
    this.#reasonOf = reasonOf
  }

  get size(): number {
    let size = 0
    for (const _entry of this.entries()) size += 1
    return size
  }

  get(site: string): Waiting | undefined {
    const place = this.#state.sites.get(site)
    if (place === undefined) return undefined
    return this.#found.get(site) ?? this.#reasonOf(site, place) ?? undefined
  }

  has(site: string): boolean {
    return this.get(site) !== undefined
  }

  *entries(): MapIterator<[string, Waiting]> {
    for (const [site, place] of this.#state.sites) {
      const waiting = this.#found.get(site) ?? this.#reasonOf(site, place)
      if (waiting !== null) yield [site, waiting]
    }
    return undefined
  }

  *keys(): MapIterator<string> {
    for (const [site] of this.entries()) yield site
    return undefined
  }

  *values(): MapIterator<Waiting> {
    for (const [, waiting] of this.entries()) yield waiting
    return undefined
  }

  [Symbol.iterator](): MapIterator<[string, Waiting]> {
    return this.entries()
  }

  forEach(callback: (value: Waiting, key: string, map: ReadonlyMap<string, Waiting>) => void): void {
    for (const [site, waiting] of this) callback(waiting, site, this)
  }
}
