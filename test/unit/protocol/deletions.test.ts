import { expect, test } from 'vitest'
import { digestBytes, digestJson } from '../../../src/core/model/digest.ts'
import { canonicalJson } from '../../../src/core/model/json.ts'
import { acceptConfirmedList, confirmedList } from '../../../src/core/protocol/deletions.ts'
import { SITE_ID } from './fixed.ts'

const OF = {
  siteId: SITE_ID,
  list: digestJson('deletions', 'of the fleet'),
  revision: 'c0ffee',
  objects: ['/ConfigMap/shop/b', '/ConfigMap/shop/a'],
}
const MADE = confirmedList(OF)

test('a list is read at the site that it was made for', () => {
  const read = acceptConfirmedList(MADE.digest, SITE_ID, MADE.bytes)
  expect(read).toMatchObject({ ok: true, value: { objects: ['/ConfigMap/shop/a', '/ConfigMap/shop/b'] } })
})

test('the same list confirmed by another commit is another yes', () => {
  expect(confirmedList({ ...OF, revision: 'decaf' }).digest).not.toBe(MADE.digest)
})

test.each([
  ['of another site', SITE_ID.replace(/.$/, (last) => (last === '0' ? '1' : '0')), MADE.bytes, 'WrongSite'],
  ['whose bytes are not those that were named', SITE_ID, Buffer.from(`${MADE.bytes.toString()} `), 'BlobMismatch'],
])('a list %s says nothing', (_name, siteId, bytes, reason) => {
  expect(acceptConfirmedList(MADE.digest, siteId, bytes)).toMatchObject({ ok: false, reason })
})

test.each([
  ['of a later format', { ...OF, format: 2 }, 'AgentTooOld'],
  ['with a name that is none', { ...OF, format: 1, objects: [7] }, 'InvalidInput'],
  ['without a site', { ...OF, format: 1, siteId: null }, 'InvalidInput'],
])('a list %s is refused', (_name, list, reason) => {
  const bytes = Buffer.from(canonicalJson(list))
  expect(acceptConfirmedList(digestBytes('deletions', bytes), SITE_ID, bytes)).toMatchObject({ ok: false, reason })
})
