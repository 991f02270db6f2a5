/** A hub that was restored from an old backup, or cloned, never rolls anything back unasked, and goes on once it is told to. */
import { describe, expect, test } from 'vitest'
import { seal, PAYLOAD_TYPES } from '../../../src/core/protocol/envelope.ts'
import { STRANGER } from '../protocol/fixed.ts'
import { HUB_KEYS } from '../protocol/rotated.ts'
import { SECOND, shops } from './files.ts'
import { ADMIN, type LightSite, never, Rig } from './rig.ts'

/** Three sites at the first commit; a copy of the store of then; then the second commit everywhere, and the hub goes on from the copy. */
async function restored(parts: Parameters<typeof Rig.open>[0] = {}) {
  const rig = await Rig.open(parts)
  rig.git.commit(shops())
  await rig.settle()
  const sites = [await rig.join('s1'), await rig.join('s2'), await rig.join('s3')] as const
  await rig.run(sites, 60)
  const copy = await rig.backup()
  const old = sites[0].releaseOf('web')
  rig.git.commit(shops({ tag: '2' }))
  await rig.settle()
  await rig.run(sites, 90)
  const now = sites[0].releaseOf('web')
  expect(now).not.toBe(old)
  await rig.restore(copy)
  return { rig, sites, now, releases: () => sites.map((site) => site.releaseOf('web')) }
}

const generations = (sites: readonly LightSite[]) => sites.map(({ floor }) => floor?.generation)

