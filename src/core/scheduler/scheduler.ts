/** The scheduler that lives, and the function that does one cycle over a snapshot with it. */
import { ACTION_OF } from './actions/list.ts'
import { Cycle } from './cycle.ts'
import { explain } from './explain.ts'
import { verdictOn } from './filters.ts'
import type { Job } from './ledger.ts'
import { resolveOptions, type ResolvedOptions } from './options.ts'
import { ALLOCATED, BINDING, INVALID, PENDING, PIPELINED } from './status.ts'
import { rememberUse } from './fairness.ts'
import type { PluginFactory } from './plugin.ts'
import { readChange, type ReadChange } from './read-change.ts'
import { readyOf } from './plugins/gang.ts'
import {
  REFUSALS,
  type Change,
  type CycleResult,
  type Delta,
  type Nomination,
  type Options,
  type PhaseChange,
  type Scheduler,
  type Snapshot,
  type Verdict,
} from './types.ts'
import { World } from './world.ts'

const NOTHING: CycleResult = {
  binds: [],
  evictions: [],
  nominations: [],
  phases: [],
  reasons: [],
  reservations: [],
  nextMs: null,
}

/** Faults InvalidInput for a plugin or action that does not exist. Never throws for the objects it is given. */
export function createScheduler(
  options: Options,
  snapshot?: Snapshot,
  plugins: Readonly<Record<string, PluginFactory>> = {},
): LiveScheduler {
  const shard =
    snapshot?.shard === undefined ? null : { mode: snapshot.shard.mode, nodes: new Set(snapshot.shard.nodes) }
  return new LiveScheduler(resolveOptions(options, shard, plugins), snapshot)
}

/** One cycle over a snapshot. Same input, same result. */
export function schedule(snapshot: Snapshot, options: Options = {}): CycleResult {
  return createScheduler(options, snapshot).cycle(options.nowMs ?? 0)
}

export class LiveScheduler implements Scheduler {
  readonly world: World
  readonly #options: ResolvedOptions
  #seen = -1
  #explained = true
  #last: CycleResult = NOTHING
  #wakeMs: number | null = null
  #lastMs = Number.NEGATIVE_INFINITY

  constructor(options: ResolvedOptions, snapshot: Snapshot | undefined) {
    this.#options = options
    this.world = new World(options.seed, options.schedulerNames)
    if (snapshot !== undefined) for (const delta of deltasOf(snapshot)) this.world.apply(delta)
  }

  get counts(): Scheduler['counts'] {
    const { world } = this
    world.flush()
    return {
      nodes: world.state.facts.filter((facts) => facts !== null).length,
      pods: world.pods,
      classes: world.registry.classes.length,
      jobs: world.jobs.filter((job) => job !== null).length,
    }
  }

  apply(delta: Delta): void {
    this.world.apply(delta)
  }

  /** Takes in what was applied, which a cycle else does at its beginning: the objects are let go. */
  settle(): void {
    this.world.flush()
  }

  forget(namespace: string, name: string): void {
    this.world.forget(namespace, name)
  }

