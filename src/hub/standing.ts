/** How a site and its workloads stand: what Git says, what the site was told, what it said, and why the rest waits. */
import type { SiteView, WorkloadAtSite } from '../core/api/types.ts'
import { byUtf16 } from '../core/model/json.ts'
import { sameGeneration } from '../core/model/observation.ts'
import { worstHealth, type HealthState, type LinkState, type SyncState, type Waiting } from '../core/model/state.ts'
import type { RolloutDecision } from '../core/rollout/types.ts'
import type { Contacts } from './contacts.ts'
import { activeHold, linkState } from './facts.ts'
import { fleetState } from './source-state.ts'
import type { AtSite, RolloutRecord, SiteRecord } from './store.ts'
import type { Signed } from './signed.ts'
import type { WorldSeen } from './world.ts'

/** Worst last. Unknown is never green. */
const SYNC_ORDER: readonly SyncState[] = ['Synced', 'Unknown', 'Waiting', 'Progressing', 'Drifted', 'Failed']

export interface Standing {
  readonly link: LinkState
  readonly sync: SyncState
  readonly health: HealthState
}

export interface StandingParts {
  readonly world: WorldSeen
  readonly contacts: Contacts
  readonly decisions: ReadonlyMap<string, RolloutDecision>
  /** All that keeps a site from what it should have of a workload, the nearest first; absent: what was decided says one. */
  readonly explain?: (workload: string, site: string) => readonly Waiting[]
  readonly nowMs: () => number
  /** Whose word sites ask for; absent: they ask for none. */
  readonly signed?: Pick<Signed, 'demanded' | 'allows'>
  /** Why the hub does not believe its own clock; absent: it is not asked. */
  readonly clockDoubt?: () => string | undefined
}

export function worstSync(states: Iterable<SyncState>): SyncState {
  let worst = -1
  for (const state of states) worst = Math.max(worst, SYNC_ORDER.indexOf(state))
  return SYNC_ORDER[worst] ?? 'Unknown'
}

export function linkOf({ world, contacts, nowMs }: StandingParts, site: string): LinkState {
  return linkState(contacts.get(site), fleetState(world).link, nowMs())
}

/** The last word of a site that is overdue is old: it is not shown as fine. */
export function overdue(sync: SyncState): SyncState {
  return sync === 'Synced' || sync === 'Progressing' ? 'Unknown' : sync
}

/** How one workload stands at one site by what Git wants and by what the site last said. */
export function stateAt(name: string, record: RolloutRecord | undefined, at: AtSite | undefined) {
  const target = (record?.next ?? record?.spec)?.targets.get(name) ?? null
  const entry = at?.entry ?? null
  const seen = at?.observation ?? null
  // An answer about an older entry says what runs, and nothing of how this one goes.
  const answer = seen !== null && entry !== null && sameGeneration(seen.since, entry.since) ? seen : null
  const moving = target !== null && entry?.release !== target
  const progress = record?.state?.sites.get(name)
  const sync: SyncState = moving
    ? progress?.phase === 'failed'
      ? 'Failed'
      : 'Waiting'
    : (answer?.sync ?? 'Progressing')
  const health: HealthState = answer?.health ?? (seen === null ? 'Unknown' : seen.health)
  return { target, entry, answer, moving, progress, sync, health }
}

/** One workload at one site. `record` undefined: Git has it no more. */
export function workloadAt(
  parts: StandingParts,
  site: SiteRecord,
  workload: string,
  at: AtSite | undefined,
  link: LinkState,
): WorkloadAtSite {
  const record = parts.world.rollouts.get(workload)
  const seen = at?.observation ?? null
  const { target, entry, answer, moving, progress, sync, health } = stateAt(site.name, record, at)
  const waiting = waitingOf(parts, site, record, workload, moving) ?? answer?.waiting ?? null
  const failed = answer?.failure ?? (progress?.failure === undefined ? undefined : progress.failure)
  return {
    workload,
    target,
    desired: entry?.release ?? null,
    received: seen?.received?.digest ?? null,
    staged: seen?.staged?.digest ?? null,
    applied: seen?.applied?.digest ?? null,
    healthy: seen?.healthy?.digest ?? null,
    sync: link === 'Online' ? sync : overdue(sync),
    health: link === 'Online' ? health : 'Unknown',
    waiting,
    failure: failed === undefined ? null : { reason: failed.reason, message: failed.message },
    objects: seen?.objects ?? [],
    atMs: latestAt(at),
  }
}

