/** Laws of the wire over all inputs. The seed of a failing run is printed by fast-check. */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { digestBytes } from '../../src/core/model/digest.ts'
import { Fault } from '../../src/core/model/fault.ts'
import { parseManifest } from '../../src/core/protocol/manifest.ts'
import { applyDelta, decompress, makeDelta } from '../../src/core/protocol/delta.ts'
import { decodeFrame, encodeFrame } from '../../src/core/protocol/frame.ts'
import { decodeDown, decodeUp, encodeUp, NEW_CONVERSATION } from '../../src/core/protocol/sync.ts'
import { UP } from '../unit/protocol/fixed.ts'

const LIMITS = { totalBytes: 1_000_000 }
const digests = fc.string().map((text) => digestBytes('object', text))
const heads = fc.oneof(
  fc.json(),
  fc.array(fc.oneof(digests, fc.string({ unit: 'binary' }))).map((it) => JSON.stringify(it)),
)
const runs = { numRuns: 300 }

function onlyFaults(run: () => unknown): void {
  try {
    run()
  } catch (error) {
    if (!(error instanceof Fault)) throw error
  }
}

test('what is framed is read back, against any dictionary', () => {
  fc.assert(
    fc.property(
      heads,
      fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }),
      fc.option(heads, { nil: undefined }),
      (head, parts, previous) => {
        const dictionary = { starter: '{"v":1', previous }
        const frame = decodeFrame(encodeFrame({ head, parts }, dictionary), dictionary, LIMITS)
        expect(frame.head).toBe(head)
        expect(frame.parts.map((part) => [...part])).toEqual(parts.map((part) => [...part]))
      },
    ),
    runs,
  )
})

test('bytes of any kind are read or are a Fault', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      const framed = Uint8Array.from([0x10, ...bytes])
      for (const it of [bytes, framed]) {
        onlyFaults(() => decodeUp(it, NEW_CONVERSATION))
        onlyFaults(() => decodeDown(it, { manifest: undefined, blob: () => undefined }, NEW_CONVERSATION))
      }
      onlyFaults(() => decompress(bytes, 1_000))
      onlyFaults(() => applyDelta(bytes, bytes, 1_000))
      parseManifest(bytes)
    }),
    runs,
  )
})

test('a message with one changed byte is read or is a Fault, and any JSON as a head likewise', () => {
  const { bytes } = encodeUp(UP, NEW_CONVERSATION)
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), fc.json(), (at, mask, json) => {
      const bent = Buffer.from(bytes)
      bent[at]! ^= mask
      onlyFaults(() => decodeUp(bent, NEW_CONVERSATION))
      const any = encodeFrame({ head: json, parts: [] }, { starter: '', previous: '' })
      onlyFaults(() => decodeUp(any, { up: '', down: '' }))
      onlyFaults(() => decodeDown(any, { manifest: undefined, blob: () => undefined }, { up: '', down: '' }))
    }),
    runs,
  )
})

test('a delta against its base gives the result, for any two versions', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2_000 }), fc.uint8Array({ maxLength: 2_000 }), (base, result) => {
      expect([...applyDelta(base, makeDelta(base, result)!, 10_000)]).toEqual([...result])
    }),
    runs,
  )
})
