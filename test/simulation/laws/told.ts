/** What a site may be told and may have in its store, whatever the hub thinks. */
import type { Digest } from '../../../src/core/model/digest.ts'
import { compareGenerations, type Generation } from '../../../src/core/model/observation.ts'
import type { SiteManifest } from '../../../src/core/protocol/messages.ts'
import type { SyncReply } from '../../../src/core/protocol/ports.ts'
import { PAYLOAD_TYPES, verifyEnvelope } from '../signed.ts'
import { Violation } from './violation.ts'

interface Seen {
  floor: Generation | null
  readonly signed: Set<Digest>
  told: SiteManifest | null
}

export class ToldLaws {
  readonly #sites = new Map<string, Seen>()
  readonly #removed: ReadonlySet<string>
  readonly #withdrawn = new Set<Digest>()

  /** `removed`: workloads that some commit took away. */
  constructor(removed: ReadonlySet<string>) {
    this.#removed = removed
  }

  /** The hub's memory is an older one, or another hub's: what it forgot is not held against it. */
  forget(): void {
    this.#withdrawn.clear()
  }

  /** An operator took it back. */
  withdraw(releases: Iterable<Digest>): void {
    for (const release of releases) this.#withdrawn.add(release)
  }

  isWithdrawn(release: Digest): boolean {
    return this.#withdrawn.has(release)
  }

  #of(site: string): Seen {
    const seen = this.#sites.get(site) ?? { floor: null, signed: new Set(), told: null }
    this.#sites.set(site, seen)
    return seen
  }

  /** Of two hubs none knows what the other's operators said. */
  told(site: string, reply: SyncReply, hubs: 'one hub' | 'two hubs'): SiteManifest | undefined {
    if (reply.manifest === undefined) return undefined
    const manifest = verifyEnvelope(reply.manifest.envelope, PAYLOAD_TYPES.manifest)
    const seen = this.#of(site)
    const before = seen.told
    for (const { workload, release } of manifest.entries) {
      seen.signed.add(release)
      const held = before?.entries.find((entry) => entry.workload === workload)
      if (held === undefined || held.release === release) continue
      if (hubs === 'one hub' && this.#withdrawn.has(release))
        throw new Violation('withdrawn', `${site} is told ${workload} ${release} again`)
    }
    for (const { workload } of before?.entries ?? [])
      if (!manifest.entries.some((entry) => entry.workload === workload) && !this.#removed.has(workload))
        throw new Violation('shrinks', `${site} is to let go of ${workload}, and no commit says so`)
    this.withdraw(manifest.withdrawn)
    seen.told = manifest
    return manifest
  }

  /** Of a site's store, as it is on the disk. */
  stored(site: string, floor: Generation | null, applied: readonly Digest[]): void {
    const seen = this.#of(site)
    if (seen.floor !== null && (floor === null || compareGenerations(floor, seen.floor) < 0))
      throw new Violation('generations', `${site} went back from ${seen.floor.counter} to ${floor?.counter}`)
    seen.floor = floor
    for (const release of applied)
      if (!seen.signed.has(release)) throw new Violation('signed', `${site} runs ${release} that nobody signed for it`)
  }
}
