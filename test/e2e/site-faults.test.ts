/** Bad days of an API server, a real one: what each fault holds up, what it does not, and that all of it converges afterwards. */
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Manifest } from '../../src/core/model/object.ts'
import { startControlPlane, type ControlPlane } from '../kube/control-plane.ts'
import { first, startFaultProxy, type FaultProxy, type Ill } from '../kube/fault-proxy.ts'
import { configMap, deployment, job, SIGNAL } from '../unit/agent/site.ts'
import { eventually } from './fleet.ts'
import { liveSite, type LiveSite } from './site-rig.ts'

let plane: ControlPlane
let proxy: FaultProxy
const sites: LiveSite[] = []

beforeAll(async () => {
  plane = await startControlPlane()
  proxy = await startFaultProxy(plane.kubeconfig)
  await plane.kubectl('create', 'namespace', 'shop')
})
afterEach(() => proxy.judge(() => undefined))
afterAll(async () => {
  for (const site of sites) await site[Symbol.asyncDispose]()
  await proxy?.[Symbol.asyncDispose]()
  await plane?.stop()
})

async function siteOf(set: string, timeoutMs = 30_000): Promise<LiveSite> {
  const site = await liveSite(plane.kubeconfig, { set: `set-${set}`, credentials: proxy.credentials, timeoutMs })
  sites.push(site)
  return site
}

const said = (
  site: LiveSite,
  name: string,
  workload = 'till',
): { readonly reason: string; readonly message: string } | undefined =>
  site.workload(workload).objects.find(({ ref }) => ref.name === name)

const service = (name: string, spec: Manifest['spec'] = {}): Manifest => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop' },
  spec: { selector: { app: name }, ports: [{ port: 80 }], ...(spec as object) },
})

test('a webhook that is down holds up its own kind and nothing else, and is asked again until it is back', async () => {
  const hook = {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: 'nobody' },
    webhooks: [
      {
        name: 'secrets.nobody.example',
        clientConfig: { url: 'https://127.0.0.1:1/validate' },
        rules: [{ operations: ['CREATE', 'UPDATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['secrets'] }],
        failurePolicy: 'Fail',
        sideEffects: 'None',
        timeoutSeconds: 1,
        admissionReviewVersions: ['v1'],
      },
    ],
  }
  const file = join(plane.dir, 'hook.json')
  await writeFile(file, JSON.stringify(hook))
  await plane.kubectl('apply', '-f', file)
  const secret: Manifest = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'hooked', namespace: 'shop' },
    stringData: { a: '1' },
  }
  const site = await siteOf('webhook')
  await eventually('the webhook is asked', async () => {
    await site.publish({ till: { objects: [secret, configMap('hooked'), deployment('hooked')] } })
    await site.turns(2)
    return said(site, 'hooked')?.reason === 'WebhookFailed'
  })
  expect(said(site, 'hooked')?.message).toContain('secrets.nobody.example')
  expect(await site.live(configMap('hooked'))).toBeDefined()
  expect(await site.live(deployment('hooked'))).toBeDefined()
  await plane.kubectl('delete', '-f', file)
  await eventually('the secret is made', async () => {
    await site.agent.turn(SIGNAL)
    return (await site.live(secret)) !== undefined
  })
}, 60_000)

