/** Random small clusters for the scheduler's laws, and the laws as checkers that know nothing of the scheduler's code. */
import * as fc from 'fast-check'
import type { JsonObject } from '../../src/core/model/json.ts'
import type { CycleResult, JobInput, QueueInput, Snapshot } from '../../src/core/scheduler/types.ts'

export interface NodeIn {
  readonly name: string
  readonly cpu: number
  readonly mem: number
  readonly pods: number
  readonly zone: string
}
export interface PodIn {
  readonly name: string
  readonly job: string
  readonly app: string
  readonly cpu: number
  readonly mem: number
  readonly priority: number
  readonly node: string | null
  readonly startedMs: number
  readonly term: 'none' | 'spread' | 'apart' | 'near' | 'likes'
  readonly limitS: number | null
}
export interface JobIn extends JobInput {
  readonly queue: string
  readonly minMember: number
}
export interface WorldIn {
  readonly nodes: readonly NodeIn[]
  readonly pods: readonly PodIn[]
  readonly jobs: readonly JobIn[]
  readonly queues: readonly QueueInput[]
}
export const NOW_MS = 10_000_000

const ZONE = 'zone'
const HOST = 'kubernetes.io/hostname'

function termsOf({ term, app }: PodIn): JsonObject {
  const labelSelector = { matchLabels: { app } }
  const required = (topologyKey: string): JsonObject => ({
    requiredDuringSchedulingIgnoredDuringExecution: [{ labelSelector, topologyKey }],
  })
  switch (term) {
    case 'spread':
      return {
        topologySpreadConstraints: [
          { maxSkew: 1, topologyKey: ZONE, whenUnsatisfiable: 'DoNotSchedule', labelSelector },
        ],
      }
    case 'apart':
      return { affinity: { podAntiAffinity: required(HOST) } }
    case 'near':
      return { affinity: { podAffinity: required(ZONE) } }
    case 'likes':
      return {
        affinity: {
          podAffinity: {
            preferredDuringSchedulingIgnoredDuringExecution: [
              { weight: 10, podAffinityTerm: { labelSelector, topologyKey: ZONE } },
            ],
          },
        },
      }
    default:
      return {}
  }
}

export function podObject(pod: PodIn): JsonObject {
  return {
    metadata: {
      name: pod.name,
      namespace: 'ns',
      uid: pod.name,
      labels: { app: pod.app },
      annotations: { 'flotilla.dev/job': pod.job },
      creationTimestamp: '2026-01-01T00:00:00Z',
    },
    spec: {
      schedulerName: 'flotilla',
      priority: pod.priority,
      terminationGracePeriodSeconds: 0,
      ...(pod.node === null ? {} : { nodeName: pod.node }),
      ...(pod.limitS === null ? {} : { activeDeadlineSeconds: pod.limitS }),
      containers: [{ name: 'c', resources: { requests: { cpu: String(pod.cpu), memory: `${pod.mem}Gi` } } }],
      ...termsOf(pod),
    },
    status:
      pod.node === null ? { phase: 'Pending' } : { phase: 'Running', startTime: new Date(pod.startedMs).toISOString() },
  }
}

export function snapshotOf(world: WorldIn): Snapshot {
  return {
    nodes: world.nodes.map(({ name, cpu, mem, pods, zone }) => ({
      metadata: { name, labels: { [HOST]: name, [ZONE]: zone } },
      status: { allocatable: { cpu: String(cpu), memory: `${mem}Gi`, pods: String(pods) } },
    })),
    pods: world.pods.map(podObject),
    jobs: world.jobs,
    queues: world.queues,
  }
}

