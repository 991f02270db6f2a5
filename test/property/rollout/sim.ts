/**
 * A fleet small enough to reason about: sites with a link, a hand that holds what they were told, and releases that behave; a
 * hub that stores what `decide` says and publishes its grants. No engine code decides anything here.
 */
import { type Digest, digestBytes } from '../../../src/core/model/digest.ts'
import type { Generation, WorkloadObservation } from '../../../src/core/model/observation.ts'
import type { RolloutPolicy, Wave } from '../../../src/core/model/policy.ts'
import type { JsonObject } from '../../../src/core/model/json.ts'
import { decodeState, encodeState } from '../../../src/core/rollout/codec.ts'
import { command } from '../../../src/core/rollout/command.ts'
import { decide } from '../../../src/core/rollout/decide.ts'
import type {
  Grant,
  RolloutCommand,
  RolloutDecision,
  RolloutEntry,
  RolloutSpec,
  RolloutState,
  RolloutWorld,
  SiteFacts,
  SiteWorkload,
  WindowFact,
} from '../../../src/core/rollout/types.ts'

export const MINUTE = 60_000
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR
export const START = Date.UTC(2026, 0, 5)

/** How a release behaves at a site: always, or at the named sites only. */
export type Behaviour = 'good' | 'crash' | 'giveUp' | 'slow' | 'flaky' | 'suspended'

export interface SimSite {
  name: string
  labels: Readonly<Record<string, string>>
  enrolled: boolean
  mode: 'enforce' | 'observe'
  online: boolean
  pollMs: number
  lastContactMs: number | null
  dueAtMs: number | null
  hold: SiteFacts['hold']
  freeze: SiteFacts['freeze']
  /** Changes may begin from this hour on, for so many hours, each day; null: always. */
  window: { readonly opens: number; readonly hours: number } | null
  workloads: Map<string, SimWorkload>
}

interface Entry {
  readonly release: Digest
  readonly since: Generation
  readonly startAfterMs: number
  readonly startByMs: number
}

export interface SimWorkload {
  /** Hub: what the signed manifest names. */
  published: Entry | null
  observation: WorkloadObservation | null
  /** Site: what it holds, and what it runs. */
  inHand: Entry | null
  applied: Digest | null
  appliedAtMs: number
  /** The entry it began last. */
  begun: Generation | null
  healthySinceMs: number | null
  unhealthyMs: number
  livedMs: number
  /** Every release it began, when, and by which permit. */
  readonly begins: { readonly release: Digest; readonly atMs: number; readonly startByMs: number }[]
}

export interface Ran {
  readonly world: RolloutWorld
  readonly decisions: readonly RolloutDecision[]
}

export type Engine = typeof decide

export class Sim {
  nowMs = START
  counter = 0
  readonly sites = new Map<string, SimSite>()
  readonly rollouts = new Map<string, { spec: RolloutSpec; state: RolloutState | null; next?: RolloutSpec }>()
  readonly withdrawn = new Set<Digest>()
  readonly behaviours = new Map<Digest, { readonly is: Behaviour; readonly at?: ReadonlySet<string> }>()
  readonly history = new Map<string, Digest[]>()
  budget: RolloutWorld['budget'] = { changingSites: null, brokenSites: null }
  last: Ran | null = null
  readonly #engine: Engine

  constructor(engine: Engine = decide) {
    this.#engine = engine
  }

  addSite(name: string, labels: Readonly<Record<string, string>> = {}, pollMs = 10 * MINUTE): SimSite {
    const site: SimSite = {
      name,
      labels,
      enrolled: true,
      mode: 'enforce',
      online: true,
      pollMs,
      lastContactMs: this.nowMs,
      dueAtMs: this.nowMs + pollMs,
      hold: null,
      freeze: null,
      window: null,
      workloads: new Map(),
    }
    this.sites.set(name, site)
    return site
  }

  site(name: string): SimSite {
    const site = this.sites.get(name)
    if (site === undefined) throw new Error(`no site ${name}`)
    return site
  }

