/** Blobs that nothing names go after their grace; never one that a site may still ask for, or may be sent back to. */
import { describe, expect, test } from 'vitest'
import type { Digest } from '../../../src/core/model/digest.ts'
import { signRelease, type ReleaseStatement } from '../../../src/core/protocol/statement.ts'
import { Releases } from '../../../src/hub/releases.ts'
import { Signed } from '../../../src/hub/signed.ts'
import { BLOB_GRACE_MS, sweepBlobs } from '../../../src/hub/sweep.ts'
import { World } from '../../../src/hub/world.ts'
import type { Logger } from '../../../src/runtime/logger.ts'
import { shops } from './files.ts'
import { RELEASE_SIGNER, TRUST } from '../protocol/fixed.ts'
import { ADMIN, type LightSite, Rig } from './rig.ts'

const silent: Logger = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {}, child: () => silent }
const DAY_MS = 86_400_000

async function sweep(rig: Rig): Promise<{ waiting: number; gone: number }> {
  const world = await World.open(rig.store)
  const signed = new Signed(TRUST, world.statements)
  return sweepBlobs({ world, releases: new Releases(rig.store), signed, nowMs: () => rig.clock.nowMs(), log: silent })
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

describe('what release signers said', () => {
  const SAID = { workload: 'web', sites: ['s1', 's2', 's3'], notBelow: 0 }
  const sign = (said: Partial<ReleaseStatement> & Pick<ReleaseStatement, 'release' | 'revisionSeq'>) =>
    signRelease({ ...SAID, ...said }, RELEASE_SIGNER)
  /** By seq, as the store has them. */
  const left = async (rig: Rig): Promise<readonly number[]> =>
    (await rig.store.load()).statements.map((statement) => read(statement).revisionSeq).toSorted((a, b) => a - b)
  const read = ({ payload }: { readonly payload: string }): ReleaseStatement =>
    JSON.parse(Buffer.from(payload, 'base64').toString()) as ReleaseStatement
  const store = async (rig: Rig, statements: readonly ReturnType<typeof sign>[]): Promise<void> => {
    const world = await World.open(rig.store)
    await world.turn((commit) =>
      commit({ statements: statements.map((statement) => ({ statement, release: read(statement).release })) }),
    )
  }

  test('goes with the release that it was said for, a grace after nothing names it, and not before', async () => {
    const { rig, releases } = await story(['1', '2', '3', '4', '5', '6', '7'])
    await using _rig = rig
    await store(
      rig,
      releases.map((release, i) => sign({ release, revisionSeq: i + 1 })),
    )
    await sweep(rig)
    expect(await left(rig)).toEqual([1, 2, 3, 4, 5, 6, 7])
    await rig.clock.advance(BLOB_GRACE_MS)
    await sweep(rig)
    // What undo and fallback may go back to is signed for still.
    expect(await left(rig)).toEqual([4, 5, 6, 7])
    expect(await kept(rig, releases)).toEqual([false, false, false, true, true, true, true])
  })

  test('what was said anew for each of its sites goes at once; a floor and a rename stay', async () => {
    const { rig, releases } = await story(['1', '2'])
    await using _rig = rig
    const [first, second] = [releases[0]!, releases[1]!]
    const gone = `sha256:${'ab'.repeat(32)}` as const
    await store(rig, [
      sign({ release: second, revisionSeq: 1 }),
      sign({ release: second, revisionSeq: 2, sites: ['s1', 's2'] }),
      sign({ release: second, revisionSeq: 3, sites: ['s2', 's3'] }),
      sign({ release: first, revisionSeq: 4, notBelow: 0 }),
      sign({ release: gone, revisionSeq: 5, notBelow: 1 }),
      sign({ release: gone, revisionSeq: 6, sites: ['s1'], formerNames: { s1: ['s0'] } }),
      sign({ release: gone, revisionSeq: 7, sites: ['s1'] }),
    ])
    await sweep(rig)
    expect(await left(rig)).toEqual([2, 3, 4, 5, 6, 7])
    await rig.clock.advance(BLOB_GRACE_MS)
    await sweep(rig)
    expect(await left(rig)).toEqual([2, 3, 4, 5, 6])
    const signed = new Signed(TRUST, (await rig.store.load()).statements)
    expect(['s1', 's2', 's3'].map((site) => signed.of(site, 'web', second) !== undefined)).toEqual([true, true, true])
    expect(signed.of('s2', 'web', gone)).toBeDefined()
    expect(signed.renames('s1', new Set())).toHaveLength(1)
  })
})
