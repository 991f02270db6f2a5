/** Jobs and queues as records, and which pods are whose: pods join and leave, queues have their shape, and what each holds is kept. */
import { DEFAULT_NAMESPACE, type PodRecord } from './ingest.ts'
import { DEFAULT_QUEUE, ROOT_QUEUE, type Job, type Queue } from './ledger.ts'
import { jobKey, newJob, newQueue, queueShape } from './records.ts'
import { soundJob, soundQueue } from './sound.ts'
import type { State } from './state.ts'
import { INVALID, STATUSES } from './status.ts'
import type { JobInput, QueueInput } from './types.ts'

export class Books {
  readonly jobs: (Job | null)[] = []
  readonly jobRows = new Map<string, number>()
  readonly queues: (Queue | null)[] = []
  readonly queueRows = new Map<string, number>()
  readonly #state: State
  readonly #taskFacts: readonly (PodRecord | null)[]
  readonly #priorities: ReadonlyMap<string, number>
  readonly #freeJobs: number[] = []
  #lastJob: { readonly record: PodRecord; readonly job: Job } | null = null
  #shapeQueues = true

  /** `taskFacts` by task and `priorities` by class name, as they are whenever it is asked. */
  constructor(state: State, taskFacts: readonly (PodRecord | null)[], priorities: ReadonlyMap<string, number>) {
    this.#state = state
    this.#taskFacts = taskFacts
    this.#priorities = priorities
    this.setQueue({ name: DEFAULT_QUEUE })
  }

  /** By namespace and name. */
  job(namespace: string, name: string): Job | null {
    const row = this.jobRows.get(jobKey(namespace, name))
    return row === undefined ? null : (this.jobs[row] ?? null)
  }

  /** Brings parents, children and sums up to date, where something changed. */
  settle(): void {
    if (this.#shapeQueues) this.#shape()
  }

  join(task: number, record: PodRecord): void {
    const state = this.#state
    const implicit = record.job === null
    const job = this.#jobOf(record)
    if (implicit && job.input === null) {
      job.implicit = true
      this.#seat(job, record.queue || DEFAULT_QUEUE)
      job.phase = 'Inqueue'
      job.priority = Math.max(
        job.tasks.size === 0 ? Number.NEGATIVE_INFINITY : job.priority,
        state.taskPriority[task] as number,
      )
      job.createdMs = job.tasks.size === 0 ? record.createdMs : Math.min(job.createdMs, record.createdMs)
    }
    job.tasks.add(task)
    state.taskJob[task] = job.row
    const role = job.roles.get(record.role)
    state.taskRole[task] = role === undefined ? -1 : role.group
    state.taskGroup[task] = -1
    // Rows start in INVALID, and every group must agree.
    state.groupCount[job.group * STATUSES + INVALID] = state.count(job.group, INVALID) + 1
    if (role !== undefined) state.groupCount[role.group * STATUSES + INVALID] = state.count(role.group, INVALID) + 1
  }

  /** Pods of one job mostly come one after the other. */
  #jobOf(record: PodRecord): Job {
    const last = this.#lastJob
    if (
      last !== null &&
      last.record.job === record.job &&
      last.record.owner === record.owner &&
      last.record.namespace === record.namespace &&
      last.record.queue === record.queue &&
      this.jobs[last.job.row] === last.job
    )
      return last.job
    const name = record.job ?? record.owner
    const key = jobKey(record.namespace, record.job ?? `${record.owner}\u0000${record.queue}`)
    const job = this.#job(key, record.namespace, name)
    this.#lastJob = { record, job }
    return job
  }

  leave(task: number): void {
    const state = this.#state
    const row = state.taskJob[task] as number
    if (row < 0) return
    const job = this.jobs[row] as Job
    const status = state.taskStatus[task] as number
    for (const group of [job.group, state.taskRole[task] as number, state.taskGroup[task] as number])
      if (group >= 0) state.groupCount[group * STATUSES + status] = state.count(group, status) - 1
    state.taskJob[task] = -1
    state.taskRole[task] = -1
    state.taskGroup[task] = -1
    job.tasks.delete(task)
    if (job.tasks.size === 0 && job.input === null) this.#forgetJob(job)
  }

  // Jobs.

