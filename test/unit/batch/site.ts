/** A site as small as can be: pods that do what a test says, and the batch loop's order of doing things. */
import { parseBatchJob } from '../../../src/core/batch/parse.ts'
import { beginJob } from '../../../src/core/batch/record.ts'
import { stepJob } from '../../../src/core/batch/lifecycle.ts'
import type {
  BatchJobSpec, Command, Gate, JobRecord, JobStep, PodSeen, Surroundings,
} from '../../../src/core/batch/types.ts' // prettier-ignore
import type { JsonObject } from '../../../src/core/model/json.ts'

export const START_MS = Date.UTC(2026, 0, 5, 12)
const TEMPLATE = { spec: { containers: [{ name: 'main', image: 'registry.example/main:1' }] } }

export function task(name: string, replicas: number, more: JsonObject = {}): JsonObject {
  return { name, replicas, template: TEMPLATE, ...more }
}

export function jobDocument(spec: JsonObject = {}, name = 'train'): JsonObject {
  return {
    apiVersion: 'flotilla.dev/v1alpha1',
    kind: 'BatchJob',
    metadata: { name },
    spec: { targets: [], queue: 'night', tasks: [task('main', 1)], ...spec },
  }
}

export function jobSpec(spec: JsonObject = {}, name = 'train'): BatchJobSpec {
  const parsed = parseBatchJob(jobDocument(spec, name))
  if (!parsed.ok) throw new Error(parsed.refused.map((one) => `${one.path} ${one.because}`).join('\n'))
  return parsed.value
}

type Change = Partial<Omit<PodSeen, 'name'>>

export class Site {
  readonly spec: BatchJobSpec
  record: JobRecord
  nowMs: number
  pods = new Map<string, PodSeen>()
  gate: Gate = { open: true }
  around: Surroundings = {}
  last: JobStep | undefined
  /** Every pod ever made, `name@version`. */
  readonly made: string[] = []
  readonly notes: string[] = []
  #uids = 0

  constructor(spec: BatchJobSpec, nowMs = START_MS, timeZone = 'Europe/Copenhagen') {
    this.spec = spec
    this.nowMs = nowMs
    this.record = beginJob(spec, { uid: 'job-1', createdMs: nowMs, timeZone })
  }

  /** Journal, then make and delete, as the agent does. `die`: the power went between the two. */
  step(commands: readonly Command[] = [], die = false): this {
    const step = stepJob(this.spec, this.record, [...this.pods.values()], commands, this.gate, this.nowMs, this.around)
    this.record = step.record
    this.last = step
    this.notes.push(...step.notes)
    if (die) return this
    for (const { name, how } of step.delete) {
      const pod = this.pods.get(name)
      if (pod === undefined) continue
      if (how === 'force' || pod.node === '' || pod.phase === 'Succeeded' || pod.phase === 'Failed')
        this.pods.delete(name)
      else this.pods.set(name, { ...pod, terminating: true })
    }
    for (const plan of step.create) {
      if (this.pods.has(plan.name)) continue
      this.made.push(`${plan.name}@${plan.version}`)
      this.pods.set(plan.name, {
        name: plan.name,
        uid: `pod-${++this.#uids}`,
        jobUid: this.record.uid,
        task: plan.task,
        index: plan.index,
        version: plan.version,
        phase: 'Pending',
        createdMs: this.nowMs,
        startedMs: null,
        finishedMs: null,
        terminating: false,
        node: '',
        nodeGone: false,
        reason: '',
        disrupted: false,
        exitCode: null,
        outOfMemory: false,
        restarts: 0,
      })
    }
    return this
  }

  pod(name: string): PodSeen {
    const pod = this.pods.get(name)
    if (pod === undefined) throw new Error(`there is no pod ${name}; there are ${[...this.pods.keys()].join(', ')}`)
    return pod
  }

  set(name: string, change: Change): this {
    this.pods.set(name, { ...this.pod(name), ...change })
    return this
  }

  run(...names: readonly string[]): this {
    for (const name of names.length > 0 ? names : this.pods.keys())
      if (this.pod(name).phase === 'Pending') this.set(name, { phase: 'Running', node: 'n1', startedMs: this.nowMs })
    return this
  }

  succeed(...names: readonly string[]): this {
    for (const name of names.length > 0 ? names : this.pods.keys()) this.set(name, { phase: 'Succeeded', node: 'n1' })
    return this
  }

  fail(name: string, exitCode = 1): this {
    return this.set(name, { phase: 'Failed', node: 'n1', exitCode })
  }

  evict(name: string): this {
    return this.set(name, { phase: 'Failed', node: 'n1', disrupted: true, exitCode: 143, reason: 'Evicted' })
  }

  /** Those that were asked to go are gone. */
  settle(): this {
    for (const [name, pod] of this.pods) if (pod.terminating) this.pods.delete(name)
    return this
  }

  later(ms: number): this {
    this.nowMs += ms
    return this
  }

  /** To the next moment at which the job wants to be looked at. */
  wake(): this {
    const next = this.last?.nextAtMs
    if (next !== null && next !== undefined) this.nowMs = Math.max(this.nowMs, next)
    return this.step()
  }

  started(): this {
    return this.step().run().step()
  }

  get phase(): string {
    return this.record.phase
  }

  get names(): readonly string[] {
    return [...this.pods.keys()].toSorted()
  }
}
