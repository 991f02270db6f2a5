/** What a good revision changes: site records, the rollouts' maps, and entries that Git takes away. Under the lock. */
import { deletionsBySite } from '../core/fleet/deletions.ts'
import type { DeletionList, Fleet, HeldWorkload, Site } from '../core/fleet/types.ts'
import { digestJson, type Digest } from '../core/model/digest.ts'
import { rolloutPolicyOf } from '../core/fleet/policy.ts'
import { byUtf16, jsonEqual, type Json } from '../core/model/json.ts'
import { confirmedList } from '../core/protocol/deletions.ts'
import type { SiteTargets } from './compile.ts'
import { emptyings, type Emptying } from './empty.ts'
import { renamedWorld, type Known } from './rename.ts'
import type { Releases } from './releases.ts'
import { rolloutId } from './rollouts.ts'
import { type FleetState, fleetState, type Held } from './source-state.ts'
import type { KeptSpec, Rename, RolloutRecord, SiteRecord } from './store.ts'
import { stoppingWindows } from './windows.ts'
import type { Draft, World } from './world.ts'

/** Confirmed deletion lists that a site's manifest goes on naming: a site that was dark for so many of them is not stopped twice. */
const KEPT_CONFIRMED = 5

export interface Adoption {
  readonly draft: Draft
  readonly fleet: FleetState
  /** Confirmations that were used up by it, beside that of the fleet's list. */
  readonly spent: readonly Digest[]
}

export interface AdoptFacts {
  readonly revision: string
  readonly nowMs: number
  readonly confirmed: { readonly digest: Digest; readonly list: DeletionList } | null
  readonly held: readonly HeldWorkload[]
  readonly renames: readonly Rename[]
  readonly spent: ReadonlySet<Digest>
  readonly releases: Pick<Releases, 'load'>
}

export async function changeTargets(
  before: World,
  fleet: Fleet,
  sites: SiteTargets,
  facts: AdoptFacts,
): Promise<Adoption> {
  const world = renamedWorld(before, facts.renames)
  const maps = byWorkload(sites)
  const emptied = await emptyings(world, fleet, sites, {
    spent: facts.spent,
    load: (digest) => facts.releases.load(digest),
  })
  const yes = confirmations(world, fleet, facts, emptied)
  const records = new Map(changedSites(world, fleet, sites, yes.digests).map((site) => [site.name, site]))
  const rollouts: RolloutRecord[] = []
  for (const [workload, targets] of maps) {
    const next = nextRollout(world.rollouts.get(workload), specOf(fleet, workload, targets, facts))
    if (next !== null) rollouts.push(next)
  }
  const decided = new Set(rollouts.map(({ spec }) => spec.workload))
  for (const [workload, record] of world.rollouts)
    if (!decided.has(workload) && maps.has(workload) && record !== before.rollouts.get(workload)) rollouts.push(record)
  const gone = [...world.rollouts.keys()].filter((workload) => !maps.has(workload))
  const entriesGone = await goneEntries(world, fleet, sites, maps, facts.confirmed?.list ?? null)
  for (const { site, workloads } of emptied) entriesGone.push(...workloads.map((workload) => ({ site, workload })))
  const behind = [
    ...(stopsOtherwise(before, fleet) ? toldSites(world) : []),
    ...facts.renames.map(({ to }) => to),
    ...entriesGone.map(({ site }) => site),
    ...[...records.values()].filter((site) => tellsMore(world.sites.get(site.name), site)).map(({ name }) => name),
  ]
  for (const name of behind) {
    const record = records.get(name) ?? world.sites.get(name)
    if (record !== undefined) records.set(name, { ...record, published: 'behind' })
  }
  const retired = [...records.values()].filter(
    ({ name, standing }) => standing === 'retired' && world.sites.get(name)?.standing === 'active',
  )
  return {
    draft: {
      ...retirement(world, retired, facts),
      renames: facts.renames,
      events: [...renamed(facts), ...emptied.map((it) => emptiedEvent(it, facts.nowMs))],
      blobs: yes.blobs,
      sites: [...records.values()],
      rollouts: rollouts.map((record) => ({ record, whole: true, sites: new Map() })),
      rolloutsGone: gone,
      entriesGone,
    },
    fleet: fleetStateOf(fleet, facts.held),
    spent: emptied.map(({ digest }) => digest),
  }
}

