/**
 * What must hold after every turn of the hub, judged from what the engine was asked (`world`), what it said, and what the sites
 * really did. Nothing here asks the engine: due, present, evidence and places are counted again from facts.
 */
import type { Digest } from '../../../src/core/model/digest.ts'
import type { WorkloadObservation } from '../../../src/core/model/observation.ts'
import type { Amount, Wave } from '../../../src/core/model/policy.ts'
import type { Waiting } from '../../../src/core/model/state.ts'
import type { RolloutDecision, RolloutSpec, RolloutState, RolloutWorld } from '../../../src/core/rollout/types.ts'
import { MINUTE, type Ran, type Sim, windowAt } from './sim.ts'

/** The first law that does not hold, with its name first: `blast-radius: …`. */
export type Broken = string

/** One rollout as an onlooker has seen it since it began. */
interface Run {
  readonly id: Digest
  readonly from: ReadonlyMap<string, Digest | null>
  /** Told the target in this run (or carried into it), provisioning apart. */
  readonly told: Set<string>
  readonly provisioned: Set<string>
  readonly evidence: Set<string>
  readonly proven: Set<string>
  abortedAtMs: number | null
  /** Latest permit for the target that a site could hold when it was aborted. */
  readonly permits: Map<string, number>
}

export class Onlooker {
  readonly #runs = new Map<string, Run>()
  readonly #states = new Map<string, RolloutState>()

