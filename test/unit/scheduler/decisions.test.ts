import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../../src/core/model/json.ts'
import { predict, predictAll } from '../../../src/core/scheduler/predict.ts'
import { createScheduler, schedule } from '../../../src/core/scheduler/scheduler.ts'
import type { CycleResult, JobInput, QueueInput } from '../../../src/core/scheduler/types.ts'

const node = (name: string, allocatable: JsonObject = {}, labels: JsonObject = {}): JsonObject => ({
  metadata: { name, labels: { 'kubernetes.io/hostname': name, ...labels } },
  status: { allocatable: { cpu: '4', memory: '8Gi', pods: '10', ...allocatable } },
})
interface PodIn {
  readonly requests?: JsonObject
  readonly node?: string
  readonly job?: string
  readonly labels?: JsonObject
  readonly spec?: JsonObject
  readonly started?: string
  readonly created?: string
}
const pod = (
  name: string,
  { requests = { cpu: '1' }, node: at, job, labels = {}, spec = {}, started, created }: PodIn = {},
): JsonObject => ({
  metadata: {
    name,
    namespace: 'ns',
    uid: name,
    labels,
    ...(created === undefined ? {} : { creationTimestamp: created }),
    ...(job === undefined ? {} : { annotations: { 'flotilla.dev/job': job } }),
  },
  spec: {
    schedulerName: 'flotilla',
    containers: [{ name: 'c', resources: { requests } }],
    ...(at === undefined ? {} : { nodeName: at }),
    ...spec,
  },
  status:
    at === undefined
      ? { phase: 'Pending' }
      : { phase: 'Running', ...(started === undefined ? {} : { startTime: started }) },
})
const job = (name: string, more: Partial<JobInput> = {}): JobInput => ({
  namespace: 'ns',
  name,
  phase: 'Inqueue',
  ...more,
})
const bound = (result: CycleResult): Record<string, string> =>
  Object.fromEntries(result.binds.map(({ name, node: at }) => [name, at]))
const evicted = (result: CycleResult): string[] => result.evictions.map(({ name }) => name).toSorted()

describe('gangs', () => {
  it('two jobs of four workers with one GPU each, created by turns, on 4 GPUs: one runs whole, then the other', () => {
    const nodes = ['a', 'b'].map((name) => node(name, { 'nvidia.com/gpu': '2', cpu: '16' }))
    const jobs = ['tf1', 'tf2'].map((name, k) => job(name, { minMember: 5, createdMs: k }))
    const pods = [0, 1, 2, 3, 4].flatMap((k) =>
      ['tf1', 'tf2'].map((name) =>
        pod(`${name}-${k}`, { job: name, requests: k === 4 ? { cpu: '1' } : { cpu: '1', 'nvidia.com/gpu': '1' } }),
      ),
    )
    const live = createScheduler({ seed: 's' }, { nodes, pods, jobs })
    const first = live.cycle(1)
    expect(Object.keys(bound(first)).toSorted()).toEqual(['tf1-0', 'tf1-1', 'tf1-2', 'tf1-3', 'tf1-4'])
    expect(first.reasons[0]).toMatchObject({ job: 'ns/tf2' })
    for (let k = 0; k < 5; k++) live.apply({ kind: 'Pod', gone: { namespace: 'ns', name: `tf1-${k}` } })
    expect(Object.keys(bound(live.cycle(2)))).toHaveLength(5)
  })
})

describe('preemption', () => {
  const low = (name: string, more: PodIn = {}): JsonObject =>
    pod(name, { requests: { cpu: '2' }, node: 'n', job: 'low', started: '2026-01-01T00:00:00Z', ...more })
  const high = pod('high', { requests: { cpu: '2' }, job: 'high' })
  const jobs = [job('low', { phase: 'Running', priority: 1 }), job('high', { minMember: 1, priority: 9 })]
  const NOW = Date.UTC(2026, 0, 2)

  it('takes the one whose budget holds, and marks none as broken', () => {
    const budget = {
      metadata: { name: 'b', namespace: 'ns' },
      spec: { selector: { matchLabels: { app: 'kept' } } },
      status: { disruptionsAllowed: 0 },
    }
    const result = schedule(
      {
        nodes: [node('n')],
        pods: [low('x', { labels: { app: 'kept' } }), low('y'), high],
        jobs,
        podDisruptionBudgets: [budget],
      },
      { nowMs: NOW },
    )
    expect(result.evictions).toMatchObject([{ name: 'y', because: 'preempt', for: 'ns/high', breaksBudget: false }])
    expect(result.nominations).toMatchObject([{ name: 'high', node: 'n' }])
  })

  it('spares who has only just begun, and says when to look again', () => {
    const startMs = Date.UTC(2026, 0, 1)
    const result = schedule(
      { nodes: [node('n')], pods: [low('x'), low('y'), high], jobs },
      { nowMs: startMs + 10_000, minRunMs: 60_000 },
    )
    expect(result).toMatchObject({ evictions: [], nextMs: startMs + 60_000 })
  })

  it('does not ask twice while those who were asked are leaving', () => {
    const leaving = {
      ...low('y'),
      metadata: { ...(low('y')['metadata'] as JsonObject), deletionTimestamp: '2026-01-02T00:00:00Z' },
    }
    const waiting = { ...high, status: { phase: 'Pending', nominatedNodeName: 'n' } }
    const result = schedule({ nodes: [node('n')], pods: [low('x'), leaving, waiting], jobs }, { nowMs: NOW })
    expect(result).toMatchObject({ evictions: [], nominations: [{ name: 'high', node: 'n' }] })
  })
})

