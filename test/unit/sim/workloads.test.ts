import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../../src/core/model/json.ts'
import type { Manifest } from '../../../src/core/model/object.ts'
import { conditions, containerState, newSite, signal, status, workload, type Site } from './site.ts'

describe('a Deployment', () => {
  test('gets its pods, is ready after the time they take, and says so', async () => {
    const site = newSite()
    const web = workload('Deployment', 'web:1', { replicas: 3 })
    await site.apply(web)
    await site.clock.advance(100)
    expect(status(await site.get(web))).toMatchObject({ observedGeneration: 1, replicas: 3, unavailableReplicas: 3 })
    expect(conditions(await site.get(web))).toMatchObject({
      Available: 'False MinimumReplicasUnavailable',
      Progressing: 'True ReplicaSetUpdated',
    })
    await site.clock.advance(2_000)
    expect(status(await site.get(web))).toMatchObject({
      replicas: 3,
      updatedReplicas: 3,
      readyReplicas: 3,
      availableReplicas: 3,
    })
    expect(conditions(await site.get(web))).toMatchObject({
      Available: 'True MinimumReplicasAvailable',
      Progressing: 'True NewReplicaSetAvailable',
    })
    expect(site.clock.nextDueMs).toBeUndefined()
  })

  test.each([
    ['25% each of 4', 4, { maxSurge: '25%', maxUnavailable: '25%' }, { most: 5, least: 3 }],
    ['surge only', 3, { maxSurge: 1, maxUnavailable: 0 }, { most: 4, least: 3 }],
    ['no surge', 3, { maxSurge: 0, maxUnavailable: 1 }, { most: 3, least: 2 }],
  ])('rolls within its limits: %s', async (_sentence, replicas, rollingUpdate, limits) => {
    const site = newSite()
    const spec = { replicas, strategy: { type: 'RollingUpdate', rollingUpdate } }
    await site.apply(workload('Deployment', 'web:1', spec))
    await site.clock.advance(5_000)
    const web = workload('Deployment', 'web:2', spec)
    await site.apply(web)
    for (let ms = 0; ms < 10_000; ms += 20) {
      await site.clock.advance(20)
      const pods = (await site.all('Pod')).filter((pod) => pod.metadata.deletionTimestamp === undefined)
      expect(pods.length).toBeLessThanOrEqual(limits.most)
      expect(pods.filter((pod) => conditions(pod)['Ready'] === 'True').length).toBeGreaterThanOrEqual(limits.least)
    }
    expect(status(await site.get(web))).toMatchObject({
      observedGeneration: 2,
      updatedReplicas: replicas,
      readyReplicas: replicas,
    })
    expect(imagesOf(await site.all('Pod'))).toEqual(Array(replicas).fill('web:2'))
    expect((await site.get(web))?.metadata.annotations).toEqual({ 'deployment.kubernetes.io/revision': '2' })
  })

  test('Recreate has no two revisions at once', async () => {
    const site = newSite()
    const spec = { replicas: 2, strategy: { type: 'Recreate' } }
    await site.apply(workload('Deployment', 'web:1', spec))
    await site.clock.advance(5_000)
    await site.apply(workload('Deployment', 'web:2', spec))
    for (let ms = 0; ms < 5_000; ms += 20) {
      await site.clock.advance(20)
      const live = (await site.all('Pod')).filter((pod) => pod.metadata.deletionTimestamp === undefined)
      expect(new Set(imagesOf(live)).size).toBeLessThanOrEqual(1)
    }
    expect(imagesOf(await site.all('Pod'))).toEqual(['web:2', 'web:2'])
  })

  test('an image that is missing keeps the old pods, and exceeds the progress deadline', async () => {
    const site = newSite()
    await site.apply(workload('Deployment', 'web:1', { replicas: 2 }))
    await site.clock.advance(5_000)
    const web = workload('Deployment', 'web:broken', { replicas: 2, progressDeadlineSeconds: 60 })
    await site.apply(web)
    await site.clock.advance(30_000)
    expect(conditions(await site.get(web))).toMatchObject({
      Available: 'True MinimumReplicasAvailable',
      Progressing: 'True ReplicaSetUpdated',
    })
    expect((await site.all('Pod')).map((pod) => containerState(pod)).toSorted()).toEqual([
      'ImagePullBackOff',
      'running',
      'running',
    ])
    await site.clock.advance(60_000)
    expect(conditions(await site.get(web))['Progressing']).toBe('False ProgressDeadlineExceeded')
    await site.apply(workload('Deployment', 'web:1', { replicas: 2, progressDeadlineSeconds: 60 }))
    await site.clock.advance(5_000)
    expect(conditions(await site.get(web))['Progressing']).toBe('True NewReplicaSetAvailable')
    expect(imagesOf(await site.all('Pod'))).toEqual(['web:1', 'web:1'])
  })

  test('a container that crashes goes to and fro between ready and CrashLoopBackOff, ever slower', async () => {
    const site = newSite()
    const web = workload('Deployment', 'web:crashloop', { replicas: 1 })
    await site.apply(web)
    const seen: string[] = []
    for (let ms = 0; ms < 60_000; ms += 100) {
      await site.clock.advance(100)
      const state = containerState((await site.all('Pod'))[0])
      if (state !== seen.at(-1)) seen.push(state)
    }
    expect(seen.slice(0, 6)).toEqual([
      'ContainerCreating',
      'running',
      'CrashLoopBackOff',
      'running',
      'CrashLoopBackOff',
      'running',
    ])
    const restarts = (
      (status((await site.all('Pod'))[0])['containerStatuses'] as readonly JsonObject[])[0] as JsonObject
    )['restartCount']
    expect(restarts).toBe(3)
  })

  test('a second look changes nothing: no pod is made anew for a label of the Deployment', async () => {
    const site = newSite()
    const web = workload('Deployment', 'web:1', { replicas: 2 })
    await site.apply(web)
    await site.clock.advance(5_000)
    const before = uidsOf(await site.all('Pod'))
    await site.apply({ ...web, metadata: { ...web.metadata, labels: { team: 'kitchen' } } })
    await site.clock.advance(5_000)
    expect(uidsOf(await site.all('Pod'))).toEqual(before)
  })

  test('a pod that goes is replaced; the Deployment takes all along when it goes', async () => {
    const site = newSite()
    const web = workload('Deployment', 'web:1', { replicas: 2 })
    await site.apply(web)
    await site.clock.advance(5_000)
    const [first] = await site.all('Pod')
    expect(await site.remove(first as Manifest)).toBe('terminating')
    await site.clock.advance(5_000)
    expect(uidsOf(await site.all('Pod'))).not.toContain(first?.metadata.uid)
    expect(status(await site.get(web))).toMatchObject({ readyReplicas: 2 })
    await site.remove(web)
    await site.clock.advance(5_000)
    expect(await site.all('Pod')).toEqual([])
    expect(await site.all('ReplicaSet')).toEqual([])
  })

  test('pods for which no node has room stay pending, and start when there is room', async () => {
    const site = newSite({
      controllers: { nodes: [{ name: 'small', capacity: { cpu: '1', memory: '1Gi', pods: '10' } }] },
    })
    const spec = { containers: [{ name: 'web', image: 'web:1', resources: { requests: { cpu: '600m' } } }] }
    const web = workload('Deployment', 'web:1', { replicas: 2 }, spec)
    await site.apply(web)
    await site.clock.advance(5_000)
    expect(status(await site.get(web))).toMatchObject({ replicas: 2, readyReplicas: 1 })
    const pending = (await site.all('Pod')).find((pod) => status(pod)['phase'] === 'Pending')
    expect(conditions(pending)).toEqual({ PodScheduled: 'False Unschedulable' })
    await site.cluster.patch(
      { apiVersion: 'v1', kind: 'Node' },
      { group: '', kind: 'Node', namespace: '', name: 'small' },
      { metadata: { labels: { grown: 'yes' } } },
      {},
      signal,
    )
    await site.cluster.subresource(
      { apiVersion: 'v1', kind: 'Node' },
      { group: '', kind: 'Node', namespace: '', name: 'small' },
      'status',
      { status: { allocatable: { cpu: '2' } } },
      signal,
    )
    await site.clock.advance(5_000)
    expect(status(await site.get(web))).toMatchObject({ readyReplicas: 2 })
  })
})

