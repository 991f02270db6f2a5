/** What people see of the fleet as a whole: status, lists that are filtered, counted and paged here, and one rollout. */
import type { Page, RolloutOfHistory, RolloutView, SiteView, StatusView, WorkloadView } from '../core/api/types.ts'
import { API_FORMAT } from '../core/api/types.ts'
import { parseSelector } from '../core/kube/selector-text.ts'
import { selectorMatches } from '../core/kube/selector.ts'
import { Fault } from '../core/model/fault.ts'
import { byUtf16 } from '../core/model/json.ts'
import type { SiteQuery } from './api.ts'
import { needsYou } from './needs.ts'
import { pastView, rolloutView } from './rollout-view.ts'
import type { Source } from './source.ts'
import { fleetState, sourceState } from './source-state.ts'
import { siteView, type Standing, type StandingParts } from './standing.ts'
import { Standings } from './standings.ts'
import type { AtSite, RolloutRecord, SiteRecord } from './store.ts'
import type { World, WorldSeen } from './world.ts'

/** A page is never longer; more is asked for with `next`. */
const MOST_ITEMS = 500
export interface ViewParts extends StandingParts {
  readonly source: Source
  readonly git: { readonly url: string; readonly branch: string }
  readonly version: string
}

export interface FleetViews {
  status(): StatusView
  sites(query: SiteQuery): Promise<Page<SiteView>>
  site(name: string): Promise<SiteView>
  workloads(): Page<WorkloadView>
  workload(name: string): WorkloadView
  rollouts(): Page<RolloutView>
  rollout(workload: string): RolloutView
  history(workload: string): Promise<Page<RolloutOfHistory>>
}

export interface Views extends FleetViews {
  standings(): ReadonlyMap<string, Standing>
  /** The same of a smaller world. */
  of(world: WorldSeen): FleetViews
}

export function createViews(parts: ViewParts & { readonly world: World }): Views {
  const kept = new Standings(parts)
  const all = (): ReadonlyMap<string, Standing> => kept.all()
  return {
    ...viewsOf(parts, all, new Map(), 'counted'),
    standings: all,
    of: (world) => {
      const own = (): ReadonlyMap<string, Standing> => new Map([...all()].filter(([name]) => world.sites.has(name)))
      return viewsOf({ ...parts, world }, own, new Map(), 'uncounted')
    },
  }
}

/** `uncounted`: what was written down of rollouts that are over counts the whole fleet. */
function viewsOf(
  parts: ViewParts,
  all: () => ReadonlyMap<string, Standing>,
  counted: Counted,
  past: 'counted' | 'uncounted',
): FleetViews {
  const { world, nowMs } = parts
  const page = <T>(items: readonly T[], total = items.length, next: string | null = null): Page<T> => ({
    formatVersion: API_FORMAT,
    asOfMs: nowMs(),
    total,
    items,
    next,
  })
  const record = (workload: string): RolloutRecord => {
    const found = world.rollouts.get(workload)
    if (found === undefined) throw new Fault('NotFound', `no workload named ${workload} is rolled out`)
    return found
  }
  const sorted = (): RolloutRecord[] =>
    [...world.rollouts.values()].sort((a, b) => byUtf16(a.spec.workload, b.spec.workload))
  return {
    status: () => statusView(parts, all()),
    async sites(query) {
      const names = selected(parts, query, all())
      const limit = Math.min(Math.max(1, query.limit ?? MOST_ITEMS), MOST_ITEMS)
      const from = query.cursor === undefined ? 0 : names.findIndex((name) => name > (query.cursor ?? ''))
      const part = from < 0 ? [] : names.slice(from, from + limit)
      const items: SiteView[] = []
      for (const name of part) items.push(siteView(parts, world.sites.get(name)!, await atSite(parts, name)))
      const more = from >= 0 && from + limit < names.length
      return page(items, names.length, more ? (part.at(-1) ?? null) : null)
    },
    async site(name) {
      return siteView(parts, siteOf(parts, name), await atSite(parts, name))
    },
    workloads: () =>
      page(
        Object.keys(fleetState(world).workloads)
          .sort(byUtf16)
          .map((name) => workloadView(parts, counted, name)),
      ),
    workload(name) {
      if (!Object.hasOwn(fleetState(world).workloads, name)) throw new Fault('NotFound', `no workload named ${name}`)
      return workloadView(parts, counted, name)
    },
    rollouts: () => page(sorted().map((found) => rolloutView(parts, found))),
    rollout: (workload) => rolloutView(parts, record(workload)),
    async history(workload) {
      const found = world.rollouts.get(workload)
      const over = (await world.store.history(workload, MOST_ITEMS)).map((doc) => pastView(doc, past))
      if (found === undefined && over.length === 0) throw new Fault('NotFound', `no workload named ${workload}`)
      const running = found?.state?.endedAtMs === undefined && found !== undefined ? [rolloutView(parts, found)] : []
      return page<RolloutOfHistory>([...running, ...over])
    },
  }
}

