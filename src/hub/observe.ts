/** One exchange with a site: what it saw is stored before it is acknowledged, and it is told what it should have. */
import type { Digest } from '../core/model/digest.ts'
import { Fault } from '../core/model/fault.ts'
import { jsonEqual, type Json } from '../core/model/json.ts'
import { compareGenerations, type WorkloadObservation } from '../core/model/observation.ts'
import type { KeyRing } from '../core/protocol/envelope.ts'
import { PROTOCOL_VERSION, type SyncUp } from '../core/protocol/messages.ts'
import type { Caller, SyncHandler, SyncReply } from '../core/protocol/ports.ts'
import { signTime, timeSubject } from '../core/protocol/time.ts'
import { everNamed } from '../core/protocol/trust.ts'
import { createAnswers, type Told } from './answer.ts'
import { isAboutAsk } from './ask-book.ts'
import { bringAsks } from './ask-carry.ts'
import { ASK_FACTS, hearFacts, pastOf } from './batch-views.ts'
import type { ClockGuard } from './clock-guard.ts'
import type { Contacts } from './contacts.ts'
import { enrolSite } from './enrol.ts'
import type { Authority } from './ports.ts'
import { fenceOthers, renewKey } from './renew.ts'
import type { Publisher } from './publish.ts'
import { adoptRemembered, adoptShown, ASK_MANIFEST, awaitsAdoption, shownManifest } from './recover.ts'
import type { Releases } from './releases.ts'
import { goesBy } from './rename.ts'
import type { Have, SiteRecord } from './store.ts'
import { saidEvents } from './said.ts'
import { sameObservation, type Draft, type World } from './world.ts'

/** A manifest that ends sooner than this is given anew to a site that does not have it yet. */
const RENEW_BEFORE_MS = 86_400_000
/** Sites of a connected class come a tenth earlier or later than asked, so that they never come together. */
const JITTER = 0.1
/** A site that is to show what it has comes again at once. */
const SHOW_MS = 1_000
/** A call that set out in time is not late for what the link takes. */
const ON_THE_WAY_MS = 5_000

export interface PollTimes {
  readonly connectedMs: number
  /** Sites that pay for every byte come at a moment between these. */
  readonly meteredMs: readonly [number, number]
}

export const POLL_TIMES: PollTimes = { connectedMs: 60_000, meteredMs: [110 * 60_000, 130 * 60_000] }

interface Latest {
  /** Store and process of the site. */
  readonly of: string
  readonly seq: number
  /** Items that this process of the site could not send. */
  readonly dropped: number
}

export interface ObserveParts {
  readonly world: World
  readonly publisher: Publisher
  readonly releases: Releases
  readonly authority: Authority
  readonly contacts: Contacts
  readonly guard: ClockGuard
  readonly polls: PollTimes
  readonly nowMs: () => number
  /** 0..1. */
  readonly random: () => number
}