function waitingOf(
  { world, decisions }: StandingParts,
  site: SiteRecord,
  record: RolloutRecord | undefined,
  workload: string,
  moving: boolean,
): Waiting | null {
  const held = fleetState(world).workloads[workload]?.held.find(
    ({ sites }) => sites === null || sites.includes(site.name),
  )
  if (held !== undefined) return { reason: 'HeldByError', detail: held.problem.code }
  if (record === undefined) return site.listed ? null : { reason: 'Unlisted' }
  const decided = decisions.get(workload)?.waiting.get(site.name)
  if (decided !== undefined) return decided
  if (!moving) return null
  return record.next === null ? { reason: 'WaveNotReached' } : { reason: 'WaveNotReached', detail: 'a newer map waits' }
}

function latestAt(at: AtSite | undefined): number | null {
  const seen = at?.observation
  if (seen == null) return null
  const times = [seen.desired, seen.received, seen.staged, seen.applied, seen.healthy].map((s) => s?.atMs ?? 0)
  return Math.max(...times) || null
}

/** A site that has something to be told, and is told nothing for want of a signer's word on what it has: after a rename, for one. */
export function untold(
  { signed, nowMs }: StandingParts,
  { name, published, formerNames = [] }: SiteRecord,
  at: () => Iterable<AtSite>,
): SiteView['conditions'] {
  if (signed?.demanded !== true || published === 'current') return []
  const lacking = [...at()].flatMap(({ entry }) =>
    entry === null || signed.allows(name, entry.workload, entry.release) ? [] : [entry.workload],
  )
  if (lacking.length === 0) return []
  const was = formerNames.at(-1)
  const message = `no release signer signed for what it has of ${lacking.toSorted(byUtf16).join(', ')} under this name${was === undefined ? '' : ` (it was ${was})`}: it keeps all that it has and is told nothing new until \`flotilla sign\` was run`
  return [{ type: 'Manifest', reason: 'Unsigned', message, sinceMs: nowMs() }]
}

export function siteView(parts: StandingParts, site: SiteRecord, at: ReadonlyMap<string, AtSite>): SiteView {
  const { world, contacts, nowMs } = parts
  const link = linkOf(parts, site.name)
  const meant = [...world.rollouts.values()]
    .filter(({ spec, next }) => (next ?? spec).targets.has(site.name))
    .map(({ spec }) => spec.workload)
  const names = [...new Set([...meant, ...at.keys()])].sort(byUtf16)
  const workloads = names.map((name) => workloadAt(parts, site, name, at.get(name), link))
  const hold = activeHold(world, site.name, nowMs())
  const { lastContactMs, dueAtMs } = contacts.get(site.name)
  const git = site.gitHold
  return {
    name: site.name,
    siteId: site.siteId,
    labels: site.labels,
    link,
    sync: site.listed ? worstSync(workloads.map(({ sync }) => sync)) : 'Unknown',
    health: worstHealth(workloads.map(({ health }) => health)),
    lastContactMs,
    dueAtMs,
    agent: site.agent,
    revision: site.current?.revision ?? null,
    listed: site.listed,
    mode: site.mode,
    hold:
      hold !== undefined
        ? { reason: hold.reason, by: hold.by, untilMs: hold.untilMs }
        : git === null
          ? null
          : { reason: git.reason, by: 'git', untilMs: git.untilMs },
    workloads,
    conditions: [
      ...site.conditions,
      ...untold(parts, site, () => at.values()),
      ...(site.fork === null
        ? []
        : [
            {
              type: 'Manifest',
              reason: site.fork.reason,
              message:
                'the site has what this hub never published: nothing is published there until `flotilla hub recover`',
              sinceMs: site.fork.atMs,
            },
          ]),
    ],
  }
}
