import { deflateRawSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { digestBytes } from '../../../src/core/model/digest.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import type { WorkloadObservation } from '../../../src/core/model/observation.ts'
import { applyDelta, compress, decompress, DELTA_MAX_BYTES, makeDelta } from '../../../src/core/protocol/delta.ts'
import { decodeFrame, encodeFrame } from '../../../src/core/protocol/frame.ts'
import { checkUp, fitStatus } from '../../../src/core/protocol/heads.ts'
import { FACTS_MAX_BYTES, SYNC_UP_MAX_BYTES } from '../../../src/core/protocol/limits.ts'
import { STARTER_UP } from '../../../src/core/protocol/starter.ts'
import { decodeDown, decodeUp, encodeDown, encodeUp, NEW_CONVERSATION } from '../../../src/core/protocol/sync.ts'
import { sealed, UP } from './fixed.ts'
import { BASES, FULL_UP, OBJECT, OBSERVATION, OLD_OBJECT, OLD_PAYLOAD, REPLY } from './messages.ts'

function reasonOf(run: () => unknown): string {
  try {
    run()
    return 'none'
  } catch (error) {
    return error instanceof Fault ? error.reason : `not a Fault: ${String(error)}`
  }
}

describe('a delta', () => {
  const base = Buffer.from(
    Array.from({ length: 2_000 }, (_, i) => `line ${i} ${digestBytes('object', String(i))}\n`).join(''),
  )
  const result = Buffer.from(base.toString().replace('line 1000 ', 'LINE 1000 '))

  test('of one changed line in 160 KB is small and gives the result', () => {
    const delta = makeDelta(base, result)!
    expect(delta.length).toBeLessThan(160)
    expect(applyDelta(base, delta, 1e6).equals(result)).toBe(true)
  })

  test('of one changed line in 6 MB still finds the rest in its base', () => {
    const large = Buffer.from(
      Array.from({ length: 80_000 }, (_, i) => `line ${i} ${digestBytes('object', String(i))}`).join('\n'),
    ).subarray(0, DELTA_MAX_BYTES)
    const changed = Buffer.from(large)
    changed[large.length >> 1] = 65
    const delta = makeDelta(large, changed)!
    expect(delta.length).toBeLessThan(large.length / 100)
    expect(applyDelta(large, delta, DELTA_MAX_BYTES).equals(changed)).toBe(true)
  })

  test.each<[string, string, () => unknown]>([
    [
      'against another base',
      'BlobMismatch',
      () => applyDelta(Buffer.concat([base, Buffer.from('x')]), makeDelta(base, result)!, 1e6),
    ],
    ['without its base', 'BlobMismatch', () => decompress(makeDelta(base, result)!, 1e6)],
    ['with a changed byte', 'BlobMismatch', () => applyDelta(base, makeDelta(base, result)!.fill(1, 30, 31), 1e6)],
    ['cut short', 'BlobMismatch', () => applyDelta(base, makeDelta(base, result)!.subarray(0, -3), 1e6)],
    ['of a result above the limit', 'TooLarge', () => applyDelta(base, makeDelta(base, result)!, 1_000)],
    ['of zeros without end', 'TooLarge', () => decompress(compress(Buffer.alloc(5_000_000)), 1_000_000)],
    ['that is no delta', 'BlobMismatch', () => decompress(Buffer.from('<html>'), 1_000)],
    ['of nothing', 'BlobMismatch', () => decompress(Buffer.alloc(0), 1_000)],
  ])('%s: %s', (_name, reason, run) => expect(reasonOf(run)).toBe(reason))

  test('is not made where a version is above its limit', () => {
    expect(makeDelta(Buffer.alloc(DELTA_MAX_BYTES + 1), base)).toBeUndefined()
  })
})

describe('a frame', () => {
  const none = { starter: '', previous: undefined }
  const limits = { totalBytes: 10_000, headBytes: 1_000, parts: 4 }
  const frame = encodeFrame({ head: '{"a":1}', parts: [Buffer.from('part')] }, none)
  const bent = (at: number, value: number): Buffer => Buffer.from(frame).fill(value, at, at + 1)

  test.each<[string, string, () => unknown]>([
    ['as it was made', 'none', () => decodeFrame(frame, none, limits)],
    ['empty', 'InvalidInput', () => decodeFrame(Buffer.alloc(0), none, limits)],
    ['of another format', 'InvalidInput', () => decodeFrame(bent(0, 0x20), none, limits)],
    ['an HTML page', 'InvalidInput', () => decodeFrame(Buffer.from('<html><body>Sign in</body></html>'), none, limits)],
    ['cut anywhere', 'InvalidInput', () => decodeFrame(frame.subarray(0, -1), none, limits)],
    ['with bytes behind it', 'InvalidInput', () => decodeFrame(Buffer.concat([frame, Buffer.from('x')]), none, limits)],
    ['above its total', 'TooLarge', () => decodeFrame(frame, none, { ...limits, totalBytes: 10 })],
    [
      'that announces a part above the total',
      'TooLarge',
      () => decodeFrame(Buffer.from([0x10, 0, 0, 1, 0xff, 0xff, 0x7f]), none, limits),
    ],
    [
      'that announces more parts than may be',
      'TooLarge',
      () => decodeFrame(Buffer.from([0x10, 0, 0, 5]), none, limits),
    ],
    [
      'with a length that does not end',
      'InvalidInput',
      () => decodeFrame(Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), none, limits),
    ],
    [
      'against a head that was never sent here',
      'Stale',
      () => decodeFrame(encodeFrame({ head: '{}', parts: [] }, { starter: '', previous: '{}' }), none, limits),
    ],
    [
      'against another head than ours',
      'InvalidInput',
      () =>
        decodeFrame(
          encodeFrame({ head: '{"seq":7,"v":1}', parts: [] }, { starter: '', previous: '{"seq":6,"v":1}' }),
          { starter: '', previous: '{"seq":5,"v":2}' },
          limits,
        ),
    ],
    [
      'whose head swells',
      'TooLarge',
      () => decodeFrame(encodeFrame({ head: ' '.repeat(100_000), parts: [] }, none), none, limits),
    ],
    [
      'with a digest that its head does not name',
      'InvalidInput',
      () => decodeFrame(withTable(Buffer.from('{}'), 1), none, limits),
    ],
    [
      'whose head names a digest that is not there',
      'InvalidInput',
      () => decodeFrame(withTable(Buffer.from('"\u0001"'), 0), none, limits),
    ],
  ])('%s: %s', (_name, reason, run) => expect(reasonOf(run)).toBe(reason))

  function withTable(packed: Buffer, digests: number): Buffer {
    const head = deflateRawSync(packed)
    return Buffer.concat([Buffer.from([0x10, head.length, digests, 0, 0, 0, 0, 0]), head, Buffer.alloc(32 * digests)])
  }

  test('carries digests as bytes, one that repeats only once, and text that only looks like a mark untouched', () => {
    const digest = digestBytes('object', 'a')
    const head = JSON.stringify([digest, digest, '\u0001', '\u00020;'])
    const bytes = encodeFrame({ head, parts: [] }, none)
    expect(decodeFrame(bytes, none, limits).head).toBe(head)
    expect(bytes.length).toBeLessThan(90)
    expect(encodeFrame({ head, parts: [] }, { starter: '', previous: `["${digest}"` }).length).toBeLessThan(60)
  })
})

