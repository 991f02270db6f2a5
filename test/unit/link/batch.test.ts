/** A batch job from a commit to its pods, and what is seen of it at the hub: a real hub, real sockets, one real agent. */
import { expect, test } from 'vitest'
import { shops } from '../hub/files.ts'
import { OneSite, soon } from './one-site.ts'

const HEAD = 'apiVersion: flotilla.dev/v1alpha1\n'
const TARGETS = '  targets: [{ selector: { matchLabels: { open: "yes" } } }]\n  rollout: waves\n'
const BATCH = {
  'batch/night.yaml': `${HEAD}kind: BatchQueue\nmetadata: { name: night }\nspec:\n${TARGETS}  weight: 2\n`,
  'batch/train.yaml':
    `${HEAD}kind: BatchJob\nmetadata: { name: train }\nspec:\n${TARGETS}  queue: night\n  deadline: 6h\n` +
    '  tasks: [{ name: main, replicas: 2, template: { spec: { schedulerName: default-scheduler, containers: [{ name: c, image: "task:1" }] } } }]\n',
}

test('a commit becomes pods at the site, is seen at the hub, and is gone with the next', async () => {
  await using world = await OneSite.open()
  const { rig } = world
  rig.git.commit({ ...shops({ sites: ['s1'] }), ...BATCH })
  await rig.settle()
  const box = await world.join()
  const stop = new AbortController()
  const pass = async (): Promise<void> => {
    for (let i = 0; i < 4; i++) {
      await box.agent.exchange(soon())
      await box.agent.turn(soon())
      await box.agent.batch.turn(soon())
      await world.clock.advance(2_000)
      await rig.decide()
    }
  }
  const pods = async (): Promise<readonly string[]> => {
    const { items } = await box.cluster.list({ apiVersion: 'v1', kind: 'Pod', namespace: 'default' }, stop.signal)
    return items.map(({ metadata, status }) => `${metadata.name} ${(status as { phase: string }).phase}`)
  }
  await pass()
  await pass()
  expect(await pods()).toEqual(['train-main-0 Succeeded', 'train-main-1 Succeeded'])
  const workloads = await rig.hub.api.workloads()
  expect(workloads.items.map(({ name }) => name).toSorted()).toEqual(['batchjob.train', 'batchqueue.night', 'web'])
  const [site] = (await rig.hub.api.batch({})).items
  expect(site).toMatchObject({ site: 's1', timeZone: 'Europe/Copenhagen', leftOut: 0 })
  expect(site?.jobs.map(({ id, code, partition, user, cluster }) => [id, code, partition, user, cluster])).toEqual([
    ['train', 'CD', 'night', 'git', 's1'],
  ])
  expect(site?.queues.map(({ name }) => name).toSorted()).toEqual(['default', 'night'])

  // The hub forgets when it starts anew; the site says it again without being changed.
  await rig.restart()
  expect((await rig.hub.api.batch({})).items).toEqual([])
  await pass()
  expect((await rig.hub.api.batch({ sites: ['s1'] })).items).toHaveLength(1)

  rig.git.commit(shops({ sites: ['s1'] }))
  await rig.settle()
  await pass()
  await pass()
  expect(await pods()).toEqual([])
  expect([...box.store.batch().keys()]).toEqual([])
})
