import { describe, expect, test } from 'vitest'
import { pastAsk } from '../../../src/core/batch/past.ts'
import type { BatchView } from '../../../src/core/batch/view.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import type { JsonObject } from '../../../src/core/model/json.ts'
import type { Manifest } from '../../../src/core/model/object.ts'
import { batchJob, type BatchSite, batchSite, queue, task } from './batch-site.ts'
import { SIGNAL } from './site.ts'

const MINUTE = 60_000

describe('a job from Git', () => {
  test('runs once, to its end, as pods and nothing else', async () => {
    const site = batchSite()
    await site.publish(batchJob('train', { tasks: [task('a', 2), task('b')] }))
    await site.pass(5_000)
    expect(site.made.toSorted()).toEqual(['train-a-0', 'train-a-1', 'train-b-0'])
    expect(await site.pods()).toEqual(['train-a-0 Succeeded', 'train-a-1 Succeeded', 'train-b-0 Succeeded'])
    expect(site.health('batchjob.train')).toBe('Synced Healthy')
    await site.pass(10 * MINUTE)
    expect(site.made).toHaveLength(3)
    expect([...site.store.inventory().keys()]).toEqual([])
  })

  test('goes on in the dark, and is not run again by a new process', async () => {
    const site = batchSite()
    await site.publish(batchJob('train'))
    await site.pass(300)
    site.restart(null)
    await site.pass(5_000)
    expect(site.made).toEqual(['train-main-0'])
    expect(await site.pods()).toEqual(['train-main-0 Succeeded'])
    site.restart(null)
    await site.pass(MINUTE)
    expect(site.made).toHaveLength(1)
  })

  test('whose template fails at once is tried three times, further and further apart, and is Degraded then', async () => {
    const site = batchSite()
    await site.publish(
      batchJob('train', {
        tasks: [task('main', 1, 'task:fail')],
        policies: [{ event: 'PodFailed', action: 'RestartJob' }],
      }),
    )
    await site.pass(5_000)
    expect(site.made).toHaveLength(1)
    expect(site.health('batchjob.train')).toMatch(/^Waiting Progressing Hold\(backing off/)
    await site.pass(10 * MINUTE)
    expect(site.made).toHaveLength(3)
    expect(site.health('batchjob.train')).toBe('Synced Degraded')
  })

  test('that the API server refuses is asked for again seldom, and says why', async () => {
    const refuse = new Fault('Rejected', 'Pod "train-main-0" is invalid')
    const site = batchSite({
      sim: { interfere: ({ verb, kind }) => (verb === 'create' && kind === 'Pod' ? { refuse } : undefined) },
    })
    await site.publish(batchJob('train'))
    await site.pass(5_000)
    const before = site.cluster.requests['create'] ?? 0
    await site.pass(5 * MINUTE)
    expect((site.cluster.requests['create'] ?? 0) - before).toBeLessThan(3)
    expect(site.health('batchjob.train')).toBe('Synced Degraded')
  })

  test('gone from Git is ended, with all that stood beside it; what nobody took away stays', async () => {
    const site = batchSite({ sim: { controllers: { delays: { jobMs: 600_000 } } } })
    await site.publish(batchJob('train', { plugins: { svc: [] } }), batchJob('other'))
    await site.pass(3_000)
    const named = async (kind: string): Promise<readonly string[]> =>
      (await site.cluster.list({ apiVersion: 'v1', kind, namespace: 'shop' }, SIGNAL)).items
        .map((it) => it.metadata.name)
        .filter((name) => name !== 'kube-root-ca.crt')
    expect(await named('Service')).toEqual(['train'])
    expect(await named('ConfigMap')).toEqual(['train-svc'])
    await site.publish(batchJob('other'))
    await site.pass(3_000)
    expect(await site.pods()).toEqual(['other-main-0 Running'])
    expect(await named('Service')).toEqual([])
    expect(await named('ConfigMap')).toEqual([])
    expect([...site.store.batch().keys()]).toEqual(['job shop/other'])
  })

  test('with other words goes on, and with another template is another job', async () => {
    const site = batchSite({ sim: { controllers: { delays: { jobMs: 600_000 } } } })
    await site.publish(batchJob('train'))
    await site.pass(3_000)
    await site.publish(batchJob('train', { maxRetry: 7, ttlSecondsAfterFinished: 60 }))
    await site.pass(3_000)
    expect(site.made).toEqual(['train-main-0'])
    expect(site.health('batchjob.train')).toBe('Synced Healthy')
    await site.publish(batchJob('train', { tasks: [task('main', 1, 'task:2')] }))
    await site.pass(5_000)
    expect(site.made).toEqual(['train-main-0', 'train-main-0'])
    const ref = { group: '', kind: 'Pod', namespace: 'shop', name: 'train-main-0' }
    const pod = await site.cluster.get({ apiVersion: 'v1', kind: 'Pod' }, ref, SIGNAL)
    expect(JSON.stringify(pod?.['spec'])).toContain('task:2')
    expect(site.health('batchjob.train')).toBe('Synced Healthy')
  })

  test('leaves a Service alone that is somebody else`s, and says so', async () => {
    const site = batchSite()
    const service: Manifest = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'train', namespace: 'shop' },
      spec: { ports: [{ port: 80 }], selector: { app: 'till' } },
    }
    await site.cluster.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } }, {}, SIGNAL)
    await site.cluster.create(service, {}, SIGNAL)
    await site.publish(batchJob('train', { plugins: { svc: [] } }))
    await site.pass(5_000)
    expect(site.made).toEqual([])
    const seen = site.agent.status().workloads.find(({ workload }) => workload === 'batchjob.train')
    expect(seen?.objects[0]?.message).toBe("Service shop/train stands there and is not this job's")
  })

  test('at a site that only looks makes nothing', async () => {
    const site = batchSite({ agent: { mode: 'observe' } })
    await site.publish(batchJob('train'))
    await site.pass(5_000)
    expect(site.made).toEqual([])
    expect(site.health('batchjob.train')).toMatch(/^Waiting Unknown Observe/)
  })

  test('keeps a time limit, and goes with its time after the end', async () => {
    const site = batchSite({ sim: { controllers: { delays: { jobMs: 3_600_000 } } } })
    await site.publish(batchJob('train', { timeLimit: '1m', ttlSecondsAfterFinished: 120 }))
    await site.pass(50_000)
    expect(await site.pods()).toEqual(['train-main-0 Running'])
    await site.pass(20_000)
    expect(site.health('batchjob.train')).toBe('Synced Degraded')
    await site.pass(3 * MINUTE)
    expect(await site.pods()).toEqual([])
    await site.pass(30 * MINUTE)
    expect(site.made).toHaveLength(1)
  })

  test('an array runs so many at once and each to its end', async () => {
    const site = batchSite()
    await site.publish(batchJob('sweep', { array: { range: '0-5%2' } }))
    await site.pass(900)
    expect(site.made).toHaveLength(2)
    await site.pass(10_000)
    expect(site.made.toSorted()).toEqual([0, 1, 2, 3, 4, 5].map((i) => `sweep-main-${i}`))
    expect(site.health('batchjob.sweep')).toBe('Synced Healthy')
  })
})

