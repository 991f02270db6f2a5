import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../../src/core/model/json.ts'
import { createScheduler, schedule } from '../../../src/core/scheduler/scheduler.ts'
import type { JobInput, QueueInput, Waiting } from '../../../src/core/scheduler/types.ts'

const node = (name: string, cpu = '4', extra: JsonObject = {}): JsonObject => ({
  metadata: { name, labels: { 'kubernetes.io/hostname': name } },
  status: { allocatable: { cpu, memory: '8Gi', pods: '10' } },
  ...extra,
})
const pod = (name: string, requests: JsonObject = {}, more: JsonObject = {}, job?: string): JsonObject => ({
  metadata: {
    name,
    namespace: 'ns',
    uid: name,
    ...(job === undefined ? {} : { annotations: { 'flotilla.dev/job': job } }),
  },
  spec: { schedulerName: 'flotilla', containers: [{ name: 'c', resources: { requests } }], ...more },
  status: { phase: 'Pending' },
})
const why = (reasons: readonly Waiting[], name: string): Waiting | undefined =>
  reasons.find(({ example }) => example === `ns/${name}`)

describe('bad input becomes a reason on the pod that has it, and the rest goes on', () => {
  const cases: readonly [string, JsonObject, RegExp][] = [
    ['a negative request', { cpu: '-1' }, /cpu: -1 is negative/],
    ['more than any node has', { cpu: '1e30' }, /cpu: 1e30 is more than any node has/],
    ['a unit that does not exist', { memory: '5Zb' }, /memory: "5Zb" is not a number/],
    ['no quantity at all', { memory: { a: 1 } }, /memory: not a quantity/],
  ]
  for (const [sentence, requests, message] of cases)
    it(sentence, () => {
      const result = schedule({ nodes: [node('n')], pods: [pod('bad', requests), pod('good', { cpu: '1' })] })
      expect(result.binds.map(({ name }) => name)).toEqual(['good'])
      expect(why(result.reasons, 'bad')).toMatchObject({ kind: 'invalid', next: { on: 'input-changes' } })
      expect(why(result.reasons, 'bad')?.message).toMatch(message)
    })

  it('0.0001m is rounded up to 1m and never to nothing', () => {
    const result = schedule({
      nodes: [node('n', '0'), node('m', '1m')],
      pods: [pod('a', { cpu: '0.0001m' }), pod('b', { cpu: '0.0001m' })],
    })
    expect(result.binds.map(({ node: at }) => at)).toEqual(['m'])
    expect(result.reasons[0]?.notes).toEqual(['cpu: 0.0001m is finer than a node counts, and was rounded up'])
  })

  it(
    '100,000 pods that wait: those that fit are placed, the others have a reason each, and a cycle later nothing is done again',
    { timeout: 120_000 },
    () => {
      const pods = Array.from({ length: 100_000 }, (_, k) => pod(`p${k}`, { cpu: `${100 + (k % 50)}m` }))
      const live = createScheduler({ explain: 'each' }, { nodes: [node('n'), node('m')], pods })
      const { binds, reasons } = live.cycle(1)
      expect(binds).toHaveLength(20)
      expect(reasons.reduce((sum, { members = [] }) => sum + members.length, 0)).toBe(99_980)
      expect(reasons.every(({ message }) => message !== '')).toBe(true)
      expect(live.cycle(2)).toMatchObject({ binds: [], evictions: [] })
    },
  )

  it('objects without the fields they should have', () => {
    const result = schedule({
      nodes: [{}, node('n')],
      pods: [{}, { metadata: null, spec: 7 }, pod('good')],
    })
    expect(result.binds.map(({ name }) => name)).toEqual(['good'])
  })

  it('a pod larger than any node, with the least that is missing', () => {
    const { reasons } = schedule({ nodes: [node('n'), node('m', '6')], pods: [pod('big', { cpu: '8' })] })
    expect(why(reasons, 'big')).toMatchObject({ kind: 'nodes', message: '0/2 nodes: 2 Insufficient cpu' })
    expect(why(reasons, 'big')?.classReasons[0]).toMatchObject({
      reason: 'Insufficient cpu',
      nodes: 2,
      shortfall: { resource: 'cpu', amount: 2000, node: 'm' },
    })
  })

  const job = (name: string, more: Partial<JobInput> = {}): JobInput => ({
    namespace: 'ns',
    name,
    phase: 'Inqueue',
    ...more,
  })
  const queues = (...list: QueueInput[]): QueueInput[] => list

  it('a circle of queues holds their jobs only', () => {
    const result = schedule({
      nodes: [node('n')],
      pods: [pod('a', { cpu: '1' }, {}, 'ja'), pod('b', { cpu: '1' }, {}, 'jb')],
      jobs: [job('ja', { queue: 'x' }), job('jb')],
      queues: queues({ name: 'x', parent: 'y' }, { name: 'y', parent: 'x' }),
    })
    expect(result.binds.map(({ name }) => name)).toEqual(['b'])
    expect(why(result.reasons, 'a')?.message).toMatch(/circle/)
  })

  it('a queue that is deleted while its jobs run: those run on, the waiting say why', () => {
    const live = createScheduler(
      {},
      {
        nodes: [node('n')],
        pods: [pod('a', { cpu: '1' }, {}, 'j')],
        jobs: [job('j', { queue: 'q' })],
        queues: queues({ name: 'q' }),
      },
    )
    expect(live.cycle(1).binds).toHaveLength(1)
    live.apply({ kind: 'Queue', gone: { name: 'q' } })
    live.apply({ kind: 'Pod', set: pod('b', { cpu: '1' }, {}, 'j') })
    const result = live.cycle(2)
    expect(result.evictions).toEqual([])
    expect(why(result.reasons, 'b')).toMatchObject({ kind: 'invalid', message: 'queue q does not exist' })
  })

  it('a preemptible job that runs on without its queue is no trouble to one that waits for room', () => {
    const live = createScheduler(
      {},
      {
        nodes: [node('n')],
        pods: [pod('a', { cpu: '4' }, {}, 'j')],
        jobs: [job('j', { queue: 'q', preemptible: true })],
        queues: queues({ name: 'q' }),
      },
    )
    expect(live.cycle(1).binds).toHaveLength(1)
    live.apply({ kind: 'Queue', gone: { name: 'q' } })
    live.apply({ kind: 'Pod', set: pod('b', { cpu: '1' }) })
    const result = live.cycle(2)
    expect(result.evictions).toEqual([])
    expect(why(result.reasons, 'b')).toMatchObject({ kind: 'nodes' })
  })

  it('a gang larger than the site starts none of its pods, says so, and the next job runs', () => {
    const pods = Array.from({ length: 9 }, (_, k) => pod(`big-${k}`, { cpu: '1' }, {}, 'big'))
    const result = schedule({
      nodes: [node('n'), node('m')],
      pods: [...pods, pod('small', { cpu: '1' }, {}, 'small')],
      jobs: [job('big', { minMember: 9, createdMs: 1 }), job('small', { minMember: 1, createdMs: 2 })],
    })
    expect(result.binds.map(({ name }) => name)).toEqual(['small'])
    expect(why(result.reasons, 'big-0')).toMatchObject({ kind: 'gang', message: 'not all of 9 pods find a place together' }) // prettier-ignore
  })

  it('jobs and queues with fields of another type are taken without those fields', () => {
    const strange = {
      ...job('j'),
      minMember: 'all',
      queue: 7,
      annotations: [],
      minTaskMember: { a: 'x' },
    } as unknown as JobInput
    const queue = { name: 'q', weight: 'much', deserved: 4, parent: {} } as unknown as QueueInput
    const { binds } = schedule({ nodes: [node('n')], pods: [pod('a', {}, {}, 'j')], jobs: [strange], queues: [queue] })
    expect(binds).toHaveLength(1)
  })

  it('a job that nobody wrote', () => {
    const { reasons } = schedule({ nodes: [node('n')], pods: [pod('a', {}, {}, 'ghost')] })
    expect(why(reasons, 'a')?.message).toBe('job ns/ghost does not exist')
  })

  it('a node that vanishes in the middle of a gang is no error, and its pods are not placed twice', () => {
    const live = createScheduler(
      {},
      {
        nodes: [node('n'), node('m')],
        pods: ['a', 'b'].map((name) => pod(name, { cpu: '3' }, {}, 'j')),
        jobs: [job('j', { minMember: 2 })],
      },
    )
    expect(live.cycle(1).binds).toHaveLength(2)
    live.apply({ kind: 'Node', gone: { name: 'n' } })
    expect(live.cycle(2)).toMatchObject({ binds: [], evictions: [] })
    live.apply({ kind: 'Node', set: node('n') })
    expect(live.cycle(3)).toMatchObject({ binds: [], evictions: [] })
  })

  it('a pod whose bind failed because its node had gone is placed elsewhere, and never on the node that came back by mistake', () => {
    const live = createScheduler({}, { nodes: [node('n')], pods: [pod('a', { cpu: '3' })] })
    expect(live.cycle(1).binds).toHaveLength(1)
    live.apply({ kind: 'Node', gone: { name: 'n' } })
    live.forget('ns', 'a')
    live.apply({ kind: 'Node', set: node('m') })
    expect(live.cycle(2).binds).toMatchObject([{ name: 'a', node: 'm' }])
    live.apply({ kind: 'Pod', gone: { namespace: 'ns', name: 'a' } })
    live.apply({ kind: 'Node', set: node('n') })
    live.apply({ kind: 'Pod', set: pod('b', { cpu: '4' }) })
    live.apply({ kind: 'Pod', set: pod('c', { cpu: '4' }) })
    expect(
      live
        .cycle(3)
        .binds.map(({ node: at }) => at)
        .toSorted(),
    ).toEqual(['m', 'n'])
  })

  it('a job that is told anew keeps its place, and a pod may name its job by a label', () => {
    const labelled = { ...pod('a', { cpu: '1' }), metadata: { name: 'a', namespace: 'ns', uid: 'a', labels: { 'flotilla.dev/job': 'j' } } } // prettier-ignore
    const live = createScheduler(
      {},
      { nodes: [node('n')], pods: [], jobs: [{ namespace: 'ns', name: 'j', minMember: 1 }] },
    )
    live.apply({ kind: 'Pod', set: labelled })
    expect(live.cycle(1).binds).toHaveLength(1)
    live.apply({ kind: 'Job', set: { namespace: 'ns', name: 'j', minMember: 1, priority: 5 } })
    expect(live.cycle(2).phases).toEqual([])
  })
})

