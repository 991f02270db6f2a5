import { describe, expect, test } from 'vitest'
import { Fault } from '../../../src/core/model/fault.ts'
import type { Envelope } from '../../../src/core/protocol/messages.ts'
import { BODY, sealed, STRANGER } from '../protocol/fixed.ts'
import { configMap, createSite, deployment, liveOf, SIGNAL, type Site } from './site.ts'

/** At generation 1.2, converged. */
async function settled(): Promise<Site> {
  const site = createSite()
  site.hub.publish({ till: { objects: [configMap('settings')] } })
  site.hub.publish({ till: { objects: [configMap('settings', { a: '2' })] } })
  await site.agent.exchange(SIGNAL)
  await site.settle()
  return site
}

function flipped(envelope: Envelope): Envelope {
  const payload = Buffer.from(envelope.payload)
  payload[40] = (payload[40] ?? 0) ^ 1
  return { ...envelope, payload }
}

const BARE = { ...BODY, config: null, queues: {}, keys: {}, entries: [], expires: '2027-01-01T00:00:00Z' }

describe('what a site refuses leaves it as it is', () => {
  const cases: readonly { readonly name: string; readonly reason: string; readonly forged: Envelope }[] = [
    {
      name: 'one flipped byte',
      reason: 'SignatureInvalid',
      forged: flipped(sealed({ ...BARE, generation: { epoch: 1, counter: 9 } })),
    },
    {
      name: 'a stranger signs',
      reason: 'SignatureInvalid',
      forged: sealed({ ...BARE, generation: { epoch: 1, counter: 9 } }, [STRANGER]),
    },
    {
      name: 'for another site',
      reason: 'WrongSite',
      forged: sealed({ ...BARE, site: 'other', generation: { epoch: 1, counter: 9 } }),
    },
    {
      name: 'an older generation',
      reason: 'OldGeneration',
      forged: sealed({ ...BARE, generation: { epoch: 1, counter: 1 } }),
    },
    {
      name: 'an equal generation with another body',
      reason: 'ForkedHub',
      forged: sealed({ ...BARE, generation: { epoch: 1, counter: 2 } }),
    },
    {
      name: 'a field it must know',
      reason: 'AgentTooOld',
      forged: sealed({ ...BARE, critical: ['teleport'], generation: { epoch: 1, counter: 9 } }),
    },
    {
      name: 'one that expired',
      reason: 'Expired',
      forged: sealed({ ...BARE, expires: '2026-01-02T03:00:00Z', generation: { epoch: 1, counter: 9 } }),
    },
  ]
  test.each(cases)('$name: $reason', async ({ reason, forged }) => {
    const site = await settled()
    const writes = site.writes()
    site.hub.forged = forged
    await site.agent.exchange(SIGNAL)
    await site.settle(3)
    expect(site.agent.status().conditions).toMatchObject([{ type: 'Manifest', reason }])
    expect(site.agent.status().generation).toEqual({ epoch: 1, counter: 2 })
    expect(site.writes()).toBe(writes)
    expect(await liveOf(site, configMap('settings'))).toMatchObject({ data: { a: '2' } })
    // The hub hears of it, and a good one clears it.
    site.hub.forged = undefined
    site.hub.publish({ till: { objects: [configMap('settings', { a: '3' })] } })
    await site.agent.exchange(SIGNAL)
    expect(site.hub.heard.at(-1)?.conditions).toMatchObject([{ reason }])
    expect(site.agent.status().conditions).toEqual([])
  })

  test('a blob that does not hash to its name', async () => {
    const site = await settled()
    site.hub.publish({ till: { objects: [configMap('settings', { a: '3' })] } })
    for (const [digest, blob] of site.hub.blobs) {
      if (Buffer.from(blob.bytes).includes('"a":"3"')) site.hub.blobs.set(digest, { ...blob, bytes: Buffer.from('{}') })
    }
    await site.agent.exchange(SIGNAL)
    expect(site.agent.status().conditions).toMatchObject([{ reason: 'BlobMismatch' }])
    expect(site.agent.status().generation).toEqual({ epoch: 1, counter: 2 })
  })
})

test('a site that was renamed goes by its new name, and is not had under the old one again', async () => {
  const site = await settled()
  const name = BARE.site
  const writes = site.writes()
  const told = { till: { objects: [configMap('settings', { a: '2' })] } }
  site.hub.publish(told, { site: 'later', formerNames: [name] })
  await site.agent.exchange(SIGNAL)
  await site.settle(3)
  site.restart()
  await site.agent.exchange(SIGNAL)
  expect(site.hub.heard.at(-1)?.site).toBe('later')
  expect([site.store.identity()?.site, site.agent.status().conditions]).toEqual(['later', []])
  site.hub.publish(told)
  await site.agent.exchange(SIGNAL)
  expect(site.agent.status().conditions).toMatchObject([{ type: 'Manifest', reason: 'WrongSite' }])
  site.hub.publish(told, { site: name, formerNames: ['later'] })
  await site.agent.exchange(SIGNAL)
  expect([site.store.identity()?.site, site.agent.status().conditions]).toEqual([name, []])
  expect(site.writes()).toBe(writes)
})

