/** `flotilla agent`: has the store and works, or stands by until it has it, or stands over the one that it gave it to. */
import { randomUUID } from 'node:crypto'
import os from 'node:os'
import path from 'node:path'
import { serveBox } from '../adapters/http/box-server.ts'
import { startHealthServer, type Probes } from '../adapters/http/health-server.ts'
import { openAgentStore } from '../adapters/store/agent-store.ts'
import { takeStoreLock } from '../adapters/store/store-lock.ts'
import { AGENT_DEFAULTS } from '../agent/defaults.ts'
import { createLease } from '../agent/lease.ts'
import type { AgentOptions } from '../agent/ports.ts'
import { answerHandover, confirmVersion, refuseVersion, versionsOf } from '../agent/versions.ts'
import { AGENT_NAME } from '../cli/agent/manifests.ts'
import type { AgentProcessOptions } from '../cli/ports.ts'
import { readAsk } from '../core/batch/ask.ts'
import { asFault, Fault } from '../core/model/fault.ts'
import { ANSWER_MAX_CHARS } from '../core/protocol/ask.ts'
import { systemClock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/logger.ts'
import { createLogger } from '../runtime/pino-logger.ts'
import { aborted } from '../runtime/stop.ts'
import { healthOf, measuresOf } from './agent-health.ts'
import { openCluster, type RunningAgent, startAgent, thisMachine } from './agent.ts'
import { rehearse } from './rehearse.ts'
import { standBy, standOver, type Succession, type Taken } from './succession.ts'

/** A new version has this long for its first turn and its first word with the hub. */
const CONFIRM_MS = 5 * 60_000
const LOOK_MS = 250
/** Somebody waits at the box. */
const BOX_ASK_MS = 30_000

interface Run extends Succession {
  readonly options: AgentProcessOptions
  readonly agent: Partial<AgentOptions> & { readonly version: string }
  readonly confirmMs: number
}

export async function runAgent(
  options: AgentProcessOptions,
  env: { readonly version: string; readonly logLevel: string },
  signal: AbortSignal,
): Promise<void> {
  const { version } = env
  const {
    pollMs,
    namespace = AGENT_DEFAULTS.applySet.namespace,
    applySet: name = AGENT_DEFAULTS.applySet.name,
  } = options
  const run: Run = {
    options,
    dir: path.resolve(options.data),
    version,
    holder: `${os.hostname()}_${process.pid}_${randomUUID().slice(0, 8)}`,
    clock: systemClock,
    log: createLogger('agent', env.logLevel),
    agent: {
      version,
      applySet: { namespace, name },
      self: options.inCluster === undefined ? null : { namespace, name: AGENT_NAME },
      scheduler: options.scheduler,
      asks: options.asks,
      ...(pollMs === undefined ? {} : { pollMs }),
      ...(options.confirmMs === undefined ? {} : { confirmMs: options.confirmMs }),
    },
    confirmMs: options.confirmMs ?? CONFIRM_MS,
  }
  let taken = await take(run, signal)
  while (taken !== undefined) {
    const heir = await lead(run, taken, signal)
    if (heir === undefined) return
    taken = await wait(run, heir, signal)
  }
}

async function take(run: Run, signal: AbortSignal): Promise<Taken | undefined> {
  const lock = takeStoreLock(run.dir)
  if (lock !== undefined) return { lock, way: 'free' }
  const { dir, clock, log, agent } = run
  const fit = async (until: AbortSignal): Promise<void> => {
    const cluster = await openCluster(run.options)
    try {
      await rehearse(
        { dir, cluster, clock, machine: thisMachine(), log: log.child({ rehearsal: true }), options: agent },
        until,
      )
    } finally {
      await cluster.close()
    }
  }
  await using _health = await probes(run, STANDS_BY)
  return standBy(run, fit, signal)
}

/** The version that has the store from here on; undefined: told to stop. Fault Timeout: this version did not prove itself. */
async function lead(run: Run, { lock, way }: Taken, signal: AbortSignal): Promise<string | undefined> {
  const { dir, version, log, clock } = run
  const heir = Promise.withResolvers<string>()
  const ended = new AbortController()
  const until = AbortSignal.any([signal, ended.signal])
  try {
    const running = await startAgent(
      {
        data: dir,
        join: run.options.join,
        cluster: await openCluster(run.options),
        clock,
        machine: thisMachine(),
        log,
        options: run.agent,
        claim: { holder: run.holder, storeId: lock.id },
      },
      signal,
    )
    await using _agent = running
    const { agent, store } = running
    log.info({ site: running.site, version }, 'running')
    const isProved = (): boolean => versionsOf(store).confirmed === version
    await using _box = await box(run, running, (to) => heir.resolve(to))
    const ready = (): ReturnType<Probes['ready']> =>
      isProved() ? healthOf(agent) : { ok: false, because: 'no turn ended yet, or the hub was not reached yet' }
    await using _health = await probes(run, { live: () => healthOf(agent), ready }, measuresOf(agent))
    const proving = prove(run, running, way, until)
    const given = await Promise.race([heir.promise, aborted(signal), proving.then(() => heir.promise)])
    if (typeof given === 'string') log.info({ to: given }, 'the store is given to another version')
    return typeof given === 'string' ? given : undefined
  } finally {
    ended.abort(new Fault('Cancelled', 'the agent ends'))
    lock.release()
  }
}

/** Resolves when this version proved itself. Where another stands over it, it has until then and no longer. */
async function prove(
  { version, clock, confirmMs, log }: Run,
  { agent, store }: RunningAgent,
  way: Taken['way'],
  signal: AbortSignal,
): Promise<void> {
  const startMs = clock.monotonicMs()
  while (!signal.aborted && versionsOf(store).confirmed !== version) {
    const { lastTurnMs, lastSyncMs, conditions } = agent.status()
    const did = lastTurnMs !== null && lastSyncMs !== null
    if (did && !conditions.some(({ type }) => type === 'Store')) {
      try {
        return confirmVersion(store, version)
      } catch (error) {
        // A disk that is full is no reason to end.
        log.warn({ reason: asFault(error).reason }, 'that this version proved itself was not written')
      }
    }
    if (way === 'handed' && clock.monotonicMs() - startMs > confirmMs)
      throw new Fault('Timeout', `${version} did not prove itself within ${confirmMs} ms: the one before goes on`)
    await clock.sleep(LOOK_MS, signal).catch(() => undefined)
  }
}

/** Stands over the heir, and notes it where the store came back. */
async function wait(run: Run, heir: string, signal: AbortSignal): Promise<Taken | undefined> {
  const { dir, clock, log } = run
  await using _health = await probes(run, STANDS_BY)
  const back = await standOver(run, heir, run.confirmMs + LOOK_MS, (until) => seize(run, until), signal)
  if (back === undefined) return undefined
  if (back.proved === 'no') {
    log.warn({ version: heir, because: back.because }, 'the new version gave way: the one before goes on')
    const store = openAgentStore(dir)
    refuseVersion(store, heir, back.because, clock.nowMs())
    store.close()
  }
  return { lock: back.lock, way: 'free' }
}

/** What the other one may still have in hand, it may not send. */
async function seize({ options, agent, holder, clock, log }: Run, signal: AbortSignal): Promise<void> {
  const cluster = await openCluster(options)
  try {
    const { namespace, name } = agent.applySet ?? AGENT_DEFAULTS.applySet
    const place = { namespace, name: `${name}-agent` }
    await createLease({ cluster, clock, log }, { place, holder, storeId: '', onChange: () => undefined }).seize(signal)
  } finally {
    await cluster.close()
  }
}

async function box(
  { dir, version, log }: Run,
  { agent, store }: RunningAgent,
  give: (to: string) => void,
): Promise<AsyncDisposable> {
  const { desk } = agent
  return serveBox(dir, {
    view: () => desk.view(),
    why: (subject) => desk.why(subject),
    say: (word) => {
      const view = desk.say(word)
      log.info({ word: word.kind, by: word.by }, 'said at the box')
      return view
    },
    async handover(ask) {
      const answer = answerHandover(ask.version, version, versionsOf(store))
      log.info({ ...ask, ...answer }, 'another version asks for the store')
      if (answer.granted) setImmediate(() => give(ask.version))
      return answer
    },
    batch: (ask) => agent.askBatch(readAsk(ask)),
    ask: (verb, args) =>
      agent.ask({ verb, args, by: os.userInfo().username, most: ANSWER_MAX_CHARS }, AbortSignal.timeout(BOX_ASK_MS)),
  })
}

const STANDS_BY: Probes = {
  live: () => ({ ok: true, because: 'standing by' }),
  ready: () => ({ ok: false, because: 'another agent has the store' }),
}

async function probes(
  { options, log }: Pick<Run, 'options'> & { readonly log: Logger },
  health: Probes,
  measures: Parameters<typeof startHealthServer>[2] = [],
): Promise<AsyncDisposable | null> {
  if (options.http === undefined) return null
  const server = await startHealthServer(options.http, health, measures)
  log.info({ port: server.port }, 'health is served')
  return server
}
