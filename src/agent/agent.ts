/** A site's agent: turns, exchanges with the hub, and slow comparison, each a loop of its own. It needs no hub to go on. */
import { randomUUID } from 'node:crypto'
import type { BatchAsk } from '../core/batch/ask.ts'
import { batchFacts } from '../core/batch/facts.ts'
import { marksOf } from '../core/diff/marks.ts'
import { isObject, type Json, type JsonObject } from '../core/model/json.ts'
import type { Generation, WorkloadObservation } from '../core/model/observation.ts'
import type { SiteCondition } from '../core/protocol/messages.ts'
import type { Resting } from '../core/protocol/ports.ts'
import { type AskDesk, createAskDesk } from './asks/desk.ts'
import { createAsks } from './asks/room.ts'
import { createBatchDesk } from './batch/desk.ts'
import { readUse } from './batch/node-use.ts'
import { predictHere } from './batch/predict.ts'
import { type BatchRoom, createBatchRoom } from './batch/room.ts'
import { createDesk, type Desk } from './box/desk.ts'
import { createBoxWords } from './box/words.ts'
import { createFacts } from './facts.ts'
import { createHubClock } from './hub-time.ts'
import { createObserver } from './observe.ts'
import { createOutbox } from './outbox.ts'
import { AGENT_DEFAULTS } from './defaults.ts'
import type { AgentOptions, AgentPorts } from './ports.ts'
import { createReconciler } from './reconcile.ts'
import { resyncLoop } from './resync.ts'
import type { ReconcileDeps } from './settled.ts'
import { createSchedulingRoom } from './scheduling/room.ts'
import type { SchedulingCounts, SchedulingRoom } from './scheduling/ports.ts'
import { createTroubleSayer } from './say-troubles.ts'
import { createSync } from './sync.ts'
import { createBell } from '../runtime/bell.ts'
import { runTurns, type Turns } from '../runtime/turns.ts'
import { syncLoop } from './sync-loop.ts'
import { versionsOf } from './versions.ts'
import { createUplink } from './uplink.ts'
import { agedObservations, createTurnState, setCondition, type Counts } from './turn-state.ts'

/** Somebody waits for the answer. */
const PREDICT_MS = 30_000
const READ_MS = 5_000

export interface AgentStatus {
  readonly site: string | null
  readonly siteId: string | null
  readonly mode: 'enforce' | 'observe'
  readonly generation: Generation | null
  readonly revision: string | null
  readonly conditions: readonly SiteCondition[]
  readonly workloads: readonly WorkloadObservation[]
  readonly inventory: number
  /** Ms of the site's clock; null: never in this process. */
  readonly lastSyncMs: number | null
  readonly lastTurnMs: number | null
  /** How the next exchange is waited for; null: there was none yet. */
  readonly resting: Resting | null
  readonly counts: Readonly<Counts>
  readonly requests: {
    readonly lists: number
    readonly gets: number
    readonly watches: number
    readonly events: number
  }
  /** null: its scheduler is off. */
  readonly scheduling: (SchedulingCounts & { readonly trouble: ReturnType<SchedulingRoom['trouble']> }) | null
}

export interface Agent {
  /** Until the signal aborts; resolves when what was under way has ended. Faults of store and cluster are met inside. */
  run(signal: AbortSignal): Promise<void>
  /** One turn, for tests and tools: ms until the next is due. */
  turn(signal: AbortSignal): Promise<{ readonly nextMs: number }>
  /** One exchange with the hub. */
  exchange(signal: AbortSignal): Promise<{ readonly nextDueMs: number }>
  status(): AgentStatus
  /** Jobs, crons and queues of this site. */
  readonly batch: BatchRoom
  /** What people at the box ask of them. Faults InvalidInput, NotFound, Conflict, Store*, and those of the cluster. */
  askBatch(ask: BatchAsk): Promise<JsonObject>
  /** Whatever may be asked of this site, by whoever stands at the box. Faults as AskDesk. */
  readonly ask: AskDesk
  /** Resolves when nothing is under way of what the hub asked, for tests and tools. */
  asked(): Promise<void>
  /** For whoever stands at the box. */
  readonly desk: Desk
  /** A turn is due: who may write here has changed. */
  wake(): void
  /** Ends the watches. The store and the cluster stay open: they are the caller's. */
  stop(): void
}

