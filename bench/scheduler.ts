/**
 * The scheduler core alone: `npm run bench -- scheduler [case...] [scale=0.1]`. Cases: fleet, cluster, perf, predict, idle, memory;
 * none named: all of them. `scale` takes a share of the sites, pods and nodes, for a quick look; rates are given for what was run.
 * Seconds are of processor time of this process, garbage collection included, so that other work on the machine does not count.
 */
import { predictAll } from '../src/core/scheduler/predict.ts'
import { createScheduler, schedule, type LiveScheduler } from '../src/core/scheduler/scheduler.ts'
import type { JobInput } from '../src/core/scheduler/types.ts'
import type { Row } from './row.ts'
import { apart, dice, near, node, onLabel, pod, site, siteParts, spread } from './scheduler-worlds.ts'

const CASES = ['fleet', 'cluster', 'perf', 'predict', 'idle', 'memory'] as const

export async function run(args: readonly string[] = []): Promise<Row[]> {
  const scale = Number(args.find((arg) => arg.startsWith('scale='))?.slice('scale='.length) ?? 1)
  const named = CASES.filter((name) => args.includes(name))
  const rows: Row[] = []
  for (const name of named.length > 0 ? named : CASES) rows.push(...RUN[name](scale))
  return rows
}

const RUN: Readonly<Record<(typeof CASES)[number], (scale: number) => Row[]>> = {
  fleet,
  cluster,
  perf,
  predict,
  idle,
  memory,
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

function measured<T>(work: () => T): { readonly value: T; readonly ms: number } {
  const before = cpuMs()
  const value = work()
  return { value, ms: cpuMs() - before }
}

/** 2,000,000 pods over 6,100 nodes at 2,033 sites of 3 nodes; all sites differ, and every object is read. */
function fleet(scale: number): Row[] {
  const sites = Math.max(1, Math.round(2033 * scale))
  const pods = 984
  for (let s = 0; s < 40; s++) schedule(site(10_000 + s, 3, pods, 210), { seed: 'warm' })
  let ms = 0
  let bound = 0
  for (let s = 0; s < sites; s++) {
    const world = site(s + 1, 3, pods, 200 + (s % 21))
    const done = measured(() => schedule(world, { seed: `site-${s}`, nowMs: 1 }))
    ms += done.ms
    bound += done.value.binds.length
  }
  const note = `${bound} of ${sites * pods} pods bound at ${sites} sites of 3 nodes, ${((ms * 1000) / bound).toFixed(1)} us a pod, ingest included`
  return [
    {
      case: 'fleet: 2,000,000 pods over 6,100 nodes at 2,033 sites',
      value: (ms / 1000) * (2033 / sites),
      unit: 's',
      goal: 20,
      note,
    },
  ]
}

/** One cluster of 6,100 nodes, 2,000 classes, as many pods as the fleet. */
function cluster(scale: number): Row[] {
  const nodes = Math.max(10, Math.round(6100 * scale))
  const pods = Math.round(2_000_000 * scale)
  const classes = Math.max(20, Math.round(2000 * scale))
  const parts = siteParts(1, nodes, pods, classes)
  const live = createScheduler({ seed: 'cluster' })
  let ms = measured(() => {
    for (const set of parts.nodes) live.apply({ kind: 'Node', set })
  }).ms
  for (const make of parts.workloads) {
    const made = make()
    ms += measured(() => {
      for (const set of made) live.apply({ kind: 'Pod', set })
      live.world.flush()
    }).ms
  }
  const readMs = ms
  const done = measured(() => live.cycle(1))
  ms += done.ms
  const note = `${done.value.binds.length} of ${pods} pods bound on ${nodes} nodes, ${classes} classes; reading them in ${(readMs / 1000).toFixed(1)} s of it`
  return [{ case: 'one cluster of 6,100 nodes and 2,000 classes', value: ms / 1000, unit: 's', goal: 120, note }]
}

interface Shape {
  readonly name: string
  /** Pods that stand before the clock starts, and those that come. */
  readonly before?: (k: number) => Parameters<typeof pod>[1] | undefined
  readonly pods: number
  readonly come: (k: number) => Parameters<typeof pod>[1]
  readonly standing?: number
  readonly priority?: number
  readonly gone?: boolean
}

const plain = (owner: string, cpuMilli = 100, memoryMi = 500, extra?: object) => ({
  namespace: 'bench',
  owner,
  labels: { app: owner },
  cpuMilli,
  memoryMi,
  ...(extra === undefined ? {} : { extra: JSON.stringify(extra) }),
})

/** Named after kube-scheduler's scheduler_perf, at 5,000 nodes; pods come 500 at a time, one cycle each. */
const SHAPES: readonly Shape[] = [
  { name: 'SchedulingBasic', pods: 10_000, come: () => plain('basic') },
  {
    name: 'SchedulingNodeAffinity',
    pods: 10_000,
    come: () => plain('zoned', 100, 500, onLabel('topology.kubernetes.io/zone', ['z0', 'z1'])),
  },
  {
    name: 'SchedulingPodAffinity',
    pods: 5000,
    come: () => plain('near', 100, 500, near('near', 'topology.kubernetes.io/zone')),
  },
  {
    name: 'SchedulingPodAntiAffinity',
    pods: 4000,
    come: () => plain('apart', 100, 500, apart('apart', 'kubernetes.io/hostname')),
  },
  {
    name: 'TopologySpreading',
    pods: 5000,
    come: () => plain('spread', 100, 500, spread('spread', 'topology.kubernetes.io/zone', 5)),
  },
  {
    name: 'Preemption',
    standing: 20_000,
    before: () => plain('low', 900, 500),
    pods: 2000,
    priority: 10,
    come: () => plain('high', 3000, 500, { priority: 10 }),
  },
  {
    name: 'Unschedulable',
    standing: 200,
    before: () => plain('huge', 99_000, 500),
    pods: 10_000,
    come: () => plain('basic'),
  },
  {
    name: 'MixedChurn',
    pods: 10_000,
    gone: true,
    come: (k) => plain(`app-${k % 50}`, 50 + (k % 7) * 50, 100 + (k % 5) * 100),
  },
]

function perf(scale: number): Row[] {
  return SHAPES.flatMap((shape) => perfOf(shape, Math.max(20, Math.round(5000 * scale)), scale))
}

function perfOf(shape: Shape, nodes: number, scale: number): Row[] {
  const zones = 10
  const live = createScheduler({ seed: 'perf', minRunMs: 0 })
  for (let n = 0; n < nodes; n++)
    live.apply({ kind: 'Node', set: node(`n${n}`, 4, 32, 110, { 'topology.kubernetes.io/zone': `z${n % zones}` }) })
  for (let k = 0; k < Math.round((shape.standing ?? 0) * scale); k++)
    live.apply({ kind: 'Pod', set: pod(`before-${k}`, shape.before?.(k) ?? plain('before')) })
  for (const { name, node: at } of live.cycle(1).binds) {
    const started = pod(name, shape.before?.(0) ?? plain('before'))
    live.apply({
      kind: 'Pod',
      set: {
        ...started,
        spec: { ...(started['spec'] as object), nodeName: at },
        status: { phase: 'Running', startTime: '1970-01-01T00:00:01Z' },
      },
    })
  }
  const pods = Math.round(shape.pods * scale)
  const cycles: number[] = []
  // A nomination stands for more than one cycle and is one decision.
  const given = new Set<string>()
  for (let from = 0, round = 1; from < pods; from += 500, round++) {
    const batch = Array.from({ length: Math.min(500, pods - from) }, (_, k) =>
      pod(`come-${from + k}`, shape.come(from + k)),
    )
    const start = cpuMs()
    for (const set of batch) live.apply({ kind: 'Pod', set })
    const result = live.cycle(1 + round * 100_000)
    cycles.push(cpuMs() - start)
    for (const { uid } of [...result.binds, ...result.nominations]) given.add(uid)
    if (shape.gone === true)
      for (let k = 0; k < 100; k++) live.apply({ kind: 'Pod', gone: { namespace: 'bench', name: `come-${from + k}` } })
  }
  const ms = cycles.reduce((sum, one) => sum + one, 0)
  const p99 = cycles.toSorted((a, b) => a - b)[Math.min(cycles.length - 1, Math.floor(cycles.length * 0.99))] ?? 0
  return [
    {
      case: `${shape.name}, ${nodes} nodes, ${pods} pods`,
      value: (given.size * 1000) / ms,
      unit: 'decisions/s',
      better: 'min',
      note: `${given.size} pods given a node`,
    },
    { case: `${shape.name}, p99 of a cycle of 500`, value: p99, unit: 'ms' },
  ]
}

/** One changed workload against 10,000 sites of 5 nodes and 60 pods, all in different states. */
function predict(scale: number): Row[] {
  const sites = Math.max(20, Math.round(10_000 * scale))
  const chunk = 100
  const job: JobInput = { namespace: 'team-0', name: 'changed', minMember: 0, phase: 'Inqueue', createdMs: 2 }
  const pods = Array.from({ length: 5 }, (_, k) => ({
    ...pod(`changed-${k}`, {
      ...plain('changed', 6000, 256, spread('changed', 'kubernetes.io/hostname', 1)),
      namespace: 'team-0',
    }),
  }))
  let ms = 0
  let buildMs = 0
  const fits: Record<string, number> = {}
  for (let from = 0; from < sites; from += chunk) {
    const built = measured(() => Array.from({ length: Math.min(chunk, sites - from) }, (_, k) => standing(from + k)))
    buildMs += built.ms
    const done = measured(() =>
      predictAll(
        built.value.map((live, k) => ({ digest: `state ${from + k}`, scheduler: live })),
        { pods, job },
        3,
      ),
    )
    ms += done.ms
    for (const { fit } of done.value) fits[fit] = (fits[fit] ?? 0) + 1
  }
  const note = `${sites} different states, ${Object.entries(fits)
    .map(([fit, count]) => `${fit} ${count}`)
    .join(', ')}; reading them in took ${(buildMs / 1000).toFixed(1)} s`
  return [
    {
      case: '10,000 sites x 5 nodes x 60 pods, one changed workload predicted',
      value: (ms / 1000) * (10_000 / sites),
      unit: 's',
      goal: 2,
      note,
    },
  ]
}

/** A site whose pods all run. */
function standing(seed: number): LiveScheduler {
  const world = site(seed + 1, 5, 60, 30)
  const live = createScheduler({ seed: `site-${seed}`, minRunMs: 0 }, world)
  live.cycle(1)
  return live
}

function idle(scale: number): Row[] {
  const nodes = Math.max(20, Math.round(5000 * scale))
  const live = createScheduler({ seed: 'idle' }, site(3, nodes, nodes * 2, 100))
  live.cycle(1)
  const rounds = 1000
  const done = measured(() => {
    for (let k = 0; k < rounds; k++) live.cycle(2 + k)
  })
  const changed: number[] = []
  for (let k = 0; k < 50; k++) {
    live.apply({ kind: 'Pod', set: pod(`late-${k}`, plain('late')) })
    changed.push(measured(() => live.cycle(5000 + k)).ms)
  }
  return [
    { case: `a cycle with nothing to do, ${nodes} nodes`, value: done.ms / rounds, unit: 'ms', goal: 1 },
    {
      case: `a cycle with one new pod, ${nodes} nodes, ${nodes * 2} pods`,
      value: changed.toSorted((a, b) => a - b)[25] ?? 0,
      unit: 'ms',
      note: 'median of 50',
    },
  ]
}

function memory(scale: number): Row[] {
  const used = (): number => {
    globalThis.gc?.()
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    return heapUsed + arrayBuffers
  }
  const nodes = Math.max(20, Math.round(5000 * scale))
  const roll = dice(5)
  const empty = used()
  const live = createScheduler({ seed: 'memory' })
  for (let n = 0; n < nodes; n++)
    live.apply({ kind: 'Node', set: node(`n${n}`, 32, 128, 110, { zone: `z${Math.floor(roll() * 3)}` }) })
  live.cycle(1)
  const withNodes = used()
  for (let k = 0; k < nodes * 10; k++) live.apply({ kind: 'Pod', set: pod(`p-${k}`, plain(`app-${k % 200}`)) })
  live.cycle(2)
  const withPods = used()
  const note = globalThis.gc === undefined ? 'without --expose-gc: garbage may be in it' : ''
  return [
    { case: 'memory a node', value: (withNodes - empty) / nodes, unit: 'bytes', note },
    {
      case: 'memory a pod',
      value: (withPods - withNodes) / (nodes * 10),
      unit: 'bytes',
      note: `${live.counts.pods} pods kept${note}`,
    },
  ]
}
