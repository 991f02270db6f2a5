import { afterEach, describe, expect, it } from 'vitest'
import type { BatchSource } from '../../../src/agent/batch/ports.ts'
import { createSchedulingRoom } from '../../../src/agent/scheduling/room.ts'
import type { SchedulingPorts, SchedulingRoom } from '../../../src/agent/scheduling/ports.ts'
import { wordsOf } from '../../../src/agent/scheduling/words.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import type { JsonObject } from '../../../src/core/model/json.ts'
import type { Manifest } from '../../../src/core/model/object.ts'
import type { Waiting } from '../../../src/core/scheduler/types.ts'
import { SimCluster } from '../../../src/sim/cluster.ts'
import { pacedClock } from '../../../src/runtime/clock.ts'

const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined, child: () => log } // prettier-ignore
const never = new AbortController().signal

class Site {
  readonly clock = pacedClock(50, 5, Date.parse('2026-03-01T00:00:00Z'))
  readonly cluster = new SimCluster({ clock: this.clock, controllers: 'off' })
  readonly #stop = new AbortController()
  #running: Promise<void> | undefined
  mine = true

  start(more: Partial<SchedulingPorts> = {}): SchedulingRoom {
    const ports = { cluster: this.cluster, clock: this.clock, log, random: () => 0, mayWrite: () => this.mine, ...more }
    const room = createSchedulingRoom(ports, { seed: 'site' })
    this.#running = room.run(this.#stop.signal)
    return room
  }

  async create(...objects: readonly JsonObject[]): Promise<void> {
    for (const object of objects as readonly Manifest[]) {
      await this.cluster.create(object, {}, never)
      // Creating takes no status.
      const { kind, metadata, status } = object as Manifest & { readonly status: JsonObject }
      const ref = { group: '', kind, namespace: metadata.namespace ?? '', name: metadata.name }
      if (kind === 'Node') await this.cluster.subresource(object, ref, 'status', { status }, never)
    }
  }

  async pod(name: string): Promise<{ spec: { nodeName?: string }; status: { conditions?: readonly JsonObject[] } }> {
    return (await this.cluster.get({ apiVersion: 'v1', kind: 'Pod' }, { group: '', kind: 'Pod', namespace: 'default', name }, never)) as never // prettier-ignore
  }

  async until(look: () => Promise<boolean> | boolean): Promise<void> {
    for (let k = 0; k < 2_000; k++) {
      if (await look()) return
      await this.clock.sleep(50, never)
    }
    throw new Error('it did not happen')
  }

  async end(): Promise<void> {
    this.#stop.abort()
    await this.#running
    this.clock[Symbol.dispose]()
  }
}

const node = (name: string): JsonObject => ({ apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { 'kubernetes.io/hostname': name } }, status: { allocatable: { cpu: '4', memory: '8Gi', pods: '10' } } }) // prettier-ignore
const pod = (name: string, cpu: string, metadata: JsonObject = {}): JsonObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default', ...metadata },
  spec: { schedulerName: 'flotilla', containers: [{ name: 'c', image: 'x', resources: { requests: { cpu } } }] },
  status: { phase: 'Pending' },
})

let site: Site
afterEach(() => site.end())