test('a site that lost its store runs no job again of which the hub knows that it was over', async () => {
  const documents = [
    batchJob('train'),
    batchJob('broken', { tasks: [task('main', 1, 'task:fail')] }),
    batchJob('sweep', { array: { range: '0-2' } }),
  ] as const
  const before = batchSite()
  await before.publish(...documents)
  await before.pass(10_000)
  const past = pastAsk(((await before.agent.askBatch({ op: 'view' })) as unknown as BatchView).jobs)
  const after = batchSite()
  after.hub.asks = [JSON.parse(JSON.stringify(past))]
  await after.publish(...documents, batchJob('other'))
  await after.pass(10_000)
  expect(after.made).toEqual(['other-main-0'])
  const { jobs } = (await after.agent.askBatch({ op: 'view' })) as unknown as BatchView
  expect(jobs.map(({ id, code }) => `${id} ${code}`).toSorted()).toEqual([
    'broken F', 'other CD', 'sweep_0 CD', 'sweep_1 CD', 'sweep_2 CD', 'train CD',
  ]) // prettier-ignore
  expect(after.health('batchjob.train')).toBe('Synced Healthy')
  expect(after.health('batchjob.broken')).toBe('Synced Degraded')
  expect([...after.store.batch().keys()].filter((key) => key.startsWith('past '))).toEqual([])
  // Other words are another job.
  await after.publish(batchJob('train', { tasks: [task('main', 1, 'task:2')] }))
  await after.pass(10_000)
  expect(after.made).toEqual(['other-main-0', 'train-main-0'])
  // What nobody can read does no harm.
  after.hub.asks = [{ kind: 'past', jobs: [null, { uid: 7 }, { uid: 'x', code: 'CD' }, { uid: 'f'.repeat(32), code: 'R' }] }, { kind: 'past' }] // prettier-ignore
  await after.agent.exchange(SIGNAL)
})

