import { connect } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { describe, expect, test } from 'vitest'
import { admission } from '../../../src/adapters/link/admission.ts'
import { handshakeGate } from '../../../src/adapters/link/handshake-gate.ts'
import type { SiteIdentity } from '../../../src/adapters/link/identity.ts'
import { SYNC_DOWN_MAX_BYTES, SYNC_UP_MAX_BYTES } from '../../../src/core/protocol/limits.ts'
import { NO_BASES, startBench, upOf, type Bench } from './hub-twin.ts'
import { tlsServer } from './relay.ts'

const signal = (): AbortSignal => AbortSignal.timeout(10_000)

/** A site that keeps to no protocol: raw bytes over its own TLS; all that came until the hub hung up, or said `until`. */
function raw(bench: Bench, me: SiteIdentity | undefined, bytes: string | Buffer, until?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let got = ''
    const client = me === undefined ? {} : { key: me.privateKey.reveal(), cert: me.certificate }
    const socket = connectTls(
      { port: bench.server.port, host: '127.0.0.1', rejectUnauthorized: false, ca: [], ...client },
      () => socket.write(bytes),
    )
    socket.on('data', (chunk) => {
      got += chunk.toString('latin1')
      if (until !== undefined && got.includes(until)) socket.destroy()
    })
    socket.on('error', () => undefined)
    socket.once('close', () => resolve(got))
    setTimeout(() => reject(new Error(`still open; got ${got}`)), 9_000).unref()
  })
}

describe('the hub bounds what a site sends', () => {
  test.each<[string, string, string | Buffer]>([
    [
      'a body above the limit, by its announcement',
      'HTTP/1.1 413',
      `POST /v1/sync HTTP/1.1\r\nhost: h\r\ncontent-length: ${SYNC_UP_MAX_BYTES + 1}\r\n\r\n`,
    ],
    [
      'a body without an end',
      'HTTP/1.1 400',
      'POST /v1/sync HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n',
    ],
    [
      'a body that is no message',
      'because: InvalidInput',
      'POST /v1/sync HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello',
    ],
    [
      'an empty body',
      'because: InvalidInput',
      'POST /v1/sync HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 0\r\n\r\n',
    ],
    ['a head without an end', '', `POST /v1/sync HTTP/1.1\r\n${'a: b\r\n'.repeat(2_000)}`],
    ['what is not HTTP', '', Buffer.from([0, 1, 2, 3, 255, 254, 13, 10, 13, 10])],
    [
      'a path that does not exist',
      'because: NotFound',
      'GET /v2/sync HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n',
    ],
    [
      'a path outside its grammar',
      'because: NotFound',
      `GET /v1/blobs/../${'0'.repeat(64)} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n`,
    ],
    [
      'a domain that does not exist',
      'because: NotFound',
      `GET /v1/blobs/facts/${'0'.repeat(64)} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n`,
    ],
    ['another method', 'because: NotFound', 'DELETE /v1/sync HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n'],
    ['a body that comes too slowly', '', 'POST /v1/sync HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\nslow'],
    ['a request that is never made', '', ''],
  ])('%s', async (_name, expected, bytes) => {
    await using bench = await startBench({ requestTimeoutMs: 100 })
    const me = await bench.join('0417')
    expect((await raw(bench, me, bytes)).toLowerCase()).toContain(expected.toLowerCase())
    expect(bench.hub.seen).toEqual([])
  })

  test('without a certificate only enrolment and rescue answer', async () => {
    await using bench = await startBench()
    const get = (path: string): Promise<string> =>
      raw(bench, undefined, `GET ${path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n`)
    expect(await get('/v1/rescue/roots')).toContain('200 OK')
    expect(await get('/v1/enrol')).toContain('200 OK')
    expect(await get(`/v1/blobs/object/${'0'.repeat(64)}`)).toContain('KeyUnknown')
    expect(
      await raw(
        bench,
        undefined,
        'POST /v1/sync HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 0\r\n\r\n',
      ),
    ).toContain('KeyUnknown')
  })

  test('a peer that never finishes its handshake', async () => {
    await using bench = await startBench({ handshakeTimeoutMs: 50 })
    const socket = connect(bench.server.port, '127.0.0.1')
    socket.on('error', () => undefined)
    await new Promise((resolve) => socket.once('close', resolve))
    expect(bench.server.stats().handshakes).toBe(0)
  })

  test('answers carry no header that a site pays for and does not read', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    const got = await raw(bench, me, 'GET /v1/enrol HTTP/1.1\r\nhost: h\r\n\r\n', '\r\n\r\n')
    expect(
      got
        .slice(0, got.indexOf('\r\n\r\n'))
        .split('\r\n')
        .map((line) => line.replace(/\d+$/, 'N')),
    ).toEqual(['HTTP/1.1 200 OK', 'content-length: N'])
  })

  test('one key that asks too often waits, and keeps its connection', async () => {
    await using bench = await startBench({ ratePerKey: 0.01, burstPerKey: 2 })
    const me = await bench.join('0417')
    const link = bench.link(me)
    await link.sync(upOf(me), NO_BASES, signal())
    await link.sync(upOf(me), NO_BASES, signal())
    const refused = await link.sync(upOf(me), NO_BASES, signal()).catch((error: unknown) => error)
    expect(refused).toMatchObject({ reason: 'Throttled', retryAfterMs: expect.any(Number) as number })
    expect(bench.server.stats()).toMatchObject({ shed: 1, connections: 1 })
  })

  test('more exchanges at once than it has room for are told to come again', async () => {
    await using bench = await startBench({ exchanges: 1 })
    const [one, two] = [await bench.join('0417'), await bench.join('0418')]
    const inside = Promise.withResolvers<void>()
    const go = Promise.withResolvers<void>()
    bench.hub.work = () => {
      inside.resolve()
      return go.promise
    }
    const first = bench.link(one).sync(upOf(one), NO_BASES, signal())
    await inside.promise
    await expect(bench.link(two).sync(upOf(two), NO_BASES, signal())).rejects.toMatchObject({ reason: 'Throttled' })
    go.resolve()
    await first
  })

  test('a key that holds too many connections loses its oldest', async () => {
    await using bench = await startBench({ connectionsPerKey: 2 })
    const me = await bench.join('0417')
    const links = [bench.link(me), bench.link(me), bench.link(me)]
    for (const link of links) await link.sync(upOf(me), NO_BASES, signal())
    expect(bench.server.stats().connections).toBe(2)
    // Its site does not notice: the next exchange dials again.
    expect((await links[0]!.sync(upOf(me, { seq: 5 }), NO_BASES, signal())).head.ack).toBe(5)
  })

  test('a site that goes away within an exchange is not worked for', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    const stopped = Promise.withResolvers<void>()
    const caller = new AbortController()
    bench.hub.work = (gone) => {
      gone.addEventListener('abort', () => stopped.resolve(), { once: true })
      caller.abort()
      return stopped.promise
    }
    await expect(bench.link(me).sync(upOf(me), NO_BASES, caller.signal)).rejects.toMatchObject({ reason: 'Cancelled' })
    await stopped.promise
  })
})

