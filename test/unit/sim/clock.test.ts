import { expect, test } from 'vitest'
import { VirtualClock } from '../../../src/sim/clock.ts'

const never = new AbortController().signal

test('sleepers wake in the order of their time, then of their asking, and each sees its own time', async () => {
  const clock = new VirtualClock()
  const woken: string[] = []
  for (const [name, ms] of [
    ['c', 30],
    ['a', 10],
    ['b', 10],
  ] as const)
    void clock.sleep(ms, never).then(() => woken.push(`${name}@${clock.monotonicMs()}`))
  await clock.advance(20)
  expect(woken).toEqual(['a@10', 'b@10'])
  await clock.advance(20)
  expect(woken).toEqual(['a@10', 'b@10', 'c@30'])
  expect(clock.monotonicMs()).toBe(40)
})

test('who sleeps again within the time wakes again within it', async () => {
  const clock = new VirtualClock()
  const at: number[] = []
  void (async () => {
    for (let i = 0; i < 5; i++) {
      await clock.sleep(10, never)
      at.push(clock.monotonicMs())
    }
  })()
  await clock.advance(45)
  expect(at).toEqual([10, 20, 30, 40])
})

test('an aborted sleeper leaves with the reason and is waited for no more', async () => {
  const clock = new VirtualClock()
  const stop = new AbortController()
  const sleeping = clock.sleep(10, stop.signal)
  stop.abort(new Error('enough'))
  await expect(sleeping).rejects.toThrow('enough')
  expect(clock.nextDueMs).toBeUndefined()
})

test('the wall clock may jump; the monotonic one does not follow', async () => {
  const clock = new VirtualClock(1_000_000)
  await clock.advance(5)
  clock.jump(-10_000)
  expect(clock.nowMs()).toBe(990_005)
  expect(clock.monotonicMs()).toBe(5)
})

test('it runs until something holds, and says when that never comes', async () => {
  const clock = new VirtualClock()
  let done = false
  void clock.sleep(500, never).then(() => {
    done = true
  })
  expect(await clock.runUntil(() => done, 1_000)).toBe(true)
  expect(clock.monotonicMs()).toBe(500)
  expect(await clock.runUntil(() => false, 1_000)).toBe(false)
})