/** Keys that Git retires are refused from this commit on, whatever session they are in. */
function retirement(world: Known, retired: readonly SiteRecord[], facts: AdoptFacts): Pick<Draft, 'keys' | 'audit'> {
  const names = new Set(retired.map(({ name }) => name))
  return {
    keys: [...world.keys.values()]
      .filter(({ site, state }) => names.has(site) && state !== 'retired')
      .map((key) => ({ ...key, state: 'retired' as const })),
    audit: [
      ...facts.renames.map(({ from, to }) => ({ action: 'site renamed', subject: to, detail: { from } })),
      ...retired.map(({ name, gitRetired = '' }) => ({
        action: 'retire',
        subject: name,
        detail: { reason: gitRetired },
      })),
    ].map((said) => ({ atMs: facts.nowMs, actor: `git ${facts.revision.slice(0, 12)}`, ...said })),
  }
}

function renamed({ renames, nowMs }: AdoptFacts): NonNullable<Draft['events']> {
  return renames.map(({ from, to }) => ({
    atMs: nowMs,
    kind: 'SiteRenamed',
    subject: `site/${to}`,
    message: `was ${from}: it goes on with its identity and all that it has`,
  }))
}

function emptiedEvent({ site, digest, objects }: Emptying, nowMs: number): NonNullable<Draft['events']>[number] {
  const message = `${objects.length} objects go: ${digest} is confirmed`
  return { atMs: nowMs, kind: 'SiteEmptied', subject: `site/${site}`, message }
}

function byWorkload(sites: SiteTargets): ReadonlyMap<string, ReadonlyMap<string, Digest>> {
  const maps = new Map<string, Map<string, Digest>>()
  for (const site of [...sites.keys()].sort(byUtf16))
    for (const [workload, digest] of sites.get(site) ?? []) {
      const map = maps.get(workload) ?? new Map<string, Digest>()
      maps.set(workload, map.set(site, digest))
    }
  return maps
}

function specOf(fleet: Fleet, name: string, targets: ReadonlyMap<string, Digest>, facts: AdoptFacts): KeptSpec {
  const workload = fleet.workloads.get(name)
  return {
    workload: name,
    id: rolloutId(name, targets),
    revision: facts.revision,
    createdAtMs: facts.nowMs,
    priority: 0,
    policy: rolloutPolicyOf(fleet, name),
    targets,
    dependsOn: (workload?.dependsOn ?? []).map((needed) => ({ name: needed.name, optional: needed.optional })),
    confirm: workload?.confirm ?? null,
    team: workload?.team ?? null,
  }
}

/** The record after Git's map, or null where it says what it said. */
function nextRollout(record: RolloutRecord | undefined, spec: KeptSpec): RolloutRecord | null {
  if (record === undefined) return { spec, state: null, next: null }
  const meant = record.next ?? record.spec
  if (sameMap(meant.targets, spec.targets)) return null
  if (record.state === null) return { ...record, spec, next: null }
  if (sameMap(record.spec.targets, spec.targets)) return { ...record, next: null }
  // Sites that come or go change nobody's release: what was approved and soaked stands, and the engine finds them their place.
  // A rollout that has ended begins anew for sites that come, and only takes note of sites that go.
  const turn = movement(record.spec.targets, spec.targets)
  const inPlace = turn === 'went' || (turn === 'cameOrWent' && record.state.phase !== 'Completed')
  if (inPlace)
    return { ...record, spec: { ...record.spec, targets: spec.targets, dependsOn: spec.dependsOn }, next: null }
  // A site that went and comes again makes the very map that has ended: it is another rollout all the same.
  const id = spec.id === record.spec.id ? digestJson('rollout', { again: spec.id }) : spec.id
  return { ...record, next: { ...spec, id } }
}

