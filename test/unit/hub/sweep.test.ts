/** Blobs that nothing names go after their grace; never one that a site may still ask for, or may be sent back to. */
import { expect, test } from 'vitest'
import type { Digest } from '../../../src/core/model/digest.ts'
import { Releases } from '../../../src/hub/releases.ts'
import { BLOB_GRACE_MS, sweepBlobs } from '../../../src/hub/sweep.ts'
import { World } from '../../../src/hub/world.ts'
import type { Logger } from '../../../src/runtime/logger.ts'
import { shops } from './files.ts'
import { ADMIN, type LightSite, Rig } from './rig.ts'

const silent: Logger = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {}, child: () => silent }
const DAY_MS = 86_400_000

async function sweep(rig: Rig): Promise<{ waiting: number; gone: number }> {
  const world = await World.open(rig.store)
  return sweepBlobs({ world, releases: new Releases(rig.store), nowMs: () => rig.clock.nowMs(), log: silent })
}

/** Each commit is run by every site before the next. */
async function story(tags: readonly string[]): Promise<{ rig: Rig; sites: LightSite[]; releases: Digest[] }> {
  const rig = await Rig.open({}, { maxClockSkewMs: null })
  const sites: LightSite[] = []
  const releases: Digest[] = []
  for (const tag of tags) {
    rig.git.commit(shops({ tag }))
    await rig.settle()
    if (sites.length === 0) for (const name of ['s1', 's2', 's3']) sites.push(await rig.join(name))
    await rig.run(sites, 60)
    releases.push(sites[0]!.releaseOf('web')!)
  }
  return { rig, sites, releases }
}
const kept = async (rig: Rig, releases: readonly Digest[]): Promise<readonly boolean[]> => {
  const has = await rig.store.hasBlobs(releases)
  return releases.map((digest) => has.has(digest))
}

test('what no site has, had lately or may go back to goes, objects too, when its grace is over', async () => {
  const { rig, releases } = await story(['1', '2', '3', '4', '5', '6', '7'])
  await using _rig = rig
  const before = (await rig.store.blobNames('', 1_000)).length
  expect(await sweep(rig)).toMatchObject({ gone: 0 })
  await rig.clock.advance(BLOB_GRACE_MS - DAY_MS)
  expect(await sweep(rig)).toMatchObject({ gone: 0 })
  expect(await kept(rig, releases)).toEqual([true, true, true, true, true, true, true])
  await rig.clock.advance(DAY_MS)
  expect((await sweep(rig)).gone).toBeGreaterThan(0)
  // The last of seven runs, three may be asked for as bases.
  expect(await kept(rig, releases)).toEqual([false, false, false, true, true, true, true])
  const after = await rig.store.blobNames('', 1_000)
  expect(after).toHaveLength(before - 6)
  expect((await rig.store.unusedBlobs()).size).toBe(0)
  // Nothing that a site needs is missing: a new box gets all of it.
  const box = await rig.join('s1')
  await box.sync()
  expect(box.releaseOf('web')).toBe(releases.at(-1))
})

test('a revert within the grace keeps its blobs, and one after it brings them again', async () => {
  const { rig, sites, releases } = await story(['1', '2', '3', '4', '5', '6'])
  await using _rig = rig
  const [first] = releases as [Digest, ...Digest[]]
  await sweep(rig)
  expect((await rig.store.unusedBlobs()).has(first)).toBe(true)
  await rig.clock.advance(BLOB_GRACE_MS - DAY_MS)
  rig.git.commit(shops({ tag: '1' }))
  await rig.settle()
  await sweep(rig)
  await rig.clock.advance(BLOB_GRACE_MS)
  await sweep(rig)
  expect(await kept(rig, [first])).toEqual([true])
  for (const site of sites) await site.sync()
  await rig.run(sites, 60)
  expect(sites.map((site) => site.releaseOf('web'))).toEqual([first, first, first])

  const second = releases[1]!
  expect(await kept(rig, [second])).toEqual([false])
  rig.git.commit(shops({ tag: '2' }))
  await rig.settle()
  await rig.run(sites, 60)
  expect(sites.map((site) => site.releaseOf('web'))).toEqual([second, second, second])
})

test('a dark site, one that is out of Git, and a withdrawn release keep theirs', async () => {
  const { rig, sites, releases } = await story(['1', '2'])
  await using _rig = rig
  const [s1, s2] = sites as [LightSite, LightSite, LightSite]
  for (const tag of ['3', '4', '5', '6']) {
    rig.git.commit(shops({ tag, sites: ['s1', 's2'] }))
    await rig.settle()
    await rig.run([s1, s2], 60)
  }
  await rig.hub.api.command(ADMIN, 'web', 'undo', { why: 'x' })
  await sweep(rig)
  await rig.clock.advance(BLOB_GRACE_MS)
  expect((await sweep(rig)).gone).toBeGreaterThanOrEqual(0)
  // s3 left Git at the second: it runs that still, and may come back for it.
  expect(await kept(rig, [releases[1]!])).toEqual([true])
  await rig.decide()
  for (const site of [s1, s2]) await site.sync()
  expect(await kept(rig, [s1.releaseOf('web')!, s2.releaseOf('web')!])).toEqual([true, true])
})
