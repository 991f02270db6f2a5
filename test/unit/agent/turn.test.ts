import { describe, expect, test } from 'vitest'
import { createSite, configMap, deployment, liveOf, SIGNAL } from './site.ts'

describe('a turn', () => {
  test('converges, and a second turn writes nothing and reads nothing', async () => {
    const site = createSite()
    site.hub.publish({ till: { objects: [configMap('settings'), deployment('till')] } })
    await site.agent.exchange(SIGNAL)
    await site.settle()
    const [till] = site.agent.status().workloads
    expect(till).toMatchObject({ sync: 'Synced', health: 'Healthy', begun: true })
    expect(till?.healthy?.digest).toBe(till?.desired?.digest)
    expect(await liveOf(site, deployment('till'))).toMatchObject({ status: { readyReplicas: 2 } })
    const [writes, reads] = [site.writes(), site.reads()]
    await site.agent.turn(SIGNAL)
    await site.clock.advance(60_000)
    await site.agent.turn(SIGNAL)
    expect([site.writes(), site.reads()]).toEqual([writes, reads])
  })
})