describe('a report', () => {
  test('is read as it was said, and the second costs a few bytes', () => {
    const first = encodeUp(FULL_UP, NEW_CONVERSATION)
    expect(decodeUp(first.bytes, NEW_CONVERSATION)).toEqual({ up: FULL_UP, head: first.head })
    const conversation = { up: first.head, down: undefined }
    const second = encodeUp({ ...FULL_UP, seq: 13, nonce: 'BBBBBBBBBBBBBBBC' }, conversation)
    expect(decodeUp(second.bytes, conversation).up.seq).toBe(13)
    expect(second.bytes.length).toBeLessThan(60)
  })

  test('keeps a field that nobody knows yet', () => {
    const later = { ...UP, later: { a: [1] } }
    expect(decodeUp(encodeUp(later, NEW_CONVERSATION).bytes, NEW_CONVERSATION).up).toEqual(later)
  })

  const bad: [string, string, object][] = [
    ['of a site that is no name', 'InvalidInput', { site: '../etc' }],
    ['without an id', 'InvalidInput', { siteId: '' }],
    ['with a short nonce', 'InvalidInput', { nonce: 'AAAA' }],
    ['with a sequence below zero', 'InvalidInput', { seq: -1 }],
    ['with a clock that is no number', 'InvalidInput', { clockMs: 'now' }],
    ['that has something without a root', 'InvalidInput', { have: { generation: { epoch: 1, counter: 1 } } }],
    ['with observations that are no list', 'InvalidInput', { observations: {} }],
    ['with an observation of nothing', 'InvalidInput', { observations: [{}] }],
    ['with a health that nobody knows', 'InvalidInput', { observations: [{ ...OBSERVATION, health: 'Fine' }] }],
    ['healthy for a negative time', 'InvalidInput', { observations: [{ ...OBSERVATION, healthyForMs: -1 }] }],
    [
      'with 21 objects of one workload',
      'TooLarge',
      { observations: [{ ...OBSERVATION, objects: Array.from({ length: 21 }, () => OBSERVATION.objects[0]) }] },
    ],
    ['with facts above their limit', 'TooLarge', { facts: { a: 'x'.repeat(FACTS_MAX_BYTES) } }],
    ['with 33 conditions', 'TooLarge', { conditions: Array.from({ length: 33 }, () => FULL_UP.conditions[0]) }],
    ['with 1,001 outbox items', 'TooLarge', { outbox: Array.from({ length: 1_001 }, () => FULL_UP.outbox[0]) }],
    ['with an outbox item of no class', 'InvalidInput', { outbox: [{ ...FULL_UP.outbox[0], class: 'x' }] }],
    ['that wants what is no digest', 'InvalidInput', { want: ['x'] }],
    [
      'with facts that nest without end',
      'TooLarge',
      { facts: JSON.parse('{"a":'.repeat(40) + '1' + '}'.repeat(40)) as object },
    ],
  ]
  test.each(bad)('%s: %s', (_name, reason, change) => {
    const { bytes } = encodeUpRaw({ ...FULL_UP, ...change })
    expect(reasonOf(() => decodeUp(bytes, NEW_CONVERSATION))).toBe(reason)
  })

  test('above its limit is not read', () => {
    expect(reasonOf(() => decodeUp(Buffer.alloc(SYNC_UP_MAX_BYTES + 1), NEW_CONVERSATION))).toBe('TooLarge')
  })
})

