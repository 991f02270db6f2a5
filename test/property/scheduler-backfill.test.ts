import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import type { JsonObject } from '../../src/core/model/json.ts'
import { schedule } from '../../src/core/scheduler/scheduler.ts'
import type { CycleResult, Snapshot } from '../../src/core/scheduler/types.ts'

const SEED = 20260102
const START_MS = 1_000_000

interface JobIn {
  readonly cpu: number
  /** Pods that start together. */
  readonly pods: number
  readonly limitS: number
  /** Percent of the limit that it really takes. */
  readonly takes: number
}
interface Stream {
  readonly nodes: readonly number[]
  readonly jobs: readonly JobIn[]
}
interface Played {
  readonly startMs: readonly number[]
  readonly endMs: number
  /** By job, the first start it was promised. */
  readonly promisedMs: ReadonlyMap<number, number>
}

const streams: fc.Arbitrary<Stream> = fc
  .record({
    nodes: fc.array(fc.integer({ min: 4, max: 8 }), { minLength: 1, maxLength: 3 }),
    jobs: fc.array(
      fc.record({
        cpu: fc.integer({ min: 1, max: 6 }),
        pods: fc.integer({ min: 1, max: 3 }),
        limitS: fc.integer({ min: 5, max: 60 }),
        takes: fc.integer({ min: 10, max: 100 }),
      }),
      { minLength: 3, maxLength: 9 },
    ),
  })
  // Every job can run on the empty cluster.
  .map(({ nodes, jobs }) => ({
    nodes,
    jobs: jobs.filter(({ cpu, pods }) => nodes.reduce((sum, size) => sum + Math.floor(size / cpu), 0) >= pods),
  }))

const lengthMs = (job: JobIn): number => Math.max(1000, Math.round(job.limitS * 10 * job.takes))

function snapshotAt(
  stream: Stream,
  runs: ReadonlyMap<string, { readonly node: string; readonly startedMs: number }>,
  done: ReadonlySet<number>,
): Snapshot {
  const pods: JsonObject[] = []
  for (const [j, job] of stream.jobs.entries()) {
    if (done.has(j)) continue
    for (let p = 0; p < job.pods; p++) {
      const name = `j${j}-p${p}`
      const run = runs.get(name)
      pods.push({
        metadata: { namespace: 'ns', name, uid: name, annotations: { 'flotilla.dev/job': `j${j}` } },
        spec: {
          schedulerName: 'flotilla',
          terminationGracePeriodSeconds: 0,
          containers: [{ resources: { requests: { cpu: String(job.cpu) } } }],
          ...(run === undefined ? {} : { nodeName: run.node }),
        },
        status:
          run === undefined
            ? { phase: 'Pending' }
            : { phase: 'Running', startTime: new Date(run.startedMs).toISOString() },
      })
    }
  }
  return {
    nodes: stream.nodes.map((cpu, n) => ({
      metadata: { name: `n${n}` },
      status: { allocatable: { cpu: String(cpu), memory: '9Gi', pods: '99' } },
    })),
    pods,
    jobs: stream.jobs.flatMap((job, j) =>
      done.has(j)
        ? []
        : [
            {
              namespace: 'ns',
              name: `j${j}`,
              uid: `j${String(j).padStart(3, '0')}`,
              minMember: job.pods,
              createdMs: j,
              phase: 'Inqueue' as const,
              timeLimitMs: job.limitS * 1000,
            },
          ],
    ),
  }
}

/** Plays a stream to its end: a cycle whenever a job ends. All jobs are there from the start, in order. */
function play(stream: Stream, reservations: number, cycle: (snapshot: Snapshot, nowMs: number) => CycleResult): Played {
  const runs = new Map<string, { node: string; startedMs: number }>()
  const started = new Map<number, number>()
  const done = new Set<number>()
  const promisedMs = new Map<number, number>()
  let nowMs = START_MS
  while (done.size < stream.jobs.length) {
    const result = cycle(snapshotAt(stream, runs, done), nowMs)
    for (const { name, node } of result.binds) {
      runs.set(name, { node, startedMs: nowMs })
      started.set(Number(name.slice(1, name.indexOf('-'))), nowMs)
    }
    // The head is the first that waits; its promise stands whatever comes after it.
    const j = stream.jobs.findIndex((_, one) => !started.has(one))
    const head = result.reservations.find(({ name }) => name === `j${j}`)
    if (head !== undefined && !promisedMs.has(j)) promisedMs.set(j, head.startMs)
    const ends = [...started]
      .filter(([one]) => !done.has(one))
      .map(([one, at]) => [one, at + lengthMs(stream.jobs[one] as JobIn)] as const)
    if (ends.length === 0)
      throw new Error(`nothing runs and ${stream.jobs.length - done.size} jobs wait (${reservations})`)
    nowMs = Math.min(...ends.map(([, end]) => end))
    for (const [one, end] of ends)
      if (end <= nowMs) {
        done.add(one)
        for (const name of runs.keys()) if (name.startsWith(`j${one}-`)) runs.delete(name)
      }
  }
  return { startMs: stream.jobs.map((_, j) => started.get(j) as number), endMs: nowMs, promisedMs }
}

