import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { bodyDigest } from '../../../src/core/protocol/manifest.ts'
import { digestBytes } from '../../../src/core/model/digest.ts'
import { MANIFEST, NO_BASES, startBench, upOf } from './hub-twin.ts'
import { cuttingRelay, tlsServer } from './relay.ts'

const signal = (): AbortSignal => AbortSignal.timeout(20_000)

describe('a blob over a link that is cut', () => {
  test.each([3_000, 4_000, 4_096, 10_000, 65_536, 100_001])(
    'again and again after %i bytes arrives whole, fetched about once',
    async (cutAfter) => {
      await using bench = await startBench()
      const bytes = randomBytes(700_000)
      const digest = bench.hub.put('object', bytes)
      const me = await bench.join('0417')
      // Each connection brings a little more than the last, as a link does that comes and goes.
      await using relay = await cuttingRelay(bench.server.port, (connection) => cutAfter + connection * 9_000)
      const link = bench.link({ ...me, hubUrl: relay.url }, { limits: { barrenAttempts: 5 } })
      expect(Buffer.from(await link.blob('object', digest, signal())).equals(bytes)).toBe(true)
      expect(relay.connections).toBeGreaterThan(5)
    },
  )

  test('resumes in the next call what the last one left', async () => {
    await using bench = await startBench()
    const bytes = randomBytes(100_000)
    const digest = bench.hub.put('object', bytes)
    const me = await bench.join('0417')
    await using relay = await cuttingRelay(bench.server.port, (connection) =>
      connection === 0 ? 50_000 : connection < 3 ? 100 : Number.MAX_SAFE_INTEGER,
    )
    const link = bench.link({ ...me, hubUrl: relay.url }, { limits: { barrenAttempts: 2 } })
    await expect(link.blob('object', digest, signal())).rejects.toMatchObject({ reason: 'Unreachable' })
    const before = bench.server.stats().served
    expect(Buffer.from(await link.blob('object', digest, signal())).equals(bytes)).toBe(true)
    expect(bench.server.stats().served - before).toBe(1)
  })

  test('and a sync that is cut is a fault, and the next one works', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    await using relay = await cuttingRelay(bench.server.port, (connection) =>
      connection === 0 ? 1_700 : Number.MAX_SAFE_INTEGER,
    )
    const link = bench.link({ ...me, hubUrl: relay.url })
    bench.hub.publish({
      ...MANIFEST,
      site: me.site,
      siteId: me.siteId,
      keys: { a: randomBytes(3_000).toString('base64') },
    })
    await expect(link.sync(upOf(me), NO_BASES, signal())).rejects.toMatchObject({ reason: 'Unreachable' })
    expect((await link.sync(upOf(me), NO_BASES, signal())).manifest).toBeDefined()
  })
})

describe('a blob', () => {
  test('in pieces lets a sync pass between them', async () => {
    await using bench = await startBench()
    const bytes = randomBytes(2_000_000)
    const digest = bench.hub.put('object', bytes)
    const me = await bench.join('0417')
    const link = bench.link(me)
    const order: string[] = []
    const fetched = link.blob('object', digest, signal()).then(() => order.push('blob'))
    const synced = link.sync(upOf(me), NO_BASES, signal()).then(() => order.push('sync'))
    await Promise.all([fetched, synced])
    expect(order).toEqual(['sync', 'blob'])
    expect(bench.server.stats().connections).toBe(1)
  })

  test('that is small, empty, or exactly one piece', async () => {
    await using bench = await startBench()
    const link = bench.link(await bench.join('0417'))
    for (const size of [0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1]) {
      const bytes = randomBytes(size)
      const got = await link.blob('config', bench.hub.put('config', bytes), signal())
      expect(Buffer.from(got).equals(bytes)).toBe(true)
    }
  })

  test('that the hub does not have, or has in another domain', async () => {
    await using bench = await startBench()
    const link = bench.link(await bench.join('0417'))
    await expect(link.blob('object', digestBytes('object', 'no'), signal())).rejects.toMatchObject({
      reason: 'NotFound',
    })
    const digest = bench.hub.put('release', Buffer.from('{}'))
    await expect(link.blob('object', digest, signal())).rejects.toMatchObject({ reason: 'NotFound' })
  })

  test('of other bytes than its name says is not handed on, and not kept for the next time', async () => {
    await using bench = await startBench()
    const link = bench.link(await bench.join('0417'))
    const digest = digestBytes('object', 'right')
    bench.hub.blobs.set(digest, { domain: 'object', bytes: Buffer.from('wrong') })
    await expect(link.blob('object', digest, signal())).rejects.toMatchObject({ reason: 'BlobMismatch' })
    bench.hub.blobs.set(digest, { domain: 'object', bytes: Buffer.from('right') })
    expect(Buffer.from(await link.blob('object', digest, signal())).toString()).toBe('right')
  })

  test('of which another piece comes than was asked for', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    await using liar = await tlsServer(bench.hub.pki.tls, (socket) => {
      socket.on('data', () =>
        socket.write('HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 5-8/9\r\ncontent-length: 4\r\n\r\nabcd'),
      )
    })
    const link = bench.link({ ...me, hubUrl: liar.url })
    await expect(link.blob('object', digestBytes('object', 'x'), signal())).rejects.toMatchObject({
      reason: 'InvalidInput',
    })
  })
})

