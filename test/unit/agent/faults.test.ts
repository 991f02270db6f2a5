import { describe, expect, test } from 'vitest'
import { Fault, type FaultReason } from '../../../src/core/model/fault.ts'
import { refOf, type Manifest } from '../../../src/core/model/object.ts'
import type { Interference, SimRequest } from '../../../src/sim/cluster.ts'
import { configMap, createSite, deployment, liveOf, SIGNAL, type Site } from './site.ts'

/** Hurts the first so many applies of one object. */
function hurting(name: string, times: number, how: Interference): (request: SimRequest) => Interference {
  let left = times
  return ({ verb, ref, dryRun }) => (verb === 'apply' && !dryRun && ref?.name === name && left-- > 0 ? how : undefined)
}

async function started(interfere: (request: SimRequest) => Interference): Promise<Site> {
  const site = createSite({ sim: { interfere } })
  site.hub.publish({ till: { objects: [configMap('hurt'), configMap('fine')] } })
  await site.agent.exchange(SIGNAL)
  return site
}

const observed = (site: Site) => site.agent.status().workloads[0]

describe('what the API server says, and what the site makes of it', () => {
  const passing: readonly FaultReason[] = [
    'Conflict',
    'ServerError',
    'WebhookFailed',
    'Timeout',
    'Unreachable',
    'NotFound',
  ]
  test.each(passing)('%s passes: the neighbour is applied at once, the object when it passed', async (reason) => {
    const site = await started(hurting('hurt', 2, { refuse: new Fault(reason, 'hurts') }))
    await site.agent.turn(SIGNAL)
    expect(await liveOf(site, configMap('fine'))).toBeDefined()
    expect(observed(site)).toMatchObject({ sync: 'Progressing' })
    expect(observed(site)?.failure).toBeUndefined()
    await site.settle()
    expect(observed(site)).toMatchObject({ sync: 'Synced', health: 'Healthy' })
    expect(site.agent.status().conditions).toEqual([])
  })

  test('an answer that never came is read again: it happened, and is not done twice', async () => {
    const site = await started(hurting('hurt', 1, { loseAnswer: new Fault('OutcomeUnknown', 'no answer') }))
    await site.agent.turn(SIGNAL)
    const uid = (await liveOf(site, configMap('hurt')))?.metadata.uid
    expect(uid).toBeDefined()
    await site.settle()
    expect((await liveOf(site, configMap('hurt')))?.metadata.uid).toBe(uid)
    expect(site.store.inventory().get('/ConfigMap/shop/hurt')).toMatchObject({ state: 'owned', uid })
  })

  test('a conflict is decided again at once', async () => {
    const site = await started(hurting('hurt', 1, { refuse: new Fault('Conflict', 'changed') }))
    expect((await site.agent.turn(SIGNAL)).nextMs).toBe(0)
    await site.agent.turn(SIGNAL)
    expect(observed(site)).toMatchObject({ sync: 'Synced' })
  })

  test('a store that is full stops turns before they act, is reported, and is well again when it takes a note', async () => {
    let full = false
    const site = createSite({
      storeOf: (store) => ({
        ...store,
        write: (write) => {
          if (full) throw new Fault('StoreFull', 'no room')
          store.write(write)
        },
      }),
      agent: { pollMs: 5_000 },
    })
    const stop = new AbortController()
    site.hub.publish({ till: { objects: [configMap('fine')] } })
    const done = site.agent.run(stop.signal)
    await site.clock.advance(10_000)
    const writes = site.writes()
    full = true
    site.hub.publish({ till: { objects: [configMap('fine'), configMap('hurt')] } })
    await site.clock.advance(20_000)
    expect(site.writes()).toBe(writes)
    expect(site.hub.heard.at(-1)?.conditions).toMatchObject([{ type: 'Store', reason: 'StoreFull' }])
    full = false
    await site.clock.advance(310_000)
    expect(await liveOf(site, configMap('hurt'))).toBeDefined()
    expect(site.agent.status().conditions).toEqual([])
    stop.abort()
    await done
  })

  test('Throttled stops the whole turn for as long as was asked', async () => {
    const site = await started(
      hurting('hurt', 1, { refuse: new Fault('Throttled', 'later', { retryAfterMs: 30_000 }) }),
    )
    await site.agent.turn(SIGNAL)
    const writes = site.writes()
    const { nextMs } = await site.agent.turn(SIGNAL)
    expect(site.writes()).toBe(writes)
    expect(nextMs).toBeGreaterThan(0)
    await site.clock.advance(40_000)
    await site.settle()
    expect(observed(site)).toMatchObject({ sync: 'Synced' })
  })

  test('Rejected is a failure of the release, asked again only now and then', async () => {
    let asked = 0
    const site = await started(({ verb, ref }) => {
      if (verb !== 'apply' || ref?.name !== 'hurt') return undefined
      asked += 1
      return { refuse: new Fault('Rejected', 'policy says no') }
    })
    for (let i = 0; i < 10; i++) await site.agent.turn(SIGNAL)
    expect(asked).toBe(1)
    expect(observed(site)).toMatchObject({ sync: 'Failed', failure: { reason: 'Rejected', message: 'policy says no' } })
    await site.clock.advance(700_000)
    await site.agent.turn(SIGNAL)
    expect(asked).toBe(2)
  })

  test('a server that is away changes nothing, and what it held is there when it is back', async () => {
    const site = await started(() => undefined)
    await site.settle()
    site.cluster.power('down')
    site.hub.publish({ till: { objects: [configMap('hurt', { a: '2' }), configMap('fine')] } })
    await site.agent.exchange(SIGNAL)
    await site.agent.turn(SIGNAL)
    expect(site.agent.status().conditions).toMatchObject([{ type: 'Cluster', reason: 'Unreachable' }])
    site.cluster.power('up')
    await site.clock.advance(310_000)
    await site.settle()
    expect(await liveOf(site, configMap('hurt'))).toMatchObject({ data: { a: '2' } })
    expect(site.agent.status().conditions).toEqual([])
  })

  test('while the server is silent health is unknown, with why, and neither a soak nor a crash is made of it', async () => {
    const site = await started(() => undefined)
    await site.settle()
    expect(observed(site)?.health).toBe('Healthy')
    const seen = observed(site)
    site.cluster.power('down')
    await site.clock.advance(20_000)
    await site.agent.turn(SIGNAL)
    const during = observed(site)
    expect(during).toMatchObject({ health: 'Unknown', healthyForMs: 0, transitions: 0, healthy: seen?.healthy })
    expect(during?.objects[0]).toMatchObject({ health: 'Unknown', reason: 'Unreachable' })
    expect(during?.objects[0]?.message).toMatch(/^the API server is silent for \d+s; last seen Healthy$/)
    site.cluster.power('up')
    await site.clock.advance(310_000)
    await site.settle()
    expect(observed(site)).toMatchObject({ health: 'Healthy', transitions: 0, objects: [] })
  })

  test('what is not healthy is explained from its pods', async () => {
    const site = createSite({
      sim: { controllers: { behaviour: () => 'image-missing' } },
    })
    site.hub.publish({ till: { objects: [deployment('till', 'registry-dk/till:bad')] } })
    await site.agent.exchange(SIGNAL)
    await site.settle(10)
    expect(observed(site)?.health).not.toBe('Healthy')
    expect(observed(site)?.objects[0]?.message).toMatch(/pod .*(ImagePull|ErrImage)/)
  })

  test('a definition and its objects in one release', async () => {
    const definition: Manifest = {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'menus.kitchen.example' },
      spec: {
        group: 'kitchen.example',
        names: { kind: 'Menu', plural: 'menus', singular: 'menu', listKind: 'MenuList' },
        scope: 'Namespaced',
        versions: [
          {
            name: 'v1',
            served: true,
            storage: true,
            schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
          },
        ],
      },
    }
    const menu: Manifest = {
      apiVersion: 'kitchen.example/v1',
      kind: 'Menu',
      metadata: { name: 'lunch', namespace: 'shop' },
      spec: { dish: 'soup' },
    }
    const site = createSite()
    site.hub.publish({ till: { objects: [menu, definition] } })
    await site.agent.exchange(SIGNAL)
    await site.settle()
    expect(await liveOf(site, menu)).toBeDefined()
    expect(observed(site)).toMatchObject({ sync: 'Synced' })

    // Both are taken out of Git, with a yes to the definition; somebody else has a menu too.
    const theirs: Manifest = { ...menu, metadata: { name: 'dinner', namespace: 'shop' } }
    await site.cluster.create(theirs, { fieldManager: 'kubectl-create' }, SIGNAL)
    const rules = { pruneConfirm: [{ kind: 'CustomResourceDefinition' }] }
    site.hub.publish({ till: { objects: [configMap('stays')], rules } })
    await site.agent.exchange(SIGNAL)
    await site.settle(6)
    expect(await liveOf(site, menu)).toBeUndefined()
    expect(await liveOf(site, definition)).toBeDefined()
    expect(await liveOf(site, theirs)).toBeDefined()
    expect(site.agent.status().conditions).toMatchObject([
      {
        reason: 'InUse',
        message:
          'CustomResourceDefinition menus.kitchen.example stays: it would take along kitchen.example/Menu shop/dinner',
      },
    ])
    await site.cluster.delete(theirs, refOf(theirs), {}, SIGNAL)
    await site.settle(6)
    expect(await liveOf(site, definition)).toBeUndefined()
    expect(site.agent.status().conditions).toEqual([])
  })
})
