/** What a site may be told and may have in its store, whatever the hub thinks. */
import type { Digest } from '../../../src/core/model/digest.ts'
import { compareGenerations, type Generation, sameGeneration } from '../../../src/core/model/observation.ts'
import type { SiteManifest } from '../../../src/core/protocol/messages.ts'
import type { SyncReply } from '../../../src/core/protocol/ports.ts'
import { PAYLOAD_TYPES, verifyEnvelope } from '../signed.ts'
import { Violation } from './violation.ts'

export interface Teller {
  readonly hubs: 'one hub' | 'two hubs'
  readonly isForked: boolean
  readonly hubNowMs: number
}

export interface Stored {
  readonly floor: Generation | null
  /** The newest one. */
  readonly manifest: SiteManifest | null
  readonly applied: readonly Digest[]
  readonly begun: ReadonlyMap<string, { readonly since: Generation; readonly release: Digest }>
  /** How often the store was opened. */
  readonly opened: number
  /** The time by which permits are judged, as the site can know it. */
  readonly hubNowMs: number
}

/** A turn takes a moment from its decision to its first write. */
const LEAST_GRACE_MS = 60_000

interface Seen {
  floor: Generation | null
  opened: number
  readonly signed: Set<Digest>
  /** By workload: what it began last. */
  readonly begun: Map<string, Digest>
  told: SiteManifest | null
}

export class ToldLaws {
  readonly #sites = new Map<string, Seen>()
  readonly #removed: ReadonlySet<string>
  readonly #withdrawn = new Set<Digest>()
  readonly #workloadOf = new Map<Digest, string>()

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

  /** An operator lets this workload's back in. */
  readmit(workload: string): void {
    for (const release of this.#withdrawn)
      if ((this.#workloadOf.get(release) ?? workload) === workload) this.#withdrawn.delete(release)
  }

  isWithdrawn(release: Digest): boolean {
    return this.#withdrawn.has(release)
  }

  #of(site: string): Seen {
    const seen = this.#sites.get(site) ?? { floor: null, opened: 0, signed: new Set(), begun: new Map(), told: null }
    this.#sites.set(site, seen)
    return seen
  }

  /** Of two hubs none knows what the other's operators said; a permit that is over tells nobody to begin. */
  told(site: string, reply: SyncReply, { hubs, isForked, hubNowMs }: Teller): SiteManifest | undefined {
    if (reply.manifest === undefined) return undefined
    const manifest = verifyEnvelope(reply.manifest.envelope, PAYLOAD_TYPES.manifest)
    const seen = this.#of(site)
    const before = seen.told
    for (const { workload, release, startBy } of manifest.entries) {
      seen.signed.add(release)
      this.#workloadOf.set(release, workload)
      const held = before?.entries.find((entry) => entry.workload === workload)
      if (held === undefined || held.release === release) continue
      if (hubs === 'one hub' && this.#withdrawn.has(release) && Date.parse(startBy) > hubNowMs)
        throw new Violation('withdrawn', `${site} is told ${workload} ${release} again`)
    }
    // What a hub of another memory told may never have come: there the site's cluster shows what is let go.
    for (const { workload } of isForked ? [] : (before?.entries ?? []))
      if (!manifest.entries.some((entry) => entry.workload === workload) && !this.#removed.has(workload))
        throw new Violation('shrinks', `${site} is to let go of ${workload}, and no commit says so`)
    this.withdraw(manifest.withdrawn)
    seen.told = manifest
    return manifest
  }

  /** Of a site's store, as it is on the disk. */
  stored(site: string, siteId: string, { floor, applied, manifest, begun, opened, hubNowMs }: Stored): void {
    const seen = this.#of(site)
    if (manifest !== null && manifest.siteId !== siteId)
      throw new Violation('signed', `${site} took a manifest of ${manifest.site}`)
    // What is found on a disk that was opened anew was begun at another time.
    if (seen.opened !== opened) seen.begun.clear()
    seen.opened = opened
    for (const [workload, { since, release }] of begun) {
      const before = seen.begun.get(workload)
      seen.begun.set(workload, release)
      if (before === undefined || before === release) continue
      const entry = manifest?.entries.find((it) => it.workload === workload && sameGeneration(it.since, since))
      if (entry !== undefined && Date.parse(entry.startBy) + LEAST_GRACE_MS < hubNowMs)
        throw new Violation('permit', `${site} began ${workload} ${release}, and its permit ended ${entry.startBy}`)
    }
    if (seen.floor !== null && (floor === null || compareGenerations(floor, seen.floor) < 0))
      throw new Violation('generations', `${site} went back from ${seen.floor.counter} to ${floor?.counter}`)
    seen.floor = floor
    for (const release of applied)
      if (!seen.signed.has(release)) throw new Violation('signed', `${site} runs ${release} that nobody signed for it`)
  }
}