export function createHandler(parts: ObserveParts): SyncHandler {
  const { world, authority, contacts, guard } = parts
  const answers = createAnswers(world.store, parts.releases, authority.signer)
  const ring = everNamed(authority.chain, 'manifest')
  /** By siteId: the latest message of each site, by its process and store: one that comes late says nothing new. */
  const latest = new Map<string, Latest>()

  return {
    standing(keyHash) {
      const key = world.keys.get(keyHash)
      if (key === undefined) return undefined
      const { site, siteId, state } = key
      const formerNames = world.sites.get(site)?.formerNames ?? []
      return { state: state === 'retired' ? 'retired' : 'active', site, siteId, formerNames }
    },
    async blob(caller, _domain, digest) {
      const site = world.sites.get(caller.site)
      if (site?.siteId !== caller.siteId || site.standing === 'retired' || !(await answers.mayRead(site, digest)))
        return undefined
      return (await answers.blob(digest))?.bytes
    },
    enrol: (request) => enrolSite(parts, request),
    renew: (request) => renewKey(parts, request),
    async sync(caller, up) {
      const site = known(world, caller, up)
      await fenceOthers(parts, caller)
      const nowMs = parts.nowMs()
      guard.witness(up.siteId, up.clockMs, nowMs)
      guard.trusted(nowMs)
      await receive(parts, site, up, latest, nowMs)
      const nextDueMs = dueIn(parts, site)
      const { lastContactMs, dueAtMs } = contacts.get(site.name)
      if (lastContactMs === null || (dueAtMs !== null && dueAtMs < nowMs)) {
        // Back after a missed due time: what was excused may go on, though it has nothing new to say.
        world.changed.add(site.name)
        world.onChange()
      }
      contacts.heard(site.name, nowMs, nowMs + nextDueMs + ON_THE_WAY_MS + nextDueMs * JITTER)
      let now = await adopted(parts, still(world, site), up, { nowMs, ring })
      now = await foreign(parts, now, up, nowMs)
      if (now.published === 'behind' && !world.unpublished.has(now.name)) {
        // It was not to be told anything before it was heard.
        world.unpublished.add(now.name)
        world.onChange()
      }
      if (isStale(now, up, nowMs)) {
        await parts.publisher.renew(site.name)
        now = world.sites.get(site.name) ?? now
      }
      const told = await answers.manifest(now, up.have)
      const past = pastOf(world.siteFacts.get(site.name), site.name, up, nowMs)
      const unknown = hearFacts(world.siteFacts, site.name, up, nowMs)
      const shows = awaitsAdoption(world, now)
      const asks = [
        ...(shows ? [ASK_MANIFEST] : unknown ? [ASK_FACTS] : []),
        ...(past === undefined ? [] : [past]),
        ...(await bringAsks(parts, now, nowMs)),
      ]
      const ackOutbox = up.outbox.reduce((most, { seq }) => Math.max(most, seq), 0)
      return {
        head: {
          v: PROTOCOL_VERSION,
          ack: up.seq,
          ackOutbox,
          nextDueMs: shows ? SHOW_MS : nextDueMs,
          ...(asks.length === 0 ? {} : { asks }),
        },
        manifest: told?.reply,
        blobs: await answers.blobs(now, told, up.want ?? []),
        time: statement(parts, now, up, told),
        ...newerTrust(authority, up),
      }
    },
  }
}

/** After `hub recover`: what the site shows is what it should have. */
async function adopted(
  parts: ObserveParts,
  site: SiteRecord,
  up: SyncUp,
  { nowMs, ring }: { readonly nowMs: number; readonly ring: KeyRing },
): Promise<SiteRecord> {
  const { world } = parts
  const { have } = up
  const shown = awaitsAdoption(world, site) ? shownManifest(up, ring) : undefined
  if (shown === undefined && (have !== null || !awaitsAdoption(world, site))) return site
  await world.turn(async (commit) => {
    const now = world.sites.get(site.name)
    if (now === undefined || !awaitsAdoption(world, now)) return
    if (shown === undefined || have === null) await commit(await adoptRemembered(world, now, nowMs))
    else await commit(await adoptShown(world, now, shown, have.body, nowMs))
  })
  // Its floor is above all of the epoch before.
  if (shown === undefined) await parts.publisher.renew(site.name)
  return world.sites.get(site.name) ?? site
}

/** Manifests that the store surely still has: this many generations back from the current one. */
const KNOWN_BACK = 3

/** A restored hub has counted on while the site was away: what the site has is older by number, and not of this hub all the same. */
async function foreign(parts: ObserveParts, site: SiteRecord, up: SyncUp, nowMs: number): Promise<SiteRecord> {
  const { current, fork } = site
  const { have } = up
  if (current === null || fork !== null || have === null || have.body === current.body) return site
  const { epoch, counter } = current.generation
  if (have.generation.epoch !== epoch || have.generation.counter < counter - KNOWN_BACK) return site
  if ((await parts.world.store.manifest(site.name, have.body)) !== undefined) return site
  await parts.world.submit(site.name, () => {
    const now = still(parts.world, site)
    const after: SiteRecord = { ...now, fork: now.fork ?? { reason: 'ForkedHub', seen: have, atMs: nowMs } }
    return { sites: [after], events: eventsOf(now, after, nowMs) }
  })
  return parts.world.sites.get(site.name) ?? site
}