describe('an answer to a write that is no success, for one object of three', () => {
  const write = (name: string) => (method: string, path: string) => method === 'PATCH' && path.endsWith(`/${name}`)
  const status = (reason: string, message: string): object => ({ reason, message })
  test.each<[string, Ill, string]>([
    ['409', { answer: 409, body: status('Conflict', 'the object has been modified') }, 'conflict'],
    [
      '429 with Retry-After',
      { answer: 429, headers: { 'retry-after': '1' }, body: status('TooManyRequests', 'slow') },
      'slow',
    ],
    ['500', { answer: 500, body: status('InternalError', 'etcd is away') }, 'internal'],
    ['503 without a Status', { answer: 503 }, 'unavailable'],
    ['a connection that breaks', { broken: true }, 'broken'],
    ['a connection that breaks after the commit', { lost: 'cut' }, 'lost-cut'],
    ['a time-out after the commit', { lost: 'silent' }, 'lost-silent'],
  ])(
    '%s: the others are applied, and it is in the end, once',
    async (_name, ill, name) => {
      const site = await siteOf(name, 1_000)
      const neighbours = [configMap(`${name}-1`), configMap(`${name}-2`)]
      await site.publish({ till: { objects: [configMap(name), ...neighbours] } })
      proxy.judge(first(1, write(name), ill))
      const from = proxy.asked.length
      await site.agent.turn(SIGNAL).catch(() => undefined)
      if (!('answer' in ill && ill.answer === 429))
        for (const neighbour of neighbours) expect(await site.live(neighbour)).toBeDefined()
      await site.turns(20)
      expect(site.workload('till')).toMatchObject({ sync: 'Synced', counts: { objects: 3 } })
      const uid = (await site.live(configMap(name)))?.metadata.uid
      await site.turns(2)
      expect((await site.live(configMap(name)))?.metadata.uid).toBe(uid)
      expect(site.agent.status()).toMatchObject({ inventory: 3, counts: { deletes: 0 } })
      const sent = proxy.asked.slice(from).filter(({ what }) => what.startsWith('PATCH') && what.endsWith(`/${name}`))
      expect(sent.length).toBeGreaterThanOrEqual(1)
      expect(sent.length).toBeLessThanOrEqual(3)
      if ('answer' in ill && ill.answer === 429)
        expect((sent[1]?.atMs ?? 0) - (sent[0]?.atMs ?? 0)).toBeGreaterThanOrEqual(1_000)
    },
    60_000,
  )

  test('422: it says what is wrong, the others are applied, and it is not asked again and again', async () => {
    const site = await siteOf('refused')
    const bad = deployment('refused', 'till:1', { selector: { matchLabels: { app: 'another' } } })
    await site.tell({ till: { objects: [bad, configMap('beside'), service('beside')] } })
    expect(said(site, 'refused')?.reason).toBe('Rejected')
    expect(said(site, 'refused')?.message).toContain('spec.template.metadata.labels')
    expect(await site.live(configMap('beside'))).toBeDefined()
    expect(await site.live(service('beside'))).toBeDefined()
    const from = proxy.asked.length
    await site.turns(5)
    expect(proxy.asked.slice(from).filter(({ what }) => !what.startsWith('GET'))).toEqual([])
    // A corrected one goes through at once.
    await site.tell({ till: { objects: [deployment('refused'), configMap('beside'), service('beside')] } })
    expect(site.workload('till').sync).toBe('Synced')
  })
})

describe('a field that cannot change is named, and so is what would allow it', () => {
  const claims = (name: string, size: string): Manifest => ({
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name, namespace: 'shop' },
    spec: {
      serviceName: name,
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'main', image: 'db:1' }] } },
      volumeClaimTemplates: [
        {
          metadata: { name: 'data' },
          spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: size } } },
        },
      ],
    },
  })
  test.each<[string, string, string, Manifest, Manifest]>([
    [
      'the address of a Service',
      'address',
      'spec.clusterIP',
      service('address'),
      service('address', { clusterIP: 'None' }),
    ],
    ['the claims of a StatefulSet', 'claims', 'spec', claims('claims', '1Gi'), claims('claims', '2Gi')],
    [
      'the selector of a Deployment',
      'chosen',
      'spec.selector',
      deployment('chosen'),
      deployment('chosen', 'till:1', {
        selector: { matchLabels: { app: 'chosen', tier: 'a' } },
        template: {
          metadata: { labels: { app: 'chosen', tier: 'a' } },
          spec: { containers: [{ name: 'main', image: 'till:1' }] },
        },
      }),
    ],
  ])('%s', async (_what, name, field, before, after) => {
    const site = await siteOf(`immutable-${name}`)
    await site.tell({ till: { objects: [before, configMap(name)] } })
    const uid = (await site.live(before))?.metadata.uid
    await site.tell({ till: { objects: [after, configMap(name, { a: '2' })] } })
    expect(said(site, name)?.reason).toBe('ImmutableField')
    expect(said(site, name)?.message).toContain(field)
    expect(said(site, name)?.message).toContain('replace: onImmutable')
    expect(await site.live(configMap(name))).toMatchObject({ data: { a: '2' } })
    expect((await site.live(before))?.metadata.uid).toBe(uid)
    await site.tell({ till: { objects: [after, configMap(name, { a: '2' })], rules: { replace: 'onImmutable' } } })
    expect(site.workload('till').sync).toBe('Synced')
    expect((await site.live(before))?.metadata.uid).not.toBe(uid)
  })
})