describe('volumes', () => {
  const storage = (binding: string, provisioner = 'kubernetes.io/no-provisioner'): JsonObject => ({
    metadata: { name: 'local' },
    provisioner,
    volumeBindingMode: binding,
  })
  const claim = (name: string): JsonObject => ({
    metadata: { name, namespace: 'ns' },
    spec: { storageClassName: 'local', accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  })
  const volume = (name: string, at: string): JsonObject => ({
    metadata: { name },
    spec: {
      storageClassName: 'local',
      accessModes: ['ReadWriteOnce'],
      capacity: { storage: '2Gi' },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [at] }] }],
        },
      },
    },
    status: { phase: 'Available' },
  })
  const using = (name: string, claimName: string): JsonObject =>
    pod(name, { spec: { volumes: [{ name: 'v', persistentVolumeClaim: { claimName } }] } })
  const nodes = [node('n'), node('m')]

  it('a claim that waits for its first consumer is bound to the local volume of the node', () => {
    const result = schedule({
      nodes,
      pods: [using('a', 'c'), using('b', 'd')],
      persistentVolumeClaims: [claim('c'), claim('d')],
      persistentVolumes: [volume('v', 'm')],
      storageClasses: [storage('WaitForFirstConsumer')],
    })
    expect(result.binds).toMatchObject([{ name: 'a', node: 'm', volumes: [{ claim: 'c', volume: 'v' }] }])
    expect(result.reasons[0]?.classReasons[0]).toMatchObject({
      refusal: 'VolumeBinding',
      nodes: 2,
      next: { on: 'volume-appears' },
    })
  })

  it('a claim to be provisioned goes with the pod, one that binds at once must be bound before', () => {
    const world = { nodes, pods: [using('a', 'c')], persistentVolumeClaims: [claim('c')] }
    expect(
      schedule({ ...world, storageClasses: [storage('WaitForFirstConsumer', 'csi.example')] }).binds,
    ).toMatchObject([{ volumes: [{ claim: 'c', volume: null }] }])
    expect(schedule({ ...world, storageClasses: [storage('Immediate', 'csi.example')] }).binds).toEqual([])
  })

  it('a volume is made only where its driver says it has room for it, and a driver that says nothing is believed', () => {
    const room = (name: string, at: string, capacity: string): JsonObject => ({
      metadata: { name, namespace: 'ns' },
      storageClassName: 'local',
      nodeTopology: { matchLabels: { 'kubernetes.io/hostname': at } },
      capacity,
    })
    const world = {
      nodes,
      pods: [using('a', 'c')],
      persistentVolumeClaims: [claim('c')],
      storageClasses: [storage('WaitForFirstConsumer', 'csi.example')],
      csiStorageCapacities: [room('r', 'n', '500Mi'), room('s', 'm', '2Gi')],
    }
    const driver = { metadata: { name: 'csi.example' }, spec: { storageCapacity: true } }
    expect(bound(schedule({ ...world, csiDrivers: [driver] }))).toEqual({ a: 'm' })
    const { reasons } = schedule({ ...world, csiDrivers: [driver], csiStorageCapacities: [] })
    expect(reasons[0]).toMatchObject({ message: '0/2 nodes: 2 node(s) did not have enough free storage', next: { on: 'volume-appears' } }) // prettier-ignore
    expect(schedule({ ...world, csiStorageCapacities: [] }).binds).toHaveLength(1)
  })

  it('a pod with a resource claim that nobody told of waits, and says who may place it', () => {
    const { binds, reasons } = schedule({
      nodes,
      pods: [pod('a', { spec: { resourceClaims: [{ name: 'gpu', resourceClaimName: 'gpu' }] } }), pod('b')],
    })
    expect(binds.map(({ name }) => name)).toEqual(['b'])
    expect(reasons[0]?.notes).toEqual([expect.stringMatching(/resource claims are not known here: kube-scheduler/)])
  })

  it('a node takes as many volumes of a driver as it says', () => {
    const limits = { metadata: { name: 'n' }, spec: { drivers: [{ name: 'csi.example', allocatable: { count: 1 } }] } }
    const result = schedule({
      nodes: [node('n')],
      pods: [using('a', 'c'), using('b', 'd')],
      persistentVolumeClaims: [claim('c'), claim('d')],
      storageClasses: [storage('WaitForFirstConsumer', 'csi.example')],
      csiNodes: [limits],
    })
    expect(Object.keys(bound(result))).toEqual(['a'])
  })
})

