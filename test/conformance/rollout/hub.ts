/**
 * A hub and its sites, made of a table's few words: it keeps what `decide` says and publishes what it is told to publish, and its
 * sites report what the table says they did, when they did it. Nothing here decides.
 */
import { type Digest, digestBytes } from '../../../src/core/model/digest.ts'
import type { WorkloadObservation } from '../../../src/core/model/observation.ts'
import type { Amount, RolloutPolicy } from '../../../src/core/model/policy.ts'
import { decide } from '../../../src/core/rollout/decide.ts'
import type {
  RolloutDecision,
  RolloutEntry,
  RolloutSpec,
  RolloutState,
  SiteFacts,
  SiteWorkload,
} from '../../../src/core/rollout/types.ts'

/** What a site last said; times in ms relative to now. */
export interface Report {
  readonly site: string
  readonly state: string
  readonly sinceMs: number
}

export const NOW = Date.UTC(2026, 0, 5)
export const BEFORE = digestBytes('release', 'before')
export const TARGET = digestBytes('release', 'target')
const OLD = digestBytes('release', 'old')
const WORKLOAD = 'web'

export class Hub {
  #nowMs: number
  readonly #startMs: number
  readonly #reports: ReadonlyMap<string, Report>
  readonly #groups: readonly (readonly string[])[]
  readonly #groupOf: ReadonlyMap<string, number>
  readonly #published: Map<string, Digest>
  #held: ReadonlySet<string> = new Set()
  #gaveUp = false
  #brokenSites: Amount | null = null
  #entry: RolloutEntry | null = null

  constructor(groups: readonly (readonly string[])[], reports: readonly Report[]) {
    this.#reports = new Map(reports.map((report) => [report.site, report]))
    this.#groups = groups
    this.#groupOf = new Map(groups.flatMap((sites, index) => sites.map((site) => [site, index] as const)))
    this.#startMs = NOW + Math.min(0, ...reports.map(({ sinceMs }) => sinceMs)) - 10
    this.#nowMs = this.#startMs
    this.#published = new Map()
  }

  /** Git says: this release at these sites, by this policy. */
  commit(release: Digest, sites: readonly string[], policy: RolloutPolicy, brokenSites: Amount | null = null): void {
    this.#brokenSites = brokenSites
    const spec: RolloutSpec = {
      workload: WORKLOAD,
      id: release,
      revision: 'r1',
      createdAtMs: this.#startMs,
      priority: 0,
      policy,
      targets: new Map(sites.toSorted().map((site) => [site, release])),
      dependsOn: [],
    }
    const running = this.#entry
    const isNewer = running !== null && running.spec.id !== spec.id
    this.#entry = isNewer ? { ...running, next: spec } : { spec, state: running?.state ?? null }
  }

  hold(sites: readonly string[]): void {
    this.#held = new Set(sites)
  }

  /** Sites that are failing say that they will not try again. */
  giveUp(): void {
    this.#gaveUp = true
  }

  publish({ grants }: RolloutDecision, only?: ReadonlySet<string>): void {
    for (const { site, release } of grants) if (only?.has(site) ?? true) this.#published.set(site, release)
  }

