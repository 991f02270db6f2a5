/** Whether what a job waits for has come: afterok, afterany, afternotok and singleton, and circles of them. */
import { isOver } from './record.ts'
import { circleOf } from './parse-tasks.ts'
import type { BatchJobSpec, DependencyKind, Gate, JobPhase, JobRecord } from './types.ts'

/** What another job needs to know of one. */
export interface JobFact {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly group: string
  readonly phase: JobPhase
  readonly createdMs: number
}

export function factOf(spec: BatchJobSpec, record: JobRecord): JobFact {
  const { namespace, name, uid, phase, createdMs } = record
  return { namespace, name, uid, group: spec.group, phase, createdMs }
}

/** By name, the newest first; made once for all jobs of a site. */
export class JobFacts {
  readonly #byName = new Map<string, JobFact>()
  readonly #byGroup = new Map<string, JobFact[]>()

  constructor(facts: Iterable<JobFact>) {
    for (const fact of facts) {
      const key = keyOf(fact.namespace, fact.name)
      const known = this.#byName.get(key)
      if (known === undefined || isBefore(known, fact)) this.#byName.set(key, fact)
      const group = keyOf(fact.namespace, fact.group)
      this.#byGroup.set(group, [...(this.#byGroup.get(group) ?? []), fact])
    }
  }

  /** `job` or `namespace/job`. */
  named(namespace: string, name: string): JobFact | undefined {
    return this.#byName.get(name.includes('/') ? name : keyOf(namespace, name))
  }

  group(namespace: string, group: string): readonly JobFact[] {
    return this.#byGroup.get(keyOf(namespace, group)) ?? []
  }
}

function keyOf(namespace: string, name: string): string {
  return `${namespace}/${name}`
}

function isBefore(a: JobFact, b: JobFact): boolean {
  return a.createdMs < b.createdMs || (a.createdMs === b.createdMs && a.uid < b.uid)
}

/** All must hold. One that can never hold keeps the job waiting, and says so, as Slurm's DependencyNeverSatisfied. */
export function dependencyGate(
  spec: BatchJobSpec,
  record: JobRecord,
  facts: JobFacts,
  circles: ReadonlyMap<string, string>,
): Gate {
  const circle = circles.get(keyOf(spec.namespace, spec.name))
  if (circle !== undefined) return never(circle)
  let open: Gate = { open: true }
  for (const { kind, job } of spec.dependency.after) {
    const verdict = verdictOf(kind, job, facts.named(spec.namespace, job))
    if (!verdict.open && verdict.never === true) return verdict
    if (open.open) open = verdict
  }
  if (!open.open || !spec.dependency.singleton) return open
  const self = factOf(spec, record)
  const other = facts
    .group(spec.namespace, spec.group)
    .find((fact) => fact.uid !== record.uid && !isOver(fact.phase) && isBefore(fact, self))
  return other === undefined ? open : waiting(`singleton: ${other.name} is ${other.phase}`)
}

function verdictOf(kind: DependencyKind, job: string, fact: JobFact | undefined): Gate {
  if (fact === undefined) return waiting(`${kind}:${job}, which is not on this site`)
  if (!isOver(fact.phase)) return waiting(`${kind}:${job}, which is ${fact.phase}`)
  const isOk = fact.phase === 'Completed'
  if (kind === 'afterany' || (kind === 'afterok') === isOk) return { open: true }
  return never(`${kind}:${job}, which is ${fact.phase}: never satisfied`)
}

function waiting(detail: string): Gate {
  return { open: false, wait: { reason: 'Dependency', detail } }
}

function never(detail: string): Gate {
  return { open: false, never: true, wait: { reason: 'Dependency', detail } }
}

/** Jobs that wait for each other in a circle, `namespace/name` to the circle in words. Others that wait for these are not in it. */
export function dependencyCircles(specs: readonly BatchJobSpec[]): ReadonlyMap<string, string> {
  const graph = new Map<string, readonly string[]>()
  for (const { namespace, name, dependency } of specs)
    graph.set(
      keyOf(namespace, name),
      dependency.after.map(({ job }) => (job.includes('/') ? job : keyOf(namespace, job))),
    )
  const left = onCircles(graph)
  const found = new Map<string, string>()
  for (const key of left.keys()) {
    if (found.has(key)) continue
    // Beginning at this one, so that a chain between two circles is passed over.
    const circle = circleOf(new Map([[key, left.get(key) ?? []], ...left]))
    if (circle === undefined) break
    for (const name of circle) found.set(name, `dependencies run in a circle: ${circle.map(plain).join(' -> ')}`)
    for (const name of circle) left.delete(name)
  }
  return found
}

function plain(key: string): string {
  return key.startsWith('default/') ? key.slice('default/'.length) : key
}

/** Without those that wait for nobody here, and those that nobody here waits for, again and again. */
function onCircles(graph: ReadonlyMap<string, readonly string[]>): Map<string, readonly string[]> {
  const left = new Map([...graph].map(([key, names]) => [key, names.filter((name) => graph.has(name))]))
  for (let before = -1; before !== left.size;) {
    before = left.size
    const waitedFor = new Set([...left.values()].flat())
    for (const [key, names] of left) {
      const kept = names.filter((name) => left.has(name))
      if (kept.length === 0 || !waitedFor.has(key)) left.delete(key)
      else if (kept.length < names.length) left.set(key, kept)
    }
  }
  return left
}
