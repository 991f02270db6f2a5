/** What only a WebSocket can do, and what is done to it: nudges, one a site, falling back, and peers that keep to no protocol. */
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { createServer } from 'node:https'
import { describe, expect, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import type { SiteIdentity } from '../../../src/adapters/link/identity.ts'
import { nudger } from '../../../src/adapters/link/nudger.ts'
import { decodeAsk, decodeWords, encodeAsk } from '../../../src/adapters/link/socket-words.ts'
import type { LinkClientOptions } from '../../../src/adapters/link/types.ts'
import { digestBytes } from '../../../src/core/model/digest.ts'
import { SYNC_DOWN_MAX_BYTES, SYNC_UP_MAX_BYTES } from '../../../src/core/protocol/limits.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import type { HubLink } from '../../../src/core/protocol/ports.ts'
import { NO_BASES, startBench, upOf, type Bench } from './hub-twin.ts'
import { cuttingRelay } from './relay.ts'

const signal = (): AbortSignal => AbortSignal.timeout(20_000)
const noop = (): void => undefined

async function rested(
  bench: Bench,
  me: SiteIdentity,
  nudged = noop,
  options: Partial<LinkClientOptions> = {},
): Promise<HubLink> {
  // prettier-ignore
  const link = bench.link(me, options)
  await link.sync(upOf(me), NO_BASES, signal())
  expect(await link.rest!(60_000, nudged)).toEqual({ by: 'socket' })
  return link
}

describe('a nudge', () => {
  test('reaches the sites that it names, and no other', async () => {
    await using bench = await startBench()
    const heard: string[] = []
    const called = Promise.withResolvers<void>()
    for (const site of ['0417', '0418'])
      await rested(bench, await bench.join(site), () => {
        heard.push(site)
        called.resolve()
      })
    bench.server.nudge(['0418', 'not-here'])
    await called.promise
    expect(heard).toEqual(['0418'])
    expect(bench.server.stats()).toMatchObject({ sockets: 2, nudged: 1 })
  })

  test('reaches a site that was renamed while it listened, on the line that it has', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    const called = Promise.withResolvers<void>()
    const link = await rested(bench, me, () => called.resolve())
    const standing = bench.hub.standing.bind(bench.hub)
    bench.hub.standing = (hash) => ({ ...standing(hash)!, site: '0500', formerNames: ['0417'] })
    await link.sync(upOf(me, { seq: 2 }), NO_BASES, signal())
    bench.server.nudge(['0417'])
    bench.server.nudge(['0500'])
    await called.promise
    expect(bench.server.stats()).toMatchObject({ sockets: 1, nudged: 1 })
  })

  test('that comes within an exchange is heard beside its answer', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    const called = Promise.withResolvers<void>()
    const link = await rested(bench, me, () => called.resolve())
    bench.hub.work = async () => {
      bench.server.nudge(['0417'])
      await called.promise
    }
    expect((await link.sync(upOf(me, { seq: 2 }), NO_BASES, signal())).head.ack).toBe(2)
  })

  test('that came too early is said as soon as there is a WebSocket, and not to a site that had an exchange since', async () => {
    await using bench = await startBench()
    const heard: string[] = []
    for (const site of ['0417', '0418']) {
      const me = await bench.join(site)
      const link = bench.link(me)
      await link.sync(upOf(me), NO_BASES, signal())
      bench.server.nudge([site])
      if (site === '0418') await link.sync(upOf(me, { seq: 2 }), NO_BASES, signal())
      await link.rest!(60_000, () => heard.push(site))
    }
    await expect.poll(() => heard).toEqual(['0417'])
    expect(bench.server.stats()).toMatchObject({ sockets: 2, nudged: 1 })
  })

  test('is said to many at a pace, and to none while there is no room for those that would come', async () => {
    const told: string[] = []
    let room = false
    const nudges = nudger({ perSecond: 100, mayGo: () => room, nudge: (site) => told.push(site) > 0 })
    nudges.add(['a', 'b', 'a', 'c', 'd', 'e'])
    expect(told).toEqual([])
    room = true
    await expect.poll(() => told.length).toBeGreaterThan(0)
    expect(told.length).toBeLessThan(5)
    await expect.poll(() => told).toEqual(['a', 'b', 'c', 'd', 'e'])
    expect(nudges.sent).toBe(5)
    nudges.close()
  })
})

