/** What the rollout engine is told of a site, and how old its last word is. */
import { matches } from '../core/kube/selector.ts'
import type { LinkState } from '../core/model/state.ts'
import type { SiteFacts, SiteWorkload } from '../core/rollout/types.ts'
import type { AtSite, FreezeRecord, HoldRecord, SiteRecord } from './store.ts'
import type { World, WorldSeen } from './world.ts'

/** Last contact and the agreed next one: in memory, written down now and then. */
export interface Contact {
  readonly lastContactMs: number | null
  readonly dueAtMs: number | null
}

export function activeHold(world: WorldSeen, site: string, nowMs: number): HoldRecord | undefined {
  const hold = world.holds.get(site)
  return hold === undefined || (hold.untilMs !== null && hold.untilMs <= nowMs) ? undefined : hold
}

export function activeFreeze(world: WorldSeen, site: SiteRecord, nowMs: number): FreezeRecord | undefined {
  for (const freeze of world.freezes.values())
    if (freeze.untilMs > nowMs && (freeze.selector === null || matches(freeze.selector, site.labels))) return freeze
  return undefined
}

/** An operator's hold comes before Git's; a site that is ahead of this hub is held until `hub recover`. */
export function holdOf(world: World, site: SiteRecord, nowMs: number): SiteFacts['hold'] {
  if (site.fork !== null) return { reason: site.fork.reason, untilMs: null }
  const hold = activeHold(world, site.name, nowMs)
  if (hold !== undefined) return { reason: hold.reason, untilMs: hold.untilMs }
  const git = site.gitHold
  return git === null || (git.untilMs !== null && git.untilMs <= nowMs) ? null : git
}

export function siteFacts(world: World, site: SiteRecord, contact: Contact, nowMs: number): SiteFacts {
  const freeze = activeFreeze(world, site, nowMs)
  return {
    name: site.name,
    labels: site.labels,
    enrolled: site.siteId !== null && site.standing === 'active',
    lastContactMs: contact.lastContactMs,
    dueAtMs: contact.dueAtMs,
    hold: holdOf(world, site, nowMs),
    freeze: freeze === undefined ? null : { reason: freeze.reason, untilMs: freeze.untilMs },
    mode: site.mode,
  }
}

export function siteWorkload(at: AtSite | undefined): SiteWorkload | undefined {
  if (at === undefined) return undefined
  return {
    published: at.entry?.release ?? null,
    since: at.entry?.since ?? null,
    startByMs: at.entry?.startByMs ?? null,
    ...(at.entry?.glass === undefined ? {} : { glass: at.entry.glass }),
    observation: at.observation,
  }
}

/** When words of operators end by themselves: the next such time after now. */
export function nextEndMs(world: World, nowMs: number): number | null {
  let least: number | null = null
  const look = (ms: number | null | undefined): void => {
    if (ms != null && ms > nowMs && (least === null || ms < least)) least = ms
  }
  for (const { untilMs } of world.holds.values()) look(untilMs)
  for (const { untilMs } of world.freezes.values()) look(untilMs)
  for (const { gitHold } of world.sites.values()) look(gitHold?.untilMs)
  return least
}

/** Late and Lost count from a missed due time, never from silence as such. */
export function linkState(
  contact: Contact,
  limits: { readonly lateAfterMs: number; readonly lostAfterMs: number },
  nowMs: number,
): LinkState {
  if (contact.lastContactMs === null) return 'Never'
  const overdueMs = nowMs - (contact.dueAtMs ?? contact.lastContactMs)
  return overdueMs > limits.lostAfterMs ? 'Lost' : overdueMs > limits.lateAfterMs ? 'Late' : 'Online'
}
