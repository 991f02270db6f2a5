/** The site's fuse, and what lifts it: a list that was confirmed for this site, for what it names, once. */
import { describe, expect, test } from 'vitest'
import { digestJson, type Digest } from '../../../src/core/model/digest.ts'
import { refKey, refOf, type Manifest } from '../../../src/core/model/object.ts'
import { confirmedList } from '../../../src/core/protocol/deletions.ts'
import { SITE_ID } from '../protocol/fixed.ts'
import { configMap, createSite, liveOf, SIGNAL, type Site, type Told } from './site.ts'

const OBJECTS = ['a', 'b', 'c', 'd'].map((name) => configMap(name))
const STAYS: Told = { objects: [configMap('stays')] }
const CLAIM: Manifest = {
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name: 'data', namespace: 'shop' },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
}

async function publish(site: Site, told: Told, deletionsConfirmed: readonly Digest[] = []): Promise<void> {
  site.hub.publish({ till: told }, { deletionsConfirmed })
  await site.agent.exchange(SIGNAL)
  await site.settle(6)
}

/** As a hub makes it for a site. */
function listOf(site: Site, objects: readonly Manifest[], of: { siteId?: string; revision?: string } = {}): Digest {
  const { siteId = SITE_ID, revision = 'c0ffee' } = of
  const keys = objects.map((object) => refKey(refOf(object)))
  const { digest, bytes } = confirmedList({ siteId, revision, list: digestJson('deletions', 'fleet'), objects: keys })
  site.hub.blobs.set(digest, { domain: 'deletions', bytes })
  return digest
}

/** A site with four objects and a claim, of which only one is named any more, before a fuse of two. */
async function braked(objects: readonly Manifest[] = [...OBJECTS, CLAIM]): Promise<Site> {
  const site = createSite({ agent: { fuseObjects: 2 } })
  await publish(site, { objects: [...STAYS.objects, ...objects] })
  return site
}

async function left(site: Site, objects: readonly Manifest[] = [...OBJECTS, CLAIM]): Promise<readonly string[]> {
  const there = await Promise.all(objects.map(async (object) => ((await liveOf(site, object)) ? [object] : [])))
  return there.flat().map(({ metadata }) => metadata.name)
}

const stopped = (site: Site) => site.agent.status().conditions.find(({ reason }) => reason === 'DeletionBrake')

describe('without a yes', () => {
  test('too many deletions in one turn wait, and the site says how to confirm them', async () => {
    const site = await braked()
    await publish(site, STAYS)
    expect(await left(site)).toEqual(['a', 'b', 'c', 'd', 'data'])
    const [till] = site.agent.status().workloads
    expect(till).toMatchObject({ waiting: { reason: 'DeletionBrake', detail: '4' } })
    expect(stopped(site)?.message).toContain(stopped(site)?.deletions)
  })

  test('a digest that names no list lifts nothing', async () => {
    const site = await braked()
    await publish(site, STAYS, [`sha256:${'1'.repeat(64)}`])
    expect(await left(site)).toEqual(['a', 'b', 'c', 'd', 'data'])
  })
})

