/** One site for tests: the agent unmodified, a simulated cluster, a virtual clock, and a hub of a few lines that really signs. */
import { SecretText } from '../../../src/core/model/secret.ts'
import { createAgent, type Agent } from '../../../src/agent/agent.ts'
import type { AgentOptions, AgentStore, LeasePort, SiteIdentity } from '../../../src/agent/ports.ts'
import { openAgentStore } from '../../../src/adapters/store/agent-store.ts'
import type { Cluster } from '../../../src/core/kube/cluster.ts'
import { digestBytes, type Digest } from '../../../src/core/model/digest.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import { canonicalJson, type Json, type JsonObject } from '../../../src/core/model/json.ts'
import { refOf, type Manifest } from '../../../src/core/model/object.ts'
import type { BlobDomain, Release, ReleaseRules } from '../../../src/core/model/release.ts'
import { spkiOf } from '../../../src/core/protocol/envelope.ts'
import { bodyDigest, makeManifest } from '../../../src/core/protocol/manifest.ts'
import type { Envelope, ManifestEntry, SiteManifest, SyncUp } from '../../../src/core/protocol/messages.ts'
import type { HubLink, SyncAnswer } from '../../../src/core/protocol/ports.ts'
import { signTime, timeSubject } from '../../../src/core/protocol/time.ts'
import type { Logger } from '../../../src/runtime/logger.ts'
import { VirtualClock } from '../../../src/sim/clock.ts'
import { SimCluster, type SimOptions } from '../../../src/sim/cluster.ts'
import { seededRandom } from '../../../src/sim/random.ts'
import { BODY, HUB, NOW_MS, ROOT, sealed, SITE, SITE_ID, STATEMENT } from '../protocol/fixed.ts'

export const SIGNAL = new AbortController().signal
const SILENT: Logger = { info() {}, warn() {}, error() {}, debug() {}, child: () => SILENT }

export const IDENTITY: SiteIdentity = {
  site: SITE,
  siteId: SITE_ID,
  hubUrl: 'https://hub.example:8443',
  root: spkiOf(ROOT.publicKey).toString('base64'),
  trust: STATEMENT,
  certificate: 'certificate',
  privateKey: new SecretText('key'),
  ageKey: new SecretText('AGE-SECRET-KEY-1'),
  recipient: 'age1',
}

export const RULES: ReleaseRules = {
  prune: 'on',
  pruneFirst: [],
  pruneConfirm: [],
  adopt: 'never',
  replace: 'never',
  drift: { mode: 'correct', ignore: [] },
  healthChecks: [],
  suspend: false,
  formerNames: [],
}

/** A workload as a test names it. A string instead of an object is the text of an encrypted document of that name. */
export interface Told {
  readonly objects: readonly (Manifest | { readonly sealed: Manifest })[]
  readonly rules?: Partial<ReleaseRules>
  readonly dependsOn?: Release['dependsOn']
  readonly startAfterMs?: number
  readonly startByMs?: number
  readonly gates?: readonly string[]
}