describe('one connection a site', () => {
  test('a second WebSocket ends the first, which its site does not notice', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    const first = await rested(bench, me)
    await rested(bench, me)
    await expect.poll(() => bench.server.stats()).toMatchObject({ sockets: 1, connections: 1 })
    expect((await first.sync(upOf(me, { seq: 8 }), NO_BASES, signal())).head.ack).toBe(8)
  })

  test('a site that waits says now and then that it is there, and the hub takes that for no message', async () => {
    await using bench = await startBench({ requestTimeoutMs: 100 })
    const me = await bench.join('0417')
    const link = await rested(bench, me, noop, { limits: { stillHereMs: 20 } })
    const sync = bench.hub.sync.bind(bench.hub)
    const quick = (await link.sync(upOf(me, { seq: 2 }), NO_BASES, signal())).bytes.up
    bench.hub.sync = async (...args) => {
      await new Promise((resolve) => setTimeout(resolve, 400))
      return sync(...args)
    }
    const slow = await link.sync(upOf(me, { seq: 3 }), NO_BASES, signal())
    // Far longer than a message may be on its way: and each word of it is a few bytes.
    expect(slow.head.ack).toBe(3)
    expect(slow.bytes.up - quick).toBeGreaterThan(100)
    expect(slow.bytes.up - quick).toBeLessThan(1_500)
    // The connection is good for the next; nothing is said while nothing is awaited.
    bench.hub.sync = sync
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect((await link.sync(upOf(me, { seq: 4 }), NO_BASES, signal())).bytes.up).toBeLessThan(quick + 50)
    expect(bench.server.stats()).toMatchObject({ sockets: 1, handshakes: 2 })
  })

  test('a site that pays for every byte hangs up, and comes back with its session', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    const link = bench.link(me)
    await link.sync(upOf(me), NO_BASES, signal())
    expect(await link.rest!(120 * 60_000, noop)).toMatchObject({ by: 'polling' })
    await expect.poll(() => bench.server.stats().connections).toBe(0)
    const { bytes } = await link.sync(upOf(me, { seq: 2 }), NO_BASES, signal())
    expect(bench.server.stats()).toMatchObject({ resumed: 1, sockets: 0 })
    expect(bytes.up + bytes.down).toBeLessThan(2_200)
  })
})

describe('where no WebSocket is to be had the site polls, and says so', () => {
  test('a hub that knows none: asked a few times, then left alone, and asked again after a while', async () => {
    await using bench = await startBench({ sockets: 'off' })
    const me = await bench.join('0417')
    const link = bench.link(me, { limits: { socketAttempts: 2, pollingMs: 200 } })
    const visit = async (seq: number) => {
      await link.sync(upOf(me, { seq }), NO_BASES, signal())
      const { refused } = bench.server.stats()
      const resting = await link.rest!(60_000, noop)
      return { resting, asked: bench.server.stats().refused - refused }
    }
    const polling = { by: 'polling', because: 'a WebSocket is answered 404' }
    expect(await visit(1)).toEqual({ resting: polling, asked: 1 })
    expect(await visit(2)).toEqual({ resting: polling, asked: 1 })
    expect(await visit(3)).toEqual({ resting: polling, asked: 0 })
    await expect.poll(async () => (await visit(4)).asked).toBe(1)
  })

  test('something on the way that breaks each before it carried anything', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    await using relay = await cuttingRelay(bench.server.port, () => Infinity)
    const link = bench.link({ ...me, hubUrl: relay.url }, { limits: { socketAttempts: 2 } })
    const said: string[] = []
    for (let seq = 1; seq < 5; seq++) {
      await link.sync(upOf(me, { seq }), NO_BASES, signal())
      const resting = await link.rest!(60_000, noop)
      said.push(resting.by)
      if (resting.by === 'socket') relay.cut()
      await expect.poll(() => bench.server.stats().sockets).toBe(0)
    }
    expect(said).toEqual(['socket', 'socket', 'polling', 'polling'])
    expect(bench.server.stats().connections).toBe(1)
  })

  test('a hub that is full says when to come again, and is asked for a WebSocket then', async () => {
    await using bench = await startBench({ ratePerKey: 4, burstPerKey: 2 })
    const me = await bench.join('0417')
    const link = bench.link(me, { limits: { socketAttempts: 1 } })
    await link.sync(upOf(me), NO_BASES, signal())
    await link.sync(upOf(me, { seq: 2 }), NO_BASES, signal())
    expect(await link.rest!(60_000, noop)).toEqual({ by: 'polling', because: 'a WebSocket is answered 503' })
    await expect
      .poll(
        async () => {
          await link.sync(upOf(me, { seq: 2 }), NO_BASES, signal()).catch(noop)
          return (await link.rest!(60_000, noop)).by
        },
        { interval: 400, timeout: 10_000 },
      )
      .toBe('socket')
  })
})

