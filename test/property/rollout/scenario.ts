/** Random fleets, policies, weather, failures, commits and operators; then everything is healed. One scenario, one trace. */
import * as fc from 'fast-check'
import type { Digest } from '../../../src/core/model/digest.ts'
import type { Amount, RolloutPolicy } from '../../../src/core/model/policy.ts'
import { Onlooker } from './laws.ts'
import { type Behaviour, DAY, type Engine, HOUR, MINUTE, policy, release, Sim, spec, wave } from './sim.ts'

export interface Scenario {
  readonly weather: number
  readonly sites: number
  readonly workloads: number
  readonly dependent: boolean
  readonly installed: boolean
  /** So many of the first sites, the canaries among them, are listed and have not joined. */
  readonly absent: number
  readonly shape: 'one' | 'canary' | 'by' | 'sizes' | 'approval'
  readonly concurrent: number
  readonly maxUnavailable: number
  readonly maxFailures: Amount
  readonly coverage: number
  readonly onFailure: RolloutPolicy['onFailure']
  readonly onSupersede: RolloutPolicy['onSupersede']
  readonly budget: { readonly changing: number; readonly broken: number } | null
  /** Of every other site. */
  readonly window: { readonly opens: number; readonly hours: number } | null
  readonly events: readonly Event[]
}

export interface Event {
  readonly afterSteps: number
  readonly kind: (typeof KINDS)[number]
  readonly site: number
  readonly workload: number
  readonly behaviour: Behaviour
}

const KINDS = [
  'commit',
  'commitHalf',
  'revert',
  'dark',
  'back',
  'region',
  'hold',
  'letGo',
  'freeze',
  'observe',
  'enforce',
  'abort',
  'undo',
  'pause',
  'resume',
  'approve',
  'promote',
  'readmit',
  'addSite',
  'listSite',
  'join',
  'dropSite',
  'relabel',
  'restart',
] as const
const WEEK = 7 * DAY

export const scenarios: fc.Arbitrary<Scenario> = fc.record({
  weather: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
  sites: fc.integer({ min: 2, max: 12 }),
  workloads: fc.integer({ min: 1, max: 2 }),
  dependent: fc.boolean(),
  installed: fc.boolean(),
  absent: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.nat({ max: 6 })),
  shape: fc.constantFrom('one', 'canary', 'by', 'sizes', 'approval'),
  concurrent: fc.integer({ min: 1, max: 4 }),
  maxUnavailable: fc.integer({ min: 10, max: 100 }),
  maxFailures: fc.oneof(
    fc.record({ count: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ percent: fc.integer({ min: 1, max: 60 }) }),
  ),
  coverage: fc.integer({ min: 40, max: 100 }),
  onFailure: fc.constantFrom('Pause', 'Rollback'),
  onSupersede: fc.constantFrom('now', 'finishWave'),
  budget: fc.option(fc.record({ changing: fc.integer({ min: 1, max: 5 }), broken: fc.integer({ min: 1, max: 4 }) })),
  window: fc.option(fc.record({ opens: fc.nat({ max: 23 }), hours: fc.integer({ min: 6, max: 20 }) })),
  events: fc.array(
    fc.record({
      afterSteps: fc.integer({ min: 1, max: 40 }),
      kind: fc.constantFrom(...KINDS),
      site: fc.nat({ max: 11 }),
      workload: fc.nat({ max: 1 }),
      behaviour: fc.constantFrom<Behaviour>('good', 'good', 'good', 'crash', 'giveUp', 'slow', 'flaky'),
    }),
    { minLength: 4, maxLength: 24 },
  ),
})

/** What broke first, or null. `engine`: the one under test, or a mistake planted around it. */
export function play(scenario: Scenario, engine?: Engine): string | null {
  const stage = new Stage(scenario, engine)
  for (const event of scenario.events) {
    for (let step = 0; step < event.afterSteps; step++) {
      stage.blow()
      const broken = stage.step(20 * MINUTE)
      if (broken !== null) return broken
    }
    stage.happen(event)
  }
  return stage.heal()
}

class Stage {
  readonly #sim: Sim
  readonly #onlooker = new Onlooker()
  readonly #scenario: Scenario
  readonly #targets = new Map<string, Map<string, Digest>>()
  /** What the very first turn broke. */
  readonly #atOnce: string | null
  #random: number
  #releases = 0

