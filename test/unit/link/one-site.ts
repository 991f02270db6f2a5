/** A real hub, the real link over sockets, real keys on the disk and one real agent over a simulated cluster; only time is virtual. */
import { rmSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openLink } from '../../../src/adapters/link/client.ts'
import { enrolSite } from '../../../src/adapters/link/enrol.ts'
import { trustOf } from '../../../src/adapters/link/identity.ts'
import { openPki, type Pki } from '../../../src/adapters/link/pki.ts'
import { fetchTrust, renewSite } from '../../../src/adapters/link/rescue.ts'
import { rotateKeys, type Rotation } from '../../../src/adapters/link/rotate.ts'
import { startLinkServer } from '../../../src/adapters/link/server.ts'
import type { LinkServer } from '../../../src/adapters/link/types.ts'
import { openAgentStore } from '../../../src/adapters/store/agent-store.ts'
import { createAgent, type Agent } from '../../../src/agent/agent.ts'
import type { AgentStore, KeyPort, SiteIdentity } from '../../../src/agent/ports.ts'
import type { HubLink, SyncReply } from '../../../src/core/protocol/ports.ts'
import type { SyncUp } from '../../../src/core/protocol/messages.ts'
import type { ClientLimits } from '../../../src/adapters/link/types.ts'
import type { HubOptions } from '../../../src/hub/hub.ts'
import type { Logger } from '../../../src/runtime/logger.ts'
import { VirtualClock } from '../../../src/sim/clock.ts'
import { SimCluster } from '../../../src/sim/cluster.ts'
import { shops } from '../hub/files.ts'
import { ADMIN, Rig } from '../hub/rig.ts'

export const DAY_MS = 86_400_000
export const silent: Logger = { info() {}, warn() {}, error() {}, debug() {}, child: () => silent }
export const soon = (): AbortSignal => AbortSignal.timeout(20_000)

export interface Box {
  readonly dir: string
  readonly store: AgentStore
  readonly agent: Agent
  readonly link: HubLink
  readonly cluster: SimCluster
  identity(): SiteIdentity
  close(): Promise<void>
}

export interface BoxOptions {
  readonly keys?: (real: KeyPort) => KeyPort
  readonly storeOf?: (real: AgentStore) => AgentStore
  readonly limits?: Partial<ClientLimits>
  /** What it ran when its agent was stopped. */
  readonly cluster?: SimCluster
}

export class OneSite implements AsyncDisposable {
  readonly keysDir: string
  readonly clock: VirtualClock
  rig: Rig
  server!: LinkServer
  pki: Pki
  /** Between the hub's word and the wire: somebody who has its machine and its keys. */
  bend: (reply: SyncReply, up: SyncUp) => SyncReply = (reply) => reply
  bendBlob: (bytes: Uint8Array | undefined) => Uint8Array | undefined = (bytes) => bytes
  #dirs: string[] = []
  #boxes: Box[] = []

  static async open(given: { readonly siteNowMs?: number; readonly hub?: Partial<HubOptions> } = {}): Promise<OneSite> {
    const keysDir = mkdtempSync(join(tmpdir(), 'flotilla-keys-'))
    const pki = await openPki(keysDir, Date.UTC(2026, 0, 1))
    const rig = await Rig.open({ authority: pki }, { maxClockSkewMs: null, ...given.hub })
    rig.git.commit(shops({ sites: ['s1'] }))
    await rig.settle()
    const world = new OneSite(keysDir, rig, pki, given.siteNowMs ?? Date.UTC(2036, 0, 1))
    world.server = await serve(world, 0)
    return world
  }

  private constructor(keysDir: string, rig: Rig, pki: Pki, siteNowMs: number) {
    this.keysDir = keysDir
    this.rig = rig
    this.pki = pki
    this.clock = new VirtualClock(siteNowMs)
  }

  /** The line of a new token. */
  async token(): Promise<string> {
    const { token } = await this.rig.hub.api.createToken(ADMIN, 's1', 60_000)
    return this.pki.joinLine(this.server.url, 's1', token)
  }

  /** Joins, and runs what it is told. */
  async join(line?: string): Promise<Box> {
    const dir = mkdtempSync(join(tmpdir(), 'flotilla-site-'))
    this.#dirs.push(dir)
    const store = openAgentStore(dir)
    store.saveIdentity(await enrolSite(line ?? (await this.token()), soon()))
    store.close()
    return this.start(dir)
  }

  /** A process over what a box has on its disk. */
  start(dir: string, options: BoxOptions = {}): Box {
    const store = openAgentStore(dir)
    const identity = (): SiteIdentity => store.identity()!
    const link = openLink({
      identity,
      authorities: () => trustOf(identity()).authorities,
      keyExchange: 'x25519',
      limits: options.limits ?? {},
    })
    const real: KeyPort = { renew: renewSite, roots: fetchTrust }
    const cluster = options.cluster ?? new SimCluster({ clock: this.clock, seed: 1 })
    const agent = createAgent(
      {
        cluster,
        link,
        keys: options.keys?.(real) ?? real,
        store: options.storeOf?.(store) ?? store,
        clock: this.clock,
        log: silent,
        machine: { bootId: 'boot', uptimeMs: () => this.clock.monotonicMs() },
        random: () => 0.5,
      },
      { version: 'test' },
    )
    const box: Box = {
      dir,
      store,
      agent,
      link,
      cluster,
      identity,
      close: async () => {
        this.#boxes = this.#boxes.filter((other) => other !== box)
        agent.stop()
        await link.close()
        store.close()
      },
    }
    this.#boxes.push(box)
    return box
  }

  /** The hub stops, its keys are rotated, it starts again at the same address. */
  async rotate(...steps: readonly Rotation[]): Promise<void> {
    await this.server.close(0)
    for (const step of steps) await rotateKeys(this.keysDir, step, this.rig.clock.nowMs())
    this.pki = await openPki(this.keysDir, this.rig.clock.nowMs())
    await this.rig.restart({ authority: this.pki })
    this.server = await serve(this, this.server.port)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const box of this.#boxes) await box.close()
    await this.server.close(0)
    await this.rig[Symbol.asyncDispose]()
    for (const dir of [this.keysDir, ...this.#dirs]) rmSync(dir, { recursive: true, force: true })
  }
}

function serve(world: OneSite, port: number): Promise<LinkServer> {
  const { rig } = world
  return startLinkServer({
    pki: world.pki,
    // By name: a restarted hub is another one.
    handler: {
      sync: async (caller, up, signal) => world.bend(await rig.hub.handler.sync(caller, up, signal), up),
      blob: async (...args) => world.bendBlob(await rig.hub.handler.blob(...args)),
      standing: (hash) => rig.hub.handler.standing(hash),
      enrol: (request) => rig.hub.handler.enrol(request),
      renew: (request) => rig.hub.handler.renew(request),
    },
    port,
    limits: { ratePerKey: 1e6, burstPerKey: 1e6 },
  })
}
