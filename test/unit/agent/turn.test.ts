import { describe, expect, test } from 'vitest'
import { refOf, type Manifest } from '../../../src/core/model/object.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import { isObject } from '../../../src/core/model/json.ts'
import { configMap, createSite, deployment, job, liveOf, SIGNAL, type Site, type Told } from './site.ts'

async function publish(site: Site, workloads: Readonly<Record<string, Told>>): Promise<void> {
  site.hub.publish(workloads)
  await site.agent.exchange(SIGNAL)
  await site.settle()
}

const observed = (site: Site, workload = 'till') => site.agent.status().workloads.find((it) => it.workload === workload)

/** As another would make it: kubectl create. */
async function foreign(site: Site, object: Manifest, fieldManager = 'kubectl-create'): Promise<Manifest> {
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } }
  if ((await liveOf(site, namespace)) === undefined) await site.cluster.create(namespace, {}, SIGNAL)
  return site.cluster.create(object, { fieldManager }, SIGNAL)
}

const edit = (site: Site, object: Manifest, patch: Parameters<Site['cluster']['patch']>[2]): Promise<Manifest> =>
  site.cluster.patch(object, refOf(object), patch, { fieldManager: 'kubectl-edit' }, SIGNAL)

/** A watch event needs a moment of the event loop. */
const later = (site: Site): Promise<void> => site.clock.advance(1_000)

describe('converging', () => {
  test('applies everything, and a second turn writes nothing and reads nothing', async () => {
    const site = createSite()
    await publish(site, { till: { objects: [configMap('settings'), deployment('till')] } })
    expect(observed(site)).toMatchObject({ sync: 'Synced', health: 'Healthy', begun: true, objects: [] })
    expect(observed(site)?.healthy?.digest).toBe(observed(site)?.desired?.digest)
    expect(await liveOf(site, deployment('till'))).toMatchObject({ status: { readyReplicas: 2 } })
    const [writes, reads] = [site.writes(), site.reads()]
    await site.agent.turn(SIGNAL)
    await site.clock.advance(60_000)
    await site.agent.turn(SIGNAL)
    expect([site.writes(), site.reads()]).toEqual([writes, reads])
  })

  test('a changed object is the only one that is written', async () => {
    const site = createSite()
    await publish(site, { till: { objects: [configMap('settings'), deployment('till')] } })
    const uid = (await liveOf(site, deployment('till')))?.metadata.uid
    const { writes } = site.agent.status().counts
    await publish(site, { till: { objects: [configMap('settings', { a: '2' }), deployment('till')] } })
    expect(site.agent.status().counts.writes).toBe(writes + 1)
    expect((await liveOf(site, configMap('settings')))?.['data']).toEqual({ a: '2' })
    expect((await liveOf(site, deployment('till')))?.metadata.uid).toBe(uid)
  })

  test('a field that Git no longer names goes away', async () => {
    const site = createSite()
    await publish(site, { till: { objects: [configMap('settings', { a: '1', b: '2' })] } })
    await publish(site, { till: { objects: [configMap('settings', { a: '1' })] } })
    expect((await liveOf(site, configMap('settings')))?.['data']).toEqual({ a: '1' })
  })

  test('what a disk of before still has is no word to act on: nothing changes until the hub tells the newest again', async () => {
    let lost = 0
    const site = createSite({
      storeOf: (store) => Object.assign(Object.create(store), { manifests: () => store.manifests().slice(lost) }) as typeof store, // prettier-ignore
    })
    await publish(site, { till: { objects: [configMap('settings', { a: '1' })] } })
    const both = { till: { objects: [configMap('settings', { a: '2' })] }, menu: { objects: [configMap('menu')] } }
    await publish(site, both)
    const writes = site.writes()
    lost = 1
    await site.agent.turn(SIGNAL)
    await later(site)
    expect(site.writes()).toBe(writes)
    expect(await liveOf(site, configMap('menu'))).toBeDefined()
    expect((await liveOf(site, configMap('settings')))?.['data']).toEqual({ a: '2' })
    expect(observed(site)?.waiting?.reason).toBe('Hold')
    lost = 0
    await publish(site, { till: { objects: [configMap('settings', { a: '3' })] } })
    expect((await liveOf(site, configMap('settings')))?.['data']).toEqual({ a: '3' })
    expect(await liveOf(site, configMap('menu'))).toBeUndefined()
  })

  test('starts again from its store with no hub, and writes nothing', async () => {
    const site = createSite()
    await publish(site, { till: { objects: [configMap('settings'), deployment('till')] } })
    const writes = site.writes()
    site.restart(null)
    await site.settle()
    expect(site.writes()).toBe(writes)
    expect(observed(site)).toMatchObject({ sync: 'Synced', health: 'Healthy' })
  })

  test('an object that is refused holds nobody but what depends on it', async () => {
    const refuse = new Fault('Rejected', 'a policy says no')
    const site = createSite({
      sim: { interfere: ({ verb, ref }) => (verb === 'apply' && ref?.name === 'bad' ? { refuse } : undefined) },
    })
    const bad = configMap('bad')
    const after = configMap('after')
    const waiting: Manifest = {
      ...after,
      metadata: {
        ...after.metadata,
        annotations: { 'config.kubernetes.io/depends-on': '/namespaces/shop/ConfigMap/bad' },
      },
    }
    await publish(site, { till: { objects: [bad, waiting, configMap('good')] } })
    expect(await liveOf(site, configMap('good'))).toBeDefined()
    expect(await liveOf(site, waiting)).toBeUndefined()
    expect(observed(site)).toMatchObject({ sync: 'Failed', failure: { reason: 'Rejected' } })
    expect(observed(site)?.applied).toBeNull()
  })

  test('a dependency between workloads is waited for until it is healthy', async () => {
    const site = createSite()
    site.hub.publish({
      base: { objects: [deployment('base')] },
      till: { objects: [configMap('settings')], dependsOn: [{ name: 'base' }] },
    })
    await site.agent.exchange(SIGNAL)
    await site.agent.turn(SIGNAL)
    expect(observed(site)).toMatchObject({
      sync: 'Waiting',
      waiting: { reason: 'Dependency', detail: 'base' },
      begun: false,
    })
    expect(await liveOf(site, configMap('settings'))).toBeUndefined()
    await site.settle()
    expect(observed(site)).toMatchObject({ sync: 'Synced', begun: true })
  })
})

