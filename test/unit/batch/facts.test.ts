import { expect, test } from 'vitest'
import { batchFacts, batchView } from '../../../src/core/batch/facts.ts'
import type { SlurmJob } from '../../../src/core/batch/slurm-columns.ts'
import type { BatchView } from '../../../src/core/batch/view.ts'
import { FACTS_MAX_BYTES } from '../../../src/core/protocol/limits.ts'

const NOW_MS = Date.UTC(2026, 0, 5, 12)

const job = (id: string, more: Partial<SlurmJob> = {}): SlurmJob => ({
  id, arrayJobId: id, arrayTask: null, name: id, partition: 'night', user: 'git', account: '', cluster: 'dk-0101', code: 'R', reason: 'None',
  submitMs: NOW_MS - 90_000, startMs: NOW_MS - 60_000, endMs: null, timeLimitMs: null, usedMs: 60_000, nodes: ['n1'], nodeCount: 1, tasks: 1,
  cpus: 2, memoryMiB: 512, priority: 1, dependency: '', exitCode: '0:0', restarts: 0, comment: '', ...more,
}) // prettier-ignore

const view = (jobs: readonly SlurmJob[]): BatchView => ({
  formatVersion: 1,
  asOfMs: NOW_MS,
  site: 'dk-0101',
  timeZone: 'Europe/Copenhagen',
  jobs,
  nodes: [],
  queues: [],
  leftOut: 0,
})

test('what a site said comes out as it went in, grown older', () => {
  const jobs = [
    job('runs'),
    job('waits', { code: 'PD', reason: 'Resources', startMs: null, usedMs: 0, nodes: [] }),
    job('expected', { code: 'PD', startMs: NOW_MS + 60_000, usedMs: 0, nodes: [] }),
    job('over', { code: 'F', exitCode: '3:0', endMs: NOW_MS - 10_000, usedMs: 50_000 }),
    job('sweep_3', { arrayJobId: 'sweep', arrayTask: '3' }),
  ]
  const facts = batchFacts(view(jobs)) ?? undefined
  expect(batchView('dk-0101', facts, NOW_MS)).toEqual(view(jobs))
  const later = batchView('dk-0101', facts, NOW_MS + 5_000)
  expect(later?.jobs.map(({ usedMs }) => usedMs)).toEqual([65_000, 0, 0, 50_000, 65_000])
})

test('time alone is no news', () => {
  const later = { ...view([job('runs', { usedMs: 99_000 })]), asOfMs: NOW_MS + 39_000 }
  expect(batchFacts(later)).toEqual(batchFacts(view([job('runs')])))
})

test('a site with 10,000 jobs stays within its bounds, and says how many it left out', () => {
  const facts = batchFacts(view(Array.from({ length: 10_000 }, (_, i) => job(`job-${i}`, { comment: 'ü'.repeat(20) }))))
  expect(Buffer.byteLength(JSON.stringify({ batch: facts }))).toBeLessThan(FACTS_MAX_BYTES)
  const shown = batchView('dk-0101', facts ?? undefined, NOW_MS)
  expect(shown?.jobs.length).toBeGreaterThan(20)
  expect((shown?.jobs.length ?? 0) + (shown?.leftOut ?? 0)).toBe(10_000)
})

test('a site without batch says nothing; what another version says is not read', () => {
  expect(batchFacts(view([]))).toBeNull()
  expect(batchView('a', { format: 99 }, NOW_MS)).toBeUndefined()
  expect(batchView('a', undefined, NOW_MS)).toBeUndefined()
})
