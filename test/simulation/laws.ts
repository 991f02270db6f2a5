/** What may never be, told by what was signed, what was reported and what stands in the clusters; the hub's own state is not asked. */
import type { Digest } from '../../src/core/model/digest.ts'
import { compareGenerations, type Generation } from '../../src/core/model/observation.ts'
import { PAYLOAD_TYPES, verifyEnvelope } from './signed.ts'
import type { SiteManifest, SyncUp } from '../../src/core/protocol/messages.ts'
import type { SyncReply } from '../../src/core/protocol/ports.ts'
import { CANARY } from './author.ts'

export class Violation extends Error {
  readonly law: string
  constructor(law: string, message: string) {
    super(`${law}: ${message}`)
    this.law = law
  }
}

/** What the laws remember of one site. */
interface Seen {
  floor: Generation | null
  readonly signed: Set<Digest>
  told: SiteManifest | null
  readonly healthy: Set<Digest>
}

export class Laws {
  readonly #sites = new Map<string, Seen>()
  readonly #removed: ReadonlySet<string>
  /** Releases that some site was seen healthy on. */
  readonly #proven = new Set<Digest>()
  readonly #withdrawn = new Set<Digest>()
  readonly manifests: string[] = []

  constructor(removed: ReadonlySet<string>) {
    this.#removed = removed
  }

  /** The hub's memory is an older one: what it forgot is not held against it. */
  forget(): void {
    this.#withdrawn.clear()
  }

  #of(site: string): Seen {
    const seen = this.#sites.get(site) ?? { floor: null, signed: new Set(), told: null, healthy: new Set() }
    this.#sites.set(site, seen)
    return seen
  }

  heard(site: string, up: SyncUp): void {
    for (const { workload, healthy, health, desired, since } of up.observations) {
      if (health !== 'Healthy' || healthy === null || desired?.digest !== healthy.digest) continue
      const entry = this.#of(site).told?.entries.find((one) => one.workload === workload)
      if (entry === undefined || compareGenerations(since, entry.since) > 0) continue
      this.#of(site).healthy.add(healthy.digest)
      this.#proven.add(healthy.digest)
    }
  }

  told(site: string, reply: SyncReply): void {
    if (reply.manifest === undefined) return
    const manifest = verifyEnvelope(reply.manifest.envelope, PAYLOAD_TYPES.manifest)
    const seen = this.#of(site)
    const before = seen.told
    for (const entry of manifest.entries) {
      seen.signed.add(entry.release)
      const held = before?.entries.find(({ workload }) => workload === entry.workload)
      if (held === undefined || held.release === entry.release) continue
      if (this.#withdrawn.has(entry.release) && !seen.healthy.has(entry.release))
        throw new Violation('withdrawn', `${site} is told ${entry.workload} ${entry.release} again`)
      if (site !== CANARY && !this.#proven.has(entry.release))
        throw new Violation('evidence', `${site} is told ${entry.workload} ${entry.release}, and nobody was well on it`)
    }
    for (const { workload } of before?.entries ?? [])
      if (!manifest.entries.some((entry) => entry.workload === workload) && !this.#removed.has(workload))
        throw new Violation('shrinks', `${site} is to let go of ${workload}, and no commit says so`)
    if (before !== null && compareGenerations(before.generation, manifest.generation) > 0) this.forget()
    for (const release of manifest.withdrawn) this.#withdrawn.add(release)
    seen.told = manifest
    this.manifests.push(`${site} ${manifest.generation.counter} ${manifest.entries.map((e) => e.workload + e.release).join()}`) // prettier-ignore
  }

  /** More than the policy allows are on the way to a release, the offline ones left out. */
  concurrency(most: number, due: (site: string) => boolean): void {
    const changing = new Map<Digest, string[]>()
    for (const [site, { told, healthy }] of this.#sites) {
      const web = told?.entries.find(({ workload }) => workload === 'web')
      if (site === CANARY || web === undefined || healthy.has(web.release) || healthy.size === 0 || !due(site)) continue
      changing.set(web.release, [...(changing.get(web.release) ?? []), site])
    }
    for (const [release, sites] of changing)
      if (sites.length > most) throw new Violation('concurrency', `${sites.join()} change to ${release} at once`)
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