describe('pruning', () => {
  test('takes what we made and nothing else', async () => {
    const site = createSite()
    await foreign(site, configMap('theirs'))
    await publish(site, { till: { objects: [configMap('ours'), configMap('stays')] } })
    await publish(site, { till: { objects: [configMap('stays')] } })
    expect(await liveOf(site, configMap('ours'))).toBeUndefined()
    expect(await liveOf(site, configMap('theirs'))).toBeDefined()
    expect(await liveOf(site, configMap('stays'))).toBeDefined()
    expect(observed(site)?.counts.pruned).toBe(1)
  })

  test('spares an object of the same name that was made anew by another', async () => {
    const site = createSite()
    await publish(site, { till: { objects: [configMap('ours'), configMap('stays')] } })
    await site.cluster.delete(configMap('ours'), refOf(configMap('ours')), {}, SIGNAL)
    const theirs = await foreign(site, configMap('ours', { theirs: 'yes' }))
    await publish(site, { till: { objects: [configMap('stays')] } })
    expect((await liveOf(site, configMap('ours')))?.metadata.uid).toBe(theirs.metadata.uid)
  })

  test('a workload that is no longer named goes, and a claim of it stays without an explicit yes', async () => {
    const site = createSite()
    const claim: Manifest = {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'data', namespace: 'shop' },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    }
    await publish(site, { till: { objects: [configMap('ours'), claim] }, other: { objects: [configMap('other')] } })
    await publish(site, { other: { objects: [configMap('other')] } })
    expect(await liveOf(site, configMap('ours'))).toBeUndefined()
    expect(await liveOf(site, claim)).toBeDefined()
  })

  test('an object that moves between workloads keeps its UID', async () => {
    const site = createSite()
    await publish(site, {
      one: { objects: [configMap('moves'), configMap('one')] },
      two: { objects: [configMap('two')] },
    })
    const uid = (await liveOf(site, configMap('moves')))?.metadata.uid
    await publish(site, {
      one: { objects: [configMap('one')] },
      two: { objects: [configMap('two'), configMap('moves')] },
    })
    const live = await liveOf(site, configMap('moves'))
    expect(live?.metadata.uid).toBe(uid)
    expect(live?.metadata.labels?.['flotilla.dev/workload']).toBe('two')
  })

  test('a renamed workload hands everything over', async () => {
    const site = createSite()
    await publish(site, { old: { objects: [configMap('a'), deployment('till')] } })
    const uid = (await liveOf(site, deployment('till')))?.metadata.uid
    await publish(site, { till: { objects: [configMap('a'), deployment('till')], rules: { formerNames: ['old'] } } })
    expect((await liveOf(site, deployment('till')))?.metadata.uid).toBe(uid)
    expect(observed(site)).toMatchObject({ sync: 'Synced' })
    expect([...site.store.workloads().keys()]).toEqual(['till'])
  })
})

