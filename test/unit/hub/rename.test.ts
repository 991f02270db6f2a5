/** A Site that gets another name in Git is the same box as before, to the hub and to itself. */
import { describe, expect, test } from 'vitest'
import { Fault } from '../../../src/core/model/fault.ts'
import type { HubStore } from '../../../src/hub/store.ts'
import { shops, type Shape } from './files.ts'
import { ADMIN, type LightSite, Rig } from './rig.ts'

/** `{ s9: 's2' }`: s9 says that it was s2. */
const was =
  (former: Readonly<Record<string, string>>) =>
  (name: string): string =>
    former[name] === undefined ? '' : `  formerNames: [${former[name]}]\n`
const named = (sites: readonly string[], former: Readonly<Record<string, string>> = {}, more: Shape = {}) =>
  shops({ sites, site: was(former), ...more })
const RENAMED = named(['s1', 's9', 's3'], { s9: 's2' })

async function threeSites() {
  const rig = await Rig.open()
  rig.git.commit(shops())
  await rig.settle()
  const sites = [await rig.join('s1'), await rig.join('s2'), await rig.join('s3')] as const
  await rig.run(sites, 60)
  return { rig, sites, site: sites[1] }
}

const names = async (rig: Rig): Promise<readonly string[]> =>
  (await rig.hub.api.sites({})).items.map(({ name }) => name)
/** What of a manifest makes a site do something. */
const work = ({ manifest }: LightSite) => manifest?.entries

