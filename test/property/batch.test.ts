import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readRanges } from '../../src/core/batch/arrays.ts'
import { BATCH_LIMITS, type JobAction } from '../../src/core/batch/types.ts'
import { jobSpec, Site, task } from '../unit/batch/site.ts'

/** What may happen to a site between two steps, in any order. */
type Event =
  | { readonly do: 'run' | 'succeed' | 'evict' | 'refuse' | 'vanish' | 'nodeGone' | 'delete'; readonly pod: number }
  | { readonly do: 'fail'; readonly pod: number; readonly exitCode: number }
  | { readonly do: 'settle' | 'die' | 'wake' | 'nothing' }
  | { readonly do: 'later'; readonly ms: number }
  | { readonly do: 'command'; readonly action: JobAction; readonly id: number }
  | { readonly do: 'queue'; readonly to: 'open' | 'held' | 'drained' }

const pod = fc.nat(7)
const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom('run' as const, 'succeed' as const), pod }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'evict' as const,
        'refuse' as const,
        'vanish' as const,
        'nodeGone' as const,
        'delete' as const,
      ),
      pod,
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('fail' as const), pod, exitCode: fc.constantFrom(1, 3) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom('settle' as const, 'die' as const, 'wake' as const, 'wake' as const, 'nothing' as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('later' as const), ms: fc.constantFrom(1_000, 60_000, 900_000) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('command' as const),
      action: fc.constantFrom<JobAction>('AbortJob', 'ResumeJob', 'RestartJob', 'CompleteJob', 'TerminateJob'),
      id: fc.nat(30),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('queue' as const),
      to: fc.constantFrom('open' as const, 'open' as const, 'held' as const, 'drained' as const),
    }),
  },
)

/** Nothing that ends the job: what completed has time to be asked for again. */
const calm: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constantFrom('run' as const, 'succeed' as const, 'vanish' as const), pod }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('evict' as const, 'refuse' as const), pod }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('settle' as const, 'die' as const, 'wake' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('command' as const),
      action: fc.constant('RestartJob' as const),
      id: fc.nat(30),
    }),
  },
)

const policy = fc.record({
  event: fc.constantFrom('PodFailed', 'PodEvicted', 'TaskCompleted', 'TaskFailed', 'Unknown'),
  action: fc.constantFrom('RestartJob', 'RestartTask', 'RestartPod', 'AbortJob', 'TerminateJob', 'CompleteJob'),
})
const shape = fc.record({
  kind: fc.constantFrom('gang' as const, 'array' as const),
  replicas: fc.integer({ min: 1, max: 5 }),
  least: fc.integer({ min: 1, max: 5 }),
  maxRetry: fc.nat(3),
  policies: fc.uniqueArray(policy, { selector: (one) => one.event, maxLength: 3 }),
  limit: fc.constantFrom(undefined, '10m'),
})
type Shape = typeof shape extends fc.Arbitrary<infer T> ? T : never

function siteOf({ kind, replicas, least, maxRetry, policies, limit }: Shape): Site {
  const more = { maxRetry, policies, ...(limit === undefined ? {} : { timeLimit: limit }) }
  if (kind === 'array') return new Site(jobSpec({ ...more, array: { range: `0-${replicas - 1}`, maxParallel: 2 } }))
  return new Site(jobSpec({ ...more, minAvailable: Math.min(least, replicas), tasks: [task('main', replicas)] }))
}

function happen(site: Site, what: Event): void {
  if (what.do === 'settle') site.settle()
  else if (what.do === 'later') site.later(what.ms)
  else if (what.do === 'die') site.step([], true)
  else if (what.do === 'wake') site.wake()
  else if (what.do === 'command') site.step([{ id: `${what.id}`, action: what.action }])
  else if (what.do === 'queue') setQueue(site, what.to)
  else if ('pod' in what) happenTo(site, what)
}

function setQueue(site: Site, to: 'open' | 'held' | 'drained'): void {
  const wait = { reason: 'Hold', detail: `queue night is ${to}` } as const
  site.around = to === 'open' ? {} : { queue: { open: false, wait }, drain: to === 'drained' }
}

function happenTo(site: Site, what: Event & { readonly pod: number }): void {
  const name = [...site.pods.keys()][what.pod]
  if (name === undefined) return
  const { phase } = site.pod(name)
  const isAlive = phase === 'Pending' || phase === 'Running'
  if (what.do === 'vanish') site.pods.delete(name)
  else if (!isAlive) return
  else if (what.do === 'run') site.run(name)
  else if (what.do === 'succeed') site.succeed(name)
  else if (what.do === 'fail') site.fail(name, what.exitCode)
  else if (what.do === 'evict') site.evict(name)
  else if (what.do === 'refuse' && phase === 'Pending') site.set(name, { phase: 'Failed', reason: 'OutOfcpu' })
  else if (what.do === 'delete') site.set(name, { terminating: true })
  else if (what.do === 'nodeGone' && site.pod(name).node !== '') site.set(name, { nodeGone: true })
}

