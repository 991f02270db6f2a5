import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { BACKOFF_MAX_MS, BACKOFF_MIN_MS, nextBackoffMs } from '../../../src/runtime/backoff.ts'

/** Ms after its first failure of each attempt of one that fails until `endMs`, and of the one that follows. */
function attempts(randoms: readonly number[], endMs: number): readonly number[] {
  const at = [0]
  let waitMs = 0
  for (let i = 0; (at.at(-1) ?? 0) <= endMs; i++) {
    waitMs = nextBackoffMs(waitMs, randoms[i % randoms.length] ?? 0, 0, at.at(-1))
    at.push((at.at(-1) ?? 0) + waitMs)
  }
  return at
}

const luck = fc.array(fc.double({ min: 0, max: 0.999_999, noNaN: true }), { minLength: 1, maxLength: 30 })

test('whoever was in vain for a minute or more comes back within as long again', () => {
  fc.assert(
    fc.property(luck, fc.integer({ min: 60_000, max: 600_000 }), (randoms, endMs) => {
      expect((attempts(randoms, endMs).at(-1) ?? 0) - endMs).toBeLessThanOrEqual(endMs)
    }),
  )
})

test('each wait lies between the least and the most', () => {
  fc.assert(
    fc.property(luck, fc.integer({ min: 1_000, max: 7_200_000 }), (randoms, endMs) => {
      const at = attempts(randoms, endMs)
      for (const [i, ms] of at.entries()) {
        if (i === 0) continue
        const waitMs = Math.round(ms - (at[i - 1] ?? 0))
        expect(waitMs).toBeGreaterThanOrEqual(BACKOFF_MIN_MS)
        expect(waitMs).toBeLessThanOrEqual(BACKOFF_MAX_MS)
      }
    }),
  )
})

test('a long outage costs no more attempts than one in a few minutes', () => {
  const day = attempts([0.5], 86_400_000)
  expect(day.length).toBeLessThan((86_400_000 / BACKOFF_MAX_MS) * 2.5)
})

test('who is asked to wait waits, and a little longer than that', () => {
  expect(nextBackoffMs(1_000, 0.5, 30_000, 0)).toBe(30_500)
})
