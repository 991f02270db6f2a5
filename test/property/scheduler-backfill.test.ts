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
  /** After the start; jobs are in the order in which they come. */
  readonly comesS: number
}
interface Stream {
  readonly nodes: readonly number[]
  readonly jobs: readonly JobIn[]
}
interface Played {
  readonly startMs: readonly number[]
  readonly endMs: number
  /** Cpu seconds done when the last job had come: what is there to be done does not run out before. */
  readonly done: number
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
        comesS: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 120 })),
      }),
      { minLength: 3, maxLength: 14 },
    ),
  })
  // Every job can run on the empty cluster.
  .map(({ nodes, jobs }) => ({
    nodes,
    jobs: jobs
      .filter(({ cpu, pods }) => nodes.reduce((sum, size) => sum + Math.floor(size / cpu), 0) >= pods)
      .toSorted((a, b) => a.comesS - b.comesS),
  }))

const comesMs = (job: JobIn): number => START_MS + job.comesS * 1000
const lengthMs = (job: JobIn): number => Math.max(1000, Math.round(job.limitS * 10 * job.takes))

function snapshotAt(
  stream: Stream,
  runs: ReadonlyMap<string, { readonly node: string; readonly startedMs: number }>,
  done: ReadonlySet<number>,
  nowMs: number,
): Snapshot {
  const pods: JsonObject[] = []
  for (const [j, job] of stream.jobs.entries()) {
    if (done.has(j) || comesMs(job) > nowMs) continue
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
      done.has(j) || comesMs(job) > nowMs
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

/** What a job has done by then, in cpu seconds. */
function doneBy(job: JobIn, startMs: number, byMs: number): number {
  return (job.cpu * job.pods * Math.max(0, Math.min(byMs, startMs + lengthMs(job)) - startMs)) / 1000
}

/** Plays a stream to its end: a cycle whenever a job comes or ends. */
function play(stream: Stream, reservations: number, cycle: (snapshot: Snapshot, nowMs: number) => CycleResult): Played {
  const runs = new Map<string, { node: string; startedMs: number }>()
  const started = new Map<number, number>()
  const done = new Set<number>()
  const promisedMs = new Map<number, number>()
  let nowMs = START_MS
  while (done.size < stream.jobs.length) {
    const result = cycle(snapshotAt(stream, runs, done, nowMs), nowMs)
    for (const { name, node } of result.binds) {
      runs.set(name, { node, startedMs: nowMs })
      started.set(Number(name.slice(1, name.indexOf('-'))), nowMs)
    }
    // The head is the first that waits; its promise stands whatever comes after it.
    const j = stream.jobs.findIndex((job, one) => !started.has(one) && comesMs(job) <= nowMs)
    const head = result.reservations.find(({ name }) => name === `j${j}`)
    if (head !== undefined && !promisedMs.has(j)) promisedMs.set(j, head.startMs)
    const ends = [...started]
      .filter(([one]) => !done.has(one))
      .map(([one, at]) => [one, at + lengthMs(stream.jobs[one] as JobIn)] as const)
    const coming = stream.jobs.map(comesMs).filter((atMs) => atMs > nowMs)
    if (ends.length + coming.length === 0)
      throw new Error(`nothing runs and ${stream.jobs.length - done.size} jobs wait (${reservations})`)
    nowMs = Math.min(...ends.map(([, end]) => end), ...coming)
    for (const [one, end] of ends)
      if (end <= nowMs) {
        done.add(one)
        for (const name of runs.keys()) if (name.startsWith(`j${one}-`)) runs.delete(name)
      }
  }
  const startMs = stream.jobs.map((_, j) => started.get(j) as number)
  return { startMs, endMs: nowMs, done: workDone(stream, startMs), promisedMs }
}

function workDone(stream: Stream, startMs: readonly number[]): number {
  const lastMs = Math.max(...stream.jobs.map(comesMs))
  return stream.jobs.reduce((sum, job, j) => sum + doneBy(job, startMs[j] as number, lastMs), 0)
}

const ours =
  (reservations: number) =>
  (snapshot: Snapshot, nowMs: number): CycleResult =>
    schedule(snapshot, { nowMs, reservations, seed: 'backfill', actions: ['allocate', 'backfill'] })

/** When each job starts under Slurm's rule on one node: the head reserved, others past it only where they do not touch that. */
function reference(stream: Stream): Pick<Played, 'endMs' | 'done'> {
  const size = stream.nodes[0] as number
  const startMs: number[] = []
  const waiting = stream.jobs.map((job, j) => ({ job, j, cpu: job.cpu * job.pods, limitMs: job.limitS * 1000 }))
  let running: { cpu: number; endMs: number; limitMs: number }[] = []
  let nowMs = START_MS
  while (waiting.length > 0 || running.length > 0) {
    running = running.filter(({ endMs }) => endMs > nowMs)
    const free = (atMs: number): number =>
      size - running.filter(({ limitMs }) => limitMs > atMs).reduce((sum, { cpu }) => sum + cpu, 0)
    let shadowMs = Number.POSITIVE_INFINITY
    let spare = 0
    for (let k = 0; k < waiting.length;) {
      const { job, j, cpu, limitMs } = waiting[k] as (typeof waiting)[number]
      if (comesMs(job) > nowMs) break
      const fits = cpu <= size - running.reduce((sum, one) => sum + one.cpu, 0)
      const passes = shadowMs === Number.POSITIVE_INFINITY || nowMs + limitMs <= shadowMs || cpu <= spare
      if (fits && passes) {
        if (shadowMs !== Number.POSITIVE_INFINITY && nowMs + limitMs > shadowMs) spare -= cpu
        running.push({ cpu, endMs: nowMs + lengthMs(job), limitMs: nowMs + limitMs })
        startMs[j] = nowMs
        waiting.splice(k, 1)
        continue
      }
      if (shadowMs === Number.POSITIVE_INFINITY) {
        shadowMs = Math.min(...running.map((one) => one.limitMs).filter((atMs) => free(atMs) >= cpu))
        spare = free(shadowMs) - cpu
      }
      k++
    }
    const next = [...running.map(({ endMs }) => endMs), ...waiting.map(({ job }) => comesMs(job)).filter((atMs) => atMs > nowMs)] // prettier-ignore
    if (next.length > 0) nowMs = Math.min(...next)
  }
  return { endMs: nowMs, done: workDone(stream, startMs) }
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
  const stream: Stream = { nodes: [4], jobs: [{ cpu: 3, pods: 1, limitS: 10, takes: 100, comesS: 0 }, { cpu: 4, pods: 1, limitS: 10, takes: 100, comesS: 0 }, { cpu: 1, pods: 1, limitS: 60, takes: 100, comesS: 0 }] } // prettier-ignore
  const promised = play(stream, 4, ours(4)).promisedMs.get(1) as number
  expect(promised).toBe(START_MS + 10_000)
  expect(play(stream, 0, ours(0)).startMs[1]).toBeGreaterThan(promised)
})

/** Of many streams on one node: cpu seconds done when the last job came, and seconds until all were done. */
function compared(reservations: number): { readonly ours: Sums; readonly theirs: Sums } {
  const sums = { ours: { done: 0, seconds: 0 }, theirs: { done: 0, seconds: 0 } }
  for (const stream of fc.sample(streams, { seed: SEED, numRuns: 300 })) {
    const [size = 0] = stream.nodes
    const one = { nodes: [size], jobs: stream.jobs.filter(({ cpu, pods }) => cpu * pods <= size) }
    if (one.jobs.length === 0) continue
    for (const [who, played] of [
      ['ours', play(one, reservations, ours(reservations))],
      ['theirs', reference(one)],
    ] as const) {
      // prettier-ignore
      sums[who].done += played.done
      sums[who].seconds += (played.endMs - START_MS) / 1000
    }
  }
  return sums
}
interface Sums {
  readonly done: number
  readonly seconds: number
}

it('over many streams of jobs that come one by one, as much is done as by a Slurm-style backfill, and as soon', () => {
  const { ours: mine, theirs } = compared(8)
  expect(mine.done).toBeGreaterThanOrEqual(theirs.done)
  expect(mine.seconds).toBeLessThanOrEqual(theirs.seconds)
})

it('that law sees a planted mistake: where nothing may pass a job that waits, less is done', () => {
  const { theirs } = compared(1)
  let done = 0
  for (const stream of fc.sample(streams, { seed: SEED, numRuns: 300 })) {
    const [size = 0] = stream.nodes
    const one = { nodes: [size], jobs: stream.jobs.filter(({ cpu, pods }) => cpu * pods <= size) }
    if (one.jobs.length === 0) continue
    const strict = (snapshot: Snapshot, nowMs: number): CycleResult =>
      ours(1)({ ...snapshot, queues: [{ name: 'default', dequeueStrategy: 'fifo' }] }, nowMs)
    done += play(one, 1, strict).done
  }
  expect(done).toBeLessThan(theirs.done)
})