describe('a list that the hub made for this site', () => {
  test('lets go what it names, also what is protected, and stays so over a restart', async () => {
    const site = await braked()
    await publish(site, STAYS, [listOf(site, [...OBJECTS, CLAIM])])
    expect(await left(site)).toEqual([])
    expect(stopped(site)).toBeUndefined()
  })

  test('does not touch a claim that it does not name', async () => {
    const site = await braked()
    await publish(site, STAYS, [listOf(site, OBJECTS)])
    expect(await left(site)).toEqual(['data'])
  })

  test('of another site lifts nothing', async () => {
    const site = await braked()
    const siteId = SITE_ID.replace(/.$/, (last) => (last === '0' ? '1' : '0'))
    await publish(site, STAYS, [listOf(site, [...OBJECTS, CLAIM], { siteId })])
    expect(await left(site)).toEqual(['a', 'b', 'c', 'd', 'data'])
  })

  test('that names less lets only that go: the rest waits for its own', async () => {
    const six = [...OBJECTS, configMap('e'), configMap('f')]
    const site = await braked(six)
    await publish(site, STAYS, [listOf(site, six.slice(0, 3))])
    expect(await left(site, six)).toEqual(['d', 'e', 'f'])
    expect(stopped(site)?.message).toMatch(/^3 deletions/)
  })

  test('does not cover what was removed after it', async () => {
    const six = [...OBJECTS, configMap('e'), configMap('f')]
    const site = await braked(six)
    const list = listOf(site, six.slice(0, 3))
    await publish(site, { objects: [...STAYS.objects, ...six.slice(3)] }, [list])
    expect(await left(site, six)).toEqual(['d', 'e', 'f'])
    await publish(site, STAYS, [list])
    expect(await left(site, six)).toEqual(['d', 'e', 'f'])
  })

  test('counts once: what was made again under its names needs another', async () => {
    const site = await braked()
    const list = listOf(site, [...OBJECTS, CLAIM])
    await publish(site, STAYS, [list])
    await publish(site, { objects: [...STAYS.objects, ...OBJECTS, CLAIM] }, [list])
    await publish(site, STAYS, [list])
    expect(await left(site)).toEqual(['a', 'b', 'c', 'd', 'data'])
    await publish(site, STAYS, [list, listOf(site, [...OBJECTS, CLAIM], { revision: 'decaf' })])
    expect(await left(site)).toEqual([])
  })

  test('counts where it came while the site was paused, and the process was another', async () => {
    const site = await braked()
    site.agent.desk.say({ kind: 'pause', by: 'ann', reason: 'stocktaking', forMs: null })
    await publish(site, STAYS, [listOf(site, [...OBJECTS, CLAIM])])
    expect(await left(site)).toHaveLength(5)
    site.restart(null)
    site.agent.desk.say({ kind: 'resume', by: 'ann', workload: null })
    await site.settle(6)
    expect(await left(site)).toEqual([])
  })

  test('counts no more where the store that knew its use was lost', async () => {
    const site = await braked()
    const list = listOf(site, [...OBJECTS, CLAIM])
    await publish(site, { objects: [...STAYS.objects, ...OBJECTS, CLAIM] }, [list])
    site.store.write({
      inventory: new Map([...site.store.inventory().keys()].map((key) => [key, null])),
      notes: new Map([
        ['recovered', null],
        ['deletions', null],
      ]),
    })
    site.restart()
    await publish(site, STAYS, [list])
    expect(await left(site)).toEqual(['a', 'b', 'c', 'd', 'data'])
  })

  test('that a site on its way missed is no reason to stop: it is fetched with the manifest, and a hub that lost it is not waited for', async () => {
    const site = await braked()
    const list = listOf(site, OBJECTS)
    site.hub.blobs.delete(list)
    await publish(site, STAYS, [list])
    expect(site.agent.status().conditions.some(({ type }) => type === 'Manifest')).toBe(false)
    expect(await left(site)).toEqual(['a', 'b', 'c', 'd', 'data'])
  })
})

describe('what the fuse stopped, confirmed by the name that the site gave it', () => {
  test('goes, but for what is protected', async () => {
    const site = await braked()
    await publish(site, STAYS)
    await publish(site, STAYS, [stopped(site)!.deletions!])
    expect(await left(site)).toEqual(['data'])
    expect(stopped(site)).toBeUndefined()
  })

  test('stays where more was removed meanwhile', async () => {
    const site = await braked()
    await publish(site, { objects: [...STAYS.objects, OBJECTS[3]!] })
    const name = stopped(site)!.deletions!
    await publish(site, STAYS, [name])
    expect(await left(site)).toEqual(['a', 'b', 'c', 'd', 'data'])
    expect(stopped(site)?.deletions).not.toBe(name)
  })

  test('counts once: the same names made again have another', async () => {
    const site = await braked()
    await publish(site, STAYS)
    const name = stopped(site)!.deletions!
    await publish(site, STAYS, [name])
    await publish(site, { objects: [...STAYS.objects, ...OBJECTS] }, [name])
    await publish(site, STAYS, [name])
    expect(await left(site)).toEqual(['a', 'b', 'c', 'd', 'data'])
    expect(stopped(site)?.deletions).not.toBe(name)
  })
})
