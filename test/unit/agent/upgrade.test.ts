/** The agent's own new version: who may have the store, and what happens where it does not come up. */
import { describe, expect, test } from 'vitest'
import {
  answerHandover,
  confirmVersion,
  refuseVersion,
  versionsOf,
  type Versions,
} from '../../../src/agent/versions.ts'
import { openAgentStore } from '../../../src/adapters/store/agent-store.ts'
import type { Manifest } from '../../../src/core/model/object.ts'
import { configMap, createSite, deployment, liveOf, SIGNAL, type Site } from './site.ts'

const NONE: Versions = { confirmed: null, refused: {} }

describe('another version asks for the store', () => {
  test.each<[string, string, string, Versions, boolean]>([
    ['of one that proved itself: yes', '2', '1', { ...NONE, confirmed: '1' }, true],
    ['of one that is itself unproven: no', '3', '2', { ...NONE, confirmed: '1' }, false],
    ['of one that is unproven, and was there before: yes', '1', '2', { ...NONE, confirmed: '1' }, true],
    ['a second time: yes', '2', '1', { confirmed: '1', refused: { '2': { tries: 1, because: 'x' } } }, true],
    ['a third time: no', '2', '1', { confirmed: '1', refused: { '2': { tries: 2, because: 'x' } } }, false],
    ['as another process of the same version: yes', '1', '1', { ...NONE, confirmed: '1' }, true],
  ])('%s', (_case, asking, running, versions, granted) => {
    const answer = answerHandover(asking, running, versions)
    expect(answer.granted).toBe(granted)
    expect(answer.because).not.toBe('')
  })

  test('what is kept of it outlives the process, and is told to the hub', () => {
    const store = openAgentStore(':memory:')
    expect(versionsOf(store)).toEqual(NONE)
    confirmVersion(store, '1')
    refuseVersion(store, '2', 'it crashed', 5)
    refuseVersion(store, '2', 'it crashed', 6)
    expect(versionsOf(store)).toEqual({ confirmed: '1', refused: { '2': { tries: 2, because: 'it crashed' } } })
    expect(store.outbox().map(({ class: kind, body }) => [kind, body['version'], body['reason']])).toEqual([
      ['audit', '2', 'RevertedUnconfirmed'],
      ['audit', '2', 'RevertedUnconfirmed'],
    ])
    confirmVersion(store, '2')
    expect(versionsOf(store)).toEqual({ confirmed: '2', refused: {} })
  })
})

describe('its own Deployment is a workload', () => {
  const self = { namespace: 'shop', name: 'flotilla-agent' }
  const own = (image: string): Manifest => deployment('flotilla-agent', image)
  /** The new template never gets ready: its image is one that this cluster cannot pull. */
  async function upgraded(version = '1', upgradeMs = 600_000): Promise<Site> {
    const site = createSite({ agent: { self, upgradeMs, version } })
    const told = (image: string) => ({ agent: { objects: [own(image)] }, till: { objects: [configMap('till')] } })
    site.hub.publish(told('flotilla:good'))
    await site.agent.exchange(SIGNAL)
    await site.settle()
    site.hub.publish(told('flotilla:broken'))
    await site.agent.exchange(SIGNAL)
    await site.agent.turn(SIGNAL)
    return site
  }
  const image = async (site: Site): Promise<string> => JSON.stringify((await liveOf(site, own('x')))?.['spec'])
  const pass = async (site: Site, ms: number): Promise<void> => {
    for (let at = 0; at < ms; at += 10_000) {
      await site.clock.advance(10_000)
      await site.agent.turn(SIGNAL)
    }
  }

  test('and goes back by itself when it is not ready in time, and the hub hears that its release is not here', async () => {
    const site = await upgraded()
    await pass(site, 500_000)
    expect(await image(site)).toContain('flotilla:broken')
    await pass(site, 200_000)
    expect(await image(site)).toContain('flotilla:good')
    const seen = site.agent.status().workloads.find(({ workload }) => workload === 'agent')!
    expect(seen.waiting?.detail).toContain('RevertedUnconfirmed')
    expect(seen.applied?.digest).not.toBe(seen.desired?.digest)
    expect(site.store.outbox().map(({ body }) => body['cause'])).toContain('upgrade')
  })

  test('and stays where the one that looks is the new one itself', async () => {
    const site = await upgraded()
    site.agent.stop()
    site.restart(site.hub, { version: '2' })
    await pass(site, 1_500_000)
    expect(await image(site)).toContain('flotilla:broken')
  })

  test('and no other Deployment is ever taken back', async () => {
    const site = createSite({ agent: { self, upgradeMs: 60_000 } })
    for (const name of ['till:1', 'till:broken']) {
      site.hub.publish({ till: { objects: [deployment('till', name)] } })
      await site.agent.exchange(SIGNAL)
      await site.settle(5)
    }
    await pass(site, 600_000)
    expect(JSON.stringify((await liveOf(site, deployment('till')))?.['spec'])).toContain('till:broken')
  })
})
