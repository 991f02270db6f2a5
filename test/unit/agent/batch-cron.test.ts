import type { Manifest } from '../../../src/core/model/object.ts'
import { describe, expect, test } from 'vitest'
import { batchSite, cron, task, type BatchSite } from './batch-site.ts'
import { SITE } from '../protocol/fixed.ts'
import { IDENTITY, SIGNAL } from './site.ts'

const HOUR = 3_600_000
const START_MS = Date.parse('2026-03-28T12:00:00Z')

/** Moments at which runs were due, by the site's wall clock; of runs that were started, in order. */
function dueOf(site: BatchSite): readonly string[] {
  const minutes = site.made.map((name) => Number(/-(\d+)-main-0$/.exec(name)?.[1]))
  const text = new Intl.DateTimeFormat('sv-SE', {
    timeZone: 'Europe/Copenhagen',
    dateStyle: 'short',
    timeStyle: 'short',
  })
  return minutes.map((minute) => text.format(minute * 60_000))
}

/** How long after they were due runs started, in s, by their names. */
async function lateOf(site: BatchSite): Promise<ReadonlyMap<string, number>> {
  const { items } = await site.cluster.list({ apiVersion: 'v1', kind: 'Pod', namespace: 'shop' }, SIGNAL)
  return new Map(
    items.map(({ metadata }) => {
      const dueMs = Number(/-(\d+)-main-0$/.exec(metadata.name)?.[1]) * 60_000
      return [metadata.name, (Date.parse(metadata.creationTimestamp ?? '') - dueMs) / 1_000]
    }),
  )
}

async function siteAt(startMs: number, ...objects: readonly Manifest[]): Promise<BatchSite> {
  return siteNamed(SITE, startMs, ...objects)
}

async function siteNamed(name: string, startMs: number, ...objects: readonly Manifest[]): Promise<BatchSite> {
  const site = batchSite({
    storeOf: (store) => {
      store.saveIdentity({ ...IDENTITY, site: name })
      return store
    },
  })
  site.clock.jump(startMs - site.clock.nowMs())
  site.hub.publish(
    Object.fromEntries(objects.map((object) => [`cronbatchjob.${object.metadata.name}`, { objects: [object] }])),
    { site: name, issued: new Date(startMs).toISOString(), expires: '2029-01-01T00:00:00Z' },
  )
  await site.agent.exchange(SIGNAL)
  return site
}

