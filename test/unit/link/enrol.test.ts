import { createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { makeAgeKeys, secretKey } from '../../../src/adapters/link/age-keys.ts'
import { enrolSite } from '../../../src/adapters/link/enrol.ts'
import { bindingOf, prove } from '../../../src/adapters/link/enrol-proof.ts'
import {
  decodeChallenge,
  encodeApplication,
  ROOTS_MAX_BYTES,
  type Application,
} from '../../../src/adapters/link/enrol-wire.ts'
import { trustOf } from '../../../src/adapters/link/identity.ts'
import { CLIENT_LIMITS, dial, faultOf, type Wire } from '../../../src/adapters/link/wire.ts'
import { spkiOf } from '../../../src/core/protocol/envelope.ts'
import { freshPki, NO_BASES, startBench, upOf, type Bench } from './hub-twin.ts'
import { tlsServer } from './relay.ts'

const signal = (): AbortSignal => AbortSignal.timeout(10_000)

describe('a site joins', () => {
  test('with a name that the hub composed, the root pinned, and its keys its own', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    const certificate = new X509Certificate(me.certificate)
    expect(certificate.subjectAltName).toBe(`URI:spiffe://flotilla/site/0417/${me.siteId}`)
    expect(trustOf(me).rings.manifest.has(bench.hub.pki.signer.keyid)).toBe(true)
    expect(me.recipient).toMatch(/^age1/)
    expect(me.hubUrl).toBe(bench.server.url)
    expect((await bench.link(me).sync(upOf(me), NO_BASES, signal())).head.ack).toBe(1)
  })

  test('in the place of another box and gets its floor', async () => {
    await using bench = await startBench()
    const floor = { generation: { epoch: 1, counter: 41 }, body: `sha256:${'1'.repeat(64)}` as const }
    bench.hub.replacedFloor = floor
    expect((await bench.join('0417')).floor).toEqual(floor)
  })

  test('once with one token, and for the token’s site alone', async () => {
    await using bench = await startBench()
    const secret = bench.hub.token('0417')
    const line = bench.hub.pki.joinLine(bench.server.url, '0417', secret)
    const other = bench.hub.pki.joinLine(bench.server.url, '0418', secret)
    await expect(enrolSite(other, signal())).rejects.toMatchObject({ reason: 'TokenRefused' })
    await enrolSite(line, signal())
    await expect(enrolSite(line, signal())).rejects.toMatchObject({ reason: 'TokenRefused' })
  })

  test('not at a hub of another root, and its secret does not leave', async () => {
    await using bench = await startBench()
    await using impostor = await startBench({}, await freshPki())
    const line = bench.hub.pki.joinLine(impostor.server.url, '0417', bench.hub.token('0417'))
    await expect(enrolSite(line, signal())).rejects.toMatchObject({ reason: 'HubNotTrusted' })
    expect(impostor.server.stats()).toMatchObject({ served: 1 })
  })

  test('not at one that shows the true root and statement under a certificate of its own', async () => {
    await using bench = await startBench()
    const thief = await freshPki()
    const challenge = await ask(bench, (wire) =>
      wire.request({ method: 'GET', path: '/v1/enrol', maxBytes: ROOTS_MAX_BYTES }, signal()),
    )
    let asked = 0
    await using impostor = await tlsServer(thief.tls, (socket) => {
      socket.on('data', () => {
        asked++
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${challenge.body.length}\r\n\r\n`)
        socket.write(challenge.body)
      })
    })
    const line = bench.hub.pki.joinLine(impostor.url, '0417', bench.hub.token('0417'))
    await expect(enrolSite(line, signal())).rejects.toMatchObject({ reason: 'HubNotTrusted' })
    expect(asked).toBe(1)
  })

  test('not with a hub that certifies another key', async () => {
    await using bench = await startBench()
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const enrol = bench.hub.enrol.bind(bench.hub)
    bench.hub.enrol = (request) => enrol({ ...request, publicKey: spkiOf(publicKey) })
    await expect(bench.join('0417')).rejects.toMatchObject({ reason: 'InvalidInput' })
  })
})

async function ask<T>(bench: Bench, work: (wire: Wire) => Promise<T>): Promise<T> {
  const wire = await dial(
    { hubUrl: bench.server.url, keyExchange: 'x25519', limits: CLIENT_LIMITS, judge: () => undefined },
    signal(),
  )
  try {
    return await work(wire)
  } finally {
    wire.hangUp()
  }
}

describe('an application without its proofs', () => {
  interface Made {
    readonly application: Application
    readonly wire: Wire
  }
  const post = async (wire: Wire, application: Application): Promise<string> => {
    const answer = await wire.request(
      { method: 'POST', path: '/v1/enrol', body: encodeApplication(application), maxBytes: ROOTS_MAX_BYTES },
      signal(),
    )
    return answer.status === 200 ? 'admitted' : faultOf(answer).reason
  }
  const made = async (bench: Bench, wire: Wire, binding?: Buffer): Promise<Made> => {
    const { body } = await wire.request({ method: 'GET', path: '/v1/enrol', maxBytes: ROOTS_MAX_BYTES }, signal())
    const offered = decodeChallenge(body)
    const tls = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const age = makeAgeKeys()
    const claim = {
      site: '0417',
      secret: bench.hub.token('0417'),
      publicKey: spkiOf(tls.publicKey),
      recipient: age.recipient,
      challenge: offered.challenge,
      binding: binding ?? bindingOf(wire.socket),
    }
    const ephemeral = createPublicKey({ key: Buffer.from(offered.ephemeral), format: 'der', type: 'spki' })
    return { wire, application: { ...claim, ...prove(claim, tls.privateKey, secretKey(age), ephemeral) } }
  }

  test.each<[string, string, (it: Application) => Application]>([
    ['as it was made', 'admitted', (it) => it],
    [
      'another TLS key',
      'InvalidInput',
      (it) => ({ ...it, publicKey: spkiOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey) }),
    ],
    [
      'a TLS key of another kind',
      'InvalidInput',
      (it) => ({ ...it, publicKey: spkiOf(generateKeyPairSync('ed25519').publicKey) }),
    ],
    ['no key at all', 'InvalidInput', (it) => ({ ...it, publicKey: Buffer.from('key') })],
    ['another age key', 'InvalidInput', (it) => ({ ...it, recipient: makeAgeKeys().recipient })],
    [
      'an age key of low order',
      'InvalidInput',
      (it) => ({ ...it, recipient: 'age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqs3290gq' }),
    ],
    ['another site', 'InvalidInput', (it) => ({ ...it, site: '0418' })],
    ['another token', 'InvalidInput', (it) => ({ ...it, secret: 'another' })],
    ['a signature cut short', 'InvalidInput', (it) => ({ ...it, sig: it.sig.subarray(0, 8) })],
    ['an empty proof of the age key', 'InvalidInput', (it) => ({ ...it, mac: Buffer.alloc(0) })],
  ])('%s: %s', async (_name, expected, bend) => {
    await using bench = await startBench()
    await ask(bench, async (wire) => {
      const { application } = await made(bench, wire)
      expect(await post(wire, bend(application))).toBe(expected)
    })
    expect(bench.hub.keys.size).toBe(expected === 'admitted' ? 1 : 0)
  })

  test('taken from another connection, or sent twice', async () => {
    await using bench = await startBench()
    await ask(bench, async (victim) => {
      const stolen = await made(bench, victim)
      await ask(bench, async (thief) => {
        await thief.request({ method: 'GET', path: '/v1/enrol', maxBytes: ROOTS_MAX_BYTES }, signal())
        expect(await post(thief, stolen.application)).toBe('InvalidInput')
      })
      expect(await post(victim, stolen.application)).toBe('admitted')
    })
    await ask(bench, async (wire) => {
      const { application } = await made(bench, wire)
      expect(await post(wire, application)).toBe('admitted')
      await expect(post(wire, application)).resolves.toBe('InvalidInput')
    })
  })

  test('of a man in the middle who passes the challenge on over another TLS', async () => {
    await using bench = await startBench()
    await ask(bench, async (wire) => {
      const { application } = await made(bench, wire, Buffer.alloc(32, 1))
      expect(await post(wire, application)).toBe('InvalidInput')
    })
  })
})