test('what became of a job and why its pods ended stands in events, for as long as events live', async () => {
  const site = batchSite({ sim: { controllers: { delays: { jobMs: 3_600_000 } } } })
  const events = async (): Promise<readonly string[]> => {
    const { items } = await site.cluster.list({ apiVersion: 'v1', kind: 'Event', namespace: 'shop' }, SIGNAL)
    const lines = items.map((event) => {
      const { kind, name } = event['involvedObject'] as { readonly kind: string; readonly name: string }
      const { type, reason, message } = event as unknown as Readonly<Record<string, string>>
      return `${type} ${reason} ${kind}/${name} ${message}`
    })
    return lines.toSorted()
  }
  await site.publish(batchJob('train', { timeLimit: '1m' }))
  await site.pass(90_000)
  expect(await events()).toEqual([
    'Normal Started BatchJob/train its pods run',
    'Normal Stopped Pod/train-main-0 its time limit is reached',
    'Normal SuccessfulCreate BatchJob/train Created pod: train-main-0',
    'Warning TimeLimit BatchJob/train its time limit is reached',
  ])
  const { items } = await site.cluster.list({ apiVersion: 'v1', kind: 'Event', namespace: 'shop' }, SIGNAL)
  // By it kubectl describe finds what is said of the pod.
  expect(items.find(({ reason }) => reason === 'Stopped')).toMatchObject({
    involvedObject: { uid: expect.stringMatching(/./) },
  })
  await site.pass(2 * 3_600_000)
  expect(await events()).toEqual([])
})

test('a team`s job has the rights of its account and no more', async () => {
  const site = batchSite()
  await site.cluster.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } }, {}, SIGNAL)
  site.hub.publish({ 'batchjob.train': { objects: [batchJob('train')], rules: { serviceAccount: 'shop/runner' } } })
  await site.agent.exchange(SIGNAL)
  await site.pass(5_000)
  expect(site.made).toEqual([])
  const seen = site.agent.status().workloads.find(({ workload }) => workload === 'batchjob.train')
  expect(seen?.objects[0]?.reason).toBe('Forbidden')
  const metadata = { name: 'runner', namespace: 'shop' }
  const rules = [{ apiGroups: [''], resources: ['pods'], verbs: ['*'] }]
  await site.cluster.create({ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata, rules }, {}, SIGNAL)
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'runner' }
  const subjects = [{ kind: 'ServiceAccount', ...metadata }]
  await site.cluster.create({ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', metadata, roleRef, subjects }, {}, SIGNAL) // prettier-ignore
  await site.pass(30 * MINUTE)
  expect(await site.pods()).toEqual(['train-main-0 Succeeded'])
  expect(site.health('batchjob.train')).toBe('Synced Healthy')
})

