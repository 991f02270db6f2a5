/**
 * One cycle: the plugins' hooks over the world, combined as SCHEDULER.md section 2 says. Actions ask it and change the state through it.
 */
import type { PodClass } from './classes.ts'
import type { ExtraFilter, FilterSet } from './filters.ts'
import type { Job, Queue, SubJob } from './ledger.ts'
import {
  SWITCH_OF,
  type BatchScorer,
  type Hooks,
  type HyperNodeQuestion,
  type Leaving,
  type PluginFactory,
  type QueueLimit,
  type QueueShare,
} from './plugin.ts'
import { rankOf, type RankContext } from './rank.ts'
import type { ResolvedOptions } from './options.ts'
import { Reservations } from './reservations.ts'
import { PENDING } from './status.ts'
import type { Eviction } from './types.ts'
import type { PodRecord } from './ingest.ts'
import type { World } from './world.ts'
import type { State } from './state.ts'

type HookOf<K extends keyof Hooks> = NonNullable<Hooks[K]>

export interface EvictionNote {
  readonly task: number
  readonly because: Eviction['because']
  readonly for: number
  readonly breaksBudget: boolean
}

export class Cycle {
  readonly world: World
  readonly state: State
  readonly options: ResolvedOptions
  readonly nowMs: number
  readonly filters: FilterSet
  readonly ranks: RankContext
  readonly batchScorers: readonly BatchScorer[]
  readonly liveFilters: readonly ExtraFilter[]
  /** By hook: the plugins that have it on, tier by tier. */
  readonly #tiers: readonly (readonly { readonly name: string; readonly hooks: Hooks }[])[]
  readonly #on: ReadonlyMap<keyof Hooks, readonly (readonly Hooks[])[]>
  readonly #jobOrders: readonly HookOf<'jobOrder'>[]
  readonly #taskOrders: readonly HookOf<'taskOrder'>[]
  readonly #jobsAlike: boolean
  readonly hierarchical: boolean
  /** Terms of pods see evictions that are only tried; Volcano turns that off with the predicates plugin's `preemptable`. */
  readonly termsFollow: boolean
  readonly jobs: readonly Job[]
  /** In the order in which they were decided; taken back with the statement that made them. */
  readonly evictions: EvictionNote[] = []
  readonly binds: number[] = []
  /** Pods of one job and class that found nobody to make room, by the state of things then. */
  readonly inVain = new Set<string>()
  readonly phases = new Map<Job, Job['phase']>()
  /** When the first pod that was spared for having just begun may be asked again. */
  askAgainMs: number | null = null
  /** null: backfill with reservations is off. */
  readonly reservations: Reservations | null

