import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openHubStore } from '../../../src/adapters/store/hub-store.ts'
import { digestBytes } from '../../../src/core/model/digest.ts'
import type { EntryRecord } from '../../../src/hub/store.ts'

const RELEASE = digestBytes('release', 'r')

function entry(i: number, counter: number): EntryRecord {
  return {
    site: `site-${i}`,
    workload: 'till',
    release: RELEASE,
    since: { epoch: 1, counter },
    startAfterMs: i,
    startByMs: i + 1,
    because: 'wave',
    confirm: null,
    previous: [],
    good: [],
  }
}

test('rows of any number are all written, each as itself, and written again in place', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'flotilla-rows-'))
  const store = await openHubStore({ file: join(dir, 'hub.db'), durability: 'process' })
  try {
    // One statement of each size, several of one, and none.
    for (const [counter, count] of [0, 1, 7, 8, 9, 63, 585, 1_300].entries()) {
      await store.commit({ entries: Array.from({ length: count }, (_, i) => entry(i, counter)) })
      const book = await store.book('till')
      const now = [...book.values()].filter((at) => at.entry?.since.counter === counter)
      expect(now.map((at) => at.entry).toSorted((a, b) => a!.startAfterMs - b!.startAfterMs)).toEqual(
        Array.from({ length: count }, (_, i) => entry(i, counter)),
      )
    }
    expect((await store.book('till')).size).toBe(1_300)
  } finally {
    await store.close()
    rmSync(dir, { recursive: true, force: true })
  }
})
