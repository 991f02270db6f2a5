/** What is counted of a fleet as it changes is what its sites say one by one. */
import { expect, test } from 'vitest'
import { POLICY, SECOND, shops } from './files.ts'
import { ADMIN, Rig } from './rig.ts'

async function agree(rig: Rig, after: string): Promise<void> {
  const { api } = rig.hub
  const { items } = await api.sites({})
  const status = await api.status()
  for (const axis of ['link', 'sync', 'health'] as const) {
    const counts: Record<string, number> = {}
    for (const site of items) counts[site[axis]] = (counts[site[axis]] ?? 0) + 1
    const counted = Object.fromEntries(Object.entries(status.sites[axis]).filter(([, count]) => count > 0))
    expect(counted, `${axis} after ${after}`).toEqual(counts)
    for (const site of items) {
      const found = (await api.sites({ [axis]: site[axis] })).items.map(({ name }) => name)
      expect(found, `${axis}=${site[axis]} after ${after}`).toContain(site.name)
    }
  }
  for (const { name, sites, synced } of (await api.workloads()).items) {
    const meant = items.flatMap(({ workloads }) => workloads.filter(({ workload, target }) => workload === name && target !== null)) // prettier-ignore
    expect(sites, `${name} after ${after}`).toBe(meant.length)
    if (items.every(({ link }) => link === 'Online'))
      expect(synced, `${name} after ${after}`).toBe(
        meant.filter(({ sync, target, applied }) => sync === 'Synced' && target === applied).length,
      )
  }
}

test('counts and filters agree with the sites through all that can happen to them', async () => {
  await using rig = await Rig.open()
  rig.git.commit({ ...shops({ policy: POLICY }), ...SECOND })
  await rig.settle()
  await agree(rig, 'the first revision')
  const sites = [await rig.join('s1'), await rig.join('s2'), await rig.join('s3')]
  await agree(rig, 'joining')
  for (let i = 0; i < 6; i++) {
    await rig.run(sites, 10)
    await agree(rig, `${i + 1}0 minutes`)
  }
  for (const site of sites) site.luck = () => 'crashing'
  rig.git.commit({ ...shops({ tag: '2' }), ...SECOND })
  await rig.settle()
  await agree(rig, 'another revision')
  await rig.run(sites, 30)
  await agree(rig, 'failures')
  for (const site of sites) site.luck = () => 'healthy'
  await rig.hub.api.hold(ADMIN, 's2', 'visit', null)
  await rig.run(sites.slice(1), 30)
  await agree(rig, 'a hold, and s1 gone dark')
  await rig.clock.advance(3 * 86_400_000)
  await agree(rig, 'three days in which nobody came')
  await rig.hub.api.retire(ADMIN, 's3')
  await agree(rig, 'a site was retired')
  rig.git.commit(shops({ sites: ['s1', 's2'], tag: '3' }))
  await rig.settle()
  await agree(rig, 'a site and a workload left Git')
  await rig.restart()
  await rig.decide()
  await agree(rig, 'a restart')
})
