import { randomBytes, X509Certificate } from 'node:crypto'
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  decodeBech32,
  encodeBech32,
  makeAgeKeys,
  recipientKey,
  secretKey,
} from '../../../src/adapters/link/age-keys.ts'
import { openPki } from '../../../src/adapters/link/pki.ts'
import { decodeSession, encodeSession } from '../../../src/adapters/link/session.ts'
import { decodeToken, encodeToken, hashTokenSecret, makeTokenSecret } from '../../../src/adapters/link/token.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import { SecretText } from '../../../src/core/model/secret.ts'
import { sharedPki } from './hub-twin.ts'
import { keyDir } from './key-dirs.ts'

const NOW_MS = Date.UTC(2026, 0, 1)
const reasonOf = (run: () => unknown): string => {
  try {
    run()
    return 'none'
  } catch (error) {
    return error instanceof Fault ? error.reason : String(error)
  }
}

describe('the hub’s key directory', () => {
  test('is made once, readable by its owner alone, and opens as the same hub', async () => {
    using dir = keyDir()
    const made = await openPki(dir.path, NOW_MS)
    for (const name of readdirSync(dir.path)) expect(statSync(dir.at(name)).mode & 0o777).toBe(0o600)
    const opened = await openPki(dir.path, NOW_MS + 1e9)
    expect([opened.pin, opened.signer.keyid, opened.tls.cert, opened.tls.ticketKeys]).toEqual([
      made.pin,
      made.signer.keyid,
      made.tls.cert,
      made.tls.ticketKeys,
    ])
    expect(made.tls.ticketKeys.length).toBe(48)
    expect(readdirSync(dir.path).some((name) => name.endsWith('.new'))).toBe(false)
  })

  test('works with its root key taken away', async () => {
    using dir = keyDir()
    const { pin } = await openPki(dir.path, NOW_MS)
    rmSync(dir.at('root.key'))
    expect((await openPki(dir.path, NOW_MS)).pin).toBe(pin)
    expect(existsSync(dir.at('root.key'))).toBe(false)
  })

  test.each(['signing.key', 'ca.key', 'ca.pem', 'hub.key', 'hub.pem'])(
    'says so when %s is lost, and makes no other',
    async (name) => {
      using dir = keyDir()
      await openPki(dir.path, NOW_MS)
      rmSync(dir.at(name))
      await expect(openPki(dir.path, NOW_MS)).rejects.toMatchObject({ reason: 'StoreCorrupt' })
      expect(existsSync(dir.at(name))).toBe(false)
    },
  )

  test('refuses files that do not belong together', async () => {
    using dir = keyDir()
    using other = keyDir()
    await openPki(dir.path, NOW_MS)
    await openPki(other.path, NOW_MS)
    using mixed = keyDir(dir)
    using swapped = keyDir(other)
    writeFileSync(mixed.at('trust.json'), '{"pin":')
    await expect(openPki(mixed.path, NOW_MS)).rejects.toMatchObject({ reason: 'StoreCorrupt' })
    const { readFileSync } = await import('node:fs')
    writeFileSync(swapped.at('signing.key'), readFileSync(dir.at('signing.key')))
    await expect(openPki(swapped.path, NOW_MS)).rejects.toMatchObject({ reason: 'StoreCorrupt' })
  })

  test('goes on where a crash interrupted its making', async () => {
    using whole = keyDir()
    const { signer } = await openPki(whole.path, NOW_MS)
    using half = keyDir(whole, ['trust.json', 'hub.pem', 'hub.key', 'ticket.key'])
    expect((await openPki(half.path, NOW_MS)).signer.keyid).toBe(signer.keyid)
  })

  test('composes a certificate’s subject and takes only a P-256 key', async () => {
    const pki = await sharedPki()
    const publicKey = new X509Certificate(pki.tls.cert).publicKey.export({ type: 'spki', format: 'der' })
    const cert = new X509Certificate(await pki.certify({ site: '0417', siteId: 'ID1', publicKey }))
    expect([cert.subjectAltName, cert.subject, cert.ca]).toEqual([
      'URI:spiffe://flotilla/site/0417/ID1',
      'CN=ID1',
      false,
    ])
    await expect(pki.certify({ site: '0417', siteId: 'ID1', publicKey: pki.root })).rejects.toMatchObject({
      reason: 'InvalidInput',
    })
    await expect(pki.certify({ site: '0417/../hub', siteId: 'ID1', publicKey })).rejects.toMatchObject({
      reason: 'InvalidInput',
    })
  })
})

