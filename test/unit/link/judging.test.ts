/** Who is let in, with every date wrong: both ends judge each other by chain, role and standing, on full and resumed handshakes. */
import { SecretText } from '../../../src/core/model/secret.ts'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { openLink } from '../../../src/adapters/link/client.ts'
import { trustOf, type SiteIdentity } from '../../../src/adapters/link/identity.ts'
import { keyHash, keyHashOf } from '../../../src/adapters/link/peers.ts'
import { openPki, type Pki } from '../../../src/adapters/link/pki.ts'
import { startLinkServer } from '../../../src/adapters/link/server.ts'
import type { LinkServer, SessionStore } from '../../../src/adapters/link/types.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import { spkiOf } from '../../../src/core/protocol/envelope.ts'
import { freshPki, HubTwin, NO_BASES, sharedPki, startBench, upOf } from './hub-twin.ts'
import { keyDir } from './key-dirs.ts'
import { plainServer, proxyCertificate, tlsServer } from './relay.ts'

const YEAR_MS = 365 * 86_400_000
const NOW_MS = Date.now()
const signal = (): AbortSignal => AbortSignal.timeout(10_000)

function sessionStore(): SessionStore & { kept: Uint8Array | undefined } {
  return {
    kept: undefined,
    load() {
      return this.kept
    },
    save(bytes) {
      this.kept = bytes
    },
  }
}

/** One hub's root, and certificates of it made at other times. */
async function family(): Promise<{ now: Pki; past: Pki; future: Pki }> {
  using dir = keyDir()
  const now = await openPki(dir.path, NOW_MS)
  const remade = async (nowMs: number): Promise<Pki> => {
    using other = keyDir(dir, ['hub.key', 'hub.pem', 'trust.json'])
    return await openPki(other.path, nowMs)
  }
  return { now, past: await remade(NOW_MS - 11 * YEAR_MS), future: await remade(NOW_MS + 10 * YEAR_MS) }
}

async function identityFrom(
  pki: Pki,
  trusted: Pki,
  hubUrl: string,
  site = '0417',
  siteId = 'ID1',
): Promise<SiteIdentity> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return {
    site,
    siteId,
    hubUrl,
    root: Buffer.from(trusted.root).toString('base64'),
    trust: trusted.chain.at(-1)!,
    certificate: await pki.certify({ site, siteId, publicKey: spkiOf(publicKey) }),
    privateKey: new SecretText(privateKey.export({ type: 'pkcs8', format: 'pem' })),
    ageKey: new SecretText(''),
    recipient: '',
  }
}

/** Asks twice, the second time on a new connection with what the first left: `in, in resumed` or the reasons. */
async function visits(me: SiteIdentity, server: Pick<LinkServer, 'stats'>, sessions = sessionStore()): Promise<string> {
  const words: string[] = []
  for (let i = 0; i < 2; i++) {
    const before = server.stats().resumed
    const link = openLink({
      identity: () => me,
      authorities: () => trustOf(me).authorities,
      sessions,
      keyExchange: 'x25519',
    })
    const word = await link.sync(upOf(me), NO_BASES, signal()).then(
      () => 'in',
      (error: unknown) => (error instanceof Fault ? error.reason : String(error)),
    )
    words.push(server.stats().resumed > before ? `${word} resumed` : word)
    await link.close()
  }
  return words.join(', ')
}

