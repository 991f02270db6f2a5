import { describe, expect, test } from 'vitest'
import type { TimeStatement } from '../../../src/core/protocol/messages.ts'
import {
  hubNow,
  judgeTime,
  NO_SUBJECT,
  signTime,
  TIME_BACKSTEP_MS,
  timeSubject,
  type TimeInput,
} from '../../../src/core/protocol/time.ts'
import { acceptTrust, signTrust } from '../../../src/core/protocol/trust.ts'
import { HUB, NONCE, NOW_MS, ROOT, SITE_ID, STRANGER, TRUST } from './fixed.ts'

const SAID: TimeStatement = { siteId: SITE_ID, nonce: NONCE, timeMs: NOW_MS, timeEpoch: 1, ...NO_SUBJECT }
const HELD = { timeMs: NOW_MS - 10_000, timeEpoch: 1, atMonotonicMs: 1_000, boot: 'k1' }

/** The hub signs `said`; the site rebuilds `rebuilt` of what it knows. */
function judge(said: TimeStatement, rebuilt = said, rest: Partial<TimeInput> = {}): ReturnType<typeof judgeTime> {
  return judgeTime({
    statement: rebuilt,
    keyid: HUB.keyid,
    sig: signTime(said, HUB),
    trust: TRUST,
    held: undefined,
    monotonicMs: 11_000,
    boot: 'k1',
    ...rest,
  })
}

function epochTwo(): TimeInput['trust'] {
  const read = acceptTrust(
    signTrust(
      {
        version: 2,
        issued: '2026-01-03T00:00:00Z',
        timeEpoch: 2,
        critical: [],
        keys: [{ key: HUB.publicKey, roles: ['time'] }],
        authorities: [],
      },
      ROOT,
    ),
    ROOT.publicKey,
    TRUST,
  )
  if (read.verdict !== 'accept') throw new Error(read.verdict)
  return read.trust
}

describe('a time statement', () => {
  const far = { ...SAID, timeMs: Date.UTC(2036, 0, 1) }
  test.each<[string, ReturnType<typeof judge>, string]>([
    ['over this nonce, site and manifest', judge(SAID), 'accept'],
    ['of another nonce: a replay', judge({ ...SAID, nonce: 'CCCCCCCCCCCCCCCC' }, SAID), 'SignatureInvalid'],
    ['of another site', judge({ ...SAID, siteId: 'OTHER' }, SAID), 'SignatureInvalid'],
    ['of another generation', judge({ ...SAID, generation: { epoch: 0, counter: 1 } }, SAID), 'SignatureInvalid'],
    ['of another root', judge({ ...SAID, root: `sha256:${'1'.repeat(64)}` }, SAID), 'SignatureInvalid'],
    ['with another time written over', judge(SAID, { ...SAID, timeMs: NOW_MS + 1 }), 'SignatureInvalid'],
    ['with another epoch written over', judge({ ...SAID, timeEpoch: 0 }, SAID), 'SignatureInvalid'],
    [
      'by a key that nobody named',
      judge(SAID, SAID, { keyid: STRANGER.keyid, sig: signTime(SAID, STRANGER) }),
      'SignatureInvalid',
    ],
    ['in an epoch that the root did not begin', judge({ ...SAID, timeEpoch: 2 }), 'HubClock'],
    ['in an epoch that the root has ended', judge(SAID, SAID, { trust: epochTwo() }), 'HubClock'],
    ['later than the last one', judge(SAID, SAID, { held: HELD }), 'accept'],
    [
      'a little earlier than the last one runs to: clock discipline',
      judge({ ...SAID, timeMs: NOW_MS - TIME_BACKSTEP_MS }, undefined, { held: HELD }),
      'accept',
    ],
    [
      'much earlier than the last one runs to',
      judge({ ...SAID, timeMs: NOW_MS - TIME_BACKSTEP_MS - 1 }, undefined, { held: HELD }),
      'HubClock',
    ],
    ['the right time, after a hub said 2036', judge(SAID, SAID, { held: { ...HELD, timeMs: far.timeMs } }), 'HubClock'],
    [
      'the right time, after the root began a new epoch for it',
      judge({ ...SAID, timeEpoch: 2 }, undefined, { held: { ...HELD, timeMs: far.timeMs }, trust: epochTwo() }),
      'accept',
    ],
    ['a time that no layout holds', judge(SAID, { ...SAID, timeMs: 2 ** 48 }), 'InvalidInput'],
    ['a nonce of another length', judge(SAID, { ...SAID, nonce: 'AAAA' }), 'InvalidInput'],
  ])('%s', (_name, verdict, expected) => {
    expect(verdict.verdict === 'refuse' ? verdict.reason : verdict.verdict).toBe(expected)
  })

  test('speaks of what is sent, else of what the site named, else of nothing', () => {
    const have = { generation: { epoch: 1, counter: 2 }, root: NO_SUBJECT.root, body: NO_SUBJECT.root }
    const sent = { generation: { epoch: 1, counter: 3 }, root: NO_SUBJECT.root }
    expect(timeSubject(sent, have)).toBe(sent)
    expect(timeSubject(undefined, have)).toBe(have)
    expect(timeSubject(undefined, null)).toBe(NO_SUBJECT)
  })
})

describe('what a site knows of the hub’s time', () => {
  test.each([
    ['nothing before the first statement', undefined, 5, 'k1', { known: 'no' }],
    ['the last statement and what passed since', HELD, 4_000, 'k1', { known: 'exact', ms: HELD.timeMs + 3_000 }],
    ['after a reboot, no less than the last statement', HELD, 5, 'k2', { known: 'atLeast', ms: HELD.timeMs }],
    ['a monotonic clock that broke its word adds nothing', HELD, 0, 'k1', { known: 'exact', ms: HELD.timeMs }],
  ] as const)('%s', (_name, held, monotonicMs, boot, expected) => {
    expect(hubNow(held, monotonicMs, boot)).toEqual(expected)
  })
})