  tick(afterMs = 0): RolloutDecision {
    this.#nowMs += afterMs
    const entry = this.#entry
    if (entry === null) throw new Error('nothing was committed')
    const [decision] = decide({
      nowMs: this.#nowMs,
      budget: { changingSites: null, brokenSites: this.#brokenSites },
      fleetSites: Number.MAX_SAFE_INTEGER,
      rollouts: [entry],
      site: (name) => this.#facts(name),
      at: (site) => this.#at(site),
      withdrawn: new Set(),
      lastGood: () => OLD,
    })
    if (decision === undefined) throw new Error('no decision')
    const { state } = decision
    this.#entry = entry.next?.id === state.id ? { spec: entry.next, state } : { ...entry, state }
    return decision
  }

  /** Tick at every report and whenever the engine wants to look again. */
  liveUntil(endMs: number): RolloutState {
    const reportsMs = [...this.#reports.values()].map(({ sinceMs }) => NOW + sinceMs)
    for (;;) {
      const { nextAtMs, state } = this.tick()
      if (this.#nowMs >= endMs) return state
      this.#nowMs = Math.min(...[...reportsMs, nextAtMs ?? endMs, endMs].filter((ms) => ms > this.#nowMs))
    }
  }

  /** Sites that time alone takes out of the step, and when. */
  leaving(step: RolloutDecision): ReadonlyMap<string, number> {
    const left = new Map<string, number>()
    const waits = new Set([...step.state.sites].flatMap(([site, { phase }]) => (phase === 'changing' ? [site] : [])))
    let decision = step
    while (waits.size > 0) {
      const next = decision.nextAtMs ?? Infinity
      if (!Number.isFinite(next) || next <= this.#nowMs) break
      decision = this.tick(next - this.#nowMs)
      for (const site of waits) {
        if (decision.state.sites.get(site)?.phase === 'changing') continue
        left.set(site, this.#nowMs)
        waits.delete(site)
      }
    }
    return left
  }

  /** The same hub, to look ahead with. */
  copy(): Hub {
    const copy = new Hub(this.#groups, [...this.#reports.values()])
    for (const [site, release] of this.#published) copy.#published.set(site, release)
    copy.#nowMs = this.#nowMs
    copy.#entry = this.#entry
    copy.#brokenSites = this.#brokenSites
    return copy
  }

  wasTimedOut(site: string): boolean {
    return this.#reports.get(site)?.state === 'TimedOut'
  }

  #facts(name: string): SiteFacts {
    return {
      name,
      labels: { group: String(this.#groupOf.get(name) ?? 0).padStart(6, '0') },
      enrolled: true,
      lastContactMs: this.#hasSpoken(name) ? this.#nowMs : this.#startMs,
      dueAtMs: Infinity,
      hold: this.#held.has(name) ? { reason: 'not yet', untilMs: null } : null,
      freeze: null,
      mode: this.#reports.get(name)?.state === 'Skip' ? 'observe' : 'enforce',
    }
  }

  /** Of the change: one that is to be given it, or said nothing of it, has not begun. */
  #hasSpoken(site: string): boolean {
    const isSilent = (this.#reports.get(site)?.state ?? 'ToApply') === 'ToApply'
    return (!isSilent || this.#published.get(site) !== TARGET) && this.#nowMs >= this.#sinceMs(site)
  }

  /** When the site said first what it says; what timed out did so before anything else happened. */
  #sinceMs(site: string): number {
    const report = this.#reports.get(site)
    if (report === undefined) return this.#startMs
    return report.state === 'TimedOut' ? this.#startMs + 2 : NOW + report.sinceMs
  }

  #at(site: string): SiteWorkload {
    const published = this.#published.get(site) ?? OLD
    const counter = [OLD, BEFORE, TARGET].indexOf(published)
    const since = { epoch: 1, counter }
    const heard = published !== TARGET || this.#hasSpoken(site)
    const state =
      published === TARGET ? this.#reports.get(site)?.state : published === OLD ? 'Succeeded' : 'Progressing'
    const observation = heard ? this.#observed(published, since, state ?? '', this.#sinceMs(site)) : null
    return { published, since, startByMs: Infinity, observation }
  }

  #observed(
    release: Digest,
    since: SiteWorkload['since'] & object,
    state: string,
    sinceMs: number,
  ): WorkloadObservation {
    const stamp = { digest: release, atMs: sinceMs }
    const isWell = state === 'Succeeded'
    const failure = { reason: 'Failed', message: 'the site gave up' }
    return {
      workload: WORKLOAD,
      since,
      desired: stamp,
      received: stamp,
      staged: stamp,
      applied: stamp,
      healthy: isWell ? stamp : null,
      sync: isWell ? 'Synced' : 'Progressing',
      health: isWell ? 'Healthy' : state === 'Failed' ? 'Degraded' : 'Progressing',
      healthyForMs: isWell ? this.#nowMs - sinceMs : 0,
      unhealthyMs: 0,
      transitions: 0,
      begun: true,
      ...(this.#gaveUp && state === 'Failed' ? { failure } : {}),
      objects: [],
      counts: { objects: 1, ready: isWell ? 1 : 0, drifted: 0, pruned: 0 },
    }
  }
}