  constructor(world: World, options: ResolvedOptions, nowMs: number) {
    this.world = world
    this.state = world.state
    this.options = options
    this.nowMs = nowMs
    this.jobs = world.jobs.filter((job): job is Job => job !== null)
    this.hierarchical = options.tiers.some((tier) =>
      tier.some(
        (plugin) =>
          plugin.name === 'capacity' &&
          (plugin.enabled === undefined ? options.profile === 'calm' : plugin.enabled.includes('hierarchy')),
      ),
    )
    // With drf, or in Volcano's tables, who gives way depends on what the asking job holds.
    this.#jobsAlike =
      options.profile === 'calm' && !options.tiers.some((tier) => tier.some(({ name }) => name === 'drf'))
    this.termsFollow = !options.tiers.some((tier) =>
      tier.some(
        ({ name, enabled }) => name === 'predicates' && enabled !== undefined && !enabled.includes('preemptable'),
      ),
    )
    this.#tiers = options.tiers.map((tier) =>
      tier.map((plugin) => {
        const made = (options.plugins[plugin.name] as PluginFactory)(this, plugin.arguments ?? {})
        if (plugin.enabled === undefined) return { name: plugin.name, hooks: made }
        const hooks: Record<string, unknown> = {}
        for (const name of Object.keys(made) as (keyof Hooks)[]) {
          // A job that is not valid is not valid whatever the switches say.
          const on = plugin.enabled === undefined || name === 'jobValid' || plugin.enabled.includes(SWITCH_OF[name])
          if (on) hooks[name] = made[name]
        }
        return { name: plugin.name, hooks: hooks }
      }),
    )
    this.#on = byHook(this.#tiers)
    const all = this.#tiers.flat().map(({ hooks }) => hooks)
    this.#jobOrders = all.flatMap((hooks) => (hooks.jobOrder === undefined ? [] : [hooks.jobOrder.bind(hooks)]))
    this.#taskOrders = all.flatMap((hooks) => (hooks.taskOrder === undefined ? [] : [hooks.taskOrder.bind(hooks)]))
    this.filters = {
      kube: all.some((hooks) => hooks.kubeFilters === true),
      extra: [...all.flatMap((hooks) => hooks.filters ?? []), ...shardFilter(this)],
      volumes: world.volumes,
    }
    const local = all.flatMap((hooks) => (hooks.localScore === undefined ? [] : [hooks.localScore.bind(hooks)]))
    this.ranks = {
      state: this.state,
      filters: this.filters,
      seed: 0,
      nodeHash: world.nodeHash,
      localScore:
        local.length === 1
          ? (local[0] as HookOf<'localScore'>)
          : (podClass, node) => {
              let sum = 0
              for (const score of local) sum += score(podClass, node)
              return sum
            },
    }
    this.batchScorers = all.flatMap((hooks) => hooks.batchScores ?? [])
    this.liveFilters = this.filters.extra.filter(({ kind }) => kind === 'live')
    this.reservations = options.reservations > 0 ? new Reservations(this) : null
  }

  #with(hook: keyof Hooks): readonly (readonly Hooks[])[] {
    return this.#on.get(hook) ?? NO_TIERS
  }

  uses(hook: keyof Hooks): boolean {
    return this.#with(hook).length > 0
  }

  // Orders: the first comparison that is not zero, then age, then UID.

  compareQueues(a: Queue, b: Queue): number {
    for (const tier of this.#with('queueOrder'))
      for (const hooks of tier) {
        const order = (hooks.queueOrder as HookOf<'queueOrder'>)(a, b)
        if (order !== 0) return order
      }
    return a.name < b.name ? -1 : a.name > b.name ? 1 : 0
  }

  compareVictimQueues(a: Queue, b: Queue, preemptor: Queue): number {
    for (const tier of this.#with('victimQueueOrder'))
      for (const hooks of tier) {
        const order = (hooks.victimQueueOrder as HookOf<'victimQueueOrder'>)(a, b, preemptor)
        if (order !== 0) return order
      }
    return -this.compareQueues(a, b)
  }

  /** Without age and UID. */
  compareJobsByPlugins(a: Job, b: Job): number {
    const orders = this.#jobOrders
    for (let k = 0; k < orders.length; k++) {
      const order = (orders[k] as HookOf<'jobOrder'>)(a, b)
      if (order !== 0) return order
    }
    return 0
  }

  compareJobs(a: Job, b: Job): number {
    const order = this.compareJobsByPlugins(a, b)
    if (order !== 0) return order
    if (a.createdMs !== b.createdMs) return a.createdMs - b.createdMs
    return a.uid < b.uid ? -1 : a.uid > b.uid ? 1 : 0
  }

  compareSubJobs(a: SubJob, b: SubJob): number {
    for (const tier of this.#with('subJobOrder'))
      for (const hooks of tier) {
        const order = (hooks.subJobOrder as HookOf<'subJobOrder'>)(a, b)
        if (order !== 0) return order
      }
    return a.name < b.name ? -1 : a.name > b.name ? 1 : 0
  }

  compareTasks(a: number, b: number): number {
    const orders = this.#taskOrders
    for (let k = 0; k < orders.length; k++) {
      const order = (orders[k] as HookOf<'taskOrder'>)(a, b)
      if (order !== 0) return order
    }
    return this.state.compareByAge(a, b)
  }

  /** Who goes first when pods must leave: of one job its last, of one queue its last job's, else by queue. */
  compareVictims(a: number, b: number, preemptor: number): number {
    const left = this.jobOf(a)
    const right = this.jobOf(b)
    if (left === right) return -this.compareTasks(a, b)
    const mine = this.jobOf(preemptor)
    if (left.queue !== right.queue && mine.queue >= 0) {
      const order = this.compareVictimQueues(this.queueOf(left), this.queueOf(right), this.queueOf(mine))
      if (order !== 0) return order
    }
    const order = this.compareJobsByPlugins(left, right)
    if (order !== 0) return -order
    const byTask = this.compareTasks(a, b)
    return byTask !== 0 ? -byTask : -this.compareJobs(left, right)
  }

  // Yes or no: all must agree, or any may refuse.

  invalidity(job: Job): string | null {
    for (const tier of this.#with('jobValid'))
      for (const hooks of tier) {
        const because = (hooks.jobValid as HookOf<'jobValid'>)(job)
        if (because !== null) return because
      }
    return null
  }

  jobReady(job: Job): boolean {
    for (const tier of this.#with('jobReady'))
      for (const hooks of tier) if (!(hooks.jobReady as HookOf<'jobReady'>)(job)) return false
    return true
  }

  /** The first tier that has the hook decides. */
  jobStarving(job: Job): boolean {
    for (const tier of this.#with('jobStarving'))
      return tier.every((hooks) => (hooks.jobStarving as HookOf<'jobStarving'>)(job))
    return false
  }

  jobPipelined(job: Job): boolean {
    return this.#vote('jobPipelined', (hooks) => (hooks.jobPipelined as HookOf<'jobPipelined'>)(job))
  }

  subJobReady(job: Job, subJob: SubJob): boolean {
    if (!this.uses('subJobReady')) return job.subJobs.size > 1 || this.jobReady(job)
    for (const tier of this.#with('subJobReady'))
      for (const hooks of tier) if (!(hooks.subJobReady as HookOf<'subJobReady'>)(job, subJob)) return false
    return true
  }

  subJobPipelined(job: Job, subJob: SubJob): boolean {
    return this.#vote('subJobPipelined', (hooks) => (hooks.subJobPipelined as HookOf<'subJobPipelined'>)(job, subJob))
  }

  jobEnqueueable(job: Job): boolean {
    return this.#vote('jobEnqueueable', (hooks) => (hooks.jobEnqueueable as HookOf<'jobEnqueueable'>)(job))
  }

  /** Any vote against rejects; the first tier with one for it decides. */
  #vote(hook: keyof Hooks, ask: (hooks: Hooks) => -1 | 0 | 1): boolean {
    for (const tier of this.#with(hook)) {
      let some = false
      for (const hooks of tier) {
        const vote = ask(hooks)
        if (vote < 0) return false
        if (vote > 0) some = true
      }
      if (some) return true
    }
    return true
  }

  jobEnqueued(job: Job): void {
    for (const tier of this.#with('jobEnqueued'))
      for (const hooks of tier) (hooks.jobEnqueued as HookOf<'jobEnqueued'>)(job)
  }

  overused(queue: Queue): boolean {
    for (const tier of this.#with('overused'))
      for (const hooks of tier) if ((hooks.overused as HookOf<'overused'>)(queue)) return true
    return false
  }

  allocatable(queue: Queue, task: number): boolean {
    for (const tier of this.#with('allocatable'))
      for (const hooks of tier) if (!(hooks.allocatable as HookOf<'allocatable'>)(queue, task)) return false
    return true
  }

  preemptive(queue: Queue, task: number): boolean {
    for (const tier of this.#with('preemptive'))
      for (const hooks of tier) if (!(hooks.preemptive as HookOf<'preemptive'>)(queue, task)) return false
    return true
  }

  queueLimit(queue: Queue, task: number): QueueLimit | null {
    for (const tier of this.#with('queueLimit'))
      for (const hooks of tier) {
        const limit = (hooks.queueLimit as HookOf<'queueLimit'>)(queue, task)
        if (limit !== null) return limit
      }
    return null
  }

  queueShare(queue: Queue, task: number): QueueShare | null {
    for (const tier of this.#with('queueShare'))
      for (const hooks of tier) {
        const share = (hooks.queueShare as HookOf<'queueShare'>)(queue, task)
        if (share !== null) return share
      }
    return null
  }

  /** What two jobs have in common when nobody makes room for a pod of the one, and so nobody would for a like pod of the other. */
  sharedFate(job: Job, from: 'others' | 'own'): string {
    if (from === 'own' || !this.#jobsAlike) return `job ${job.row}`
    return `queue ${job.queue} ${job.priority} ${job.input?.preemptible === true}`
  }

  // Victims: agreed within a tier, and the first tier that names some wins. No opinion is not an empty answer.

  preemptable(preemptor: number, candidates: readonly number[], leaving: Leaving = 'pods'): readonly number[] {
    return this.#victims('preemptable', preemptor, candidates, (hooks, asked) =>
      (hooks.preemptable as HookOf<'preemptable'>)(preemptor, asked, leaving),
    )
  }

  reclaimable(preemptor: number, candidates: readonly number[], leaving: Leaving = 'pods'): readonly number[] {
    return this.#victims('reclaimable', preemptor, candidates, (hooks, asked) =>
      (hooks.reclaimable as HookOf<'reclaimable'>)(preemptor, asked, leaving),
    )
  }

  #victims(
    hook: 'preemptable' | 'reclaimable',
    preemptor: number,
    candidates: readonly number[],
    ask: (hooks: Hooks, asked: readonly number[]) => readonly number[] | null,
  ): readonly number[] {
    if (candidates.length === 0) return []
    if (this.options.profile === 'calm') return this.#victimsInTurn(hook, preemptor, candidates, ask)
    for (const tier of this.#with(hook)) {
      let agreed: readonly number[] | null = null
      for (const hooks of tier) {
        const named = ask(hooks, candidates)
        if (named === null) continue
        if (named.length === 0) {
          agreed = []
          break
        }
        const set = new Set(named)
        agreed = agreed === null ? named : agreed.filter((task) => set.has(task))
      }
      // An empty agreement is an answer too: only a tier without any opinion leaves it to the next.
      if (agreed !== null) return agreed
    }
    return []
  }

  /** Each is asked about those that the others left, in the order in which they would go: what one may spare is not spent on who stays. */
  #victimsInTurn(
    hook: 'preemptable' | 'reclaimable',
    preemptor: number,
    candidates: readonly number[],
    ask: (hooks: Hooks, asked: readonly number[]) => readonly number[] | null,
  ): readonly number[] {
    for (const tier of this.#with(hook)) {
      let left =
        candidates.length < 2 ? candidates : candidates.toSorted((a, b) => this.compareVictims(a, b, preemptor))
      let heard = false
      for (const hooks of tier) {
        const named = left.length === 0 ? left : ask(hooks, left)
        if (named === null) continue
        heard = true
        if (named.length < left.length) left = left.filter((task) => named.includes(task))
      }
      if (heard) return left
    }
    return []
  }

  victims(): readonly number[] {
    return [
      ...new Set(
        this.#with('victims').flatMap((tier) => tier.flatMap((hooks) => (hooks.victims as HookOf<'victims'>)())),
      ),
    ]
  }

  hyperNodeGradients(question: HyperNodeQuestion): readonly (readonly string[])[] {
    for (const tier of this.#with('hyperNodeGradient'))
      for (const hooks of tier) {
        const gradients = (hooks.hyperNodeGradient as HookOf<'hyperNodeGradient'>)(question)
        if (gradients !== null) return gradients
      }
    return [[question.within]]
  }

  scoreHyperNodes(tasks: readonly number[], hyperNodes: readonly string[]): ReadonlyMap<string, number> {
    const sum = new Map(hyperNodes.map((name) => [name, 0]))
    for (const tier of this.#with('hyperNodeOrder'))
      for (const hooks of tier)
        for (const [name, score] of (hooks.hyperNodeOrder as HookOf<'hyperNodeOrder'>)(tasks, hyperNodes))
          sum.set(name, (sum.get(name) ?? 0) + score)
    return sum
  }

  // The world by rows.

  jobOf(task: number): Job {
    return this.world.jobs[this.state.taskJob[task] as number] as Job
  }

  queueOf(job: Job): Queue {
    return this.world.queues[job.queue] as Queue
  }

  queueAt(row: number): Queue | null {
    return this.world.queues[row] ?? null
  }

  classOf(task: number): PodClass {
    return this.state.taskClass[task] as PodClass
  }

  factsOf(task: number): PodRecord {
    return this.world.taskFacts[task] as PodRecord
  }

  nameOf(task: number): string {
    const names = this.state.taskNames[task]
    return names === null || names === undefined ? '' : `${names.namespace}/${names.name}`
  }

  /** Pods of the job that wait and are not gated, first in order first. */
  pendingOf(job: Job): number[] {
    const tasks: number[] = []
    for (const task of job.tasks)
      if (this.state.taskStatus[task] === PENDING && !this.classOf(task).spec.gated) tasks.push(task)
    return tasks.length < 2 ? tasks : tasks.sort((a, b) => this.compareTasks(a, b))
  }

  isBestEffort(task: number): boolean {
    return this.classOf(task).spec.requests.bestEffort
  }

  rankOf(podClass: PodClass, node: number): number {
    return rankOf(this.ranks, podClass, node)
  }
}

const NO_TIERS: readonly (readonly Hooks[])[] = Object.freeze([])

/** By hook, tier by tier: those that have it. Tiers without are left out. */
function byHook(
  tiers: readonly (readonly { readonly hooks: Hooks }[])[],
): ReadonlyMap<keyof Hooks, readonly (readonly Hooks[])[]> {
  const on = new Map<keyof Hooks, Hooks[][]>()
  for (const tier of tiers) {
    const lists = new Map<keyof Hooks, Hooks[]>()
    for (const { hooks } of tier)
      for (const name in hooks) {
        const hook = name as keyof Hooks
        if (hooks[hook] === undefined) continue
        const list = lists.get(hook)
        if (list === undefined) lists.set(hook, [hooks])
        else list.push(hooks)
      }
    for (const [hook, list] of lists) {
      const known = on.get(hook)
      if (known === undefined) on.set(hook, [list])
      else known.push(list)
    }
  }
  return on
}

/** With a hard shard, other schedulers' nodes are closed. */
function shardFilter(cycle: Cycle): ExtraFilter[] {
  const { shard } = cycle.options
  if (shard?.mode !== 'hard') return []
  return [
    {
      kind: 'node',
      refuses: (_podClass, node) => (shard.nodes.has(cycle.state.facts[node]?.name ?? '') ? null : 'Shard'),
    },
  ]
}
