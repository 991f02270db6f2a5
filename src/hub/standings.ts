/** Every site's three axes, kept as they change: a look at the fleet costs the sites that changed since the last one. */
import { byUtf16 } from '../core/model/json.ts'
import { worstHealth, type HealthState, type SyncState } from '../core/model/state.ts'
import { linkOf, overdue, stateAt, worstSync, type Standing, type StandingParts } from './standing.ts'
import type { AtSite, RolloutRecord, SiteRecord } from './store.ts'
import type { World } from './world.ts'

/** Above this many sites the axes are put together at most once a second: whoever reads them is told as of when. */
const EACH_TIME = 1_000
const KEPT_MS = 1_000

/** What a site's workloads come to, whether it is in touch or not: the link is judged when somebody looks. */
interface Sum {
  readonly sync: SyncState
  readonly health: HealthState
  /** The same while it is overdue. */
  readonly overdue: { readonly sync: SyncState; readonly health: HealthState }
}

interface StandingsParts extends StandingParts {
  readonly world: World
}

export class Standings {
  readonly #parts: StandingsParts
  readonly #sums = new Map<string, Sum>()
  #names: readonly string[] = []
  #last: { readonly atMs: number; readonly version: number; readonly map: ReadonlyMap<string, Standing> } | undefined

  constructor(parts: StandingsParts) {
    this.#parts = parts
  }

  /** By name, in order of names. */
  all(): ReadonlyMap<string, Standing> {
    const { world, nowMs } = this.#parts
    const now = nowMs()
    if (this.#last !== undefined) {
      const age = Math.abs(now - this.#last.atMs)
      const few = world.sites.size <= EACH_TIME
      if (few ? age === 0 && this.#last.version === world.version : age < KEPT_MS) return this.#last.map
    }
    this.#renew()
    const map = new Map<string, Standing>()
    for (const name of this.#names) {
      const sum = this.#sums.get(name)
      if (sum === undefined) continue
      const link = linkOf(this.#parts, name)
      const { sync, health } = link === 'Online' ? sum : sum.overdue
      map.set(name, { link, sync, health })
    }
    this.#last = { atMs: now, version: world.version, map }
    return map
  }

  #renew(): void {
    const { world } = this.#parts
    let isOtherSet = false
    for (const name of world.unseen) {
      const site = world.sites.get(name)
      const isShown = site !== undefined && (site.inGit || site.standing !== 'expected')
      isOtherSet ||= isShown !== this.#sums.has(name)
      if (isShown) this.#sums.set(name, this.#sum(site))
      else this.#sums.delete(name)
    }
    world.unseen.clear()
    if (isOtherSet) this.#names = [...this.#sums.keys()].sort(byUtf16)
  }

  #sum(site: SiteRecord): Sum {
    const { world } = this.#parts
    const sync: SyncState[] = []
    const health: HealthState[] = []
    const add = (record: RolloutRecord | undefined, at: AtSite | undefined): void => {
      const state = stateAt(site.name, record, at)
      sync.push(state.sync)
      health.push(state.health)
    }
    const isMeant = (record: RolloutRecord | undefined): record is RolloutRecord =>
      (record?.next ?? record?.spec)?.targets.has(site.name) === true
    for (const record of world.rollouts.values())
      if (isMeant(record)) add(record, world.books.get(record.spec.workload)?.get(site.name))
    // What Git has no more stands there until the site says that it is gone.
    for (const [workload, book] of world.books) {
      const at = book.get(site.name)
      const record = world.rollouts.get(workload)
      if (at !== undefined && (at.entry !== null || at.observation !== null) && !isMeant(record)) add(record, at)
    }
    if (!site.listed) sync.length = 0
    return {
      sync: worstSync(sync),
      health: worstHealth(health),
      overdue: {
        sync: worstSync(sync.map((state) => overdue(state))),
        health: worstHealth(health.map(() => 'Unknown')),
      },
    }
  }
}
