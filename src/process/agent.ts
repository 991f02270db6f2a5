/** A site agent as a process: store, identity, cluster and link, joined here and ended in order. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { openLink } from '../adapters/link/client.ts'
import { enrolSite as enrolOverLink } from '../adapters/link/enrol.ts'
import { trustOf } from '../adapters/link/identity.ts'
import { fetchTrust, renewSite } from '../adapters/link/rescue.ts'
import { openAgentStore } from '../adapters/store/agent-store.ts'
import { sessionFile } from '../adapters/store/session-file.ts'
import { type Agent, createAgent } from '../agent/agent.ts'
import { nextBackoffMs } from '../runtime/backoff.ts'
import { AGENT_DEFAULTS } from '../agent/defaults.ts'
import { enrolSite } from '../agent/enrol.ts'
import { copyOfKeys, keepKeys } from '../agent/keys-copy.ts'
import { createLease, fenced, type Lease } from '../agent/lease.ts'
import type { AgentOptions, AgentStore, Machine, SiteIdentity } from '../agent/ports.ts'
import type { AgentProcessOptions } from '../cli/ports.ts'
import type { Cluster } from '../core/kube/cluster.ts'
import { asFault, Fault } from '../core/model/fault.ts'
import type { HubLink } from '../core/protocol/ports.ts'
import { type Clock, systemClock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/logger.ts'
import { DRAIN_MS, within } from '../runtime/stop.ts'

const RELEASE_MS = 2_000
const FIRST_LEASE_MS = 5_000

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
  /** Who this process is to others that may write here; absent: nobody else can be. */
  readonly claim?: { readonly holder: string; readonly storeId: string }
}

export interface RunningAgent extends AsyncDisposable {
  readonly agent: Agent
  readonly store: AgentStore
  readonly site: string
}

/** Enrols where needed, then runs. Faults: TokenRefused, HubNotTrusted, InvalidInput, KeyUnknown, and those of the store. */
export async function startAgent(start: AgentStart, signal: AbortSignal): Promise<RunningAgent> {
  const { clock, claim } = start
  const store = openAgentStore(start.data)
  const place = (start.options.applySet ?? AGENT_DEFAULTS.applySet).namespace
  const copy = claim === undefined ? undefined : await copyOfKeys(start.cluster, store, place, start.log, signal)
  if (copy !== undefined && !(await joinedAnew(store, start, signal))) {
    store.restoreKeys(copy)
    start.log.warn({}, 'the store was lost: keys and floor are those of their copy in the cluster')
  }
  const identity = await enrolled(store, start, signal)
  const log = start.log.child({ site: identity.site })
  const direct = openLink({
    identity: () => store.identity() ?? identity,
    authorities: () => trustOf(store.identity() ?? identity).authorities,
    ...(start.data === ':memory:' ? {} : { sessions: sessionFile(path.join(start.data, 'tls-session')) }),
  })
  const link = start.throughLink?.(direct) ?? direct
  const lease =
    claim === undefined
      ? undefined
      : createLease(
          { cluster: start.cluster, clock, log },
          {
            place: { namespace: place, name: `${(start.options.applySet ?? AGENT_DEFAULTS.applySet).name}-agent` },
            ...claim,
            onChange: () => agent.wake(),
          },
        )
  const cluster = lease === undefined ? start.cluster : fenced(start.cluster, lease)
  const agent: Agent = createAgent(
    {
      cluster,
      link,
      keys: { renew: renewSite, roots: fetchTrust },
      store,
      clock,
      log,
      machine: start.machine,
      ...(lease === undefined ? {} : { lease }),
      random: Math.random,
    },
    start.options,
  )
  const stop = new AbortController()
  const until = AbortSignal.any([signal, stop.signal])
  const loops: Promise<void>[] = []
  if (lease !== undefined) {
    const asked = Promise.withResolvers<void>()
    const underLease = (): Promise<void> => keepKeys(cluster, store, place, log, until)
    loops.push(leaseLoop(lease, () => asked.resolve(), underLease, clock, until))
    // The first turn should know who may write; an API server that is away must not keep the hub waiting.
    await Promise.race([asked.promise, clock.sleep(FIRST_LEASE_MS, until).catch(() => undefined)])
  }
  loops.push(agent.run(until))
  return {
    agent,
    store,
    site: identity.site,
    async [Symbol.asyncDispose]() {
      stop.abort(new Fault('Cancelled', 'the agent ends'))
      await within(DRAIN_MS / 2, Promise.all(loops), log, 'agent loops')
      if (lease !== undefined) await lease.release(AbortSignal.timeout(RELEASE_MS))
      await within(DRAIN_MS / 4, Promise.all([link.close(), start.cluster.close()]), log, 'connections')
      store.close()
    },
  }
}

/** Renews for as long as the agent runs; what else is to be done now and then under the lease is done with it. */
async function leaseLoop(
  lease: Lease,
  onAnswer: () => void,
  underLease: () => Promise<void>,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const nextMs = await lease.renew(signal)
    onAnswer()
    if (lease.state().held === 'yes') await underLease()
    await clock.sleep(nextMs, signal).catch(() => undefined)
  }
}

/** A token that is still good was given for a reason: this site is to be somebody new. One that was used is that of the first start. */
async function joinedAnew(store: AgentStore, start: AgentStart, signal: AbortSignal): Promise<boolean> {
  if (start.join === undefined) return false
  try {
    await enrolSite({ enrol: enrolOverLink }, store, start.join, { existing: 'replace' }, signal)
    return true
  } catch (error) {
    const { reason, message } = asFault(error)
    start.log.info({ reason, because: message }, 'the token is not used: there is a copy of the keys')
    return false
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

/** Of one cluster: the scheduler's binds and the events about them, 32 each at once, and a few for the rest. Opened when they are needed. */
const CONNECTIONS = 72

/** Fault InvalidInput: none is named. */
export async function openCluster(options: AgentProcessOptions): Promise<Cluster> {
  if (options.simulate) {
    const { SimCluster } = await import('../sim/cluster.ts')
    return new SimCluster({ clock: systemClock })
  }
  const { openCluster: open } = await import('../adapters/cluster/kube-cluster.ts')
  const { kubeconfig, context, inCluster } = options
  if (kubeconfig !== undefined) {
    const file = { from: 'kubeconfig', path: path.resolve(kubeconfig) } as const
    return open(context === undefined ? file : { ...file, context }, { connections: CONNECTIONS })
  }
  if (inCluster !== undefined) return open({ from: 'in-cluster', ...inCluster }, { connections: CONNECTIONS })
  throw new Fault(
    'InvalidInput',
    'no cluster is named: give --kubeconfig, set KUBECONFIG, run in a pod, or take --simulate',
  )
}
