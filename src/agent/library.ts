/** Releases and objects by digest, parsed from the store's blobs. What was parsed last is kept; the rest is read again. */
import { isObject, type JsonObject } from '../core/model/json.ts'
import type { Digest } from '../core/model/digest.ts'
import { Fault } from '../core/model/fault.ts'
import type { Manifest } from '../core/model/object.ts'
import type { Release } from '../core/model/release.ts'
import type { AgentStore } from './ports.ts'

/** About 3 KB each when parsed. */
const KEPT_OBJECTS = 1_000
const KEPT_RELEASES = 2_000

export interface Library {
  /** Fault StoreCorrupt: it was there when the manifest was accepted, and is not now. */
  release(digest: Digest): Release
  object(digest: Digest): Manifest
  /** undefined where it is no longer there. */
  past(digest: Digest): Manifest | undefined
  pastRelease(digest: Digest): Release | undefined
}

export function createLibrary(store: Pick<AgentStore, 'blob'>): Library {
  const releases = recent<Release>(KEPT_RELEASES)
  const objects = recent<Manifest>(KEPT_OBJECTS)
  const pastRelease = (digest: Digest): Release | undefined =>
    releases(digest, () => parse(store.blob('release', digest)) as Release | undefined)
  const past = (digest: Digest): Manifest | undefined =>
    objects(digest, () => parse(store.blob('object', digest)) as Manifest | undefined)
  return {
    pastRelease,
    past,
    release: (digest) => pastRelease(digest) ?? missing('release', digest),
    object: (digest) => past(digest) ?? missing('object', digest),
  }
}

function missing(what: string, digest: Digest): never {
  throw new Fault('StoreCorrupt', `the ${what} ${digest} is not in the store`, { facts: { digest } })
}

/** These bytes hashed to their name: they are what was signed, and were checked when they were accepted. */
function parse(bytes: Uint8Array | undefined): JsonObject | undefined {
  if (bytes === undefined) return undefined
  const json: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'))
  return isObject(json) ? json : undefined
}

function recent<T>(limit: number): (key: string, make: () => T | undefined) => T | undefined {
  const kept = new Map<string, T>()
  return (key, make) => {
    const known = kept.get(key)
    if (known !== undefined) return known
    const made = make()
    if (made === undefined) return undefined
    if (kept.size >= limit) kept.delete(kept.keys().next().value ?? '')
    kept.set(key, made)
    return made
  }
}
