/** What the hub must know of releases that it publishes: their order and the blobs they need. Content never changes, so it is kept. */
import type { Digest } from '../core/model/digest.ts'
import { Fault } from '../core/model/fault.ts'
import type { BlobDomain, Release } from '../core/model/release.ts'
import type { HubStore } from './store.ts'

/** Releases kept parsed: a fleet runs hundreds; one is about 50 KB with 200 objects. */
const KEPT = 2_000

export interface ReleaseFacts {
  readonly workload: string
  readonly dependsOn: readonly string[]
  /** Workloads that it takes over from: a rename hands the inventory over. */
  readonly formerNames: readonly string[]
  /** Every blob it needs with its domain, the release's own included; object refs by digest for finding delta bases. */
  readonly blobs: ReadonlyMap<Digest, { readonly domain: BlobDomain; readonly ref: string }>
}

export class Releases {
  readonly #store: HubStore
  /** Promises, so that a thousand sites that ask at once read a release once. */
  readonly #kept = new Map<Digest, Promise<ReleaseFacts>>()

  constructor(store: HubStore) {
    this.#store = store
  }

  /** Fault StoreCorrupt where a release that was published is not in the store. */
  facts(digest: Digest): Promise<ReleaseFacts> {
    const known = this.#kept.get(digest)
    if (known !== undefined) return known
    const reading = this.#read(digest)
    reading.catch(() => this.#kept.delete(digest))
    if (this.#kept.size >= KEPT) this.#kept.delete(this.#kept.keys().next().value ?? digest)
    this.#kept.set(digest, reading)
    return reading
  }

  /** For what a recovered site has and this hub's store may not have yet: nothing is known of it then, and the site has its blobs. */
  async known(digest: Digest): Promise<ReleaseFacts> {
    try {
      return await this.facts(digest)
    } catch (error) {
      if (error instanceof Fault && error.reason === 'StoreCorrupt' && error.facts?.['release'] === digest)
        return { workload: '', dependsOn: [], formerNames: [], blobs: new Map() }
      throw error
    }
  }

  async #read(digest: Digest): Promise<ReleaseFacts> {
    const blob = await this.#store.blob(digest)
    if (blob?.domain !== 'release')
      throw new Fault('StoreCorrupt', 'a published release is missing from the store', { facts: { release: digest } })
    return factsOf(digest, JSON.parse(Buffer.from(blob.bytes).toString()) as Release)
  }

  /** What went from the store is asked for anew. */
  forget(digests: Iterable<Digest>): void {
    for (const digest of digests) this.#kept.delete(digest)
  }

  async load(digest: Digest): Promise<Release | undefined> {
    const blob = await this.#store.blob(digest)
    return blob === undefined ? undefined : (JSON.parse(Buffer.from(blob.bytes).toString()) as Release)
  }
}

function factsOf(digest: Digest, release: Release): ReleaseFacts {
  const blobs = new Map<Digest, { domain: BlobDomain; ref: string }>([[digest, { domain: 'release', ref: '' }]])
  for (const { ref, blob, sealed } of release.objects)
    blobs.set(blob, {
      domain: sealed === true ? 'sealed' : 'object',
      ref: `${ref.group}/${ref.kind}/${ref.namespace}/${ref.name}`,
    })
  return {
    workload: release.workload,
    dependsOn: release.dependsOn.map(({ name }) => name),
    formerNames: release.rules.formerNames,
    blobs,
  }
}

/** Depth in the dependency graph, by workload: dependencies before dependents. A cycle, which parsing refuses, ends the walk. */
export function orders(dependsOn: ReadonlyMap<string, readonly string[]>): ReadonlyMap<string, number> {
  const depths = new Map<string, number>()
  const walk = (name: string, above: ReadonlySet<string>): number => {
    const known = depths.get(name)
    if (known !== undefined) return known
    let depth = 0
    for (const needed of dependsOn.get(name) ?? [])
      if (dependsOn.has(needed) && !above.has(needed))
        depth = Math.max(depth, 1 + walk(needed, new Set([...above, name])))
    depths.set(name, depth)
    return depth
  }
  for (const name of dependsOn.keys()) walk(name, new Set())
  return depths
}
