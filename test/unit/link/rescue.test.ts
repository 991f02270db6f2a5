/** The rescue paths byte by byte: frozen for ever, for agents of any version, and open to nobody but the holder of the key. */
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { bindingOf } from '../../../src/adapters/link/enrol-proof.ts'
import { decodeChallenge, encodeRoots, ROOTS_MAX_BYTES } from '../../../src/adapters/link/enrol-wire.ts'
import type { SiteIdentity } from '../../../src/adapters/link/identity.ts'
import { fetchTrust, renewSite } from '../../../src/adapters/link/rescue.ts'
import {
  decodeRenewal,
  decodeRenewed,
  encodeRenewal,
  encodeRenewed,
  proveRenewal,
  renewalTranscript,
  type RenewalApplication,
} from '../../../src/adapters/link/rescue-wire.ts'
import { CLIENT_LIMITS, dial, faultOf, type Wire } from '../../../src/adapters/link/wire.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import { spkiOf } from '../../../src/core/protocol/envelope.ts'
import { ROOT, SITE, SITE_ID, STATEMENT } from '../protocol/fixed.ts'
import { freshPki, startBench, type Bench } from './hub-twin.ts'
import { plainServer, proxyCertificate, tlsServer } from './relay.ts'

const signal = (): AbortSignal => AbortSignal.timeout(10_000)
const bytes = (length: number, value: number): Buffer => Buffer.alloc(length, value)
const recorded = (name: string): Buffer =>
  Buffer.from(readFileSync(join(import.meta.dirname, 'golden', name), 'utf8').replaceAll(/\s/g, ''), 'hex')
const reason = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: unknown) => (error instanceof Fault ? error.reason : String(error)),
  )

const APPLICATION: RenewalApplication = {
  site: SITE,
  siteId: SITE_ID,
  heldKey: bytes(91, 1),
  nextKey: bytes(91, 2),
  heldSig: bytes(71, 3),
  nextSig: bytes(72, 4),
}

describe('frozen bytes', () => {
  test('what is signed', async () => {
    const transcript = renewalTranscript(APPLICATION, { challenge: bytes(32, 5), binding: bytes(32, 6) })
    await expect(`${transcript.toString()}\n`).toMatchFileSnapshot(join(import.meta.dirname, 'golden', 'renewal.txt'))
  })

  // Written by the first version that had these paths; every later one must read them so.
  test('a recorded application, its answer and the chain of statements are read as what was said', () => {
    expect(decodeRenewal(recorded('renewal-up.hex'))).toEqual(APPLICATION)
    expect(decodeRenewed(recorded('renewal-down.hex'))).toBe('a certificate')
    const roots = decodeChallenge(recorded('roots.hex'))
    expect([...roots.root]).toEqual([...spkiOf(ROOT.publicKey)])
    expect(roots.chain.map(({ payload, sig }) => [Buffer.from(payload), Buffer.from(sig)])).toEqual([
      [Buffer.from(STATEMENT.payload), Buffer.from(STATEMENT.sig)],
    ])
  })

  test('what is written is read by the same', () => {
    expect(decodeRenewal(encodeRenewal(APPLICATION))).toEqual(APPLICATION)
    expect(decodeRenewed(encodeRenewed('x'))).toBe('x')
    expect(decodeChallenge(encodeRoots({ root: spkiOf(ROOT.publicKey), chain: [STATEMENT] })).chain).toHaveLength(1)
  })
})

async function at<T>(bench: Bench, work: (wire: Wire) => Promise<T>): Promise<T> {
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

async function challenge(wire: Wire): Promise<Uint8Array> {
  const answer = await wire.request({ method: 'GET', path: '/v1/rescue/renew', maxBytes: ROOTS_MAX_BYTES }, signal())
  return decodeChallenge(answer.body).challenge
}

async function post(wire: Wire, application: RenewalApplication): Promise<string> {
  const body = encodeRenewal(application)
  const answer = await wire.request(
    { method: 'POST', path: '/v1/rescue/renew', body, maxBytes: ROOTS_MAX_BYTES },
    signal(),
  )
  return answer.status === 200 ? 'renewed' : faultOf(answer).reason
}

const keyOf = (me: SiteIdentity) => createPrivateKey(me.privateKey.reveal())
const fresh = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })
function claimOf(me: SiteIdentity, next = fresh()) {
  const heldKey = spkiOf(createPublicKey(keyOf(me)))
  return {
    claim: { site: me.site, siteId: me.siteId, heldKey, nextKey: spkiOf(next.publicKey) },
    next: next.privateKey,
  }
}