describe('a rename in Git', () => {
  test('hands over all that the hub keeps of the site, and the site is told no more than its name', async () => {
    const { rig, sites, site } = await threeSites()
    await using _ = rig
    await rig.hub.api.hold(ADMIN, 's2', 'inventory day', null)
    await site.sync({
      outbox: [{ class: 'result', seq: 1, atMs: 0, body: { kind: 'job', name: 'count' } }],
    })
    await rig.run(sites, 10)
    const before = { view: await rig.hub.api.site('s2'), work: work(site), floor: site.floor, siteId: site.siteId }
    const rollout = await rig.hub.api.rollout('web')
    rig.git.commit(RENAMED)
    await rig.settle()

    expect(await names(rig)).toEqual(['s1', 's3', 's9'])
    await expect(rig.hub.api.site('s2')).rejects.toMatchObject({ reason: 'NotFound' })
    // Before it was heard under it, too.
    expect(await rig.hub.api.site('s9')).toMatchObject({ link: 'Online', sync: 'Synced', health: 'Healthy' })
    const reply = await site.sync()
    expect(reply.manifest).toBeDefined()
    expect([site.name, site.siteId]).toEqual(['s9', before.siteId])
    expect(site.manifest).toMatchObject({ site: 's9', formerNames: ['s2'] })
    expect(work(site)).toEqual(before.work)
    expect(site.floor?.generation).toEqual({ epoch: 1, counter: (before.floor?.generation.counter ?? 0) + 1 })
    await rig.run(sites, 30)
    const { hold, workloads } = await rig.hub.api.site('s9')
    expect(hold).toEqual(before.view.hold)
    expect(workloads).toEqual(before.view.workloads)
    // The rollout is the one that it was: nobody is provisioned, and nothing soaks anew.
    expect(await rig.hub.api.rollout('web')).toMatchObject({ id: rollout.id, phase: 'Completed', waves: rollout.waves })
    expect((await rig.store.results(0, 10)).map((one) => one.site)).toEqual(['s9'])
    const audit = await rig.store.audit(0, 100)
    expect(audit.at(-1)).toMatchObject({ action: 'site renamed', subject: 's9', detail: { from: 's2' } })
    expect((await rig.hub.api.status()).needsYou).toEqual([])
  })

  test('is in the store what it is in memory', async () => {
    const { rig, sites, site } = await threeSites()
    await using _ = rig
    await rig.hub.api.hold(ADMIN, 's2', 'inventory day', null)
    rig.git.commit(RENAMED)
    await rig.settle()
    await rig.hub.turns.flush()
    const { dueAtMs: _due, ...view } = await rig.hub.api.site('s9')
    await rig.restart()
    await rig.settle()
    expect(await rig.hub.api.site('s9')).toMatchObject(view)
    const { sites: rows, keys, holds, rollouts } = await rig.store.load()
    expect(rows.map(({ name }) => name).toSorted()).toEqual(['s1', 's3', 's9'])
    expect(keys.filter(({ siteId }) => siteId === site.siteId).map((key) => key.site)).toEqual(['s9'])
    expect(holds).toEqual([expect.objectContaining({ site: 's9' })])
    for (const { spec, state } of rollouts)
      expect([spec.targets.has('s2'), state?.sites.has('s2'), state?.sites.has('s9')]).toEqual([false, false, true])
    expect(await rig.store.atSite('s2')).toEqual(new Map())
    await rig.run(sites, 10)
    expect(site.name).toBe('s9')
  })

  test('and a new release in one commit: the release rolls out as ever', async () => {
    const { rig, sites, site } = await threeSites()
    await using _ = rig
    const old = site.releaseOf('web')
    rig.git.commit(named(['s1', 's9', 's3'], { s9: 's2' }, { tag: '2' }))
    await rig.settle()
    await site.sync()
    // The canary goes first.
    expect([site.name, site.releaseOf('web')]).toEqual(['s9', old])
    await rig.run(sites, 120)
    expect(new Set(sites.map((one) => one.releaseOf('web'))).size).toBe(1)
    expect(site.releaseOf('web')).not.toBe(old)
    expect((await rig.hub.api.rollout('web')).phase).toBe('Completed')
  })

  test('of a site in the middle of a rollout: it goes on there', async () => {
    const { rig, sites, site } = await threeSites()
    await using _ = rig
    rig.git.commit(shops({ tag: '2' }))
    await rig.settle()
    await rig.run(sites, 15)
    rig.git.commit(named(['s1', 's9', 's3'], { s9: 's2' }, { tag: '2' }))
    await rig.settle()
    await rig.run(sites, 120)
    expect(new Set(sites.map((one) => one.releaseOf('web'))).size).toBe(1)
    expect(site.name).toBe('s9')
    expect((await rig.hub.api.rollout('web')).phase).toBe('Completed')
  })

  test('goes back, and further names too, while the site is dark', async () => {
    const { rig, sites, site } = await threeSites()
    await using _ = rig
    const before = work(site)
    for (const [to, from] of [['s7', 's2'], ['s8', 's7'], ['s9', 's8']] as const) {
      rig.git.commit(named(['s1', to, 's3'], { [to]: from }))
      await rig.settle()
    } // prettier-ignore
    await site.sync()
    expect([site.name, site.manifest?.formerNames]).toEqual(['s9', ['s2', 's7', 's8']])
    rig.git.commit(named(['s1', 's2', 's3'], { s2: 's9' }))
    await rig.settle()
    await rig.run(sites, 20)
    expect([site.name, work(site)]).toEqual(['s2', before])
    expect(await names(rig)).toEqual(['s1', 's2', 's3'])
    // The names of before may be taken out of Git again, and given to others.
    rig.git.commit(shops({ sites: ['s1', 's2', 's3', 's9'] }))
    await rig.settle()
    const other = await rig.join('s9')
    await rig.run([...sites, other], 30)
    expect(other.siteId).not.toBe(site.siteId)
    expect(await rig.hub.api.site('s2')).toMatchObject({ sync: 'Synced', link: 'Online' })
  })

  test('that was forgotten to be called one is made good by the next commit', async () => {
    const { rig, sites, site } = await threeSites()
    await using _ = rig
    const before = work(site)
    rig.git.commit(named(['s1', 's9', 's3']))
    await rig.settle()
    await rig.run(sites, 20)
    expect(await rig.hub.api.site('s9')).toMatchObject({ link: 'Never' })
    expect([site.name, work(site)]).toEqual(['s2', before])
    rig.git.commit(RENAMED)
    await rig.settle()
    await rig.run(sites, 30)
    expect([site.name, work(site)]).toEqual(['s9', before])
    expect(await names(rig)).toEqual(['s1', 's3', 's9'])
    expect((await rig.hub.api.rollout('web')).phase).toBe('Completed')
  })

  test.each(['before', 'after'] as const)('a hub that is killed %s it is written does it once', async (when) => {
    const { rig, sites, site } = await threeSites()
    await using _ = rig
    const before = work(site)
    let killed = false
    await rig.restart({}, (store): HubStore => ({
      ...store,
      written: 0,
      async commit(change) {
        if ((change.renames ?? []).length === 0) return store.commit(change)
        killed = true
        if (when === 'after') await store.commit(change)
        throw new Fault('StoreFailed', 'killed')
      },
    }))
    rig.git.commit(RENAMED)
    await expect(rig.settle()).rejects.toMatchObject({ reason: 'StoreFailed' })
    expect(killed).toBe(true)
    await rig.restart()
    await rig.settle()
    await rig.run(sites, 30)
    expect([site.name, work(site)]).toEqual(['s9', before])
    expect(await names(rig)).toEqual(['s1', 's3', 's9'])
    const audit = await rig.store.audit(0, 100)
    expect(audit.filter(({ action }) => action === 'site renamed')).toHaveLength(1)
  })

  test('a hub that was restored from before it takes it up again, and the site is what it was', async () => {
    const { rig, sites, site } = await threeSites()
    await using _ = rig
    const before = work(site)
    const copy = await rig.backup()
    rig.git.commit(RENAMED)
    await rig.settle()
    await rig.run(sites, 20)
    expect(site.name).toBe('s9')
    await rig.restore(copy)
    await rig.settle()
    await rig.run(sites, 10)
    await rig.hub.api.recover(ADMIN)
    await rig.run(sites, 30)
    expect([site.name, work(site)]).toEqual(['s9', before])
    expect(await rig.hub.api.site('s9')).toMatchObject({ sync: 'Synced', conditions: [] })
    expect(await names(rig)).toEqual(['s1', 's3', 's9'])
  })
})

