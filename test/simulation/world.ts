/** One simulated fleet: its machines, the lines between them, the laws over them, and the time that passes for all. */
import { join } from 'node:path'
import { Fault } from '../../src/core/model/fault.ts'
import type { SiteManifest } from '../../src/core/protocol/messages.ts'
import type { SyncAnswer, SyncHandler } from '../../src/core/protocol/ports.ts'
import { SimCluster } from '../../src/sim/cluster.ts'
import { VirtualClock } from '../../src/sim/clock.ts'
import { FaultyLink } from '../../src/sim/link.ts'
import { seededRandom } from '../../src/sim/random.ts'
import { ADMIN } from '../unit/hub/rig.ts'
import { forgetful } from './api-weather.ts'
import { Author, boxOf, SITES } from './author.ts'
import { HubMachine, POLL_MS } from './hub-machine.ts'
import { watchCluster } from './laws/cluster.ts'
import { GrantedLaws, type Moment } from './laws/granted.ts'
import { Known } from './laws/known.ts'
import { ReportLaws } from './laws/reports.ts'
import { ShownLaws, type Truth } from './laws/shown.ts'
import { ToldLaws } from './laws/told.ts'
import { Violation } from './laws/violation.ts'
import { type Shape, shapeOf } from './shape.ts'
import { SiteMachine } from './site-machine.ts'
import { type FaultName, weatherOf } from './weather.ts'
import { wireLink } from './wire.ts'

export const MINUTE = 60_000

/** A site and the line to it, by the name of its box; times are monotonic, what ended is in the past. */
export interface Line {
  readonly name: string
  readonly siteId: string
  readonly machine: SiteMachine
  readonly cluster: SimCluster
  readonly link: FaultyLink
  /** A second machine with the same disk and keys. */
  twin: SiteMachine | undefined
  twinUntilMs: number
  darkUntilMs: number
  oneWay: 'up' | 'down' | undefined
  oneWayUntilMs: number
  /** Of the whole machine, and of its API server. */
  downUntilMs: number
  apiDownUntilMs: number
  /** Which hub answers it: the other one while a clone runs and the name leads there. */
  hub: 'first' | 'other'
  heardMs: number
  seenWrites: number
  /** Makes another link for the same keys. */
  readonly relink: (seed: number) => FaultyLink
}

export class SimWorld {
  readonly clock = new VirtualClock()
  readonly shape: Shape
  readonly author: Author
  readonly random: () => number
  readonly rates: ReadonlyMap<FaultName, number>
  readonly hub: HubMachine
  readonly lines: Line[] = []
  readonly known = new Known()
  readonly told: ToldLaws
  readonly granted: GrantedLaws
  readonly reports = new ReportLaws()
  readonly shown = new ShownLaws()
  readonly trace: string[] = []
  readonly dir: string
  readonly seed: number
  /** Shares of exchanges, requests and lists that go wrong now. */
  readonly now = { replay: 0, portal: 0, blobs: 0, empty: 0 }
  other: HubMachine | undefined
  /** Its memory is an older one, or there were two: what it does is judged less strictly until an operator recovered it. */
  forked = false
  /** There is a backup of the hub. */
  copied = false
  /** Nothing stands in anybody's way any more. */
  healed = false
  events = 0
  #fails: Violation | undefined
  readonly #overheard: SyncAnswer[] = []

  constructor(seed: number, dir: string, only: readonly FaultName[] | 'any') {
    this.seed = seed
    this.dir = dir
    this.random = seededRandom(seed)
    this.rates = weatherOf(seed, only).rates
    this.shape = shapeOf(seed)
    this.author = new Author(this.shape, this.random)
    this.told = new ToldLaws(this.author.removed)
    this.granted = new GrantedLaws(this.known, this.shape, this.author.tip, (revision) => this.author.at(revision))
    this.hub = new HubMachine(join(dir, 'hub'), this.clock, this.author.git, seededRandom(seed + 1), (change) =>
      this.judge(() => this.granted.committed(change, this.moment())),
    )
  }

  moment(): Moment {
    const monotonicMs = this.clock.monotonicMs()
    const isDue = (site: string): boolean => monotonicMs - (this.line(site)?.heardMs ?? 0) < POLL_MS
    return { hubNowMs: this.hub.clock.nowMs(), monotonicMs, isDue }
  }