/** A WebSocket that keeps to no protocol of ours; resolves when the hub hung up. */
async function raw(
  bench: Bench,
  me: SiteIdentity | undefined,
  abuse: (ws: WebSocket, socket: TLSSocket) => void,
  path = '/v1/link',
): Promise<string> {
  // prettier-ignore
  const client = me === undefined ? {} : { key: me.privateKey.reveal(), cert: me.certificate }
  const socket = connectTls({ port: bench.server.port, host: '127.0.0.1', rejectUnauthorized: false, ca: [], ...client }) // prettier-ignore
  socket.on('error', noop)
  await new Promise((resolve) => socket.once('secureConnect', resolve))
  const ws = new WebSocket(`ws://hub${path}`, { createConnection: () => socket, perMessageDeflate: false })
  ws.on('error', noop)
  const got: string[] = []
  ws.on('message', (data: Buffer) => got.push(data.toString()))
  ws.once('open', () => abuse(ws, socket))
  ws.once('unexpected-response', (_request, response) => {
    got.push(`${response.statusCode} ${String(response.headers['because'])}`)
    ws.terminate()
  })
  await new Promise((resolve) => ws.once('close', resolve))
  return got.join(' ')
}

describe('the hub bounds what comes on a WebSocket', () => {
  const cases: [string, string, (ws: WebSocket, socket: TLSSocket) => void][] = [
    ['a message above the limit', '', (ws) => ws.send(Buffer.alloc(SYNC_UP_MAX_BYTES + 1))],
    ['a message that comes too slowly', '', (_ws, socket) => socket.write(Buffer.from([0x82, 0xfe]))],
    ['a byte now and then', '', (_ws, socket) => {
      socket.write(Buffer.from([0x82, 0xfe, 0x40, 0x00, 1, 2, 3, 4]))
      const drip = setInterval(() => (socket.destroyed ? clearInterval(drip) : socket.write('x')), 10)
    }],
    ['what is no frame', '', (_ws, socket) => socket.write(Buffer.alloc(64, 0x7f))],
    ['two requests at once', '', (ws) => {
      ws.send(encodeAsk({ domain: 'object', digest: digestBytes('object', 'a'), from: 0, to: 1 }))
      ws.send(encodeAsk({ domain: 'object', digest: digestBytes('object', 'a'), from: 0, to: 1 }))
    }],
    ['a ping', '', (ws) => ws.ping()],
    ['words that nobody knows', 'InvalidInput', (ws) => ws.send('hello', () => setTimeout(() => ws.close(), 50))],
    ['a message that is none', 'InvalidInput', (ws) => ws.send(Buffer.from('hello'), () => setTimeout(() => ws.close(), 50))],
  ] // prettier-ignore
  test.each(cases)('%s', async (_name, said, abuse) => {
    await using bench = await startBench({ requestTimeoutMs: 100 })
    bench.hub.blob = () => new Promise(noop)
    const me = await bench.join('0417')
    expect(await raw(bench, me, abuse)).toContain(said)
    expect(bench.hub.seen).toEqual([])
    await expect.poll(() => bench.server.stats().sockets).toBe(0)
  })

  test('who may have none', async () => {
    await using bench = await startBench({ ratePerKey: 0.01, burstPerKey: 2 })
    const me = await bench.join('0417')
    expect(await raw(bench, undefined, noop)).toBe('401 KeyUnknown')
    expect(await raw(bench, me, noop, '/v1/other')).toBe('404 NotFound')
    for (let i = 0; i < 2; i++) expect(await raw(bench, me, (ws) => ws.close())).toBe('')
    expect(await raw(bench, me, noop)).toBe('503 Throttled')
    const [hash] = bench.hub.keys.keys()
    bench.hub.keys.set(hash!, { ...bench.hub.keys.get(hash!)!, state: 'retired' })
    expect(await raw(bench, me, noop)).toBe('403 KeyRetired')
  })

  test('one that is silent for too long is hung up', async () => {
    await using bench = await startBench({ keepAliveMs: 100 })
    await rested(bench, await bench.join('0417'))
    await expect.poll(() => bench.server.stats().sockets).toBe(0)
  })
})

