/** A site that is renamed in Git: a real hub, real sockets, one real agent, whose certificate and store carry the name of before. */
import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { siteOf } from '../../../src/adapters/link/peers.ts'
import { shops } from '../hub/files.ts'
import { DAY_MS, OneSite, soon, type Box } from './one-site.ts'

const RENAMED = shops({ sites: ['s9'], site: () => '  formerNames: [s1]\n' })

async function turns(world: OneSite, box: Box, count = 4): Promise<void> {
  for (let i = 0; i < count; i++) {
    await box.agent.exchange(soon())
    await box.agent.turn(soon())
    await world.rig.clock.advance(600_000)
    await world.clock.advance(600_000)
    await world.rig.decide()
  }
}

const config = async (box: Box) =>
  (
    await box.cluster.get(
      { apiVersion: 'v1', kind: 'ConfigMap' },
      { group: '', kind: 'ConfigMap', namespace: 'web', name: 'web' },
      soon(),
    )
  )?.metadata
const WRITES = ['create', 'apply', 'patch', 'delete'] as const
const certified = (box: Box) => siteOf(new X509Certificate(box.identity().certificate))

test('it goes on under its new name: no write to the cluster, the next certificate names it, an agent started anew too', async () => {
  await using world = await OneSite.open()
  const box = await world.join()
  await turns(world, box)
  const before = await config(box)
  const { siteId } = box.identity()
  const writes = (): number => WRITES.reduce((sum, verb) => sum + (box.cluster.requests[verb] ?? 0), 0)
  const wrote = writes()
  expect(before?.uid).toBeDefined()

  world.rig.git.commit(RENAMED)
  await world.rig.settle()
  await turns(world, box)
  expect(box.identity()).toMatchObject({ site: 's9', siteId })
  expect(certified(box)).toEqual({ site: 's1', siteId })
  expect((await world.rig.hub.api.sites({})).items).toMatchObject([{ name: 's9', link: 'Online', sync: 'Synced' }])
  expect([await config(box), writes()]).toEqual([before, wrote])

  await box.close()
  const again = world.start(box.dir, { cluster: box.cluster })
  await turns(world, again)
  expect([await config(again), writes()]).toEqual([before, wrote])

  await world.rig.clock.advance(200 * DAY_MS)
  await turns(world, again)
  expect(certified(again)).toEqual({ site: 's9', siteId })
  expect([await config(again), writes()]).toEqual([before, wrote])
  expect((await world.rig.hub.api.status()).needsYou).toEqual([])
})

test('a site that was dark through the rename and its certificate’s half life comes back under the name that it knows', async () => {
  await using world = await OneSite.open()
  const box = await world.join()
  await turns(world, box)
  world.rig.git.commit(RENAMED)
  await world.rig.settle()
  await world.rig.clock.advance(400 * DAY_MS)
  await turns(world, box)
  expect(box.identity().site).toBe('s9')
  expect(certified(box)?.site).toBe('s9')
  expect(await world.rig.hub.api.site('s9')).toMatchObject({ link: 'Online', sync: 'Synced', conditions: [] })
})