describe('the hub judges the site', async () => {
  const { now, past, future } = await family()
  const stranger = await freshPki()

  test.each<[string, string, () => Promise<SiteIdentity>, 'active' | 'retired' | 'unknown']>([
    ['valid', 'in, in resumed', () => identityFrom(now, now, ''), 'active'],
    ['expired ten years ago', 'in, in resumed', () => identityFrom(past, now, ''), 'active'],
    ['valid only in ten years', 'in, in resumed', () => identityFrom(future, now, ''), 'active'],
    [
      'signed by another root of the same name',
      'KeyUnknown, KeyUnknown resumed',
      () => identityFrom(stranger, now, ''),
      'active',
    ],
    [
      'a key that the store does not know',
      'KeyUnknown, KeyUnknown resumed',
      () => identityFrom(now, now, ''),
      'unknown',
    ],
    ['a retired key', 'KeyRetired, KeyRetired resumed', () => identityFrom(now, now, ''), 'retired'],
    [
      'a certificate of another site',
      'WrongSite, WrongSite resumed',
      () => identityFrom(now, now, '', '0418'),
      'active',
    ],
    [
      'a certificate of the same site’s earlier id',
      'WrongSite, WrongSite resumed',
      () => identityFrom(now, now, '', '0417', 'ID0'),
      'active',
    ],
  ])('%s: %s', async (_name, expected, make, state) => {
    await using bench = await startBench({}, now)
    const me = { ...(await make()), hubUrl: bench.server.url }
    const hash = keyHashOf(new X509Certificate(me.certificate))
    if (state !== 'unknown') bench.hub.keys.set(hash, { state, site: '0417', siteId: 'ID1' })
    expect(await visits(me, bench.server)).toBe(expected)
  })

  test('the authority’s own certificate, shown as a site’s', async () => {
    await using bench = await startBench({}, now)
    const wrong = {
      ...(await identityFrom(now, now, bench.server.url)),
      certificate: now.tls.cert,
      privateKey: new SecretText(now.tls.key),
    }
    expect(await visits(wrong, bench.server)).toBe('KeyUnknown, KeyUnknown resumed')
  })

  test('a report that speaks for another site', async () => {
    await using bench = await startBench({}, now)
    const me = await bench.join('0417')
    await expect(bench.link(me).sync(upOf({ ...me, site: '0418' }), NO_BASES, signal())).rejects.toMatchObject({
      reason: 'WrongSite',
    })
    await expect(bench.link(me).sync(upOf({ ...me, siteId: 'OTHER' }), NO_BASES, signal())).rejects.toMatchObject({
      reason: 'WrongSite',
    })
    expect(bench.hub.seen).toEqual([])
  })

  test('a key that is retired meanwhile: on the same connection, on a resumed one, and for blobs', async () => {
    await using bench = await startBench({}, now)
    const me = await bench.join('0417')
    const sessions = sessionStore()
    const link = bench.link(me, { sessions })
    await link.sync(upOf(me), NO_BASES, signal())
    const [hash] = bench.hub.keys.keys()
    bench.hub.keys.set(hash!, { ...bench.hub.keys.get(hash!)!, state: 'retired' })
    await expect(link.sync(upOf(me), NO_BASES, signal())).rejects.toMatchObject({ reason: 'KeyRetired' })
    await expect(link.blob('object', bench.hub.put('object', Buffer.from('x')), signal())).rejects.toMatchObject({
      reason: 'KeyRetired',
    })
    expect(await visits(me, bench.server, sessions)).toBe('KeyRetired resumed, KeyRetired resumed')
    expect(keyHash(Buffer.alloc(0))).not.toBe(hash)
  })

  test('sessions outlive a restart of the hub, by its ticket keys', async () => {
    const hub = new HubTwin(now)
    const first = await startLinkServer({ pki: now, handler: hub })
    const me = await identityFrom(now, now, first.url)
    hub.keys.set(keyHashOf(new X509Certificate(me.certificate)), { state: 'active', site: '0417', siteId: 'ID1' })
    const sessions = sessionStore()
    expect(await visits(me, first, sessions)).toBe('in, in resumed')
    await first.close(0)
    await using second = await startLinkServer({ pki: now, handler: hub, port: first.port })
    expect(await visits(me, second, sessions)).toBe('in resumed, in resumed')
  })
})

