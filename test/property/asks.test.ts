/**
 * Whatever the link loses, whoever says it again, and whenever the agent ends: an order is done at most once and never after its
 * expiry by the hub's time, and every one that was taken ends in exactly one answer. The oracle counts what the batch room was asked.
 */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { StoreWrite } from '../../src/agent/ports.ts'
import { Fault } from '../../src/core/model/fault.ts'
import type { JsonObject } from '../../src/core/model/json.ts'
import { readAskWord, sealAsk } from '../../src/core/protocol/ask.ts'
import { HUB, SITE, SITE_ID } from '../unit/protocol/fixed.ts'
import { createSite, SIGNAL, type Site } from '../unit/agent/site.ts'

const ORDERS = 4
const GOOD_FOR_MS = 60_000
const RUNS = 60

type Event =
  /** The hub brings these; `lost`: its answer does not arrive. `patience`: what was begun may end before the next event. */
  | {
      readonly kind: 'exchange'
      readonly brings: readonly number[]
      readonly lost: boolean
      readonly patience: boolean
    }
  | { readonly kind: 'restart' }
  /** From here on the process does what it is asked and dies before it can write down how it went, until it is started anew. */
  | { readonly kind: 'dying' }
  | { readonly kind: 'time'; readonly ms: number }

const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('exchange' as const), brings: fc.uniqueArray(fc.nat(ORDERS - 1)), lost: fc.boolean(), patience: fc.boolean() }) }, // prettier-ignore
  { weight: 2, arbitrary: fc.constant({ kind: 'restart' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'dying' as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('time' as const), ms: fc.nat(2 * GOOD_FOR_MS) }) },
)

function orderOf(site: Site, index: number, startMs: number): JsonObject {
  const script = `#!/bin/sh\n#SBATCH --job-name=job-${index} --container-image=x\ntrue\n`
  const issued = new Date(startMs).toISOString()
  const expires = new Date(startMs + GOOD_FOR_MS).toISOString()
  const args = { script, name: 'x', options: [], args: [] }
  return sealAsk({ id: `order-${index}-0000`, site: SITE, siteId: SITE_ID, timeEpoch: 1, verb: 'sbatch', args, by: 'ann', issued, expires, most: 10_000 }, HUB) // prettier-ignore
}

test('an order is done once at most, in its time, and ends in one answer', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 20 }), async (events) => {
      let dying = false
      const site = createSite({
        storeOf: (real) =>
          new Proxy(real, {
            get(object, name) {
              const value: unknown = Reflect.get(object, name)
              if (typeof value !== 'function') return value
              if (name !== 'write') return value.bind(object) as unknown
              return (write: StoreWrite) => {
                if (dying && write.outbox?.some(({ body }) => body['part'] !== undefined) === true)
                  throw new Fault('StoreFailed', 'it died')
                return object.write(write)
              }
            },
          }),
      })
      const startMs = site.clock.nowMs()
      const orders = Array.from({ length: ORDERS }, (_, index) => orderOf(site, index, startMs))
      const sync = site.hub.sync.bind(site.hub)
      let lost = false
      site.hub.sync = async (up) => {
        const answer = await sync(up)
        if (lost) throw new Fault('Unreachable', 'cut')
        return answer
      }
      const done = new Map<string, number>()
      const count = (): void => {
        for (const { record } of site.agent.batch.state().journal.jobs().values()) {
          const name = record.name.replace(/^(job-\d).*$/, '$1')
          if (!done.has(record.uid))
            expect(record.createdMs, `${name} in time`).toBeLessThanOrEqual(startMs + GOOD_FOR_MS)
          done.set(record.uid, Number(name.at(-1)))
        }
      }
      for (const one of events) {
        if (one.kind === 'restart') {
          dying = false
          site.restart()
        } else if (one.kind === 'dying') dying = true
        else if (one.kind === 'time') await site.clock.advance(one.ms)
        else {
          lost = one.lost
          site.hub.asks = one.brings.map((index) => orders[index]!)
          await site.agent.exchange(SIGNAL).catch(() => undefined)
          if (one.patience) await site.agent.asked()
        }
        count()
      }
      // The link heals, a process that was to die is dead, and nobody asks for anything any more.
      lost = false
      if (dying) site.restart()
      dying = false
      site.hub.asks = []
      await site.agent.asked()
      for (let i = 0; i < 3; i++) await site.agent.exchange(SIGNAL)
      count()

      const items = new Map(site.hub.heard.flatMap(({ outbox }) => outbox).map((item) => [item.seq, item] as const))
      const said = [...items.values()].flatMap(({ body }) => readAskWord(body) ?? [])
      for (let index = 0; index < ORDERS; index++) {
        const id = `order-${index}-0000`
        const times = [...done.values()].filter((of) => of === index).length
        const answers = said.filter((word) => word.id === id && 'part' in word && word.part + 1 === word.of).length
        const taken = said.some((word) => word.id === id && 'taken' in word)
        expect(times, `${id} was done`).toBeLessThanOrEqual(1)
        if (times === 1) expect(taken, `${id} was taken before it was done`).toBe(true)
        expect(answers, `${id} was answered`).toBeLessThanOrEqual(1)
        if (taken) expect(answers, `${id} has its end`).toBe(1)
      }
      expect(site.store.outbox()).toEqual([])
    }),
    { numRuns: RUNS },
  )
})
