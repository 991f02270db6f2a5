/** What was said at a site's box is seen at the hub for what it is: neither as applied, nor as failed. */
import { expect, test } from 'vitest'
import type { SyncUp } from '../../../src/core/protocol/messages.ts'
import { shops } from './files.ts'
import { Rig, type LightSite } from './rig.ts'

async function oneSite(): Promise<{ rig: Rig; site: LightSite }> {
  const rig = await Rig.open({})
  rig.git.commit(shops({ sites: ['s1'] }))
  await rig.settle()
  const site = await rig.join('s1')
  await rig.run([site], 30)
  return { rig, site }
}

const paused: SyncUp['conditions'][0] = {
  type: 'Box',
  reason: 'Paused',
  message: 'paused at the box for 2h by kim: a disk is replaced',
  sinceMs: 5,
}
const item = (seq: number, body: SyncUp['outbox'][0]['body'], atMs = 5): SyncUp['outbox'][0] => ({
  class: 'audit',
  seq,
  atMs,
  body,
})

test('why site/NAME says that somebody paused it, who, and why, and the fleet sees it on its one screen', async () => {
  const { rig, site } = await oneSite()
  await using _ = rig
  expect((await rig.hub.api.why('site', 's1')).settled).toBe(true)
  await site.sync({ conditions: [paused] })
  const why = await rig.hub.api.why('site', 's1')
  expect(why).toMatchObject({ settled: false, causes: [{ reason: 'Paused', message: paused.message }] })
  expect((await rig.hub.api.status()).needsYou).toMatchObject([{ message: 's1: Box Paused', sites: ['s1'] }])
  await site.sync()
  expect((await rig.hub.api.why('site', 's1')).settled).toBe(true)
})

test('a workload that was rolled back there waits, runs what it says, and does not complete a rollout', async () => {
  const { rig, site } = await oneSite()
  await using _ = rig
  const before = site.observe()[0]!
  rig.git.commit(shops({ sites: ['s1'], tag: '2' }))
  await rig.settle()
  await site.sync()
  const now = site.observe()[0]!
  expect(now.desired?.digest).not.toBe(before.desired?.digest)
  const waiting = { reason: 'Hold', detail: 'rolled back at the box by kim: it hangs' } as const
  const { applied, healthy } = before
  await site.sync({
    seq: 99,
    observations: [{ ...now, applied, healthy, sync: 'Waiting', waiting, healthyForMs: 10 ** 8 }],
  })
  await rig.settle()
  const [at] = (await rig.hub.api.site('s1')).workloads
  expect(at).toMatchObject({ sync: 'Waiting', waiting, applied: applied?.digest })
  expect((await rig.hub.api.why('site', 's1')).causes[0]?.reason).toBe(`Hold(${waiting.detail})`)
  const { items } = await rig.hub.api.rollouts()
  expect(items.map(({ phase, counts }) => [phase, counts.failed])).toEqual([['Progressing', 0]])
})

test('every word is an event, an unknown kind is none, and a clock of nobody knows when breaks nothing', async () => {
  const { rig, site } = await oneSite()
  await using _ = rig
  await site.sync({
    outbox: [
      item(1, { kind: 'box', word: 'rollback', workload: 'pos', by: 'kim', reason: 'it hangs' }),
      item(2, { kind: 'box', word: 'resume', by: 'kim' }, Number.MAX_VALUE),
      item(3, { kind: 'upgrade', version: '2', because: 'it crashed' }),
      item(4, { kind: 'another', by: 'x'.repeat(10_000) }),
      item(5, { kind: 'box', word: 'pause', by: 'kim', reason: 'x'.repeat(10_000) }),
    ],
  })
  const { items } = await rig.hub.api.events(0, 1_000)
  const said = items.filter(({ kind }) => kind === 'Box').map(({ message }) => message)
  expect(said.map((message) => message.slice(0, 60))).toEqual([
    'rollback pos at 1970-01-01T00:00:00.005Z by its clock, kim: ',
    'resume at no known time, kim',
    'agent 2 gave way at 1970-01-01T00:00:00.005Z by its clock: i',
    'pause at 1970-01-01T00:00:00.005Z by its clock, kim: xxxxxxx',
  ])
  expect(Math.max(...said.map(({ length }) => length))).toBe(500)
})
