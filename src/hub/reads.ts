/** What may be read, by those who read the whole fleet, and by a token that is scoped by labels: of its sites, and of no others. */
import { API_FORMAT } from '../core/api/types.ts'
import { Fault } from '../core/model/fault.ts'
import type { Actor, HubReads } from './api.ts'
import { batchPage } from './batch-views.ts'
import { audit, freezes } from './records.ts'
import { scopeText } from './scope.ts'
import { Sight } from './sight.ts'
import { fleetState } from './source-state.ts'
import type { StandingParts } from './standing.ts'
import type { EventRecord } from './store.ts'
import type { FleetViews, Views } from './views.ts'
import { whyObject } from './why-object.ts'
import { whyRollout, whySite, whyWorkload } from './why.ts'
import type { World } from './world.ts'

const MOST_EVENTS = 500
/** Events looked through for one page of those that a scoped token may see. */
const MOST_LOOKED_AT = 20_000

export interface ReadParts extends StandingParts {
  readonly world: World
  readonly views: Views
}

export function readsOfAll(parts: ReadParts): HubReads {
  return {
    ...reads(parts, parts.views),
    audit: (after, limit) => audit(parts, after, limit),
    events: (after, limit) => events(parts, after, limit, (event) => event),
  }
}

/** A thing of which nothing is in scope is Forbidden, whether it exists or not. */
export function readsOf(parts: ReadParts, actor: Actor): HubReads {
  const { scope } = actor
  if (scope == null) return readsOfAll(parts)
  const sight = new Sight(parts.world, scope)
  const all = reads({ ...parts, world: sight }, parts.views.of(sight))
  const refuse = (what: string): never => {
    throw new Fault('Forbidden', `${actor.name} reads sites of ${scopeText(scope)}, and ${what}`)
  }
  const site = (name: string): string => (sight.sites.has(name) ? name : refuse(`${name} is none`))
  const workload = (name: string): string =>
    sight.rollouts.has(name) || Object.hasOwn(fleetState(sight).workloads, name)
      ? name
      : refuse(`${name} is meant for none of them`)
  return {
    ...all,
    site: async (name) => all.site(site(name)),
    workload: async (name) => all.workload(workload(name)),
    rollout: async (name) => all.rollout(workload(name)),
    history: async (name) => all.history(workload(name)),
    why: async (kind, name) => all.why(kind, kind === 'object' ? name : kind === 'site' ? site(name) : workload(name)),
    batch: async (query) => {
      query.sites?.forEach(site)
      return all.batch(query)
    },
    audit: async () => refuse('the audit log is one chain of all that was said'),
    events: (after, limit) => events(parts, after, limit, (event) => sight.event(event)),
  }
}

function reads(parts: StandingParts, views: FleetViews): Omit<HubReads, 'audit' | 'events'> {
  return {
    status: async () => views.status(),
    sites: (query) => views.sites(query),
    site: (name) => views.site(name),
    workloads: async () => views.workloads(),
    workload: async (name) => views.workload(name),
    rollouts: async () => views.rollouts(),
    rollout: async (workload) => views.rollout(workload),
    batch: async (query) => batchPage(parts.world, query, parts.nowMs()),
    history: (workload) => views.history(workload),
    async why(kind, name) {
      if (kind === 'site') return whySite(parts, name)
      if (kind === 'object') return whyObject(parts, name)
      return kind === 'rollout' ? whyRollout(parts, name) : whyWorkload(parts, name)
    },
    freezes: async () => freezes(parts),
  }
}

/** `next` names the last one that was looked at, shown or not: a watch goes on from there. */
async function events(
  { world, nowMs }: ReadParts,
  after: number,
  limit: number,
  told: (event: EventRecord) => EventRecord | undefined,
): ReturnType<HubReads['events']> {
  const most = Math.min(Math.max(1, limit), MOST_EVENTS)
  const items: EventRecord[] = []
  let last: number | undefined
  for (let looked = 0; items.length < most && looked < MOST_LOOKED_AT;) {
    const rows = await world.store.events(last ?? after, MOST_EVENTS)
    for (const row of rows) {
      last = row.seq
      const event = told(row)
      if (event !== undefined && items.push(event) === most) break
    }
    looked += rows.length
    if (rows.length < MOST_EVENTS) break
  }
  return {
    formatVersion: API_FORMAT,
    asOfMs: nowMs(),
    total: items.length,
    items: items.map(({ atMs, kind, subject, message }) => ({ atMs, kind, subject, message })),
    next: last === undefined ? null : String(last),
  }
}
