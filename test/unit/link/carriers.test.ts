/** What a site and its hub may expect of each other, whichever carries it: one suite, run over POSTs and over the WebSocket. */
import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { SiteIdentity } from '../../../src/adapters/link/identity.ts'
import type { LinkClientOptions } from '../../../src/adapters/link/types.ts'
import { digestBytes } from '../../../src/core/model/digest.ts'
import type { HubLink } from '../../../src/core/protocol/ports.ts'
import { MANIFEST, NO_BASES, startBench, upOf, type Bench } from './hub-twin.ts'
import { cuttingRelay } from './relay.ts'

const signal = (): AbortSignal => AbortSignal.timeout(20_000)
const POLLS_MS = 60_000

type Carried = (bench: Bench, me: SiteIdentity, options?: Partial<LinkClientOptions>) => Promise<HubLink>

/** A link that has had its first exchange. */
const post: Carried = async (bench, me, options) => {
  const link = bench.link(me, options)
  await link.sync(upOf(me), NO_BASES, signal())
  return link
}
const socket: Carried = async (bench, me, options) => {
  const link = await post(bench, me, options)
  expect(await link.rest!(POLLS_MS, () => undefined)).toEqual({ by: 'socket' })
  return link
}

describe.each([
  ['POST', post],
  ['WebSocket', socket],
])('over %s', (name, open) => {
  const connectionsOf = (bench: Bench): number[] => [bench.server.stats().connections, bench.server.stats().handshakes]

  test('manifests come as deltas, and nothing to a site that is current, all on one connection', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    const link = await open(bench, me)
    const handshakes = bench.server.stats().handshakes
    const one = bench.hub.publish({ ...MANIFEST, site: me.site, siteId: me.siteId })
    const first = await link.sync(upOf(me, { seq: 2 }), NO_BASES, signal())
    expect(Buffer.from(first.manifest!.payload).equals(one.envelope.payload)).toBe(true)
    const have = { generation: one.manifest.generation, root: one.manifest.root, body: one.body }
    const bases = { manifest: one.envelope.payload, blob: () => undefined }
    expect((await link.sync(upOf(me, { have, seq: 3 }), bases, signal())).manifest).toBeUndefined()
    const two = bench.hub.publish({ ...MANIFEST, site: me.site, siteId: me.siteId, generation: { epoch: 1, counter: 2 } }) // prettier-ignore
    const next = await link.sync(upOf(me, { have, seq: 4 }), bases, signal())
    expect(next.head.manifest?.base).toBe(one.body)
    expect(Buffer.from(next.manifest!.payload).equals(two.envelope.payload)).toBe(true)
    expect(next.head.ack).toBe(4)
    expect(connectionsOf(bench)).toEqual([1, handshakes])
    expect(bench.server.stats().sockets).toBe(name === 'WebSocket' ? 1 : 0)
  })

  test('an idle exchange costs a few hundred bytes', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    const link = await open(bench, me)
    for (let seq = 2; seq < 4; seq++) await link.sync(upOf(me, { seq }), NO_BASES, signal())
    const { bytes } = await link.sync(upOf(me, { seq: 5, nonce: 'BBBBBBBBBBBBBBBB' }), NO_BASES, signal())
    expect(bytes.up + bytes.down).toBeLessThan(name === 'WebSocket' ? 360 : 480)
  })

  test('blobs of every size arrive, in pieces, and a sync passes between them', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    const link = await open(bench, me)
    const order: number[] = []
    const sizes = [0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 2_000_000]
    const fetched = sizes.map(async (size) => {
      const bytes = randomBytes(size)
      const got = await link.blob('config', bench.hub.put('config', bytes), signal())
      expect(Buffer.from(got).equals(bytes)).toBe(true)
      order.push(size)
    })
    const synced = link.sync(upOf(me, { seq: 2 }), NO_BASES, signal()).then(() => order.push(-1))
    await Promise.all([...fetched, synced])
    expect(order.indexOf(-1)).toBeLessThan(order.length - 1)
    expect(bench.server.stats().connections).toBe(1)
  })

  test('a blob that is not there, is another’s, or is not what its name says', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    const link = await open(bench, me)
    const wrong = digestBytes('object', 'right')
    bench.hub.blobs.set(wrong, { domain: 'object', bytes: Buffer.from('wrong') })
    const release = bench.hub.put('release', Buffer.from('{}'))
    for (const [digest, reason] of [
      [digestBytes('object', 'no'), 'NotFound'],
      [release, 'NotFound'],
      [wrong, 'BlobMismatch'],
    ] as const)
      await expect(link.blob('object', digest, signal())).rejects.toMatchObject({ reason })
  })

  test('a blob over a link that is cut again and again goes on where it was cut', async () => {
    await using bench = await startBench()
    const bytes = randomBytes(300_000)
    const digest = bench.hub.put('object', bytes)
    const me = await bench.join('0417')
    await using relay = await cuttingRelay(bench.server.port, (i) => (i === 0 ? 60_000 : 20_000 + i * 9_000))
    const link = await open(bench, { ...me, hubUrl: relay.url }, { limits: { barrenAttempts: 5 } })
    expect(Buffer.from(await link.blob('object', digest, signal())).equals(bytes)).toBe(true)
    expect(relay.connections).toBeGreaterThan(4)
    expect(relay.connections).toBeLessThan(12)
  })

  test('a site that asks too often waits, and goes on on the same connection', async () => {
    await using bench = await startBench({ ratePerKey: 0.01, burstPerKey: 3 })
    const me = await bench.join('0417')
    const link = await open(bench, me)
    const outcomes: string[] = []
    for (let seq = 2; seq < 6; seq++)
      outcomes.push(
        await link.sync(upOf(me, { seq }), NO_BASES, signal()).then(
          () => 'served',
          (error: { reason: string; retryAfterMs?: number }) => `${error.reason} ${typeof error.retryAfterMs}`,
        ),
      )
    expect(outcomes.at(-1)).toBe('Throttled number')
    expect(bench.server.stats().connections).toBe(1)
  })

  test('a key that is retired is refused at its next word, for blobs too', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    const link = await open(bench, me)
    const [hash] = bench.hub.keys.keys()
    bench.hub.keys.set(hash!, { ...bench.hub.keys.get(hash!)!, state: 'retired' })
    await expect(link.sync(upOf(me, { seq: 2 }), NO_BASES, signal())).rejects.toMatchObject({ reason: 'KeyRetired' })
    const digest = bench.hub.put('object', Buffer.from('x'))
    await expect(link.blob('object', digest, signal())).rejects.toMatchObject({ reason: 'KeyRetired' })
  })

  test('a report that speaks for another site is refused, and does not reach the hub', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    const link = await open(bench, me)
    await expect(link.sync(upOf({ ...me, site: '0418' }), NO_BASES, signal())).rejects.toMatchObject({
      reason: 'WrongSite',
    })
    expect(bench.hub.seen.length).toBe(1)
  })

  test('exchanges beyond the room for them are told to come again, and do', async () => {
    await using bench = await startBench({ exchanges: 1 })
    const [one, two] = [await bench.join('0417'), await bench.join('0418')]
    const [first, second] = [await open(bench, one), await open(bench, two)]
    const inside = Promise.withResolvers<void>()
    const go = Promise.withResolvers<void>()
    bench.hub.work = () => {
      inside.resolve()
      return go.promise
    }
    const slow = first.sync(upOf(one, { seq: 2 }), NO_BASES, signal())
    await inside.promise
    await expect(second.sync(upOf(two, { seq: 2 }), NO_BASES, signal())).rejects.toMatchObject({ reason: 'Throttled' })
    go.resolve()
    await slow
    expect((await second.sync(upOf(two, { seq: 3 }), NO_BASES, signal())).head.ack).toBe(3)
    expect(bench.server.stats().connections).toBe(2)
  })

  test('a site that goes away within an exchange is not worked for', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    const link = await open(bench, me)
    const stopped = Promise.withResolvers<void>()
    const caller = new AbortController()
    bench.hub.work = (gone) => {
      gone.addEventListener('abort', () => stopped.resolve(), { once: true })
      caller.abort()
      return stopped.promise
    }
    const left = link.sync(upOf(me, { seq: 2 }), NO_BASES, caller.signal)
    await expect(left).rejects.toMatchObject({ reason: 'Cancelled' })
    await stopped.promise
  })

  test('a hub that goes down lets an exchange in progress end, and hangs up on the idle', async () => {
    await using bench = await startBench()
    const [busy, idle] = [await bench.join('0417'), await bench.join('0418')]
    const [busyLink, idleLink] = [await open(bench, busy), await open(bench, idle)]
    const inside = Promise.withResolvers<void>()
    const go = Promise.withResolvers<void>()
    bench.hub.work = () => {
      inside.resolve()
      return go.promise
    }
    const last = busyLink.sync(upOf(busy, { seq: 9 }), NO_BASES, signal())
    await inside.promise
    const closed = bench.server.close(5_000)
    await expect(idleLink.sync(upOf(idle), NO_BASES, signal())).rejects.toMatchObject({ reason: 'Unreachable' })
    go.resolve()
    expect((await last).head.ack).toBe(9)
    await closed
  })

  test('an exchange that never ends is not waited for when the hub goes down', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    const link = await open(bench, me)
    const inside = Promise.withResolvers<void>()
    bench.hub.work = (gone) => {
      inside.resolve()
      return new Promise((_, reject) => gone.addEventListener('abort', () => reject(gone.reason as Error)))
    }
    const last = link.sync(upOf(me, { seq: 2 }), NO_BASES, signal()).catch((error: unknown) => error)
    await inside.promise
    await bench.server.close(10)
    expect(await last).toMatchObject({ reason: 'Unreachable' })
  })

  test('a connection that died in silence is replaced, and the exchange is made all the same', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    await using relay = await cuttingRelay(bench.server.port, () => Infinity)
    const link = await open(bench, { ...me, hubUrl: relay.url })
    relay.cut()
    expect((await link.sync(upOf(me, { seq: 7 }), NO_BASES, signal())).head.ack).toBe(7)
    expect(relay.connections).toBe(2)
  })
})