describe('the hub goes down', () => {
  test('and lets an exchange in progress end, takes no other, and hangs up on the idle', async () => {
    await using bench = await startBench()
    const [busy, idle] = [await bench.join('0417'), await bench.join('0418')]
    const idleLink = bench.link(idle)
    await idleLink.sync(upOf(idle), NO_BASES, signal())
    const inside = Promise.withResolvers<void>()
    const go = Promise.withResolvers<void>()
    bench.hub.work = () => {
      inside.resolve()
      return go.promise
    }
    const last = bench.link(busy).sync(upOf(busy, { seq: 9 }), NO_BASES, signal())
    await inside.promise
    const closed = bench.server.close(5_000)
    await expect(idleLink.sync(upOf(idle), NO_BASES, signal())).rejects.toMatchObject({ reason: 'Unreachable' })
    go.resolve()
    expect((await last).head.ack).toBe(9)
    await closed
  })

  test('and does not wait for one that never ends', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    const inside = Promise.withResolvers<void>()
    bench.hub.work = (gone) => {
      inside.resolve()
      return new Promise((_resolve, reject) =>
        gone.addEventListener('abort', () => reject(gone.reason as Error), { once: true }),
      )
    }
    const last = bench
      .link(me)
      .sync(upOf(me), NO_BASES, signal())
      .catch((error: unknown) => error)
    await inside.promise
    await bench.server.close(10)
    expect(await last).toMatchObject({ reason: 'Unreachable' })
  })
})

