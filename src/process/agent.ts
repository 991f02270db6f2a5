/** A site agent as a process: store, identity, cluster and link, joined here and ended in order. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { startHealthServer } from '../adapters/http/health-server.ts'
import { openLink } from '../adapters/link/client.ts'
import { enrolSite as enrolOverLink } from '../adapters/link/enrol.ts'
import { trustOf } from '../adapters/link/identity.ts'
import { fetchTrust, renewSite } from '../adapters/link/rescue.ts'
import { openAgentStore } from '../adapters/store/agent-store.ts'
import { type Agent, createAgent } from '../agent/agent.ts'
import { nextBackoffMs } from '../agent/backoff.ts'
import { enrolSite } from '../agent/enrol.ts'
import type { AgentOptions, AgentStore, Machine, SiteIdentity } from '../agent/ports.ts'
import type { AgentProcessOptions } from '../cli/ports.ts'
import type { Cluster } from '../core/kube/cluster.ts'
import { asFault, Fault } from '../core/model/fault.ts'
import type { HubLink } from '../core/protocol/ports.ts'
import { type Clock, systemClock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/logger.ts'
import { createLogger } from '../runtime/pino-logger.ts'
import { aborted, DRAIN_MS, within } from '../runtime/stop.ts'

export interface AgentStart {
  /** Folder of the site's store, or `:memory:`. */
  readonly data: string
  /** The line of `token create`; not used where the site is enrolled already. */
  readonly join: string | undefined
  readonly cluster: Cluster
  readonly clock: Clock
  readonly machine: Machine
  readonly log: Logger
  readonly options: Partial<AgentOptions> & { readonly version: string }
  /** Stands between agent and link: the demo's bad weather. */
  readonly throughLink?: (link: HubLink) => HubLink
}

export interface RunningAgent extends AsyncDisposable {
  readonly agent: Agent
  readonly site: string
}

/** Enrols where needed, then runs. Faults: TokenRefused, HubNotTrusted, InvalidInput, KeyUnknown, and those of the store. */
export async function startAgent(start: AgentStart, signal: AbortSignal): Promise<RunningAgent> {
  const { clock } = start
  const store = openAgentStore(start.data)
  const identity = await enrolled(store, start, signal)
  const log = start.log.child({ site: identity.site })
  const direct = openLink({
    identity: () => store.identity() ?? identity,
    authorities: () => trustOf(store.identity() ?? identity).authorities,
  })
  const link = start.throughLink?.(direct) ?? direct
  const agent = createAgent(
    {
      cluster: start.cluster,
      link,
      keys: { renew: renewSite, roots: fetchTrust },
      store,
      clock,
      log,
      machine: start.machine,
      random: Math.random,
    },
    start.options,
  )
  const stop = new AbortController()
  const running = agent.run(AbortSignal.any([signal, stop.signal]))
  return {
    agent,
    site: identity.site,
    async [Symbol.asyncDispose]() {
      stop.abort(new Fault('Cancelled', 'the agent ends'))
      await within(DRAIN_MS / 2, running, log, 'agent loops')
      await within(DRAIN_MS / 4, Promise.all([link.close(), start.cluster.close()]), log, 'connections')
      store.close()
    },
  }
}

/** A first start with the hub away waits for it: the token says where it will be. */
async function enrolled(store: AgentStore, start: AgentStart, signal: AbortSignal): Promise<SiteIdentity> {
  let backoffMs = 0
  for (;;) {
    try {
      return await enrolSite({ enrol: enrolOverLink }, store, start.join, { existing: 'keep' }, signal)
    } catch (error) {
      const fault = asFault(error)
      if (!WAITS.has(fault.reason) || signal.aborted) throw fault
      backoffMs = nextBackoffMs(backoffMs, Math.random(), fault.retryAfterMs)
      start.log.warn(
        { reason: fault.reason, because: fault.message, backoffMs: Math.round(backoffMs) },
        'the hub cannot be joined yet',
      )
      await start.clock.sleep(backoffMs, signal)
    }
  }
}

const WAITS: ReadonlySet<string> = new Set([
  'Unreachable',
  'Timeout',
  'CaptivePortal',
  'Throttled',
  'ServerError',
  'HubClock',
])

