import { expect, test } from 'vitest'
import { leanBook, leanObservation } from '../../../src/hub/lean.ts'
import type { AtSite, EntryRecord } from '../../../src/hub/store.ts'
import { digestBytes } from '../../../src/core/model/digest.ts'
import type { WorkloadObservation } from '../../../src/core/model/observation.ts'

const [RELEASE, BEFORE] = [digestBytes('release', 'new'), digestBytes('release', 'old')]
const ENTRY: EntryRecord = {
  site: 'store-1',
  workload: 'till',
  release: RELEASE,
  since: { epoch: 1, counter: 7 },
  startAfterMs: 1,
  startByMs: 2,
  because: 'wave',
  confirm: null,
  previous: [BEFORE],
  good: [BEFORE],
}
const SEEN: WorkloadObservation = {
  workload: 'till',
  since: { epoch: 1, counter: 7 },
  desired: { digest: RELEASE, atMs: 5 },
  received: { digest: RELEASE, atMs: 5 },
  staged: { digest: RELEASE, atMs: 6 },
  applied: { digest: BEFORE, atMs: 4 },
  healthy: null,
  sync: 'Progressing',
  health: 'Progressing',
  healthyForMs: 0,
  unhealthyMs: 3,
  transitions: 1,
  begun: true,
  objects: [],
  counts: { objects: 2, ready: 1, drifted: 0, pruned: 0 },
}
/** As it came: no two of its parts are the same one. */
const parsed = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T

test('an observation is kept as it was said, its equal parts once', () => {
  const kept = leanObservation(parsed(SEEN), ENTRY)
  expect(kept).toEqual(SEEN)
  expect(kept.received).toBe(kept.desired)
  expect(kept.since).toBe(ENTRY.since)
})

test('what is about another entry, or about none, is kept as it was said', () => {
  const older = { ...SEEN, since: { epoch: 1, counter: 6 } }
  expect(leanObservation(parsed(older), ENTRY)).toEqual(older)
  expect(leanObservation(SEEN, null)).toBe(SEEN)
})

test('what a later agent says beside that stays', () => {
  const later = { ...SEEN, mood: 'fine' }
  expect(leanObservation(parsed(later), ENTRY)).toEqual(later)
})

test('a book is as it was read', () => {
  const read = new Map<string, AtSite>([
    ['store-1', parsed({ entry: ENTRY, observation: SEEN })],
    ['store-2', { entry: null, observation: parsed(SEEN) }],
    ['store-3', { entry: parsed({ ...ENTRY, site: 'store-3' }), observation: null }],
  ])
  expect(leanBook('till', read, (site) => site)).toEqual(read)
})
