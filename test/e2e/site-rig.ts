/**
 * One site on a real API server: the agent unmodified, a hub of a few lines that really signs (HubStub), and a count of every
 * request that the cluster adapter sends. In the test's process, so that a test can wait for what it means and not for time.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { readCredentials, type Credentials } from '../../src/adapters/cluster/credentials.ts'
import { clusterOver } from '../../src/adapters/cluster/kube-cluster.ts'
import type { RequestReport } from '../../src/adapters/cluster/transport.ts'
import { openAgentStore } from '../../src/adapters/store/agent-store.ts'
import { createAgent, type Agent } from '../../src/agent/agent.ts'
import type { AgentOptions, AgentStore } from '../../src/agent/ports.ts'
import type { Cluster } from '../../src/core/kube/cluster.ts'
import type { WorkloadObservation } from '../../src/core/model/observation.ts'
import { refOf, type Manifest } from '../../src/core/model/object.ts'
import type { SiteManifest } from '../../src/core/protocol/messages.ts'
import type { Logger } from '../../src/runtime/logger.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { HubStub, IDENTITY, SIGNAL, type Told } from '../unit/agent/site.ts'

const SILENT: Logger = { info() {}, warn() {}, error() {}, debug() {}, child: () => SILENT }
/** Between two looks at what a watch will soon have brought. */
const LOOK_MS = 100

export interface LiveSite extends AsyncDisposable {
  agent: Agent
  readonly hub: HubStub
  readonly store: AgentStore
  readonly cluster: Cluster
  /** Every request that was answered since the start, or that broke. */
  readonly requests: readonly RequestReport[]
  /** Publishes and brings it home, without a turn. */
  publish(workloads: Readonly<Record<string, Told>>, more?: Partial<Omit<SiteManifest, 'root'>>): Promise<void>
  /** Publishes and makes turns until everything is applied, or so many turns were made. */
  tell(workloads: Readonly<Record<string, Told>>, more?: Partial<Omit<SiteManifest, 'root'>>): Promise<void>
  /** Turns until everything is applied and nothing is due at once. */
  turns(limit?: number): Promise<void>
  live(object: Manifest): Promise<Manifest | undefined>
  workload(name: string): WorkloadObservation
  /** Loops as the process runs them, until the returned function is called. */
  run(): () => Promise<void>
  /** A new agent over another store: what was known is lost. */
  restart(store?: AgentStore): void
}

export interface LiveSiteOptions {
  /** Names the ApplySet: sites on one API server must not share it. */
  readonly set: string
  readonly agent?: Partial<AgentOptions>
  readonly store?: AgentStore
  readonly credentials?: Credentials
  readonly timeoutMs?: number
}

export async function liveSite(kubeconfig: string, options: LiveSiteOptions): Promise<LiveSite> {
  const requests: RequestReport[] = []
  const credentials = options.credentials ?? (await readCredentials({ from: 'kubeconfig', path: kubeconfig }))
  const cluster = clusterOver(credentials, {
    onRequest: (report) => requests.push(report),
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
  })
  const hub = new HubStub(() => Date.now())
  const made = options.store ?? openAgentStore(':memory:')
  if (made.identity() === null) made.saveIdentity(IDENTITY)
  const agentOver = (store: AgentStore): Agent =>
    createAgent(
      {
        cluster,
        link: hub,
        store,
        clock: systemClock,
        log: SILENT,
        machine: { bootId: 'boot', uptimeMs: () => performance.now() },
        random: Math.random,
      },
      {
        version: '0.1.0',
        applySet: { namespace: 'flotilla-system', name: options.set },
        pollMs: 200,
        ...options.agent,
      },
    )
  const site = {
    agent: agentOver(made),
    hub,
    store: made,
    cluster,
    requests,
    async publish(workloads: Readonly<Record<string, Told>>, more: Partial<Omit<SiteManifest, 'root'>> = {}) {
      hub.publish(workloads, { issued: new Date(0).toISOString(), ...more })
      await site.agent.exchange(SIGNAL)
    },
    async tell(workloads: Readonly<Record<string, Told>>, more: Partial<Omit<SiteManifest, 'root'>> = {}) {
      await site.publish(workloads, more)
      await site.turns()
    },
    async turns(limit = 20) {
      for (let i = 0; i < limit; i++) {
        // As the loop does: a turn that met a fault is tried again.
        const { nextMs } = await site.agent.turn(SIGNAL).catch(() => ({ nextMs: LOOK_MS }))
        const { workloads } = site.agent.status()
        if (i > 0 && nextMs > LOOK_MS && workloads.every(isThere)) return
        // What is refused stays so until something else is desired.
        if (i > 2 && workloads.every((it) => isThere(it) || isStuck(it))) return
        await sleep(Math.min(Math.max(nextMs, LOOK_MS), 1_000))
      }
    },
    live: (object: Manifest) => cluster.get(object, refOf(object), SIGNAL),
    workload(name: string) {
      const found = site.agent.status().workloads.find(({ workload }) => workload === name)
      if (found === undefined) throw new Error(`the agent says nothing of ${name}`)
      return found
    },
    run() {
      const stop = new AbortController()
      const running = site.agent.run(stop.signal)
      return async () => {
        stop.abort()
        await running.catch(() => undefined)
      }
    },
    restart(store = openAgentStore(':memory:')) {
      site.agent.stop()
      if (store.identity() === null) store.saveIdentity(IDENTITY)
      site.store = store
      site.agent = agentOver(store)
    },
    async [Symbol.asyncDispose]() {
      site.agent.stop()
      await cluster.close()
    },
  }
  return site
}

function isThere({ applied, desired }: WorkloadObservation): boolean {
  return applied?.digest === desired?.digest
}

function isStuck({ sync, waiting }: WorkloadObservation): boolean {
  return sync === 'Failed' || waiting?.reason === 'Observe'
}

/** Writes among these, and reads that are no watch. */
export function counted(requests: readonly RequestReport[]): { readonly writes: number; readonly reads: number } {
  const writes = requests.filter(({ method }) => method !== 'GET').length
  return { writes, reads: requests.length - writes }
}

/** Without what every server makes anew: identities, versions, times and addresses. */
export function withoutServerMade(object: Manifest): Manifest {
  return JSON.parse(
    JSON.stringify(object, (key, value: unknown) => {
      if (SERVER_MADE.has(key) && !(key === 'clusterIP' && value === 'None')) return undefined
      return value
    }),
  ) as Manifest
}
const SERVER_MADE = new Set([
  'uid',
  'resourceVersion',
  'creationTimestamp',
  'managedFields',
  'generation',
  'lastTransitionTime',
  'lastUpdateTime',
  'clusterIP',
  'clusterIPs',
  'nodePort',
  'observedGeneration',
])