describe('nobody comes by another’s identity with it', () => {
  test('a name that a box of its own runs under takes nobody over: nothing moves, and the place is named', async () => {
    const { rig, sites, site } = await threeSites()
    await using _ = rig
    // s2 leaves Git and runs on, Unlisted; then s3 says that it was s2.
    rig.git.commit(named(['s1', 's3']))
    await rig.settle()
    const seen = rig.git.commit(named(['s1', 's3'], { s3: 's2' }, { tag: '2' }))
    await rig.settle()
    await rig.run(sites, 60)
    const { source } = await rig.hub.api.status()
    expect(source).toMatchObject({ seen, revision: '2'.padStart(40, '0') })
    expect(source.problems[0]).toMatchObject({ code: 'FLT1022', place: { file: 'sites/s3.yaml' } })
    expect([site.name, sites[2].name]).toEqual(['s2', 's3'])
    expect(await names(rig)).toEqual(['s1', 's2', 's3'])
  })

  test('in the commit that removes the other neither', async () => {
    const { rig, sites } = await threeSites()
    await using _ = rig
    rig.git.commit(named(['s1', 's3'], { s3: 's2' }))
    await rig.settle()
    const { problems, revision } = (await rig.hub.api.status()).source
    expect([problems[0]?.code, problems[0]?.place.file, revision]).toEqual(['FLT1022', 'sites/s3.yaml', '1'.padStart(40, '0')]) // prettier-ignore
    await rig.run(sites, 10)
    expect(sites.map(({ name }) => name)).toEqual(['s1', 's2', 's3'])
  })

  test('two boxes cannot go on as one', async () => {
    const { rig } = await threeSites()
    await using _ = rig
    rig.git.commit(shops({ sites: ['s1', 's9'], site: (name) => (name === 's9' ? '  formerNames: [s2, s3]\n' : '') }))
    await rig.settle()
    const { problems } = (await rig.hub.api.status()).source
    expect(problems[0]?.message).toBe('a box runs under each of s2, s3: they cannot go on as one s9')
    expect(await names(rig)).toEqual(['s1', 's2', 's3'])
  })

  test('a key that was retired stays so under every name, and a token of the old name joins nobody', async () => {
    const { rig, site } = await threeSites()
    await using _ = rig
    const { token } = await rig.hub.api.createToken(ADMIN, 's2', 600_000)
    const replaced = await rig.join('s2')
    rig.git.commit(RENAMED)
    await rig.settle()
    expect(rig.hub.handler.standing(site.keyHash)).toMatchObject({ state: 'retired', site: 's9' })
    expect(rig.hub.handler.standing(replaced.keyHash)).toMatchObject({ state: 'active', site: 's9' })
    const request = { site: 's2', secret: token, keyHash: 'a thief', publicKey: Buffer.from('x'), recipient: 'age1x' }
    await expect(rig.hub.handler.enrol(request)).rejects.toMatchObject({ reason: 'TokenRefused' })
    expect(await names(rig)).toEqual(['s1', 's3', 's9'])
  })

  test('another site does not speak under a name of before, nor renew a key under it', async () => {
    const { rig, sites, site } = await threeSites()
    await using _ = rig
    rig.git.commit(RENAMED)
    await rig.settle()
    const renewal = { nextHash: 'next', publicKey: Buffer.from('x') }
    for (const name of ['s2', 's9']) {
      await expect(sites[0].sync({ site: name })).rejects.toMatchObject({ reason: 'WrongSite' })
      const { keyHash: heldHash, siteId } = sites[0]
      await expect(rig.hub.handler.renew({ ...renewal, site: name, siteId, heldHash })).rejects.toMatchObject({ reason: 'KeyUnknown' }) // prettier-ignore
    }
    // It itself does, under either, and is certified by the name that it has.
    const { keyHash: heldHash, siteId } = site
    for (const name of ['s2', 's9']) {
      const made = await rig.hub.handler.renew({ ...renewal, nextHash: `next ${name}`, site: name, siteId, heldHash })
      expect(made.certificate).toBe(`certificate of s9 ${siteId}`)
    }
  })
})