describe('what is ours and what is not', () => {
  it('pods of other schedulers count and are left alone', () => {
    const foreign = { ...pod('theirs', { cpu: '3' }), spec: { schedulerName: 'default-scheduler', nodeName: 'n', priority: -5, containers: [{ resources: { requests: { cpu: '3' } } }] }, status: { phase: 'Running' } } // prettier-ignore
    const waiting = { ...pod('wait'), spec: { schedulerName: 'default-scheduler', containers: [] } }
    const result = schedule({
      nodes: [node('n')],
      pods: [foreign, waiting, pod('ours', { cpu: '2' }, { priority: 1000 })],
    })
    expect(result).toMatchObject({ binds: [], evictions: [] })
  })

  it('room promised to another scheduler’s pod by nomination is not given away', () => {
    const nominated = { ...pod('theirs'), spec: { schedulerName: 'default-scheduler', containers: [{ resources: { requests: { cpu: '3' } } }] }, status: { phase: 'Pending', nominatedNodeName: 'n' } } // prettier-ignore
    const { binds } = schedule({ nodes: [node('n')], pods: [nominated, pod('ours', { cpu: '2' })] })
    expect(binds).toEqual([])
  })

  it('a gated pod waits for its gate, an unknown plugin refuses to start', () => {
    const { reasons } = schedule({ nodes: [node('n')], pods: [pod('a', {}, { schedulingGates: [{ name: 'g' }] })] })
    expect(why(reasons, 'a')).toMatchObject({ kind: 'gated', next: { on: 'gate-lifted' } })
    expect(() => createScheduler({ tiers: [[{ name: 'nope' }]] })).toThrow(/no scheduler plugin "nope"/)
  })

  it('a bind that is said not to have happened is made again', () => {
    const live = createScheduler({}, { nodes: [node('n')], pods: [pod('a', { cpu: '1' })] })
    expect(live.cycle(1).binds).toHaveLength(1)
    live.apply({ kind: 'Pod', set: pod('a', { cpu: '1' }) })
    expect(live.cycle(2).binds).toEqual([])
    live.forget('ns', 'a')
    expect(live.cycle(3).binds).toHaveLength(1)
  })
})
