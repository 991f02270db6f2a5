import type { FleetCache } from './types.ts'

/** Entries kept: two a file, and above the files of the largest fleet, for a cache that is walked in order and too small never hits. */
const MOST_FILES = 100_000

export function createFleetCache(): FleetCache {
  return { files: new Map(), renders: new Map() }
}

/** What the cache holds for a key, or what `make` makes; the least recently used goes first. */
export function recallFile<T>(cache: FleetCache, key: string, make: () => T): T {
  const known = cache.files.get(key) as T | undefined
  const value = known ?? make()
  if (known !== undefined) cache.files.delete(key)
  cache.files.set(key, value)
  if (cache.files.size > MOST_FILES) {
    for (const oldest of cache.files.keys()) {
      cache.files.delete(oldest)
      break
    }
  }
  return value
}