function sameMap(a: ReadonlyMap<string, Digest>, b: ReadonlyMap<string, Digest>): boolean {
  if (a.size !== b.size) return false
  for (const [site, digest] of a) if (b.get(site) !== digest) return false
  return true
}

function movement(
  before: ReadonlyMap<string, Digest>,
  after: ReadonlyMap<string, Digest>,
): 'went' | 'cameOrWent' | 'changed' {
  let came = false
  for (const [site, digest] of after) {
    const old = before.get(site)
    if (old === undefined) came = true
    else if (old !== digest) return 'changed'
  }
  return came ? 'cameOrWent' : 'went'
}

/** Entries that Git takes away: at sites that are still listed, for a site that is not keeps all that a confirmed list does not name. */
async function goneEntries(
  world: Known,
  fleet: Fleet,
  sites: SiteTargets,
  maps: ReadonlyMap<string, ReadonlyMap<string, Digest>>,
  confirmed: DeletionList | null,
): Promise<{ readonly site: string; readonly workload: string }[]> {
  const gone = new Map<string, { site: string; workload: string }>()
  const listed = (site: string): boolean => (sites.get(site)?.size ?? 0) > 0
  const meant = new Set((confirmed?.untargeted ?? []).flatMap((of) => of.sites.map((site) => `${site}/${of.workload}`)))
  // What was renamed stays until its new name is published there.
  const heirs = new Map(
    [...fleet.workloads.values()].flatMap((heir) => heir.formerNames.map((old) => [old, heir.name])),
  )
  const inherited = (site: string, workload: string): boolean =>
    sites.get(site)?.has(heirs.get(workload) ?? '') === true
  for (const { spec, next } of world.rollouts.values()) {
    const { workload } = spec
    for (const targets of next === null ? [spec.targets] : [spec.targets, next.targets])
      for (const site of targets.keys())
        if (
          maps.get(workload)?.has(site) !== true &&
          (listed(site) || meant.has(`${site}/${workload}`)) &&
          !inherited(site, workload)
        )
          gone.set(`${site}/${workload}`, { site, workload })
  }
  // A site that comes back into the list may hold workloads that were taken away while it was out of it.
  for (const [site, targets] of sites) {
    const known = world.sites.get(site)
    if (!listed(site) || known === undefined || known.listed || known.current === null) continue
    for (const { workload } of await world.entriesOf(site))
      if (!targets.has(workload) && !inherited(site, workload)) gone.set(`${site}/${workload}`, { site, workload })
  }
  return [...gone.values()]
}

function changedSites(
  world: Known,
  fleet: Fleet,
  sites: SiteTargets,
  confirmed: ReadonlyMap<string, readonly Digest[]>,
): SiteRecord[] {
  const out: SiteRecord[] = []
  for (const site of fleet.sites.values()) {
    const known = world.sites.get(site.name)
    const next = asInGit(known ?? expected(site.name), site, (sites.get(site.name)?.size ?? 0) > 0)
    const told = withConfirmed(next, confirmed.get(site.name) ?? [])
    if (known === undefined || !jsonEqual(known as unknown as Json, told as unknown as Json)) out.push(told)
  }
  for (const known of world.sites.values()) {
    const yes = confirmed.get(known.name) ?? []
    if (fleet.sites.has(known.name) || (!known.inGit && yes.length === 0)) continue
    out.push(withConfirmed({ ...known, inGit: false, listed: false }, yes))
  }
  return out
}

/** A site of which nothing is known but its name. */
export function expected(name: string): SiteRecord {
  return {
    name,
    siteId: null,
    standing: 'expected',
    inGit: false,
    listed: false,
    labels: {},
    linkClass: 'connected',
    mode: 'enforce',
    gitHold: null,
    agent: null,
    recipient: null,
    conditions: [],
    current: null,
    have: null,
    fork: null,
    lastContactMs: null,
    dueAtMs: null,
    published: 'current',
    confirmed: [],
  }
}