describe('what was there before', () => {
  test.each([
    { rule: 'never', data: { a: '1' }, taken: false },
    { rule: 'ifIdentical', data: { a: '2' }, taken: false },
    { rule: 'ifIdentical', data: { a: '1' }, taken: true },
    { rule: 'yes', data: { a: '2', extra: 'x' }, taken: true },
  ] as const)('adopt $rule of $data: taken $taken, same UID', async ({ rule, data, taken }) => {
    const site = createSite()
    const before = await foreign(site, configMap('settings', data))
    await publish(site, { till: { objects: [configMap('settings')], rules: { adopt: rule } } })
    const live = await liveOf(site, configMap('settings'))
    expect(live?.metadata.uid).toBe(before.metadata.uid)
    expect(live?.['data']).toEqual(taken ? { a: '1' } : data)
    expect(observed(site)).toMatchObject(
      taken ? { sync: 'Synced' } : { sync: 'Failed', failure: { reason: 'NotAdopted' } },
    )
  })

  test('a lost inventory is rebuilt from labels, with no prune in that turn and no UID changed', async () => {
    const site = createSite()
    await publish(site, { till: { objects: [configMap('a'), configMap('b')] } })
    const uid = (await liveOf(site, configMap('a')))?.metadata.uid
    const fresh = createSite({ clusterOf: () => site.cluster })
    fresh.hub.publish({ till: { objects: [configMap('a')] } })
    await fresh.agent.exchange(SIGNAL)
    await fresh.agent.turn(SIGNAL)
    expect(await liveOf(site, configMap('b'))).toBeDefined()
    await fresh.settle()
    expect((await liveOf(site, configMap('a')))?.metadata.uid).toBe(uid)
    expect([...fresh.store.inventory().values()].map(({ ref }) => ref.name)).not.toContain('missing')
  })
})