/** What an agent that does not check itself would send. */
function encodeUpRaw(json: object): { bytes: Buffer } {
  return { bytes: encodeFrame({ head: JSON.stringify(json), parts: [] }, { starter: STARTER_UP, previous: undefined }) }
}

describe('the status of a site with much to say', () => {
  const noisy = Array.from({ length: 300 }, (_, i): WorkloadObservation => ({
    ...OBSERVATION,
    workload: `team/app-${i}`,
    objects: Array.from({ length: 20 }, (_x, k) => ({
      ...OBSERVATION.objects[0]!,
      message: `${digestBytes('object', `${i}/${k}`)} refused ${i * k}`,
    })),
  }))

  test('fits, with every workload in it and the worst objects first to stay', () => {
    const fitted = fitStatus(noisy)
    expect(fitted.map(({ workload }) => workload)).toEqual(noisy.map(({ workload }) => workload))
    expect(fitted[0]!.objects.length).toBeLessThan(20)
    expect(fitted[0]!.objects[0]?.message.slice(0, 20)).toBe(noisy[0]!.objects[0]!.message.slice(0, 20))
    expect(
      decodeUp(encodeUp({ ...UP, observations: noisy }, NEW_CONVERSATION).bytes, NEW_CONVERSATION).up.observations,
    ).toEqual(fitted)
  })

  test('sent as it is, is refused', () => {
    expect(reasonOf(() => checkUp({ ...UP, observations: noisy } as never))).toBe('TooLarge')
  })

  test('with little to say is left as it is', () => {
    expect(fitStatus([OBSERVATION])[0]).toBe(OBSERVATION)
  })
})

