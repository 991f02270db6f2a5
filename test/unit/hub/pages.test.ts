/** Ten thousand sites: every list comes in pages that the hub bounds, whatever is asked, and a page is read without reading the rest. */
import { expect, test } from 'vitest'
import { shops } from './files.ts'
import { Rig } from './rig.ts'

const SITES = Array.from({ length: 10_000 }, (_, i) => `s${i + 1}`)

test('sites are filtered, counted and paged by the hub; no page is longer than five hundred', async () => {
  const rig = await Rig.open()
  await using _ = rig
  rig.git.commit(shops({ sites: SITES }))
  await rig.settle()
  const names: string[] = []
  let pages = 0
  for (let cursor: string | undefined; ;) {
    const page = await rig.hub.api.sites({ limit: 1_000_000, ...(cursor === undefined ? {} : { cursor }) })
    expect(page.total).toBe(10_000)
    expect(page.items.length).toBeLessThanOrEqual(500)
    names.push(...page.items.map(({ name }) => name))
    pages += 1
    if (page.next === null) break
    cursor = page.next
  }
  expect(pages).toBe(20)
  expect(new Set(names).size).toBe(10_000)
  const canary = await rig.hub.api.sites({ selector: 'cohort=canary', limit: 10 })
  expect([canary.total, canary.items.map(({ name }) => name), canary.next]).toEqual([1, ['s1'], null])
  // A site that is in the middle is found without a walk through pages.
  expect((await rig.hub.api.sites({ cursor: 's5000', limit: 1 })).items[0]?.name).toBe('s5001')
  // Two thousand of anything are one line.
  const status = await rig.hub.api.status()
  expect(status.sites.total).toBe(10_000)
  expect(JSON.stringify(status).length).toBeLessThan(20_000)
  expect(JSON.stringify(await rig.hub.api.why('workload', 'web')).length).toBeLessThan(20_000)
}, 120_000)