export function createAgent(ports: AgentPorts, given: Partial<AgentOptions> & { readonly version: string }): Agent {
  const options: AgentOptions = { ...AGENT_DEFAULTS, ...given }
  const { clock, store, log } = ports
  const state = createTurnState(() => ports.random())
  const marks = marksOf(options.applySet)
  const changed = createBell()
  const news = createBell()
  const observer = createObserver(ports, marks.applySetId, () => changed.ring())
  const hubClock = createHubClock(store, ports.machine)
  const outbox = createOutbox(store)
  const words = createBoxWords(ports, outbox, () => hubClock.now())
  const urgent = createBell()
  const uplink = createUplink({
    ports,
    options,
    words,
    heard: () => hubClock.held(),
    onChange: () => {
      changed.ring()
      urgent.ring()
    },
  })
  const batch = createBatchRoom({ ...ports, random: () => ports.random(), site: () => store.identity()?.site ?? '' })
  batch.onFinding(() => changed.ring())
  const batchDesk = createBatchDesk(batch, { site: () => store.identity()?.site ?? '', nowMs: () => clock.nowMs() })
  const deps: ReconcileDeps = {
    ports,
    options,
    marks,
    observer,
    state,
    words,
    uplink,
    batch,
    hubNow: () => hubClock.now(),
  }
  const reconciler = createReconciler(deps)
  const link = ports.link
  const facts = createFacts(() => {
    const told = batchFacts(batchDesk.view())
    return told === null ? {} : { batch: told }
  })
  /** Those who wait for a turn that begins after they asked for it. */
  const waiting: PromiseWithResolvers<unknown>[] = []
  const askDesk = createAskDesk({
    cluster: ports.cluster,
    inventory: () => store.inventory(),
    jobs: () => [...batch.state().journal.jobs().values()].map(({ record }) => record),
    look: (signal) => reconciler.look(signal),
    reconcile,
    observations: () => observations(),
    batch: askBatch,
  })
  const asks = createAsks({ ports, options, outbox, desk: askDesk, urgent, hubNow: () => hubClock.now() })
  const sync =
    link === null || store.identity() === null
      ? null
      : {
          ...deps,
          link,
          outbox,
          facts,
          asks,
          hubClock,
          reconciler,
          boot: randomUUID(),
          urgent,
          onManifest: () => changed.ring(),
        }
  const site = sync === null ? null : createSync(sync)
  const last = { syncMs: null as number | null, turnMs: null as number | null }
  if (store.opened.rebuilt.length > 0) {
    const message = `rebuilt; lost were ${store.opened.rebuilt.join(', ')}`
    setCondition(state, 'Store', { reason: 'StoreCorrupt', message }, clock.nowMs())
  }

  async function turn(signal: AbortSignal): Promise<{ readonly nextMs: number }> {
    const before = waiting.splice(0)
    if (before.length > 0) {
      // Nothing of before stands in the way: everything is read and compared anew, and tried again.
      state.verified.clear()
      state.attempts.keep(() => false)
      observer.restart()
    }
    const done = await reconciler.turn(signal).catch((error: unknown) => {
      for (const { reject } of before) reject(error)
      throw error
    })
    last.turnMs = clock.nowMs()
    const stored = state.conditions.get('Store')
    if (stored !== undefined && stored.reason !== 'StoreCorrupt') {
      // A turn may have had nothing to write: the store is well when it takes a note.
      store.write({ notes: new Map([['written', { atMs: last.turnMs }]]) })
      setCondition(state, 'Store', null, last.turnMs)
    }
    news.ring()
    for (const { resolve } of before) resolve(done)
    return done
  }

  async function reconcile(signal: AbortSignal): Promise<void> {
    const turned = Promise.withResolvers<unknown>()
    waiting.push(turned)
    changed.ring()
    signal.addEventListener('abort', () => turned.reject(signal.reason), { once: true })
    await turned.promise
  }

  async function askBatch(ask: BatchAsk): Promise<JsonObject> {
    if (ask.op === 'predict') return predicted(ask.documents)
    if (ask.op === 'view' && batch.state().nodes === null) {
      // A room with nothing to do watches nothing.
      const read = await readUse(ports.cluster, AbortSignal.timeout(READ_MS)).catch(() => undefined)
      return batchDesk.view(read) as unknown as JsonObject
    }
    const answer = batchDesk.answer(ask)
    const { tested, ...rest } = answer
    return isObject(tested) ? { ...rest, ...(await predicted([tested])) } : answer
  }

  async function predicted(documents: readonly JsonObject[]): Promise<JsonObject> {
    const here = {
      cluster: ports.cluster,
      batch,
      site: store.identity()?.site ?? '',
      nowMs: clock.nowMs(),
      queues: (ofQueues: readonly JsonObject[]) => batch.queuesWith(ofQueues),
    }
    const predictions = await predictHere(here, documents, AbortSignal.timeout(PREDICT_MS))
    return { timeZone: batchDesk.view().timeZone, predictions: predictions as unknown as Json }
  }

  function turns(signal: AbortSignal): Promise<void> {
    const sayTroubles = createTroubleSayer(state, clock, {
      Scheduler: () => scheduling?.trouble() ?? null,
      Batch: () => batch.trouble(),
    })
    const loop: Turns = {
      clock,
      log,
      random: () => ports.random(),
      failure: 'a turn did not end',
      turn,
      changed,
      mostRestMs: options.resyncMs,
      debounceMs: options.debounceMs,
      failed: (fault) =>
        setCondition(state, fault.reason.startsWith('Store') ? 'Store' : 'Cluster', fault, clock.nowMs()),
      after() {
        const said = sayTroubles()
        if (said.changed) news.ring()
        return said.nextMs
      },
      rested(overMs) {
        if (overMs <= options.maxGapMs && !state.broken) return
        // A process that stood still for long knows nothing any more.
        log.warn({ overMs: Math.round(overMs) }, 'the process stood still: everything is read again')
        state.broken = true
        observer.restart()
      },
    }
    return runTurns(loop, signal)
  }

  const mode = (): 'enforce' | 'observe' =>
    options.mode === 'observe' ? 'observe' : (reconciler.manifest()?.manifest.mode ?? 'enforce')
  const observations = (): ReadonlyMap<string, WorkloadObservation> =>
    agedObservations(state, observer.blindSinceMs() ?? clock.monotonicMs())
  const maySchedule = (): boolean => (ports.lease?.state().held ?? 'yes') === 'yes' && mode() === 'enforce'
  const scheduling =
    options.scheduler === 'off'
      ? null
      : createSchedulingRoom(
          { ...ports, batch, random: () => ports.random(), mayWrite: maySchedule, onTrouble: () => changed.ring() },
          { seed: store.identity()?.site ?? '' },
        )
  if (scheduling !== null) batch.use(scheduling.placement)
  const desk = createDesk({
    store,
    clock,
    words,
    library: reconciler.library,
    agent: () => ({
      state: 'running',
      version: options.version,
      confirmed: versionsOf(store).confirmed === options.version,
      because: 'it runs',
    }),
    current: () => reconciler.manifest(),
    observations,
    conditions: () => [...state.conditions.values()],
    mode,
    lastExchangeMs: () => last.syncMs,
    ring: () => changed.ring(),
  })

  return {
    desk,
    turn,
    exchange: async (signal) => {
      if (site === null) return { nextDueMs: Infinity }
      const done = await site.exchange(signal)
      last.syncMs = clock.nowMs()
      return done
    },
    async run(signal) {
      const counted = { exchange: async (s: AbortSignal) => this.exchange(s), trust: () => site!.trust() }
      const loops = [turns(signal), batch.run(signal), resyncLoop(deps, reconciler, () => changed.ring(), signal)]
      if (scheduling !== null) loops.push(scheduling.run(signal))
      if (sync !== null) loops.push(syncLoop(counted, sync, news, signal))
      try {
        await Promise.all(loops)
      } finally {
        asks.stop()
        observer.stop()
        batch.stop()
      }
    },
    status() {
      const current = reconciler.manifest()
      const identity = store.identity()
      return {
        site: identity?.site ?? null,
        siteId: identity?.siteId ?? null,
        mode: mode(),
        generation: current?.stored.generation ?? null,
        revision: current?.manifest.revision ?? null,
        conditions: [...state.conditions.values()],
        workloads: [...observations().values()],
        inventory: store.inventory().size,
        lastSyncMs: last.syncMs,
        lastTurnMs: last.turnMs,
        resting: state.resting,
        counts: { ...state.counts },
        requests: { ...observer.counts },
        scheduling: scheduling === null ? null : { ...scheduling.counts(), trouble: scheduling.trouble() },
      }
    },
    batch,
    askBatch,
    ask: (asked, signal) => askDesk(asked, signal),
    asked: () => asks.idle(),
    wake: () => changed.ring(),
    stop() {
      asks.stop()
      observer.stop()
      batch.stop()
    },
  }
}