describe('an answer', () => {
  const { bytes } = encodeDown(REPLY, FULL_UP, NEW_CONVERSATION)

  test('brings the manifest, the blobs and the trust statement that were meant', () => {
    const { answer, damaged } = decodeDown(bytes, BASES, NEW_CONVERSATION)
    expect(damaged).toEqual([])
    expect(answer.manifest).toEqual(REPLY.manifest!.envelope)
    expect([...answer.blobs.values()].map((blob) => Buffer.from(blob.bytes))).toEqual([OBJECT, Buffer.from('{}')])
    expect(answer.head.manifest?.base).toBe(REPLY.manifest!.base!.digest)
  })

  test('to a site that asks for whole ones has no base but what it brings itself', () => {
    const whole = encodeDown(REPLY, { ...FULL_UP, whole: true }, NEW_CONVERSATION)
    const { answer, damaged } = decodeDown(
      whole.bytes,
      { manifest: undefined, blob: () => undefined },
      NEW_CONVERSATION,
    )
    expect(damaged).toEqual([])
    expect(answer.manifest).toEqual(REPLY.manifest!.envelope)
  })

  test('does not bring the trust statement that the site has', () => {
    const { answer } = decodeDown(
      encodeDown(REPLY, { ...FULL_UP, trust: 2 }, NEW_CONVERSATION).bytes,
      BASES,
      NEW_CONVERSATION,
    )
    expect(answer.trust).toBeUndefined()
  })

  test('names a blob whose base is gone, and brings the others', () => {
    const { answer, damaged } = decodeDown(bytes, { ...BASES, blob: () => undefined }, NEW_CONVERSATION)
    expect(damaged).toEqual([digestBytes('object', OBJECT)])
    expect(answer.blobs.size).toBe(1)
  })

  test('with a blob under another’s name does not bring it', () => {
    const mixed = {
      ...REPLY,
      blobs: [{ ...REPLY.blobs[0]!, bytes: OLD_OBJECT, digest: digestBytes('object', OBJECT) }],
    }
    const { answer, damaged } = decodeDown(encodeDown(mixed, FULL_UP, NEW_CONVERSATION).bytes, BASES, NEW_CONVERSATION)
    expect([answer.blobs.size, damaged.length]).toEqual([0, 1])
  })

  test('takes the object before as a base for one that the site has nothing of', () => {
    const fresh = {
      ...REPLY,
      blobs: [OLD_OBJECT, OBJECT].map((it) => ({
        domain: 'object' as const,
        digest: digestBytes('object', it),
        bytes: it,
      })),
    }
    const { answer } = decodeDown(encodeDown(fresh, FULL_UP, NEW_CONVERSATION).bytes, BASES, NEW_CONVERSATION)
    expect(answer.head.blobs[1]!.base).toBe(digestBytes('object', OLD_OBJECT))
    expect(answer.blobs.size).toBe(2)
  })

  test.each<[string, string, () => unknown]>([
    [
      'against a manifest that is not here',
      'BlobMismatch',
      () => decodeDown(bytes, { ...BASES, manifest: undefined }, NEW_CONVERSATION),
    ],
    [
      'against another manifest',
      'BlobMismatch',
      () => decodeDown(bytes, { ...BASES, manifest: Buffer.concat([OLD_PAYLOAD, Buffer.from('x')]) }, NEW_CONVERSATION),
    ],
    [
      'with a manifest that is not the one it names',
      'BlobMismatch',
      () =>
        decodeDown(
          encodeDown(
            { ...REPLY, manifest: { envelope: sealed({}), body: REPLY.manifest!.body } },
            FULL_UP,
            NEW_CONVERSATION,
          ).bytes,
          BASES,
          NEW_CONVERSATION,
        ),
    ],
    ['cut short', 'InvalidInput', () => decodeDown(bytes.subarray(0, -1), BASES, NEW_CONVERSATION)],
  ])('%s: %s', (_name, reason, run) => expect(reasonOf(run)).toBe(reason))
})
