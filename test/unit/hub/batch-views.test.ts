import { expect, test } from 'vitest'
import { createFacts } from '../../../src/agent/facts.ts'
import { readPast } from '../../../src/core/batch/past.ts'
import { digestJson } from '../../../src/core/model/digest.ts'
import type { JsonObject } from '../../../src/core/model/json.ts'
import type { SyncUp } from '../../../src/core/protocol/messages.ts'
import { batchPage, hearFacts, pastOf, type SaidFacts } from '../../../src/hub/batch-views.ts'
import type { World } from '../../../src/hub/world.ts'

const NOW_MS = 1_000_000

function batch(queue: string): JsonObject {
  return { batch: { format: 1, timeZone: 'UTC', queues: [{ name: queue }], nodes: [], jobs: [], leftOut: 0 } }
}

/** One exchange: what the site says reaches the hub, which may ask for it. */
function exchange(site: ReturnType<typeof createFacts>, hub: Map<string, SaidFacts>): JsonObject | undefined {
  const up = site.next()
  const asked = hearFacts(hub, 'dk-0101', up as SyncUp, NOW_MS)
  site.acknowledged()
  if (asked) site.asked()
  return up.facts
}

test('facts travel when they changed, and once more to a hub that lost them', () => {
  let now: JsonObject = {}
  const site = createFacts(() => now)
  let hub = new Map<string, SaidFacts>()
  expect(exchange(site, hub)).toBeUndefined()
  expect(hub.size).toBe(0)
  now = batch('night')
  expect(exchange(site, hub)).toEqual(now)
  expect(exchange(site, hub)).toBeUndefined()
  now = batch('day')
  expect(exchange(site, hub)).toEqual(now)
  hub = new Map()
  expect(exchange(site, hub)).toBeUndefined()
  expect(exchange(site, hub)).toEqual(now)
  expect(hub.get('dk-0101')?.digest).toBe(digestJson('facts', now))
  now = {}
  expect(exchange(site, hub)).toEqual({})
})

test('a fleet is shown page by page, sites that said nothing are left out, an unknown one is said', () => {
  const names = ['a', 'b', 'c', 'd']
  const siteFacts = new Map(
    ['a', 'c', 'd'].map((name) => [
      name,
      { digest: digestJson('facts', {}), facts: batch(name), atMs: 5, storeEpoch: 's' },
    ]),
  )
  const world = { sites: new Map(names.map((name) => [name, {}])), siteFacts } as unknown as World
  const first = batchPage(world, { limit: 2 }, NOW_MS)
  expect(first.items.map(({ site, saidMs }) => [site, saidMs])).toEqual([['a', 5], ['c', 5]]) // prettier-ignore
  expect(first).toMatchObject({ total: 3, next: 'c' })
  expect(batchPage(world, { cursor: 'c' }, NOW_MS)).toMatchObject({ items: [{ site: 'd' }], next: null })
  expect(batchPage(world, { sites: ['b', 'a'] }, NOW_MS).items.map(({ site }) => site)).toEqual(['a'])
  expect(() => batchPage(world, { sites: ['x'] }, NOW_MS)).toThrow('there is no site x')
})

test('a site that comes with another store is told which of its jobs were over, until it speaks of them again', () => {
  const said = new Map<string, SaidFacts>()
  const over = { uid: 'a'.repeat(32), code: 'CD' }
  const job = { id: 'train', arrayJobId: 'train', name: 'train', partition: 'night', user: 'git', code: 'CD', submitMs: 5, startMs: 6, endMs: 9, over } // prettier-ignore
  const facts = { batch: { format: 1, timeZone: 'UTC', jobs: [job, { ...job, id: 'run', code: 'R', over: null }], nodes: [], queues: [], leftOut: 0 } } // prettier-ignore
  const up = (storeEpoch: string, more: object = {}): SyncUp =>
    ({ siteId: 'i', storeEpoch, ...more }) as unknown as SyncUp
  expect(pastOf(said.get('a'), 'a', up('one'), NOW_MS)).toBeUndefined()
  hearFacts(said, 'a', up('one', { facts, factsDigest: digestJson('facts', facts) }), NOW_MS)
  expect(pastOf(said.get('a'), 'a', up('one'), NOW_MS)).toBeUndefined()
  const told = { kind: 'past', jobs: [{ ...over, submitMs: 5, startMs: 6, endMs: 9 }] }
  expect(pastOf(said.get('a'), 'a', up('two'), NOW_MS)).toEqual(told)
  expect(readPast([told])).toEqual(told.jobs)
  expect(pastOf(said.get('a'), 'a', up('two', { siteId: 'another box' }), NOW_MS)).toBeUndefined()
  hearFacts(said, 'a', up('two', { facts, factsDigest: digestJson('facts', facts) }), NOW_MS)
  expect(pastOf(said.get('a'), 'a', up('two'), NOW_MS)).toBeUndefined()
})
