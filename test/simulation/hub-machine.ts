/** The hub's machine: a disk that outlives the processes on it, fills up, is copied and restored. */
import { cpSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { openHubStore } from '../../src/adapters/store/hub-store.ts'
import { Fault } from '../../src/core/model/fault.ts'
import { createHub, type Hub } from '../../src/hub/hub.ts'
import type { Authority, GitSource } from '../../src/hub/ports.ts'
import type { HubChange, HubStore } from '../../src/hub/store.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import type { Logger } from '../../src/runtime/logger.ts'
import { SkewedClock } from './clocks.ts'
import { HUB_KEYS } from '../unit/protocol/rotated.ts'
import { Life } from './mortal.ts'

export const silent: Logger = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {}, child: () => silent }
export const POLL_MS = 300_000

const words: Pick<Authority, 'certify' | 'joinLine'> = {
  certify: async ({ site, siteId }) => `certificate of ${site} ${siteId}`,
  joinLine: (url, site, secret) => `${url} ${site} ${secret}`,
}

/** `full`: nothing can be written; `doubt`: it was written, and the answer says that it was not. */
export type Disk = 'well' | 'full' | 'doubt'

export class HubMachine {
  readonly clock: SkewedClock
  readonly #dir: string
  readonly #base: Clock
  readonly #git: GitSource
  readonly #random: () => number
  readonly #onCommit: (change: HubChange) => void
  life = new Life()
  hub: Hub | undefined
  disk: Disk = 'well'
  /** How often its keys were rotated. */
  #keys = 0
  /** Monotonic, of the process that runs. */
  startedMs = 0
  #store: HubStore | undefined
  #running: Promise<unknown> = Promise.resolve()

  /** `onCommit`: what stands in the store from now on. */
  constructor(dir: string, base: Clock, git: GitSource, random: () => number, onCommit: (change: HubChange) => void) {
    this.#dir = dir
    this.#base = base
    this.#git = git
    this.#random = random
    this.#onCommit = onCommit
    this.clock = new SkewedClock(base)
    mkdirSync(dir, { recursive: true })
  }

  /** `check`: what is in the store before anything runs on it. */
  async start(check: (store: HubStore) => Promise<void> = async () => undefined): Promise<void> {
    this.life = new Life()
    this.startedMs = this.#base.monotonicMs()
    const { life } = this
    const store = await openHubStore({ file: join(this.#dir, 'hub.db'), durability: 'process' })
    this.#store = store
    await check(store)
    const hub = await this.#made(store, life)
    if (hub === undefined) return life.kill()
    this.hub = hub
    life.onDeath = () => {
      this.hub = undefined
    }
    this.#running = hub.run(life.end.signal).catch(() => undefined)
  }

  /** undefined: it cannot even write down that it starts; whoever starts it tries again. */
  #made(store: HubStore, life: Life): Promise<Hub | undefined> {
    return createHub(
      {
        store: life.guard(this.#onDisk(store)),
        git: life.guard(this.#git),
        authority: { ...words, ...HUB_KEYS[this.#keys]! },
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
    ).catch((error: unknown) => {
      if (error instanceof Fault) return undefined
      throw error
    })
  }

  #onDisk(store: HubStore): HubStore {
    const disk = Object.create(store) as HubStore
    disk.commit = async (change) => {
      if (this.disk === 'full') throw new Fault('StoreFull', 'no room on the disk')
      await store.commit(change)
      this.#onCommit(change)
      if (this.disk === 'doubt') throw new Fault('StoreFailed', 'an error at fsync')
    }
    return disk
  }

  /** The process is gone, and its files are closed as the kernel does it. */
  async kill(): Promise<void> {
    this.life.kill()
    await this.#running
    await this.#store?.close()
    this.#store = undefined
  }

  /** Beside the hub, on its disk: a restart takes them. */
  async rotate(check: (store: HubStore) => Promise<void>): Promise<void> {
    await this.kill()
    this.#keys += 1
    await this.start(check)
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

  /** A second machine from this one's disk: both believe that they are the hub. */
  async clone(dir: string, random: () => number): Promise<HubMachine> {
    await this.kill()
    const other = new HubMachine(dir, this.#base, this.#git, random, this.#onCommit)
    other.#keys = this.#keys
    cpSync(join(this.#dir, 'hub.db'), join(dir, 'hub.db'))
    await this.start()
    await other.start()
    return other
  }

  /** What is on the disk, without the process. */
  async look(check: (store: HubStore) => Promise<void>): Promise<void> {
    await this.kill()
    await this.start(check)
  }
}
