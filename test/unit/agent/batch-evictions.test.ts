import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../../src/core/model/json.ts'
import type { Manifest } from '../../../src/core/model/object.ts'
import { batchJob, type BatchSite, batchSite, queue } from './batch-site.ts'
import { SIGNAL } from './site.ts'

const MINUTE = 60_000
/** So long a pod runs; a victim has run for long enough to be asked before that. */
const RUN_MS = 5 * MINUTE

/** One node of 4 cores: the site's own scheduler places and evicts. */
async function smallSite(): Promise<BatchSite> {
  const site = batchSite({
    agent: { scheduler: 'on' },
    sim: {
      controllers: {
        nodes: [{ name: 'n1', capacity: { cpu: '4', memory: '8Gi', pods: '20' } }],
        delays: { jobMs: RUN_MS, stopMs: 5_000 },
      },
    },
  })
  for (const [name, value] of [
    ['low', 10],
    ['high', 1_000],
  ] as const)
    await site.cluster.create({ apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', metadata: { name }, value }, {}, SIGNAL) // prettier-ignore
  return site
}

/** Pods of 2 cores: two of them fill the site. */
function job(name: string, spec: JsonObject = {}, replicas = 2): Manifest {
  const containers = [{ name: 'main', image: 'task:1', resources: { requests: { cpu: '2' } } }]
  const tasks = [{ name: 'main', replicas, template: { spec: { containers } } }]
  return batchJob(name, { tasks, preemptible: true, ...spec })
}

/** Names of pods that are marked as a disruption's target, looked at while time passes. */
async function marksWhile(site: BatchSite, ms: number): Promise<ReadonlySet<string>> {
  const marked = new Set<string>()
  for (let passed = 0; passed < ms; passed += 1_000) {
    await site.pass(1_000)
    const { items } = await site.cluster.list({ apiVersion: 'v1', kind: 'Pod', namespace: 'shop' }, SIGNAL)
    for (const { metadata, status } of items) {
      const { conditions = [] } = status as { readonly conditions?: readonly JsonObject[] }
      if (conditions.some(({ type, status: is }) => type === 'DisruptionTarget' && is === 'True'))
        marked.add(metadata.name)
    }
  }
  return marked
}

const timesOf = (site: BatchSite, ...pods: readonly string[]): readonly number[] =>
  pods.map((pod) => site.made.filter((name) => name === pod).length)

/** Two full sites' worth of work: both have run to their end, whoever went first. */
async function bothToTheirEnd(site: BatchSite): Promise<void> {
  await site.pass(3 * RUN_MS)
  expect(await site.pods()).toEqual(['high', 'low'].flatMap((name) => [0, 1].map((k) => `${name}-main-${k} Succeeded`)))
  expect(site.health('batchjob.low')).toBe('Synced Healthy')
  expect(site.health('batchjob.high')).toBe('Synced Healthy')
}

const LOW = ['low-main-0', 'low-main-1']
const HIGH = ['high-main-0', 'high-main-1']
const RUNS_LONG_ENOUGH_MS = 90_000

describe('a job of more worth at a full site', () => {
  const QUEUES = [queue('night'), queue('day', { deserved: { cpu: '4', memory: '8Gi' } })]
  test('of a higher priority takes the place of one that may give way, which waits again and is run to its end once', async () => {
    const site = await smallSite()
    const low = job('low', { priorityClassName: 'low' })
    const high = job('high', { priorityClassName: 'high' })
    await site.publish(low)
    await site.pass(RUNS_LONG_ENOUGH_MS)
    expect(await site.pods()).toEqual(LOW.map((pod) => `${pod} Running`))
    await site.publish(low, high)
    expect([...(await marksWhile(site, 30_000))].toSorted()).toEqual(LOW)
    expect(await site.pods()).toEqual([...HIGH.map((pod) => `${pod} Running`), ...LOW.map((pod) => `${pod} Pending`)])
    expect(site.health('batchjob.high')).toBe('Synced Healthy')
    expect(site.health('batchjob.low')).toMatch(/^Waiting Progressing Capacity/)
    await bothToTheirEnd(site)
    expect(timesOf(site, ...LOW, ...HIGH)).toEqual([2, 2, 1, 1])
  })

  test('of a queue that has less than its share takes what another has beyond its gang`s least', async () => {
    const site = await smallSite()
    const low = job('low', { queue: 'night', minAvailable: 1 })
    const high = job('high', { queue: 'day' }, 1)
    await site.publish(...QUEUES, low)
    await site.pass(RUNS_LONG_ENOUGH_MS)
    await site.publish(...QUEUES, low, high)
    const [evicted = '', ...more] = await marksWhile(site, 30_000)
    expect([LOW.includes(evicted), more]).toEqual([true, []])
    const [other = ''] = LOW.filter((pod) => pod !== evicted)
    expect((await site.pods()).toSorted()).toEqual(
      [`${evicted} Pending`, `${other} Running`, 'high-main-0 Running'].toSorted(),
    )
    await site.pass(3 * RUN_MS)
    expect(await site.pods()).toEqual(['high-main-0', ...LOW].map((pod) => `${pod} Succeeded`))
    expect(timesOf(site, evicted, other, 'high-main-0')).toEqual([2, 1, 1])
    expect(site.health('batchjob.low')).toBe('Synced Healthy')
  })

  const waits: Readonly<Record<string, readonly [low: JsonObject, high: JsonObject]>> = {
    'of the same priority': [{ priorityClassName: 'high' }, { priorityClassName: 'high' }],
    'of a lower priority': [{ priorityClassName: 'high' }, { priorityClassName: 'low' }],
    'of a queue that takes from one that is not to be taken from': [{ queue: 'kept' }, { queue: 'day' }],
    'whose place has one that does not give way': [{ priorityClassName: 'low', preemptible: false }, { priorityClassName: 'high' }], // prettier-ignore
  }
  for (const [which, [low, high]] of Object.entries(waits))
    test(`${which} waits for the end of the other`, async () => {
      const site = await smallSite()
      const queues = [...QUEUES, queue('kept', { reclaimable: false })]
      await site.publish(...queues, job('low', low))
      await site.pass(RUNS_LONG_ENOUGH_MS)
      await site.publish(...queues, job('low', low), job('high', high))
      expect([...(await marksWhile(site, 30_000))]).toEqual([])
      expect(site.health('batchjob.high')).toMatch(/^Waiting Progressing Capacity/)
      await bothToTheirEnd(site)
      expect(timesOf(site, ...LOW, ...HIGH)).toEqual([1, 1, 1, 1])
    })
})

describe('a pod of a job that is evicted while another goes on', () => {
  const answers: Readonly<
    Record<string, { readonly policies: JsonObject[]; readonly made: number; readonly ends: string }>
  > = {
    // prettier-ignore
    'is made anew alone where nothing is said': { policies: [], made: 3, ends: 'Synced Healthy' },
    'takes the whole job to its start where that is its policy': { policies: [{ event: 'PodEvicted', action: 'RestartJob' }], made: 4, ends: 'Synced Healthy' }, // prettier-ignore
    'ends the job where that is its policy': { policies: [{ event: 'PodEvicted', action: 'TerminateJob' }], made: 2, ends: 'Synced Degraded' }, // prettier-ignore
  }
  for (const [what, { policies, made, ends }] of Object.entries(answers))
    test(what, async () => {
      const site = await smallSite()
      // Each of its pods is of use alone, and one restart is all that it may cost.
      const low = job('low', { priorityClassName: 'low', minAvailable: 1, maxRetry: 1, policies })
      const high = job('high', { priorityClassName: 'high' }, 1)
      await site.publish(low)
      await site.pass(RUNS_LONG_ENOUGH_MS)
      await site.publish(low, high)
      expect((await marksWhile(site, 30_000)).size).toBe(1)
      await site.pass(4 * RUN_MS)
      expect(site.made.filter((name) => name.startsWith('low'))).toHaveLength(made)
      expect(site.made.filter((name) => name.startsWith('high'))).toHaveLength(1)
      expect(site.health('batchjob.low')).toBe(ends)
    })
})