describe('a StatefulSet', () => {
  test('starts in order, with claims of its own that outlive it', async () => {
    const site = newSite()
    const template = {
      metadata: { name: 'data' },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    }
    const db = workload('StatefulSet', 'db:1', { replicas: 3, serviceName: 'db', volumeClaimTemplates: [template] })
    await site.apply(db)
    const order = await readyOrder(site, 3)
    expect(order).toEqual(['web-0', 'web-1', 'web-2'])
    expect(status(await site.get(db))).toMatchObject({
      replicas: 3,
      readyReplicas: 3,
      updatedReplicas: 3,
      observedGeneration: 1,
    })
    const claims = await site.all('PersistentVolumeClaim')
    expect(claims.map((claim) => [claim.metadata.name, status(claim)['phase']])).toEqual([
      ['data-web-0', 'Bound'],
      ['data-web-1', 'Bound'],
      ['data-web-2', 'Bound'],
    ])
    await site.remove(db)
    await site.clock.advance(5_000)
    expect(await site.all('Pod')).toEqual([])
    expect(await site.all('PersistentVolumeClaim')).toHaveLength(3)
  })

  test('updates the highest number first, one at a time, down to its partition', async () => {
    const site = newSite()
    await site.apply(workload('StatefulSet', 'db:1', { replicas: 3 }))
    await site.clock.advance(5_000)
    const updateStrategy = { type: 'RollingUpdate', rollingUpdate: { partition: 1 } }
    const db = workload('StatefulSet', 'db:2', { replicas: 3, updateStrategy })
    await site.apply(db)
    for (let ms = 0; ms < 5_000; ms += 50) {
      await site.clock.advance(50)
      const ready = (await site.all('Pod')).filter(
        (pod) => conditions(pod)['Ready'] === 'True' && pod.metadata.deletionTimestamp === undefined,
      )
      expect(ready.length).toBeGreaterThanOrEqual(2)
    }
    expect(imagesOf(await site.all('Pod'))).toEqual(['db:1', 'db:2', 'db:2'])
    expect(status(await site.get(db))).toMatchObject({ updatedReplicas: 2, readyReplicas: 3 })
  })
})