describe('the scheduler of a site', () => {
  it('holds one watch while no pod is its own, and binds when one is', async () => {
    site = new Site()
    await site.create(node('n'))
    site.start()
    await site.until(() => (site.cluster.requests['watch'] ?? 0) === 1)
    expect(site.cluster.requests['list']).toBe(1)
    await site.create(pod('a', '1'))
    await site.until(async () => (await site.pod('a')).spec.nodeName === 'n')
  })

  it('says why a pod waits once, and again when the kind of reason is another', async () => {
    site = new Site()
    await site.create(node('n'), pod('big', '9'))
    const room = site.start()
    await site.until(() => room.counts().conditionsWritten === 1)
    const said = (await site.pod('big')).status.conditions?.find((one) => one['type'] === 'PodScheduled')
    expect(said).toMatchObject({ status: 'False', reason: 'Unschedulable', message: '0/1 nodes are available: 1 Insufficient cpu. Nearest: n lacks 5 cpu.' }) // prettier-ignore
    await site.create(pod('small', '1'))
    await site.until(async () => (await site.pod('small')).spec.nodeName === 'n')
    expect(room.counts().conditionsWritten).toBe(1)
    expect(room.placement.waiting('default/nobody')).toBeUndefined()
  })

  it('a right that is lacking is its trouble until it is given; what is about one pod is not', async () => {
    site = new Site()
    let refuse: Fault | undefined = new Fault('Rejected', 'no')
    site.cluster.interfere(({ subresource }) => (subresource === 'binding' && refuse !== undefined ? { refuse } : undefined)) // prettier-ignore
    await site.create(node('n'), pod('a', '1'))
    let changes = 0
    const room = site.start({ onTrouble: () => void changes++ })
    await site.until(() => room.counts().bindsFailed > 0)
    expect([room.trouble(), changes]).toEqual([null, 0])
    refuse = new Fault('Forbidden', 'pods/binding is forbidden')
    await site.until(() => room.trouble() !== null)
    expect(room.trouble()).toMatchObject({ reason: 'Forbidden', message: 'pods/binding is forbidden' })
    refuse = undefined
    await site.until(() => room.trouble() === null)
    expect(changes).toBe(2)
  })

  it('a bind that is refused again and again is tried more and more seldom, and others go on', async () => {
    site = new Site()
    let tries = 0
    site.cluster.interfere(({ subresource, ref }) => {
      if (subresource !== 'binding' || ref?.name !== 'cursed') return undefined
      tries++
      return { refuse: new Fault('Rejected', 'no') }
    })
    await site.create(node('n'), pod('cursed', '1'))
    const room = site.start()
    await site.until(() => tries >= 3)
    const fromMs = site.clock.monotonicMs()
    await site.until(() => tries >= 5)
    expect(site.clock.monotonicMs() - fromMs).toBeGreaterThan(8_000)
    await site.create(pod('fine', '1'))
    await site.until(async () => (await site.pod('fine')).spec.nodeName === 'n')
    const said = (await site.pod('cursed')).status.conditions?.find((one) => one['type'] === 'PodScheduled')
    expect(said).toMatchObject({
      reason: 'SchedulerError',
      message: 'Binding failed (Rejected) and is tried again: no',
    })
    expect(room.counts().bindsFailed).toBe(tries)
  })

  it('a pod that another scheduler bound while our bind was on its way stands where it stands, and its room is taken', async () => {
    site = new Site()
    await site.create(node('n'), node('m'))
    let stolen = ''
    // The news of the other's bind comes before the refusal of ours.
    const late = new Proxy(site.cluster, {
      get(cluster, name) {
        if (name !== 'subresource') return typeof cluster[name as never] === 'function' ? (cluster[name as never] as () => void).bind(cluster) : cluster[name as never] // prettier-ignore
        return async (...args: Parameters<SimCluster['subresource']>) => {
          const [kind, ref, verb, body, signal] = args
          const target = (body as { readonly target?: { readonly name: string } }).target?.name
          if (verb === 'binding' && ref.name === 'a' && stolen === '') {
            stolen = target === 'n' ? 'm' : 'n'
            await cluster.subresource(kind, ref, verb, { target: { apiVersion: 'v1', kind: 'Node', name: stolen } }, signal) // prettier-ignore
            await site.clock.sleep(1_000, signal)
          }
          return cluster.subresource(...args)
        }
      },
    })
    await site.create(pod('a', '3'))
    const room = site.start({ cluster: late })
    await site.until(() => room.counts().bindsFailed === 1)
    await site.create(pod('b', '3'), pod('c', '3'))
    await site.until(() => room.counts().bound === 1 && room.counts().conditionsWritten === 1)
    const nodes = await Promise.all(['a', 'b', 'c'].map(async (name) => (await site.pod(name)).spec.nodeName ?? ''))
    expect(nodes.toSorted()).toEqual(['', 'm', 'n'])
    expect(nodes[0]).toBe(stolen)
  })

  it('what is not allowed in a namespace that goes away is no right that is lacking', async () => {
    site = new Site()
    const refuse = new Fault('Forbidden', 'namespace is being terminated', { facts: { cause: 'NamespaceTerminating' } })
    site.cluster.interfere(({ subresource }) => (subresource === 'binding' ? { refuse } : undefined))
    await site.create(node('n'), pod('a', '1'))
    const room = site.start()
    await site.until(() => room.counts().bindsFailed > 1)
    expect(room.trouble()).toBeNull()
  })

  it('a gang from the batch room starts whole; what it waits for is told back', async () => {
    site = new Site()
    const listeners = new Set<() => void>()
    let size = 3
    const batch: BatchSource = {
      jobs: () => [{ namespace: 'default', name: 'gang', uid: 'gang', queue: 'night', minMember: size }],
      queues: () => [{ name: 'night' }],
      onChange: (changed) => {
        listeners.add(changed)
        return () => listeners.delete(changed)
      },
    }
    const member = (k: number): JsonObject => pod(`gang-${k}`, '3', { labels: { 'flotilla.dev/job': 'gang' } })
    await site.create(node('n'), node('m'), member(0), member(1), member(2))
    const room = site.start({ batch })
    await site.until(() => room.placement.waiting('default/gang') !== undefined)
    expect(room.placement.waiting('default/gang')?.message).toMatch(/not all of 3 pods find a place together/)
    expect(room.counts().bound).toBe(0)
    size = 2
    for (const changed of listeners) changed()
    await site.until(() => room.counts().bound === 2)
  })

  it('binds nothing while the site is another agent`s, and all of it after', async () => {
    site = new Site()
    site.mine = false
    await site.create(node('n'), pod('a', '1'))
    const room = site.start()
    await site.clock.sleep(5_000, never)
    expect(room.counts()).toMatchObject({ bound: 0, cycles: 0 })
    site.mine = true
    await site.until(() => room.counts().bound === 1)
  })
})