describe('a cron runs by the site`s own clock', () => {
  test('an hour that spring leaves out is left out, and one that autumn has twice comes twice', async () => {
    const spring = await siteAt(Date.parse('2026-03-28T20:00:00Z'), cron('nightly', '30 2 * * *'))
    // In the dark, as it may well be.
    spring.restart(null)
    await spring.pass(30 * HOUR)
    expect(dueOf(spring)).toEqual(['2026-03-30 02:30'])
    const autumn = await siteAt(Date.parse('2026-10-24T20:00:00Z'), cron('nightly', '30 2 * * *'))
    autumn.restart(null)
    await autumn.pass(30 * HOUR)
    expect(dueOf(autumn)).toEqual(['2026-10-25 02:30', '2026-10-25 02:30', '2026-10-26 02:30'])
  }, 120_000)

  test('what was missed while the power was off is run once, or is passed over as told', async () => {
    for (const [missed, runs] of [
      ['Once', ['2026-03-28 14:00', '2026-03-28 18:00', '2026-03-28 19:00']],
      ['Skip', ['2026-03-28 14:00', '2026-03-28 19:00']],
    ] as const) {
      const site = await siteAt(START_MS, cron('hourly', '0 * * * *', { missed }))
      await site.pass(HOUR + 60_000)
      site.clock.jump(4 * HOUR)
      site.restart(null)
      await site.pass(HOUR)
      expect(dueOf(site)).toEqual(runs)
    }
  })

  test('is Degraded by its last run, and keeps no more of them than it is told', async () => {
    const site = await siteAt(
      START_MS,
      cron('hourly', '0 * * * *', { successfulJobsHistoryLimit: 2, failedJobsHistoryLimit: 1 }),
      cron('broken', '0 * * * *', { failedJobsHistoryLimit: 1 }, { tasks: [task('main', 1, 'task:fail')] }),
    )
    expect(site.health('cronbatchjob.hourly')).toBe('none none')
    await site.pass(10_000)
    expect(site.health('cronbatchjob.hourly')).toBe('Synced Healthy')
    await site.pass(5 * HOUR)
    expect(site.health('cronbatchjob.hourly')).toBe('Synced Healthy')
    expect(site.health('cronbatchjob.broken')).toBe('Synced Degraded')
    const kept = (await site.pods()).map((line) => line.replace(/-\d+-main-0/, '')).toSorted()
    expect(kept).toEqual(['broken Failed', 'hourly Succeeded', 'hourly Succeeded'])
  })

  test('gone from Git takes its runs along; suspended starts none', async () => {
    const site = await siteAt(START_MS, cron('hourly', '0 * * * *'))
    await site.pass(HOUR + 10_000)
    expect(site.made).toHaveLength(1)
    await site.publish(cron('hourly', '0 * * * *', { suspend: true }))
    await site.pass(2 * HOUR)
    expect(site.made).toHaveLength(1)
    expect(site.health('cronbatchjob.hourly')).toBe('Synced Suspended')
    await site.publish()
    await site.pass(10_000)
    expect(await site.pods()).toEqual([])
    expect([...site.store.batch().keys()]).toEqual([])
  })

  test('spread: each site at its own moment of the window, the same one every time, also with a new process', async () => {
    const moments: number[] = []
    for (const name of ['0417', '0418', '0419', '0420']) {
      const site = await siteNamed(
        name,
        START_MS,
        cron('hourly', '0 * * * *', { spread: { window: '20m' } }),
        cron('sharp', '0 * * * *'),
      )
      // Due, and its moment may be ahead or over: neither is forgotten, nor comes twice.
      await site.pass(HOUR + 10 * 60_000)
      site.restart(null)
      await site.pass(50 * 60_000)
      site.restart(null)
      await site.pass(HOUR - 10 * 60_000)
      const late = await lateOf(site)
      const of = (cron: string): readonly number[] =>
        site.made.filter((run) => run.startsWith(cron)).map((run) => late.get(run) ?? NaN)
      const spread = of('hourly')
      const [first = NaN, second = NaN] = spread
      expect(spread, `site ${name}, runs ${site.made.join(' ')}`).toHaveLength(2)
      expect(Math.abs(second - first)).toBeLessThanOrEqual(1)
      expect(of('sharp').every((s) => s <= 1)).toBe(true)
      moments.push(first)
    }
    const [one = NaN, two = NaN, three = NaN, four = NaN] = moments.toSorted((a, b) => a - b)
    for (const apart of [one, two - one, three - two, four - three, 1_200 - four]) expect(apart).toBeGreaterThan(1)
    // Of both sorts, or the new processes above prove half of it.
    expect(one).toBeLessThan(600)
    expect(four).toBeGreaterThan(600)
  })

  test('spread: a moment that the power cut took is made up for once, and the next one is in its place again', async () => {
    const site = await siteAt(START_MS, cron('hourly', '0 * * * *', { spread: { window: '20m' } }))
    await site.pass(HOUR + 30 * 60_000)
    const [usual = NaN] = (await lateOf(site)).values()
    site.clock.jump(HOUR)
    site.restart(null)
    await site.pass(HOUR)
    expect(dueOf(site)).toEqual(['2026-03-28 14:00', '2026-03-28 15:00', '2026-03-28 16:00'])
    const late = await lateOf(site)
    const [first = NaN, second = NaN, third = NaN] = site.made.map((run) => late.get(run) ?? NaN)
    expect(first).toBe(usual)
    expect(second).toBeGreaterThanOrEqual(30 * 60)
    expect(Math.abs(third - usual)).toBeLessThanOrEqual(1)
  })
})
