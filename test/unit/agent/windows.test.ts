/** Windows with `overrun: stop`, at a site: what has begun stands still outside of them, and goes on by itself, hub or no hub. */
import { describe, expect, test } from 'vitest'
import type { Manifest } from '../../../src/core/model/object.ts'
import { isObject } from '../../../src/core/model/json.ts'
import { accept } from '../../../src/core/protocol/accept.ts'
import { MANIFEST_CRITICAL } from '../../../src/core/protocol/manifest.ts'
import type { ManifestWindow } from '../../../src/core/protocol/messages.ts'
import { NOW_MS, SITE, SITE_ID, TRUST } from '../protocol/fixed.ts'
import { configMap, createSite, deployment, liveOf, SIGNAL, type Site } from './site.ts'

const MINUTE = 60_000
/** From the start of these tests to the end of that night's window; a day later it opens again. */
const LEFT_MS = Date.UTC(2026, 0, 2, 3, 5) - NOW_MS
const NIGHT: ManifestWindow = { effect: 'allow', overrun: 'stop', timeZone: 'UTC', schedule: '0 3 * * *', durationMs: 5 * MINUTE } // prettier-ignore
const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000

const settings = (a: string): Manifest => {
  const made = configMap('settings', { a })
  const annotations = { 'config.kubernetes.io/depends-on': 'apps/namespaces/shop/Deployment/till' }
  return { ...made, metadata: { ...made.metadata, annotations } }
}
const publish = (site: Site, version: string, window: ManifestWindow | null = NIGHT): void => {
  const gates = window === null ? [] : ['night']
  site.hub.publish(
    { till: { objects: [deployment('till', `till:${version}`), settings(version)], gates } },
    window === null ? {} : { windows: { night: window }, critical: ['gates', 'windows'] },
  )
}
async function has(site: Site): Promise<unknown> {
  const data = (await liveOf(site, configMap('settings')))?.['data']
  return isObject(data) ? data['a'] : undefined
}
const observed = (site: Site) => site.agent.status().workloads[0]

/** The second release has begun: its Deployment is there and not ready, so what waits for that is not. The hub is away. */
async function halfWay(window: ManifestWindow = NIGHT): Promise<Site> {
  const site = createSite({ sim: { controllers: { delays: { readyMs: 2 * MINUTE } } } })
  publish(site, '1', null)
  await site.agent.exchange(SIGNAL)
  for (let i = 0; i < 4; i++) {
    await site.agent.turn(SIGNAL)
    await site.clock.advance(3 * MINUTE)
  }
  expect(await has(site)).toBe('1')
  await site.clock.advance(NOW_MS + DAY_MS - site.clock.nowMs())
  publish(site, '2', window)
  await site.agent.exchange(SIGNAL)
  await site.agent.turn(SIGNAL)
  await site.agent.turn(SIGNAL)
  expect(observed(site)).toMatchObject({ begun: true, waiting: { reason: 'Dependency' } })
  site.hub.reachable = false
  return site
}

