/** The hub as one process: its loops, what the link's server calls, and what people call. Everything waits on a bell, nothing on a site. */
import { createFleetCache } from '../core/fleet/cache.ts'
import { asFault } from '../core/model/fault.ts'
import { PAYLOAD_TYPES, signBytes } from '../core/protocol/envelope.ts'
import type { SyncHandler } from '../core/protocol/ports.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/logger.ts'
import type { HubApi } from './api.ts'
import { overAt } from './asks.ts'
import { Bell } from './bell.ts'
import { ClockGuard } from './clock-guard.ts'
import { compiler as builtIn, type Compiler } from './compile.ts'
import { Contacts } from './contacts.ts'
import { createHandler, POLL_TIMES, type PollTimes } from './observe.ts'
import { createApi } from './operate.ts'
import type { Authority, GitSource } from './ports.ts'
import { createPublisher } from './publish.ts'
import { epochOf, isUnheard } from './recover.ts'
import { Releases } from './releases.ts'
import { createRollouts, type Rollouts } from './rollouts.ts'
import { Signed } from './signed.ts'
import { createSource } from './source.ts'
import { fleetState, sourceState } from './source-state.ts'
import type { HubStore } from './store.ts'
import { isSweepDue, sweepBlobs } from './sweep.ts'
import { createViews } from './views.ts'
import { World } from './world.ts'

/** Reports that come within this are decided on together. */
const COALESCE_MS = 50
/** After a turn that took long, as many times that: where a hundred thousand places move, deciding leaves the hub to its sites. */
const REST_FACTOR = 2
const MOST_REST_MS = 1_000
/** Time alone changes nothing sooner than this: a time that is over already does not make the loop spin. */
const LEAST_WAIT_MS = 250
/** A loop that met a fault of the store tries again after this, doubled up to the second. */
const RETRY_MS = 1_000
const MOST_RETRY_MS = 60_000
/** Last contacts, the time floor and the signed head of the audit log are written down so often. */
const FLUSH_MS = 10 * 60_000
/** A clock that is not believed is looked at again after this. */
const CLOCK_DOUBT_MS = 60_000
/** How far the sites' median may be from the hub's clock. */
const MAX_CLOCK_SKEW_MS = 86_400_000

export interface HubPorts {
  readonly store: HubStore
  readonly git: GitSource
  readonly authority: Authority
  readonly clock: Clock
  readonly log: Logger
  /** 0..1: jitter of due times. Default Math.random. */
  readonly random?: () => number
  /** Default: the fleet room's parser and renderer. */
  readonly compiler?: Compiler
  /** Connected sites with a new manifest: the link tells those that listen to come. */
  readonly nudge?: (sites: readonly string[]) => void
}

export interface HubOptions {
  readonly version: string
  /** Folder of `flotilla.yaml` inside the repository, '' for its root. */
  readonly root: string
  readonly gitPollMs: number
  /** When sites are asked to come again, by class of their link. */
  readonly polls?: PollTimes
  /** Where sites reach this hub: known once the link listens. */
  readonly linkUrl: () => string
  /** null: the sites' clocks do not judge the hub's (a demo whose hub runs faster). */
  readonly maxClockSkewMs?: number | null
}

export interface Hub {
  readonly handler: SyncHandler
  readonly api: HubApi
  /** Runs until the signal; then what is only in memory is written down. The store stays open. */
  run(signal: AbortSignal): Promise<void>
  /** A token of role admin, once: null where any token was ever made. */
  firstToken(): Promise<string | null>
  /** One turn of a loop at a time, for simulation and tests; `run` does nothing else. */
  readonly turns: {
    source(signal: AbortSignal): Promise<{ readonly moved: boolean }>
    rollouts(): Promise<{ readonly nextAtMs: number | null; readonly published: readonly string[] }>
    flush(): Promise<void>
  }
}