export function siteOf({ world }: StandingParts, name: string): SiteRecord {
  const site = world.sites.get(name)
  if (site === undefined) throw new Fault('NotFound', `no site named ${name}`)
  return site
}

/** Every workload of a site: from memory where all books are filled, with what stands in none of them. */
export async function atSite({ world }: StandingParts, name: string): Promise<ReadonlyMap<string, AtSite>> {
  const site = world.sites.get(name)
  const inMemory = [...world.rollouts.keys()].every((workload) => world.books.has(workload))
  if (!inMemory || site?.listed !== true) return world.store.atSite(name)
  const out = new Map<string, AtSite>()
  for (const [workload, book] of world.books) {
    const at = book.get(name)
    if (at !== undefined && (at.entry !== null || at.observation !== null)) out.set(workload, at)
  }
  return out
}

const STATES = {
  link: ['Online', 'Late', 'Lost', 'Never'],
  sync: ['Synced', 'Progressing', 'Waiting', 'Drifted', 'Failed', 'Unknown'],
  health: ['Healthy', 'Progressing', 'Degraded', 'Suspended', 'Unknown'],
} as const satisfies Record<'link' | 'sync' | 'health', readonly Standing['link' | 'sync' | 'health'][]>

function selected(parts: ViewParts, query: SiteQuery, all: ReadonlyMap<string, Standing>): readonly string[] {
  const parsed = parseSelector(query.selector ?? '')
  if (!parsed.ok) throw new Fault('InvalidInput', `selector: ${parsed.because}`)
  const wanted = (Object.keys(STATES) as (keyof typeof STATES)[]).flatMap((axis) => {
    const text = query[axis]
    if (text === undefined) return []
    const state = STATES[axis].find((one) => one.toLowerCase() === text.toLowerCase())
    if (state === undefined)
      throw new Fault('InvalidInput', `${axis} found ${text}, expected one of ${STATES[axis].join(', ')}`)
    return [[axis, state] as const]
  })
  const names: string[] = []
  for (const [name, standing] of all) {
    const site = parts.world.sites.get(name)
    if (site === undefined || !selectorMatches(parsed.selector, site.labels)) continue
    if (wanted.every(([axis, state]) => standing[axis] === state)) names.push(name)
  }
  return names
}

function statusView(parts: ViewParts, all: ReadonlyMap<string, Standing>): StatusView {
  const { world, source, git, nowMs } = parts
  const state = sourceState(world)
  const link = { Online: 0, Late: 0, Lost: 0, Never: 0 }
  const sync = { Synced: 0, Progressing: 0, Waiting: 0, Drifted: 0, Failed: 0, Unknown: 0 }
  const health = { Healthy: 0, Progressing: 0, Degraded: 0, Suspended: 0, Unknown: 0 }
  for (const standing of all.values()) {
    link[standing.link] += 1
    sync[standing.sync] += 1
    health[standing.health] += 1
  }
  const rollouts = [...world.rollouts.values()]
    .filter(({ state: of, next }) => of === null || next !== null || of.phase !== 'Completed')
    .sort((a, b) => a.spec.createdAtMs - b.spec.createdAtMs || byUtf16(a.spec.workload, b.spec.workload))
    .map((record) => rolloutView(parts, record))
  return {
    formatVersion: API_FORMAT,
    asOfMs: nowMs(),
    fleet: fleetState(world).name,
    version: parts.version,
    source: {
      url: git.url,
      branch: git.branch,
      revision: state.revision,
      seen: state.seen === state.revision ? null : state.seen,
      message: state.message,
      checkedAtMs: source.checkedAtMs ?? 0,
      fault: state.fault,
      problems: state.problems,
    },
    sites: { total: all.size, link, sync, health },
    rollouts,
    brake: state.brake,
    needsYou: needsYou(parts, rollouts),
  }
}

/** Counted once for every version of what is counted. */
type Counted = Map<
  string,
  { readonly version: number; readonly synced: number; readonly healthy: number; readonly releases: number }
>

function workloadView({ world }: ViewParts, counted: Counted, name: string): WorkloadView {
  const facts = fleetState(world).workloads[name]
  const record = world.rollouts.get(name)
  const targets = (record?.next ?? record?.spec)?.targets ?? new Map<string, string>()
  const version = world.versions.get(name) ?? 0
  let counts = counted.get(name)
  if (counts?.version !== version) {
    const book = world.books.get(name)
    let synced = 0
    let healthy = 0
    for (const [site, digest] of targets) {
      const seen = book?.get(site)?.observation
      if (seen?.applied?.digest !== digest) continue
      if (seen.sync === 'Synced') synced += 1
      if (seen.health === 'Healthy' && seen.healthy?.digest === digest) healthy += 1
    }
    counts = { version, synced, healthy, releases: new Set(targets.values()).size }
    counted.set(name, counts)
  }
  return {
    name,
    team: facts?.team ?? null,
    policy: facts?.policy ?? '',
    sites: targets.size,
    synced: counts.synced,
    healthy: counts.healthy,
    releases: counts.releases,
    heldBy: facts?.held.map(({ problem }) => problem) ?? [],
  }
}