describe('deltas over the link', () => {
  const big = {
    ...MANIFEST,
    keys: Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`dk-${i}`, randomBytes(40).toString('base64')])),
  }

  test('bring the next manifest in a few hundred bytes, and whole to a site whose base is gone or damaged', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    const link = bench.link(me)
    const one = bench.hub.publish({ ...big, site: me.site, siteId: me.siteId })
    await link.sync(upOf(me), NO_BASES, signal())
    const have = { generation: one.manifest.generation, root: one.manifest.root, body: one.body }
    const two = bench.hub.publish({
      ...big,
      site: me.site,
      siteId: me.siteId,
      generation: { epoch: 1, counter: 2 },
      mode: 'observe',
    })
    const up = upOf(me, { have })
    const delta = await link.sync(up, { manifest: one.envelope.payload, blob: () => undefined }, signal())
    expect(delta.head.manifest?.base).toBe(one.body)
    expect(delta.manifest).toEqual(two.envelope)
    expect(delta.bytes.down).toBeLessThan(600)
    const gone = await link.sync(up, NO_BASES, signal())
    expect([gone.head.manifest?.base, gone.manifest]).toEqual([undefined, two.envelope])
    const damaged = Buffer.from(one.envelope.payload)
    damaged[100]! ^= 1
    const whole = await link.sync(up, { manifest: damaged, blob: () => undefined }, signal())
    expect([whole.head.manifest?.base, whole.manifest]).toEqual([undefined, two.envelope])
    expect(bodyDigest(whole.manifest!.payload)).toBe(two.body)
  })

  test('of a blob whose base the site lost are asked for again as whole ones', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    const link = bench.link(me)
    bench.hub.publish({ ...MANIFEST, site: me.site, siteId: me.siteId })
    const old = randomBytes(2_000)
    const base = bench.hub.put('object', old)
    const digest = bench.hub.put('object', Buffer.concat([old, Buffer.from('more')]))
    bench.hub.inline.push({ domain: 'object', digest, base })
    const held = await link.sync(upOf(me), { manifest: undefined, blob: () => old }, signal())
    expect([held.head.blobs[0]!.base, held.blobs.size]).toEqual([base, 1])
    const lost = await link.sync(upOf(me), NO_BASES, signal())
    expect([lost.head.blobs[0]!.base, lost.blobs.size]).toEqual([undefined, 1])
    expect(bench.hub.seen.at(-1)?.whole).toBe(true)
  })

  test('one blob that is damaged at the hub keeps nothing else from arriving', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    bench.hub.publish({ ...MANIFEST, site: me.site, siteId: me.siteId })
    const digest = digestBytes('object', 'right')
    bench.hub.blobs.set(digest, { domain: 'object', bytes: Buffer.from('wrong') })
    const good = bench.hub.put('object', Buffer.from('good'))
    bench.hub.inline.push({ domain: 'object', digest }, { domain: 'object', digest: good })
    const answer = await bench.link(me).sync(upOf(me), NO_BASES, signal())
    expect(answer.manifest).toBeDefined()
    expect([...answer.blobs.keys()]).toEqual([good])
  })
})