  line(name: string): Line | undefined {
    return this.lines.find((line) => line.name === name)
  }

  say(text: string): void {
    this.trace.push(`${this.clock.monotonicMs()} ${text}`)
  }

  judge(law: () => void): void {
    try {
      law()
    } catch (error) {
      this.#fails ??= error instanceof Violation ? error : new Violation('law', String((error as Error).stack))
    }
  }

  /** The hub's memory is not what it was: what was promised from it is forgotten. */
  fork(): void {
    this.forked = true
    this.granted.mode = 'note'
    this.told.forget()
    this.reports.forget()
  }

  /** As often as it takes: a hub that is away, or cannot write, is asked again. */
  async mayJoin(name: string): Promise<boolean> {
    try {
      await this.join(name)
      // Who joins is in the next backup: one of before would not know its key, and it would have to join again.
      if (this.copied) await this.hub.keepCopy()
      return true
    } catch (error) {
      if (error instanceof Fault) return false
      throw error
    }
  }

  async join(name: string): Promise<void> {
    const { hub } = this.hub
    if (hub === undefined) throw new Fault('Unreachable', 'nobody listens')
    const site = this.granted.facts.names.get(name) ?? name
    const { token } = await hub.api.createToken(ADMIN, site, MINUTE)
    const keyHash = `key of ${name}`
    const request = { site, secret: token, keyHash, publicKey: Buffer.from(name), recipient: 'age1x' }
    const { siteId } = await hub.handler.enrol(request)
    const seed = this.seed * 64 + this.lines.length
    const cluster = new SimCluster({ clock: this.clock, seed })
    await watchCluster(name, cluster, this.author.removed, (violation) => this.judge(() => { throw violation })) // prettier-ignore
    const handler = (): SyncHandler | undefined => {
      const machine = this.line(name)?.hub === 'other' && this.other !== undefined ? this.other : this.hub
      return machine.hub?.handler
    }
    const relink = (from: number): FaultyLink => {
      const draw = seededRandom(from)
      const wire = wireLink({
        overheard: this.#overheard,
        caller: { site: name, siteId, keyHash },
        hub: handler,
        fate: () => {
          const which = draw()
          if (which < this.now.replay) return 'replay'
          return which < this.now.replay + this.now.portal ? (draw() < 0.8 ? 'portal' : 'proxy') : 'through'
        },
        blobs: () =>
          draw() >= this.now.blobs ? 'through' : (['lean', 'cut', 'damaged'] as const)[Math.floor(draw() * 3)]!,
        said: (up) => {
          this.known.said(name, up)
          return this.reports.said(name, up)
        },
        heard: (up, place, reply) => {
          const line = this.line(name)!
          line.heardMs = this.clock.monotonicMs()
          this.judge(() => {
            const hubs = this.other === undefined ? 'one hub' : 'two hubs'
            const teller = { hubs, isForked: this.forked, hubNowMs: this.hub.clock.nowMs() } as const
            const manifest = this.told.told(name, reply, teller)
            if (manifest !== undefined) this.granted.told(name, manifest, this.moment())
          })
          if (!this.forked) this.reports.acknowledged(name, up, place, reply.head.ack, reply.head.ackOutbox)
          this.say(`${name} says ${up.have?.generation.counter ?? 0} ${up.observations.map((o) => `${o.workload}:${o.sync}:${o.health}`).join()}`) // prettier-ignore
        },
      })
      return new FaultyLink(wire, { clock: this.clock, seed: from })
    }
    const link = relink(seed)
    const draw = seededRandom(seed + 31)
    const machine = new SiteMachine({
      name,
      site,
      siteId,
      dir: join(this.dir, name),
      base: this.clock,
      link,
      cluster: forgetful(cluster, () => this.now.empty, draw),
      random: seededRandom(seed + 7),
      onDropped: (items) => this.judge(() => this.forked || this.reports.dropped(name, items)),
    })
    this.lines.push({
      name,
      siteId,
      machine,
      cluster,
      link,
      twin: undefined,
      twinUntilMs: 0,
      darkUntilMs: 0,
      oneWay: undefined,
      oneWayUntilMs: 0,
      downUntilMs: 0,
      apiDownUntilMs: 0,
      hub: 'first',
      heardMs: 0,
      seenWrites: 0,
      relink,
    })
    machine.start()
  }