test('a Job that completed is done: not made again after it is deleted, and a changed template runs once', async () => {
  const site = await siteOf('jobs')
  const object = job('migrate')
  await site.tell({ till: { objects: [object] } })
  const uid = (await site.live(object))?.metadata.uid
  const time = '2026-01-01T00:00:00Z'
  const condition = (type: string): object => ({ type, status: 'True', lastTransitionTime: time, lastProbeTime: time })
  const done = {
    startTime: time,
    completionTime: time,
    succeeded: 1,
    conditions: ['SuccessCriteriaMet', 'Complete'].map(condition),
  }
  const patch = JSON.stringify({ status: done })
  await plane.kubectl('-n', 'shop', 'patch', 'job/migrate', '--subresource=status', '--type=merge', '-p', patch)
  await site.turns(3)
  await plane.kubectl('-n', 'shop', 'delete', 'job/migrate')
  await site.turns(5)
  expect(await site.live(object)).toBeUndefined()
  expect(site.workload('till')).toMatchObject({ sync: 'Synced', health: 'Healthy' })
  // Neither does a new process, over the same store.
  site.restart(site.store)
  await site.turns(5)
  expect(await site.live(object)).toBeUndefined()
  await site.tell({ till: { objects: [job('migrate', 'task:2')] } })
  expect(await site.live(object)).toMatchObject({ spec: { template: { spec: { containers: [{ image: 'task:2' }] } } } })
  expect((await site.live(object))?.metadata.uid).not.toBe(uid)
}, 60_000)

describe('the API server goes away', () => {
  test('and nothing is to be done: it is said nevertheless, and that it came back', async () => {
    const site = await siteOf('quiet')
    await site.tell({ till: { objects: [configMap('quiet')] } })
    const stop = site.run()
    const away = (): boolean => site.agent.status().conditions.some(({ type }) => type === 'Cluster')
    await eventually('its watches are open', () => site.agent.status().requests.watches > 0)
    proxy.judge(() => ({ broken: true }))
    proxy.cutAll()
    await eventually('the site says that its cluster is away', away)
    proxy.judge(() => undefined)
    await eventually('it is back', () => !away())
    await stop()
  }, 120_000)

  test('killed and started again: what changed meanwhile is applied, and nothing is made anew', async () => {
    const site = await liveSite(plane.kubeconfig, { set: 'killed' })
    sites.push(site)
    const object = configMap('survives')
    await site.tell({ till: { objects: [object, deployment('survives')] } })
    const uid = (await site.live(deployment('survives')))?.metadata.uid
    const stop = site.run()
    await plane.cut()
    await site.publish({ till: { objects: [configMap('survives', { a: '2' }), deployment('survives')] } })
    await eventually('the site says that its cluster is away', () =>
      site.agent.status().conditions.some(({ type, reason }) => type === 'Cluster' && reason === 'Unreachable'),
    )
    await plane.restore()
    await eventually('the change is there', async () => {
      const live = await site.live(object)
      return (live?.['data'] as { a: string } | undefined)?.a === '2'
    })
    await eventually('the condition is gone', () => site.agent.status().conditions.length === 0)
    expect((await site.live(deployment('survives')))?.metadata.uid).toBe(uid)
    await stop()
  }, 120_000)

  test('comes back empty, as a rebuilt box does: refilled', async () => {
    const site = await siteOf('emptied')
    const objects = [configMap('refilled'), deployment('refilled'), service('refilled')]
    await site.tell({ till: { objects } })
    const stop = site.run()
    await plane.cut()
    await rm(join(plane.dir, 'etcd'), { recursive: true })
    await plane.restore()
    await eventually('everything is there again', async () => {
      const live = await Promise.all(objects.map((object) => site.live(object)))
      return live.every((it) => it !== undefined)
    })
    await eventually('the site says so', () => site.workload('till').sync === 'Synced')
    await stop()
  }, 120_000)
})