function asInGit(record: SiteRecord, site: Site, listed: boolean): SiteRecord {
  const { labels, mode, link, hold, location } = site
  const { timeZone } = location
  const { gitRetired: _before, ...rest } = record
  return {
    ...rest,
    inGit: true,
    listed,
    labels: { ...labels },
    linkClass: link.class,
    timeZone,
    mode,
    gitHold: hold,
    // Git retires whoever stands there now; taken back, the name needs a new token, as after `retire`.
    ...(site.retired === null ? {} : { gitRetired: site.retired }),
    standing: site.retired !== null && record.standing === 'active' ? 'retired' : record.standing,
  }
}

function withConfirmed(site: SiteRecord, digests: readonly Digest[]): SiteRecord {
  const fresh = digests.filter((digest) => !site.confirmed.includes(digest))
  return fresh.length === 0 ? site : { ...site, confirmed: [...site.confirmed, ...fresh].slice(-KEPT_CONFIRMED) }
}

interface Confirmations {
  /** By site. */
  readonly digests: ReadonlyMap<string, readonly Digest[]>
  readonly blobs: NonNullable<Draft['blobs']>
}

/**
 * What Git says yes to, site by site: each one's part of the fleet's list, as a list of its own; and what a site's fuse stopped,
 * where Git names the digest that this very site reported. A site that never had anything has nothing to lose.
 */
function confirmations(
  world: Known,
  fleet: Fleet,
  { confirmed, revision }: AdoptFacts,
  emptied: readonly Emptying[],
): Confirmations {
  const digests = new Map<string, Digest[]>()
  const blobs: { digest: Digest; domain: 'deletions'; bytes: Uint8Array }[] = []
  const say = (site: string, digest: Digest): void => void digests.set(site, [...(digests.get(site) ?? []), digest])
  for (const [site, objects] of confirmed === null ? [] : deletionsBySite(confirmed.list)) {
    const siteId = world.sites.get(site)?.siteId ?? null
    if (confirmed === null || siteId === null) continue
    const { digest, bytes } = confirmedList({ siteId, list: confirmed.digest, revision, objects })
    blobs.push({ digest, domain: 'deletions', bytes })
    say(site, digest)
  }
  for (const { site, siteId, digest: list, objects } of emptied) {
    const { digest, bytes } = confirmedList({ siteId, list, revision, objects })
    blobs.push({ digest, domain: 'deletions', bytes })
    say(site, digest)
  }
  const inGit = new Set(fleet.deletionBrake.confirmed)
  for (const { name, conditions } of inGit.size === 0 ? [] : world.sites.values())
    for (const { deletions } of conditions) if (deletions !== undefined && inGit.has(deletions)) say(name, deletions)
  return { digests, blobs }
}

/** Windows that stop what has begun stand in the manifests of the sites that they concern: they are told of a change. */
function stopsOtherwise(world: World, fleet: Fleet): boolean {
  const before = stoppingWindows(fleetState(world).windows ?? [])
  return !jsonEqual(before as unknown as Json, stoppingWindows(fleet.windows) as unknown as Json)
}

function toldSites({ sites }: Known): readonly string[] {
  return [...sites.values()].filter(({ current }) => current !== null).map(({ name }) => name)
}

/** Does its manifest say more than its entries do? Labels decide which freezes it echoes, and with the zone which windows stop it. */
function tellsMore(before: SiteRecord | undefined, after: SiteRecord): boolean {
  if (before === undefined || before.current === null) return false
  if (before.mode !== after.mode || before.timeZone !== after.timeZone) return true
  return before.confirmed !== after.confirmed || !jsonEqual(before.labels, after.labels)
}

function fleetStateOf(fleet: Fleet, held: readonly HeldWorkload[]): FleetState {
  const heldOf = (name: string): readonly Held[] =>
    held.filter(({ workload }) => workload === name).map(({ sites, problem }) => ({ sites, problem }))
  const workloads = [...fleet.workloads.values()].map(
    ({ name, team, rollout }) => [name, { team, policy: rollout, held: heldOf(name) }] as const,
  )
  const { name, budget, link, windows } = fleet
  return { name, budget, link, windows, workloads: Object.fromEntries(workloads) }
}