/** Who it says it is, is who its key says it is, and is a site that may speak. Faults: KeyUnknown, KeyRetired, WrongSite. */
function known(world: World, caller: Caller, up: SyncUp): SiteRecord {
  const site = world.sites.get(caller.site)
  const facts = { site: caller.site }
  if (site === undefined || site.siteId !== caller.siteId)
    throw new Fault('KeyUnknown', 'no site of this name and id', { facts })
  if (site.standing === 'retired') throw new Fault('KeyRetired', 'this site was retired', { facts })
  if (!goesBy(site, up.site) || up.siteId !== site.siteId)
    throw new Fault('WrongSite', 'the report is of another site than its sender', { facts })
  return site
}

/** Fault Conflict where it was given another name within this exchange: it comes again under that one. */
function still(world: World, { name }: SiteRecord): SiteRecord {
  const site = world.sites.get(name)
  if (site === undefined) throw new Fault('Conflict', 'this site was renamed meanwhile', { facts: { site: name } })
  return site
}

async function receive(
  parts: ObserveParts,
  site: SiteRecord,
  up: SyncUp,
  latest: Map<string, Latest>,
  nowMs: number,
): Promise<void> {
  const { world } = parts
  const of = `${up.storeEpoch}/${up.boot}`
  const before = latest.get(up.siteId)
  const late = before?.of === of && up.seq < before.seq
  const observations = late ? [] : await changedObservations(world, site.name, up.observations)
  const gone = late ? [] : await goneObservations(world, site.name, up.goneWorkloads ?? [])
  const kept = up.outbox.filter((item) => item.class === 'result' || item.class === 'audit')
  const results = kept.filter((item) => !isAboutAsk(item))
  const siteChanged = !late && afterSync(site, up, nowMs) !== site
  const dropped = Object.values(up.dropped ?? {}).reduce((sum, count) => sum + count, 0)
  const lost = late ? 0 : dropped - (before?.of === of ? before.dropped : 0)
  if (observations.length + gone.length + kept.length > 0 || siteChanged || lost > 0)
    await world.submit(site.name, () => {
      const now = still(world, site)
      const next = late ? now : afterSync(now, up, nowMs)
      return {
        observations: observations.map((observation) => ({ site: site.name, observation })),
        observationsGone: gone.map((workload) => ({ site: site.name, workload })),
        ...(next === now ? {} : { sites: [{ ...next, ...parts.contacts.get(site.name), lastContactMs: nowMs }] }),
        ...world.asks.heard(up.siteId, kept, nowMs),
        results: results.map((item) => ({
          site: site.name,
          storeEpoch: up.storeEpoch,
          seq: item.seq,
          class: item.class,
          atMs: nowMs,
          body: { ...item.body, siteAtMs: item.atMs },
        })),
        events: [
          ...eventsOf(now, next, nowMs),
          ...saidEvents(site.name, up, nowMs),
          ...(lost > 0 ? [droppedEvent(site.name, lost, up, nowMs)] : []),
        ],
      }
    })
  if (!late) latest.set(up.siteId, { of, seq: up.seq, dropped })
}

function droppedEvent(site: string, lost: number, up: SyncUp, atMs: number): NonNullable<Draft['events']>[number] {
  const of = Object.entries(up.dropped ?? {}).map(([kind, count]) => `${count} ${kind}`)
  const message = `${lost} more items were dropped for want of room on the link: ${of.join(', ')} since its agent began`
  return { atMs, kind: 'Dropped', subject: `site/${site}`, message }
}

async function changedObservations(
  world: World,
  site: string,
  observations: readonly WorkloadObservation[],
): Promise<readonly WorkloadObservation[]> {
  if (observations.length === 0) return []
  const at = await world.atSite(
    site,
    observations.map(({ workload }) => workload),
  )
  return observations.filter((seen) => !sameObservation(at.get(seen.workload)?.observation, seen))
}

