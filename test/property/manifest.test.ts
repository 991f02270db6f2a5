import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Json } from '../../src/core/model/json.ts'
import { makeManifest, manifestBytes, parseManifest, writeManifest } from '../../src/core/protocol/manifest.ts'
import { BODY } from '../unit/protocol/fixed.ts'

test('a manifest that is written in one go is the one that is made and written in two, fields of a later version included', () => {
  const later = fc.dictionary(
    fc.string({ maxLength: 8 }).filter((name) => !(name in BODY) && name !== 'root'),
    fc.jsonValue({ maxDepth: 2 }),
    { maxKeys: 4 },
  )
  fc.assert(
    fc.property(later, (extra) => {
      const body = { ...BODY, ...(extra as Record<string, Json>), absent: undefined }
      const { manifest, payload } = writeManifest(body)
      const made = makeManifest(body)
      expect(manifest).toEqual(made)
      expect(payload.toString()).toBe(manifestBytes(made).toString())
      expect(parseManifest(payload).ok).toBe(true)
    }),
  )
})