/** A hub that answers one site: what it was told to publish, signed, with blobs by digest. */
export class HubStub implements HubLink {
  readonly blobs = new Map<Digest, { readonly domain: BlobDomain; readonly bytes: Uint8Array }>()
  readonly heard: SyncUp[] = []
  fetched = 0
  reachable = true
  /** What it asks in each of its answers. */
  asks: readonly JsonObject[] = []
  /** Answers this instead of what was published. */
  forged: Envelope | undefined
  #entries = new Map<string, { readonly entry: ManifestEntry; readonly text: string }>()
  #counter = 0
  #envelope: Envelope | undefined
  #manifest: SiteManifest | undefined
  readonly #nowMs: () => number

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  publish(workloads: Readonly<Record<string, Told>>, more: Partial<Omit<SiteManifest, 'root'>> = {}): Envelope {
    const generation = { epoch: 1, counter: ++this.#counter }
    const entries = Object.entries(workloads).map(([workload, told], order): ManifestEntry => {
      const release = this.release(workload, told)
      const text = JSON.stringify([release, told.startAfterMs, told.startByMs])
      const before = this.#entries.get(workload)
      const entry: ManifestEntry = {
        workload,
        since: before?.text === text ? before.entry.since : generation,
        release,
        order,
        startAfter: new Date(told.startAfterMs ?? this.#nowMs() - 1_000).toISOString(),
        startBy: new Date(told.startByMs ?? this.#nowMs() + 86_400_000).toISOString(),
        gates: told.gates ?? [],
      }
      this.#entries.set(workload, { entry: before?.text === text ? before.entry : entry, text })
      return before?.text === text ? before.entry : entry
    })
    const body = {
      ...BODY,
      config: null,
      queues: {},
      keys: {},
      generation,
      entries,
      expires: '2027-01-01T00:00:00Z',
      ...more,
    }
    this.#manifest = makeManifest(body)
    this.#envelope = sealed(body)
    return this.#envelope
  }

  release(workload: string, told: Told): Digest {
    const objects = told.objects.map((object) => {
      const isSealed = 'sealed' in object
      const manifest = (isSealed ? object.sealed : object) as Manifest
      const blob = this.#put(isSealed ? 'sealed' : 'object', manifest)
      return {
        ref: refOf(manifest),
        apiVersion: manifest.apiVersion,
        blob,
        ...(isSealed ? { sealed: true as const } : {}),
      }
    })
    const release: Release = {
      format: 1,
      workload,
      namespace: 'shop',
      objects,
      dependsOn: told.dependsOn ?? [],
      rules: { ...RULES, ...told.rules },
    }
    return this.#put('release', release as unknown as Json)
  }

  #put(domain: BlobDomain, value: Json): Digest {
    const bytes = Buffer.from(canonicalJson(value))
    const digest = digestBytes(domain, bytes)
    this.blobs.set(digest, { domain, bytes })
    return digest
  }

  async sync(up: SyncUp): Promise<SyncAnswer> {
    if (!this.reachable) throw new Fault('Unreachable', 'the hub is away')
    this.heard.push(up)
    const envelope = this.forged ?? this.#envelope
    const sent = envelope !== undefined && up.have?.body !== bodyDigest(envelope.payload) ? envelope : undefined
    const timeMs = Math.floor(this.#nowMs())
    const told = sent === undefined ? undefined : (JSON.parse(Buffer.from(sent.payload).toString()) as SiteManifest)
    const subject = timeSubject(told, up.have)
    const { generation, root } = subject
    const statement = { siteId: up.siteId, nonce: up.nonce, timeMs, timeEpoch: 1, generation, root }
    const time = { timeMs, timeEpoch: 1, keyid: HUB.keyid }
    const head = {
      v: 1,
      ack: up.seq,
      ackOutbox: Math.max(0, ...up.outbox.map(({ seq }) => seq)),
      blobs: [],
      nextDueMs: 60_000,
      ...(this.asks.length === 0 ? {} : { asks: this.asks }),
      time,
    }
    return {
      head,
      manifest: sent,
      blobs: new Map(),
      timeSignature: signTime(statement, HUB),
      bytes: { up: 1, down: 1 },
    }
  }

  async blob(domain: BlobDomain, digest: Digest): Promise<Uint8Array> {
    this.fetched += 1
    const found = this.blobs.get(digest)
    if (found === undefined || found.domain !== domain) throw new Fault('NotFound', digest)
    return found.bytes
  }

  async close(): Promise<void> {}
  get manifest(): SiteManifest | undefined {
    return this.#manifest
  }
}

export interface Site {
  readonly clock: VirtualClock
  readonly cluster: SimCluster
  readonly hub: HubStub
  readonly store: AgentStore
  agent: Agent
  /** Another `bootId`: the machine was started anew. */
  readonly machine: { bootId: string }
  /** Turns and passing time until nothing is due within a minute, at most so many turns. */
  settle(turns?: number): Promise<void>
  /** A new process over the same store. */
  restart(link?: HubLink | null, agent?: Partial<AgentOptions>): void
  writes(): number
  reads(): number
}

export interface SiteOptions {
  readonly dir?: string
  readonly agent?: Partial<AgentOptions>
  readonly sim?: Partial<SimOptions>
  readonly clusterOf?: (cluster: SimCluster) => Cluster
  readonly storeOf?: (store: AgentStore) => AgentStore
  readonly lease?: LeasePort
}

export function createSite(options: SiteOptions = {}): Site {
  const clock = new VirtualClock(NOW_MS)
  const cluster = new SimCluster({ clock, seed: 1, ...options.sim })
  const hub = new HubStub(() => clock.nowMs())
  const store = openAgentStore(options.dir ?? ':memory:')
  if (store.identity() === null) store.saveIdentity(IDENTITY)
  const machine = { bootId: 'boot', uptimeMs: () => clock.monotonicMs() }
  const make = (link: HubLink | null, changed: Partial<AgentOptions> = {}): Agent =>
    createAgent(
      {
        cluster: options.clusterOf?.(cluster) ?? cluster,
        link,
        store: options.storeOf?.(store) ?? store,
        clock,
        log: SILENT,
        machine,
        ...(options.lease === undefined ? {} : { lease: options.lease }),
        random: seededRandom(7),
      },
      { version: '0.1.0', ...options.agent, ...changed },
    )
  const site: Site = {
    clock,
    cluster,
    hub,
    store,
    machine,
    agent: make(hub),
    async settle(turns = 30) {
      for (let i = 0; i < turns; i++) {
        const { nextMs } = await site.agent.turn(SIGNAL)
        if (nextMs > 0) await clock.advance(Math.min(nextMs, 2_000))
        const calm = site.agent
          .status()
          .workloads.every(({ sync, healthyForMs }) => sync === 'Synced' && healthyForMs > 0)
        if (calm && i > 1 && nextMs > 60_000) return
      }
    },
    restart(link = hub, changed) {
      site.agent.stop()
      site.agent = make(link, changed)
    },
    writes: () => count(cluster, ['create', 'apply', 'patch', 'delete']),
    reads: () => count(cluster, ['get', 'list', 'discover']),
  }
  return site
}

function count(cluster: SimCluster, verbs: readonly string[]): number {
  return verbs.reduce((sum, verb) => sum + (cluster.requests[verb] ?? 0), 0)
}

export function configMap(
  name: string,
  data: Readonly<Record<string, string>> = { a: '1' },
  namespace = 'shop',
): Manifest {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data }
}

export function deployment(name: string, image = 'till:1', extra: Readonly<Record<string, Json>> = {}): Manifest {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: 'shop' },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'main', image }] } },
      ...extra,
    },
  }
}

export function job(name: string, image = 'task:1', extra: Readonly<Record<string, Json>> = {}): Manifest {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, namespace: 'shop' },
    spec: { template: { spec: { restartPolicy: 'Never', containers: [{ name: 'main', image }] } }, ...extra },
  }
}

export function liveOf(site: Site, object: Manifest): Promise<Manifest | undefined> {
  return site.cluster.get(object, refOf(object), SIGNAL)
}
