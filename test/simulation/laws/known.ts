/** What is known of the fleet from outside: what the hub wrote down for each site, and what each site said. */
import type { Digest } from '../../../src/core/model/digest.ts'
import type { Generation } from '../../../src/core/model/observation.ts'
import { sameGeneration } from '../../../src/core/model/observation.ts'
import type { SyncUp } from '../../../src/core/protocol/messages.ts'
import { DEADLINE_MS, SOAK_MS } from '../author.ts'

export interface KnownEntry {
  readonly release: Digest
  readonly since: Generation
  readonly startByMs: number
  /** When it became this release, or got a new permit; monotonic. */
  readonly grantedMs: number
  /** The first of its workload here: provisioned outside of waves. */
  readonly first: boolean
}

interface KnownSite {
  readonly entries: Map<string, KnownEntry>
  /** `workload release` ever written down for it. */
  readonly had: Set<string>
  readonly proven: Set<string>
  readonly begun: Set<string>
  /** `workload release` that it ever said to be well. */
  readonly well: Set<string>
  readonly failed: Set<string>
  heardMs: number
}

export class Known {
  readonly #sites = new Map<string, KnownSite>()
  /** Workload to the map that Git wants now, by box. */
  readonly targets = new Map<string, ReadonlyMap<string, Digest>>()
  /** `workload release` that some site was healthy on through the soak. */
  readonly proven = new Set<string>()

  site(name: string): KnownSite {
    const known = this.#sites.get(name) ?? {
      entries: new Map(),
      had: new Set(),
      proven: new Set(),
      begun: new Set(),
      well: new Set(),
      failed: new Set(),
      heardMs: Number.NEGATIVE_INFINITY,
    }
    this.#sites.set(name, known)
    return known
  }

  get names(): readonly string[] {
    return [...this.#sites.keys()]
  }

  /** It left the site: what the hub does upon it may come before its answer. */
  said(name: string, up: SyncUp): void {
    const site = this.site(name)
    for (const { workload, since, applied, healthy, health, healthyForMs, begun, failure } of up.observations) {
      const entry = site.entries.get(workload)
      if (entry === undefined || !sameGeneration(since, entry.since)) continue
      const key = `${workload} ${entry.release}`
      if (begun || applied?.digest === entry.release) site.begun.add(key)
      if (failure !== undefined || health === 'Degraded') site.failed.add(key)
      if (health !== 'Healthy' || healthy?.digest !== entry.release) continue
      site.well.add(key)
      if (healthyForMs < SOAK_MS) continue
      site.proven.add(key)
      this.proven.add(key)
    }
  }

  /** On its way to what Git wants, by what it was told and what it said. */
  isChanging(name: string, workload: string, hubNowMs: number, monotonicMs: number): boolean {
    const site = this.site(name)
    const entry = site.entries.get(workload)
    if (entry === undefined || entry.first || entry.release !== this.targets.get(workload)?.get(name)) return false
    const key = `${workload} ${entry.release}`
    if (site.proven.has(key) || site.failed.has(key) || monotonicMs - entry.grantedMs >= DEADLINE_MS) return false
    return site.begun.has(key) || entry.startByMs > hubNowMs
  }
}