describe('fetching', () => {
  test('a cut in the middle keeps what came', async () => {
    const site = createSite()
    site.hub.publish({ till: { objects: Array.from({ length: 20 }, (_, i) => configMap(`c${i}`)) } })
    const blob = site.hub.blob.bind(site.hub)
    let left = 10
    site.hub.blob = async (domain, digest) => {
      if (left-- <= 0) throw new Fault('Unreachable', 'cut')
      return blob(domain, digest)
    }
    await expect(site.agent.exchange(SIGNAL)).rejects.toMatchObject({ reason: 'Unreachable' })
    expect(site.agent.status().generation).toBeNull()
    site.hub.blob = blob
    await site.agent.exchange(SIGNAL)
    expect(site.hub.fetched).toBe(21)
    expect(site.agent.status().generation).toEqual({ epoch: 1, counter: 1 })
  })

  test('what nothing names any more is swept; the last two manifests stay, what runs here, and what ran before and was well', async () => {
    const site = await settled()
    for (const a of ['3', '4', '5']) {
      site.hub.publish({ till: { objects: [configMap('settings', { a })] } })
      await site.agent.exchange(SIGNAL)
      await site.settle(4)
    }
    const kept = [...site.hub.blobs.keys()].filter((digest) => site.store.has(digest))
    // The sweep is that of the exchange: 4 ran then, and 3 before it.
    expect(kept).toHaveLength(6)
  })
})

describe('reporting', () => {
  test('the latest of each workload is sent until it is acknowledged, and then only when it changed', async () => {
    const site = await settled()
    await site.agent.exchange(SIGNAL)
    const last = site.hub.heard.at(-1)
    expect(last?.observations).toMatchObject([{ workload: 'till', sync: 'Synced', health: 'Healthy' }])
    expect(last?.have?.generation).toEqual({ epoch: 1, counter: 2 })
    await site.agent.exchange(SIGNAL)
    expect(site.hub.heard.at(-1)?.observations).toEqual([])
    expect(site.hub.heard.at(-1)!.seq).toBeGreaterThan(last!.seq)
  })

  test('a soak grows by the monotonic clock, whatever the wall clock does', async () => {
    const site = createSite()
    site.hub.publish({ till: { objects: [deployment('till')] } })
    await site.agent.exchange(SIGNAL)
    await site.settle()
    const before = site.agent.status().workloads[0]!.healthyForMs
    site.clock.jump(10 * 365 * 86_400_000)
    await site.clock.advance(600_000)
    await site.agent.turn(SIGNAL)
    const [till] = site.agent.status().workloads
    expect(till!.healthyForMs - before).toBe(600_000)
    expect(till).toMatchObject({ transitions: 0, health: 'Healthy' })
    site.restart()
    await site.agent.turn(SIGNAL)
    expect(site.agent.status().workloads[0]!.healthyForMs).toBe(0)
  })

  test('sequences never go back, not over a restart', async () => {
    const site = await settled()
    const before = site.hub.heard.at(-1)!.seq
    site.restart()
    await site.agent.exchange(SIGNAL)
    expect(site.hub.heard.at(-1)!.seq).toBeGreaterThan(before)
  })

  test('a loop of its own: dark for an hour, back, and at the newest at once', async () => {
    const site = createSite({ agent: { pollMs: 10_000 } })
    const stop = new AbortController()
    site.hub.publish({ till: { objects: [configMap('settings')] } })
    const done = site.agent.run(stop.signal)
    await site.clock.advance(30_000)
    expect(site.agent.status().workloads[0]).toMatchObject({ sync: 'Synced' })
    site.hub.reachable = false
    for (const a of ['2', '3', '4']) site.hub.publish({ till: { objects: [configMap('settings', { a })] } })
    await site.clock.advance(3_600_000)
    expect(site.agent.status().conditions).toMatchObject([{ type: 'Link', reason: 'Unreachable' }])
    expect(site.hub.heard.length).toBeLessThan(20)
    site.hub.reachable = true
    await site.clock.advance(310_000)
    expect(await liveOf(site, configMap('settings'))).toMatchObject({ data: { a: '4' } })
    expect(site.agent.status().conditions).toEqual([])
    stop.abort()
    await done
  })
})