describe('the site bounds what a hub sends', () => {
  const answering = async (bench: Bench, write: (socket: TLSSocket) => void): Promise<string> => {
    const me = await bench.join('0417')
    await using fake = await tlsServer(bench.hub.pki.tls, (socket) => socket.once('data', () => write(socket)))
    const link = bench.link(
      { ...me, hubUrl: fake.url },
      { limits: { answerTimeoutMs: 150, stalledMs: 100, minBytesPerSecond: 1_000 } },
    )
    return await link.sync(upOf(me), NO_BASES, signal()).then(
      () => 'answered',
      (error: unknown) => (error as { reason: string }).reason,
    )
  }
  const drip = (socket: TLSSocket, head: string, byte: string): void => {
    socket.write(head)
    const timer = setInterval(() => (socket.destroyed ? clearInterval(timer) : socket.write(byte)), 10)
  }
  test.each<[string, string, (socket: TLSSocket) => void]>([
    [
      'an answer above the limit, by its announcement',
      'TooLarge',
      (socket) => socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${SYNC_DOWN_MAX_BYTES + 1}\r\n\r\n`),
    ],
    ['a head without an end', 'TooLarge', (socket) => socket.write(`HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(3_000)}`)],
    [
      'a body without an end',
      'InvalidInput',
      (socket) => socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n'),
    ],
    [
      'a body longer than announced',
      'InvalidInput',
      (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhello'),
    ],
    ['no answer', 'Timeout', () => undefined],
    ['a body that stops', 'Timeout', (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello')],
    ['a head that drips', 'Timeout', (socket) => drip(socket, 'HTTP/1.1 200 OK\r\n', 'a')],
    ['a body that drips', 'Timeout', (socket) => drip(socket, 'HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\n', 'a')],
    ['an answer that is no HTTP', 'InvalidInput', (socket) => socket.write('SSH-2.0-OpenSSH\r\n\r\n')],
    [
      'an answer that is no message',
      'InvalidInput',
      (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello'),
    ],
    [
      'a reason that nobody knows',
      'ServerError',
      (socket) => socket.write('HTTP/1.1 500 No\r\nbecause: Tuesday\r\ncontent-length: 0\r\n\r\n'),
    ],
    ['a bare close', 'Unreachable', (socket) => socket.end()],
  ])('%s: %s', async (_name, expected, write) => {
    await using bench = await startBench()
    expect(await answering(bench, write)).toBe(expected)
  })
})

describe('admission', () => {
  const limits = { exchanges: 10, ratePerKey: 1, burstPerKey: 2, retryAfterMaxMs: 60_000 }
  test('gives a key its burst, then its rate', () => {
    let nowMs = 0
    const doors = admission(
      limits,
      () => nowMs,
      () => 0,
    )
    const asks = (n: number): boolean[] => Array.from({ length: n }, () => doors.mayAsk('a').admitted)
    expect(asks(3)).toEqual([true, true, false])
    nowMs = 1_500
    expect(asks(2)).toEqual([true, false])
    expect(doors.mayAsk('b').admitted).toBe(true)
  })

  test('spreads those that it turns away over the time that serving them takes, and no further than its limit', () => {
    const doors = admission(
      { ...limits, exchanges: 0 },
      () => 0,
      () => 0.999,
    )
    const waits = Array.from({ length: 1_000 }, () => {
      const door = doors.enter()
      return door.admitted ? 0 : door.retryAfterMs
    })
    expect(waits[0]).toBeGreaterThan(1_000)
    expect(waits[0]).toBeLessThan(7_000)
    expect(waits.at(-1)).toBeGreaterThan(50_000)
    expect(waits.at(-1)).toBeLessThanOrEqual(60_000)
  })

  test('a place that is left twice is left once', () => {
    const doors = admission(
      limits,
      () => 0,
      () => 0,
    )
    const place = doors.enter()
    if (place.admitted) {
      place.release()
      place.release()
    }
    expect(doors.inProgress).toBe(0)
  })
})

test('handshakes beyond the rate wait in line, and beyond the line are hung up on', async () => {
  let nowMs = 0
  const gate = handshakeGate({ perSecond: 2, line: 2 }, () => nowMs)
  const outcome: string[] = []
  const enter = (name: string): void => {
    const socket = {
      destroyed: false,
      on: () => socket,
      resetAndDestroy: () => outcome.push(`${name} reset`),
      destroy: () => outcome.push(`${name} closed`),
    }
    gate.enter(socket as never, () => outcome.push(name))
  }
  for (const name of ['a', 'b', 'c', 'd']) enter(name)
  expect(outcome).toEqual(['a', 'd reset'])
  nowMs = 500
  await expect.poll(() => outcome).toEqual(['a', 'd reset', 'b'])
  gate.close()
  expect(outcome.at(-1)).toBe('c closed')
})
