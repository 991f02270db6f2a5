import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { predictOn } from '../../src/core/scheduler/predict.ts'
import type { PluginFactory } from '../../src/core/scheduler/plugin.ts'
import { createScheduler, schedule, type LiveScheduler } from '../../src/core/scheduler/scheduler.ts'
import type { CycleResult, Options, Snapshot } from '../../src/core/scheduler/types.ts'
import {
  after,
  belowGuarantee,
  brokenTerm,
  deeds,
  halfGang,
  meanwhile,
  needlessEviction,
  NOW_MS,
  overAllocated,
  podObject,
  type PodIn,
  snapshotOf,
  unfairReclaim,
  type WorldIn,
  worlds,
} from './scheduler-world.ts'

const SEED = 20260101
const OPTIONS: Options = { seed: 'site', nowMs: NOW_MS, minRunMs: 1000 }
const run = (world: WorldIn, more: Options = {}): CycleResult => schedule(snapshotOf(world), { ...OPTIONS, ...more })
const law = (numRuns: number, terms: boolean, check: (world: WorldIn) => void): void =>
  fc.assert(fc.property(worlds({ terms, limits: false }), check), { seed: SEED, numRuns })

// The laws that compare runs: each takes what runs, so that a broken one can be put in its place.

type Run = (world: WorldIn, more?: Options) => CycleResult
type Make = (snapshot: Snapshot) => LiveScheduler

function schedulerOf(snapshot: Snapshot): LiveScheduler {
  return createScheduler(OPTIONS, snapshot)
}

function anyOrder(world: WorldIn, runs: Run): void {
  const shuffled = {
    ...world,
    nodes: world.nodes.toReversed(),
    pods: world.pods.toReversed(),
    jobs: world.jobs.toReversed(),
    queues: world.queues.toReversed(),
  }
  expect(deeds(runs(shuffled))).toEqual(deeds(runs(world)))
}

function withoutCache(world: WorldIn, runs: Run): void {
  expect(runs(world, { cache: 'off' })).toEqual(runs(world))
}

function nothingTwice(world: WorldIn, runs: Run): void {
  const first = runs(world, { actions: ['enqueue', 'allocate', 'backfill'] })
  const second = runs(after(world, first, NOW_MS), { actions: ['enqueue', 'allocate', 'backfill'] })
  expect(deeds({ ...second, nominations: [] })).toEqual({ binds: [], evictions: [], nominations: [] })
  const scheduler = createScheduler(OPTIONS, snapshotOf(world))
  scheduler.cycle(NOW_MS)
  expect(scheduler.cycle(NOW_MS + 1)).toMatchObject({ binds: [], evictions: [], phases: [] })
}

function nobodyTwice(world: WorldIn, runs: Run): void {
  const first = runs(world)
  const promised = new Set(first.nominations.map(({ name }) => `ns/${name}`))
  expect(runs(meanwhile(world, first, NOW_MS)).evictions.filter((one) => promised.has(one.for))).toEqual([])
}

function noTurns(world: WorldIn, runs: Run): void {
  const gaveWay = new Map<string, Set<string>>()
  const jobOf = new Map(world.pods.map(({ name, job }) => [name, job]))
  let now = world
  for (let k = 0; k < 6; k++) {
    const nowMs = NOW_MS + k * 100_000
    const result = runs(now, { nowMs })
    for (const { name, for: taker } of result.evictions) {
      const [loser, winner] = [jobOf.get(name) as string, jobOf.get(taker.slice(3)) as string]
      expect(gaveWay.get(winner)?.has(loser) ?? false, `${winner} and ${loser} take turns`).toBe(false)
      gaveWay.set(loser, (gaveWay.get(loser) ?? new Set()).add(winner))
    }
    now = after(now, result, nowMs)
  }
  expect(runs(now, { nowMs: NOW_MS + 600_000 }).evictions, 'it comes to rest').toEqual([])
}

