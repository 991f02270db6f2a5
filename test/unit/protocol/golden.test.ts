/**
 * The wire cannot drift unnoticed. What is signed is compared byte by byte; what is compressed may come out of another zlib
 * otherwise, so that there the recorded bytes must be read as what they were.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { digestBytes } from '../../../src/core/model/digest.ts'
import { pae, PAYLOAD_TYPES, spkiOf } from '../../../src/core/protocol/envelope.ts'
import { decodeFrame } from '../../../src/core/protocol/frame.ts'
import { bodyDigest, rootOf } from '../../../src/core/protocol/manifest.ts'
import { STARTER_DOWN, STARTER_UP } from '../../../src/core/protocol/starter.ts'
import { decodeDown, decodeUp, NEW_CONVERSATION } from '../../../src/core/protocol/sync.ts'
import { NO_SUBJECT, signTime, timeBytes } from '../../../src/core/protocol/time.ts'
import { pinOf } from '../../../src/core/protocol/trust.ts'
import { BODY, HUB, NONCE, NOW_MS, ROOT, sealed, SITE_ID, STATEMENT, UP } from './fixed.ts'
import { BASES, FULL_UP, OBJECT, REPLY } from './messages.ts'

const golden = (name: string): string => join(import.meta.dirname, 'golden', name)
const recorded = (name: string): Buffer => Buffer.from(readFileSync(golden(name), 'utf8').replaceAll(/\s/g, ''), 'hex')
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

test('signed bytes and their signatures are those of the golden file', async () => {
  const envelope = sealed(BODY)
  const time = {
    siteId: SITE_ID,
    nonce: NONCE,
    timeMs: NOW_MS,
    timeEpoch: 1,
    generation: BODY.generation,
    root: rootOf(BODY),
  }
  const lines = {
    'root key': hex(spkiOf(ROOT.publicKey)),
    pin: pinOf(ROOT.publicKey),
    'hub keyid': HUB.keyid,
    'trust payload': Buffer.from(STATEMENT.payload).toString(),
    'trust signature': hex(STATEMENT.sig),
    'pae of "x" as a manifest': pae(PAYLOAD_TYPES.manifest, Buffer.from('x')).toString(),
    'manifest payload': Buffer.from(envelope.payload).toString(),
    'manifest root': rootOf(BODY),
    'manifest body': bodyDigest(envelope.payload),
    'manifest signature': hex(envelope.signatures[0]!.sig),
    'time bytes': hex(timeBytes(time)),
    'time signature': hex(signTime(time, HUB)),
    'time bytes without a manifest': hex(timeBytes({ ...time, ...NO_SUBJECT })),
    'digest of nothing as object': digestBytes('object', ''),
    'digest of nothing as release': digestBytes('release', ''),
    'starter up': digestBytes('config', STARTER_UP),
    'starter down': digestBytes('config', STARTER_DOWN),
  }
  const text = Object.entries(lines).map(([name, value]) => `${name}: ${value}\n`)
  await expect(text.join('')).toMatchFileSnapshot(golden('signed.txt'))
})

test('a recorded report is read as what was said', () => {
  expect(decodeUp(recorded('sync-up.hex'), NEW_CONVERSATION).up).toEqual(FULL_UP)
})

test('a recorded second report, against the first, is read as what was said', () => {
  const first = decodeUp(recorded('sync-up.hex'), NEW_CONVERSATION)
  expect(decodeUp(recorded('sync-up-2.hex'), { up: first.head, down: undefined }).up).toEqual({ ...UP, seq: 13 })
})

test('a recorded answer is read as what was said', () => {
  const { answer, damaged } = decodeDown(recorded('sync-down.hex'), BASES, NEW_CONVERSATION)
  expect(damaged).toEqual([])
  expect(answer.manifest).toEqual(REPLY.manifest!.envelope)
  expect(answer.blobs.get(digestBytes('object', OBJECT))?.bytes).toEqual(OBJECT)
  expect(answer.head).toMatchObject({ ...REPLY.head, trust: { version: 2 } })
  expect(answer.timeSignature).toEqual(REPLY.time.sig)
  expect(answer.trust).toEqual(STATEMENT)
})

test('a recorded frame with digests, one twice, is read as what was said', () => {
  const frame = decodeFrame(recorded('frame.hex'), { starter: '', previous: undefined }, { totalBytes: 1_000 })
  const [a, b] = [digestBytes('object', 'a'), digestBytes('object', 'b')]
  expect(frame.head).toBe(JSON.stringify([a, b, a, 'é']))
  expect(frame.parts.map((part) => Buffer.from(part).toString())).toEqual(['one', '', 'three'])
})
