import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { predict, predictOn } from '../../src/core/scheduler/predict.ts'
import { createScheduler, schedule } from '../../src/core/scheduler/scheduler.ts'
import type { CycleResult, Options } from '../../src/core/scheduler/types.ts'
import {
  after,
  belowGuarantee,
  brokenTerm,
  deeds,
  halfGang,
  needlessEviction,
  NOW_MS,
  overAllocated,
  podObject,
  snapshotOf,
  type WorldIn,
  worlds,
} from './scheduler-world.ts'

const SEED = 20260101
const OPTIONS: Options = { seed: 'site', nowMs: NOW_MS, minRunMs: 1000 }
const run = (world: WorldIn, more: Options = {}): CycleResult => schedule(snapshotOf(world), { ...OPTIONS, ...more })
const law = (numRuns: number, terms: boolean, check: (world: WorldIn) => void): void =>
  fc.assert(fc.property(worlds({ terms, limits: false }), check), { seed: SEED, numRuns })

describe('laws of the scheduler', () => {
  it('no node is over-allocated', () =>
    law(400, true, (world) => {
      expect(overAllocated(world, run(world))).toBeNull()
    }))

  it('no pod is placed where its own terms forbid it', () =>
    law(400, true, (world) => {
      expect(brokenTerm(world, run(world))).toBeNull()
    }))

  it('a gang starts whole or not at all, and loses no pod it needs', () =>
    law(400, true, (world) => {
      expect(halfGang(world, run(world))).toBeNull()
    }))

  it('no queue falls below its guarantee by a reclaim', () =>
    law(400, false, (world) => {
      expect(belowGuarantee(world, run(world))).toBeNull()
    }))

  it('nobody leaves who need not', () =>
    law(400, false, (world) => {
      // Without guarantees, so that room on nodes is all that anyone can lack.
      const free = { ...world, queues: world.queues.map(({ name, deserved }) => ({ name, deserved: deserved ?? {} })) }
      expect(needlessEviction(free, run(free))).toBeNull()
    }))

  it('the same input gives the same placement, in whatever order it comes', () =>
    law(200, true, (world) => {
      const shuffled = {
        ...world,
        nodes: world.nodes.toReversed(),
        pods: world.pods.toReversed(),
        jobs: world.jobs.toReversed(),
        queues: world.queues.toReversed(),
      }
      expect(deeds(run(shuffled))).toEqual(deeds(run(world)))
    }))

  it('with the cache off the result is the same', () =>
    law(200, true, (world) => {
      expect(run(world, { cache: 'off' })).toEqual(run(world))
    }))

  it('a second cycle on an unchanged cluster does nothing', () =>
    law(300, true, (world) => {
      const first = run(world, { actions: ['enqueue', 'allocate', 'backfill'] })
      const second = run(after(world, first, NOW_MS), { actions: ['enqueue', 'allocate', 'backfill'] })
      expect(deeds({ ...second, nominations: [] })).toEqual({ binds: [], evictions: [], nominations: [] })
      const scheduler = createScheduler(OPTIONS, snapshotOf(world))
      scheduler.cycle(NOW_MS)
      expect(scheduler.cycle(NOW_MS + 1)).toMatchObject({ binds: [], evictions: [], phases: [] })
    }))

  it('no pod is evicted for one that was evicted for it within 6 cycles', () =>
    law(300, false, (world) => {
      const gaveWay = new Map<string, Set<string>>()
      const jobOf = new Map(world.pods.map(({ name, job }) => [name, job]))
      let now = world
      for (let k = 0; k < 6; k++) {
        const nowMs = NOW_MS + k * 100_000
        const result = schedule(snapshotOf(now), { ...OPTIONS, nowMs })
        for (const { name, for: taker } of result.evictions) {
          const [loser, winner] = [jobOf.get(name) as string, jobOf.get(taker.slice(3)) as string]
          expect(gaveWay.get(winner)?.has(loser) ?? false, `${winner} and ${loser} take turns`).toBe(false)
          gaveWay.set(loser, (gaveWay.get(loser) ?? new Set()).add(winner))
        }
        now = after(now, result, nowMs)
      }
    }))

  it('what is predicted is what happens, and predicting changes nothing', () =>
    law(300, true, (world) => {
      const job = { namespace: 'ns', name: 'new', uid: 'new', queue: 'q0', minMember: 2, priority: 50, createdMs: 99 }
      const pods = [0, 1].map((k) =>
        podObject({
          name: `new-p${k}`,
          job: 'new',
          app: 'new',
          cpu: 2,
          mem: 1,
          priority: 50,
          node: null,
          startedMs: 0,
          term: 'none',
          limitS: null,
        }),
      )
      const before = snapshotOf(world)
      const kept = createScheduler(OPTIONS, before)
      const prediction = predictOn(kept, { pods, job }, NOW_MS)
      const actual = schedule({ ...before, pods: [...before.pods, ...pods], jobs: [...world.jobs, job] }, OPTIONS)
      const bound = actual.binds.filter(({ name }) => name.startsWith('new-'))
      const nominated = actual.nominations.filter(({ name }) => name.startsWith('new-'))
      expect(prediction).toEqual(predict(before, { pods, job }, OPTIONS))
      if (prediction.fit === 'now') expect(prediction.binds).toEqual(bound)
      else if (prediction.fit === 'after-evicting')
        expect(prediction.binds).toHaveLength(bound.length + nominated.length)
      else expect(bound.length + nominated.length).toBeLessThan(2)
      expect(deeds(kept.cycle(NOW_MS))).toEqual(deeds(run(world)))
    }))
})

