import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { createAgent, type Agent } from '../../../src/agent/agent.ts'
import { openAgentStore } from '../../../src/adapters/store/agent-store.ts'
import type { AgentStore } from '../../../src/agent/ports.ts'
import { normalise } from '../../../src/core/diff/normalise.ts'
import type { Cluster } from '../../../src/core/kube/cluster.ts'
import { canonicalJson } from '../../../src/core/model/json.ts'
import { refKey, refOf, type Manifest } from '../../../src/core/model/object.ts'
import { VirtualClock } from '../../../src/sim/clock.ts'
import { SimCluster } from '../../../src/sim/cluster.ts'
import { NOW_MS } from '../protocol/fixed.ts'
import { configMap, deployment, HubStub, IDENTITY, job, SIGNAL } from './site.ts'

/**
 * A process is killed at every call that leaves it: before the call, and after the call with its answer lost. Everything that
 * was a killed process's stays dead; a new one opens the same files. It must end where an undisturbed one ends.
 */
/** In memory where there is such a place: what is shown here is order, and not the disk. */
const HOME = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

const STORE_WRITES = ['accept', 'putBlobs', 'sweep', 'write'] as const
const CLUSTER_CALLS = ['list', 'get', 'apply', 'create', 'patch', 'delete', 'kinds'] as const
type When = 'before' | 'after'

class Killed extends Error {}

interface Killer {
  calls: number
  dead: boolean
  readonly at: number
  readonly when: When
}

/** The same object whose named methods count, and die where they are told to. */
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
        if (!(result instanceof Promise)) {
          if (mine) throw new Killed()
          return result
        }
        return result.then((answer: unknown) => {
          if (mine || killer.dead) throw new Killed()
          return answer
        })
      }
    },
  })
}

interface World {
  readonly clock: VirtualClock
  readonly cluster: SimCluster
  readonly hub: HubStub
  readonly dir: string
}

function start(world: World, killer: Killer | null): { readonly agent: Agent; readonly store: AgentStore } {
  const { clock, hub, cluster, dir } = world
  const store = openAgentStore(dir)
  if (store.identity() === null) store.saveIdentity(IDENTITY)
  const agent = createAgent(
    {
      cluster: killer === null ? cluster : mortal<Cluster>(cluster, CLUSTER_CALLS, killer),
      link: hub,
      store: killer === null ? store : mortal(store, STORE_WRITES, killer),
      clock,
      log: { info() {}, warn() {}, error() {}, debug() {}, child: () => null as never },
      machine: { bootId: 'boot', uptimeMs: () => clock.monotonicMs() },
      random: () => 0.5,
    },
    { version: '0.1.0' },
  )
  return { agent, store }
}

async function live(world: World, agent: Agent): Promise<void> {
  await agent.exchange(SIGNAL)
  for (let i = 0; i < 8; i++) {
    const { nextMs } = await agent.turn(SIGNAL)
    await world.clock.advance(Math.min(Math.max(nextMs, 100), 15_000))
  }
}

const KINDS = ['v1/ConfigMap', 'v1/Namespace', 'apps/v1/Deployment', 'batch/v1/Job'].map((text) => {
  const at = text.lastIndexOf('/')
  return { apiVersion: text.slice(0, at), kind: text.slice(at + 1) }
})

/** What is there, by content, and whether the inventory owns exactly what it should. */
async function endOf(world: World, store: AgentStore): Promise<unknown> {
  const objects: string[] = []
  const uids = new Map<string, string | undefined>()
  for (const kind of KINDS) {
    for (const item of (await world.cluster.list(kind, SIGNAL)).items) {
      const object = { ...item, ...kind } as Manifest
      uids.set(refKey(refOf(object)), object.metadata.uid)
      objects.push(canonicalJson(normalise(object)))
    }
  }
  const inventory = [...store.inventory()].map(([key, entry]) => {
    const uid = entry.state === 'owned' ? entry.uid : 'intended'
    return [key, entry.state, entry.workload, uid === uids.get(key)].join(' ')
  })
  return { objects: objects.toSorted(), inventory: inventory.toSorted(), records: [...store.workloads().keys()] }
}

/** Changes one object, makes one, adopts one, prunes one, replaces a Job, drops a whole workload. */
async function scenario(at: number, when: When): Promise<{ readonly calls: number; readonly end: unknown }> {
  const clock = new VirtualClock(NOW_MS)
  const world: World = {
    clock,
    cluster: new SimCluster({ clock, seed: 1 }),
    hub: new HubStub(() => clock.nowMs()),
    dir: mkdtempSync(join(HOME, 'flotilla-crash-')),
  }
  folders.push(world.dir)
  let process = start(world, null)
  world.hub.publish({
    till: { objects: [configMap('a'), configMap('goes'), deployment('till'), job('load', 'task:1')] },
    old: { objects: [configMap('old'), configMap('moves')] },
  })
  await live(world, process.agent)
  process.agent.stop()
  process.store.close()
  await world.cluster.create(configMap('adopted', { theirs: '1' }), { fieldManager: 'kubectl-create' }, SIGNAL)
  world.hub.publish({
    till: {
      objects: [
        configMap('a', { a: '2' }),
        configMap('new'),
        configMap('adopted'),
        configMap('moves'),
        deployment('till'),
        job('load', 'task:2'),
      ],
      rules: { adopt: 'yes' },
    },
  })
  const killer: Killer = { calls: 0, dead: false, at, when }
  process = start(world, killer)
  await live(world, process.agent).catch((error: unknown) => {
    if (!killer.dead) throw error
  })
  killer.dead = true
  process.agent.stop()
  process.store.close()
  process = start(world, null)
  await live(world, process.agent)
  const end = await endOf(world, process.store)
  process.agent.stop()
  process.store.close()
  return { calls: killer.calls, end }
}

describe('a process that is killed', () => {
  test('ends where an undisturbed one ends, at whichever call it dies', async () => {
    const calm = await scenario(0, 'before')
    expect(calm.calls).toBeGreaterThan(20)
    expect(JSON.stringify(calm.end)).toContain('adopted')
    let killed = 0
    for (let at = 1; at <= calm.calls; at++) {
      for (const when of ['before', 'after'] as const) {
        const { end } = await scenario(at, when)
        killed += 1
        expect(end, `killed ${when} call ${at}`).toEqual(calm.end)
      }
    }
    expect(killed).toBe(calm.calls * 2)
  }, 120_000)
})