/** Reads what the store keeps per site, nothing per object. Faults as HubStore. */
export async function createHub(ports: HubPorts, options: HubOptions): Promise<Hub> {
  const { store, git, authority, clock, log, random = Math.random, compiler = builtIn } = ports
  const nowMs = (): number => clock.nowMs()
  const world = await World.open(store)
  await noteKeys(world, authority, nowMs())
  const releases = new Releases(store)
  const signed = new Signed(authority.trust, world.statements)
  const contacts = new Contacts(world, clock)
  const floor = world.meta.get('timeFloorMs')
  const guard = new ClockGuard({
    floorMs: floor === undefined ? null : Number(floor),
    maxSkewMs: options.maxClockSkewMs === undefined ? MAX_CLOCK_SKEW_MS : options.maxClockSkewMs,
    witnesses: () => [...world.sites.values()].filter(({ standing }) => standing === 'active').length,
  })
  const publisher = createPublisher({
    world,
    releases,
    signed,
    nowMs,
    epoch: () => epochOf(world),
    isUnheard: (site) => isUnheard(world, site, contacts.get(site.name).lastContactMs),
    revision: () => sourceState(world).revision ?? '',
  })
  const rollouts = createRollouts({
    world,
    publisher,
    signed,
    nowMs,
    contact: (site) => contacts.get(site),
    budget: () => fleetState(world).budget,
    revision: () => sourceState(world).revision,
  })
  const source = createSource({
    world,
    git,
    compiler,
    releases,
    cache: createFleetCache(),
    root: options.root,
    nowMs,
    log,
  })
  const handler = createHandler({
    world,
    publisher,
    releases,
    authority,
    contacts,
    guard,
    polls: options.polls ?? POLL_TIMES,
    nowMs,
    random,
  })
  const clockDoubt = (): string | undefined => guard.doubt(nowMs())
  const explain: Rollouts['explain'] = (workload, site) => rollouts.explain(workload, site)
  const seen = { world, contacts, decisions: rollouts.decisions, explain, nowMs, signed, clockDoubt }
  const views = createViews({ ...seen, source, git, version: options.version })
  const bells = { source: new Bell(), rollouts: new Bell() }
  world.onChange = () => bells.rollouts.ring()
  world.onRenamed = (rename) => contacts.renamed(rename)
  world.onPublished = (told) => {
    const called = told.filter((site) => world.sites.get(site)?.linkClass !== 'metered')
    if (called.length > 0) ports.nudge?.(called)
  }
  const api = createApi({
    ...seen,
    rollouts,
    views,
    source,
    signed,
    authority,
    linkUrl: options.linkUrl,
    wake: () => bells.rollouts.ring(),
    look: () => bells.source.ring(),
    ready: () => {
      const ok = source.checkedAtMs !== null || sourceState(world).revision !== null
      return { ok, because: ok ? 'serving' : 'the branch was not looked at yet' }
    },
  })

  const decide = async (): ReturnType<typeof rollouts.turn> => {
    // By a wrong clock every site is late and every hold is over: nothing is decided until it is right again.
    if (guard.doubt(nowMs()) !== undefined) return { nextAtMs: nowMs() + CLOCK_DOUBT_MS, published: [] }
    const turned = await rollouts.turn()
    // Summed up now: whoever looks after everything changed does not wait for it.
    views.standings()
    return turned
  }

  const flush = async (): Promise<void> => {
    await contacts.flush()
    const meta: Record<string, string> = {}
    if (guard.floorMs !== null) meta['timeFloorMs'] = String(guard.floorMs)
    const { seq, hash } = world.auditHead
    const signed = JSON.parse(world.meta.get('audit.signed') ?? '{"seq":0}') as { readonly seq: number }
    if (seq > signed.seq) {
      const head = { atMs: nowMs(), hash, seq }
      const sig = signBytes(PAYLOAD_TYPES.audit, Buffer.from(JSON.stringify(head)), authority.signer)
      meta['audit.signed'] = JSON.stringify({ ...head, keyid: authority.signer.keyid, sig: sig.toString('base64') })
    }
    const asksGone = overAt(world, nowMs())
    if (asksGone.length > 0) await world.turn((commit) => commit({ asksGone }))
    const changed = Object.entries(meta).filter(([name, value]) => world.meta.get(name) !== value)
    if (changed.length > 0) await world.turn((commit) => commit({ meta: Object.fromEntries(changed) }))
  }

  const loop = async (name: string, signal: AbortSignal, turn: () => Promise<void>): Promise<void> => {
    let retryMs = RETRY_MS
    while (!signal.aborted) {
      try {
        await turn()
        retryMs = RETRY_MS
      } catch (error) {
        if (signal.aborted) return
        const fault = asFault(error)
        log.error({ loop: name, reason: fault.reason, error: fault.message, stack: fault.stack }, 'a loop met a fault')
        await clock.sleep(retryMs, signal).catch(() => undefined)
        retryMs = Math.min(retryMs * 2, MOST_RETRY_MS)
      }
    }
  }

  const sourceLoop = (signal: AbortSignal): (() => Promise<void>) => {
    let waitMs = options.gitPollMs
    return async () => {
      const { fault } = await source.turn(signal)
      if (isSweepDue(world, nowMs())) await sweepBlobs({ world, releases, signed, nowMs, log })
      // A host that is away is not asked more often for it.
      waitMs =
        fault === null || fault.retry === 'on-change'
          ? options.gitPollMs
          : Math.min(waitMs * 2, Math.max(options.gitPollMs, MOST_RETRY_MS))
      await bells.source.wait(waitMs, clock, signal)
    }
  }

  const rolloutsLoop = (signal: AbortSignal) => async (): Promise<void> => {
    const beganMs = clock.monotonicMs()
    const { nextAtMs, published } = await decide()
    const restMs = REST_FACTOR * (clock.monotonicMs() - beganMs)
    if (published.length > 0) log.info({ sites: published.length }, 'manifests published')
    await bells.rollouts.wait(nextAtMs === null ? null : Math.max(LEAST_WAIT_MS, nextAtMs - nowMs()), clock, signal)
    await clock.sleep(Math.max(COALESCE_MS, Math.min(MOST_REST_MS, restMs)), signal)
  }

  const flushLoop = (signal: AbortSignal) => async (): Promise<void> => {
    await clock.sleep(FLUSH_MS, signal)
    await flush()
  }

  return {
    handler,
    api,
    turns: { source: (signal) => source.turn(signal), rollouts: decide, flush },
    async firstToken() {
      if (world.apiTokens.size > 0) return null
      return (await api.createApiToken('admin', 'admin', ['*'])).secret
    },
    async run(signal) {
      await Promise.all([
        loop('source', signal, sourceLoop(signal)),
        loop('rollouts', signal, rolloutsLoop(signal)),
        loop('flush', signal, flushLoop(signal)),
      ])
      await flush()
    },
  }
}

/** Keys are rotated on the disk, beside the hub: the audit log says so when it starts with them. */
async function noteKeys(world: World, { trust }: Authority, nowMs: number): Promise<void> {
  const version = String(trust.version)
  const before = world.meta.get('trustVersion')
  if (before === version) return
  const detail = { before: before ?? null, version, timeEpoch: trust.timeEpoch }
  const audit = before === undefined ? [] : [{ atMs: nowMs, actor: 'root key', action: 'hub rotate', subject: 'keys', detail }] // prettier-ignore
  await world.turn((commit) => commit({ meta: { trustVersion: version }, audit }))
}
