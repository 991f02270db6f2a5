/** Hub and sites of one simulated fleet: disks, machines and clusters that outlive the processes on them. */
import { cpSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { openAgentStore } from '../../src/adapters/store/agent-store.ts'
import { openHubStore } from '../../src/adapters/store/hub-store.ts'
import { type Agent, createAgent } from '../../src/agent/agent.ts'
import type { SiteIdentity } from '../../src/agent/ports.ts'
import { spkiOf } from '../../src/core/protocol/envelope.ts'
import type { HubLink } from '../../src/core/protocol/ports.ts'
import { createHub, type Hub } from '../../src/hub/hub.ts'
import type { Authority, GitSource } from '../../src/hub/ports.ts'
import type { HubStore } from '../../src/hub/store.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import type { Logger } from '../../src/runtime/logger.ts'
import { SimCluster } from '../../src/sim/cluster.ts'
import { HUB, ROOT, STATEMENT, TRUST } from '../unit/protocol/fixed.ts'
import { Life } from './mortal.ts'

const silent: Logger = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {}, child: () => silent }
export const POLL_MS = 300_000

const authority: Authority = {
  chain: [STATEMENT],
  trust: TRUST,
  signer: HUB,
  certify: async ({ site, siteId }) => `certificate of ${site} ${siteId}`,
  joinLine: (url, site, secret) => `${url} ${site} ${secret}`,
}

/** One machine's wall clock over the time that passes for all. */
export class SkewedClock implements Clock {
  skewMs = 0
  readonly #base: Clock
  constructor(base: Clock) {
    this.#base = base
  }
  nowMs(): number {
    return Math.floor(this.#base.nowMs() + this.skewMs)
  }
  monotonicMs(): number {
    return Math.floor(this.#base.monotonicMs())
  }
  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return this.#base.sleep(ms, signal)
  }
}

export class HubMachine {
  readonly clock: SkewedClock
  readonly #dir: string
  readonly #git: GitSource
  readonly #random: () => number
  life = new Life()
  hub: Hub | undefined
  #store: HubStore | undefined
  #running: Promise<unknown> = Promise.resolve()

  constructor(dir: string, base: Clock, git: GitSource, random: () => number) {
    this.#dir = dir
    this.#git = git
    this.#random = random
    this.clock = new SkewedClock(base)
    mkdirSync(dir, { recursive: true })
  }

  async start(): Promise<void> {
    this.life = new Life()
    const { life } = this
    this.#store = await openHubStore({ file: join(this.#dir, 'hub.db'), durability: 'process' })
    const hub = await createHub(
      {
        store: life.guard(this.#store),
        git: life.guard(this.#git),
        authority,
        clock: this.clock,
        log: silent,
        random: this.#random,
      },
      {
        version: 'sim',
        root: '',
        gitPollMs: 60_000,
        polls: { connectedMs: POLL_MS, meteredMs: [POLL_MS, POLL_MS] },
        linkUrl: () => 'https://hub:1',
      },
    )
    this.hub = hub
    life.onDeath = () => {
      this.hub = undefined
    }
    this.#running = hub.run(life.end.signal).catch(() => undefined)
  }

  /** The process is gone, and its files are closed as the kernel does it. */
  async kill(): Promise<void> {
    this.life.kill()
    await this.#running
    await this.#store?.close()
    this.#store = undefined
  }

  async keepCopy(): Promise<void> {
    await this.kill()
    cpSync(join(this.#dir, 'hub.db'), join(this.#dir, 'copy.db'))
    await this.start()
  }

  async rewind(): Promise<void> {
    await this.kill()
    for (const end of ['-wal', '-shm']) rmSync(join(this.#dir, `hub.db${end}`), { force: true })
    cpSync(join(this.#dir, 'copy.db'), join(this.#dir, 'hub.db'))
    await this.start()
  }
}

export class SiteMachine {
  readonly name: string
  readonly clock: SkewedClock
  readonly cluster: SimCluster
  readonly #dir: string
  readonly #link: HubLink
  readonly #random: () => number
  readonly #startedMs: number
  #boots = 1
  life = new Life()
  agent: Agent | undefined
  store: ReturnType<typeof openAgentStore>
  #running: Promise<unknown> = Promise.resolve()

  constructor(at: {
    name: string
    siteId: string
    dir: string
    base: Clock
    link: HubLink
    seed: number
    random: () => number
  }) {
    this.name = at.name
    this.#dir = at.dir
    this.#link = at.link
    this.#random = at.random
    this.clock = new SkewedClock(at.base)
    this.#startedMs = at.base.monotonicMs()
    this.cluster = new SimCluster({ clock: at.base, seed: at.seed })
    this.store = openAgentStore(at.dir)
    const identity: SiteIdentity = {
      site: at.name,
      siteId: at.siteId,
      hubUrl: 'https://hub:1',
      root: spkiOf(ROOT.publicKey).toString('base64'),
      trust: STATEMENT,
      certificate: 'certificate',
      privateKey: 'key',
      ageKey: 'AGE-SECRET-KEY-1',
      recipient: 'age1',
    }
    this.store.saveIdentity(identity)
  }

  start(): void {
    this.life = new Life()
    const { life } = this
    const machine = {
      bootId: `${this.name}-${this.#boots}`,
      uptimeMs: () => this.clock.monotonicMs() - this.#startedMs,
    }
    this.agent = createAgent(
      {
        cluster: life.guard(this.cluster),
        link: life.guard(this.#link),
        store: life.guard(this.store),
        clock: this.clock,
        log: silent,
        machine,
        random: this.#random,
      },
      { version: 'sim' },
    )
    this.#running = this.agent.run(life.end.signal).catch(() => undefined)
  }

  async kill(): Promise<void> {
    this.life.kill()
    await this.#running
    this.agent = undefined
    this.store.close()
    this.store = openAgentStore(this.#dir)
  }

  /** The machine starts anew, and not only the process. */
  async reboot(): Promise<void> {
    this.#boots += 1
    await this.kill()
    this.start()
  }
  async end(): Promise<void> {
    this.life.kill()
    await this.#running
    this.store.close()
    await this.cluster.close()
  }
}
