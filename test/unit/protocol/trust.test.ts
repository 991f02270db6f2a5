import { describe, expect, test } from 'vitest'
import { spkiOf, type SigningKey } from '../../../src/core/protocol/envelope.ts'
import type { TrustStatement } from '../../../src/core/protocol/ports.ts'
import {
  acceptTrust,
  followTrust,
  pinOf,
  signTrust,
  TRUST_MAX_BYTES,
  type TrustBody,
} from '../../../src/core/protocol/trust.ts'
import { fixedKey, HUB, ROOT, STATEMENT, STRANGER, TRUST } from './fixed.ts'

const statement = (change: Partial<TrustBody> = {}, by: SigningKey = ROOT): TrustStatement =>
  signTrust(
    {
      version: 2,
      issued: '2026-01-03T00:00:00Z',
      timeEpoch: 1,
      critical: [],
      keys: [{ key: HUB.publicKey, roles: ['manifest', 'time'] }],
      authorities: [],
      ...change,
    },
    by,
  )

describe('a trust statement', () => {
  test.each<[string, TrustStatement, object]>([
    ['a newer one by the root', statement(), { verdict: 'accept', trust: { version: 2 } }],
    ['the one that is held', STATEMENT, { verdict: 'current' }],
    ['an older one', statement({ version: 0 }), { verdict: 'refuse', reason: 'OldGeneration' }],
    ['another one of the same version', statement({ version: 1 }), { verdict: 'refuse', reason: 'ForkedHub' }],
    ['one by the hub’s own key', statement({}, HUB), { verdict: 'refuse', reason: 'SignatureInvalid' }],
    [
      'one with a changed byte',
      { ...statement(), payload: Buffer.from(statement().payload).fill(50, 40, 41) },
      { verdict: 'refuse', reason: 'SignatureInvalid' },
    ],
    [
      'one that needs what we do not know, like a threshold of roots',
      statement({ critical: ['threshold'] }),
      { verdict: 'refuse', reason: 'AgentTooOld' },
    ],
    [
      'one above its limit',
      { payload: Buffer.alloc(TRUST_MAX_BYTES + 1), sig: STATEMENT.sig },
      { verdict: 'refuse', reason: 'TooLarge' },
    ],
    [
      'one with a role of a later version',
      statement({ keys: [{ key: HUB.publicKey, roles: ['manifest', 'oracle' as 'time'] }] }),
      { verdict: 'accept' },
    ],
  ])('%s', (_name, it, expected) => expect(acceptTrust(it, ROOT.publicKey, TRUST)).toMatchObject(expected))

  test('gives each key its roles and no others', () => {
    expect([...TRUST.rings.manifest.keys()]).toEqual([HUB.keyid])
    expect([...TRUST.rings.time.keys()]).toEqual([HUB.keyid])
    expect(TRUST.rings.release.has(HUB.keyid)).toBe(false)
    expect(Buffer.from(TRUST.authorities[0]!).toString()).toBe('a certificate')
  })
})

describe('the chain from the pin', () => {
  const second = fixedKey(9)
  const handover = statement({ version: 2, root: second.publicKey })
  const after = statement({ version: 3 }, second)
  const pin = pinOf(ROOT.publicKey)
  const root = spkiOf(ROOT.publicKey)

  test.each<[string, readonly TrustStatement[], object]>([
    ['the first statement alone', [STATEMENT], { verdict: 'accept', trust: { version: 1 } }],
    [
      'a root that hands over to the next',
      [STATEMENT, handover, after],
      { verdict: 'accept', trust: { version: 3, root: second.publicKey } },
    ],
    [
      'a site that was dark meanwhile and meets only the handover',
      [handover, after],
      { verdict: 'accept', trust: { version: 3 } },
    ],
    [
      'the old root after it has handed over',
      [STATEMENT, handover, statement({ version: 4 })],
      { verdict: 'refuse', reason: 'SignatureInvalid' },
    ],
    ['a new root that nobody named', [STATEMENT, after], { verdict: 'refuse', reason: 'SignatureInvalid' }],
    ['no statement', [], { verdict: 'refuse' }],
  ])('%s', (_name, chain, expected) => expect(followTrust(pin, root, chain)).toMatchObject(expected))

  test('a root that is not the pinned one', () => {
    expect(followTrust(pin, spkiOf(STRANGER.publicKey), [STATEMENT])).toMatchObject({ reason: 'HubNotTrusted' })
    expect(followTrust(pin, Buffer.from('junk'), [STATEMENT])).toMatchObject({ verdict: 'refuse' })
  })
})
