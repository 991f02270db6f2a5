/** A site that left Git is emptied by a confirmed list: a real hub, real sockets, one real agent that deletes, its claim too. */
import { expect, test } from 'vitest'
import type { Files } from '../fleet/tree.ts'
import { shops } from '../hub/files.ts'
import { OneSite, soon, type Box } from './one-site.ts'

const CLAIM: Files = {
  'apps/web/base/claim.yaml': `apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: data }
spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Gi } } }
`,
}

async function take(world: OneSite, box: Box, files: Files): Promise<void> {
  world.rig.git.commit(files)
  await world.rig.settle()
  for (let i = 0; i < 8; i++) {
    await box.agent.exchange(soon())
    await box.agent.turn(soon())
    await world.rig.clock.advance(600_000)
    await world.clock.advance(600_000)
    await world.rig.decide()
  }
}

async function objects(box: Box): Promise<readonly string[]> {
  const kinds = { ConfigMap: 'web', PersistentVolumeClaim: 'data' }
  const found = await Promise.all(
    Object.entries(kinds).map(async ([kind, name]) => {
      const ref = { group: '', kind, namespace: 'web', name }
      return (await box.cluster.get({ apiVersion: 'v1', kind }, ref, soon())) === undefined ? [] : [kind]
    }),
  )
  return found.flat()
}

test('it runs on without a yes, and with the one that `why` names nothing of it is left', async () => {
  await using world = await OneSite.open()
  const box = await world.join()
  await take(world, box, { ...shops({ sites: ['s1'] }), ...CLAIM })
  expect(await objects(box)).toEqual(['ConfigMap', 'PersistentVolumeClaim'])

  const without = { ...shops({ sites: ['s2'] }), ...CLAIM }
  await take(world, box, without)
  expect(await objects(box)).toEqual(['ConfigMap', 'PersistentVolumeClaim'])
  const [cause] = (await world.rig.hub.api.why('site', 's1')).causes
  expect(cause).toMatchObject({ reason: 'Unlisted' })

  const [digest] = /sha256:[0-9a-f]{64}/.exec(cause!.message) ?? []
  const root = `${without['flotilla.yaml']!}  deletionBrake: { confirmed: ["${digest}"] }\n`
  await take(world, box, { ...without, 'flotilla.yaml': root })
  expect(await objects(box)).toEqual([])
  expect(box.agent.status().conditions.filter(({ reason }) => reason === 'DeletionBrake')).toEqual([])
})