const NEW_POD: PodIn = { name: '', job: 'new', app: 'new', cpu: 2, mem: 1, priority: 50, node: null, startedMs: 0, term: 'none', limitS: null } // prettier-ignore

function asPredicted(world: WorldIn, make: Make): void {
  const job = { namespace: 'ns', name: 'new', uid: 'new', queue: 'q0', minMember: 2, priority: 50, createdMs: 99 }
  const pods = [0, 1].map((k) => podObject({ ...NEW_POD, name: `new-p${k}` }))
  const before = snapshotOf(world)
  const kept = make(before)
  const prediction = predictOn(kept, { pods, job }, NOW_MS)
  const actual = make({ ...before, pods: [...before.pods, ...pods], jobs: [...world.jobs, job] }).cycle(NOW_MS)
  const bound = actual.binds.filter(({ name }) => name.startsWith('new-'))
  const nominated = actual.nominations.filter(({ name }) => name.startsWith('new-'))
  expect(prediction).toEqual(predictOn(make(before), { pods, job }, NOW_MS))
  if (prediction.fit === 'now') expect(prediction.binds).toEqual(bound)
  else if (prediction.fit === 'after-evicting') expect(prediction.binds).toHaveLength(bound.length + nominated.length)
  else expect(bound.length + nominated.length).toBeLessThan(2)
  expect(deeds(kept.cycle(NOW_MS))).toEqual(deeds(make(before).cycle(NOW_MS)))
}

/** Everybody in one queue without limits, and nobody bound to a gang: room on nodes is all that anyone can lack. */
function ofOneQueue(world: WorldIn): WorldIn {
  return {
    ...world,
    queues: [{ name: 'q0' }],
    jobs: world.jobs.map((one) => ({ ...one, queue: 'q0', minMember: 0 })),
  }
}

/** All jobs may be let past what is reserved for another, and leave for it; one queue has no share of its own. */
function givingWay(world: WorldIn): WorldIn {
  return {
    ...world,
    queues: world.queues.map((queue) => (queue.name === 'q2' ? { name: 'q2' } : queue)),
    jobs: world.jobs.map((one) => ({ ...one, preemptible: true })),
  }
}

/** As it would be seen without the word of who leaves and who was promised what. */
function podOf({ name, job, app, cpu, mem, priority, node, startedMs, term, limitS }: PodIn): PodIn {
  return { name, job, app, cpu, mem, priority, node, startedMs, term, limitS }
}

/** Shares by weight, and no other. */
function weighed(world: WorldIn): WorldIn {
  return { ...world, queues: world.queues.map(({ name, deserved }) => ({ name, weight: Number(deserved?.['cpu']) })) }
}

/** Two of the queues under one that has a share of its own. */
function inTree(world: WorldIn): WorldIn {
  const queues = world.queues.map((queue) => (queue.name === 'q2' ? queue : { ...queue, parent: 'top' }))
  return { ...world, queues: [{ name: 'top', deserved: { cpu: 5 } }, ...queues] }
}