it('words for people: numbers with their units, the queue with its dimension, a reservation with its time', async () => {
  site = new Site()
  site.start()
  const base: Waiting = { job: 'ns/j', pods: 1, example: 'ns/p', kind: 'queue', message: '', classReasons: [], next: { on: 'queue-frees', queue: 'q' } } // prettier-ignore
  const queue = { name: 'q', resource: 'memory', used: 2 ** 30, limit: 2 ** 31, asked: 3 * 2 ** 29 }
  expect(wordsOf({ ...base, queue }, 3)).toBe('queue q has 1Gi of 2Gi memory in use, 1536Mi more asked for.')
  const reserved: Waiting = { ...base, kind: 'reservation', next: { on: 'reservation', atMs: Date.parse('2026-03-01T12:00:00Z') } } // prettier-ignore
  expect(wordsOf(reserved, 3)).toBe('Room is reserved: it starts by 2026-03-01T12:00:00Z at the latest. 0/3 nodes are available.') // prettier-ignore
  expect(wordsOf({ ...base, kind: 'nodes' }, 0)).toBe('no nodes available to schedule pods.')
  const share = { name: 'q', resource: 'cpu', used: 3000, deserved: 4000, asked: 1000 }
  expect(wordsOf({ ...base, kind: 'nodes', share }, 3)).toMatch(/Queue q has 3 of the 4 cpu it deserves: nobody who could make room holds more/) // prettier-ignore
  expect(wordsOf({ ...base, kind: 'nodes', share: { ...share, asked: 2000 } }, 3)).toMatch(/with this it would have more, and takes nothing/) // prettier-ignore
})
