/** A site's machine: its cluster and its disk outlive the agent on it; the disk rots and is restored from old backups. */
import { SecretText } from '../../src/core/model/secret.ts'
import { cpSync, existsSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { openAgentStore } from '../../src/adapters/store/agent-store.ts'
import { type Agent, createAgent } from '../../src/agent/agent.ts'
import { createOutbox } from '../../src/agent/outbox.ts'
import type { AgentStore, SiteIdentity } from '../../src/agent/ports.ts'
import type { Cluster } from '../../src/core/kube/cluster.ts'
import { spkiOf } from '../../src/core/protocol/envelope.ts'
import type { OutboxItem } from '../../src/core/protocol/messages.ts'
import type { HubLink } from '../../src/core/protocol/ports.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { ROOT, STATEMENT } from '../unit/protocol/fixed.ts'
import { SkewedClock } from './clocks.ts'
import { silent } from './hub-machine.ts'
import { Life } from './mortal.ts'

export interface SitePlace {
  /** Of the box, and of the site when it joins. */
  readonly name: string
  readonly site: string
  readonly siteId: string
  readonly dir: string
  readonly base: Clock
  readonly link: HubLink
  readonly cluster: Cluster
  readonly random: () => number
  /** Told of what the site's outbox forgets. */
  readonly onDropped: (items: readonly OutboxItem[]) => void
}

const DB = 'agent.db'

export class SiteMachine {
  readonly name: string
  readonly clock: SkewedClock
  readonly #at: SitePlace
  #bootedMs: number
  #boots = 1
  #results = 0
  #isOpen = true
  /** How often its disk was opened: each time it may be another one. */
  opened = 0
  life = new Life()
  agent: Agent | undefined
  store: AgentStore
  /** Raised with everything that is written. */
  writes = 0
  #running: Promise<unknown> = Promise.resolve()

  constructor(at: SitePlace) {
    this.name = at.name
    this.#at = at
    this.clock = new SkewedClock(at.base)
    this.#bootedMs = at.base.monotonicMs()
    this.store = this.#open()
    if (this.store.identity() === null) this.store.saveIdentity(identityOf(at))
  }

  #open(): AgentStore {
    const store = openAgentStore(this.#at.dir)
    this.opened += 1
    const counted = Object.create(store) as AgentStore
    counted.accept = (manifest) => {
      store.accept(manifest)
      this.writes += 1
    }
    counted.write = (write, ...rest) => {
      const { outboxAck } = write
      if (outboxAck !== undefined) this.#at.onDropped(store.outbox().filter(({ seq }) => seq <= outboxAck))
      store.write(write, ...rest)
      this.writes += 1
    }
    this.writes += 1
    return counted
  }

  start(): void {
    this.life = new Life((signal) => this.clock.thawed(signal))
    const { life, clock } = this
    const { link, cluster, random } = this.#at
    // What a job of a site leaves behind: it must arrive, once. A disk that was restored may count from before again.
    createOutbox(this.store).put('result', clock.nowMs(), { id: `${basename(this.#at.dir)} ${(this.#results += 1)}` })
    const bootedMs = this.#bootedMs
    const machine = {
      bootId: `${this.name}-${this.#boots}`,
      uptimeMs: () => clock.monotonicMs() - bootedMs,
    }
    this.agent = createAgent(
      {
        cluster: life.guard(cluster),
        link: life.guard(link),
        store: life.guard(this.store),
        clock,
        log: silent,
        machine,
        random,
      },
      { version: 'sim' },
    )
    this.#running = this.agent.run(life.end.signal).catch(() => undefined)
  }

  /** The process is gone; `disk` is what becomes of its files before anybody opens them again. */
  async kill(disk: () => void = () => undefined): Promise<void> {
    this.life.kill()
    await this.#running
    this.agent = undefined
    this.store.close()
    this.#isOpen = false
    disk()
    this.store = this.#open()
    this.#isOpen = true
  }

  /** The machine starts anew, and not only the process. */
  async reboot(disk?: () => void): Promise<void> {
    this.#boots += 1
    this.#bootedMs = this.#at.base.monotonicMs()
    await this.kill(disk)
    this.start()
  }

  keepBackup(): void {
    cpSync(join(this.#at.dir, DB), join(this.#at.dir, 'backup.db'))
  }

  get hasBackup(): boolean {
    return existsSync(join(this.#at.dir, 'backup.db'))
  }

  /** The database of some time ago; the floor's own file is of today. */
  restoreBackup(): void {
    cpSync(join(this.#at.dir, 'backup.db'), join(this.#at.dir, DB))
  }

  /** Bits flip, or the end is cut off. */
  rot(random: () => number): void {
    const file = join(this.#at.dir, DB)
    for (const end of ['-wal', '-shm']) rmSync(file + end, { force: true })
    const { size } = statSync(file)
    if (random() < 0.3) return truncateSync(file, Math.floor(random() * size))
    const bytes = readFileSync(file)
    const flips = 1 + Math.floor(random() * 20)
    for (let i = 0; i < flips; i++) {
      const at = Math.floor(random() * size)
      bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(random() * 8))
    }
    writeFileSync(file, bytes)
  }

  /** Another box with this one's disk and keys. */
  twin(dir: string, link: HubLink, random: () => number): SiteMachine {
    this.store.write({})
    cpSync(this.#at.dir, dir, { recursive: true })
    return new SiteMachine({ ...this.#at, dir, link, random })
  }

  async end(): Promise<void> {
    this.life.kill()
    await this.#running
    if (this.#isOpen) this.store.close()
  }
}

function identityOf({ site, siteId }: SitePlace): SiteIdentity {
  return {
    site,
    siteId,
    hubUrl: 'https://hub:1',
    root: spkiOf(ROOT.publicKey).toString('base64'),
    trust: STATEMENT,
    certificate: 'certificate',
    privateKey: new SecretText('key'),
    ageKey: new SecretText('AGE-SECRET-KEY-1'),
    recipient: 'age1',
  }
}