  workload(site: string, workload: string): SimWorkload {
    const at = this.site(site).workloads
    let found = at.get(workload)
    if (found === undefined) {
      found = {
        published: null,
        observation: null,
        inHand: null,
        applied: null,
        appliedAtMs: 0,
        begun: null,
        healthySinceMs: null,
        unhealthyMs: 0,
        livedMs: this.nowMs,
        begins: [],
      }
      at.set(workload, found)
    }
    return found
  }

  /** Git says: this workload is this release at these sites. */
  commit(spec: RolloutSpec): void {
    const running = this.rollouts.get(spec.workload)
    if (running === undefined) this.rollouts.set(spec.workload, { spec, state: null })
    else if (running.spec.id === spec.id) {
      running.spec = spec
      delete running.next
    } else running.next = spec
  }

  /** Put the site where it runs this release and said so long ago. */
  install(site: string, workload: string, release: Digest): void {
    const at = this.workload(site, workload)
    const entry: Entry = { release, since: this.#generation(), startAfterMs: 0, startByMs: this.nowMs - DAY }
    at.published = entry
    at.inHand = entry
    at.applied = release
    at.appliedAtMs = this.nowMs - DAY
    at.begun = entry.since
    at.healthySinceMs = this.nowMs - DAY + 5 * MINUTE
    at.observation = this.#observe(this.site(site), workload, at)
    this.history.set(`${site}/${workload}`, [release])
  }

  /** The hub is another process: it has what is written, and counts anew. */
  restart(): void {
    for (const rollout of this.rollouts.values())
      if (rollout.state !== null)
        rollout.state = decodeState(JSON.parse(JSON.stringify(encodeState(rollout.state))) as JsonObject)
  }

  /** One turn of the hub. Returns what was asked and what was said. */
  tick(): Ran {
    const world = this.world()
    const decisions = this.#engine(world)
    for (const decision of decisions) this.#store(decision)
    for (const decision of decisions) for (const grant of decision.grants) this.#publish(grant)
    this.last = { world, decisions }
    return this.last
  }

  /** Sites act and talk for so long, then the hub takes a turn. */
  step(ms: number): Ran {
    this.nowMs += ms
    for (const site of this.sites.values()) this.#act(site)
    return this.tick()
  }

  /** Steps until `done` or for so long. */
  run(forMs: number, stepMs = 10 * MINUTE, done: () => boolean = () => false): void {
    const endMs = this.nowMs + forMs
    while (this.nowMs < endMs && !done()) this.step(stepMs)
  }

  say(workload: string, word: RolloutCommand): string | null {
    const rollout = this.rollouts.get(workload)
    if (rollout === undefined || rollout.state === null) return 'no such rollout'
    const outcome = command(rollout.state, rollout.spec, word, this.nowMs)
    if (!outcome.ok) return outcome.because
    rollout.state = outcome.state
    for (const { digest } of outcome.withdraw) this.withdrawn.add(digest)
    for (const digest of outcome.readmit) this.withdrawn.delete(digest)
    return null
  }

  state(workload: string): RolloutState {
    const state = this.rollouts.get(workload)?.state
    if (state == null) throw new Error(`${workload} has not begun`)
    return state
  }

  decision(workload: string): RolloutDecision {
    const found = this.last?.decisions.find((decision) => decision.workload === workload)
    if (found === undefined) throw new Error(`nothing was decided on ${workload}`)
    return found
  }

  world(): RolloutWorld {
    const sites = new Map<string, SiteFacts>()
    for (const site of this.sites.values()) sites.set(site.name, factsOf(site))
    const rollouts: RolloutEntry[] = [...this.rollouts.values()].map((rollout) => ({ ...rollout }))
    const known = new Map<string, SiteWorkload>()
    for (const site of this.sites.values())
      for (const [workload, at] of site.workloads) known.set(`${site.name}/${workload}`, seenBy(at))
    const withdrawn = new Set(this.withdrawn)
    return {
      nowMs: this.nowMs,
      budget: this.budget,
      fleetSites: this.sites.size,
      rollouts,
      withdrawn,
      window: (name) => windowAt(this.sites.get(name)?.window ?? null, this.nowMs),
      site: (name) => sites.get(name),
      at: (site, workload) => known.get(`${site}/${workload}`),
      lastGood: (site, workload) =>
        (this.history.get(`${site}/${workload}`) ?? []).findLast((digest) => !withdrawn.has(digest)) ?? null,
    }
  }

  #store(decision: RolloutDecision): void {
    const rollout = this.rollouts.get(decision.workload)
    if (rollout === undefined) return
    if (rollout.next !== undefined && rollout.next.id === decision.state.id) {
      rollout.spec = rollout.next
      delete rollout.next
    }
    rollout.state = decision.state
    for (const { digest } of decision.withdraw) this.withdrawn.add(digest)
    for (const [site, place] of decision.state.sites) {
      const target = rollout.spec.targets.get(site)
      if (place.phase !== 'done' || target === undefined) continue
      const history = this.history.get(`${site}/${decision.workload}`) ?? []
      if (history.at(-1) !== target) this.history.set(`${site}/${decision.workload}`, [...history, target])
    }
  }

