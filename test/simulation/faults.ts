/** What each fault does to the fleet. One pass a minute of the story; every draw comes from the seed. */
import { join } from 'node:path'
import type { FaultReason } from '../../src/core/model/fault.ts'
import { seededRandom } from '../../src/sim/random.ts'
import { mistreat } from './api-weather.ts'
import { CANARY } from './author.ts'
import type { FaultName } from './weather.ts'
import { type Line, MINUTE, type SimWorld } from './world.ts'

const YEAR = 365 * 86_400_000
const GIT_FAULTS: readonly FaultReason[] = ['GitUnreachable', 'BranchGone', 'ObjectUnreadable', 'GitUnauthorized']
/** A site that is dead stays so until the others have converged without it. */
export const DEAD = Number.POSITIVE_INFINITY

export class Faults {
  readonly #world: SimWorld
  #gitUntilMs = 0
  #diskUntilMs = 0
  #otherUntilMs = 0
  #wrongYear = 0
  #wrongYearUntilMs = 0
  #died = false
  #twins = 0

  constructor(world: SimWorld) {
    this.#world = world
  }

  #comes(name: FaultName): boolean {
    return this.#world.random() < this.#rate(name)
  }
  #rate(name: FaultName): number {
    return this.#world.rates.get(name) ?? 0
  }
  #some<T>(list: readonly T[]): T {
    return list[Math.floor(this.#world.random() * list.length)]!
  }
  /** Up to so long from now. */
  #until(mostMs: number): number {
    return this.#world.clock.monotonicMs() + this.#world.random() * mostMs
  }

  async minute(): Promise<void> {
    this.#links()
    await this.#sites()
    await this.#hub()
    await this.#twoHubs()
    this.#git()
  }

  #links(): void {
    const { lines, now, clock, random } = this.#world
    const nowMs = clock.monotonicMs()
    const loss = this.#rate('loss')
    Object.assign(now, { replay: this.#rate('replay'), portal: this.#rate('portal'), blobs: this.#rate('blob-cut'), empty: this.#rate('api-empty') }) // prettier-ignore
    if (this.#comes('region')) {
      const untilMs = this.#until(60 * MINUTE)
      this.#world.say('a region goes dark')
      for (const line of lines.slice(random() < 0.5 ? 0 : 2)) line.darkUntilMs = Math.max(line.darkUntilMs, untilMs)
    }
    if (this.#comes('dead') && !this.#died) {
      this.#died = true
      const mortals = lines.filter(({ name }) => name !== CANARY)
      for (const line of mortals.slice(this.#some([0, 1, 2])).slice(0, 2)) line.darkUntilMs = DEAD
      this.#world.say('two of five sites are dead')
    }
    for (const line of lines) {
      if (this.#comes('dark')) line.darkUntilMs = Math.max(line.darkUntilMs, this.#until(60 * MINUTE))
      if (this.#comes('one-way')) {
        line.oneWay = this.#some(['up', 'down'])
        line.oneWayUntilMs = this.#until(60 * MINUTE)
      }
      const way = nowMs < line.oneWayUntilMs ? line.oneWay : undefined
      line.link.become({
        dark: nowMs < line.darkUntilMs,
        lossUp: way === 'down' ? 1 : loss / 2,
        lossDown: way === 'up' ? 1 : loss / 2,
        duplicate: loss / 2,
        delayMs: [0, loss * 5_000],
      })
    }
  }

  async #sites(): Promise<void> {
    const { lines, random } = this.#world
    const api = this.#rate('api-faults')
    for (const line of lines) {
      await this.#power(line)
      line.cluster.interfere((request) => mistreat(request, api, random))
      await this.#disk(line)
    }
    const calls = 1 + Math.floor(random() * 40)
    if (this.#comes('agent-kill')) this.#some(lines).machine.life.diesIn(calls, this.#some(['before', 'after']))
    if (this.#comes('agent-pause')) {
      const { name, machine } = this.#some(lines)
      this.#world.say(`${name} is frozen`)
      machine.clock.freeze(random() * 60 * MINUTE)
    }
    if (this.#comes('site-clock')) this.#some(lines).machine.clock.skewMs = (random() - 0.5) * 20 * YEAR
    await this.#twin()
  }

  async #power(line: Line): Promise<void> {
    const nowMs = this.#world.clock.monotonicMs()
    if (this.#comes('power-cut')) {
      this.#world.say(`${line.name} loses power`)
      line.downUntilMs = this.#until(10 * MINUTE)
      line.cluster.power('down')
      await line.machine.reboot()
    }
    if (this.#comes('api-down')) {
      line.apiDownUntilMs = this.#until(20 * MINUTE)
      line.cluster.power('down')
    }
    if (line.downUntilMs + line.apiDownUntilMs === 0 || nowMs < Math.max(line.downUntilMs, line.apiDownUntilMs)) return
    line.downUntilMs = line.apiDownUntilMs = 0
    line.cluster.power('up')
  }

  async #disk({ name, machine }: Line): Promise<void> {
    const { random } = this.#world
    if (this.#comes('store-rot')) {
      this.#world.say(`${name}'s disk rots`)
      await machine.reboot(() => machine.rot(random))
    }
    if (!this.#comes('store-old')) return
    this.#world.say(machine.hasBackup ? `${name} goes on from a backup` : `${name} is backed up`)
    await machine.reboot(() => (machine.hasBackup ? machine.restoreBackup() : machine.keepBackup()))
  }

  async #twin(): Promise<void> {
    const { lines, dir, clock, seed } = this.#world
    for (const line of lines)
      if (line.twin !== undefined && clock.monotonicMs() >= line.twinUntilMs) {
        await line.twin.end()
        line.twin = undefined
      }
    const line = this.#some(lines)
    if (!this.#comes('twin') || line.twin !== undefined) return
    this.#world.say(`${line.name} runs twice`)
    const from = seed * 64 + 40 + (this.#twins += 1)
    line.twin = line.machine.twin(join(dir, `${line.name}-twin-${this.#twins}`), line.relink(from), seededRandom(from))
    line.twinUntilMs = this.#until(30 * MINUTE)
    line.twin.start()
  }

  async #hub(): Promise<void> {
    const { hub, clock, random } = this.#world
    const nowMs = clock.monotonicMs()
    const calls = 1 + Math.floor(random() * 20)
    if (this.#comes('hub-kill')) hub.life.diesIn(calls, this.#some(['before', 'after']))
    if (this.#comes('hub-disk')) {
      this.#diskUntilMs = this.#until(15 * MINUTE)
      hub.disk = this.#some(['full', 'doubt'])
    } else if (nowMs >= this.#diskUntilMs) hub.disk = 'well'
    if (this.#comes('hub-clock')) hub.clock.skewMs += Math.floor(random() * 20 * MINUTE)
    if (this.#wrongYear !== 0 && nowMs >= this.#wrongYearUntilMs) {
      hub.clock.skewMs -= this.#wrongYear
      this.#wrongYear = 0
    }
    if (!this.#comes('hub-2036') || this.#wrongYear !== 0) return
    this.#world.say('the hub believes that it is 2036')
    this.#wrongYear = 10 * YEAR
    this.#wrongYearUntilMs = nowMs + 5 * MINUTE
    hub.clock.skewMs += this.#wrongYear
  }

  async #twoHubs(): Promise<void> {
    const { hub, clock, lines, dir, random } = this.#world
    if (this.#comes('rewind')) {
      this.#world.say(this.#world.copied ? 'hub goes on from a copy' : 'hub is copied')
      if (this.#world.copied) this.#world.fork()
      await (this.#world.copied ? hub.rewind() : hub.keepCopy())
      this.#world.copied = true
    }
    if (this.#world.other !== undefined && clock.monotonicMs() >= this.#otherUntilMs) await this.oneHub()
    if (!this.#comes('clone') || this.#world.other !== undefined) return
    this.#world.say('hub is cloned')
    this.#world.fork()
    this.#world.other = await hub.clone(join(dir, 'other'), seededRandom(this.#world.seed + 2))
    this.#otherUntilMs = this.#until(60 * MINUTE)
    for (const line of lines) line.hub = random() < 0.5 ? 'first' : 'other'
  }

  /** The clone is found and turned off. */
  async oneHub(): Promise<void> {
    const { other, lines } = this.#world
    for (const line of lines) line.hub = 'first'
    this.#world.other = undefined
    if (other !== undefined) this.#world.told.forget()
    await other?.kill()
  }

  #git(): void {
    const { author, clock } = this.#world
    const nowMs = clock.monotonicMs()
    if (this.#comes('git-away')) {
      this.#gitUntilMs = this.#until(20 * MINUTE)
      author.git.fault = this.#some(GIT_FAULTS)
      author.git.back = 0
    } else if (this.#comes('git-back')) {
      this.#gitUntilMs = this.#until(20 * MINUTE)
      author.git.back = this.#some([1, 2, 5])
      author.git.fault = null
    } else if (nowMs >= this.#gitUntilMs) {
      author.git.fault = null
      author.git.back = 0
    }
  }

  /** All is well from now on, but for what is dead. */
  async heal(): Promise<void> {
    const { author, hub, lines, now } = this.#world
    author.git.fault = null
    author.git.back = 0
    Object.assign(now, { replay: 0, portal: 0, blobs: 0, empty: 0 })
    await this.oneHub()
    hub.disk = 'well'
    hub.clock.skewMs -= this.#wrongYear
    this.#wrongYear = 0
    hub.life.diesIn(Number.POSITIVE_INFINITY, 'before')
    for (const line of lines) {
      await line.twin?.end()
      line.twin = undefined
      line.link.become({ dark: line.darkUntilMs === DEAD, lossUp: 0, lossDown: 0, duplicate: 0, delayMs: [0, 0] })
      line.cluster.interfere(undefined)
      line.cluster.power('up')
      // More than half of the witnesses wrong stops the hub's clock by design: what is shown here is that it goes on after.
      line.machine.clock.skewMs = 0
      line.machine.life.diesIn(Number.POSITIVE_INFINITY, 'before')
    }
  }

  reviveDead(): void {
    for (const line of this.#world.lines) {
      line.darkUntilMs = 0
      line.link.become({ dark: false })
    }
  }
}