describe('queues', () => {
  it('past use counts against a queue, and fades', () => {
    const queues = ['x', 'y'].map((name) => ({ name, deserved: { cpu: '4' } }))
    const live = createScheduler(
      { usageHalfLifeMs: 1000 },
      {
        nodes: [node('n')],
        pods: [pod('old', { job: 'jx', requests: { cpu: '4' } })],
        jobs: [job('jx', { queue: 'x' })],
        queues,
      },
    )
    live.cycle(1000)
    live.cycle(2000)
    live.apply({ kind: 'Pod', set: pod('tick', { requests: { cpu: '9' } }) })
    live.cycle(9000)
    live.apply({ kind: 'Pod', gone: { namespace: 'ns', name: 'old' } })
    live.apply({ kind: 'Job', set: job('jx2', { queue: 'x', createdMs: 1 }) })
    live.apply({ kind: 'Job', set: job('jy2', { queue: 'y', createdMs: 2 }) })
    live.apply({ kind: 'Pod', set: pod('x', { job: 'jx2', requests: { cpu: '4' } }) })
    live.apply({ kind: 'Pod', set: pod('y', { job: 'jy2', requests: { cpu: '4' } }) })
    expect(Object.keys(bound(live.cycle(9001)))).toEqual(['y'])
  })

  it('a reclaim takes from the queue that is above what it deserves', () => {
    const queues = [
      { name: 'x', deserved: { cpu: '2' } },
      { name: 'y', deserved: { cpu: '2' } },
    ]
    const pods = [0, 1, 2, 3].map((k) =>
      pod(`x${k}`, { job: 'jx', node: 'n', started: '2026-01-01T00:00:00Z', created: `2026-01-01T00:00:0${k}Z` }),
    )
    const result = schedule(
      {
        nodes: [node('n')],
        pods: [...pods, pod('y', { job: 'jy' })],
        jobs: [job('jx', { queue: 'x', phase: 'Running' }), job('jy', { queue: 'y', minMember: 1 })],
        queues,
      },
      { nowMs: Date.UTC(2026, 0, 2) },
    )
    expect(evicted(result)).toEqual(['x3'])
    expect(result.evictions[0]).toMatchObject({ because: 'reclaim' })
  })

  const gang = (name: string, count: number, at: string | undefined, more: PodIn = {}): JsonObject[] =>
    Array.from({ length: count }, (_, k) => pod(`${name}-${k}`, { job: name, ...(at === undefined ? {} : { node: at, started: '2026-01-01T00:00:00Z' }), ...more })) // prettier-ignore
  const shares = (...cpus: number[]) =>
    cpus.map((cpu, k) => ({ name: 'xyz'.charAt(k), deserved: { cpu: String(cpu) } }))
  const reclaimed = (
    pods: readonly JsonObject[],
    jobs: readonly JobInput[],
    queues: readonly QueueInput[],
  ): CycleResult => schedule({ nodes: [node('n'), node('m')], pods, jobs, queues }, { nowMs: Date.UTC(2026, 0, 2) })

  it('a gang that needs all its pods gives way whole, on every node, and the last of them only', () => {
    const result = reclaimed(
      [...gang('one', 2, 'n'), ...gang('two', 2, 'n'), ...gang('three', 2, 'm'), ...gang('four', 1, 'm'), pod('four-1', { job: 'four', node: 'm', started: '2026-01-01T00:00:00Z' }), ...gang('new', 2, undefined)], // prettier-ignore
      [
        job('one', { queue: 'x', minMember: 2, phase: 'Running', createdMs: 1 }),
        job('two', { queue: 'x', minMember: 2, phase: 'Running', createdMs: 2 }),
        job('three', { queue: 'x', minMember: 2, phase: 'Running', createdMs: 3 }),
        job('four', { queue: 'x', minMember: 2, phase: 'Running', createdMs: 4 }),
        job('new', { queue: 'y', minMember: 2 }),
      ],
      shares(6, 2),
    )
    expect(evicted(result)).toEqual(['four-0', 'four-1'])
    expect(result.nominations.map(({ name }) => name)).toEqual(['new-0', 'new-1'])
  })

  it('pods that a gang can spare go before any gang does', () => {
    const result = reclaimed(
      [...gang('core', 3, 'n'), ...gang('wide', 4, 'm'), pod('wide-4', { job: 'wide', node: 'n', started: '2026-01-01T00:00:00Z' }), pod('new', { job: 'new' })], // prettier-ignore
      [
        job('core', { queue: 'x', minMember: 3, phase: 'Running', createdMs: 9 }),
        job('wide', { queue: 'x', minMember: 2, phase: 'Running', createdMs: 1 }),
        job('new', { queue: 'y', minMember: 1 }),
      ],
      shares(4, 4),
    )
    expect(result.evictions).toHaveLength(1)
    expect(evicted(result)[0]).toMatch(/^wide/)
  })

  it('a gang stays where its queue would fall below what it deserves, and the one that waits says who has how much', () => {
    const result = reclaimed(
      [...gang('old', 4, 'n'), ...gang('old2', 3, 'm'), ...gang('new', 2, undefined)],
      [
        job('old', { queue: 'x', minMember: 4, phase: 'Running' }),
        job('old2', { queue: 'x', minMember: 3, phase: 'Running' }),
        job('new', { queue: 'y', minMember: 2 }),
      ],
      shares(6, 2),
    )
    expect(evicted(result)).toEqual([])
    expect(result.reasons[0]).toMatchObject({
      job: 'ns/new',
      share: { name: 'y', resource: 'cpu', used: 0, deserved: 2000, asked: 1000 },
    })
  })

  it('a gang whose disruption budget forbids it stays where budgets are honoured, and the one before it goes', () => {
    const covered = { labels: { app: 'kept' } }
    const budget = {
      metadata: { name: 'b', namespace: 'ns' },
      spec: { selector: { matchLabels: { app: 'kept' } } },
      status: { disruptionsAllowed: 1 },
    }
    const result = schedule(
      {
        nodes: [node('n'), node('m')],
        pods: [...gang('old', 4, 'n'), ...gang('kept', 4, 'm', covered), ...gang('new', 2, undefined)],
        jobs: [
          job('old', { queue: 'x', minMember: 4, phase: 'Running', createdMs: 1 }),
          job('kept', { queue: 'x', minMember: 4, phase: 'Running', createdMs: 2 }),
          job('new', { queue: 'y', minMember: 2 }),
        ],
        queues: shares(4, 4),
        podDisruptionBudgets: [budget],
      },
      { nowMs: Date.UTC(2026, 0, 2), budgets: 'honour' },
    )
    expect(evicted(result)).toEqual(['old-0', 'old-1', 'old-2', 'old-3'])
  })

  it('queues with weights only take back their part of what is there', () => {
    const result = reclaimed(
      [...gang('old', 4, 'n'), ...gang('old2', 4, 'm'), ...gang('new', 4, undefined)],
      [
        job('old', { queue: 'x', minMember: 4, phase: 'Running' }),
        job('old2', { queue: 'x', minMember: 4, phase: 'Running', createdMs: 1 }),
        job('new', { queue: 'y', minMember: 4 }),
      ],
      ['x', 'y'].map((name) => ({ name, weight: 1 })),
    )
    expect(evicted(result)).toEqual(['old2-0', 'old2-1', 'old2-2', 'old2-3'])
  })

  it('room that others leave for one queue is not taken by another, though that goes first', () => {
    const live = createScheduler(
      { minRunMs: 0 },
      {
        nodes: [node('n')],
        pods: [...gang('old', 4, 'n'), pod('new', { job: 'new', requests: { cpu: '2' } })],
        jobs: [job('old', { queue: 'x', phase: 'Running' }), job('new', { queue: 'y', minMember: 1 })],
        queues: [
          { name: 'x', deserved: { cpu: '2' }, priority: 9 },
          { name: 'y', deserved: { cpu: '2' } },
        ],
      },
    )
    const gone = live.cycle(Date.UTC(2026, 0, 2)).evictions
    expect(gone).toHaveLength(2)
    for (const { namespace, name } of gone) live.apply({ kind: 'Pod', gone: { namespace, name } })
    for (const { name } of gone) live.apply({ kind: 'Pod', set: pod(`${name}-again`, { job: 'old' }) })
    expect(bound(live.cycle(Date.UTC(2026, 0, 2) + 1))).toEqual({ new: 'n' })
  })

  it('a gang that finds no room for all of it leaves no doubt about those that come after it', () => {
    const result = schedule({
      nodes: [node('n')],
      pods: [...gang('big', 2, undefined, { requests: { cpu: '3' } }), pod('one', { job: 'one', requests: { cpu: '3' } })], // prettier-ignore
      jobs: [job('big', { minMember: 2, createdMs: 1 }), job('one', { createdMs: 2 })],
    })
    expect(bound(result)).toEqual({ one: 'n' })
  })

  it('a pod above the queue’s capability waits and names the dimension', () => {
    const { reasons } = schedule({
      nodes: [node('n')],
      pods: [pod('a', { job: 'j', requests: { cpu: '2' } })],
      jobs: [job('j', { queue: 'q' })],
      queues: [{ name: 'q', capability: { cpu: '1' } }],
    })
    expect(reasons[0]).toMatchObject({
      kind: 'queue',
      queue: { name: 'q', resource: 'cpu', used: 0, limit: 1000, asked: 2000 },
      next: { on: 'queue-frees', queue: 'q' },
    })
  })
})