/** The last queue goes first, whatever it has. */
function ranked(world: WorldIn): WorldIn {
  return { ...world, queues: world.queues.map((queue, k) => ({ ...queue, priority: k })) }
}

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

  it('who takes back stays within what it deserves, and who loses at or above it', () =>
    law(400, false, (world) => {
      expect(unfairReclaim(world, run(world))).toBeNull()
      expect(unfairReclaim(inTree(world), run(inTree(world)))).toBeNull()
    }))

  it('while those who were asked to leave are leaving, nobody else is asked for the same', () =>
    law(300, false, (world) => {
      nobodyTwice(world, run)
      nobodyTwice(weighed(world), run)
      nobodyTwice(ranked(world), run)
    }))

  it('nobody leaves who need not', () =>
    law(400, false, (world) => {
      // Without guarantees, so that room on nodes is all that anyone can lack.
      const free = { ...world, queues: world.queues.map(({ name, deserved }) => ({ name, deserved: deserved ?? {} })) }
      expect(needlessEviction(free, run(free))).toBeNull()
    }))

  it('the same input gives the same placement, in whatever order it comes', () =>
    law(200, true, (world) => anyOrder(world, run)))

  it('with the cache off the result is the same', () => {
    law(200, true, (world) => withoutCache(world, run))
    law(200, false, (world) => withoutCache(world, run))
  })

  it('a second cycle on an unchanged cluster does nothing', () => law(300, true, (world) => nothingTwice(world, run)))

  it('no pod is evicted for one that was evicted for it within 6 cycles', () =>
    law(300, false, (world) => noTurns(world, run)))

  it('nor where queues have weights only, or stand in a tree', () =>
    law(200, false, (world) => {
      noTurns(weighed(world), run)
      noTurns(inTree(world), run)
    }))

  it('nor where some queues go first whatever they hold', () => law(300, false, (world) => noTurns(ranked(world), run)))

  it('nor where jobs give way to what is reserved for others', () =>
    law(300, false, (world) => noTurns(givingWay(world), run)))

  it('what is predicted is what happens, and predicting changes nothing', () =>
    law(300, true, (world) => asPredicted(world, schedulerOf)))

  it('a job before all others gets room exactly where it would with all that may leave gone', () =>
    fc.assert(
      fc.property(
        worlds({ terms: false, limits: false }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 4 }),
        (world, count, cpu) => {
          // prettier-ignore
          const { pods: all, ...crowd } = ofOneQueue(world)
          // Nobody else waits: who is allocated in this very cycle cannot be asked to leave in it.
          const running = all.filter(({ node }) => node !== null)
          const pods = Array.from({ length: count }, (_, k) => ({ ...NEW_POD, name: `top-p${k}`, job: 'top', app: 'top', cpu, priority: 1000 })) // prettier-ignore
          const top = { namespace: 'ns', name: 'top', uid: 'top', queue: 'q0', minMember: count, priority: 1000, createdMs: 99 } // prettier-ignore
          const result = run({ ...crowd, pods: [...running, ...pods], jobs: [...crowd.jobs, top] })
          const given = [...result.binds, ...result.nominations].filter(({ name }) => name.startsWith('top-')).length
          // The oracle: everybody leaves, then as many as fit on each empty node.
          const room = crowd.nodes.reduce((sum, node) => sum + Math.min(Math.floor(node.cpu / cpu), node.mem, node.pods), 0) // prettier-ignore
          expect(given).toBe(room >= count ? count : 0)
        },
      ),
      { seed: SEED, numRuns: 300 },
    ))
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
  it('a reclaim that leaves the loser below what it deserves, or gives the taker more than that', () => {
    const deserves = (first: number, second: number): WorldIn => ({
      ...world,
      queues: [
        { name: 'q0', deserved: { cpu: first } },
        { name: 'q1', deserved: { cpu: second } },
      ],
    })
    const reclaim = { ...nothing, evictions: [evict('a', 'reclaim')], nominations: [bind('b'), bind('c')] }
    expect(unfairReclaim(deserves(2, 4), reclaim)).toBe('q0 fell below what it deserves')
    expect(unfairReclaim(deserves(0, 2), reclaim)).toBe('q1 took more than it deserves')
    expect(unfairReclaim(deserves(0, 4), reclaim)).toBeNull()
  })
  it('a gang that left whole for a pod that fits anyway', () => {
    const gang = { ...world, jobs: world.jobs.map((job) => ({ ...job, minMember: 1 })) }
    expect(needlessEviction(gang, { ...nothing, evictions: [evict('a', 'reclaim')], nominations: [bind('b')] })).toBe(
      'j0',
    )
  })
  it('a reclaim below the guarantee', () =>
    expect(belowGuarantee(world, { ...nothing, evictions: [evict('a', 'reclaim')] })).toBe('q0'))
  it('an eviction for a pod that fits anyway', () =>
    expect(needlessEviction(world, { ...nothing, evictions: [evict('a', 'preempt')], nominations: [bind('b')] })).toBe(
      'a',
    ))
})

