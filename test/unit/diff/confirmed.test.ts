import { describe, expect, test } from 'vitest'
import {
  brakedBy,
  type Confirmed,
  confirmBraked,
  confirmedKeys,
  confirmedNow,
  NOTHING_CONFIRMED,
} from '../../../src/core/diff/confirmed.ts'
import type { Inventory, InventoryEntry, Step } from '../../../src/core/diff/types.ts'
import { digestJson, type Digest } from '../../../src/core/model/digest.ts'
import { parseRefKey } from '../../../src/core/model/object.ts'

const KEYS = ['a', 'b', 'c'].map((name) => `/ConfigMap/shop/${name}`)
const [A = '', B = ''] = KEYS
const LIST = digestJson('deletions', 'list')
const OTHER = digestJson('deletions', 'other')

function inventory(keys: readonly string[]): Inventory {
  const entry = (key: string): InventoryEntry => ({
    state: 'intended',
    ref: parseRefKey(key),
    apiVersion: 'v1',
    workload: 'till',
  })
  return new Map(keys.map((key) => [key, entry(key)]))
}

const at = (kept: Confirmed, keys: readonly string[], named: readonly Digest[] = [LIST]): Confirmed =>
  confirmedNow({ named, kept, inventory: inventory(keys), list: (digest) => (digest === LIST ? KEYS : undefined) })

const yes = (confirmed: Confirmed): readonly string[] => [...confirmedKeys(confirmed)]

describe('a confirmed list', () => {
  test('says yes to what it names and is here', () => {
    expect(yes(at(NOTHING_CONFIRMED, [...KEYS, '/ConfigMap/shop/more']))).toEqual(KEYS)
  })

  test('says nothing where its content is not known', () => {
    expect(at(NOTHING_CONFIRMED, KEYS, [OTHER])).toEqual(NOTHING_CONFIRMED)
  })

  test('is used up name by name: what comes again under a name needs another yes', () => {
    const half = at(at(NOTHING_CONFIRMED, KEYS), [B])
    expect(yes(half)).toEqual([B])
    expect(yes(at(half, KEYS))).toEqual([B])
  })

  test('is spent when all of it is gone, and stays so', () => {
    const spent = at(at(NOTHING_CONFIRMED, [A]), [])
    expect([...spent.spent]).toEqual([LIST])
    expect(yes(at(spent, KEYS))).toEqual([])
  })

  test('is spent where nothing of it ever was', () => {
    const never = at(NOTHING_CONFIRMED, [])
    expect(yes(at(never, KEYS))).toEqual([])
  })

  test('ends with the manifest that names it', () => {
    expect(at(at(NOTHING_CONFIRMED, KEYS), KEYS, [])).toEqual(NOTHING_CONFIRMED)
  })
})

describe('what the fuse stopped', () => {
  const stopped = (uid: string): readonly Step[] =>
    KEYS.map((key) => ({
      kind: 'wait',
      ref: parseRefKey(key),
      workload: 'till',
      because: { reason: 'DeletionBrake', detail: '3' },
      uid,
    }))
  const braked = (site = 'site-1', uid = 'u1'): { digest: Digest; keys: readonly string[] } =>
    brakedBy(stopped(uid), site) ?? { digest: OTHER, keys: [] }

  test('has a name of its own at each site and for each life of the objects', () => {
    const names = new Set([braked().digest, braked('site-2').digest, braked('site-1', 'u2').digest])
    expect(names.size).toBe(3)
    expect(brakedBy([], 'site-1')).toBeNull()
  })

  test('may go where the manifest names exactly that, once', () => {
    const { digest } = braked()
    expect(confirmBraked(NOTHING_CONFIRMED, [braked('site-2').digest], braked())).toBeNull()
    const now = confirmBraked(NOTHING_CONFIRMED, [digest], braked())
    expect(yes(now ?? NOTHING_CONFIRMED)).toEqual(KEYS)
    const spent = at(now ?? NOTHING_CONFIRMED, [], [digest])
    expect(confirmBraked(spent, [digest], braked())).toBeNull()
  })
})