describe('age keys', () => {
  test('of 32 known bytes read as age writes them', () => {
    const secret = encodeBech32('age-secret-key-', Buffer.alloc(32, 0x42)).toUpperCase()
    expect(secret).toBe('AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX')
    const recipient = 'age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj'
    expect(secretKey({ recipient, secret: new SecretText(secret) }).asymmetricKeyType).toBe('x25519')
    expect(encodeBech32('age', decodeBech32('age', recipient))).toBe(recipient)
  })

  test('that were just made belong together', () => {
    const keys = makeAgeKeys()
    expect(keys.recipient).toMatch(/^age1[a-z0-9]{58}$/)
    expect(recipientKey(keys.recipient).export({ format: 'jwk' }).x).toBe(secretKey(keys).export({ format: 'jwk' }).x)
  })

  test.each([
    ['with a changed letter', 'age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwq'],
    ['with a letter missing', 'age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujw'],
    ['of another kind', encodeBech32('ssh', Buffer.alloc(32))],
    ['of 31 bytes', encodeBech32('age', Buffer.alloc(31))],
    ['of nothing', ''],
  ])('%s are refused', (_name, text) => expect(reasonOf(() => recipientKey(text))).toBe('InvalidInput'))
})

describe('a join token', () => {
  const token = {
    hub: 'https://hub.example:8443',
    site: '0417',
    secret: makeTokenSecret(),
    pin: `sha256:${'ab'.repeat(32)}` as const,
  }
  const line = encodeToken(token)

  test('is one line that says all that a site needs', () => {
    expect(line).toMatch(/^flt1_[A-Za-z0-9_-]+$/)
    expect(decodeToken(`  ${line}\n`)).toEqual(token)
    expect(hashTokenSecret(token.secret)).toMatch(/^[0-9a-f]{64}$/)
  })

  test.each<[string, string]>([
    ['cut short', line.slice(0, -1)],
    ['with a changed letter', `${line.slice(0, 20)}${line[20] === 'A' ? 'B' : 'A'}${line.slice(21)}`],
    ['of another kind', 'ghp_abcdef'],
    ['for a hub without TLS', encodeToken({ ...token, hub: 'http://hub.example' })],
    ['for a hub with a path', encodeToken({ ...token, hub: 'https://hub.example/evil' })],
    ['for no site', encodeToken({ ...token, site: '../x' })],
    ['with half a pin', encodeToken({ ...token, pin: 'sha256:ab' })],
    ['of endless length', `flt1_${'A'.repeat(10_000)}`],
  ])('%s is refused without saying its secret', (_name, text) => {
    expect(reasonOf(() => decodeToken(text))).toBe('InvalidInput')
    expect(() => decodeToken(text)).not.toThrow(token.secret)
  })
})

describe('what a site keeps', () => {
  test('a TLS session of another binding, or damaged, is none', () => {
    const bound = randomBytes(32).toString('hex')
    const kept = encodeSession(Buffer.from('ticket'), bound)
    expect(decodeSession(kept, bound)?.toString()).toBe('ticket')
    expect(decodeSession(kept, randomBytes(32).toString('hex'))).toBeUndefined()
    for (const bytes of [undefined, Buffer.alloc(0), kept.subarray(0, 33), Buffer.from([9, ...kept.subarray(1)])])
      expect(decodeSession(bytes, bound)).toBeUndefined()
  })
})
