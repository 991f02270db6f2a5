import { describe, expect, test } from 'vitest'
import { beginCron, type CronRecord, parseCronBatchJob, runSpec, stepCron } from '../../../src/core/batch/cron.ts'
import type { JobFact } from '../../../src/core/batch/dependencies.ts'
import type { JobPhase } from '../../../src/core/batch/types.ts'
import type { JsonObject } from '../../../src/core/model/json.ts'
import { jobDocument } from './site.ts'

const job = jobDocument()['spec'] as JsonObject
function parse(spec: JsonObject) {
  const { targets: _, ...template } = job
  return parseCronBatchJob({
    metadata: { name: 'nightly' },
    spec: { schedule: '30 2 * * *', jobTemplate: { spec: template }, ...spec },
  })
}
function cron(spec: JsonObject = {}) {
  const parsed = parse(spec)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.refused))
  return parsed.value
}

const ZONE = 'Europe/Copenhagen'
const at = (text: string) => Date.parse(text)
const run = (name: string, phase: JobPhase, createdMs = 0): JobFact => ({
  namespace: 'default',
  name,
  uid: name,
  group: 'nightly',
  phase,
  createdMs,
})
const look = (
  spec: JsonObject,
  since: string,
  now: string,
  jobs: readonly JobFact[] = [],
  record: CronRecord = beginCron(at(since)),
) => stepCron(cron(spec), record, jobs, { site: 'store-7', timeZone: ZONE }, at(now))
const due = (step: { readonly start: readonly { readonly dueMs: number }[] }) =>
  step.start.map((one) => new Date(one.dueMs).toISOString())

describe('cron', () => {
  test("by the site's clock, winter and summer", () => {
    expect(due(look({}, '2026-01-05T00:00Z', '2026-01-05T01:30Z'))).toEqual(['2026-01-05T01:30:00.000Z'])
    expect(due(look({}, '2026-07-05T00:00Z', '2026-07-05T00:30Z'))).toEqual(['2026-07-05T00:30:00.000Z'])
  })
  test('a wall time that is skipped in spring is left out that day, and one that comes twice runs twice', () => {
    expect(due(look({}, '2026-03-28T12:00Z', '2026-03-29T20:00Z'))).toEqual([])
    const first = look({}, '2026-10-24T12:00Z', '2026-10-25T00:30Z')
    expect(due(first)).toEqual(['2026-10-25T00:30:00.000Z'])
    expect(due(look({}, '', '2026-10-25T01:30Z', [], { ...first.record, owed: [] }))).toEqual([
      '2026-10-25T01:30:00.000Z',
    ])
  })
  test('after days in the dark: once, the latest; or not at all', () => {
    expect(due(look({ missed: 'Once' }, '2026-01-01T00:00Z', '2026-01-05T12:00Z'))).toEqual([
      '2026-01-05T01:30:00.000Z',
    ])
    const skipped = look({ missed: 'Skip' }, '2026-01-01T00:00Z', '2026-01-05T12:00Z')
    expect(due(skipped)).toEqual([])
    expect(skipped.record.lastMs).toBe(at('2026-01-05T01:30Z'))
    expect(due(look({ startingDeadlineSeconds: 3600 }, '2026-01-01T00:00Z', '2026-01-05T12:00Z'))).toEqual([])
  })
  test('what was journalled and not made is given again, and under the same name', () => {
    const first = look({}, '2026-01-05T00:00Z', '2026-01-05T01:30Z')
    const again = look({}, '', '2026-01-05T01:40Z', [], first.record)
    expect(again.start).toEqual(first.start)
    expect(again.record).toBe(first.record)
    const name = first.start[0]?.name ?? ''
    expect(name).toBe(`nightly-${at('2026-01-05T01:30Z') / 60_000}`)
    expect(look({}, '', '2026-01-05T01:50Z', [run(name, 'Running')], again.record).start).toEqual([])
  })
  test('Forbid waits for the run before and says so, Replace ends it, Allow does not care', () => {
    const jobs = [run('nightly-1', 'Running')]
    const forbid = look({ concurrencyPolicy: 'Forbid' }, '2026-01-05T00:00Z', '2026-01-05T01:30Z', jobs)
    expect(forbid).toMatchObject({ start: [], wait: { detail: 'the run before, nightly-1, is not over' } })
    expect(
      due(look({ concurrencyPolicy: 'Forbid' }, '', '2026-01-05T03:00Z', [run('nightly-1', 'Failed')], forbid.record)),
    ).toHaveLength(1)
    expect(
      look({ concurrencyPolicy: 'Forbid', missed: 'Skip' }, '2026-01-05T00:00Z', '2026-01-05T01:30Z', jobs).record
        .lastMs,
    ).not.toBeNull()
    expect(look({ concurrencyPolicy: 'Replace' }, '2026-01-05T00:00Z', '2026-01-05T01:30Z', jobs)).toMatchObject({
      cancel: ['nightly-1'],
      start: [{}],
    })
    expect(look({}, '2026-01-05T00:00Z', '2026-01-05T01:30Z', jobs)).toMatchObject({ cancel: [], start: [{}] })
  })
  test('suspended: nothing, with its reason', () => {
    expect(look({ suspend: true }, '2026-01-05T00:00Z', '2026-01-05T03:00Z')).toMatchObject({
      start: [],
      wait: { reason: 'Suspended' },
    })
  })
  test('of finished runs three that completed and one that failed are kept', () => {
    const jobs = [1, 2, 3, 4, 5].map((n) => run(`nightly-${n}`, n === 5 ? 'Failed' : 'Completed', n))
    expect(look({}, '2026-01-05T00:00Z', '2026-01-05T00:00Z', [...jobs, run('nightly-0', 'Failed', 0)]).forget).toEqual(
      ['nightly-1', 'nightly-0'],
    )
  })
  test("a run is a job of its own name in the cron's group", () => {
    expect(runSpec(cron(), { name: 'nightly-7', dueMs: 0, startMs: 0 })).toMatchObject({
      ok: true,
      value: { name: 'nightly-7', group: 'nightly' },
    })
  })
  const refused: Readonly<Record<string, JsonObject>> = {
    'a schedule of four fields': { schedule: '1 2 3 4' },
    'a zone that is none': { timeZone: 'Mars/Olympus' },
    'a template that is no job': { jobTemplate: { spec: { queue: 'q', tasks: [] } } },
  }
  for (const [says, spec] of Object.entries(refused))
    test(`${says} is refused`, () => expect(parse(spec).ok).toBe(false))
})