  async begin(): Promise<void> {
    await this.hub.start()
    await this.pass(2 * MINUTE)
    for (const name of this.shape.joinsAtMinute === null ? SITES : SITES.slice(0, -1)) await this.join(name)
    await this.pass(50 * MINUTE)
  }

  /** Time passes from wake to wake; the laws are asked after each. */
  async pass(ms: number): Promise<void> {
    const endMs = this.clock.monotonicMs() + ms
    for (;;) {
      const dueMs = Math.min(this.clock.nextDueMs ?? endMs, endMs)
      await this.clock.advance(Math.max(0, dueMs - this.clock.monotonicMs()))
      this.events += 1
      await this.#revive()
      this.#watch()
      if (dueMs >= endMs) return
    }
  }

  /** Everything that was acknowledged is in the store, at any moment at which the hub may die. */
  readonly checkStore = (store: Parameters<ReportLaws['check']>[0]): Promise<void> =>
    this.forked ? Promise.resolve() : this.reports.check(store)

  async #revive(): Promise<void> {
    if (this.hub.life.dead) {
      this.say('hub starts again')
      await this.hub.kill()
      await this.hub.start(this.checkStore)
    }
    for (const { machine, twin } of this.lines)
      for (const one of [machine, twin])
        if (one?.life.dead === true) {
          this.say(`${one.name} starts again`)
          await one.kill()
          one.start()
        }
  }

  #watch(): void {
    if (this.#fails !== undefined) throw this.#fails
    for (const line of this.lines) {
      const { machine } = line
      if (line.seenWrites === machine.writes) continue
      line.seenWrites = machine.writes
      const begun = machine.store.workloads()
      const applied = [...begun.values()].flatMap((w) => (w.applied === null ? [] : [w.applied.digest])) // prettier-ignore
      const floor = machine.store.floor()?.generation ?? null
      const newest = machine.store.manifests()[0]?.envelope.payload
      const manifest = newest === undefined ? null : (JSON.parse(Buffer.from(newest).toString()) as SiteManifest)
      this.told.stored(line.name, line.siteId, {
        floor,
        applied,
        manifest,
        begun,
        opened: machine.opened,
        hubNowMs: this.#permitNowMs(),
      })
    }
  }

  /** A clock that jumped, and a process that stood still after it had looked, are no law's business. */
  #permitNowMs(): number {
    const isKnown = !['hub-clock', 'hub-2036', 'agent-pause'].some((name) => this.rates.has(name as FaultName))
    return isKnown && !this.forked ? this.hub.clock.nowMs() : 0
  }

  /** What people would be shown now. */
  async look(): Promise<void> {
    const api = this.hub.hub?.api
    if (api === undefined) return
    const nowMs = this.clock.monotonicMs()
    const truth: Truth = {
      silentMs: (site) => {
        const line = this.line(boxOf(site))
        return line === undefined ? Number.POSITIVE_INFINITY : nowMs - Math.max(line.heardMs, this.hub.startedMs)
      },
      mayBeHeld: (site) => this.granted.mayBeHeld(boxOf(site), this.hub.clock.nowMs()),
      mayBeStopped: (workload) => this.granted.mayBeStopped(workload),
      mayBeWithdrawn: (workload, release) =>
        [this.granted.undone, this.granted.failed].some((gone) => gone.has(workload)) || this.told.isWithdrawn(release),
      isGated: this.shape.isGated,
      depends: this.shape.depends,
      isForked: this.forked,
    }
    try {
      const { items } = await api.sites({})
      await this.shown.check(api, items.map(({ name }) => name), truth) // prettier-ignore
    } catch (error) {
      // It may have died of this very question.
      if (!this.hub.life.dead) throw error
    }
  }

  async end(): Promise<void> {
    for (const { machine, twin, cluster } of this.lines) {
      await twin?.end()
      await machine.end()
      await cluster.close()
    }
    await this.other?.kill()
    await this.hub.kill()
  }
}
