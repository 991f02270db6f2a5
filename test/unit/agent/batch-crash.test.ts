import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { openAgentStore } from '../../../src/adapters/store/agent-store.ts'
import { createAgent } from '../../../src/agent/agent.ts'
import type { JsonObject } from '../../../src/core/model/json.ts'
import { VirtualClock } from '../../../src/sim/clock.ts'
import { SimCluster } from '../../../src/sim/cluster.ts'
import { NOW_MS } from '../protocol/fixed.ts'
import { batchJob, cron, queue, task, told } from './batch-site.ts'
import { HubStub, IDENTITY, SIGNAL } from './site.ts'

/**
 * The process is killed at every write of the journal and at every call that changes the cluster: before it, and after it with its
 * answer lost. A new one opens the same files. Every pod's place has to have completed, and none to have run to its end twice.
 */
const HOME = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

class Killed extends Error {}

interface Killer {
  calls: number
  dead: boolean
  readonly at: number
  readonly when: 'before' | 'after'
}

function mortal<T extends object>(target: T, names: readonly string[], killer: Killer): T {
  return new Proxy(target, {
    get(object, name) {
      const value: unknown = Reflect.get(object, name)
      if (typeof value !== 'function') return value
      const call = value.bind(object) as (...args: unknown[]) => unknown
      if (!names.includes(String(name))) return call
      return (...args: unknown[]) => {
        if (killer.dead) throw new Killed()
        const mine = ++killer.calls === killer.at
        if (mine) killer.dead = true
        if (mine && killer.when === 'before') throw new Killed()
        const result = call(...args)
        if (mine && result instanceof Promise) return result.then(() => Promise.reject(new Killed()))
        if (mine) throw new Killed()
        return result
      }
    },
  })
}

/** Pods that ran to their end, by name, over the whole life of the cluster. */
async function live(
  at: number,
  when: Killer['when'],
): Promise<{ readonly ended: readonly string[]; readonly calls: number }> {
  const clock = new VirtualClock(NOW_MS)
  const cluster = new SimCluster({ clock, seed: 1 })
  const hub = new HubStub(() => clock.nowMs())
  const dir = mkdtempSync(join(HOME, 'flotilla-batch-'))
  folders.push(dir)
  const ended: string[] = []
  const eye = new AbortController()
  void watchEnds(cluster, ended, eye.signal)
  hub.publish(
    told(
      queue('night'),
      batchJob('train', { queue: 'night', tasks: [task('a', 2), task('b')], plugins: { svc: [] } }),
      batchJob('after', { dependency: [{ afterok: ['train'] }] }),
      cron('minutely', '* * * * *'),
    ),
  )
  const killer: Killer = { calls: 0, dead: false, at, when }
  for (const life of [killer, null]) {
    const store = openAgentStore(dir)
    if (store.identity() === null) store.saveIdentity(IDENTITY)
    const agent = createAgent(
      {
        cluster: life === null ? cluster : mortal(cluster, ['create', 'delete'], life),
        link: hub,
        store: life === null ? store : mortal(store, ['write'], life),
        clock,
        log: SILENT,
        machine: { bootId: 'boot', uptimeMs: () => clock.monotonicMs() },
        random: () => 0.5,
      },
      { version: '0.1.0' },
    )
    const stop = new AbortController()
    await agent.exchange(SIGNAL).catch(() => undefined)
    const running = agent.run(stop.signal).catch(() => undefined)
    for (let i = 0; i < 40 && !killer.dead; i++) await clock.advance(500)
    if (life === null) await clock.advance(200_000)
    stop.abort()
    await running
    agent.stop()
    store.close()
  }
  eye.abort()
  return { ended, calls: killer.calls }
}

const SILENT = { info() {}, warn() {}, error() {}, debug() {}, child: () => SILENT }

async function watchEnds(cluster: SimCluster, ended: string[], signal: AbortSignal): Promise<void> {
  const seen = new Set<string>()
  try {
    for await (const event of cluster.watch({ apiVersion: 'v1', kind: 'Pod' }, '0', signal)) {
      if (event.type === 'bookmark') continue
      const { uid = '', name } = event.object.metadata
      const status = event.object['status'] as JsonObject | undefined
      if (status?.['phase'] !== 'Succeeded' || seen.has(uid)) continue
      seen.add(uid)
      ended.push(name)
    }
  } catch {
    // The test is over.
  }
}

function judge(ended: readonly string[]): void {
  const once = ended.filter((name) => !name.startsWith('minutely'))
  expect(once.toSorted()).toEqual(['after-main-0', 'train-a-0', 'train-a-1', 'train-b-0'])
  const runs = ended.filter((name) => name.startsWith('minutely'))
  expect(new Set(runs).size).toBe(runs.length)
  const minutes = runs.map((name) => Number(name.split('-')[1])).toSorted((a, b) => a - b)
  expect(minutes.map((minute, i) => minute - i)).toEqual(minutes.map(() => minutes[0]))
  expect(minutes.length).toBeGreaterThanOrEqual(3)
}

test('killed at any write, before or after, every job completes once and none is lost', async () => {
  const { ended, calls } = await live(Infinity, 'before')
  judge(ended)
  expect(calls).toBeGreaterThan(15)
  for (let at = 1; at <= calls; at++)
    for (const when of ['before', 'after'] as const) {
      const { ended } = await live(at, when)
      try {
        judge(ended)
      } catch (error) {
        throw new Error(`killed ${when} call ${at}: ${ended.join(' ')}`, { cause: error })
      }
    }
}, 120_000)