describe('a hub restored from an old backup', () => {
  test('publishes nothing to a site that is ahead of it, whatever Git says', async () => {
    const { rig, sites, now, releases } = await restored()
    await using _ = rig
    const before = generations(sites)
    rig.git.commit(shops({ tag: '3' }))
    await rig.settle()
    await rig.run(sites, 120)
    expect(releases()).toEqual([now, now, now])
    expect(generations(sites)).toEqual(before)
    expect((await rig.hub.api.site('s2')).conditions.map(({ reason }) => reason)).toEqual(['HubBehind'])
  })

  test('hub recover: what each site has is what it should have, and nothing moves that is as Git says', async () => {
    const { rig, sites, now, releases } = await restored()
    await using _ = rig
    const before = generations(sites)
    await rig.settle()
    await rig.run(sites, 10)
    expect(await rig.hub.api.recover(ADMIN)).toEqual({ epoch: 2, sites: 3 })
    await rig.run(sites, 60)
    expect(releases()).toEqual([now, now, now])
    expect(generations(sites)).toEqual(before)
    const view = await rig.hub.api.site('s2')
    expect(view).toMatchObject({ conditions: [], sync: 'Synced', health: 'Healthy' })
    expect((await rig.hub.api.rollout('web')).phase).toBe('Completed')
    const audit = await rig.store.audit(0, 100)
    expect(audit.map(({ action }) => action)).toContain('hub recover')
  })

  test('then rollouts go on, in the new epoch', async () => {
    const { rig, sites, now, releases } = await restored()
    await using _ = rig
    await rig.settle()
    await rig.run(sites, 10)
    await rig.hub.api.recover(ADMIN)
    await rig.run(sites, 30)
    rig.git.commit(shops({ tag: '3' }))
    await rig.settle()
    await rig.run(sites, 10)
    // Waves as ever: the canary first.
    expect(releases()[0]).not.toBe(now)
    expect(releases()[1]).toBe(now)
    await rig.run(sites, 120)
    expect(new Set(releases())).toEqual(new Set([releases()[0]]))
    expect(generations(sites).map((generation) => generation?.epoch)).toEqual([2, 2, 2])
  })

  test('a site that was dark when recover was said is told nothing before it was heard, and keeps what it has', async () => {
    const { rig, sites, now } = await restored()
    await using _ = rig
    const [s1, s2, dark] = sites
    await rig.settle()
    await rig.run([s1, s2], 10)
    await rig.hub.api.recover(ADMIN)
    await rig.hub.api.hold(ADMIN, 's3', 'being rebuilt', null)
    await rig.run([s1, s2], 60)
    const before = dark.floor
    await dark.sync()
    expect(dark.floor).toEqual(before)
    await rig.run(sites, 60)
    expect(dark.releaseOf('web')).toBe(now)
    expect(dark.manifest?.echo).toMatchObject({ hold: { reason: 'being rebuilt' } })
    expect(dark.floor?.generation.epoch).toBe(2)
  })

  test('an operator’s hold that the backup does not know is learnt back from the site', async () => {
    const rig = await Rig.open()
    await using _ = rig
    rig.git.commit(shops())
    await rig.settle()
    const site = await rig.join('s2')
    await rig.run([site], 60)
    const copy = await rig.backup()
    await rig.hub.api.hold(ADMIN, 's2', 'audit', null)
    await rig.run([site], 10)
    await rig.restore(copy)
    await rig.run([site], 10)
    await rig.settle()
    await rig.hub.api.recover(ADMIN)
    await rig.run([site], 10)
    expect((await rig.hub.api.site('s2')).hold).toMatchObject({ reason: 'audit', by: 'ann' })
  })

  test('a site cannot make the hub sign what it likes: only what this hub’s key signed is adopted', async () => {
    const { rig, sites, now } = await restored()
    await using _ = rig
    const [, s2] = sites
    s2.shown = ({ payload }) => seal(PAYLOAD_TYPES.manifest, payload, [STRANGER])
    await rig.settle()
    await rig.run(sites, 10)
    await rig.hub.api.recover(ADMIN)
    await rig.run(sites, 60)
    expect((await rig.hub.api.site('s2')).conditions.map(({ reason }) => reason)).toEqual(['HubBehind'])
    expect((await rig.hub.api.site('s1')).conditions).toEqual([])
    expect(s2.releaseOf('web')).toBe(now)
  })

  test('its key was rotated since: what the old one signed is adopted as ever', async () => {
    const words = { certify: async () => 'a certificate', joinLine: () => 'a line' }
    const authority = { ...words, ...HUB_KEYS[0]! }
    const { rig, sites, now } = await restored({ authority })
    await using _ = rig
    Object.assign(authority, HUB_KEYS[2])
    await rig.restore(await rig.backup())
    await rig.settle()
    const [s1] = sites
    s1.trust = HUB_KEYS[2]!.trust
    await s1.sync()
    await rig.hub.api.recover(ADMIN)
    for (let i = 0; i < 3; i++) await s1.sync()
    expect((await rig.hub.api.site('s1')).conditions).toEqual([])
    expect(s1.releaseOf('web')).toBe(now)
  })

  test('a site whose store was lost has nothing to show: it is told what the hub remembers, and goes on', async () => {
    const { rig, sites, now } = await restored()
    await using _ = rig
    const [, s2] = sites
    await rig.settle()
    await rig.run(sites, 10)
    await rig.hub.api.recover(ADMIN)
    s2.forget()
    await rig.run(sites, 60)
    expect((await rig.hub.api.site('s2')).conditions).toEqual([])
    expect(s2.releaseOf('web')).toBe(now)
    expect(s2.floor?.generation.epoch).toBe(2)
  })

  test('what Git wants at such a site and the hub never heard of there is named, and may not begin: nothing is let go', async () => {
    const rig = await Rig.open()
    await using _ = rig
    rig.git.commit(shops())
    await rig.settle()
    const site = await rig.join('s1')
    await rig.run([site], 60)
    const copy = await rig.backup()
    rig.git.commit({ ...shops(), ...SECOND })
    await rig.settle()
    await rig.run([site], 60)
    const named = (): readonly (string | undefined)[] => [site.releaseOf('web'), site.releaseOf('b')]
    const before = named()
    expect(before[1]).toBeDefined()
    await rig.restore(copy)
    await site.sync()
    await rig.hub.turns.source(never)
    await rig.hub.api.recover(ADMIN)
    site.forget()
    for (let i = 0; i < 3; i++) await site.sync()
    expect(named()).toEqual(before)
    const entry = site.manifest?.entries.find(({ workload }) => workload === 'b')
    expect(Date.parse(entry?.startBy ?? '')).toBeLessThanOrEqual(rig.clock.nowMs())
    await rig.run([site], 60)
    expect(named()).toEqual(before)
    expect(await rig.hub.api.site('s1')).toMatchObject({ conditions: [], sync: 'Synced', health: 'Healthy' })
  })

  test('after a kill in the middle it goes on adopting', async () => {
    const { rig, sites, now, releases } = await restored()
    await using _ = rig
    await rig.settle()
    await rig.run(sites, 10)
    await rig.hub.api.recover(ADMIN)
    await sites[0].sync()
    await rig.hub.turns.rollouts()
    const copy = await rig.backup()
    await rig.restore(copy)
    await rig.run(sites, 60)
    expect(releases()).toEqual([now, now, now])
    for (const name of ['s1', 's2', 's3']) expect((await rig.hub.api.site(name)).conditions).toEqual([])
  })
})

test('a cloned hub that has counted on does not roll a site back', async () => {
  const { rig, sites, now } = await restored()
  await using _ = rig
  const [s1] = sites
  // The site has generation n+1 of the other hub; this one has published to it twice before it hears of that.
  await rig.hub.api.hold(ADMIN, 's1', 'one', null)
  await rig.decide()
  await rig.hub.api.hold(ADMIN, 's1', 'two', null)
  await rig.decide()
  const reply = await s1.sync()
  expect(reply.manifest).toBeUndefined()
  expect(s1.releaseOf('web')).toBe(now)
  expect((await rig.hub.api.site('s1')).conditions.map(({ reason }) => reason)).toEqual(['ForkedHub'])
})
