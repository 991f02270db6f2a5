import { expect, test } from 'vitest'
import { Fault } from '../../../src/core/model/fault.ts'
import { Bell } from '../../../src/hub/bell.ts'
import type { HubStore } from '../../../src/hub/store.ts'
import { VirtualClock } from '../../../src/sim/clock.ts'
import { shops } from './files.ts'
import { ADMIN, Rig, STEP_MS } from './rig.ts'

/** What runs on promises alone is over after some turns of the event loop. */
async function breathe(rig: Rig, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) {
    await rig.clock.advance(100)
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve))
  }
}

test('run: a commit is seen at the next poll, a report wakes the next decision, and the end writes down what was in memory', async () => {
  await using rig = await Rig.open()
  rig.git.commit(shops({ sites: ['s1'] }))
  const stop = new AbortController()
  const running = rig.hub.run(stop.signal)
  await breathe(rig, 300)
  expect((await rig.hub.api.status()).source.revision).toBe('1'.padStart(40, '0'))
  expect(rig.hub.api.ready.ok).toBe(true)
  const site = await rig.join('s1')
  await breathe(rig, 500)
  // Its first word makes it due in the fleet's first rollout; the next one fetches what that decided.
  await site.turn()
  await breathe(rig, 500)
  await site.turn()
  expect(site.releaseOf('web')).toBeDefined()
  rig.git.commit(shops({ sites: ['s1'], tag: '2' }))
  await breathe(rig, 500)
  expect((await rig.hub.api.status()).source.seen).toBeNull()
  // Not before the poll is due, unless somebody asks.
  await rig.hub.api.reconcile(ADMIN)
  await breathe(rig, 200)
  expect((await rig.hub.api.status()).source.revision).toBe('2'.padStart(40, '0'))
  for (let i = 0; i < 20; i++) {
    await site.turn()
    await breathe(rig, 400)
  }
  stop.abort()
  await running
  const kept = await rig.store.load()
  expect(kept.meta.get('timeFloorMs')).toBeDefined()
  expect(kept.sites[0]?.lastContactMs).toBeGreaterThan(rig.clock.nowMs() - STEP_MS)
})

test('a bell that rang before anybody waited is heard, and many rings are one', async () => {
  const clock = new VirtualClock()
  const bell = new Bell()
  const never = new AbortController().signal
  bell.ring()
  bell.ring()
  await bell.wait(null, clock, never)
  let heard = false
  const waiting = bell.wait(1_000, clock, never).then(() => (heard = true))
  await clock.advance(999)
  expect(heard).toBe(false)
  await clock.advance(1)
  await waiting
  const stop = new AbortController()
  const ended = bell.wait(null, clock, stop.signal)
  stop.abort(new Error('end'))
  await expect(ended).rejects.toThrow('end')
})

/** The same store, whose nth commit from now on fails, before or after it was durable. */
function failing(store: HubStore, nth: number, when: 'before' | 'after'): HubStore {
  let count = 0
  return new Proxy(store, {
    get(target, name) {
      if (name === 'commit')
        return async (change: Parameters<HubStore['commit']>[0]) => {
          const written = target.written
          if (when === 'before') {
            if (++count === nth) throw new Fault('StoreFull', 'no room')
            return target.commit(change)
          }
          await target.commit(change)
          if (target.written > written && ++count === nth)
            throw new Fault('StoreFailed', 'the power went after the commit')
        }
      const value = Reflect.get(target, name) as unknown
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value
    },
  })
}

test.each(['before', 'after'] as const)(
  'a store that fails %s any one commit loses nothing and doubles nothing',
  async (when) => {
    for (let nth = 1; nth <= 14; nth++) {
      await using rig = await Rig.open()
      rig.git.commit(shops({ sites: ['s1', 's2'] }))
      await rig.settle()
      const sites = [await rig.join('s1'), await rig.join('s2')]
      await rig.run(sites, 40)
      const before = sites.map(({ floor }) => floor?.generation.counter ?? 0)
      rig.git.commit(shops({ sites: ['s1', 's2'], tag: '2' }))
      await rig.restart({}, (store) => failing(store, nth, when))
      let faults = 0
      const tolerate = async (step: () => Promise<unknown>): Promise<void> => {
        try {
          await step()
        } catch (error) {
          expect((error as Fault).reason).toMatch(/^Store/)
          faults += 1
        }
      }
      for (let i = 0; i < 14; i++) {
        await tolerate(() => rig.settle())
        for (const site of sites) await tolerate(() => site.turn())
        await rig.clock.advance(STEP_MS)
      }
      expect([when, nth, faults]).toEqual([when, nth, 1])
      expect((await rig.hub.api.rollout('web')).phase).toBe('Completed')
      expect(new Set(sites.map((site) => site.releaseOf('web'))).size).toBe(1)
      for (const [i, { floor }] of sites.entries())
        expect((floor?.generation.counter ?? 0) - (before[i] ?? 0)).toBeLessThanOrEqual(2)
    }
  },
)