describe('a DaemonSet', () => {
  test('has a pod on each node that it selects, and replaces them one by one', async () => {
    const capacity = { cpu: '4', memory: '8Gi', pods: '10' }
    const nodes = ['a', 'b', 'c'].map((name) => ({ name, capacity, labels: { role: name === 'c' ? 'edge' : 'core' } }))
    const site = newSite({ controllers: { nodes } })
    const spec = { nodeSelector: { role: 'core' } }
    await site.apply(workload('DaemonSet', 'agent:1', {}, spec))
    await site.clock.advance(5_000)
    const set = workload('DaemonSet', 'agent:2', {}, spec)
    expect(status(await site.get(set))).toMatchObject({
      desiredNumberScheduled: 2,
      numberReady: 2,
      numberAvailable: 2,
      updatedNumberScheduled: 2,
    })
    await site.apply(set)
    await site.clock.advance(10_000)
    expect(imagesOf(await site.all('Pod'))).toEqual(['agent:2', 'agent:2'])
    expect(status(await site.get(set))).toMatchObject({
      observedGeneration: 2,
      updatedNumberScheduled: 2,
      numberAvailable: 2,
    })
  })
})

describe('a Job', () => {
  test('completes once, keeps its pods, and goes after its time to live', async () => {
    const site = newSite()
    const job = workload(
      'Job',
      'batch:1',
      { completions: 3, parallelism: 2, ttlSecondsAfterFinished: 60 },
      { restartPolicy: 'Never' },
    )
    await site.apply(job)
    await site.clock.advance(10_000)
    expect(status(await site.get(job))).toMatchObject({ succeeded: 3 })
    expect(conditions(await site.get(job))).toMatchObject({ Complete: 'True CompletionsReached' })
    expect(await site.all('Pod')).toHaveLength(3)
    await site.clock.advance(61_000)
    expect(await site.get(job)).toBeUndefined()
    expect(await site.all('Pod')).toEqual([])
  })

  test('fails when its pods failed too often', async () => {
    const site = newSite()
    const job = workload('Job', 'batch:fail', { backoffLimit: 2 }, { restartPolicy: 'Never' })
    await site.apply(job)
    await site.clock.advance(60_000)
    expect(status(await site.get(job))['failed']).toBe(3)
    expect(conditions(await site.get(job))).toMatchObject({ Failed: 'True BackoffLimitExceeded' })
  })

  test('that is suspended makes no pods until it is not', async () => {
    const site = newSite()
    const job = workload('Job', 'batch:1', { suspend: true }, { restartPolicy: 'Never' })
    await site.apply(job)
    await site.clock.advance(5_000)
    expect(await site.all('Pod')).toEqual([])
    expect(conditions(await site.get(job))).toEqual({ Suspended: 'True JobSuspended' })
    await site.apply(workload('Job', 'batch:1', { suspend: false }, { restartPolicy: 'Never' }))
    await site.clock.advance(10_000)
    expect(conditions(await site.get(job))).toMatchObject({ Complete: 'True CompletionsReached' })
  })
})

test('the same seed and the same requests give the same objects, byte for byte', async () => {
  const run = async (): Promise<string> => {
    const site = newSite({ seed: 42 })
    await site.apply(workload('Deployment', 'web:1', { replicas: 3 }))
    await site.clock.advance(700)
    await site.apply(workload('Deployment', 'web:2', { replicas: 2 }))
    await site.clock.advance(10_000)
    return JSON.stringify([await site.all('Pod'), await site.all('ReplicaSet'), await site.all('Deployment')])
  }
  expect(await run()).toBe(await run())
})

function imagesOf(pods: readonly Manifest[]): readonly string[] {
  return pods.map(
    (pod) => (((pod['spec'] as JsonObject)['containers'] as readonly JsonObject[])[0] as JsonObject)['image'] as string,
  )
}

function uidsOf(pods: readonly Manifest[]): readonly (string | undefined)[] {
  return pods.map((pod) => pod.metadata.uid)
}

async function readyOrder(site: Site, count: number): Promise<readonly string[]> {
  const seen: string[] = []
  for (let ms = 0; ms < 10_000 && seen.length < count; ms += 50) {
    await site.clock.advance(50)
    for (const pod of await site.all('Pod'))
      if (conditions(pod)['Ready'] === 'True' && !seen.includes(pod.metadata.name)) seen.push(pod.metadata.name)
  }
  return seen
}