  /** Nothing new and nothing due: the answer of before, without what it did. */
  cycle(nowMs: number, reasons: 'now' | 'later' = 'now'): CycleResult {
    const { world } = this
    const owesReasons = reasons === 'now' && !this.#explained
    // A clock that was put back says nothing about what is due.
    const sleeps = this.#wakeMs === null || (nowMs < this.#wakeMs && nowMs >= this.#lastMs)
    this.#lastMs = nowMs
    if (world.version === this.#seen && sleeps && !owesReasons)
      return { ...this.#last, binds: [], evictions: [], phases: [] }
    world.flush()
    rememberUse(world, this.#options.usageHalfLifeMs, nowMs)
    const { cycle, result } = this.#run(nowMs, reasons)
    settle(world, cycle)
    this.#explained = reasons === 'now'
    this.#seen = world.version
    this.#last = result
    this.#wakeMs = result.nextMs
    return result
  }

  /** What `cycle` would answer with these changes; the state is as before when it returns. */
  tryOut(change: Change, nowMs: number, read: ReadChange = readChange(change)): CycleResult {
    const { world } = this
    const undo = world.applyForNow(read)
    const phases = world.jobs.map((job) => job?.phase)
    world.state.reserveGroups(change.pods.length)
    const mark = world.state.log.begin()
    const { result } = this.#run(nowMs, 'now')
    world.state.log.rollback(mark)
    for (const [row, phase] of phases.entries()) {
      const job = world.jobs[row]
      if (phase !== undefined && job !== null && job !== undefined) job.phase = phase
    }
    // What was remembered of the trial speaks of a world that is gone.
    for (const podClass of world.registry.classes) podClass.failedAt = null
    undo()
    return result
  }

  #run(nowMs: number, when: 'now' | 'later'): { readonly cycle: Cycle; readonly result: CycleResult } {
    const cycle = new Cycle(this.world, this.#options, nowMs)
    if (isIdle(cycle)) return { cycle, result: NOTHING }
    holdNominations(cycle)
    for (const action of this.#options.actions) ACTION_OF[action](cycle)
    // Reasons are worked out while what others hold is still held.
    const reasons = this.#options.explain !== 'off' && when === 'now' ? explain(cycle) : []
    const nominations: Nomination[] = []
    for (const job of cycle.jobs)
      if (cycle.state.count(job.group, PIPELINED) > 0)
        for (const task of job.tasks)
          if (cycle.state.taskStatus[task] === PIPELINED)
            nominations.push({ ...names(cycle, task), node: nodeName(cycle, task) })
    const binds = cycle.binds.map((task) => {
      const bind = { ...names(cycle, task), node: nodeName(cycle, task) }
      const volumes = this.world.volumes.given(cycle.classOf(task))
      return volumes.length > 0 ? { ...bind, volumes } : bind
    })
    const evictions = cycle.evictions.map(({ task, because, for: taker, breaksBudget }) => ({
      ...names(cycle, task),
      node: nodeName(cycle, task),
      because,
      for: cycle.nameOf(taker),
      breaksBudget,
    }))
    const made = cycle.reservations?.made ?? []
    const result = {
      binds,
      evictions,
      nominations,
      phases: phasesOf(cycle),
      reasons,
      reservations: made,
      nextMs: nextOf(cycle),
    }
    return { cycle, result }
  }

  verdict(pod: { readonly namespace: string; readonly name: string }, node: string): Verdict {
    this.world.flush()
    const task = this.world.task(pod.namespace, pod.name)
    const row = this.world.state.nodeIds.get(node) ?? -1
    const cycle = new Cycle(this.world, this.#options, 0)
    if (task < 0) return { fits: false, refusals: ['NodeName'], reasons: ['no such pod'], evictionCannotHelp: true }
    const { node: nodeName } = cycle.factsOf(task)
    const verdict = verdictOn(this.world.state, cycle.filters, cycle.classOf(task), row, task)
    if (nodeName === '' || nodeName === node) return verdict
    return {
      fits: false,
      refusals: ['NodeName', ...verdict.refusals],
      reasons: [REFUSALS.NodeName, ...verdict.reasons],
      evictionCannotHelp: true,
    }
  }
}

function* deltasOf(snapshot: Snapshot): Iterable<Delta> {
  for (const set of snapshot.namespaces ?? []) yield { kind: 'Namespace', set }
  for (const set of snapshot.priorityClasses ?? []) yield { kind: 'PriorityClass', set }
  for (const set of snapshot.nodes) yield { kind: 'Node', set }
  for (const set of snapshot.hyperNodes ?? []) yield { kind: 'HyperNode', set }
  for (const set of snapshot.queues ?? []) yield { kind: 'Queue', set }
  for (const set of snapshot.jobs ?? []) yield { kind: 'Job', set }
  for (const set of snapshot.storageClasses ?? []) yield { kind: 'StorageClass', set }
  for (const set of snapshot.persistentVolumes ?? []) yield { kind: 'PersistentVolume', set }
  for (const set of snapshot.persistentVolumeClaims ?? []) yield { kind: 'PersistentVolumeClaim', set }
  for (const set of snapshot.csiNodes ?? []) yield { kind: 'CSINode', set }
  for (const set of snapshot.csiDrivers ?? []) yield { kind: 'CSIDriver', set }
  for (const set of snapshot.csiStorageCapacities ?? []) yield { kind: 'CSIStorageCapacity', set }
  for (const set of snapshot.deviceClasses ?? []) yield { kind: 'DeviceClass', set }
  for (const set of snapshot.resourceSlices ?? []) yield { kind: 'ResourceSlice', set }
  for (const set of snapshot.resourceClaims ?? []) yield { kind: 'ResourceClaim', set }
  for (const set of snapshot.podDisruptionBudgets ?? []) yield { kind: 'PodDisruptionBudget', set }
  for (const set of snapshot.resourceQuotas ?? []) yield { kind: 'ResourceQuota', set }
  for (const set of snapshot.pods) yield { kind: 'Pod', set }
}

function names(cycle: Cycle, task: number): { namespace: string; name: string; uid: string } {
  const found = cycle.state.taskNames[task]
  return { namespace: found?.namespace ?? '', name: found?.name ?? '', uid: found?.uid ?? '' }
}

function nodeName(cycle: Cycle, task: number): string {
  return cycle.state.facts[cycle.state.taskNode[task] as number]?.name ?? ''
}

/** Nobody waits, for a node or for a word about it, and nobody is to leave: most of what is heard is that what was decided happened. */
function isIdle(cycle: Cycle): boolean {
  if (cycle.uses('victims')) return false
  return cycle.jobs.every(
    ({ implicit, input, group }) =>
      implicit &&
      input === null &&
      cycle.state.count(group, PENDING) === 0 &&
      cycle.state.count(group, INVALID) === 0 &&
      cycle.state.count(group, PIPELINED) === 0,
  )
}

/** Pods of other schedulers that are promised to a node keep that room for this cycle. */
function holdNominations(cycle: Cycle): void {
  for (const task of cycle.world.nominated) {
    const facts = cycle.factsOf(task)
    const node = cycle.state.nodeIds.get(facts.nominated) ?? -1
    if (facts.ours || !cycle.state.isPending(task) || !cycle.state.isAlive(node)) continue
    cycle.state.place(task, node, PIPELINED)
  }
}

/** Takes the result for done: binds and evictions happen, what was only held is let go. */
function settle(world: World, cycle: Cycle): void {
  const { state } = cycle
  const bound = new Set(cycle.binds)
  const promised = new Set<number>()
  for (const job of cycle.jobs)
    if (state.count(job.group, ALLOCATED) > 0 || state.count(job.group, PIPELINED) > 0)
      for (const task of job.tasks) {
        const status = state.taskStatus[task]
        if (status !== PIPELINED && (status !== ALLOCATED || bound.has(task))) continue
        if (status === PIPELINED) {
          cycle.factsOf(task).nominated = nodeName(cycle, task)
          promised.add(task)
        }
        state.remove(task, PENDING)
      }
  for (const task of world.nominated) {
    if (state.taskStatus[task] === PIPELINED) state.remove(task, PENDING)
    // What was promised to a pod of ours, and is not any more.
    if (!promised.has(task) && cycle.factsOf(task).ours) {
      cycle.factsOf(task).nominated = ''
      world.nominated.delete(task)
    }
  }
  for (const task of promised) world.nominated.add(task)
  for (const task of cycle.binds) {
    state.setStatus(task, BINDING)
    world.nominated.delete(task)
  }
  trim(world)
}

function phasesOf(cycle: Cycle): PhaseChange[] {
  const changes: PhaseChange[] = []
  for (const job of cycle.jobs) {
    const phase = phaseOf(cycle, job)
    if (phase === job.phase && !cycle.phases.has(job)) continue
    job.phase = phase
    if (!job.implicit) changes.push({ namespace: job.namespace, name: job.name, phase })
  }
  return changes
}

function phaseOf(cycle: Cycle, job: Job): Job['phase'] {
  if (job.phase === 'Completed' || job.tasks.size === 0) return job.phase
  const ready = readyOf(cycle.state, job.group)
  if (ready > 0 && ready >= job.minMember && (job.phase === 'Inqueue' || job.phase === 'Unknown')) return 'Running'
  return job.phase
}

function nextOf(cycle: Cycle): number | null {
  let next = cycle.askAgainMs
  for (const { startMs } of cycle.reservations?.made ?? [])
    if (startMs > cycle.nowMs && (next === null || startMs < next)) next = startMs
  return next
}

/** Logs that nobody can be behind in any more, and views of classes without pods. */
function trim(world: World): void {
  const { state, registry } = world
  if (state.touched.length > 4 * state.nodeRows + 1024) {
    state.touchedBase += state.touched.length
    state.touched.length = 0
  }
  for (const podClass of registry.classes) if (podClass.pods === 0) podClass.view = null
}
