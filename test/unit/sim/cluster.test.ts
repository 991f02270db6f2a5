import { expect, test } from 'vitest'
import { Fault } from '../../../src/core/model/fault.ts'
import { refOf, type Manifest } from '../../../src/core/model/object.ts'
import { newSite, signal, status, workload } from './site.ts'

const settings: Manifest = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'settings', namespace: 'default' },
  data: { a: '1' },
}

test('a refused request does nothing; one whose answer is lost was done', async () => {
  const site = newSite()
  site.cluster.interfere((request) =>
    request.verb === 'apply' ? { refuse: new Fault('Throttled', 'slow down', { retryAfterMs: 1000 }) } : undefined,
  )
  await expect(site.apply(settings)).rejects.toMatchObject({ reason: 'Throttled', retryAfterMs: 1000 })
  expect(await site.get(settings)).toBeUndefined()
  site.cluster.interfere((request) =>
    request.verb === 'apply' ? { loseAnswer: new Fault('OutcomeUnknown', 'cut') } : undefined,
  )
  await expect(site.apply(settings)).rejects.toMatchObject({ reason: 'OutcomeUnknown' })
  expect(await site.get(settings)).toMatchObject({ data: { a: '1' } })
})

test('a cluster without power is unreachable, ends its watches, and is as it was when it comes back', async () => {
  const site = newSite()
  await site.clock.advance(100)
  const made = await site.apply(settings)
  const watching = (async () => {
    for await (const event of site.cluster.watch(settings, made.metadata.resourceVersion as string, signal))
      expect(event).toBeUndefined()
  })()
  await site.clock.advance(10)
  site.cluster.power('down')
  await expect(watching).rejects.toMatchObject({ reason: 'Unreachable' })
  await expect(site.get(settings)).rejects.toMatchObject({ reason: 'Unreachable' })
  site.cluster.power('up')
  expect(await site.get(settings)).toEqual(made)
})

test('requests take the time they are given, and are counted by verb', async () => {
  const site = newSite({ latencyMs: 50 })
  let done = false
  void site.apply(settings).then(() => {
    done = true
  })
  await site.clock.advance(49)
  expect(done).toBe(false)
  await site.clock.advance(1)
  expect(done).toBe(true)
  expect(site.cluster.requests).toEqual({ apply: 1 })
})

test('by hand nothing moves until it is told to', async () => {
  const site = newSite({ controllers: { drive: 'manual' } })
  const web = workload('Deployment', 'web:1', { replicas: 1 })
  await site.apply(web)
  await site.clock.advance(60_000)
  expect(status(await site.get(web))['replicas']).toBeUndefined()
  for (let i = 0; i < 40 && site.cluster.nextDueMs !== undefined; i++) {
    await site.clock.advance(Math.max(0, site.cluster.nextDueMs - site.clock.monotonicMs()))
    site.cluster.tick()
  }
  expect(status(await site.get(web))).toMatchObject({ readyReplicas: 1 })
})

test('an own scheduler places what it wants where it wants', async () => {
  const capacity = { cpu: '4', memory: '8Gi', pods: '10' }
  const nodes = ['a', 'b'].map((name) => ({ name, capacity }))
  const site = newSite({ controllers: { nodes, schedule: () => 'b' } })
  await site.apply(workload('Deployment', 'web:1', { replicas: 2 }))
  await site.clock.advance(5_000)
  const places = (await site.all('Pod')).map((pod) => (pod['spec'] as { nodeName?: string }).nodeName)
  expect(places).toEqual(['b', 'b'])
})

test('a claim in use stays until its pod is gone', async () => {
  const site = newSite()
  const claim: Manifest = {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: 'data', namespace: 'default' },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  }
  const web = workload(
    'Deployment',
    'web:1',
    { replicas: 1 },
    { volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }] },
  )
  await site.apply(claim)
  await site.apply(web)
  await site.clock.advance(5_000)
  expect(await site.remove(claim)).toBe('terminating')
  await site.clock.advance(5_000)
  expect(await site.get(claim)).toBeDefined()
  await site.remove(web)
  await site.clock.advance(5_000)
  expect(await site.get(claim)).toBeUndefined()
})

test('a disruption budget with nothing left refuses evictions', async () => {
  const site = newSite()
  await site.apply(workload('Deployment', 'web:1', { replicas: 2 }))
  await site.apply({
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: 'web', namespace: 'default' },
    spec: { minAvailable: 2, selector: { matchLabels: { app: 'web' } } },
  })
  await site.clock.advance(5_000)
  const pod = (await site.all('Pod'))[0] as Manifest
  const evict = site.cluster.subresource(pod, refOf(pod), 'eviction', {}, signal)
  await expect(evict).rejects.toMatchObject({ reason: 'Throttled', facts: { cause: 'DisruptionBudget' } })
  const budget = { group: 'policy', kind: 'PodDisruptionBudget', namespace: 'default', name: 'web' }
  const read = await site.cluster.get({ apiVersion: 'policy/v1', kind: 'PodDisruptionBudget' }, budget, signal)
  expect(status(read)).toMatchObject({ expectedPods: 2, currentHealthy: 2, desiredHealthy: 2, disruptionsAllowed: 0 })
})

test('what is watched quietly gets a bookmark to go on from', async () => {
  const site = newSite({ controllers: 'off' })
  const { resourceVersion } = await site.cluster.list({ apiVersion: 'v1', kind: 'Secret' }, signal)
  const secrets = { apiVersion: 'v1', kind: 'Secret' }
  const reading = site.cluster.watch(secrets, resourceVersion, signal)
  const next = reading.next()
  await site.clock.advance(1)
  for (let i = 0; i < 60; i++) await site.apply({ ...settings, data: { i: String(i) } })
  const { value } = await next
  expect(value).toMatchObject({ type: 'bookmark' })
  expect(Number((value as { resourceVersion: string }).resourceVersion)).toBeGreaterThan(Number(resourceVersion))
  await reading.return(undefined)
})