/** Each failure is answered by a restart of some kind. */
const restless = fc
  .tuple(shape, fc.constantFrom('RestartJob', 'RestartTask', 'RestartPod'))
  .map(([how, action]): Shape => ({ ...how, policies: [{ event: 'PodFailed', action }] }))

const OVER = new Set(['Completed', 'Terminated', 'Failed'])
const runs = { numRuns: 250 }

/** Runs the events and asks a question after every one. */
function law(
  ask: (site: Site, before: { readonly phase: string; readonly made: number }) => void,
  shapes: fc.Arbitrary<Shape> = shape,
) {
  return fc.property(shapes, fc.array(event, { maxLength: 60 }), (how, events) => {
    const site = siteOf(how).step()
    for (const what of events) {
      const before = { phase: site.phase, made: site.made.length }
      happen(site, what)
      site.step()
      ask(site, before)
    }
  })
}

describe('laws of batch jobs, whatever happens', () => {
  test('no index is made again once it completed, in one version of a gang and ever in an array', () => {
    fc.assert(
      fc.property(shape, fc.array(calm, { minLength: 20, maxLength: 60 }), (how, events) => {
        const site = siteOf({ ...how, policies: [], replicas: 5 }).step()
        const completed = new Map<string, number>()
        for (const what of events) {
          const made = site.made.length
          happen(site, what)
          site.step()
          for (const name of site.made.slice(made)) {
            const index = name.slice(0, name.indexOf('@'))
            const version = completed.get(index)
            const isAgain = version !== undefined && (how.kind === 'array' || version === site.record.version)
            expect(isAgain ? name : 'new').toBe('new')
          }
          for (const index of readRanges(site.record.done['main'] ?? '')) {
            const name = `train-main-${index}`
            if (how.kind === 'gang' || !completed.has(name)) completed.set(name, site.record.version)
          }
        }
      }),
      runs,
    )
  })

  test('what is over stays over, and makes no pods', () => {
    fc.assert(
      law((site, before) => {
        if (!OVER.has(before.phase)) return
        expect(site.phase).toBe(before.phase)
        expect(site.made).toHaveLength(before.made)
      }),
      runs,
    )
  })

  test('an abort is left by a resume or an end alone', () => {
    fc.assert(
      law((site, before) => {
        if (before.phase === 'Aborted')
          expect(['Aborted', 'Restarting', 'Pending', 'Terminating', 'Terminated']).toContain(site.phase)
      }),
      runs,
    )
  })

  test('retries are bounded', () => {
    fc.assert(
      law((site) => {
        const { maxRetry } = site.spec
        expect(site.record.retries).toBeLessThanOrEqual(Math.max(1, maxRetry))
        if (site.record.retries >= Math.max(1, maxRetry)) expect(site.phase).toBe('Failed')
        for (const slot of Object.values(site.record.slots)) expect(slot.retries).toBeLessThan(Math.max(1, maxRetry))
      }, restless),
      runs,
    )
  })

  test('every job that neither runs nor is over says why', () => {
    fc.assert(
      law((site) => {
        const { phase } = site.record
        if (phase !== 'Running' && !OVER.has(phase)) expect(site.last?.wait?.detail ?? '').not.toBe('')
        if (OVER.has(phase)) expect(site.record.because?.says ?? '').not.toBe('')
      }),
      runs,
    )
  })

  test('a step repeated at the same moment on the same site changes nothing', () => {
    fc.assert(
      law((site) => {
        const { record } = site
        site.step().step()
        const after = site.record
        site.step()
        expect(site.record).toBe(after)
        expect(after.retries).toBe(record.retries)
      }),
      runs,
    )
  })

  test('never more at once than an array may run, nor two pods of one name', () => {
    fc.assert(
      law((site) => {
        const alive = [...site.pods.values()].filter((one) => one.phase === 'Pending' || one.phase === 'Running')
        if (site.spec.array !== null) expect(alive.length).toBeLessThanOrEqual(2)
        expect(site.last?.create.length ?? 0).toBeLessThanOrEqual(BATCH_LIMITS.createsPerStep)
      }),
      runs,
    )
  })

  test('left alone, with pods that succeed, every job ends or waits for a person', () => {
    fc.assert(
      fc.property(shape, fc.array(event, { maxLength: 30 }), (how, events) => {
        const site = siteOf(how).step()
        for (const what of events) {
          happen(site, what)
          site.step()
        }
        site.around = {}
        for (let turn = 0; turn < 60 && !OVER.has(site.phase) && site.phase !== 'Aborted'; turn++) {
          for (const one of site.pods.values())
            if (one.terminating || one.nodeGone) site.pods.delete(one.name)
            else if (one.phase === 'Pending') site.run(one.name)
            else if (one.phase === 'Running') site.succeed(one.name)
          site.wake()
        }
        expect([...OVER, 'Aborted']).toContain(site.phase)
      }),
      runs,
    )
  })
})