const SCRIPT = '#!/bin/sh\n#SBATCH --container-image=task:1\ntrue\n'
const submit = (name: string, ...options: readonly string[]) => ({ op: 'submit', script: SCRIPT, name, options, args: [], user: 'ida' }) as const // prettier-ignore
const conditionOf = (site: BatchSite, type: string): string => {
  const found = site.agent.status().conditions.find((one) => one.type === type)
  return found === undefined ? 'none' : `${found.reason}: ${found.message}`
}

test('a job that is submitted to a team`s queue has the rights of the queue`s account, and is where that is at home', async () => {
  const site = batchSite()
  site.hub.publish({ 'batchqueue.night': { objects: [queue('night')], rules: { serviceAccount: 'lab/runner' } } })
  await site.agent.exchange(SIGNAL)
  await site.pass(1_000)
  await site.agent.askBatch(submit('mine', '-p', 'night'))
  await site.agent.askBatch(submit('other'))
  // scancel knows jobs by their name alone, wherever they are.
  expect(await site.agent.askBatch(submit('mine'))).toMatchObject({ job: 'mine-2' })
  const rows = [...site.agent.batch.state().journal.jobs().values()]
  expect(rows.map(({ account, record }) => `${record.namespace}/${record.name} ${account}`)).toEqual([
    'lab/mine lab/runner',
    'default/other ',
    'default/mine-2 ',
  ])
})

test('rights that are lacking are a condition of the site until nothing needs them', async () => {
  const refuse = new Fault('Forbidden', 'pods is forbidden')
  const site = batchSite({
    sim: { interfere: ({ verb, kind }) => (verb === 'create' && kind === 'Pod' ? { refuse } : undefined) },
  })
  await site.publish(batchJob('a'), batchJob('b'))
  await site.pass(2_000)
  expect(conditionOf(site, 'Batch')).toBe('Forbidden: job shop/a and 1 more: pods is forbidden')
  await site.publish()
  await site.pass(2_000)
  expect(conditionOf(site, 'Batch')).toBe('none')
})

test('an API server that is not heard of is a condition of jobs and scheduler, after a while and not at once', async () => {
  const site = batchSite({ agent: { scheduler: 'on' }, sim: { controllers: { delays: { jobMs: 5 * MINUTE } } } })
  await site.publish(batchJob('a'))
  await site.pass(2_000)
  site.cluster.power('down')
  await site.pass(2_000)
  expect(conditionOf(site, 'Batch')).toBe('none')
  await site.pass(20_000)
  expect(conditionOf(site, 'Batch')).toMatch(/^Unreachable: /)
  expect(conditionOf(site, 'Scheduler')).toMatch(/^Unreachable: /)
  site.cluster.power('up')
  await site.pass(MINUTE)
  expect(conditionOf(site, 'Batch')).toBe('none')
  expect(conditionOf(site, 'Scheduler')).toBe('none')
})

describe('a pause', () => {
  test('makes and ends nothing, calls what runs as it is, and what is new waiting for its end', async () => {
    const site = batchSite({ sim: { controllers: { delays: { jobMs: 30_000 } } } })
    await site.publish(batchJob('old', { timeLimit: '20s' }))
    await site.pass(3_000)
    site.agent.desk.say({ kind: 'pause', by: 'kim', reason: 'a disk', forMs: null })
    await site.pass(2_000)
    await site.publish(batchJob('old', { timeLimit: '20s' }), batchJob('new'))
    await site.agent.askBatch(submit('asked'))
    await site.pass(25_000)
    expect(site.made).toEqual(['old-main-0'])
    expect(await site.pods()).toEqual(['old-main-0 Running'])
    expect(site.health('batchjob.old')).toBe('Synced Healthy')
    expect(site.health('batchjob.new')).toMatch(/^Waiting .*Paused/)
    site.agent.desk.say({ kind: 'resume', by: 'kim', workload: null })
    await site.pass(5_000)
    expect(site.made).toContain('new-main-0')
    expect(site.health('batchjob.old')).toBe('Synced Degraded')
  })

  test('and a lease that is another`s hold for what was submitted to a site that has no manifest', async () => {
    const site = batchSite({ lease: { state: () => ({ held: 'no', by: 'other', because: 'other has it' }) } })
    await site.agent.askBatch(submit('asked'))
    await site.pass(5_000)
    expect(site.made).toEqual([])
  })
})

