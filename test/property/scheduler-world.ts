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
  /** Asked to leave, and still there. */
  readonly leaving?: boolean
  /** Promised to a node that others still have to leave. */
  readonly nominated?: string
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
      ...(pod.leaving === true ? { deletionTimestamp: '2026-01-01T00:00:01Z' } : {}),
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
      pod.node === null
        ? { phase: 'Pending', ...(pod.nominated === undefined ? {} : { nominatedNodeName: pod.nominated }) }
        : { phase: 'Running', startTime: new Date(pod.startedMs).toISOString() },
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

function unpromised(pod: PodIn): PodIn {
  return Object.fromEntries(Object.entries(pod).filter(([key]) => key !== 'nominated')) as unknown as PodIn
}

/** The world after the result has happened: those who were to leave have left, and what was promised stands in the pods. */
export function after(world: WorldIn, result: CycleResult, startedMs: number): WorldIn {
  const bound = new Map(result.binds.map(({ name, node }) => [name, node]))
  const evicted = new Set(result.evictions.map(({ name }) => name))
  const phases = new Map(result.phases.map(({ name, phase }) => [name, phase]))
  const promised = new Map(result.nominations.map(({ name, node }) => [name, node]))
  return {
    ...world,
    jobs: world.jobs.map((job) => ({ ...job, phase: phases.get(job.name) ?? job.phase ?? 'Pending' })),
    pods: world.pods.map((one) => {
      const pod = unpromised(one)
      // An evicted pod is made anew by its owner, and waits.
      if (evicted.has(pod.name)) return { ...pod, node: null }
      const node = bound.get(pod.name)
      if (node !== undefined) return { ...pod, node, startedMs }
      const nominated = promised.get(pod.name)
      return nominated === undefined ? pod : { ...pod, nominated }
    }),
  }
}

/** The world a moment after: who was asked to leave is still there, and who it is for is promised the place. */
export function meanwhile(world: WorldIn, result: CycleResult, startedMs: number): WorldIn {
  const evicted = new Set(result.evictions.map(({ name }) => name))
  const before = new Map(world.pods.map(({ name, node }) => [name, node]))
  const then = after(world, result, startedMs)
  return {
    ...then,
    pods: then.pods.map((pod) =>
      evicted.has(pod.name) ? { ...pod, node: before.get(pod.name) ?? null, leaving: true } : pod,
    ),
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
    // Whole it may leave.
    if ((started > 0 || (lost && runs > 0)) && runs < job.minMember) return job.name
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

/** Pods that left without need: with them everything nominated would fit all the same. A gang that left whole is one question. */
export function needlessEviction(world: WorldIn, result: CycleResult): string | null {
  const bound = new Map(result.binds.map(({ name, node }) => [name, node]))
  const evicted = new Set(result.evictions.map(({ name }) => name))
  const nominated = new Map(result.nominations.map(({ name, node }) => [name, node]))
  const jobOf = new Map(world.pods.map(({ name, job }) => [name, job]))
  const leftWhole = new Set(
    world.jobs.filter(({ name, minMember }) => minMember > 0 && !world.pods.some((pod) => pod.job === name && pod.node !== null && !evicted.has(pod.name))).map(({ name }) => name), // prettier-ignore
  )
  const units = new Map<string, string[]>()
  for (const { name } of result.evictions) {
    const job = jobOf.get(name) as string
    const unit = leftWhole.has(job) ? job : name
    units.set(unit, [...(units.get(unit) ?? []), name])
  }
  for (const [unit, back] of units) {
    const allFit = world.nodes.every((node) => {
      const there = world.pods.filter(
        (pod) =>
          (back.includes(pod.name) && pod.node === node.name) ||
          nominated.get(pod.name) === node.name ||
          ((pod.node ?? bound.get(pod.name)) === node.name && !evicted.has(pod.name)),
      )
      const sum = (of: (pod: PodIn) => number): number => there.reduce((total, pod) => total + of(pod), 0)
      return sum(({ cpu }) => cpu) <= node.cpu && sum(({ mem }) => mem) <= node.mem && there.length <= node.pods
    })
    if (allFit) return unit
  }
  return null
}

/** A queue that took back more than it deserves, or one that lost of what it deserves: by cpu, the only share that these queues have. */
export function unfairReclaim(world: WorldIn, result: CycleResult): string | null {
  const queueOf = new Map(world.jobs.map(({ name, queue }) => [name, queue]))
  const jobOf = new Map(world.pods.map(({ name, job }) => [name, job]))
  const inQueue = (pod: string): string => queueOf.get(jobOf.get(pod) as string) as string
  const bound = new Set(result.binds.map(({ name }) => name))
  const evicted = new Set(result.evictions.map(({ name }) => name))
  const promised = new Set(result.nominations.map(({ name }) => name))
  const holds = (queue: string, counts: (pod: PodIn) => boolean): number =>
    world.pods.filter((pod) => inQueue(pod.name) === queue && counts(pod)).reduce((sum, { cpu }) => sum + cpu, 0)
  for (const { name, because, for: taker } of result.evictions) {
    if (because !== 'reclaim') continue
    const [loser, winner] = [inQueue(name), inQueue(taker.slice(taker.indexOf('/') + 1))]
    const deserves = (queue: string): number =>
      Number(world.queues.find((one) => one.name === queue)?.deserved?.['cpu'] ?? 0)
    const stays = (pod: PodIn): boolean =>
      (pod.node !== null && !evicted.has(pod.name)) || bound.has(pod.name) || promised.has(pod.name)
    if (holds(loser, stays) < deserves(loser)) return `${loser} fell below what it deserves`
    if (holds(winner, stays) > deserves(winner)) return `${winner} took more than it deserves`
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
