import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { pacedClock } from '../../../src/runtime/clock.ts'

const signal = new AbortController().signal

test('a paced clock starts where it is told, and sleeps in its own time', async () => {
  using clock = pacedClock(1_000, 2, 5_000_000)
  expect(clock.nowMs()).toBe(5_000_000)
  const began = clock.monotonicMs()
  await clock.sleep(20_000, signal)
  expect(clock.monotonicMs() - began).toBe(20_000)
  expect(clock.nowMs()).toBe(5_020_000)
})

test('time in which the process was busy does not pass', async () => {
  using clock = pacedClock(1_000, 2, 0)
  await clock.sleep(2_000, signal)
  const before = clock.nowMs()
  const end = performance.now() + 60
  while (performance.now() < end) void 0
  await sleep(0)
  // Sixty real ms would be sixty seconds of the fast time.
  expect(clock.nowMs() - before).toBeLessThanOrEqual(6_000)
})

test('sleepers wake in the order of their times, and one that is given up rejects', async () => {
  using clock = pacedClock(1, 1, 0)
  const woke: number[] = []
  const stop = new AbortController()
  const given = clock.sleep(3, stop.signal).catch((error: unknown) => (error as Error).message)
  stop.abort(new Error('given up'))
  await Promise.all([5, 1, 3].map(async (ms) => clock.sleep(ms, signal).then(() => woke.push(ms))))
  expect(woke).toEqual([1, 3, 5])
  expect(await given).toBe('given up')
})
