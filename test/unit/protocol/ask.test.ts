import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../../src/core/model/json.ts'
import {
  type Ask,
  ANSWER_MAX_CHARS,
  answerBodies,
  ASK_MAX_BYTES,
  askBytes,
  type AskInput,
  judgeAsk,
  readAnswer,
  readAskWord,
  sealAsk,
  takenBody,
} from '../../../src/core/protocol/ask.ts'
import { PAYLOAD_TYPES, signBytes } from '../../../src/core/protocol/envelope.ts'
import { ITEM_MAX_BYTES } from '../../../src/core/protocol/quota.ts'
import { HUB, NOW_MS, RELEASE_SIGNER, SITE, SITE_ID, STRANGER, TRUST } from './fixed.ts'

const at = (ms: number): string => new Date(NOW_MS + ms).toISOString()
const ASK: Ask = {
  id: '0123456789abcdef',
  site: SITE,
  siteId: SITE_ID,
  timeEpoch: 1,
  verb: 'diff',
  args: {},
  by: 'ann',
  issued: at(-1_000),
  expires: at(60_000),
  most: 1_000,
}
const HERE: AskInput = { trust: TRUST, site: SITE, siteId: SITE_ID, hubNow: { known: 'exact', ms: NOW_MS } }

function signedAs(type: keyof typeof PAYLOAD_TYPES, ask: Ask): JsonObject {
  const sig = signBytes(PAYLOAD_TYPES[type], askBytes(ask), HUB)
  return { ...sealAsk(ask, HUB), sig: sig.toString('base64') }
}

describe('what a site takes for an ask', () => {
  test('one of the hub, for this site, in time', () => {
    expect(judgeAsk(sealAsk(ASK, HUB), HERE)).toEqual({ verdict: 'take', ask: ASK })
  })

  test('of a verb that it does not know, to say so', () => {
    const ask = { ...ASK, verb: 'teleport' }
    expect(judgeAsk(sealAsk(ask, HUB), HERE)).toEqual({ verdict: 'take', ask })
  })

  test('up to the very moment of its expiry by the hub’s signed time', () => {
    const late = { ...HERE, hubNow: { known: 'exact', ms: NOW_MS + 60_000 } } as const
    expect(judgeAsk(sealAsk(ASK, HUB), late).verdict).toBe('take')
  })

  const long = 'x'.repeat(ASK_MAX_BYTES)
  test.each<[string, string, 'answered' | 'silent', JsonObject, Partial<AskInput>?]>([
    ['a stranger signs', 'SignatureInvalid', 'silent', sealAsk(ASK, STRANGER)],
    ['a key of another role signs', 'SignatureInvalid', 'silent', sealAsk(ASK, RELEASE_SIGNER)],
    ['a stranger signs under the hub’s key id', 'SignatureInvalid', 'silent', { ...sealAsk(ASK, STRANGER), keyid: HUB.keyid }], // prettier-ignore
    ['a byte was changed', 'SignatureInvalid', 'silent', { ...sealAsk(ASK, HUB), payload: sealAsk({ ...ASK, verb: 'logs' }, HUB)['payload'] }], // prettier-ignore
    ['signed as a manifest', 'SignatureInvalid', 'silent', signedAs('manifest', ASK)],
    ['for another site', 'WrongSite', 'silent', sealAsk({ ...ASK, site: 'other' }, HUB)],
    ['for a box that this one replaced', 'WrongSite', 'silent', sealAsk({ ...ASK, siteId: 'older' }, HUB)],
    ['no id', 'InvalidInput', 'silent', sealAsk({ ...ASK, id: '' }, HUB)],
    ['too large', 'TooLarge', 'silent', sealAsk({ ...ASK, args: { long } }, HUB)],
    ['no envelope', 'InvalidInput', 'silent', { kind: 'ask' }],
    ['args that are none', 'InvalidInput', 'silent', sealAsk({ ...ASK, args: [] as unknown as JsonObject }, HUB)],
    ['expired by the signed time', 'Expired', 'answered', sealAsk(ASK, HUB), { hubNow: { known: 'exact', ms: NOW_MS + 60_001 } }], // prettier-ignore
    ['of another time epoch', 'HubClock', 'answered', sealAsk({ ...ASK, timeEpoch: 2 }, HUB)],
    ['the hub’s time is not known', 'HubClock', 'answered', sealAsk(ASK, HUB), { hubNow: { known: 'no' } }],
    ['only what time it is at least is known', 'HubClock', 'answered', sealAsk(ASK, HUB), { hubNow: { known: 'atLeast', ms: NOW_MS } }], // prettier-ignore
    ['good for longer than a day', 'InvalidInput', 'answered', sealAsk({ ...ASK, expires: at(86_400_000) }, HUB)],
    ['of a time that is yet to come', 'InvalidInput', 'answered', sealAsk({ ...ASK, issued: at(61_000), expires: at(90_000) }, HUB)], // prettier-ignore
  ])('refused: %s (%s)', (_name, reason, answered, item, here = {}) => {
    const verdict = judgeAsk(item, { ...HERE, ...here })
    expect(verdict).toMatchObject({ verdict: 'refuse', reason })
    expect(verdict.ask === undefined ? 'silent' : 'answered').toBe(answered)
  })
})

describe('an answer travels in parts', () => {
  const whole = (bodies: readonly JsonObject[]) => {
    const words = bodies.map((body) => readAskWord(JSON.parse(JSON.stringify(body)) as JsonObject))
    return readAnswer(words.map((word) => (word !== undefined && 'text' in word ? word.text : '')), new Set(['TooLarge'])) // prettier-ignore
  }

  test.each<[string, string]>([
    ['nothing', ''],
    ['text', 'a "quoted" line\n'.repeat(8_000)],
    ['characters that take six each', '\u0000'.repeat(30_000)],
    ['pairs that a cut may part', '😀'.repeat(50_000)],
  ])('%s', (_name, text) => {
    const answer = { ok: true, said: { text } } as const
    const bodies = answerBodies(ASK.id, answer, ANSWER_MAX_CHARS)
    const items = bodies.map((body) => JSON.stringify({ class: 'result', seq: 1, atMs: NOW_MS, body }))
    expect(Math.max(...items.map((item) => Buffer.byteLength(item)))).toBeLessThan(ITEM_MAX_BYTES)
    expect(whole(bodies)).toEqual(answer)
  })

  test('above what is kept it says so', () => {
    const answer = { ok: true, said: { text: 'x'.repeat(2_000) } } as const
    expect(whole(answerBodies(ASK.id, answer, 1_000))).toMatchObject({ ok: false, reason: 'TooLarge' })
  })

  test('a reason that the hub does not know is told in the site’s words', () => {
    const said = readAnswer(['{"ok":false,"reason":"Newer","message":"because"}'], new Set())
    expect(said).toEqual({ ok: false, reason: 'Unexpected', message: 'Newer: because' })
  })

  test.each<[string, JsonObject]>([
    ['of another kind', { ...takenBody(ASK.id), kind: 'box' }],
    ['without an id', { kind: 'ask', taken: true }],
    ['beyond its count', { kind: 'ask', id: ASK.id, part: 1, of: 1, text: '' }],
    ['of too many', { kind: 'ask', id: ASK.id, part: 0, of: 10_000, text: '' }],
    ['too long', { kind: 'ask', id: ASK.id, part: 0, of: 1, text: 'x'.repeat(ANSWER_MAX_CHARS) }],
    ['no text', { kind: 'ask', id: ASK.id, part: 0, of: 1 }],
  ])('a word %s is none', (_name, body) => {
    expect(readAskWord(body)).toBeUndefined()
  })
})
