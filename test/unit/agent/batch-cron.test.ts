import type { Manifest } from '../../../src/core/model/object.ts'
import { describe, expect, test } from 'vitest'
import { batchSite, cron, task, type BatchSite } from './batch-site.ts'

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

async function siteAt(startMs: number, ...objects: readonly Manifest[]): Promise<BatchSite> {
  const site = batchSite()
  site.clock.jump(startMs - site.clock.nowMs())
  site.hub.publish(
    Object.fromEntries(objects.map((object) => [`cronbatchjob.${object.metadata.name}`, { objects: [object] }])),
    { issued: new Date(startMs).toISOString(), expires: '2029-01-01T00:00:00Z' },
  )
  await site.agent.exchange(new AbortController().signal)
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
})
