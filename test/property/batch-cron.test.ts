import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  beginCron,
  type CronRecord,
  lastActivation,
  parseCronBatchJob,
  spreadOf,
  stepCron,
} from '../../src/core/batch/cron.ts'
import type { JobFact } from '../../src/core/batch/dependencies.ts'
import { nextActivation, parseCron } from '../../src/core/calendar/cron.ts'
import type { JsonObject } from '../../src/core/model/json.ts'
import { jobDocument } from '../unit/batch/site.ts'

function cronSpec(spec: JsonObject) {
  const { targets: _, ...job } = jobDocument()['spec'] as JsonObject
  const document = { metadata: { name: 'nightly' }, spec: { targets: [], jobTemplate: { spec: job }, ...spec } }
  const parsed = parseCronBatchJob(document)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.refused))
  return parsed.value
}

const ZONE = 'Europe/Copenhagen'
const HOUR_MS = 3_600_000
/** Around both changes of the clock: 29 March and 25 October 2026. */
const starts = fc.constantFrom(Date.UTC(2026, 2, 28, 20), Date.UTC(2026, 9, 24, 20), Date.UTC(2026, 5, 1))
const schedules = fc.constantFrom(
  '30 1 * * *',
  '30 2 * * *',
  '*/20 * * * *',
  '15 */2 * * *',
  '0 3 * * 1-6',
  '@every 45m',
)

/** The naive way: every activation, one after the other. */
function activations(schedule: string, fromMs: number, toMs: number): readonly number[] {
  const parsed = parseCron(schedule)
  if (!parsed.ok) throw new Error(parsed.because)
  const all: number[] = []
  for (
    let at = nextActivation(parsed.schedule, fromMs, ZONE);
    at !== undefined && at <= toMs;
    at = nextActivation(parsed.schedule, at, ZONE)
  )
    all.push(at)
  return all
}

describe('laws of cron', () => {
  test('each due instant is run exactly once, over restarts that lose the last words, across clock changes', () => {
    fc.assert(
      fc.property(
        starts,
        schedules,
        fc.constantFrom(undefined, '7m'),
        fc.array(fc.constantFrom('made', 'lost-step', 'lost-jobs'), { minLength: 100, maxLength: 100 }),
        (fromMs, schedule, window, fates) => {
          const spec = cronSpec({ schedule, ...(window === undefined ? {} : { spread: { window } }) })
          const where = { site: 'store-17', timeZone: ZONE }
          const jitterMs = spreadOf(where.site, 'default/nightly', spec.spreadMs)
          let record: CronRecord = beginCron(fromMs)
          const jobs = new Map<string, JobFact>()
          const made: string[] = []
          const promised = new Set<string>()
          let nowMs = fromMs
          for (const fate of [...fates, 'made' as const]) {
            nowMs += 15 * 60_000
            const step = stepCron(spec, record, [...jobs.values()], where, nowMs)
            // The power may go before the journal is written, or between the journal and the jobs.
            if (fate === 'lost-step') continue
            ;({ record } = step)
            for (const run of record.owed) promised.add(run.name)
            if (fate === 'lost-jobs') continue
            for (const { name } of step.start) {
              if (jobs.has(name)) continue
              made.push(name)
              jobs.set(name, {
                namespace: 'default',
                name,
                uid: name,
                group: 'nightly',
                phase: 'Completed',
                createdMs: nowMs,
              })
            }
          }
          expect(new Set(made).size).toBe(made.length)
          expect(stepCron(spec, record, [...jobs.values()], where, nowMs).record.owed).toEqual([])
          // What was journalled is made, however late.
          expect(made.toSorted()).toEqual([...promised].toSorted())
          const names = activations(schedule, fromMs, nowMs - jitterMs).map((ms) => `nightly-${ms / 60_000}`)
          for (const name of made) expect(names).toContain(name)
          // Only what came while others were lost may have been passed over.
          if (!fates.includes('lost-step') && !fates.includes('lost-jobs')) expect(made).toEqual(names)
        },
      ),
      { numRuns: 6 },
    )
  })

  test('with every step kept, nothing is passed over and nothing doubled', () => {
    fc.assert(
      fc.property(starts, schedules, fc.integer({ min: 600_000, max: 1_200_000 }), (fromMs, schedule, stepMs) => {
        const spec = cronSpec({ schedule })
        let record = beginCron(fromMs)
        const made: number[] = []
        const endMs = fromMs + 30 * HOUR_MS
        for (let nowMs = fromMs; nowMs <= endMs; nowMs += stepMs) {
          const step = stepCron(spec, { ...record, owed: [] }, [], { site: 's', timeZone: ZONE }, nowMs)
          ;({ record } = step)
          made.push(...step.start.map((run) => run.dueMs))
        }
        const lastMs = record.lastMs ?? fromMs
        expect(made).toEqual(activations(schedule, fromMs, lastMs))
        expect(activations(schedule, lastMs, endMs - stepMs)).toEqual([])
      }),
      { numRuns: 10 },
    )
  })

  test('the last activation is the last of all', () => {
    fc.assert(
      fc.property(
        starts,
        fc.constantFrom('0,1 0 * * *', '59 23 31 12 *', '*/7 3 1 * *', '@every 45m', '30 2 * * 0'),
        fc.integer({ min: 0, max: 40 * 24 }),
        (fromMs, schedule, hours) => {
          const parsed = parseCron(schedule)
          if (!parsed.ok) throw new Error(parsed.because)
          const untilMs = fromMs + hours * HOUR_MS
          expect(lastActivation(parsed.schedule, fromMs, untilMs, ZONE)).toBe(
            activations(schedule, fromMs, untilMs).at(-1),
          )
        },
      ),
      { numRuns: 60 },
    )
  })

  test('a site starts in its window, always at the same place, and many sites are spread evenly', () => {
    const windowMs = 90 * 60_000
    const places = Array.from({ length: 3_000 }, (_, i) => spreadOf(`store-${i}`, 'default/nightly', windowMs))
    const tenths = Array.from(
      { length: 10 },
      (_, i) => places.filter((ms) => Math.floor((ms / windowMs) * 10) === i).length,
    )
    for (const count of tenths) expect(count).toBeGreaterThan(230)
    expect(spreadOf('store-7', 'default/nightly', windowMs)).toBe(places[7])
    expect(Math.max(...places)).toBeLessThan(windowMs)
  })
})