  #publish(grant: Grant): void {
    const at = this.workload(grant.site, grant.workload)
    const same = at.published?.release === grant.release
    const since = same && at.published !== null ? at.published.since : this.#generation()
    const { release, startAfterMs, startByMs } = grant
    at.published = { release, since, startAfterMs, startByMs }
  }

  #generation(): Generation {
    this.counter += 1
    return { epoch: 1, counter: this.counter }
  }

  #act(site: SimSite): void {
    for (const [workload, at] of site.workloads) this.#live(site, workload, at)
    if (!site.enrolled || !site.online) return
    if (site.lastContactMs !== null && site.dueAtMs !== null && this.nowMs < site.dueAtMs) return
    site.lastContactMs = this.nowMs
    site.dueAtMs = this.nowMs + site.pollMs
    for (const [workload, at] of site.workloads) {
      at.observation = this.#observe(site, workload, at)
      at.inHand = at.published
    }
  }

  /** The site's own loop: begin what it may begin, and see how it goes. */
  #live(site: SimSite, workload: string, at: SimWorkload): void {
    const entry = at.inHand
    const isNew = entry !== null && at.begun?.counter !== entry.since.counter
    const permits = entry !== null && entry.startAfterMs <= this.nowMs && this.nowMs <= entry.startByMs
    if (isNew && site.mode === 'enforce' && permits) {
      at.begun = entry.since
      if (at.applied !== entry.release) {
        at.applied = entry.release
        at.appliedAtMs = this.nowMs
        at.healthySinceMs = null
        at.unhealthyMs = 0
        at.begins.push({ release: entry.release, atMs: this.nowMs, startByMs: entry.startByMs })
      }
    }
    if (isWell(this.health(site.name, workload))) at.healthySinceMs ??= this.nowMs
    else {
      at.healthySinceMs = null
      at.unhealthyMs += this.nowMs - at.livedMs
    }
    at.livedMs = this.nowMs
  }

  health(site: string, workload: string): WorkloadObservation['health'] {
    const at = this.workload(site, workload)
    if (at.applied === null) return 'Unknown'
    const age = this.nowMs - at.appliedAtMs
    if (age < 5 * MINUTE) return 'Progressing'
    switch (this.#behaviour(site, at.applied)) {
      case 'good':
        return 'Healthy'
      case 'crash':
      case 'giveUp':
        return 'Degraded'
      case 'slow':
        return 'Progressing'
      case 'suspended':
        return 'Suspended'
      case 'flaky':
        return age % (40 * MINUTE) < 20 * MINUTE ? 'Healthy' : 'Degraded'
    }
  }

  #behaviour(site: string, release: Digest): Behaviour {
    const behaviour = this.behaviours.get(release)
    if (behaviour === undefined || (behaviour.at !== undefined && !behaviour.at.has(site))) return 'good'
    return behaviour.is
  }

  #observe(site: SimSite, workload: string, at: SimWorkload): WorkloadObservation | null {
    const entry = at.inHand
    if (entry === null) return null
    const health = this.health(site.name, workload)
    const begun = at.begun?.counter === entry.since.counter
    const stamp = (digest: Digest | null) => (digest === null ? null : { digest, atMs: this.nowMs })
    const gaveUp =
      at.applied !== null && begun && this.#behaviour(site.name, at.applied) === 'giveUp' && health === 'Degraded'
    const healthyFor = at.healthySinceMs === null ? 0 : this.nowMs - at.healthySinceMs
    return {
      workload,
      since: entry.since,
      desired: stamp(entry.release),
      received: stamp(entry.release),
      staged: stamp(entry.release),
      applied: stamp(at.applied),
      healthy: stamp(isWell(health) ? at.applied : null),
      sync: at.applied === entry.release ? 'Synced' : 'Waiting',
      health,
      healthyForMs: healthyFor,
      unhealthyMs: at.unhealthyMs,
      transitions: 0,
      begun,
      ...(gaveUp ? { failure: { reason: 'Rejected', message: 'the API server refuses it' } } : {}),
      objects: [],
      counts: { objects: 1, ready: isWell(health) ? 1 : 0, drifted: 0, pruned: 0 },
    }
  }
}