  check(sim: Sim, { world, decisions }: Ran): Broken | null {
    const specs = new Map([...sim.rollouts].map(([workload, { spec }]) => [workload, spec]))
    for (const decision of decisions) {
      const spec = specs.get(decision.workload)
      if (spec === undefined) continue
      this.#follow(spec, decision, world)
    }
    for (const decision of decisions) {
      const spec = specs.get(decision.workload)
      const run = this.#runs.get(decision.workload)
      if (spec === undefined || run === undefined) continue
      const broken =
        withdrawnAgain(world, decision) ??
        passedWithoutEvidence(spec, run, decision, this.#states.get(decision.workload), world) ??
        completedOnNothing(spec, run, decision, this.#states.get(decision.workload), world) ??
        stuck(spec, run, decision, world, sim) ??
        tooMany(spec, run, decision, world) ??
        startedAfterAbort(spec, run, decision, world, sim) ??
        outsideItsWindow(spec, run, world, sim) ??
        permitForWithdrawn(spec, decision, world, sim) ??
        unproven(spec, decision, this.#states.get(decision.workload), sim) ??
        untrueReason(spec, run, decision, world, sim)
      if (broken !== null) return `${broken} [${decision.workload}]`
      this.#states.set(decision.workload, decision.state)
    }
    return this.#overBudget(specs, world, decisions)
  }

  #follow(spec: RolloutSpec, decision: RolloutDecision, world: RolloutWorld): void {
    let run = this.#runs.get(decision.workload)
    if (run === undefined || run.id !== decision.state.id || decision.superseded !== undefined) {
      const sites = [...decision.state.sites]
      run = {
        id: decision.state.id,
        from: new Map(sites.map(([site, place]) => [site, place.from])),
        told: new Set(
          sites.flatMap(([site, { phase, provisioned }]) =>
            (phase === 'granted' || phase === 'changing' || phase === 'failed') && provisioned === undefined
              ? [site]
              : [],
          ),
        ),
        provisioned: new Set(sites.flatMap(([site, { provisioned }]) => (provisioned === true ? [site] : []))),
        evidence: new Set(),
        proven: new Set(),
        abortedAtMs: null,
        permits: new Map(),
      }
      this.#runs.set(decision.workload, run)
      this.#states.delete(decision.workload)
    }
    for (const [site, target] of spec.targets) {
      const at = world.at(site, spec.workload)
      const answer = answerOf(world, site, spec.workload, target)
      if (answer === null) continue
      const fine = answer.health === 'Healthy' && answer.applied?.digest === target && answer.desired?.digest === target
      const soak = soakAt(spec, decision.state, site)
      if (fine && answer.healthyForMs >= soak && isPresent(spec, world, site) && at?.published === target) {
        run.evidence.add(site)
        run.proven.add(site)
      } else if (answer.health === 'Degraded') run.evidence.delete(site)
    }
    for (const grant of decision.grants) {
      if (grant.because === 'provision') run.provisioned.add(grant.site)
      else if (
        grant.because !== 'revoke' &&
        spec.targets.get(grant.site) === grant.release &&
        grant.startByMs > world.nowMs
      )
        run.told.add(grant.site)
    }
    if (decision.state.phase === 'Aborted' && run.abortedAtMs === null) {
      run.abortedAtMs = decision.state.endedAtMs ?? world.nowMs
      for (const [site, target] of spec.targets) {
        const at = world.at(site, spec.workload)
        if (at?.published === target) run.permits.set(site, at.startByMs ?? 0)
      }
    }
  }

  #overBudget(
    specs: ReadonlyMap<string, RolloutSpec>,
    world: RolloutWorld,
    decisions: readonly RolloutDecision[],
  ): Broken | null {
    const changing = new Set<string>()
    const broken = new Set<string>()
    const joined = new Set<string>()
    /** On its way already: another workload that starts there changes no further site. */
    const moving = new Set<string>()
    for (const decision of decisions) {
      const spec = specs.get(decision.workload)
      const run = this.#runs.get(decision.workload)
      if (spec === undefined || run === undefined) continue
      const starting = new Set(joinedNow(decision, world))
      for (const site of inFlight(spec, run, decision, world)) {
        changing.add(site)
        if (!starting.has(site)) moving.add(site)
      }
      for (const site of starting) joined.add(site)
      // What provisioning broke is broken, too.
      for (const site of new Set([...run.told, ...run.provisioned])) {
        const target = spec.targets.get(site)
        if (target === undefined || !isPresent(spec, world, site)) continue
        const answer = answerOf(world, site, spec.workload, target)
        // Not begun: it is ill from what it ran before.
        const failed = decision.state.sites.get(site)?.phase === 'failed'
        if (failed || (answer?.health === 'Degraded' && answer.begun)) broken.add(site)
      }
    }
    const { changingSites, brokenSites } = world.budget
    const fresh = [...joined].filter((site) => !moving.has(site))
    if (fresh.length > 0 && changingSites !== null && changing.size > limit(changingSites, world.fleetSites))
      return `budget: ${changing.size} sites change, ${limit(changingSites, world.fleetSites)} may`
    const well = [...joined].filter((site) => !broken.has(site))
    if (well.length > 0 && brokenSites !== null && broken.size >= limit(brokenSites, world.fleetSites))
      return `budget: ${broken.size} sites are broken and ${well.join(', ')} was started`
    return null
  }
}

function withdrawnAgain(world: RolloutWorld, decision: RolloutDecision): Broken | null {
  const gone = new Set([...world.withdrawn, ...decision.withdraw.map(({ digest }) => digest)])
  // A permit that is over takes back.
  const again = decision.grants.find(({ release, startByMs }) => gone.has(release) && startByMs > world.nowMs)
  return again === undefined ? null : `withdrawn: ${again.release} was granted to ${again.site} (${again.because})`
}

/** A wave is left on evidence, or by somebody's word. */
function passedWithoutEvidence(
  spec: RolloutSpec,
  run: Run,
  decision: RolloutDecision,
  before: RolloutState | undefined,
  world: RolloutWorld,
): Broken | null {
  for (const [index, wave] of decision.state.waves.entries()) {
    const was = before?.waves[index]?.state ?? 'pending'
    if (was === 'passed' || was === 'skipped' || wave.state === 'pending' || wave.state === 'active') continue
    const changed = changedIn(spec, run, decision.state, world, index)
    if (wave.state === 'skipped') {
      const all = decision.state.waves.flatMap((_, i) => [...changedIn(spec, run, decision.state, world, i)])
      if (changed.length > 0 && all.length > 1)
        return `evidence: wave ${wave.name} was skipped and changes ${changed.join(', ')}`
      continue
    }
    if (wave.approvedBy !== undefined) continue
    const seen = [...run.evidence].filter((site) => decision.state.sites.get(site)?.wave === index).length
    const needed = Math.max(1, Math.floor((spec.policy.minCoveragePercent * changed.length) / 100))
    if (seen < needed) return `evidence: wave ${wave.name} passed on ${seen} of ${needed}`
    const rule = spec.policy.waves[wave.policyWave]
    if (rule?.approval != null && decision.state.approvals[wave.name] === undefined)
      return `approval: wave ${wave.name} passed without its yes`
  }
  return null
}

/** Through is what somebody proved, or said yes to, or what changes nothing but new sites that are provisioned when they come. */
function completedOnNothing(
  spec: RolloutSpec,
  run: Run,
  { state }: RolloutDecision,
  before: RolloutState | undefined,
  world: RolloutWorld,
): Broken | null {
  if (state.phase !== 'Completed' || before === undefined || before.phase === 'Completed') return null
  if (run.proven.size > 0 || state.waves.some(({ approvedBy }) => approvedBy !== undefined)) return null
  const changed = [...state.sites].filter(([site, place]) => {
    const target = spec.targets.get(site)
    if (target === undefined || world.withdrawn.has(target) || world.site(site)?.mode === 'observe') return false
    return place.phase !== 'unchanged' && place.provisioned === undefined && place.fresh === undefined
  })
  return changed.length === 0 ? null : `evidence: Completed and ${changed[0]?.[0]} is ${changed[0]?.[1].phase}`
}

/** Who is away blocks nobody: a wave whose due sites are all through and whose evidence suffices is left. */
function stuck(spec: RolloutSpec, run: Run, decision: RolloutDecision, world: RolloutWorld, sim: Sim): Broken | null {
  const { state } = decision
  const index = state.waves.findIndex((wave) => wave.state === 'active')
  const wave = state.waves[index]
  // A map that begins in this turn says that it is to be looked at again at once.
  if (decision.superseded !== undefined && decision.nextAtMs === world.nowMs) return null
  if (wave === undefined || state.phase !== 'Progressing' || sim.rollouts.get(spec.workload)?.next !== undefined)
    return null
  const rule = spec.policy.waves[wave.policyWave]
  if (rule?.approval != null && state.approvals[wave.name] === undefined) return null
  const changed = changedIn(spec, run, state, world, index)
  const open = changed.filter((site) => {
    if (run.evidence.has(site) || state.sites.get(site)?.phase === 'failed') return false
    return isDue(spec, world, site) || (run.told.has(site) && isPresent(spec, world, site))
  })
  const seen = changed.filter((site) => run.evidence.has(site)).length
  const needed = Math.max(1, Math.floor((spec.policy.minCoveragePercent * changed.length) / 100))
  if (open.length === 0 && changed.length > 0 && seen >= needed)
    return `blocked: wave ${wave.name} stays on ${seen} of ${needed}`
  const later = state.waves.flatMap((_, i) => (i > index ? changedIn(spec, run, state, world, i) : []))
  const waits = later.find((site) => isDue(spec, world, site) && state.sites.get(site)?.phase === 'waiting')
  if (changed.length === 0 && waits !== undefined)
    return `blocked: ${waits} waits for wave ${wave.name}, in which nobody can change`
  return null
}

/** No more sites on their way, or not healthy, than the policy allows, counted where somebody was told to start. */
function tooMany(spec: RolloutSpec, run: Run, decision: RolloutDecision, world: RolloutWorld): Broken | null {
  const joined = joinedNow(decision, world)
  if (joined.length === 0) return null
  const { state } = decision
  const active = activeOf(state)
  const late = joined.find((site) => (state.sites.get(site)?.wave ?? 0) > active)
  if (late !== undefined) return `blast-radius: ${late} was started before its wave`
  const away = joined.find((site) => !isDue(spec, world, site))
  if (away !== undefined) return `blast-radius: ${away} was started and is not due`
  const moving = inFlight(spec, run, decision, world)
  const rule = ruleOf(spec, state, active)
  const width = limit(rule?.maxConcurrent ?? { count: 1 }, sitesIn(state, active))
  if (moving.length > width) return `blast-radius: ${moving.length} sites move, ${width} may (${moving.join(', ')})`
  const ill = moving.filter((site) => !isHealthy(spec, world, site))
  const most = limit(spec.policy.maxUnavailable, spec.targets.size)
  if (ill.length > most) return `blast-radius: ${ill.length} sites are not healthy, ${most} may be`
  return null
}

function startedAfterAbort(
  spec: RolloutSpec,
  run: Run,
  decision: RolloutDecision,
  world: RolloutWorld,
  sim: Sim,
): Broken | null {
  const { abortedAtMs } = run
  if (abortedAtMs === null || decision.state.id !== run.id) return null
  const again = decision.grants.find(
    ({ site, release, startByMs, because }) =>
      because !== 'provision' &&
      spec.targets.get(site) === release &&
      startByMs > world.nowMs &&
      run.from.get(site) !== release,
  )
  if (again !== undefined) return `abort: ${again.site} got a new permit (${again.because})`
  for (const [site, target] of spec.targets)
    for (const { release, atMs } of sim.workload(site, spec.workload).begins)
      if (
        release === target &&
        atMs > abortedAtMs &&
        atMs > (run.permits.get(site) ?? 0) &&
        !run.provisioned.has(site) &&
        run.from.get(site) !== target
      )
        return `abort: ${site} began after its permit`
  return null
}

/** A change begins inside the site's window; provisioning and the way back need none. */
function outsideItsWindow(spec: RolloutSpec, run: Run, world: RolloutWorld, sim: Sim): Broken | null {
  for (const [site, target] of spec.targets) {
    const last = sim.workload(site, spec.workload).begins.at(-1)
    const { window } = sim.site(site)
    if (last?.release !== target || last.atMs !== world.nowMs || window === null) continue
    if (run.provisioned.has(site) || !run.told.has(site) || run.from.get(site) === target) continue
    // A permit holds up to and with its last moment.
    if ([0, 1].every((ms) => windowAt(window, last.atMs - ms)?.open !== true))
      return `window: ${site} began outside of it`
  }
  return null
}

/** Nobody who has not begun it keeps a permit for what is withdrawn. */
function permitForWithdrawn(
  spec: RolloutSpec,
  { state }: RolloutDecision,
  world: RolloutWorld,
  sim: Sim,
): Broken | null {
  for (const site of state.sites.keys()) {
    const { published, begun, applied } = sim.workload(site, spec.workload)
    if (published === null || !sim.withdrawn.has(published.release) || published.startByMs <= world.nowMs) continue
    const has = begun?.counter === published.since.counter || applied === published.release
    if (!has) return `withdrawn: ${site} may still begin ${published.release}`
  }
  return null
}

/** Done means: it really ran this release for the soak by the time it last spoke. */
function unproven(
  spec: RolloutSpec,
  decision: RolloutDecision,
  before: RolloutState | undefined,
  sim: Sim,
): Broken | null {
  for (const [site, place] of decision.state.sites) {
    if (place.phase !== 'done' || before?.sites.get(site)?.phase === 'done') continue
    const target = spec.targets.get(site)
    const at = sim.workload(site, spec.workload)
    const soak = soakAt(spec, decision.state, site)
    const spokeMs = sim.site(site).lastContactMs ?? 0
    if (at.applied !== target) return `stale: ${site} is done and does not run it`
    if (spokeMs - at.appliedAtMs < soak) return `stale: ${site} is done and has run it for less than the soak`
  }
  return null
}

/** Every waiting site has a reason, and the reason is true. */
function untrueReason(
  spec: RolloutSpec,
  run: Run,
  decision: RolloutDecision,
  world: RolloutWorld,
  sim: Sim,
): Broken | null {
  for (const [site, place] of decision.state.sites) {
    const waiting = decision.waiting.get(site)
    if (waiting === undefined) {
      if (place.phase === 'waiting' && !decision.grants.some((grant) => grant.site === site))
        return `reason: ${site} waits for nothing`
      continue
    }
    if (!isTrue(waiting, site, spec, run, decision, world, sim))
      return `reason: ${site} says ${waiting.reason}(${waiting.detail ?? ''})`
  }
  return null
}

function isTrue(
  { reason, detail }: Waiting,
  site: string,
  spec: RolloutSpec,
  run: Run,
  decision: RolloutDecision,
  world: RolloutWorld,
  sim: Sim,
): boolean {
  const { state } = decision
  const facts = world.site(site)
  const wave = state.sites.get(site)?.wave ?? 0
  const target = spec.targets.get(site)
  switch (reason) {
    case 'WaveNotReached':
      return wave > activeOf(state) || sim.rollouts.get(spec.workload)?.next !== undefined
    case 'Slot': {
      const [used, of] = (detail ?? '').split(' of ').map(Number)
      return used !== undefined && of !== undefined && used >= of && isDue(spec, world, site)
    }
    case 'Soaking':
      return target !== undefined && isHealthy(spec, world, site)
    case 'Coverage': {
      const index = activeOf(state)
      const changed = changedIn(spec, run, state, world, index)
      const seen = changed.filter((name) => run.evidence.has(name)).length
      return seen < Math.max(1, Math.floor((spec.policy.minCoveragePercent * changed.length) / 100))
    }
    case 'ApprovalNeeded': {
      const active = state.waves[activeOf(state)]
      return (
        active !== undefined &&
        ruleOf(spec, state, activeOf(state))?.approval === detail &&
        state.approvals[active.name] === undefined
      )
    }
    case 'Paused':
      return ['Paused', 'Aborted', 'RolledBack'].includes(state.phase)
    case 'WindowClosed': {
      const window = world.window?.(site, spec.workload, [])
      return window !== undefined && !window.open && (window.opensAtMs ?? Infinity) - 15 * MINUTE > world.nowMs
    }
    case 'Hold':
      return facts?.hold?.reason === detail
    case 'Frozen':
      return facts?.freeze != null && facts.freeze.untilMs > world.nowMs
    case 'LinkDown':
      return !facts?.enrolled || facts.lastContactMs === null || world.nowMs > (facts.dueAtMs ?? facts.lastContactMs)
    case 'Observe':
      return facts?.mode === 'observe'
    case 'Withdrawn':
      return (
        target !== undefined &&
        (world.withdrawn.has(target) || decision.withdraw.some(({ digest }) => digest === target))
      )
    case 'Dependency': {
      const release = sim.rollouts.get(detail ?? '')
      const wanted = (release?.next ?? release?.spec)?.targets.get(site)
      const answer = wanted === undefined ? null : answerOf(world, site, detail ?? '', wanted)
      return answer === null || answer.health !== 'Healthy' || answer.applied?.digest !== wanted
    }
    case 'Budget':
      return /\d+ of \d+$/.test(detail ?? '')
    default:
      return false
  }
}

function answerOf(world: RolloutWorld, site: string, workload: string, target: Digest): WorkloadObservation | null {
  const at = world.at(site, workload)
  if (at?.observation == null || at.published !== target) return null
  return at.observation.since.counter === at.since?.counter && at.observation.since.epoch === at.since.epoch
    ? at.observation
    : null
}

function isHealthy(spec: RolloutSpec, world: RolloutWorld, site: string): boolean {
  const target = spec.targets.get(site)
  const answer = target === undefined ? null : answerOf(world, site, spec.workload, target)
  return answer !== null && answer.health === 'Healthy' && answer.applied?.digest === target
}

/** In touch: not silent beyond its agreed contact and the patience of the policy. */
function isPresent(spec: RolloutSpec, world: RolloutWorld, site: string): boolean {
  const facts = world.site(site)
  if (facts === undefined || !facts.enrolled || facts.mode === 'observe' || facts.lastContactMs === null) return false
  return world.nowMs < (facts.dueAtMs ?? facts.lastContactMs) + spec.policy.offline.excuseAfterMs
}

function isDue(spec: RolloutSpec, world: RolloutWorld, site: string): boolean {
  const facts = world.site(site)
  if (facts === undefined || !isPresent(spec, world, site)) return false
  const held = facts.hold !== null && (facts.hold.untilMs === null || facts.hold.untilMs > world.nowMs)
  return !held && (facts.freeze === null || facts.freeze.untilMs <= world.nowMs)
}

function joinedNow(decision: RolloutDecision, world: RolloutWorld): readonly string[] {
  return decision.grants
    .filter(
      ({ because, startByMs }) =>
        (because === 'wave' || because === 'return' || because === 'renew') && startByMs > world.nowMs,
    )
    .map(({ site }) => site)
}

/** Told the target, in touch, not proven and not failed. */
function inFlight(spec: RolloutSpec, run: Run, decision: RolloutDecision, world: RolloutWorld): readonly string[] {
  return [...run.told].filter((site) => {
    const place = decision.state.sites.get(site)
    if (place === undefined || run.proven.has(site) || place.phase === 'failed') return false
    // Nothing to go back to: it stays, and is through once it is seen healthy there.
    if (place.phase === 'rolledBack' && isHealthy(spec, world, site)) return false
    // It failed and stays: broken, and on its way nowhere.
    if (place.phase === 'rolledBack' && place.failure !== undefined && place.back === undefined) return false
    const told = world.at(site, spec.workload)?.published === spec.targets.get(site)
    return (
      (told || decision.grants.some((grant) => grant.site === site && grant.startByMs > world.nowMs)) &&
      isPresent(spec, world, site) &&
      mayBegin(spec, world, decision, site)
    )
  })
}

/** A permit that ended before it began takes no place. */
function mayBegin(spec: RolloutSpec, world: RolloutWorld, decision: RolloutDecision, site: string): boolean {
  const target = spec.targets.get(site)
  const at = world.at(site, spec.workload)
  const begun = target !== undefined && (answerOf(world, site, spec.workload, target)?.begun ?? false)
  const grant = decision.grants.find((one) => one.site === site)
  return begun || (grant?.startByMs ?? at?.startByMs ?? 0) > world.nowMs
}

/** Sites of a wave that the rollout changes: enrolled, enforcing, their target not withdrawn. */
function changedIn(
  spec: RolloutSpec,
  run: Run,
  state: RolloutState,
  world: RolloutWorld,
  wave: number,
): readonly string[] {
  return [...state.sites].flatMap(([site, place]) => {
    const target = spec.targets.get(site)
    const facts = world.site(site)
    if (place.wave !== wave || target === undefined || place.provisioned !== undefined) return []
    if (place.phase === 'unchanged' || facts === undefined || !facts.enrolled) return []
    const told =
      place.phase === 'granted' || place.phase === 'changing' || place.phase === 'done' || place.phase === 'failed'
    if (!told && (facts.mode === 'observe' || world.withdrawn.has(target))) return []
    return !told && facts.lastContactMs === null ? [] : [site]
  })
}

function activeOf(state: RolloutState): number {
  const index = state.waves.findIndex((wave) => wave.state === 'pending' || wave.state === 'active')
  return index < 0 ? state.waves.length - 1 : index
}

function ruleOf(spec: RolloutSpec, state: RolloutState, wave: number): Wave | undefined {
  return spec.policy.waves[Math.min(state.waves[wave]?.policyWave ?? 0, spec.policy.waves.length - 1)]
}

/** The soak of its wave, or the longer one of empty waves whose place it took. */
function soakAt(spec: RolloutSpec, state: RolloutState, site: string): number {
  const wave = state.sites.get(site)?.wave ?? 0
  return Math.max(ruleOf(spec, state, wave)?.soakMs ?? 0, state.waves[wave]?.soakMs ?? 0)
}

function sitesIn(state: RolloutState, wave: number): number {
  return [...state.sites.values()].filter((place) => place.wave === wave).length
}

function limit(amount: Amount, total: number): number {
  return Math.max(1, 'count' in amount ? amount.count : Math.ceil((amount.percent * total) / 100))
}
