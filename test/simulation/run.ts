/** One seed, one story: a fleet under the faults that the seed switches on, watched after every event, healed, and to converge. */
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Fault } from '../../src/core/model/fault.ts'
import { VirtualClock } from '../../src/sim/clock.ts'
import { FaultyLink } from '../../src/sim/link.ts'
import { seededRandom } from '../../src/sim/random.ts'
import { ADMIN } from '../unit/hub/rig.ts'
import { Author, CHANGES, MOST_CHANGING, SITES } from './author.ts'
import { Laws, Violation } from './laws.ts'
import { HubMachine, POLL_MS, SiteMachine } from './parts.ts'
import { type FaultName, weatherOf } from './weather.ts'
import { wireLink } from './wire.ts'

const MINUTE = 60_000
const STORY_MINUTES = 150
/** After the heal: two waves and their soaks, with room for what waits and backs off. */
const HEAL_MINUTES = 300
const COMMIT_RATE = 0.05
const HOME = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

export interface Outcome {
  readonly seed: number
  readonly digest: string
  readonly events: number
  readonly faults: readonly string[]
  /** null: nothing was broken and all converged. */
  readonly broken: string | null
  readonly trace: readonly string[]
}

interface Line {
  readonly machine: SiteMachine
  readonly link: FaultyLink
  darkUntilMs: number
  downUntilMs: number
  heardMs: number
}

export async function simulate(
  seed: number,
  options: { readonly faults?: readonly FaultName[] } = {},
): Promise<Outcome> {
  const dir = mkdtempSync(join(HOME, 'flotilla-sim-'))
  const world = new SimWorld(seed, dir, options.faults ?? 'any')
  try {
    await world.story()
    return world.outcome(null)
  } catch (error) {
    return world.outcome(error instanceof Violation ? error.message : `error: ${(error as Error).stack}`)
  } finally {
    await world.end()
    rmSync(dir, { recursive: true, force: true })
  }
}

class SimWorld {
  readonly #seed: number
  readonly #dir: string
  readonly #clock = new VirtualClock()
  readonly #author = new Author()
  readonly #laws = new Laws(this.#author.removed)
  readonly #random: () => number
  readonly #rates: ReadonlyMap<FaultName, number>
  readonly #hub: HubMachine
  readonly #lines: Line[] = []
  readonly #trace: string[] = []
  readonly #foreign = new Map<string, string>()
  #fate = { replay: 0, portal: 0 }
  #fails: Violation | undefined
  #gitBackMs = 0
  #rewound = false
  #copied = false
  #events = 0

  constructor(seed: number, dir: string, only: readonly FaultName[] | 'any') {
    this.#seed = seed
    this.#dir = dir
    this.#random = seededRandom(seed)
    this.#rates = weatherOf(seed, only).rates
    this.#hub = new HubMachine(join(dir, 'hub'), this.#clock, this.#author.git, seededRandom(seed + 1))
  }

