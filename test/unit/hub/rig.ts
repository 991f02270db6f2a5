/** A hub on a real store in a temp folder, a Git of texts, fixed keys, and sites that judge what they are told as agents do. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openHubStore } from '../../../src/adapters/store/hub-store.ts'
import type { SourceTree } from '../../../src/core/fleet/types.ts'
import type { Digest } from '../../../src/core/model/digest.ts'
import { Fault, type FaultReason } from '../../../src/core/model/fault.ts'
import type { WorkloadObservation } from '../../../src/core/model/observation.ts'
import { accept, acceptBlob, acceptRelease, type Floor } from '../../../src/core/protocol/accept.ts'
import type { Envelope, SiteManifest, SyncUp } from '../../../src/core/protocol/messages.ts'
import type { SyncReply } from '../../../src/core/protocol/ports.ts'
import { judgeTime, timeSubject } from '../../../src/core/protocol/time.ts'
import { createHub, type Hub, type HubOptions, type HubPorts } from '../../../src/hub/hub.ts'
import type { Actor } from '../../../src/hub/api.ts'
import type { Authority, CommitRefusal, CommitsToJudge, GitSource, PollFrom } from '../../../src/hub/ports.ts'
import type { HubStore } from '../../../src/hub/store.ts'
import type { Logger } from '../../../src/runtime/logger.ts'
import { VirtualClock } from '../../../src/sim/clock.ts'
import { treeOf, type Files } from '../fleet/tree.ts'
import { HUB, STATEMENT, TRUST } from '../protocol/fixed.ts'

export const ADMIN: Actor = { name: 'ann', role: 'admin', teams: ['*'] }
const silent: Logger = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {}, child: () => silent }
/** Between two turns of a site. */
export const STEP_MS = 300_000
export const never = new AbortController().signal

export class TextGit implements GitSource {
  readonly url = 'memory:fleet'
  readonly branch = 'main'
  readonly #trees = new Map<string, SourceTree>()
  #history: string[] = []
  fault: FaultReason | null = null
  /** Who looks at signatures here. */
  judged: (commits: CommitsToJudge) => CommitRefusal | null | Promise<CommitRefusal | null> = () => null
  /** So many of the newest commits are not shown: a host that went back in time. */
  back = 0

  commit(files: Files): string {
    const revision = String(this.#trees.size + 1).padStart(40, '0')
    this.#trees.set(revision, treeOf(files))
    this.#history.push(revision)
    return revision
  }

  /** As a force-push does: nothing of before is in the history any more. */
  rewrite(files: Files): string {
    this.#history = []
    return this.commit(files)
  }

  async poll({ good, seen, accept: accepted }: PollFrom) {
    if (this.fault !== null) throw new Fault(this.fault, 'the Git host says no')
    const history = this.#history.slice(0, Math.max(1, this.#history.length - this.back))
    const revision = history.at(-1)
    if (revision === undefined) throw new Fault('BranchGone', 'no branch')
    if (good !== null && !history.includes(good) && accepted !== revision)
      throw new Fault('HistoryRewritten', `${revision} does not contain ${good}`)
    if (revision === seen && accepted !== revision) return { kind: 'unchanged', revision } as const
    return {
      kind: 'changed',
      revision,
      message: `commit ${Number(revision)}`,
      timeMs: 0,
      tree: await this.open(revision),
    } as const
  }

  async open(revision: string): Promise<SourceTree> {
    const tree = this.#trees.get(revision)
    if (tree === undefined) throw new Fault('ObjectUnreadable', revision)
    return tree
  }

  async judge(commits: CommitsToJudge): Promise<CommitRefusal | null> {
    return this.judged(commits)
  }
}

export const authority: Authority = {
  chain: [STATEMENT],
  trust: TRUST,
  signer: HUB,
  certify: async ({ site, siteId }) => `certificate of ${site} ${siteId}`,
  joinLine: (url, site, secret) => `${url} ${site} ${secret}`,
}

export class Rig implements AsyncDisposable {
  readonly clock: VirtualClock
  readonly git: TextGit
  readonly dir: string
  readonly #parts: Partial<HubPorts>
  readonly #options: Partial<HubOptions>
  store: HubStore
  hub: Hub

  static async open(parts: Partial<HubPorts> = {}, options: Partial<HubOptions> = {}): Promise<Rig> {
    const dir = mkdtempSync(join(tmpdir(), 'flotilla-hub-'))
    const clock = new VirtualClock()
    const git = new TextGit()
    const store = await openHubStore({ file: join(dir, 'hub.db'), durability: 'process' })
    const rig = new Rig(dir, clock, git, store, parts, options)
    rig.hub = await rig.#create()
    return rig
  }