/** Running pods stand where they fit, so that the start is no breach of any law. */
export function worlds(options: { readonly terms: boolean; readonly limits: boolean }): fc.Arbitrary<WorldIn> {
  const node = fc.record({
    cpu: fc.integer({ min: 2, max: 8 }),
    mem: fc.integer({ min: 2, max: 8 }),
    pods: fc.integer({ min: 2, max: 6 }),
  })
  const job = fc.record({
    queue: fc.nat(2),
    minMember: fc.nat(3),
    priority: fc.constantFrom(0, 10, 100),
    pods: fc.integer({ min: 1, max: 5 }),
    running: fc.constantFrom(0, 0, 2, 4),
    cpu: fc.integer({ min: 1, max: 4 }),
    mem: fc.integer({ min: 1, max: 3 }),
    term: options.terms
      ? fc.constantFrom(
          'none' as const,
          'none' as const,
          'spread' as const,
          'apart' as const,
          'near' as const,
          'likes' as const,
        )
      : fc.constant('none' as const),
    limitS: options.limits ? fc.option(fc.integer({ min: 10, max: 500 }), { freq: 4 }) : fc.constant(null),
  })
  const deserved = fc.record({ cpu: fc.integer({ min: 1, max: 12 }), guarantee: fc.nat(2) })
  return fc
    .tuple(
      fc.array(node, { minLength: 1, maxLength: 4 }),
      fc.array(job, { minLength: 2, maxLength: 7 }),
      fc.tuple(deserved, deserved, deserved),
    )
    .map(([nodes, jobs, queues]) => {
      const worldNodes = nodes.map((one, n) => ({ ...one, name: `n${n}`, zone: `z${n % 2}` }))
      const pods: PodIn[] = []
      const free = new Map(worldNodes.map(({ name, cpu, mem, pods: count }) => [name, { cpu, mem, pods: count }]))
      for (const [j, one] of jobs.entries())
        for (let p = 0; p < one.pods; p++) {
          const home =
            one.term === 'none' && p < one.running
              ? [...free].find(([, room]) => room.cpu >= one.cpu && room.mem >= one.mem && room.pods >= 1)
              : undefined
          if (home !== undefined) {
            home[1].cpu -= one.cpu
            home[1].mem -= one.mem
            home[1].pods -= 1
          }
          pods.push({
            name: `j${j}-p${p}`,
            job: `j${j}`,
            app: `a${j}`,
            cpu: one.cpu,
            mem: one.mem,
            priority: one.priority,
            node: home?.[0] ?? null,
            startedMs: NOW_MS - 200_000 + j * 1000 + p,
            term: one.term,
            limitS: one.limitS,
          })
        }
      // A gang whose pods run has at least as many as it needs: less would be a breach from before.
      const ran = (j: number): number =>
        pods.filter(({ job: name, node: at }) => name === `j${j}` && at !== null).length
      return {
        nodes: worldNodes,
        pods,
        jobs: jobs.map((one, j) => ({
          namespace: 'ns',
          name: `j${j}`,
          uid: `j${j}`,
          queue: `q${one.queue}`,
          minMember: ran(j) > 0 ? Math.min(one.minMember, ran(j)) : Math.min(one.minMember, one.pods),
          priority: one.priority,
          phase: ran(j) > 0 ? ('Running' as const) : ('Pending' as const),
          createdMs: j,
        })),
        queues: queues.map((one, q) => ({
          name: `q${q}`,
          deserved: { cpu: one.cpu + one.guarantee },
          guarantee: { cpu: one.guarantee },
        })),
      }
    })
}

/** The world after the result has happened. `gone`: those who were to leave have left. */
export function after(world: WorldIn, result: CycleResult, startedMs: number): WorldIn {
  const bound = new Map(result.binds.map(({ name, node }) => [name, node]))
  const evicted = new Set(result.evictions.map(({ name }) => name))
  const phases = new Map(result.phases.map(({ name, phase }) => [name, phase]))
  return {
    ...world,
    jobs: world.jobs.map((job) => ({ ...job, phase: phases.get(job.name) ?? job.phase ?? 'Pending' })),
    pods: world.pods.map((pod) => {
      // An evicted pod is made anew by its owner, and waits.
      if (evicted.has(pod.name)) return { ...pod, node: null }
      const node = bound.get(pod.name)
      return node === undefined ? pod : { ...pod, node, startedMs }
    }),
  }
}

// The laws. Each gives what breaks it, or null.

export function overAllocated(world: WorldIn, result: CycleResult): string | null {
  const bound = new Map(result.binds.map(({ name, node }) => [name, node]))
  for (const node of world.nodes) {
    const here = world.pods.filter((pod) => (pod.node ?? bound.get(pod.name)) === node.name)
    const sum = (of: (pod: PodIn) => number): number => here.reduce((total, pod) => total + of(pod), 0)
    if (sum(({ cpu }) => cpu) > node.cpu || sum(({ mem }) => mem) > node.mem || here.length > node.pods)
      return node.name
  }
  return null
}