describe('a renewal is the holder’s alone', () => {
  type Attack = (me: SiteIdentity, wire: Wire, bench: Bench) => Promise<RenewalApplication>
  const good: Attack = async (me, wire) => {
    const { claim, next } = claimOf(me)
    const moment = { challenge: await challenge(wire), binding: bindingOf(wire.socket) }
    return proveRenewal(claim, moment, keyOf(me), next)
  }
  test.each<[string, string, Attack]>([
    ['with both keys proved over this connection', 'renewed', good],
    ['with a stranger’s signature for the held key', 'InvalidInput', async (me, wire) => {
      const { claim, next } = claimOf(me)
      const moment = { challenge: await challenge(wire), binding: bindingOf(wire.socket) }
      return proveRenewal(claim, moment, fresh().privateKey, next)
    }],
    ['for a next key that the sender does not hold', 'InvalidInput', async (me, wire) => {
      const { claim } = claimOf(me)
      const moment = { challenge: await challenge(wire), binding: bindingOf(wire.socket) }
      return proveRenewal(claim, moment, keyOf(me), fresh().privateKey)
    }],
    ['for a next key on another curve', 'InvalidInput', async (me, wire) => {
      const { claim, next } = claimOf(me, generateKeyPairSync('ec', { namedCurve: 'P-384' }))
      const moment = { challenge: await challenge(wire), binding: bindingOf(wire.socket) }
      return proveRenewal(claim, moment, keyOf(me), next)
    }],
    ['relayed from another connection', 'InvalidInput', async (me, wire, bench) => {
      const asked = await challenge(wire)
      return at(bench, async (other) => {
        const { claim, next } = claimOf(me)
        return proveRenewal(claim, { challenge: asked, binding: bindingOf(other.socket) }, keyOf(me), next)
      })
    }],
    ['without a challenge', 'InvalidInput', async (me, wire) => {
      const { claim, next } = claimOf(me)
      return proveRenewal(claim, { challenge: Buffer.alloc(32), binding: bindingOf(wire.socket) }, keyOf(me), next)
    }],
    ['in the name of another site', 'KeyUnknown', async (me, wire) => {
      const { claim, next } = claimOf(me)
      const moment = { challenge: await challenge(wire), binding: bindingOf(wire.socket) }
      return proveRenewal({ ...claim, site: '0418' }, moment, keyOf(me), next)
    }],
    ['by a key that was retired', 'KeyRetired', async (me, wire, bench) => {
      for (const [hash, key] of bench.hub.keys) bench.hub.keys.set(hash, { ...key, state: 'retired' })
      return good(me, wire, bench)
    }],
  ])('%s: %s', async (_name, expected, attack) => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    expect(await at(bench, async (wire) => post(wire, await attack(me, wire, bench)))).toBe(expected)
  }) // prettier-ignore

  test('said twice on one challenge counts once', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    await at(bench, async (wire) => {
      const application = await good(me, wire, bench)
      expect(await post(wire, application)).toBe('renewed')
      expect(await post(wire, application).catch(() => 'hung up')).not.toBe('renewed')
    })
  })

  test('is given to all sites together at the pace of one', async () => {
    await using bench = await startBench({ ratePerKey: 1, burstPerKey: 3 })
    const me = await bench.join('0417')
    const answers = await Promise.all(Array.from({ length: 10 }, () => reason(fetchTrust(me, signal()))))
    expect(answers.filter((it) => it === 'Throttled').length).toBeGreaterThan(5)
  })
})

describe('a site is not talked into anything on these paths', () => {
  test('by a hub of another root, whatever chain it shows', async () => {
    await using bench = await startBench()
    await using impostor = await startBench({}, await freshPki())
    const me = { ...(await bench.join('0417')), hubUrl: impostor.server.url }
    expect(await reason(renewSite(me, signal()))).toBe('HubNotTrusted')
    expect(await reason(fetchTrust(me, signal()))).toBe('HubNotTrusted')
    expect(impostor.hub.keys.size).toBe(0)
  })

  test.each<[string, string]>([
    ['200 with HTML', 'HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 5\r\n\r\nlogin'],
    ['302', 'HTTP/1.1 302 Found\r\nlocation: http://portal/\r\ncontent-length: 0\r\n\r\n'],
    ['511', 'HTTP/1.1 511 Network Authentication Required\r\ncontent-length: 0\r\n\r\n'],
    ['a challenge that is none', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello'],
  ])('by an intercepting proxy that answers %s: CaptivePortal', async (_name, text) => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    await using proxy = await tlsServer(await proxyCertificate(), (socket) =>
      socket.on('data', () => socket.write(text)),
    )
    expect(await reason(fetchTrust({ ...me, hubUrl: proxy.url }, signal()))).toBe('CaptivePortal')
    await using portal = await plainServer((socket) => socket.end(text))
    expect(await reason(renewSite({ ...me, hubUrl: portal.url }, signal()))).toBe('CaptivePortal')
  })
})
