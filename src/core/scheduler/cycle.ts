/** One cycle: the world as rows, the plugins over it, and what was decided so far. Actions ask it and change the state through it. */
import type { PodClass } from './classes.ts'
import type { ExtraFilter, FilterSet } from './filters.ts'
import type { PodRecord } from './ingest.ts'
import type { Job, Queue } from './ledger.ts'
import type { ResolvedOptions } from './options.ts'
import { SWITCH_OF, type BatchScorer, type Hooks, type PluginFactory } from './plugin.ts'
import { rankOf, type RankContext } from './rank.ts'
import { Reservations } from './reservations.ts'
import type { State } from './state.ts'
import { PENDING } from './status.ts'
import type { Eviction, PluginOption } from './types.ts'
import { Votes, type HookOf } from './votes.ts'
import type { World } from './world.ts'

export interface EvictionNote {
  readonly task: number
  readonly because: Eviction['because']
  readonly for: number
  readonly breaksBudget: boolean
}

export class Cycle extends Votes {
  readonly world: World
  readonly state: State
  readonly options: ResolvedOptions
  readonly nowMs: number
  readonly filters: FilterSet
  readonly ranks: RankContext
  readonly batchScorers: readonly BatchScorer[]
  readonly liveFilters: readonly ExtraFilter[]
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
    super()
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
    this.termsFollow = !options.tiers.some((tier) =>
      tier.some(
        ({ name, enabled }) => name === 'predicates' && enabled !== undefined && !enabled.includes('preemptable'),
      ),
    )
    const tiers = options.tiers.map((tier) => tier.map((plugin) => hooksOf(this, plugin)))
    this.install(tiers)
    const all = tiers.flat()
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

/** What the plugin says, as far as its entry has it on. */
function hooksOf(cycle: Cycle, { name, enabled, arguments: given = {} }: PluginOption): Hooks {
  const made = (cycle.options.plugins[name] as PluginFactory)(cycle, given)
  if (enabled === undefined) return made
  // A job that is not valid is not valid whatever the switches say.
  const isOn = (hook: keyof Hooks): boolean => hook === 'jobValid' || enabled.includes(SWITCH_OF[hook])
  return Object.fromEntries(Object.entries(made).filter(([hook]) => isOn(hook as keyof Hooks)))
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