async function goneObservations(world: World, site: string, gone: readonly string[]): Promise<readonly string[]> {
  if (gone.length === 0) return []
  const at = await world.atSite(site, gone)
  return gone.filter((workload) => at.get(workload)?.observation != null)
}

/** The record after a message; the same object where it says nothing new. */
function afterSync(site: SiteRecord, up: SyncUp, nowMs: number): SiteRecord {
  const have = up.have
  const fork = site.fork ?? forkOf(site, have, nowMs)
  const same =
    site.agent === up.agent &&
    jsonEqual(site.have as unknown as Json, have as unknown as Json) &&
    jsonEqual(site.conditions as unknown as Json, up.conditions as unknown as Json) &&
    fork === site.fork
  return same ? site : { ...site, agent: up.agent, have, conditions: up.conditions, fork }
}

/** A site that has what this hub never signed: a restored backup or a clone must not roll it back. */
function forkOf(site: SiteRecord, have: Have | null, atMs: number): SiteRecord['fork'] {
  if (have === null) return null
  const order = site.current === null ? 1 : compareGenerations(have.generation, site.current.generation)
  if (order > 0) return { reason: 'HubBehind', seen: have, atMs }
  return order === 0 && have.body !== site.current?.body ? { reason: 'ForkedHub', seen: have, atMs } : null
}

function eventsOf(before: SiteRecord, after: SiteRecord, atMs: number): NonNullable<Draft['events']> {
  const subject = `site/${after.name}`
  const events: { atMs: number; kind: string; subject: string; message: string }[] = []
  if (before.fork === null && after.fork !== null) {
    const { epoch, counter } = after.fork.seen.generation
    events.push({
      atMs,
      kind: after.fork.reason,
      subject,
      message: `it has generation ${epoch}.${counter}, which this hub never published; nothing is published there`,
    })
  }
  for (const condition of after.conditions) {
    const old = before.conditions.find(({ type }) => type === condition.type)
    if (old?.reason === condition.reason) continue
    events.push({ atMs, kind: condition.type, subject, message: `${condition.reason}: ${condition.message}` })
  }
  return events
}

function isStale(site: SiteRecord, up: SyncUp, nowMs: number): boolean {
  const { current } = site
  return (
    current !== null &&
    site.fork === null &&
    up.have?.body !== current.body &&
    current.expiresMs < nowMs + RENEW_BEFORE_MS
  )
}

function dueIn({ polls, random }: ObserveParts, site: SiteRecord): number {
  if (site.linkClass === 'metered') {
    const [least, most] = polls.meteredMs
    return Math.round(least + random() * (most - least))
  }
  return Math.round(polls.connectedMs * (1 - JITTER + 2 * JITTER * random()))
}

/** Fault HubClock: the clock may have been set while the exchange was under way, and what is signed here is dear to take back. */
function statement(parts: ObserveParts, site: SiteRecord, up: SyncUp, told: Told | undefined): SyncReply['time'] {
  const { authority, guard, nowMs } = parts
  const timeMs = guard.trusted(nowMs())
  const { timeEpoch } = authority.trust
  const sent =
    told === undefined || site.current === null
      ? undefined
      : { generation: site.current.generation, root: site.current.root }
  const { generation, root }: { generation: Have['generation']; root: Digest } = timeSubject(sent, up.have)
  const sig = signTime({ siteId: up.siteId, nonce: up.nonce, timeMs, timeEpoch, generation, root }, authority.signer)
  return { timeMs, timeEpoch, keyid: authority.signer.keyid, sig }
}

function newerTrust(authority: Authority, up: SyncUp): { trust?: NonNullable<SyncReply['trust']> } {
  const { version } = authority.trust
  const latest = authority.chain.at(-1)
  if (latest === undefined || up.trust === undefined || up.trust >= version) return {}
  return { trust: { version, statement: latest } }
}