describe('the site bounds what comes on a WebSocket', () => {
  /** A hub that has the fleet's own certificate: a sync over HTTP is answered by the true one, the WebSocket as the test says. */
  const answering = async (write: (ws: WebSocket, socket: TLSSocket) => void): Promise<string> => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    const { key, cert } = bench.hub.pki.tls
    const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false })
    let first: Buffer | undefined
    const server = createServer({ key, cert, ca: [], requestCert: true, rejectUnauthorized: false }, (req, res) => {
      req.resume()
      res.end(first)
    })
    server.on('upgrade', (req, socket, head) =>
      sockets.handleUpgrade(req, socket, head, (ws) => {
        ws.on('error', noop)
        ws.once('message', () => write(ws, socket as TLSSocket))
      }),
    )
    // What the true hub answers to the first exchange, word for word.
    first = await recorded(bench, me)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const limits = { answerTimeoutMs: 300, stalledMs: 150, minBytesPerSecond: 10_000 }
    const link = bench.link({ ...me, hubUrl: `https://127.0.0.1:${port}` }, { limits })
    try {
      await link.sync(upOf(me), NO_BASES, signal())
      expect(await link.rest!(60_000, noop)).toEqual({ by: 'socket' })
      return await link.sync(upOf(me, { seq: 2 }), NO_BASES, signal()).then(
        () => 'answered',
        (error: unknown) => (error as Fault).reason,
      )
    } finally {
      await link.close()
      server.closeAllConnections()
      server.close()
    }
  }
  const drip = (socket: TLSSocket, bytes: () => Buffer): void => {
    const timer = setInterval(() => (socket.destroyed ? clearInterval(timer) : socket.write(bytes())), 10)
  }
  const cases: [string, string, (ws: WebSocket, socket: TLSSocket) => void][] = [
    ['a message above the limit', 'TooLarge', (ws) => ws.send(Buffer.alloc(SYNC_DOWN_MAX_BYTES + 1))],
    ['a message in parts without an end', 'TooLarge', (ws) => {
      for (let i = 0; i < 40; i++) ws.send(Buffer.alloc(256 * 1024), { fin: false })
    }],
    ['no answer', 'Timeout', noop],
    ['an answer that stops', 'Timeout', (_ws, socket) => socket.write(Buffer.from([0x82, 0x7e, 0x40, 0x00, 1, 2, 3]))],
    ['an answer that drips', 'Timeout', (_ws, socket) => {
      socket.write(Buffer.from([0x82, 0x7e, 0x40, 0x00]))
      drip(socket, () => Buffer.from('x'))
    }],
    ['nudges in the place of an answer', 'Timeout', (_ws, socket) => drip(socket, () => Buffer.from([0x82, 0x00]))],
    ['an answer that is no message', 'InvalidInput', (ws) => ws.send(Buffer.from('hello'))],
    ['words without an end', 'TooLarge', (ws) => ws.send('x'.repeat(1_000))],
    ['words that are not of this link', 'InvalidInput', (ws) => ws.send('[1,2]')],
    ['an answer to something else', 'InvalidInput', (ws) => ws.send('{"from":0,"total":5}')],
    ['a reason that nobody knows', 'ServerError', (ws) => ws.send('{"because":"Tuesday"}')],
    ['a ping', 'InvalidInput', (ws) => ws.ping()],
    ['a masked frame', 'InvalidInput', (_ws, socket) => socket.write(Buffer.from([0x82, 0x81, 1, 2, 3, 4, 5]))],
  ] // prettier-ignore
  test.each(cases)('%s: %s', async (_name, expected, write) => {
    expect(await answering(write)).toBe(expected)
  })
})

/** The bytes of the true hub's first answer to `me`. */
async function recorded(bench: Bench, me: SiteIdentity): Promise<Buffer> {
  const { encodeDown, NEW_CONVERSATION } = await import('../../../src/core/protocol/sync.ts')
  const up = upOf(me)
  return encodeDown(await bench.hub.sync(undefined, up, signal()), up, NEW_CONVERSATION).bytes
}

describe('words on the socket', () => {
  test('are read back as they were written, or not at all', () => {
    const asked = { domain: 'object', digest: digestBytes('object', 'a'), from: 5, to: 262_149 }
    expect(decodeAsk(encodeAsk(asked))).toEqual(asked)
    for (const text of [
      '',
      'object',
      'object/00 0-1',
      `${encodeAsk(asked)} `,
      encodeAsk(asked).replace('object', '..'),
    ])
      expect(() => decodeAsk(text)).toThrow(Fault)
    for (const text of ['', 'null', '5', '{}', '{"from":1.5,"total":2}', '{"from":0}'])
      expect(() => decodeWords(text)).toThrow(Fault)
    expect(decodeWords('{"because":"Throttled","retryAfterMs":5}')).toMatchObject({ retryAfterMs: 5 })
  })
})