describe('what has begun when its window closes', () => {
  test('stands still as far as it is, says until when, and goes on by itself when it opens', async () => {
    const site = await halfWay()
    await site.clock.advance(LEFT_MS + 1_000)
    await site.agent.turn(SIGNAL)
    expect(await has(site)).toBe('1')
    expect(observed(site)).toMatchObject({
      begun: true,
      sync: 'Waiting',
      waiting: { reason: 'WindowClosed', detail: 'goes on 2026-01-04 03:00Z, night' },
    })
    expect(observed(site)?.applied?.digest).not.toBe(observed(site)?.desired?.digest)
    const { unhealthyMs = 0 } = observed(site) ?? {}
    await site.clock.advance(DAY_MS - 10 * MINUTE)
    const writes = site.writes()
    const { nextMs } = await site.agent.turn(SIGNAL)
    expect(site.writes()).toBe(writes)
    expect(nextMs).toBeLessThanOrEqual(10 * MINUTE)
    // Standing still is no time for which it was ill: no deadline takes it for late.
    expect(observed(site)?.unhealthyMs).toBeLessThanOrEqual(unhealthyMs + 1_000)
    await site.clock.advance(6 * MINUTE)
    await site.settle()
    expect(await has(site)).toBe('2')
    expect(observed(site)).toMatchObject({ sync: 'Synced', health: 'Healthy' })
  })

  test('stands still where the hub has meanwhile told of another, that may not begin yet', async () => {
    const site = await halfWay()
    await site.clock.advance(LEFT_MS + 1_000)
    site.hub.reachable = true
    const objects = [deployment('till', 'till:3'), settings('3')]
    const opensMs = site.clock.nowMs() + DAY_MS - 5 * MINUTE
    const permit = { startAfterMs: opensMs, startByMs: opensMs + 4 * MINUTE }
    site.hub.publish({ till: { objects, gates: ['night'], ...permit } }, { windows: { night: NIGHT }, critical: ['gates', 'windows'] }) // prettier-ignore
    await site.agent.exchange(SIGNAL)
    await site.clock.advance(HOUR_MS)
    const writes = site.writes()
    await site.settle(4)
    expect(site.writes()).toBe(writes)
    expect(await has(site)).toBe('1')
    expect(observed(site)).toMatchObject({ begun: false, sync: 'Waiting', waiting: { reason: 'WindowClosed' } })
    await site.clock.advance(DAY_MS - HOUR_MS - 5 * MINUTE)
    for (let i = 0; i < 3; i++) {
      await site.agent.turn(SIGNAL)
      await site.clock.advance(20_000)
    }
    expect(observed(site)?.begun).toBe(true)
    expect((await liveOf(site, deployment('till')))?.['spec']).toMatchObject({ template: { spec: { containers: [{ image: 'till:3' }] } } })
  }) // prettier-ignore

  test('stands still after the process was started anew, too', async () => {
    const site = await halfWay()
    await site.clock.advance(LEFT_MS + 1_000)
    site.restart(null)
    await site.agent.turn(SIGNAL)
    await site.agent.turn(SIGNAL)
    expect(await has(site)).toBe('1')
    expect(observed(site)?.waiting?.reason).toBe('WindowClosed')
  })

  test('where nobody knows the time it waits for the hub', async () => {
    const site = await halfWay()
    site.machine.bootId = 'another'
    site.restart(null)
    await site.agent.turn(SIGNAL)
    expect(await has(site)).toBe('1')
    expect(observed(site)?.waiting?.reason).toBe('ClockUnknown')
    site.hub.reachable = true
    site.restart()
    await site.agent.exchange(SIGNAL)
    await site.agent.turn(SIGNAL)
    expect(observed(site)?.waiting?.reason).toBe('Dependency')
  })

  test.each<[string, ManifestWindow]>([
    ['an allow window that lets it finish', { ...NIGHT, overrun: 'finish' }],
    ['a deny window that is over', { effect: 'deny', overrun: 'stop', timeZone: 'UTC', fromMs: 0, untilMs: NOW_MS }],
  ])('goes on under %s', async (_case, window) => {
    const site = await halfWay(window)
    await site.clock.advance(20 * MINUTE)
    await site.settle()
    expect(await has(site)).toBe('2')
  })

  test('stops in the middle of a turn: what was not written by then is not', async () => {
    const site = createSite({ sim: { latencyMs: 5_000 }, agent: { parallelApplies: 1 } })
    const names = Array.from({ length: 40 }, (_, i) => `c${i}`)
    site.hub.publish(
      { till: { objects: names.map((name) => configMap(name)), gates: ['night'] } },
      { windows: { night: { ...NIGHT, durationMs: 6 * MINUTE } }, critical: ['gates', 'windows'] },
    )
    await site.agent.exchange(SIGNAL)
    for (let turns = 0; turns < 10 && observed(site)?.waiting?.reason !== 'WindowClosed'; turns++) {
      const runs = { still: true }
      const turn = site.agent.turn(SIGNAL).finally(() => (runs.still = false))
      while (runs.still) await site.clock.advance(1_000)
      await turn
    }
    const { writes } = site.agent.status().counts
    expect(writes).toBeGreaterThan(1)
    expect(writes).toBeLessThan(names.length)
    expect(observed(site)).toMatchObject({ begun: true, waiting: { reason: 'WindowClosed' } })
  })
})

test('what is through is kept as Git says at any time: drift is no change of release', async () => {
  const site = createSite()
  publish(site, '2')
  await site.agent.exchange(SIGNAL)
  await site.settle()
  expect(await has(site)).toBe('2')
  site.hub.reachable = false
  await site.clock.advance(LEFT_MS)
  const ref = { group: '', kind: 'ConfigMap', namespace: 'shop', name: 'settings' }
  await site.cluster.delete(configMap('settings'), ref, {}, SIGNAL)
  await site.settle(4)
  expect(await has(site)).toBe('2')
})

test('nothing begins outside of a window that stops it, whatever its permit says', async () => {
  const site = createSite()
  publish(site, '1', { ...NIGHT, schedule: '0 5 * * *' })
  await site.agent.exchange(SIGNAL)
  await site.agent.turn(SIGNAL)
  expect(observed(site)).toMatchObject({ begun: false, waiting: { reason: 'WindowClosed' } })
  expect(await has(site)).toBeUndefined()
})

test('an agent of before it refuses the manifest and keeps what it has', () => {
  const site = createSite()
  publish(site, '1')
  const { manifest } = site.hub
  const critical = new Set([...MANIFEST_CRITICAL].filter((name) => name !== 'windows'))
  const at = { trust: TRUST, site: SITE, siteId: SITE_ID, floor: null, hubNow: { known: 'exact', ms: NOW_MS } } as const
  const envelope = site.hub.publish(
    { till: { objects: [configMap('a')], gates: ['night'] } },
    { windows: { night: NIGHT }, critical: manifest?.critical ?? [] },
  )
  expect(accept({ ...at, envelope, critical })).toMatchObject({ verdict: 'refuse', reason: 'AgentTooOld' })
  expect(accept({ ...at, envelope })).toMatchObject({ verdict: 'accept' })
})

test.each<[string, object, RegExp]>([
  ['a gate that names no window', { windows: {} }, /gates is not the name of a window/],
  ['a window of no effect', { windows: { night: { ...NIGHT, effect: 'maybe' } } }, /effect is not one of/],
  ['a window of no length', { windows: { night: { ...NIGHT, durationMs: 0 } } }, /durationMs is not above 0/],
])('a manifest with %s is refused', (_case, more, because) => {
  const site = createSite()
  const envelope = site.hub.publish({ till: { objects: [configMap('a')], gates: ['night'] } }, more)
  const at = { trust: TRUST, site: SITE, siteId: SITE_ID, floor: null, hubNow: { known: 'exact', ms: NOW_MS } } as const
  expect(accept({ ...at, envelope })).toMatchObject({ verdict: 'refuse', because: expect.stringMatching(because) })
})