  private constructor(
    dir: string,
    clock: VirtualClock,
    git: TextGit,
    store: HubStore,
    parts: Partial<HubPorts>,
    options: Partial<HubOptions>,
  ) {
    this.dir = dir
    this.clock = clock
    this.git = git
    this.store = store
    this.#parts = parts
    this.#options = options
    this.hub = undefined as unknown as Hub
  }

  async #create(): Promise<Hub> {
    const ports = {
      store: this.store,
      git: this.git,
      authority,
      clock: this.clock,
      log: silent,
      random: () => 0.5,
      ...this.#parts,
    }
    return createHub(ports, {
      version: 'test',
      root: '',
      gitPollMs: 1_000,
      polls: { connectedMs: 2 * STEP_MS, meteredMs: [2 * STEP_MS, 3 * STEP_MS] },
      linkUrl: () => 'https://hub:1',
      ...this.#options,
    })
  }

  /** As after SIGKILL: what only stood in memory is gone. */
  async restart(parts: Partial<HubPorts> = {}, wrap: (store: HubStore) => HubStore = (store) => store): Promise<void> {
    await this.store.close()
    this.store = wrap(await openHubStore({ file: join(this.dir, 'hub.db'), durability: 'process' }))
    Object.assign(this.#parts, parts)
    this.hub = await this.#create()
  }

  /** A copy of the store as it is now, as a backup or a cloned machine has it. */
  async backup(): Promise<string> {
    const copy = mkdtempSync(join(this.dir, 'backup-'))
    await this.store.close()
    cpSync(join(this.dir, 'hub.db'), join(copy, 'hub.db'))
    this.store = await openHubStore({ file: join(this.dir, 'hub.db'), durability: 'process' })
    this.hub = await this.#create()
    return copy
  }

  /** The hub goes on from a copy. */
  async restore(copy: string): Promise<void> {
    await this.store.close()
    this.store = await openHubStore({ file: join(copy, 'hub.db'), durability: 'process' })
    this.hub = await this.#create()
  }

  /** Look at Git and let everything that follows happen at the hub. */
  async settle(): Promise<void> {
    await this.hub.turns.source(never)
    await this.decide()
  }

  async decide(): Promise<void> {
    for (let i = 0; i < 20; i++) if ((await this.hub.turns.rollouts()).published.length === 0) return
    throw new Error('the hub publishes again and again')
  }

  /** Minutes pass; every site makes its turn each fifth. */
  async run(
    sites: readonly LightSite[],
    minutes: number,
    between: () => Promise<void> = async () => {},
  ): Promise<void> {
    for (let passedMs = 0; passedMs < minutes * 60_000; passedMs += STEP_MS) {
      for (const site of sites) {
        await site.turn()
        await between()
      }
      await this.decide()
      await between()
      await this.clock.advance(STEP_MS)
    }
  }

  async join(name: string): Promise<LightSite> {
    const { token } = await this.hub.api.createToken(ADMIN, name, 60_000)
    const keyHash = `key of ${name} ${Math.random()}`
    const request = { site: name, secret: token, keyHash, publicKey: Buffer.from(name), recipient: 'age1x' }
    const { siteId } = await this.hub.handler.enrol(request)
    return new LightSite(this, name, siteId, keyHash)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.close()
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** How a site's cluster takes a release. */
export type Luck = 'healthy' | 'crashing'

export class LightSite {
  /** As the manifest that it took last says. */
  name: string
  readonly siteId: string
  readonly keyHash: string
  readonly #rig: Rig
  #seq = 0
  #boot = 'boot-1'
  /** What it was told of the hub's keys. */
  trust = TRUST
  floor: Floor | null = null
  manifest: SiteManifest | null = null
  #envelope: Envelope | null = null
  #toShow = false
  /** What it shows when it is asked what it has. */
  shown: (envelope: Envelope) => Envelope = (envelope) => envelope
  #healthySinceMs = new Map<string, number>()
  readonly blobs = new Set<Digest>()
  luck: (release: Digest) => Luck = () => 'healthy'

  constructor(rig: Rig, name: string, siteId: string, keyHash: string) {
    this.#rig = rig
    this.name = name
    this.siteId = siteId
    this.keyHash = keyHash
  }

  get caller() {
    // What the link finds for its key.
    const site = this.#rig.hub.handler.standing(this.keyHash)?.site ?? this.name
    return { site, siteId: this.siteId, keyHash: this.keyHash }
  }

  releaseOf(workload: string): Digest | undefined {
    return this.manifest?.entries.find((entry) => entry.workload === workload)?.release
  }

  up(part: Partial<SyncUp> = {}): SyncUp {
    return {
      v: 1,
      site: this.name,
      siteId: this.siteId,
      agent: '0.1.0',
      boot: this.#boot,
      storeEpoch: 'store-1',
      have:
        this.floor === null || this.manifest === null
          ? null
          : { generation: this.floor.generation, body: this.floor.body, root: this.manifest.root },
      clockMs: this.#rig.clock.nowMs(),
      nonce: 'AAECAwQFBgcICQoL',
      seq: this.#seq,
      observations: [],
      outbox: [],
      conditions: [],
      trust: 1,
      ...this.#held(),
      ...part,
    }
  }

  #held(): Pick<SyncUp, 'held'> {
    if (!this.#toShow || this.#envelope === null) return {}
    const { payload, signatures } = this.shown(this.#envelope)
    const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
    return {
      held: { payload: base64(payload), signatures: signatures.map(({ keyid, sig }) => ({ keyid, sig: base64(sig) })) },
    }
  }

  /** One exchange in which nothing is reported; what comes is judged and taken. */
  async sync(part: Partial<SyncUp> = {}): Promise<SyncReply> {
    const up = this.up(part)
    const reply = await this.#rig.hub.handler.sync(this.caller, up, never)
    await this.#take(up, reply)
    this.#toShow = reply.head.asks?.some(({ kind }) => kind === 'manifest') === true
    return reply
  }

  /** Fetch, act, and report: an agent's turn. */
  async turn(): Promise<SyncReply> {
    await this.sync()
    this.#seq += 1
    return this.sync({ observations: this.observe() })
  }

  /** Its store was lost, and its floor's other place was not. */
  forget(): void {
    this.manifest = null
    this.#envelope = null
  }

  observe(): readonly WorkloadObservation[] {
    const nowMs = this.#rig.clock.nowMs()
    return (this.manifest?.entries ?? []).map((entry) => {
      const key = `${entry.workload} ${entry.release} ${entry.since.counter}`
      const luck = this.luck(entry.release)
      const since = this.#healthySinceMs.get(key) ?? nowMs
      this.#healthySinceMs.set(key, since)
      const at = { digest: entry.release, atMs: since }
      const healthy = luck === 'healthy'
      return {
        workload: entry.workload,
        since: entry.since,
        desired: at,
        received: at,
        staged: at,
        applied: at,
        healthy: healthy ? at : null,
        sync: healthy ? 'Synced' : 'Failed',
        health: healthy ? 'Healthy' : 'Degraded',
        healthyForMs: healthy ? nowMs - since : 0,
        unhealthyMs: healthy ? 0 : nowMs - since,
        transitions: 0,
        begun: true,
        ...(healthy ? {} : { failure: { reason: 'ImagePullBackOff', message: 'reg/app:bad is not there' } }),
        objects: [],
        counts: { objects: 1, ready: healthy ? 1 : 0, drifted: 0, pruned: 0 },
      }
    })
  }

  async #take(up: SyncUp, reply: SyncReply): Promise<void> {
    const nowMs = this.#rig.clock.nowMs()
    const sent = reply.manifest
    const verdict =
      sent === undefined
        ? undefined
        : accept({
            envelope: sent.envelope,
            trust: this.trust,
            site: this.name,
            siteId: this.siteId,
            floor: this.floor,
            hubNow: { known: 'exact', ms: nowMs },
          })
    if (verdict?.verdict === 'refuse') throw new Error(`the site refuses: ${verdict.reason} ${verdict.because}`)
    const subject = timeSubject(
      verdict === undefined ? undefined : { generation: verdict.manifest.generation, root: verdict.manifest.root },
      up.have,
    )
    const { timeMs, timeEpoch, keyid, sig } = reply.time
    const time = judgeTime({
      statement: { siteId: this.siteId, nonce: up.nonce, timeMs, timeEpoch, ...subject },
      keyid,
      sig,
      trust: this.trust,
      held: undefined,
      monotonicMs: 0,
      boot: 'b',
    })
    if (time.verdict !== 'accept') throw new Error(`the site refuses the time: ${time.because}`)
    for (const { domain, digest, bytes } of reply.blobs) {
      const read = acceptBlob(domain, digest, bytes)
      if (!read.ok) throw new Error(read.because)
      this.blobs.add(digest)
    }
    if (verdict === undefined) return
    this.manifest = verdict.manifest
    this.name = verdict.manifest.site
    this.#envelope = sent?.envelope ?? this.#envelope
    this.floor = verdict.floor
    for (const entry of verdict.manifest.entries) {
      const bytes = await this.#rig.hub.handler.blob(this.caller, 'release', entry.release)
      if (bytes === undefined) throw new Error(`release ${entry.release} cannot be fetched`)
      const release = acceptRelease(entry, bytes)
      if (!release.ok) throw new Error(release.because)
    }
  }
}