/** What Git itself suspends is as it should be. */
function isWell(health: WorkloadObservation['health']): boolean {
  return health === 'Healthy' || health === 'Suspended'
}

/** In UTC, open for whole hours. */
export function windowAt(window: SimSite['window'], nowMs: number): WindowFact | undefined {
  if (window === null) return undefined
  const dayMs = nowMs - (nowMs % DAY)
  for (let day = -1; day <= 1; day++) {
    const opensAtMs = dayMs + day * DAY + window.opens * HOUR
    const closesAtMs = opensAtMs + window.hours * HOUR
    if (nowMs >= closesAtMs) continue
    if (nowMs >= opensAtMs) return { open: true, opensAtMs: null, closesAtMs }
    return { open: false, opensAtMs, closesAtMs, by: 'w' }
  }
  return undefined
}

export function factsOf(site: SimSite): SiteFacts {
  const { name, labels, enrolled, lastContactMs, dueAtMs, hold, freeze, mode } = site
  return { name, labels, enrolled, lastContactMs, dueAtMs, hold, freeze, mode }
}

function seenBy(at: SimWorkload): SiteWorkload {
  return {
    published: at.published?.release ?? null,
    since: at.published?.since ?? null,
    startByMs: at.published?.startByMs ?? null,
    observation: at.observation,
  }
}

export function release(name: string): Digest {
  return digestBytes('release', name)
}

export function wave(name: string, options: Partial<Wave> = {}): Wave {
  return {
    name,
    selector: null,
    size: null,
    maxConcurrent: { count: 1000 },
    soakMs: 30 * MINUTE,
    approval: null,
    by: null,
    order: [],
    ...options,
  }
}

export function policy(waves: readonly Wave[], options: Partial<RolloutPolicy> = {}): RolloutPolicy {
  return {
    name: 'test',
    waves,
    maxUnavailable: { percent: 100 },
    maxFailures: { count: 1 },
    minCoveragePercent: 80,
    progressDeadlineMs: 2 * HOUR,
    startByMs: 48 * HOUR,
    offline: { excuseAfterMs: 30 * MINUTE, onReturn: 'ApplyLatest' },
    onFailure: 'Pause',
    onSupersede: 'now',
    ...options,
  }
}

/** A map as Git would give it; its id follows from the map. */
export function spec(
  workload: string,
  policy: RolloutPolicy,
  targets: Readonly<Record<string, Digest>> | ReadonlyMap<string, Digest>,
  options: Partial<RolloutSpec> = {},
): RolloutSpec {
  const map = targets instanceof Map ? (targets as ReadonlyMap<string, Digest>) : new Map(Object.entries(targets))
  return {
    workload,
    id: digestBytes('rollout', JSON.stringify([workload, [...map]])),
    revision: 'r1',
    createdAtMs: START,
    priority: 0,
    policy,
    targets: map,
    dependsOn: [],
    ...options,
  }
}
