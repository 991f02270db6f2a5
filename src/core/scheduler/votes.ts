/**
 * How plugins are heard together (SCHEDULER.md section 2): orders by the first comparison that is not zero, questions by all or any,
 * votes and victims tier by tier.
 */
import { agreedAtOnce, agreedInTurn, byHook, type AskForVictims } from './agreement.ts'
import type { Job, Queue, SubJob } from './ledger.ts'
import type { ResolvedOptions } from './options.ts'
import type { Hooks, HyperNodeQuestion, Leaving, QueueLimit, QueueShare } from './plugin.ts'
import type { State } from './state.ts'

export type HookOf<K extends keyof Hooks> = NonNullable<Hooks[K]>

export abstract class Votes {
  abstract readonly state: State
  abstract readonly options: ResolvedOptions
  /** By hook: the plugins that have it on, tier by tier. */
  #on: ReadonlyMap<keyof Hooks, readonly (readonly Hooks[])[]> = new Map()
  #jobOrders: readonly HookOf<'jobOrder'>[] = []
  #taskOrders: readonly HookOf<'taskOrder'>[] = []
  #jobsAlike = false

  abstract jobOf(task: number): Job
  abstract queueOf(job: Job): Queue

  /** Once, before anything is asked. */
  protected install(tiers: readonly (readonly Hooks[])[]): void {
    const { options } = this
    this.#on = byHook(tiers)
    const all = tiers.flat()
    this.#jobOrders = all.flatMap((hooks) => (hooks.jobOrder === undefined ? [] : [hooks.jobOrder.bind(hooks)]))
    this.#taskOrders = all.flatMap((hooks) => (hooks.taskOrder === undefined ? [] : [hooks.taskOrder.bind(hooks)]))
    // With drf, or in Volcano's tables, who gives way depends on what the asking job holds.
    this.#jobsAlike =
      options.profile === 'calm' && !options.tiers.some((tier) => tier.some(({ name }) => name === 'drf'))
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
    return this.#agreed('preemptable', preemptor, candidates, (hooks, asked) =>
      (hooks.preemptable as HookOf<'preemptable'>)(preemptor, asked, leaving),
    )
  }

  reclaimable(preemptor: number, candidates: readonly number[], leaving: Leaving = 'pods'): readonly number[] {
    return this.#agreed('reclaimable', preemptor, candidates, (hooks, asked) =>
      (hooks.reclaimable as HookOf<'reclaimable'>)(preemptor, asked, leaving),
    )
  }

  #agreed(
    hook: 'preemptable' | 'reclaimable',
    preemptor: number,
    candidates: readonly number[],
    ask: AskForVictims,
  ): readonly number[] {
    if (candidates.length === 0) return []
    const tiers = this.#with(hook)
    if (this.options.profile === 'volcano') return agreedAtOnce(tiers, candidates, ask)
    const order =
      candidates.length < 2 ? candidates : candidates.toSorted((a, b) => this.compareVictims(a, b, preemptor))
    return agreedInTurn(tiers, order, ask)
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
}

const NO_TIERS: readonly (readonly Hooks[])[] = Object.freeze([])