/** The kernel's boot and its monotonic time: what is told apart from a restart of the process. */
export function thisMachine(): Machine {
  const bootId = fs.existsSync('/proc/sys/kernel/random/boot_id')
    ? fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    : `boot-${Math.round(Date.now() / 1000 - os.uptime())}`
  return { bootId, uptimeMs: () => os.uptime() * 1000 }
}

/** `flotilla agent`: runs until told to stop. */
export async function runAgent(
  options: AgentProcessOptions,
  env: { readonly version: string; readonly logLevel: string },
  signal: AbortSignal,
): Promise<void> {
  const log = createLogger('agent', env.logLevel)
  const running = await startAgent(
    {
      data: path.resolve(options.data),
      join: options.join,
      cluster: await openCluster(options),
      clock: systemClock,
      machine: thisMachine(),
      log,
      options: { version: env.version, ...(options.pollMs === undefined ? {} : { pollMs: options.pollMs }) },
    },
    signal,
  )
  await using _ended = running
  log.info({ site: running.site }, 'running')
  await using health =
    options.http === undefined
      ? null
      : await startHealthServer(options.http, () => healthOf(running.agent), measuresOf(running.agent))
  if (health !== null) log.info({ port: health.port }, 'health is served')
  await aborted(signal)
}

async function openCluster(options: AgentProcessOptions): Promise<Cluster> {
  if (options.simulate) {
    const { SimCluster } = await import('../sim/cluster.ts')
    return new SimCluster({ clock: systemClock })
  }
  const { openCluster: open } = await import('../adapters/cluster/kube-cluster.ts')
  const { kubeconfig, context, inCluster } = options
  if (kubeconfig !== undefined) {
    return open({ from: 'kubeconfig', path: path.resolve(kubeconfig), ...(context === undefined ? {} : { context }) })
  }
  if (inCluster !== undefined) return open({ from: 'in-cluster', ...inCluster })
  throw new Fault(
    'InvalidInput',
    'no cluster is named: give --kubeconfig, set KUBECONFIG, run in a pod, or take --simulate',
  )
}

/** Alive: turns are made. A hub that is away is no illness. */
function healthOf(agent: Agent): { readonly ok: boolean; readonly because: string } {
  const { conditions } = agent.status()
  const ill = conditions.find(({ type }) => type === 'Store')
  return ill === undefined
    ? { ok: true, because: 'ok' }
    : { ok: false, because: `${ill.type} ${ill.reason}: ${ill.message}` }
}

function measuresOf(agent: Agent): { readonly name: string; readonly help: string; read(): number }[] {
  const gauge = (name: string, help: string, read: () => number) => ({ name: `flotilla_agent_${name}`, help, read })
  const count = (key: string): number => (agent.status().counts as Readonly<Record<string, number>>)[key] ?? 0
  return [
    gauge('inventory_objects', 'Objects this agent owns', () => agent.status().inventory),
    gauge('workloads', 'Workloads this site is told to run', () => agent.status().workloads.length),
    gauge(
      'workloads_healthy',
      'Workloads that are healthy',
      () => agent.status().workloads.filter(({ health }) => health === 'Healthy').length,
    ),
    gauge('conditions', 'Site conditions that are not fine', () => agent.status().conditions.length),
    gauge(
      'last_sync_timestamp_seconds',
      'When the hub was last reached, 0 for never',
      () => (agent.status().lastSyncMs ?? 0) / 1000,
    ),
    gauge(
      'generation_counter',
      'Counter of the generation this site acts on',
      () => agent.status().generation?.counter ?? 0,
    ),
    ...Object.keys(agent.status().counts).map((key) =>
      gauge(
        key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
        `${key} since the start`,
        () => count(key),
      ),
    ),
    ...(['lists', 'gets', 'watches', 'events'] as const).map((key) =>
      gauge(key, `${key} of the cluster's objects since the start`, () => agent.status().requests[key]),
    ),
    gauge('socket', '1 while the hub can call this site, 0 while it polls', () =>
      agent.status().resting?.by === 'socket' ? 1 : 0,
    ),
    gauge('resident_bytes', 'Resident memory', () => process.memoryUsage.rss()),
  ]
}
