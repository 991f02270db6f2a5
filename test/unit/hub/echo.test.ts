/** What operators said since the backup is learnt back from what sites were told: a restored hub goes on with nothing that was stopped. */
import { expect, test } from 'vitest'
import type { RolloutVerb } from '../../../src/hub/api.ts'
import { shops } from './files.ts'
import { ADMIN, type LightSite, Rig } from './rig.ts'

const ONE_BY_ONE = `spec:\n  waves: [{ name: all, maxConcurrent: 1, soak: 10m }]\n  maxUnavailable: 100%\n`
const files = (tag: string) => shops({ tag, policy: ONE_BY_ONE })

/** One site of three has the second commit, and this was said; the hub goes on from a copy of before that commit. */
async function restoredAfter(...verbs: readonly RolloutVerb[]) {
  const rig = await Rig.open()
  rig.git.commit(files('1'))
  await rig.settle()
  const sites = [await rig.join('s1'), await rig.join('s2'), await rig.join('s3')] as const
  await rig.run(sites, 60)
  const old = sites[1].releaseOf('web')
  const copy = await rig.backup()
  rig.git.commit(files('2'))
  await rig.settle()
  await rig.run(sites, 5)
  expect(sites.map((site) => site.releaseOf('web') === old)).toEqual([false, true, true])
  for (const verb of verbs) await rig.hub.api.command(ADMIN, 'web', verb, { why: 'wrong season' })
  await rig.decide()
  await rig.run(sites, 10)
  const releases = (): unknown[] => sites.map((site) => site.releaseOf('web'))
  const before = releases()
  await rig.restore(copy)
  // The hub was away for hours: nobody is there yet, and the one that is ahead is heard first.
  await rig.clock.advance(5 * 3_600_000)
  await rig.settle()
  await rig.run([sites[0]], 10)
  await rig.hub.api.recover(ADMIN)
  await rig.run([sites[0]], 10)
  await rig.run(sites, 120)
  return { rig, sites, before, releases }
}

const echo = ({ manifest }: LightSite) => manifest?.echo

test('a pause', async () => {
  const { rig, sites, before, releases } = await restoredAfter('pause')
  await using _ = rig
  expect(releases()).toEqual(before)
  const view = await rig.hub.api.rollout('web')
  expect(view).toMatchObject({ phase: 'Paused', paused: { by: 'ann', why: 'wrong season' } })
  expect(echo(sites[0])).toMatchObject({ stopped: { web: { id: view.id, kind: 'pause', by: 'ann' } } })
  // It is written down, and ends as ever.
  await rig.restart()
  expect((await rig.hub.api.rollout('web')).phase).toBe('Paused')
  await rig.hub.api.command(ADMIN, 'web', 'resume', {})
  await rig.decide()
  await rig.run(sites, 120)
  expect((await rig.hub.api.rollout('web')).phase).toBe('Completed')
  expect(echo(sites[0])).toBeUndefined()
})

test('an abort', async () => {
  const { rig, before, releases } = await restoredAfter('abort')
  await using _ = rig
  expect(releases()).toEqual(before)
  expect((await rig.hub.api.rollout('web')).phase).toBe('Aborted')
})

test('an undo: what was withdrawn is not published again until somebody readmits it', async () => {
  const { rig, sites, before, releases } = await restoredAfter('undo')
  await using _ = rig
  expect(new Set(releases()).size).toBe(1)
  expect(releases()).toEqual(before)
  expect((await rig.hub.api.why('site', 's2')).causes[0]?.reason).toMatch(/^Withdrawn\(/)
  await rig.hub.api.command(ADMIN, 'web', 'readmit', {})
  await rig.decide()
  await rig.run(sites, 180)
  expect(releases()).not.toEqual(before)
})

test('what went on, goes on', async () => {
  const { rig, before, releases } = await restoredAfter('pause', 'resume')
  await using _ = rig
  expect(releases()).not.toEqual(before)
  expect((await rig.hub.api.rollout('web')).phase).toBe('Completed')
})