  #job(key: string, namespace: string, name: string): Job {
    const known = this.jobRows.get(key)
    if (known !== undefined) return this.jobs[known] as Job
    const state = this.#state
    const row = this.#freeJobs.pop() ?? this.jobs.length
    state.fitJobs(row + 1)
    for (const column of state.jobHeld) column[row] = 0
    const job = newJob(row, key, namespace, name, state.newGroup())
    this.jobs[row] = job
    this.jobRows.set(key, row)
    state.jobGroup[row] = job.group
    state.jobQueues[row] = []
    return job
  }

  #forgetJob(job: Job): void {
    this.jobRows.delete(job.key)
    this.jobs[job.row] = null
    this.#freeJobs.push(job.row)
    this.#state.freeGroups.push(job.group)
    for (const role of job.roles.values()) this.#state.freeGroups.push(role.group)
    for (const subJob of job.subJobs.values()) this.#state.freeGroups.push(subJob.group)
  }

  setJob(given: JobInput): void {
    const input = soundJob(given)
    const namespace = input.namespace || DEFAULT_NAMESPACE
    const job = this.#job(jobKey(namespace, input.name), namespace, input.name)
    const state = this.#state
    // A job that is told anew stays where it is, unless it is told otherwise.
    job.phase = input.phase ?? (job.input === null ? 'Pending' : job.phase)
    job.input = input
    job.implicit = false
    job.uid = input.uid ?? job.key
    this.#seat(job, input.queue === undefined || input.queue === '' ? DEFAULT_QUEUE : input.queue)
    job.priority = input.priority ?? this.#priorities.get(input.priorityClassName ?? '') ?? 0
    job.minMember = input.minMember ?? 0
    job.createdMs = input.createdMs ?? 0
    job.allocatedHyperNode = input.annotations?.['volcano.sh/job-allocated-hypernode'] ?? ''
    const read = state.dimensions.read(input.minResources)
    job.minResources = input.minResources === undefined ? null : read.amounts
    job.problem = read.problems.length > 0 ? read.problems.join('; ') : null
    state.fitDimensions()
    const roles = new Map<string, Job['roles'] extends Map<string, infer R> ? R : never>()
    job.minTaskTotal = 0
    for (const [name, min] of Object.entries(input.minTaskMember ?? {})) {
      roles.set(name, { name, min, group: job.roles.get(name)?.group ?? state.newGroup() })
      job.minTaskTotal += min
    }
    for (const [name, role] of job.roles) if (!roles.has(name)) state.freeGroups.push(role.group)
    job.roles = roles
    for (const role of roles.values()) state.groupCount.fill(0, role.group * STATUSES, (role.group + 1) * STATUSES)
    for (const task of job.tasks) {
      const role = roles.get((this.#taskFacts[task] as PodRecord).role)
      state.taskRole[task] = role === undefined ? -1 : role.group
      if (role === undefined) continue
      const at = role.group * STATUSES + (state.taskStatus[task] as number)
      state.groupCount[at] = (state.groupCount[at] as number) + 1
    }
  }

  /** Gives the job its queue. One that holds nothing yet changes no sums. */
  #seat(job: Job, queueName: string): void {
    if (job.queueName === queueName && job.queue >= 0) return
    job.queueName = queueName
    job.queue = this.queueRows.get(queueName) ?? -1
    const queue = this.queues[job.queue]
    if (job.tasks.size > 0) this.#shapeQueues = true
    else this.#state.jobQueues[job.row] = queue === null || queue === undefined ? [] : [queue.row, ...queue.ancestors]
  }

  dropJob(key: string): void {
    const row = this.jobRows.get(key)
    if (row === undefined) return
    const job = this.jobs[row] as Job
    job.input = null
    if (job.tasks.size === 0) this.#forgetJob(job)
  }

  // Queues.

  setQueue(given: QueueInput): void {
    const input = soundQueue(given)
    const state = this.#state
    let row = this.queueRows.get(input.name)
    const known = row === undefined ? null : this.queues[row]
    if (row === undefined) {
      row = this.queues.length
      this.queueRows.set(input.name, row)
      state.fitQueues(row + 1)
    }
    this.queues[row] = newQueue(row, input, state.dimensions, known ?? null)
    state.fitDimensions()
    this.#shapeQueues = true
  }

  dropQueue(name: string): void {
    const row = this.queueRows.get(name)
    if (row === undefined || name === DEFAULT_QUEUE) return
    this.queueRows.delete(name)
    this.queues[row] = null
    this.#shapeQueues = true
  }

  /** Parents, children and ancestors, then what every queue holds: after queues or the queues of jobs changed. */
  #shape(): void {
    this.#shapeQueues = false
    const state = this.#state
    if (!this.queueRows.has(ROOT_QUEUE) && [...this.queues].some((queue) => queue?.input.parent !== undefined))
      this.setQueue({ name: ROOT_QUEUE })
    this.#shapeQueues = false
    queueShape(this.queues, this.queueRows)
    for (const column of state.queueHeld) column.fill(0)
    for (const job of this.jobs) {
      if (job === null) continue
      job.queue = this.queueRows.get(job.queueName) ?? -1
      const queue = job.queue < 0 ? null : this.queues[job.queue]
      const chain = queue === null || queue === undefined ? [] : [queue.row, ...queue.ancestors]
      state.jobQueues[job.row] = chain
      for (let dim = 0; dim < state.queueHeld.length; dim++) {
        const held = (state.jobHeld[dim] as Float64Array)[job.row] as number
        if (held !== 0)
          for (const row of chain) {
            const column = state.queueHeld[dim] as Float64Array
            column[row] = (column[row] as number) + held
          }
      }
    }
  }
}