describe('the site judges the hub', async () => {
  const { now, past, future } = await family()
  const stranger = await freshPki()
  const withCert = (tls: Pick<Pki['tls'], 'key' | 'cert'>): Pki => ({
    ...now,
    tls: { ...now.tls, key: tls.key, cert: tls.cert },
  })
  const site = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const siteCert = await now.certify({ site: '0417', siteId: 'ID1', publicKey: spkiOf(site.publicKey) })
  const asSite = { key: site.privateKey.export({ type: 'pkcs8', format: 'pem' }), cert: siteCert }

  test.each<[string, string, Pki]>([
    ['valid', 'in, in resumed', now],
    ['expired ten years ago', 'in, in resumed', withCert(past.tls)],
    ['valid only in ten years', 'in, in resumed', withCert(future.tls)],
    ['our root’s name, another key’s signature', 'HubNotTrusted, HubNotTrusted', withCert(stranger.tls)],
    ['right root, but a site’s certificate', 'HubNotTrusted, HubNotTrusted', withCert(asSite)],
  ])('%s: %s', async (_name, expected, shown) => {
    await using bench = await startBench({}, shown)
    const me = await identityFrom(now, now, bench.server.url)
    bench.hub.keys.set(keyHashOf(new X509Certificate(me.certificate)), { state: 'active', site: '0417', siteId: 'ID1' })
    expect(await visits(me, bench.server)).toBe(expected)
    if (expected.startsWith('HubNotTrusted')) expect(bench.server.stats().served).toBe(0)
  })

  test('an impostor is offered a session of the true hub, cannot resume it, and leaves no session behind', async () => {
    const sessions = sessionStore()
    await using bench = await startBench({}, now)
    const me = await identityFrom(now, now, bench.server.url)
    bench.hub.keys.set(keyHashOf(new X509Certificate(me.certificate)), { state: 'active', site: '0417', siteId: 'ID1' })
    await visits(me, bench.server, sessions)
    const good = sessions.kept
    await using impostor = await startBench({}, { ...withCert(stranger.tls), tls: stranger.tls })
    expect(await visits({ ...me, hubUrl: impostor.server.url }, impostor.server, sessions)).toBe(
      'HubNotTrusted, HubNotTrusted',
    )
    expect(sessions.kept).toBe(good)
    expect(await visits(me, bench.server, sessions)).toBe('in resumed, in resumed')
  })

  test('a session is dropped with the certificate that it was made under', async () => {
    const sessions = sessionStore()
    await using bench = await startBench({}, now)
    const me = await bench.join('0417')
    await visits(me, bench.server, sessions)
    expect(await visits(await bench.join('0417'), bench.server, sessions)).toBe('in, in resumed')
  })
})

describe('something answers in the hub’s place', () => {
  const answers = {
    'a sign-in page': 'HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 20\r\n\r\n<html>sign in</html>',
    'a redirect': 'HTTP/1.1 302 Found\r\nlocation: http://portal.example/\r\ncontent-length: 0\r\n\r\n',
    'a 511': 'HTTP/1.1 511 Network Authentication Required\r\ncontent-length: 2\r\n\r\nno',
  }
  const me = async (hubUrl: string): Promise<SiteIdentity> => {
    const pki = await sharedPki()
    return identityFrom(pki, pki, hubUrl)
  }
  const reasonAt = async (hubUrl: string): Promise<string> => {
    const identity = await me(hubUrl)
    const link = openLink({ identity: () => identity, authorities: () => trustOf(identity).authorities })
    const reason = await link.sync(upOf(identity), NO_BASES, signal()).then(
      () => 'in',
      (error: unknown) => (error as Fault).reason,
    )
    await link.close()
    return reason
  }

  test.each(Object.entries(answers))('%s without TLS', async (_name, answer) => {
    await using portal = await plainServer((socket) => {
      socket.once('data', () => socket.end(answer))
    })
    expect(await reasonAt(portal.url)).toBe('CaptivePortal')
  })

  test.each(Object.entries(answers))('%s over the hub’s own TLS: a proxy before it', async (_name, answer) => {
    const pki = await sharedPki()
    await using portal = await tlsServer(pki.tls, (socket) => {
      socket.once('data', () => socket.end(answer))
    })
    expect(await reasonAt(portal.url)).toBe('CaptivePortal')
  })

  test('an intercepting proxy with a certificate of its own, for a while that it lasts', async () => {
    const { key, cert } = await proxyCertificate()
    let asked = 0
    await using proxy = await tlsServer({ key, cert }, (socket) => socket.on('data', () => asked++))
    expect(await reasonAt(proxy.url)).toBe('CaptivePortal')
    expect(asked).toBe(0)
  })

  test('a proxy that speaks only older TLS', async () => {
    const { key, cert } = await proxyCertificate()
    await using proxy = await tlsServer({ key, cert }, () => undefined, { maxVersion: 'TLSv1.2' })
    expect(await reasonAt(proxy.url)).toBe('CaptivePortal')
  })

  test('nobody', async () => {
    await using gone = await plainServer((socket) => socket.resetAndDestroy())
    expect(await reasonAt(gone.url)).toBe('Unreachable')
    expect(await reasonAt('https://127.0.0.1:1')).toBe('Unreachable')
  })
})