describe('jobs that wait for jobs', () => {
  test('afterok, afternotok, and one that can never come', async () => {
    const site = batchSite()
    await site.publish(
      batchJob('good'),
      batchJob('bad', { tasks: [task('main', 1, 'task:fail')] }),
      batchJob('then', { dependency: [{ afterok: ['good'] }] }),
      batchJob('else', { dependency: [{ afternotok: ['bad'] }] }),
      batchJob('never', { dependency: [{ afterok: ['bad'] }] }),
    )
    await site.pass(10_000)
    expect(site.made.toSorted()).toEqual(['bad-main-0', 'else-main-0', 'good-main-0', 'then-main-0'])
    expect(site.made.indexOf('then-main-0')).toBeGreaterThan(site.made.indexOf('good-main-0'))
    expect(site.health('batchjob.never')).toBe(
      'Waiting Progressing Dependency(afterok:bad, which is Failed: never satisfied)',
    )
  })

  test('in a circle say so, and the others go on', async () => {
    const site = batchSite()
    await site.publish(
      batchJob('a', { dependency: [{ afterok: ['b'] }] }),
      batchJob('b', { dependency: [{ afterok: ['a'] }] }),
      batchJob('c'),
    )
    await site.pass(5_000)
    expect(site.made).toEqual(['c-main-0'])
    expect(site.health('batchjob.a')).toMatch(/circle/)
  })
})

describe('queues', () => {
  test('held: nothing new starts, what runs goes on; drained: it waits again, at no cost', async () => {
    const site = batchSite({ sim: { controllers: { delays: { jobMs: 60_000 } } } })
    await site.publish(queue('night'), batchJob('early', { queue: 'night' }))
    await site.pass(3_000)
    await site.publish(queue('night', { stopPolicy: 'Hold' }), batchJob('early', { queue: 'night' }), batchJob('late', { queue: 'night' })) // prettier-ignore
    await site.pass(3_000)
    expect(await site.pods()).toEqual(['early-main-0 Running'])
    expect(site.health('batchjob.late')).toBe('Waiting Progressing Hold(queue night is held)')
    await site.publish(queue('night', { stopPolicy: 'HoldAndDrain' }), batchJob('early', { queue: 'night' }), batchJob('late', { queue: 'night' })) // prettier-ignore
    await site.pass(3_000)
    expect(await site.pods()).toEqual([])
    await site.publish(queue('night'), batchJob('early', { queue: 'night' }), batchJob('late', { queue: 'night' }))
    await site.pass(3 * MINUTE)
    expect(await site.pods()).toEqual(['early-main-0 Succeeded', 'late-main-0 Succeeded'])
    expect(site.made).toHaveLength(3)
  })

  test('gone while its job runs: the job goes on, and the next one says why it waits', async () => {
    const site = batchSite({ sim: { controllers: { delays: { jobMs: 20_000 } } } })
    await site.publish(queue('night'), batchJob('early', { queue: 'night' }))
    await site.pass(3_000)
    await site.publish(batchJob('early', { queue: 'night' }), batchJob('late', { queue: 'night' }))
    await site.pass(MINUTE)
    expect(await site.pods()).toEqual(['early-main-0 Succeeded'])
    expect(site.health('batchjob.late')).toBe('Waiting Progressing Hold(queue night is not on this site)')
  })

  test('in a circle: their jobs wait, those of others go on', async () => {
    const site = batchSite()
    await site.publish(queue('a', { parent: 'b' }), queue('b', { parent: 'a' }), batchJob('x', { queue: 'a' }), batchJob('y')) // prettier-ignore
    await site.pass(5_000)
    expect(site.made).toEqual(['y-main-0'])
    expect(site.health('batchqueue.a')).toMatch(/Degraded/)
    expect(site.health('batchjob.x')).toMatch(/HeldByError\(queue a: its parents run in a circle: a -> b -> a\)/)
  })
})