describe('each law that compares runs sees a planted mistake', () => {
  const CALM = ['priority', 'gang', 'conformance', 'overcommit', 'sla', 'capacity', 'predicates', 'nodeorder', 'backfill'] // prettier-ignore
  const tier = CALM.map((name) => ({ name }))
  const fault = { name: 'fault' }

  /** A scheduler with a plugin that is wrong, beside the others or before them. */
  const broken =
    (plugin: PluginFactory, where: 'beside' | 'before' = 'beside') =>
    (snapshot: Snapshot, more: Options = {}): LiveScheduler =>
      createScheduler(
        { ...OPTIONS, tiers: where === 'beside' ? [[...tier, fault]] : [[fault], tier], ...more },
        snapshot,
        { fault: plugin },
      )
  const runs =
    (make: ReturnType<typeof broken>): Run =>
    (world, more = {}) =>
      make(snapshotOf(world), more).cycle(more.nowMs ?? NOW_MS)
  const fails = (terms: boolean, check: (world: WorldIn) => void): void =>
    expect(() => law(200, terms, check)).toThrow(/Property failed/)

  it('a score by the order in which nodes came', () =>
    fails(true, (world) => anyOrder(world, runs(broken(() => ({ localScore: (_podClass, node) => 1000 * node }))))))

  it('an answer that is remembered, of a filter that changes its mind', () => {
    let asked = 0
    const fickle = broken(() => ({ filters: [{ kind: 'node', refuses: () => (asked++ % 3 === 0 ? 'Zone' : null) }] }))
    fails(true, (world) => withoutCache(world, runs(fickle)))
  })

  it('a cycle that does the half and leaves the rest to the next', () => {
    let cycles = 0
    const lazy = broken(() => {
      const skips = cycles++ % 2 === 0
      return { filters: [{ kind: 'live', refuses: (_podClass, node) => (skips && node === 0 ? 'Zone' : null) }] }
    })
    fails(true, (world) => nothingTwice(world, runs(lazy)))
  })

  it('pods that give way to those who are no better', () => {
    const rude = broken(() => ({ preemptable: (_task, candidates) => candidates }), 'before')
    fails(false, (world) => noTurns(ofOneQueue(world), runs(rude)))
  })

  it('a scheduler that does not see who is leaving, and for whom', () => {
    const blind: Run = (world, more) => run({ ...world, pods: world.pods.map(podOf) }, more)
    fails(false, (world) => nobodyTwice(world, blind))
  })

  it('a queue that takes whatever it asks for, whoever holds it', () => {
    const greedy = broken(
      () => ({ preemptive: () => true, reclaimable: (_task, candidates) => candidates, queueOrder: () => 0 }),
      'before',
    )
    fails(false, (world) => {
      expect(unfairReclaim(world, runs(greedy)(world))).toBeNull()
    })
    fails(false, (world) => noTurns(weighed(world), runs(greedy)))
    fails(false, (world) => noTurns(ranked(world), runs(greedy)))
    fails(false, (world) => noTurns(inTree(world), runs(greedy)))
  })

  it('jobs that give way to a reservation before those who come before them', () => {
    const proud = broken(() => ({ jobOrder: (a, b) => b.createdMs - a.createdMs }), 'before')
    fails(false, (world) => noTurns(givingWay(ofOneQueue(world)), runs(proud)))
  })

  it('a prediction that is not asked of the same world', () => {
    let cycles = 0
    const moody = broken(() => {
      const closes = cycles++ % 3 === 0
      return { filters: [{ kind: 'live', refuses: () => (closes ? 'Zone' : null) }] }
    })
    fails(true, (world) => asPredicted(world, moody))
  })
})