  outcome(broken: string | null): Outcome {
    const hash = createHash('sha256')
    for (const line of this.#trace) hash.update(`${line}\n`)
    return { seed: this.#seed, digest: hash.digest('hex').slice(0, 16), events: this.#events, faults: [...this.#rates.keys()], broken, trace: this.#trace } // prettier-ignore
  }

  #say(text: string): void {
    this.#trace.push(`${this.#clock.monotonicMs()} ${text}`)
  }

  async story(): Promise<void> {
    await this.#hub.start()
    await this.#pass(2 * MINUTE)
    for (const name of SITES) await this.#join(name)
    await this.#pass(40 * MINUTE)
    for (let minute = 0; minute < STORY_MINUTES; minute++) {
      if (this.#random() < COMMIT_RATE) {
        const change = CHANGES[Math.floor(this.#random() * CHANGES.length)]!
        this.#author.make(change)
        this.#say(`commit ${change}`)
      }
      await this.#disturb()
      await this.#pass(MINUTE)
    }
    await this.#heal()
    for (let minute = 0; minute < HEAL_MINUTES; minute += 5) {
      await this.#pass(5 * MINUTE)
      if ((await this.#unsettled()).length === 0) return this.#say('converged')
    }
    throw new Violation('converges', (await this.#unsettled()).join('; '))
  }

  async end(): Promise<void> {
    for (const { machine } of this.#lines) await machine.end()
    await this.#hub.kill()
  }

  async #join(name: string): Promise<void> {
    const hub = this.#hub.hub!
    const { token } = await hub.api.createToken(ADMIN, name, MINUTE)
    const keyHash = `key of ${name}`
    const request = { site: name, secret: token, keyHash, publicKey: Buffer.from(name), recipient: 'age1x' }
    const { siteId } = await hub.handler.enrol(request)
    const seed = this.#seed * 16 + this.#lines.length
    const draw = seededRandom(seed)
    const wire = wireLink({
      caller: { site: name, siteId, keyHash },
      hub: () => this.#hub.hub?.handler,
      fate: () => (draw() < this.#fate.replay ? 'replay' : draw() < this.#fate.portal ? 'portal' : 'through'),
      heard: (up) => {
        line.heardMs = this.#clock.monotonicMs()
        this.#judge(() => this.#laws.heard(name, up))
        this.#say(`${name} says ${up.have?.generation.counter ?? 0} ${up.observations.map((o) => `${o.workload}:${o.sync}:${o.health}`).join()}`) // prettier-ignore
      },
      told: (reply) => this.#judge(() => this.#laws.told(name, reply)),
    })
    const link = new FaultyLink(wire, { clock: this.#clock, seed })
    const machine = new SiteMachine({ name, siteId, dir: join(this.#dir, name), base: this.#clock, link, seed, random: seededRandom(seed + 7) }) // prettier-ignore
    const line: Line = { machine, link, darkUntilMs: 0, downUntilMs: 0, heardMs: 0 }
    for (const namespace of ['default', 'kube-public']) {
      const made = await machine.cluster.create(
        { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'web', namespace }, data: { whose: 'not ours' } },
        {},
        new AbortController().signal,
      )
      this.#foreign.set(`${name}/${namespace}`, String(made.metadata.uid))
    }
    this.#lines.push(line)
    machine.start()
  }

  #judge(law: () => void): void {
    try {
      law()
    } catch (error) {
      this.#fails ??= error instanceof Violation ? error : new Violation('law', String(error))
    }
  }

  /** Time passes from wake to wake; the laws are asked after each. */
  async #pass(ms: number): Promise<void> {
    const endMs = this.#clock.monotonicMs() + ms
    for (;;) {
      const dueMs = Math.min(this.#clock.nextDueMs ?? endMs, endMs)
      await this.#clock.advance(Math.max(0, dueMs - this.#clock.monotonicMs()))
      this.#events += 1
      await this.#revive()
      this.#watch()
      if (dueMs >= endMs) return
    }
  }

  async #revive(): Promise<void> {
    if (this.#hub.life.dead) {
      this.#say('hub starts again')
      await this.#hub.kill()
      await this.#hub.start()
    }
    for (const { machine } of this.#lines)
      if (machine.life.dead) {
        this.#say(`${machine.name} starts again`)
        await machine.kill()
        machine.start()
      }
  }

  #watch(): void {
    if (this.#fails !== undefined) throw this.#fails
    const nowMs = this.#clock.monotonicMs()
    for (const { machine } of this.#lines) {
      const applied = [...machine.store.workloads().values()].flatMap((w) => (w.applied === null ? [] : [w.applied.digest])) // prettier-ignore
      this.#laws.stored(machine.name, machine.store.floor()?.generation ?? null, applied)
      for (const namespace of ['default', 'kube-public']) {
        const { server } = machine.cluster
        const found = server.get(server.kinds.resolve({ apiVersion: 'v1', kind: 'ConfigMap' }), namespace, 'web')
        if (found?.metadata.uid !== this.#foreign.get(`${machine.name}/${namespace}`))
          throw new Violation('foreign', `${machine.name} lost ${namespace}/web that was not ours`)
      }
    }
    if (!this.#rewound)
      this.#laws.concurrency(MOST_CHANGING, (site) => {
        const line = this.#lines.find(({ machine }) => machine.name === site)
        return line !== undefined && nowMs - line.heardMs < POLL_MS
      })
  }

  async #disturb(): Promise<void> {
    const nowMs = this.#clock.monotonicMs()
    const comes = (name: FaultName): boolean => this.#random() < (this.#rates.get(name) ?? 0)
    const some = <T>(list: readonly T[]): T => list[Math.floor(this.#random() * list.length)]!
    const loss = this.#rates.get('loss') ?? 0
    this.#fate = { replay: this.#rates.get('replay') ?? 0, portal: this.#rates.get('portal') ?? 0 }
    for (const line of this.#lines) {
      if (comes('dark')) line.darkUntilMs = nowMs + this.#random() * 60 * MINUTE
      line.link.become({ dark: nowMs < line.darkUntilMs, lossUp: loss / 2, lossDown: loss / 2, duplicate: loss / 2, delayMs: [0, loss * 5_000] }) // prettier-ignore
      if (comes('power-cut')) {
        this.#say(`${line.machine.name} loses power`)
        line.downUntilMs = nowMs + this.#random() * 10 * MINUTE
        line.machine.cluster.power('down')
        await line.machine.reboot()
      } else if (line.downUntilMs > 0 && nowMs >= line.downUntilMs) {
        line.downUntilMs = 0
        line.machine.cluster.power('up')
      }
    }
    const api = this.#rates.get('api-faults') ?? 0
    for (const { machine } of this.#lines)
      machine.cluster.interfere(() => {
        const draw = api === 0 ? 1 : this.#random()
        if (draw < api / 4) return { refuse: new Fault('ServerError', 'not now') }
        return draw < api / 2 ? { loseAnswer: new Fault('Timeout', 'no answer') } : undefined
      })
    if (comes('agent-kill')) some(this.#lines).machine.life.diesIn(1 + Math.floor(this.#random() * 40), some(['before', 'after'])) // prettier-ignore
    if (comes('hub-kill')) this.#hub.life.diesIn(1 + Math.floor(this.#random() * 20), some(['before', 'after']))
    if (comes('site-clock')) some(this.#lines).machine.clock.skewMs += (this.#random() - 0.5) * 10 * 86_400_000
    if (comes('hub-clock')) this.#hub.clock.skewMs += Math.floor(this.#random() * 20 * MINUTE)
    if (comes('git-away')) this.#gitBackMs = nowMs + this.#random() * 20 * MINUTE
    this.#author.git.fault = nowMs < this.#gitBackMs ? 'GitUnreachable' : null
    if (comes('rewind')) {
      this.#say(this.#copied ? 'hub goes on from a copy' : 'hub is copied')
      this.#rewound ||= this.#copied
      await (this.#copied ? this.#hub.rewind() : this.#hub.keepCopy())
      if (this.#rewound) this.#laws.forget()
      this.#copied = true
    }
  }

  async #heal(): Promise<void> {
    this.#say('heals')
    this.#author.git.fault = null
    this.#fate = { replay: 0, portal: 0 }
    for (const { machine, link } of this.#lines) {
      link.become({ dark: false, lossUp: 0, lossDown: 0, duplicate: 0, delayMs: [0, 0] })
      machine.cluster.interfere(undefined)
      machine.cluster.power('up')
      // More than half of the witnesses wrong stops the hub's clock by design: what is shown here is that it goes on after.
      machine.clock.skewMs = 0
      machine.life.diesIn(Number.POSITIVE_INFINITY, 'before')
    }
    this.#hub.life.diesIn(Number.POSITIVE_INFINITY, 'before')
    const tip = this.#author.make('good')
    if (this.#rewound) await this.#hub.hub!.api.recover(ADMIN)
    await this.#hub.hub!.api.reconcile(ADMIN, tip)
  }

  /** What is not as the last commit says, in clusters first, then in what the hub says of them. */
  async #unsettled(): Promise<readonly string[]> {
    const wrong: string[] = []
    const image = `reg/web:${this.#author.tag}`
    for (const { machine } of this.#lines) {
      const { server } = machine.cluster
      const found = server.get(server.kinds.resolve({ apiVersion: 'apps/v1', kind: 'Deployment' }), 'web', 'web')
      if (!JSON.stringify(found ?? {}).includes(`"${image}"`)) wrong.push(`${machine.name} does not run ${image}`)
      if (server.get(server.kinds.resolve({ apiVersion: 'v1', kind: 'ConfigMap' }), 'b', 'b') === undefined)
        wrong.push(`${machine.name} has no b`)
      wrong.push(
        ...(machine.agent?.status().conditions ?? []).map(
          ({ reason, message }) => `${machine.name}: ${reason} ${message}`,
        ),
      )
      const view = await this.#hub.hub!.api.site(machine.name)
      if (view.link !== 'Online' || view.sync !== 'Synced' || view.health !== 'Healthy')
        wrong.push(`${machine.name} is ${view.link} ${view.sync} ${view.health} at the hub`)
    }
    if (wrong.length > 0) wrong.push(...(await this.#hub.hub!.api.status()).needsYou.map(({ message }) => message))
    return wrong
  }
}