describe('drift', () => {
  test('is corrected where the rules say so', async () => {
    const site = createSite()
    await publish(site, { till: { objects: [configMap('settings')] } })
    await edit(site, configMap('settings'), { data: { a: 'edited' } })
    await later(site)
    await site.settle()
    expect((await liveOf(site, configMap('settings')))?.['data']).toEqual({ a: '1' })
    expect(site.agent.status().counts.corrected).toBe(1)
  })

  test('is reported with fields and manager where the rules say so', async () => {
    const site = createSite()
    await publish(site, {
      till: { objects: [configMap('settings')], rules: { drift: { mode: 'report', ignore: [] } } },
    })
    await edit(site, configMap('settings'), { data: { a: 'edited' } })
    await later(site)
    await site.agent.turn(SIGNAL)
    expect(observed(site)).toMatchObject({ sync: 'Drifted', objects: [{ message: '/data/a (kubectl-edit)' }] })
    expect((await liveOf(site, configMap('settings')))?.['data']).toEqual({ a: 'edited' })
  })

  test('an ignored field is neither reported nor moved by an update of its neighbour', async () => {
    const site = createSite()
    const rules = { drift: { mode: 'correct' as const, ignore: [{ kind: 'ConfigMap', jsonPointers: ['/data/a'] }] } }
    await publish(site, { till: { objects: [configMap('settings', { a: '1', b: '1' })], rules } })
    await edit(site, configMap('settings'), { data: { a: 'theirs' } })
    await later(site)
    await publish(site, { till: { objects: [configMap('settings', { a: '1', b: '2' })], rules } })
    expect((await liveOf(site, configMap('settings')))?.['data']).toEqual({ a: 'theirs', b: '2' })
    expect(observed(site)).toMatchObject({ sync: 'Synced' })
  })

  test('an object that was deleted by hand is made again', async () => {
    const site = createSite()
    await publish(site, { till: { objects: [configMap('settings')] } })
    await site.cluster.delete(configMap('settings'), refOf(configMap('settings')), {}, SIGNAL)
    await later(site)
    await site.settle()
    expect(await liveOf(site, configMap('settings'))).toBeDefined()
  })

  test('a fight stops and says who fights', async () => {
    const site = createSite()
    await publish(site, { till: { objects: [configMap('settings')] } })
    for (let i = 0; i < 8; i++) {
      await edit(site, configMap('settings'), { data: { a: `round ${i}` } })
      await later(site)
      await site.agent.turn(SIGNAL)
    }
    expect(site.agent.status().counts.corrected).toBe(5)
    expect(observed(site)?.objects[0]).toMatchObject({ sync: 'Drifted', reason: 'Fought' })
    expect(observed(site)?.objects[0]?.message).toContain('kubectl-edit')
  })
})

describe('modes and permits', () => {
  test('observe mode shows the whole diff and writes nothing', async () => {
    const site = createSite({ agent: { mode: 'observe' } })
    await publish(site, { till: { objects: [configMap('settings'), deployment('till')] } })
    expect(site.writes()).toBe(0)
    expect(observed(site)).toMatchObject({ sync: 'Waiting', waiting: { reason: 'Observe' }, begun: false })
    expect(observed(site)?.objects).toHaveLength(2)
    expect(site.store.inventory().size).toBe(0)
  })

  test('an expired permit starts nothing, and what was begun before goes on', async () => {
    const site = createSite()
    await publish(site, { till: { objects: [configMap('settings')] } })
    const startByMs = site.clock.nowMs() + 1_000
    site.hub.publish({ till: { objects: [configMap('settings', { a: '2' })], startByMs } })
    await site.agent.exchange(SIGNAL)
    await site.clock.advance(5_000)
    await edit(site, configMap('settings'), { data: { a: 'edited' } })
    await later(site)
    await site.settle(3)
    expect(observed(site)).toMatchObject({ sync: 'Waiting', waiting: { reason: 'PermitExpired' }, begun: false })
    expect((await liveOf(site, configMap('settings')))?.['data']).toEqual({ a: '1' })
  })

  test('nothing starts before its time', async () => {
    const site = createSite()
    const startAfterMs = site.clock.nowMs() + 600_000
    site.hub.publish({ till: { objects: [configMap('settings')], startAfterMs } })
    await site.agent.exchange(SIGNAL)
    const { nextMs } = await site.agent.turn(SIGNAL)
    expect(observed(site)?.waiting?.reason).toBe('WindowClosed')
    await site.clock.advance(nextMs)
    await site.settle()
    expect(await liveOf(site, configMap('settings'))).toBeDefined()
  })

  test('an encrypted object waits for its key, holds nobody else and never reaches the API server', async () => {
    const sent: string[] = []
    const site = createSite({ sim: { onRequest: ({ kind }) => sent.push(kind) } })
    const secret: Manifest = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'keys', namespace: 'shop' },
      sops: { mac: 'x' },
    }
    await publish(site, { till: { objects: [{ sealed: secret }, configMap('settings')] } })
    expect(await liveOf(site, configMap('settings'))).toBeDefined()
    expect(observed(site)).toMatchObject({ sync: 'Synced', waiting: { reason: 'Secret', detail: 'key missing' } })
    expect(observed(site)?.objects).toMatchObject([{ sync: 'Waiting', reason: 'Secret(key missing)' }])
    expect(observed(site)?.applied).not.toBeNull()
    const [writes] = [site.writes()]
    await site.agent.turn(SIGNAL)
    expect(site.writes()).toBe(writes)
  })

  test('a suspended release does not begin, and what is here stays', async () => {
    const site = createSite()
    await publish(site, { till: { objects: [configMap('a')] } })
    await publish(site, { till: { objects: [configMap('b')], rules: { suspend: true } } })
    expect(observed(site)).toMatchObject({ sync: 'Waiting', waiting: { reason: 'Suspended' } })
    expect(await liveOf(site, configMap('a'))).toBeDefined()
    expect(await liveOf(site, configMap('b'))).toBeUndefined()
  })
})

