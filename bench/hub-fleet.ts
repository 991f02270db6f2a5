/** A fleet of texts as Git would give it, and light sites: who they are, what they have, and what they say. Part of `hub`. */
import { createHash } from 'node:crypto'
import type { SourceTree } from '../src/core/fleet/types.ts'
import type { Digest } from '../src/core/model/digest.ts'
import { digestBytes } from '../src/core/model/digest.ts'
import type { Generation, WorkloadObservation } from '../src/core/model/observation.ts'
import { accept } from '../src/core/protocol/accept.ts'
import type { SiteManifest, SyncUp } from '../src/core/protocol/messages.ts'
import type { SyncHandler, SyncReply } from '../src/core/protocol/ports.ts'
import type { Trust } from '../src/core/protocol/trust.ts'
import type { GitSource, PollFrom } from '../src/hub/ports.ts'
import type { SiteRecord } from '../src/hub/store.ts'

const HEAD = 'apiVersion: flotilla.dev/v1alpha1\n'
const NEVER = new AbortController().signal
const POLICY = `spec:
  waves: [{ name: all, maxConcurrent: 100%, soak: 1m }]
  maxUnavailable: 100%
  maxFailures: 50%
`

export const siteName = (i: number): string => `site-${String(i).padStart(5, '0')}`
export const workloadName = (i: number): string => `workload-${i}`

function fleetText(sites: number, workloads: number, tag: string): Readonly<Record<string, string>> {
  const files: Record<string, string> = {
    'flotilla.yaml': `${HEAD}kind: Fleet\nmetadata: { name: bench }\nspec: { layers: [country] }\n`,
    'policy.yaml': `${HEAD}kind: RolloutPolicy\nmetadata: { name: all }\n${POLICY}`,
  }
  for (let i = 0; i < sites; i++)
    files[`sites/${siteName(i)}.yaml`] =
      `${HEAD}kind: Site\nmetadata: { name: ${siteName(i)}, labels: { open: "yes", country: ${['dk', 'no', 'se'][i % 3]} } }\n` +
      'spec:\n  location: { timeZone: Europe/Copenhagen }\n'
  for (let i = 0; i < workloads; i++) {
    const name = workloadName(i)
    files[`apps/${name}/workload.yaml`] =
      `${HEAD}kind: Workload\nmetadata: { name: ${name} }\nspec:\n  source: { path: ./base }\n  namespace: ${name}\n` +
      '  targets: [{ selector: { matchLabels: { open: "yes" } } }]\n  rollout: all\n'
    files[`apps/${name}/base/config.yaml`] =
      `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: ${name} }\ndata: { tag: "${tag}" }\n`
  }
  return files
}

export function treeOf(sites: number, workloads: number, tag: string): SourceTree {
  return new Map(
    Object.entries(fleetText(sites, workloads, tag)).map(([path, text]) => {
      const bytes = new TextEncoder().encode(text)
      return [path, { path, oid: createHash('sha1').update(bytes).digest('hex'), bytes }]
    }),
  )
}

/** A branch in memory: what is measured is the hub. */
export class MemoryGit implements GitSource {
  readonly url = 'memory:bench'
  readonly branch = 'main'
  readonly #trees: SourceTree[] = []

  commit(tree: SourceTree): void {
    this.#trees.push(tree)
  }

  async poll({ seen }: PollFrom) {
    const revision = String(this.#trees.length).padStart(40, '0')
    if (revision === seen) return { kind: 'unchanged', revision } as const
    return {
      kind: 'changed',
      revision,
      message: 'a commit',
      timeMs: 0,
      tree: await this.open(revision),
    } as const
  }

  async open(revision: string): Promise<SourceTree> {
    return this.#trees[Number(revision) - 1] ?? new Map()
  }

  async judge(): Promise<null> {
    return null
  }
}

/** As enrolment leaves it behind. */
export function enrolled(i: number): { site: SiteRecord; key: { hash: string; siteId: string } } {
  const name = siteName(i)
  const siteId = createHash('sha256').update(name).digest('hex').slice(0, 32)
  const site: SiteRecord = {
    name,
    siteId,
    standing: 'active',
    inGit: false,
    listed: false,
    labels: {},
    linkClass: 'connected',
    mode: 'enforce',
    gitHold: null,
    agent: null,
    recipient: 'age1x',
    conditions: [],
    current: null,
    have: null,
    fork: null,
    lastContactMs: null,
    dueAtMs: null,
    published: 'current',
    confirmed: [],
  }
  return { site, key: { hash: digestBytes('trust', name), siteId } }
}

interface Entry {
  readonly workload: string
  readonly release: Digest
  readonly since: Generation
}

export class BenchSite {
  readonly name: string
  readonly siteId: string
  readonly keyHash: string
  readonly #verifies: Trust | null
  #have: SyncUp['have'] = null
  #entries: readonly Entry[] = []
  #seq = 0

  /** `verifies`: judges every manifest as an agent does; null: takes it for what it is. */
  constructor(name: string, siteId: string, keyHash: string, verifies: Trust | null) {
    this.name = name
    this.siteId = siteId
    this.keyHash = keyHash
    this.#verifies = verifies
  }

  /** ms that the hub took. */
  async sync(handler: SyncHandler, nowMs: number, report: 'nothing' | 'healthy', soakedMs = 0): Promise<number> {
    const { name: site, siteId, keyHash } = this
    if (report === 'healthy') this.#seq += 1
    const up: SyncUp = {
      v: 1,
      site,
      siteId,
      agent: '0.1.0',
      boot: 'boot-1',
      storeEpoch: 'store-1',
      have: this.#have,
      clockMs: nowMs,
      nonce: 'AAECAwQFBgcICQoL',
      seq: this.#seq,
      observations: report === 'healthy' ? this.#entries.map((entry) => healthy(entry, nowMs, soakedMs)) : [],
      outbox: [],
      conditions: [],
      trust: 1,
    }
    const before = performance.now()
    const reply = await handler.sync({ site, siteId, keyHash }, up, NEVER)
    const tookMs = performance.now() - before
    this.#take(reply, nowMs)
    return tookMs
  }

  #take({ manifest }: SyncReply, nowMs: number): void {
    if (manifest === undefined) return
    const { envelope, body } = manifest
    if (this.#verifies !== null) {
      const verdict = accept({
        envelope,
        trust: this.#verifies,
        site: this.name,
        siteId: this.siteId,
        floor: this.#have === null ? null : { generation: this.#have.generation, body: this.#have.body },
        hubNow: { known: 'exact', ms: nowMs },
      })
      if (verdict.verdict === 'refuse') throw new Error(`${verdict.reason}: ${verdict.because}`)
    }
    const read = JSON.parse(Buffer.from(envelope.payload).toString()) as SiteManifest
    this.#have = { generation: read.generation, root: read.root, body }
    this.#entries = read.entries.map(({ workload, release, since }) => ({ workload, release, since }))
  }
}

function healthy({ workload, release, since }: Entry, nowMs: number, soakedMs: number): WorkloadObservation {
  const at = { digest: release, atMs: nowMs }
  return {
    workload,
    since,
    desired: at,
    received: at,
    staged: at,
    applied: at,
    healthy: at,
    sync: 'Synced',
    health: 'Healthy',
    healthyForMs: soakedMs,
    unhealthyMs: 0,
    transitions: 0,
    begun: true,
    objects: [],
    counts: { objects: 1, ready: 1, drifted: 0, pruned: 0 },
  }
}
