/** Two agents with one identity never both write: by the lease, each with a clock and a pace of its own. */
import { describe, expect, test } from 'vitest'
import { createLease, fenced, LEASE_MS, RENEW_MS, type Lease } from '../../../src/agent/lease.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import { refOf } from '../../../src/core/model/object.ts'
import type { Logger } from '../../../src/runtime/logger.ts'
import { VirtualClock } from '../../../src/sim/clock.ts'
import { SimCluster } from '../../../src/sim/cluster.ts'
import { configMap, createSite, liveOf, SIGNAL } from './site.ts'

const SILENT: Logger = { info() {}, warn() {}, error() {}, debug() {}, child: () => SILENT }
const place = { namespace: 'flotilla-system', name: 'flotilla-agent' }

function world() {
  const clock = new VirtualClock()
  let away = false
  const refuse = new Fault('Unreachable', 'the API server is away')
  const cluster = new SimCluster({ clock, seed: 1, interfere: () => (away ? { refuse } : undefined) })
  const changes: string[] = []
  const lease = (holder: string, storeId = holder, at: VirtualClock = clock): Lease =>
    createLease(
      { cluster, clock: at, log: SILENT },
      { place, holder, storeId, onChange: () => void changes.push(holder) },
    )
  const setAway = (value: boolean): void => {
    away = value
  }
  return { clock, cluster, lease, changes, setAway }
}

const holds = (lease: Lease): boolean => lease.state().held === 'yes'

describe('the lease', () => {
  test('is taken where nobody has it, in a namespace that is made for it, and another is told who has it', async () => {
    const { lease, cluster } = world()
    const [a, b] = [lease('a'), lease('b')]
    expect(holds(a)).toBe(false)
    await a.renew(SIGNAL)
    await b.renew(SIGNAL)
    expect([holds(a), holds(b)]).toEqual([true, false])
    expect(b.state()).toMatchObject({ held: 'no', by: 'a' })
    const kind = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' }
    const live = await cluster.get(kind, { group: 'coordination.k8s.io', kind: 'Lease', ...place }, SIGNAL)
    expect(live?.['spec']).toMatchObject({ holderIdentity: 'a', leaseDurationSeconds: 60, leaseTransitions: 0 })
  })

  test('passes on after it was silent for longer than it lasts, and never are there two', async () => {
    const { lease, clock } = world()
    const [a, b] = [lease('a'), lease('b')]
    await a.renew(SIGNAL)
    let until = 0
    for (let ms = 0; ms < 3 * LEASE_MS && !holds(b); ms += 1_000) {
      await b.renew(SIGNAL)
      expect(holds(a) && holds(b)).toBe(false)
      await clock.advance(1_000)
      until = ms
    }
    expect(holds(b)).toBe(true)
    expect(until).toBeGreaterThanOrEqual(LEASE_MS)
    await a.renew(SIGNAL)
    expect(a.state()).toMatchObject({ held: 'no', by: 'b' })
  })

  test('is not passed on while it is renewed, however the wall clock jumps', async () => {
    const { lease, clock } = world()
    const [a, b] = [lease('a'), lease('b')]
    for (let i = 0; i < 20; i++) {
      await a.renew(SIGNAL)
      clock.jump((i % 2 === 0 ? 1 : -1) * 10 * 365 * 86_400_000)
      await b.renew(SIGNAL)
      expect([holds(a), holds(b)]).toEqual([true, false])
      await clock.advance(RENEW_MS)
    }
  })

  test('ends by itself, before another may take it, where the API server is away', async () => {
    const { lease, clock, setAway } = world()
    const a = lease('a')
    await a.renew(SIGNAL)
    setAway(true)
    await clock.advance(LEASE_MS - 5_000)
    await a.renew(SIGNAL)
    expect(a.state()).toMatchObject({ held: 'no', by: null })
    setAway(false)
    await a.renew(SIGNAL)
    expect(holds(a)).toBe(true)
  })

  test('of a process that stood still for an hour is nothing: not one write, and then it is another one who has it', async () => {
    const { lease, clock, cluster } = world()
    const frozen = new VirtualClock()
    const [a, b] = [lease('a', 'a', frozen), lease('b')]
    await a.renew(SIGNAL)
    await b.renew(SIGNAL)
    await clock.advance(3_600_000)
    await b.renew(SIGNAL)
    await b.renew(SIGNAL)
    expect(holds(b)).toBe(true)
    // It wakes: its monotonic clock has gone on.
    await frozen.advance(3_600_000)
    const write = fenced(cluster, a).apply(configMap('late'), { fieldManager: 'flotilla', force: true }, SIGNAL)
    await expect(write).rejects.toMatchObject({ reason: 'Stale' })
    await a.renew(SIGNAL)
    expect([holds(a), holds(b)]).toEqual([false, true])
  })

  test('is taken at once by the next process on the same store, and only at its start', async () => {
    const { lease } = world()
    const a = lease('a', 'store-1')
    await a.renew(SIGNAL)
    const again = lease('a2', 'store-1')
    await again.renew(SIGNAL)
    expect(holds(again)).toBe(true)
    // Two copies of one store: the first one hears of it, and does not take it back by turns.
    await a.renew(SIGNAL)
    await again.renew(SIGNAL)
    expect([holds(a), holds(again)]).toEqual([false, true])
  })

  test('that was given back is had by the next at once, and one that is not ours is not given away', async () => {
    const { lease } = world()
    const [a, b] = [lease('a'), lease('b')]
    await a.renew(SIGNAL)
    await b.renew(SIGNAL)
    await b.release(SIGNAL)
    await a.renew(SIGNAL)
    expect([holds(a), holds(b)]).toEqual([true, false])
    await a.release(SIGNAL)
    expect(holds(a)).toBe(false)
    await b.renew(SIGNAL)
    expect(holds(b)).toBe(true)
  })

  test('that was seized is lost at the next renewal', async () => {
    const { lease } = world()
    const [a, b] = [lease('a'), lease('b')]
    await a.renew(SIGNAL)
    await b.seize(SIGNAL)
    await a.renew(SIGNAL)
    expect(a.state()).toMatchObject({ held: 'no', by: 'b' })
  })

  test('tells of a change once', async () => {
    const { lease, changes } = world()
    const [a, b] = [lease('a'), lease('b')]
    for (let i = 0; i < 3; i++) {
      await a.renew(SIGNAL)
      await b.renew(SIGNAL)
    }
    expect(changes).toEqual(['a', 'b'])
  })
})

