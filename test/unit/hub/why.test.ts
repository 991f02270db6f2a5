/** Why something is not as Git says, in the words that people read. */
import { expect, test } from 'vitest'
import { sentenceOf } from '../../../src/core/api/sentences.ts'
import type { WhyView } from '../../../src/core/api/types.ts'
import { formatWaiting, type Waiting } from '../../../src/core/model/state.ts'
import { shops } from './files.ts'
import { ADMIN, type LightSite, Rig } from './rig.ts'

const said = (view: WhyView): string[] => view.causes.map(({ reason, subject, message }) => `${reason} | ${subject} | ${message}`) // prettier-ignore

async function atRest(policy?: string): Promise<{ rig: Rig; sites: LightSite[] }> {
  const rig = await Rig.open()
  rig.git.commit(shops(policy === undefined ? {} : { policy }))
  await rig.settle()
  const sites = [await rig.join('s1'), await rig.join('s2'), await rig.join('s3')]
  await rig.run(sites, 60)
  return { rig, sites }
}

test.each<[string, Waiting, string]>([
  ['a person', { reason: 'Paused', detail: 'ann, stocktaking: all stores' }, 'ann paused it: stocktaking: all stores'],
  ['the policy', { reason: 'Paused', detail: 'policy, 1 site failed, the limit is 1' }, 'its policy paused it: 1 site failed, the limit is 1'],
  ['an abort', { reason: 'Paused', detail: 'ann, abort: wrong season' }, 'ann aborted it: wrong season'],
  ['an undo', { reason: 'Paused', detail: 'ann, undo: tills freeze' }, 'ann took the release back: tills freeze'],
  ['a policy that goes back', { reason: 'Paused', detail: 'policy, failure: 1 site failed' }, 'its policy took the release back: 1 site failed'],
  ['somebody at the box', { reason: 'Paused', detail: 'kim: the fridge, again' }, 'kim paused the site at the box: the fridge, again'],
  ['nobody that is known', { reason: 'Paused' }, 'it is paused'],
  ['a reason of a later version', { reason: 'Later' as never }, 'Later'],
])('who or what paused it is said: %s', (_case, waiting, sentence) => {
  expect(sentenceOf(waiting)).toBe(sentence)
}) // prettier-ignore

test('a policy that paused a rollout is named by site, rollout and status, with what failed', async () => {
  const { rig, sites } = await atRest()
  await using _rig = rig
  const before = sites[0]?.releaseOf('web')
  rig.git.commit(shops({ tag: '2' }))
  await rig.settle()
  for (const site of sites) site.luck = (release) => (release === before ? 'healthy' : 'crashing')
  await rig.run(sites, 20)
  const paused = 'its policy paused it: 1 site failed, the limit is 1'
  expect(said(await rig.hub.api.why('site', 's2'))).toContain(`Paused(policy, 1 site failed, the limit is 1) | web | ${paused}`)
  expect(said(await rig.hub.api.why('rollout', 'web'))).toEqual([
    `Paused | rollout/web | ${paused}`,
    'ImagePullBackOff | site/s1 | reg/app:bad is not there',
    `Paused(policy, 1 site failed, the limit is 1) | 2 sites: s2 s3 | ${paused}`,
  ])
  expect((await rig.hub.api.status()).needsYou.map(({ message }) => message)).toContain(
    `rollout/web stands still: ${paused}`,
  )
}) // prettier-ignore

test('a rollout that goes says who is on the way and who waits, each once', async () => {
  const policy = `spec:\n  waves: [{ name: all, maxConcurrent: 1, soak: 10m }]\n`
  const { rig, sites } = await atRest(policy)
  await using _rig = rig
  rig.git.commit(shops({ tag: '2', policy }))
  await rig.settle()
  expect(said(await rig.hub.api.why('rollout', 'web'))).toEqual([
    'Progressing | site/s1 | told to change, and not seen healthy yet',
    'Slot(1 of 1) | 2 sites: s2 s3 | all places of its wave are taken',
  ])
  expect(sites).toHaveLength(3)
})