describe('what is done to a site while jobs run', () => {
  const NODES = [
    { name: 'n1', capacity: { cpu: '4', memory: '8Gi', pods: '20' } },
    { name: 'n2', capacity: { cpu: '4', memory: '8Gi', pods: '20' } },
  ]
  const heavy = (replicas: number): JsonObject => {
    const containers = [{ name: 'main', image: 'task:1', resources: { requests: { cpu: '2' } } }]
    return { ...task('main', replicas), template: { spec: { schedulerName: 'default-scheduler', containers } } }
  }

  test('a node vanishes in the middle of a gang: its pods are made anew elsewhere, and it costs no retry', async () => {
    const site = batchSite({ sim: { controllers: { nodes: NODES, delays: { jobMs: 2 * MINUTE } } } })
    await site.publish(batchJob('train', { tasks: [heavy(2)], maxRetry: 1 }))
    await site.pass(3_000)
    const nodeOf = async (): Promise<readonly string[]> => {
      const { items } = await site.cluster.list({ apiVersion: 'v1', kind: 'Pod', namespace: 'shop' }, SIGNAL)
      return items.map(({ spec }) => (spec as { readonly nodeName?: string }).nodeName ?? '')
    }
    expect((await nodeOf()).every((node) => node !== '')).toBe(true)
    const [lost = ''] = await nodeOf()
    await site.cluster.delete({ apiVersion: 'v1', kind: 'Node' }, { group: '', kind: 'Node', namespace: '', name: lost }, {}, SIGNAL) // prettier-ignore
    await site.pass(MINUTE)
    expect(new Set(await nodeOf())).toEqual(new Set(['n1', 'n2'].filter((name) => name !== lost)))
    await site.pass(5 * MINUTE)
    expect(await site.pods()).toEqual(['train-main-0 Succeeded', 'train-main-1 Succeeded'])
    expect(site.health('batchjob.train')).toBe('Synced Healthy')
  })

  test('a job larger than the site waits and says so; the next one goes on', async () => {
    const site = batchSite({ sim: { controllers: { nodes: NODES } } })
    await site.publish(batchJob('huge', { tasks: [heavy(9)] }), batchJob('small'))
    await site.pass(5_000)
    expect(site.health('batchjob.small')).toBe('Synced Healthy')
    expect(site.health('batchjob.huge')).toMatch(/^Waiting Progressing Capacity/)
  })

  test('the API server is away for long: nothing is taken for gone, and the job is finished after it', async () => {
    const site = batchSite({ sim: { controllers: { delays: { jobMs: 5 * MINUTE } } } })
    await site.publish(batchJob('train'))
    await site.pass(3_000)
    site.cluster.power('down')
    await site.pass(2 * MINUTE)
    site.cluster.power('up')
    await site.pass(10 * MINUTE)
    expect(site.made).toEqual(['train-main-0'])
    expect(site.health('batchjob.train')).toBe('Synced Healthy')
  })

  test('a pod that somebody deletes is made again', async () => {
    const site = batchSite({ sim: { controllers: { delays: { jobMs: MINUTE } } } })
    await site.publish(batchJob('train'))
    await site.pass(3_000)
    const ref = { group: '', kind: 'Pod', namespace: 'shop', name: 'train-main-0' }
    await site.cluster.delete({ apiVersion: 'v1', kind: 'Pod' }, ref, { gracePeriodSeconds: 0 }, SIGNAL)
    await site.pass(3 * MINUTE)
    expect(site.made).toEqual(['train-main-0', 'train-main-0'])
    expect(await site.pods()).toEqual(['train-main-0 Succeeded'])
  })
})