describe('jobs', () => {
  const done = async (site: Site): Promise<boolean> => {
    const live = await liveOf(site, job('load'))
    const conditions = isObject(live?.['status']) ? live['status'].conditions : []
    return (
      Array.isArray(conditions) &&
      conditions.some((it) => isObject(it) && it.type === 'Complete' && it.status === 'True')
    )
  }

  test('one that completed is never made again, not after its TTL and not after a restart', async () => {
    const site = createSite()
    await publish(site, { till: { objects: [job('load', 'task:1')] } })
    for (let i = 0; i < 60 && !(await done(site)); i++) await site.settle(1)
    expect(await done(site)).toBe(true)
    await site.settle(2)
    const uid = (await liveOf(site, job('load')))?.metadata.uid
    await site.cluster.delete(
      job('load'),
      refOf(job('load')),
      { propagation: 'Background', ...(uid === undefined ? {} : { uid }) },
      SIGNAL,
    )
    await later(site)
    site.restart(null)
    await site.settle(5)
    expect(await liveOf(site, job('load'))).toBeUndefined()
    expect(observed(site)).toMatchObject({ sync: 'Synced', health: 'Healthy' })
  })

  test('a changed template runs once more', async () => {
    const site = createSite()
    await publish(site, { till: { objects: [job('load', 'task:1')] } })
    const before = (await liveOf(site, job('load')))?.metadata.uid
    await publish(site, { till: { objects: [job('load', 'task:2')] } })
    const live = await liveOf(site, job('load'))
    expect(live?.metadata.uid).not.toBe(before)
    expect(JSON.stringify(live)).toContain('task:2')
  })
})

describe('immutable fields', () => {
  const changed = deployment('till', 'till:1', { selector: { matchLabels: { app: 'till', tier: 'x' } } })
  const template = {
    metadata: { labels: { app: 'till', tier: 'x' } },
    spec: { containers: [{ name: 'main', image: 'till:1' }] },
  }
  const moved: Manifest = { ...changed, spec: { ...(changed['spec'] as object), template } }

  test('are reported where replace is never', async () => {
    const site = createSite()
    await publish(site, { till: { objects: [deployment('till')] } })
    await publish(site, { till: { objects: [moved] } })
    expect(observed(site)).toMatchObject({ sync: 'Failed', failure: { reason: 'ImmutableField' } })
  })

  test('are met by making the object anew where replace is onImmutable', async () => {
    const site = createSite()
    await publish(site, { till: { objects: [deployment('till')] } })
    const before = (await liveOf(site, deployment('till')))?.metadata.uid
    await publish(site, { till: { objects: [moved], rules: { replace: 'onImmutable' } } })
    expect((await liveOf(site, deployment('till')))?.metadata.uid).not.toBe(before)
    expect(observed(site)).toMatchObject({ sync: 'Synced' })
  })
})
