import { expect, test } from 'vitest'
import { type LightSite, Rig } from './rig.ts'
import { shops } from './files.ts'

/** All sites joined, everything of the first commit at rest everywhere. */
async function fleet(): Promise<{ rig: Rig; sites: LightSite[] }> {
  const rig = await Rig.open()
  rig.git.commit(shops())
  await rig.settle()
  const sites = [await rig.join('s1'), await rig.join('s2'), await rig.join('s3')]
  await rig.run(sites, 60)
  return { rig, sites }
}

test('a commit becomes releases, grants, signed manifests, observations, and the next wave', async () => {
  const { rig, sites } = await fleet()
  await using _ = rig
  const [s1, s2] = sites as [LightSite, LightSite]
  const first = s1.releaseOf('web')
  expect(first).toBeDefined()
  expect(sites.map((site) => site.releaseOf('web'))).toEqual([first, first, first])
  expect((await rig.hub.api.rollout('web')).phase).toBe('Completed')
  expect((await rig.hub.api.why('site', 's1')).causes).toEqual([])

  rig.git.commit(shops({ tag: '2' }))
  await rig.settle()
  await rig.run(sites, 5)
  expect(s1.releaseOf('web')).not.toBe(first)
  expect(s2.releaseOf('web')).toBe(first)
  const { causes } = await rig.hub.api.why('site', 's2')
  expect(causes.map(({ reason, subject }) => [reason, subject])).toEqual([
    ['WaveNotReached', 'web'],
    ['Soaking(until 2026-01-01 01:10Z)', 'rollout/web'],
  ])
  await rig.run(sites, 20)
  expect(s2.releaseOf('web')).toBe(s1.releaseOf('web'))
  await rig.run(sites, 30)
  expect((await rig.hub.api.rollout('web')).phase).toBe('Completed')
  const status = await rig.hub.api.status()
  expect(status.sites).toMatchObject({ total: 3, link: { Online: 3 }, sync: { Synced: 3 }, health: { Healthy: 3 } })
  expect(status.rollouts).toEqual([])
})

test('killed and opened again between any two steps, it goes on as if nothing had been', async () => {
  const { rig, sites } = await fleet()
  await using _ = rig
  rig.git.commit(shops({ tag: '2' }))
  await rig.hub.turns.source(new AbortController().signal)
  await rig.restart()
  await rig.run(sites, 45, () => rig.restart())
  expect((await rig.hub.api.rollout('web')).phase).toBe('Completed')
  const releases = new Set(sites.map((site) => site.releaseOf('web')))
  expect(releases.size).toBe(1)
  // No site was told anything twice over: one generation a change of its entries, permits apart.
  for (const site of sites) expect(site.manifest?.entries[0]?.since.counter).toBeLessThanOrEqual(3)
})

test('an idle fleet writes nothing: equal observations, equal conditions, an unchanged branch', async () => {
  const { rig, sites } = await fleet()
  await using _ = rig
  const same = sites.map((site) => ({ site, observations: site.observe() }))
  for (const { site, observations } of same) await site.sync({ observations })
  await rig.settle()
  const before = rig.store.written
  for (const { site, observations } of same) await site.sync({ observations })
  for (const { site } of same) await site.sync()
  await rig.settle()
  expect(rig.store.written).toBe(before)
})

test('a crash at the canary stops there, and undo takes it back and withdraws the release', async () => {
  const { rig, sites } = await fleet()
  await using _ = rig
  const [s1, s2] = sites as [LightSite, LightSite]
  const good = s1.releaseOf('web')
  for (const site of sites) site.luck = (release) => (release === good ? 'healthy' : 'crashing')
  rig.git.commit(shops({ tag: 'bad' }))
  await rig.settle()
  await rig.run(sites, 45)
  expect(s2.releaseOf('web')).toBe(good)
  expect((await rig.hub.api.rollout('web')).phase).toBe('Paused')
  const { needsYou } = await rig.hub.api.status()
  expect(needsYou.map(({ message }) => message).join('\n')).toContain('s1 fails: web: ImagePullBackOff')

  await rig.hub.api.command({ name: 'ann', role: 'operator', teams: [] }, 'web', 'undo', { why: 'crashes' })
  await rig.run(sites, 10)
  expect(s1.releaseOf('web')).toBe(good)
  expect(s1.manifest?.withdrawn).toHaveLength(1)
  expect(s1.manifest?.withdrawn).not.toContain(good)
  expect(s1.manifest?.generation.counter).toBeGreaterThan(2)
  expect((await rig.hub.api.rollout('web')).phase).toBe('RolledBack')
  expect((await rig.hub.api.status()).needsYou.map(({ message }) => message).join('\n')).toContain('withdrawn')
  const history = await rig.hub.api.history('web')
  expect(history.items.length).toBeGreaterThan(1)
})