  constructor(scenario: Scenario, engine: Engine | undefined) {
    this.#scenario = scenario
    this.#random = scenario.weather
    this.#sim = new Sim(engine)
    const { budget } = scenario
    if (budget !== null)
      this.#sim.budget = { changingSites: { count: budget.changing }, brokenSites: { count: budget.broken } }
    for (let i = 0; i < scenario.sites; i++) this.#addSite(i, i >= scenario.absent)
    for (const workload of this.#workloads()) {
      const first = this.#release('good')
      const map = new Map([...this.#sim.sites.keys()].map((site) => [site, first]))
      if (scenario.installed)
        for (const site of map.keys()) if (this.#sim.site(site).enrolled) this.#sim.install(site, workload, first)
      this.#commit(workload, map)
    }
    this.#atOnce = this.#onlooker.check(this.#sim, this.#sim.tick())
  }

  step(ms: number): string | null {
    return this.#atOnce ?? this.#onlooker.check(this.#sim, this.#sim.step(ms))
  }

  /** The weather: a link now and then goes or comes back. */
  blow(): void {
    for (const site of this.#sim.sites.values()) {
      const dice = this.#roll()
      if (site.online && dice < 0.01) site.online = false
      else if (!site.online && dice < 0.04) site.online = true
    }
  }

  happen({ kind, site: index, workload: which, behaviour }: Event): void {
    const sim = this.#sim
    const names = [...sim.sites.keys()]
    const site = sim.site(names[index % names.length] ?? '')
    const workload = this.#workloads()[which % this.#workloads().length] ?? 'web'
    const map = this.#targets.get(workload) ?? new Map<string, Digest>()
    const state = sim.rollouts.get(workload)?.state
    switch (kind) {
      case 'commit':
      case 'commitHalf': {
        const next = this.#release(
          behaviour,
          behaviour === 'good' || index % 2 === 0 ? undefined : new Set([site.name]),
        )
        const take = (i: number) => kind === 'commit' || i % 2 === index % 2
        this.#commit(workload, new Map([...map].map(([name, old], i) => [name, take(i) ? next : old])))
        break
      }
      case 'revert': {
        const old = sim.history.get(`${site.name}/${workload}`)?.[0]
        if (old !== undefined) this.#commit(workload, new Map([...map].map(([name]) => [name, old])))
        break
      }
      case 'dark':
        site.online = false
        break
      case 'back':
        for (const one of sim.sites.values()) one.online = true
        break
      case 'region':
        for (const one of sim.sites.values()) if (one.labels['region'] === site.labels['region']) one.online = false
        break
      case 'hold':
        site.hold = { reason: 'audit', untilMs: index % 2 === 0 ? null : sim.nowMs + 6 * HOUR }
        break
      case 'letGo':
        for (const one of sim.sites.values()) one.hold = null
        break
      case 'freeze':
        site.freeze = { reason: 'sales', untilMs: sim.nowMs + 12 * HOUR }
        break
      case 'observe':
        site.mode = 'observe'
        break
      case 'enforce':
        for (const one of sim.sites.values()) one.mode = 'enforce'
        break
      case 'abort':
      case 'undo':
      case 'pause':
        sim.say(workload, { kind, by: 'ann', why: 'because' })
        break
      case 'resume':
      case 'readmit':
      case 'promote':
        sim.say(workload, { kind, by: 'ann' })
        break
      case 'approve': {
        const wave = state?.waves.find((one) => one.state === 'active')
        if (state != null && wave !== undefined)
          sim.say(workload, { kind: 'approve', by: 'ann', wave: wave.name, id: state.id })
        break
      }
      case 'join':
        site.enrolled = true
        break
      case 'addSite':
      case 'listSite': {
        const name = this.#addSite(sim.sites.size, kind === 'addSite')
        const target = [...map.values()][0]
        for (const [other, targets] of this.#targets)
          if (target !== undefined) this.#commit(other, new Map(targets).set(name, [...targets.values()][0] ?? target))
        break
      }
      case 'dropSite':
        if (map.size > 2) this.#commit(workload, new Map([...map].filter(([name]) => name !== site.name)))
        break
      case 'restart':
        sim.restart()
        break
      case 'relabel':
        site.labels = { ...site.labels, region: 'north' }
        break
    }
  }

  /** Everything comes back, a good revision is committed, people say yes: in time all is as Git says. */
  heal(): string | null {
    const sim = this.#sim
    // Half of what is dark comes back a day later, when the rollout may be through without it.
    const away = [...sim.sites.values()].filter((site) => !site.online || !site.enrolled)
    const late = away.filter((_, i) => i % 2 === 1)
    const lateMs = sim.nowMs + DAY
    for (const site of sim.sites.values()) {
      site.enrolled ||= !late.includes(site)
      site.online = !late.includes(site)
      site.hold = null
      site.freeze = null
      site.mode = 'enforce'
    }
    for (const workload of this.#workloads()) {
      const good = this.#release('good')
      this.#commit(workload, new Map([...sim.sites.keys()].map((site) => [site, good])))
    }
    const endMs = sim.nowMs + 2 * WEEK
    while (sim.nowMs < endMs) {
      if (sim.nowMs >= lateMs) for (const site of late) Object.assign(site, { online: true, enrolled: true })
      const broken = this.step(20 * MINUTE)
      if (broken !== null) return broken
      if (this.#workloads().every((workload) => this.#settled(workload))) return null
      for (const workload of this.#workloads()) this.#sayYes(workload)
    }
    const left = this.#workloads().filter((workload) => !this.#settled(workload))
    return `converges: ${left.map((workload) => `${workload} is ${sim.state(workload).phase}`).join(', ')} after two good weeks`
  }

  #settled(workload: string): boolean {
    const sim = this.#sim
    const map = this.#targets.get(workload) ?? new Map<string, Digest>()
    const running = sim.rollouts.get(workload)
    if (running?.next !== undefined || running?.state?.phase !== 'Completed') return false
    return [...map].every(
      ([site, target]) => sim.workload(site, workload).applied === target && sim.health(site, workload) === 'Healthy',
    )
  }

  #sayYes(workload: string): void {
    const sim = this.#sim
    const { state } = sim.rollouts.get(workload) ?? {}
    if (state == null) return
    if (state.phase === 'Paused') sim.say(workload, { kind: 'resume', by: 'ann' })
    const why = sim.decision(workload).because?.reason
    const wave = state.waves.find((one) => one.state === 'active')
    if ((why === 'ApprovalNeeded' || why === 'Coverage') && wave !== undefined)
      sim.say(workload, { kind: 'approve', by: 'ann', wave: wave.name, id: state.id })
  }

  #commit(workload: string, map: ReadonlyMap<string, Digest>): void {
    this.#targets.set(workload, new Map(map))
    const dependsOn = this.#scenario.dependent && workload === 'web' ? [{ name: 'db', optional: true }] : []
    this.#sim.commit(spec(workload, this.#policy(), map, { dependsOn, priority: workload === 'db' ? 1 : 0 }))
  }

  #policy(): RolloutPolicy {
    const { shape, concurrent, maxUnavailable, maxFailures, coverage, onFailure, onSupersede } = this.#scenario
    const width = { maxConcurrent: { count: concurrent } }
    const canary = wave('canary', { selector: { matchLabels: { cohort: 'canary' } }, ...width })
    const rest = wave('rest', { ...width, soakMs: 20 * MINUTE })
    const waves = {
      one: [rest],
      canary: [canary, rest],
      by: [canary, wave('regions', { ...width, by: 'region', order: ['south'] })],
      sizes: [
        wave('one', { size: { count: 1 }, soakMs: HOUR }),
        wave('some', { size: { percent: 30 }, ...width }),
        rest,
      ],
      approval: [{ ...canary, approval: 'ops' }, rest],
    }[shape]
    return policy(waves, {
      maxUnavailable: { percent: maxUnavailable },
      maxFailures,
      minCoveragePercent: coverage,
      onFailure,
      onSupersede,
      startByMs: 12 * HOUR,
    })
  }

  #addSite(index: number, joined: boolean): string {
    const name = `s${String(index).padStart(2, '0')}`
    const labels = { cohort: index % 4 === 0 ? 'canary' : 'rest', region: ['south', 'north', 'west'][index % 3] ?? '' }
    const site = this.#sim.addSite(name, labels, index % 5 === 4 ? 2 * HOUR : 20 * MINUTE)
    if (index % 2 === 1) site.window = this.#scenario.window
    if (index % 7 === 6 || !joined) site.lastContactMs = null
    if (!joined) Object.assign(site, { enrolled: false, dueAtMs: null })
    return name
  }

  #release(behaviour: Behaviour, at?: ReadonlySet<string>): Digest {
    this.#releases += 1
    const digest = release(`v${this.#releases}`)
    this.#sim.behaviours.set(digest, { is: behaviour, ...(at === undefined ? {} : { at }) })
    return digest
  }

  #workloads(): readonly string[] {
    return this.#scenario.workloads === 1 ? ['web'] : ['db', 'web']
  }

  #roll(): number {
    this.#random = (this.#random + 0x6d2b79f5) | 0
    let x = Math.imul(this.#random ^ (this.#random >>> 15), 1 | this.#random)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
  }
}