test('an object is explained at all sites that should have it', async () => {
  const { rig, sites } = await atRest()
  await using _rig = rig
  const why = (text: string) => rig.hub.api.why('object', text)
  expect(await why('ConfigMap/web/web')).toMatchObject({
    settled: true,
    summary: 'ConfigMap web/web (workload/web) is as desired at 3 sites',
  })
  const ref = { group: '', kind: 'ConfigMap', namespace: 'web', name: 'web' }
  const ill = { ref, sync: 'Drifted', health: 'Healthy', reason: 'Drift', message: '/data/tag (kubectl-edit)' } as const
  const other = { ...ill, ref: { ...ref, name: 'other' } }
  const [s1, s2, s3] = sites as [LightSite, LightSite, LightSite]
  for (const [site, objects] of [
    [s1, [ill]],
    [s2, [ill]],
    [s3, [other]],
  ] as const)
    // prettier-ignore
    await site.sync({ seq: 1_000, observations: site.observe().map((seen) => ({ ...seen, sync: 'Drifted', objects })) })
  const view = await why('configmaps/web')
  expect(said(view)).toEqual(['Drift | 2 sites: s1 s2 | /data/tag (kubectl-edit)'])
  expect(view.summary).toBe('ConfigMap web/web (workload/web) is as desired at 1 of 3 sites because:')
  await expect(why('Deployment/web/web')).rejects.toThrow('no workload of the fleet has Deployment/web/web')
  await expect(why('ConfigMap')).rejects.toThrow('expected KIND/NAME or KIND/NAMESPACE/NAME')
})

test('a rollout is meant by the beginning of its id, as screens show it, and by no other', async () => {
  const policy = `spec:\n  waves: [{ name: one, size: 1, soak: 10m, gate: { approval: ops } }, { name: rest, soak: 10m }]\n`
  const { rig } = await atRest(policy)
  await using _rig = rig
  rig.git.commit(shops({ tag: '2', policy }))
  await rig.settle()
  const { id } = await rig.hub.api.rollout('web')
  const approve = (text: string) => rig.hub.api.command(ADMIN, 'web', 'approve', { id: text })
  await expect(approve('abcdefabcdef')).rejects.toThrow('expected the digest of the rollout')
  await expect(approve(id.slice(7, 12))).rejects.toThrow('or its first 12 characters')
  await approve(id.slice(7, 19))
})

test('a commit that changes none of a workload’s releases does not touch its rollout, whatever its policy says now', async () => {
  const policy = (soak: string) => `spec:\n  waves: [{ name: all, maxConcurrent: 1, soak: ${soak} }]\n`
  const { rig } = await atRest(policy('10m'))
  await using _rig = rig
  rig.git.commit(shops({ tag: '2', policy: policy('10m') }))
  await rig.settle()
  const before = await rig.hub.api.rollout('web')
  rig.git.commit(shops({ tag: '2', policy: policy('5h') }))
  await rig.settle()
  expect(await rig.hub.api.rollout('web')).toEqual(before)
})

test('what a word did is shown in its answer, and not what was decided before it', async () => {
  const { rig, sites } = await atRest()
  await using _rig = rig
  rig.git.commit(shops({ tag: '2' }))
  await rig.settle()
  await rig.run(sites, 5)
  const say = async (verb: 'pause' | 'resume' | 'undo') => {
    const { waiting } = await rig.hub.api.command(ADMIN, 'web', verb, { why: 'sales' })
    return waiting === null ? '-' : formatWaiting(waiting)
  }
  expect(await say('pause')).toBe('Paused(ann, sales)')
  await rig.decide()
  expect(await say('resume')).toBe('-')
  await rig.decide()
  expect(await say('undo')).toBe('Paused(ann, undo: sales)')
  await rig.run(sites, 10)
  // One went back, and none has failed.
  expect((await rig.hub.api.rollout('web')).counts).toMatchObject({ total: 3, failed: 0, waiting: 3 })
})

test('a site names what would keep it next, too: its window behind its wave, and each thing once', async () => {
  const { rig } = await atRest()
  await using _rig = rig
  const night = `apiVersion: flotilla.dev/v1alpha1\nkind: MaintenanceWindow\nmetadata: { name: night }\nspec: { effect: allow, schedule: "0 3 * * *", duration: 2h, targets: [{ workloads: [web] }] }\n`
  rig.git.commit({ ...shops({ tag: '2' }), 'windows/night.yaml': night })
  await rig.settle()
  await rig.hub.api.hold(ADMIN, 's3', 'audit', null)
  await rig.decide()
  const closed = 'WindowClosed(opens 2026-01-01 03:00 Europe/Copenhagen, night)'
  expect(said(await rig.hub.api.why('site', 's2')).map((line) => line.split(' | ')[0])).toEqual(['WaveNotReached', closed])
  expect(said(await rig.hub.api.why('site', 's3')).map((line) => line.split(' | ')[0])).toEqual(['Hold', 'WaveNotReached'])
}) // prettier-ignore