describe('a scheduler that lives long', () => {
  it('forgets jobs, pods and classes that are gone', () => {
    const live = createScheduler({}, { nodes: [node('n')], pods: [] })
    for (let k = 0; k < 12_000; k++) {
      live.apply({ kind: 'Job', set: job(`j${k}`, { minTaskMember: { '': 1 } }) })
      live.apply({ kind: 'Pod', set: pod(`p${k}`, { job: `j${k}`, requests: { cpu: `${(k % 9000) + 1}m` } }) })
      if (k > 0) {
        live.apply({ kind: 'Pod', gone: { namespace: 'ns', name: `p${k - 1}` } })
        live.apply({ kind: 'Job', gone: { namespace: 'ns', name: `j${k - 1}` } })
      }
    }
    expect(live.counts).toMatchObject({ pods: 1, jobs: 1 })
    expect(live.counts.classes).toBeLessThan(5000)
    expect(live.world.jobs.length).toBeLessThan(10)
    expect(live.world.state.groupRows).toBeLessThan(20)
    expect(Object.keys(bound(live.cycle(1)))).toEqual(['p11999'])
  })
})

describe('prediction', () => {
  const running = (name: string, limitS?: number): JsonObject =>
    pod(name, {
      requests: { cpu: '4' },
      node: 'n',
      job: 'old',
      started: '2026-01-01T00:00:00Z',
      spec: { terminationGracePeriodSeconds: 0, ...(limitS === undefined ? {} : { activeDeadlineSeconds: limitS }) },
    })
  const NOW = Date.UTC(2026, 0, 1, 1)
  const change = (priority: number, cpu = '2') => ({
    pods: [pod('new', { requests: { cpu }, job: 'new' })],
    job: job('new', { minMember: 1, priority }),
  })
  const world = (limitS?: number) => ({
    nodes: [node('n')],
    pods: [running('old', limitS)],
    jobs: [job('old', { phase: 'Running', priority: 5 })],
  })

  it('fits now', () =>
    expect(predict({ nodes: [node('n')], pods: [] }, change(1), { nowMs: NOW })).toMatchObject({
      fit: 'now',
      binds: [{ name: 'new', node: 'n' }],
    }))
  it('fits after evicting', () =>
    expect(predict(world(), change(9), { nowMs: NOW })).toMatchObject({
      fit: 'after-evicting',
      evict: [{ name: 'old' }],
    }))
  it('fits at a time that an enforced limit gives', () =>
    expect(predict(world(7200), change(1), { nowMs: NOW })).toMatchObject({ fit: 'at', atMs: Date.UTC(2026, 0, 1, 2) }))
  it('sites of equal digest are asked once, and all get the answer', () => {
    const one = createScheduler({}, { nodes: [node('n')], pods: [] })
    const sites = ['x', 'y', 'x'].map((digest) => ({ digest, scheduler: one }))
    const [first, second, third] = predictAll(sites, change(1), NOW)
    expect(third).toBe(first)
    expect(second).toEqual(first)
    expect(second).not.toBe(first)
  })
  it('never fits, with the shortfall', () =>
    expect(predict(world(), change(1, '6'), { nowMs: NOW })).toMatchObject({
      fit: 'never',
      shortfall: { reason: 'Insufficient cpu' },
    }))
})