describe('under the fence', () => {
  test('every verb that writes is refused without the lease, for other accounts too, and reading and dry runs are not', async () => {
    const { cluster } = world()
    const none = { state: () => ({ held: 'no', by: null, because: 'not asked for' }) as const }
    for (const under of [fenced(cluster, none), fenced(cluster, none).as({ user: 'u', groups: [] })]) {
      const it = configMap('x', {}, 'default')
      const writes = [
        under.create(it, {}, SIGNAL),
        under.apply(it, { fieldManager: 'f', force: true }, SIGNAL),
        under.patch(it, refOf(it), {}, {}, SIGNAL),
        under.delete(it, refOf(it), {}, SIGNAL),
        under.subresource(it, refOf(it), 'status', {}, SIGNAL),
      ]
      for (const write of writes) await expect(write).rejects.toMatchObject({ reason: 'Stale' })
    }
    const fence = fenced(cluster, none)
    expect(await fence.get(configMap('x'), refOf(configMap('x', {}, 'default')), SIGNAL)).toBeUndefined()
    await fence.apply(configMap('x', {}, 'default'), { fieldManager: 'f', force: true, dryRun: true }, SIGNAL)
  })

  test('an agent without the lease begins nothing, says who has it, and goes on when it has it', async () => {
    let held = false
    const site = createSite({
      lease: { state: () => (held ? { held: 'yes' } : { held: 'no', by: 'other', because: 'other holds the lease' }) },
    })
    site.hub.publish({ till: { objects: [configMap('settings')] } })
    await site.agent.exchange(SIGNAL)
    await site.agent.turn(SIGNAL)
    expect(site.writes()).toBe(0)
    const [till] = site.agent.status().workloads
    expect(till).toMatchObject({ sync: 'Waiting', begun: false, applied: null })
    expect(site.agent.status().conditions).toMatchObject([{ type: 'Cluster', message: 'other holds the lease' }])
    held = true
    await site.settle()
    expect(await liveOf(site, configMap('settings'))).toBeDefined()
    expect(site.agent.status().conditions).toEqual([])
  })
})