describe('a scheduler that lives', () => {
  it('told of changes one by one, it answers as one that sees the outcome at once', () =>
    law(200, true, (world) => {
      const whole = snapshotOf(world)
      const live = createScheduler(OPTIONS, {
        ...whole,
        nodes: whole.nodes.slice(1),
        pods: whole.pods.filter((_, k) => k % 3 === 0),
      })
      const stray = podObject({ name: 'stray', job: 'j0', app: 'a1', cpu: 1, mem: 1, priority: 0, node: 'n0', startedMs: 1, term: 'apart', limitS: null }) // prettier-ignore
      live.apply({ kind: 'Pod', set: stray })
      for (const set of whole.pods.filter((_, k) => k % 3 !== 0)) live.apply({ kind: 'Pod', set })
      for (const set of whole.nodes) live.apply({ kind: 'Node', set: { ...set, metadata: { name: set['metadata'] === undefined ? '' : (set['metadata'] as { name: string }).name, labels: { zone: 'elsewhere' } } } }) // prettier-ignore
      live.apply({ kind: 'Pod', gone: { namespace: 'ns', name: 'stray' } })
      live.apply({ kind: 'Node', gone: { name: 'n0' } })
      for (const set of whole.nodes) live.apply({ kind: 'Node', set })
      for (const set of whole.pods) live.apply({ kind: 'Pod', set })
      expect(deeds(live.cycle(NOW_MS))).toEqual(deeds(run(world)))
    }))
})

describe('each law sees a planted mistake', () => {
  const pod = (name: string, job: string, node: string | null) => ({ name, job, app: job, cpu: 2, mem: 1, priority: 0, node, startedMs: 1, term: 'none' as const, limitS: null }) // prettier-ignore
  const world: WorldIn = {
    nodes: [{ name: 'n0', cpu: 4, mem: 8, pods: 9, zone: 'z0' }],
    pods: [pod('a', 'j0', 'n0'), pod('b', 'j1', null), pod('c', 'j1', null)],
    jobs: ['j0', 'j1'].map((name) => ({
      namespace: 'ns',
      name,
      queue: name === 'j0' ? 'q0' : 'q1',
      minMember: name === 'j0' ? 0 : 2,
    })),
    queues: [{ name: 'q0', guarantee: { cpu: 2 } }, { name: 'q1' }],
  }
  const nothing: CycleResult = {
    binds: [],
    evictions: [],
    nominations: [],
    phases: [],
    reasons: [],
    reservations: [],
    nextMs: null,
  }
  const bind = (name: string) => ({ namespace: 'ns', name, uid: name, node: 'n0' })
  const evict = (name: string, because: 'preempt' | 'reclaim') => ({
    ...bind(name),
    because,
    for: 'ns/b',
    breaksBudget: false,
  })

  it('two more pods than the node has room for', () =>
    expect(overAllocated(world, { ...nothing, binds: [bind('b'), bind('c')] })).toBe('n0'))
  it('two that must be apart', () => {
    const apart = { ...world, pods: world.pods.map((one) => ({ ...one, term: 'apart' as const })) }
    expect(brokenTerm(apart, { ...nothing, binds: [bind('b'), bind('c')] })).toBe('b')
  })
  it('half a gang', () => expect(halfGang(world, { ...nothing, binds: [bind('b')] })).toBe('j1'))
  it('a reclaim below the guarantee', () =>
    expect(belowGuarantee(world, { ...nothing, evictions: [evict('a', 'reclaim')] })).toBe('q0'))
  it('an eviction for a pod that fits anyway', () =>
    expect(needlessEviction(world, { ...nothing, evictions: [evict('a', 'preempt')], nominations: [bind('b')] })).toBe(
      'a',
    ))
})