const ours =
  (reservations: number) =>
  (snapshot: Snapshot, nowMs: number): CycleResult =>
    schedule(snapshot, { nowMs, reservations, seed: 'backfill', actions: ['allocate', 'backfill'] })

/** When each job starts under Slurm's rule on one node: the head reserved, others past it only where they do not touch that. */
function reference(stream: Stream): number {
  const size = stream.nodes[0] as number
  const waiting = stream.jobs
    .map((job, j) => ({ j, cpu: job.cpu * job.pods, limitMs: job.limitS * 1000, lengthMs: lengthMs(job) }))
    .filter(({ cpu }) => cpu <= size)
  let running: { cpu: number; endMs: number; limitMs: number }[] = []
  let nowMs = START_MS
  while (waiting.length > 0 || running.length > 0) {
    running = running.filter(({ endMs }) => endMs > nowMs)
    const free = (atMs: number): number =>
      size - running.filter(({ limitMs }) => limitMs > atMs).reduce((sum, { cpu }) => sum + cpu, 0)
    let shadowMs = Number.POSITIVE_INFINITY
    let spare = 0
    for (let k = 0; k < waiting.length;) {
      const job = waiting[k] as (typeof waiting)[number]
      const fits = job.cpu <= size - running.reduce((sum, { cpu }) => sum + cpu, 0)
      const passes = shadowMs === Number.POSITIVE_INFINITY || nowMs + job.limitMs <= shadowMs || job.cpu <= spare
      if (fits && passes) {
        if (shadowMs !== Number.POSITIVE_INFINITY && nowMs + job.limitMs > shadowMs) spare -= job.cpu
        running.push({ cpu: job.cpu, endMs: nowMs + job.lengthMs, limitMs: nowMs + job.limitMs })
        waiting.splice(k, 1)
        continue
      }
      if (shadowMs === Number.POSITIVE_INFINITY) {
        shadowMs = Math.min(...running.map(({ limitMs }) => limitMs).filter((atMs) => free(atMs) >= job.cpu))
        spare = free(shadowMs) - job.cpu
      }
      k++
    }
    if (running.length > 0) nowMs = Math.min(...running.map(({ endMs }) => endMs))
  }
  return nowMs
}

it('a backfilled job never delays the start that the job at the head was promised', () =>
  fc.assert(
    fc.property(streams, (stream) => {
      const { startMs, promisedMs } = play(stream, 4, ours(4))
      for (const [j, promised] of promisedMs) expect(startMs[j], `j${j}`).toBeLessThanOrEqual(promised)
    }),
    { seed: SEED, numRuns: 250 },
  ))

it('the law sees a planted mistake: without reservations some head waits longer than it was promised', () => {
  const stream: Stream = { nodes: [4], jobs: [{ cpu: 3, pods: 1, limitS: 10, takes: 100 }, { cpu: 4, pods: 1, limitS: 10, takes: 100 }, { cpu: 1, pods: 1, limitS: 60, takes: 100 }] } // prettier-ignore
  const promised = play(stream, 4, ours(4)).promisedMs.get(1) as number
  expect(promised).toBe(START_MS + 10_000)
  expect(play(stream, 0, ours(0)).startMs[1]).toBeGreaterThan(promised)
})

it('over many streams on one node no time is lost against a Slurm-style backfill', () => {
  let ourMs = 0
  let theirMs = 0
  for (const stream of fc.sample(streams, { seed: SEED, numRuns: 200 })) {
    const [size = 0] = stream.nodes
    const one = { nodes: [size], jobs: stream.jobs.filter(({ cpu, pods }) => cpu * pods <= size) }
    if (one.jobs.length === 0) continue
    ourMs += play(one, 1, ours(1)).endMs - START_MS
    theirMs += reference(one) - START_MS
  }
  expect(ourMs).toBeLessThanOrEqual(theirMs)
})