export function halfGang(world: WorldIn, result: CycleResult): string | null {
  const bound = new Set(result.binds.map(({ name }) => name))
  const evicted = new Set(result.evictions.map(({ name }) => name))
  for (const job of world.jobs) {
    const pods = world.pods.filter((pod) => pod.job === job.name)
    const started = pods.filter(({ name }) => bound.has(name)).length
    const runs = pods.filter(({ name, node }) => (node !== null && !evicted.has(name)) || bound.has(name)).length
    const lost = pods.some(({ name }) => evicted.has(name))
    if ((started > 0 || lost) && runs < job.minMember) return job.name
  }
  return null
}

export function belowGuarantee(world: WorldIn, result: CycleResult): string | null {
  const reclaimed = new Set(result.evictions.filter(({ because }) => because === 'reclaim').map(({ name }) => name))
  const bound = new Set(result.binds.map(({ name }) => name))
  const queueOf = new Map(world.jobs.map(({ name, queue }) => [name, queue]))
  for (const queue of world.queues) {
    const mine = world.pods.filter(
      (pod) => (pod.node !== null || bound.has(pod.name)) && queueOf.get(pod.job) === queue.name,
    )
    if (!mine.some(({ name }) => reclaimed.has(name))) continue
    const left = mine.filter(({ name }) => !reclaimed.has(name)).reduce((sum, { cpu }) => sum + cpu, 0)
    if (left < Number(queue.guarantee?.['cpu'] ?? 0)) return queue.name
  }
  return null
}

/** An eviction without which everything nominated to its node would fit all the same. */
export function needlessEviction(world: WorldIn, result: CycleResult): string | null {
  const bound = new Map(result.binds.map(({ name, node }) => [name, node]))
  const evicted = new Set(result.evictions.map(({ name }) => name))
  const nominated = new Map(result.nominations.map(({ name, node }) => [name, node]))
  for (const { name, node: at } of result.evictions) {
    const node = world.nodes.find((one) => one.name === at)
    if (node === undefined) return name
    const there = world.pods.filter(
      (pod) =>
        pod.name === name ||
        nominated.get(pod.name) === at ||
        ((pod.node ?? bound.get(pod.name)) === at && !evicted.has(pod.name)),
    )
    const sum = (of: (pod: PodIn) => number): number => there.reduce((total, pod) => total + of(pod), 0)
    if (sum(({ cpu }) => cpu) <= node.cpu && sum(({ mem }) => mem) <= node.mem && there.length <= node.pods) return name
  }
  return null
}

/** A pod placed where a plain reading of its own terms, over the world as it is then, forbids it. */
export function brokenTerm(world: WorldIn, result: CycleResult): string | null {
  const bound = new Map(result.binds.map(({ name, node }) => [name, node]))
  const placed = world.pods.flatMap((pod) => {
    const at = pod.node ?? bound.get(pod.name)
    const node = world.nodes.find(({ name }) => name === at)
    return node === undefined ? [] : [{ ...pod, node, isNew: pod.node === null }]
  })
  for (const pod of placed) {
    if (!pod.isNew) continue
    const kin = placed.filter(({ app }) => app === pod.app)
    if (pod.term === 'apart' && kin.some((other) => other !== pod && other.node === pod.node)) return pod.name
    if (pod.term === 'near' && kin.some((other) => other.node.zone !== pod.node.zone)) return pod.name
    if (pod.term === 'spread') {
      const zones = [...new Set(world.nodes.map(({ zone }) => zone))]
      const counts = zones.map((zone) => kin.filter((other) => other.node.zone === zone).length)
      if (Math.max(...counts) - Math.min(...counts) > 1) return pod.name
    }
  }
  return null
}

/** Only what happens, in a fixed order. */
export function deeds(result: CycleResult): unknown {
  const sort = (list: readonly { readonly name: string; readonly node: string }[]): string[] =>
    list.map(({ name, node }) => `${name}@${node}`).toSorted()
  return { binds: sort(result.binds), evictions: sort(result.evictions), nominations: sort(result.nominations) }
}
