import { expect, test } from 'vitest'
import type { SyncUp } from '../../../src/core/protocol/messages.ts'
import type { HubLink, SyncAnswer, SyncBases } from '../../../src/core/protocol/ports.ts'
import { VirtualClock } from '../../../src/sim/clock.ts'
import { FaultyLink, type Weather } from '../../../src/sim/link.ts'

const never = new AbortController().signal
const up = { v: 1 } as SyncUp
const bases = {} as SyncBases

function linkIn(weather: Partial<Weather>, seed = 1) {
  const clock = new VirtualClock()
  const heard: SyncUp[] = []
  const inner: HubLink = {
    sync: async (message) => {
      heard.push(message)
      return {} as SyncAnswer
    },
    blob: async () => new Uint8Array([1]),
    close: async () => undefined,
  }
  return { clock, heard, link: new FaultyLink(inner, { clock, seed, weather }) }
}

/** Outcomes of so many exchanges, one after the other. */
async function outcomes(made: ReturnType<typeof linkIn>, count: number): Promise<readonly string[]> {
  const seen: string[] = []
  for (let i = 0; i < count; i++) {
    void made.link.sync(up, bases, never).then(
      () => seen.push('ok'),
      (error: { reason: string }) => seen.push(error.reason),
    )
    await made.clock.advance(60_000)
  }
  return seen
}

test('in clear weather everything passes, at once', async () => {
  const made = linkIn({})
  expect(await outcomes(made, 3)).toEqual(['ok', 'ok', 'ok'])
  expect(made.heard).toHaveLength(3)
})

test('in the dark nothing passes, and the caller knows at once', async () => {
  const made = linkIn({ dark: true })
  expect(await outcomes(made, 2)).toEqual(['Unreachable', 'Unreachable'])
  expect(made.heard).toEqual([])
  made.link.become({ dark: false })
  expect(await outcomes(made, 1)).toEqual(['ok'])
})

test('what is lost on the way up was not heard; on the way down it was', async () => {
  const upward = linkIn({ lossUp: 1 })
  expect(await outcomes(upward, 1)).toEqual(['Timeout'])
  expect(upward.heard).toHaveLength(0)
  const downward = linkIn({ lossDown: 1 })
  expect(await outcomes(downward, 1)).toEqual(['Timeout'])
  expect(downward.heard).toHaveLength(1)
})

test('a link that goes dark under an exchange gives no answer', async () => {
  const made = linkIn({ delayMs: [100, 100], timeoutMs: 1_000 })
  const asked = made.link.sync(up, bases, never)
  const settled = asked.then(
    () => 'ok',
    (error: { reason: string }) => error.reason,
  )
  await made.clock.advance(150)
  made.link.become({ dark: true })
  await made.clock.advance(2_000)
  expect(await settled).toBe('Timeout')
  expect(made.heard).toHaveLength(1)
})

test('half is lost at a loss of half, the same half for the same seed', async () => {
  const first = await outcomes(linkIn({ lossUp: 0.5 }, 9), 200)
  const lost = first.filter((one) => one === 'Timeout').length
  expect(lost).toBeGreaterThan(70)
  expect(lost).toBeLessThan(130)
  expect(await outcomes(linkIn({ lossUp: 0.5 }, 9), 200)).toEqual(first)
  expect(await outcomes(linkIn({ lossUp: 0.5 }, 10), 200)).not.toEqual(first)
})

test('a repeated message is heard twice and answered once', async () => {
  const made = linkIn({ duplicate: 1 })
  expect(await outcomes(made, 1)).toEqual(['ok'])
  expect(made.heard).toHaveLength(2)
})
