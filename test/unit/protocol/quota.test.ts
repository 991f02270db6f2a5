import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { OutboxItem } from '../../../src/core/protocol/messages.ts'
import { isLossy, itemBytes, KEPT_QUOTA_BYTES, LOSSY_QUOTA_BYTES, pickItems } from '../../../src/core/protocol/quota.ts'

const item = (kind: OutboxItem['class'], seq: number, bytes = 100): OutboxItem => ({
  class: kind,
  seq,
  atMs: 0,
  body: { text: 'x'.repeat(bytes) },
})

describe('what one message takes of an outbox', () => {
  test('everything, where there is room', () => {
    const items = [item('result', 1), item('log', 2), item('audit', 3), item('metric', 4)]
    expect(pickItems(items)).toEqual({ items, dropped: [] })
  })

  test('of what must arrive as much as fits, in order, and nothing that comes after what waits', () => {
    const items = [item('result', 1, 60_000), item('audit', 2, 60_000), item('log', 3), item('result', 4)]
    expect(pickItems(items)).toEqual({ items: [items[0]], dropped: [] })
    expect(pickItems(items.slice(1))).toEqual({ items: items.slice(1), dropped: [] })
  })

  test('of what may be lost the newest', () => {
    const logs = Array.from({ length: 40 }, (_, i) => item('log', i + 1, 1_000))
    const { items, dropped } = pickItems([...logs, item('result', 41)])
    expect(items.length + dropped.length).toBe(41)
    expect(Math.max(...dropped.map(({ seq }) => seq))).toBeLessThan(items[0]!.seq)
    expect(items.at(-1)!.class).toBe('result')
  })

  test('a log storm takes no room from results, nor a metric storm from logs', () => {
    const storm = Array.from({ length: 500 }, (_, i) => item(i % 2 === 0 ? 'log' : 'metric', i + 1, 500))
    const results = Array.from({ length: 50 }, (_, i) => item('result', 501 + i))
    const { items } = pickItems([...storm, ...results])
    for (const kind of ['log', 'metric', 'result'] as const) expect(items.map((it) => it.class)).toContain(kind)
    expect(items.filter((it) => it.class === 'result')).toEqual(results)
  })
})

test('whatever is put in: every result and audit item is acknowledged only after it was sent, and the whole is drained', () => {
  const kinds = fc.constantFrom<OutboxItem['class']>('result', 'audit', 'metric', 'log')
  const outbox = fc.array(fc.tuple(kinds, fc.integer({ min: 0, max: 40_000 })), { maxLength: 60 })
  fc.assert(
    fc.property(outbox, (given) => {
      let left = given.map(([kind, bytes], i) => item(kind, i + 1, bytes))
      const kept = left.filter((it) => !isLossy(it.class)).map(({ seq }) => seq)
      const arrived: number[] = []
      for (let message = 0; left.length > 0; message++) {
        expect(message).toBeLessThan(200)
        const { items, dropped } = pickItems(left)
        expect(dropped.every((it) => isLossy(it.class))).toBe(true)
        for (const kind of ['metric', 'log'] as const)
          expect(bytesOf(items.filter((it) => it.class === kind))).toBeLessThanOrEqual(LOSSY_QUOTA_BYTES[kind])
        const must = items.filter((it) => !isLossy(it.class))
        expect(bytesOf(must.slice(0, -1))).toBeLessThanOrEqual(KEPT_QUOTA_BYTES)
        arrived.push(...must.map(({ seq }) => seq))
        const ack = Math.max(0, ...items.map(({ seq }) => seq))
        left = left.filter((it) => it.seq > ack && !dropped.includes(it))
      }
      expect(arrived).toEqual(kept)
    }),
    { numRuns: 300 },
  )
})

const bytesOf = (items: readonly OutboxItem[]): number => items.reduce((sum, it) => sum + itemBytes(it), 0)
