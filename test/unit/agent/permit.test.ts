/** Permits: nothing begins before `startAfter` or after `startBy` without a fresh word, whatever the site's own clock says. */
import { describe, expect, test } from 'vitest'
import { isObject } from '../../../src/core/model/json.ts'
import { configMap, createSite, liveOf, SIGNAL, type Site } from './site.ts'

const DECADE_MS = 10 * 365 * 86_400_000
const HOUR_MS = 3_600_000

const told = (a: string, permit: { startAfterMs?: number; startByMs?: number } = {}) => ({
  till: { objects: [configMap('settings', { a })], ...permit },
})

/** At the first release, with the second in hand under this permit, and the hub away. */
async function holding(permit: (nowMs: number) => { startAfterMs?: number; startByMs?: number }): Promise<Site> {
  const site = createSite()
  site.hub.publish(told('1'))
  await site.agent.exchange(SIGNAL)
  await site.settle()
  site.hub.publish(told('2', permit(site.clock.nowMs())))
  await site.agent.exchange(SIGNAL)
  site.hub.reachable = false
  return site
}

async function has(site: Site): Promise<unknown> {
  await site.agent.turn(SIGNAL)
  await site.agent.turn(SIGNAL)
  const data = (await liveOf(site, configMap('settings')))?.['data']
  return isObject(data) ? data['a'] : undefined
}

const waits = (site: Site) => site.agent.status().workloads[0]?.waiting?.reason

type Upset = readonly [string, (site: Site) => void]
const UPSETS: readonly Upset[] = [
  ['nothing happens', () => undefined],
  ['the process is started anew', (site) => site.restart(null)],
  ['its clock jumps ten years ahead', (site) => site.clock.jump(DECADE_MS)],
  ['its clock jumps ten years back', (site) => site.clock.jump(-DECADE_MS)],
  [
    'its clock jumps ten years ahead and the process is started anew',
    (site) => {
      site.clock.jump(DECADE_MS)
      site.restart(null)
    },
  ],
  [
    'its clock jumps ten years back and the process is started anew',
    (site) => {
      site.clock.jump(-DECADE_MS)
      site.restart(null)
    },
  ],
]

describe('before startAfter nothing begins, and at it it does, by the machine’s own time, where', () => {
  test.each(UPSETS)('%s', async (_case, upset) => {
    const site = await holding((nowMs) => ({ startAfterMs: nowMs + HOUR_MS }))
    expect(await has(site)).toBe('1')
    upset(site)
    expect(await has(site)).toBe('1')
    await site.clock.advance(HOUR_MS - 10_000)
    expect(await has(site)).toBe('1')
    expect(waits(site)).toBe('WindowClosed')
    await site.clock.advance(20_000)
    expect(await has(site)).toBe('2')
  })
})

describe('after startBy nothing begins without a fresh word, where', () => {
  test.each(UPSETS)('%s', async (_case, upset) => {
    // Not begun in time: it was paused at the box.
    const site = await holding((nowMs) => ({ startByMs: nowMs + HOUR_MS }))
    site.agent.desk.say({ kind: 'pause', by: 'ann', reason: 'stocktaking', forMs: null })
    expect(await has(site)).toBe('1')
    await site.clock.advance(HOUR_MS + 10_000)
    site.agent.desk.say({ kind: 'resume', by: 'ann', workload: null })
    const wallMs = site.clock.nowMs()
    upset(site)
    expect(await has(site)).toBe('1')
    expect(waits(site)).toBe('PermitExpired')
    await site.clock.advance(24 * HOUR_MS)
    expect(await has(site)).toBe('1')
    // The hub's clock is right, whatever the site's was.
    site.clock.jump(wallMs + 24 * HOUR_MS - site.clock.nowMs())
    site.hub.reachable = true
    site.restart()
    await site.agent.exchange(SIGNAL)
    expect(await has(site)).toBe('1')
    site.hub.publish(told('2', { startByMs: site.clock.nowMs() + HOUR_MS }))
    await site.agent.exchange(SIGNAL)
    expect(await has(site)).toBe('2')
  })
})

describe('after the machine was started anew with no hub nobody knows the time, so nothing begins', () => {
  test.each([
    ['within the permit by its own clock', 0],
    ['ten years ahead by its own clock', DECADE_MS],
    ['ten years back by its own clock', -DECADE_MS],
  ])('%s', async (_case, jumpMs) => {
    const site = await holding((nowMs) => ({ startAfterMs: nowMs + HOUR_MS, startByMs: nowMs + 48 * HOUR_MS }))
    site.machine.bootId = 'another'
    site.clock.jump(jumpMs)
    site.restart(null)
    await site.clock.advance(2 * HOUR_MS)
    expect(await has(site)).toBe('1')
    expect(waits(site)).toBe('ClockUnknown')
    site.clock.jump(-jumpMs)
    site.hub.reachable = true
    site.restart()
    await site.agent.exchange(SIGNAL)
    expect(await has(site)).toBe('2')
  })

  test('and what is over by the last word of the hub stays over', async () => {
    const site = await holding((nowMs) => ({ startByMs: nowMs + HOUR_MS }))
    site.agent.desk.say({ kind: 'pause', by: 'ann', reason: 'stocktaking', forMs: null })
    await site.clock.advance(HOUR_MS + 10_000)
    site.hub.reachable = true
    await site.agent.exchange(SIGNAL)
    site.machine.bootId = 'another'
    site.restart(null)
    site.agent.desk.say({ kind: 'resume', by: 'ann', workload: null })
    expect(await has(site)).toBe('1')
    expect(waits(site)).toBe('PermitExpired')
  })
})

test('what has begun goes on after startBy, through a restart and a decade', async () => {
  const site = createSite()
  site.hub.publish(told('1'))
  await site.agent.exchange(SIGNAL)
  await site.settle()
  site.hub.publish(told('2', { startByMs: site.clock.nowMs() + HOUR_MS }))
  await site.agent.exchange(SIGNAL)
  expect(await has(site)).toBe('2')
  await site.cluster.delete(
    configMap('settings'),
    { group: '', kind: 'ConfigMap', namespace: 'shop', name: 'settings' },
    {},
    SIGNAL,
  )
  await site.clock.advance(2 * HOUR_MS)
  site.clock.jump(-DECADE_MS)
  site.restart(null)
  await site.settle(4)
  expect(await has(site)).toBe('2')
})
