/** Two versions of the agent on one store: who has it, and that the older one can read what the newer one wrote until it is confirmed. */
import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { copyAgentStore, openAgentStore } from '../../../src/adapters/store/agent-store.ts'
import { takeStoreLock } from '../../../src/adapters/store/store-lock.ts'
import { copyOfKeys, keepKeys, KEYS_SECRET } from '../../../src/agent/keys-copy.ts'
import type { AgentStore, WorkloadRecord } from '../../../src/agent/ports.ts'
import { digestBytes } from '../../../src/core/model/digest.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import { bodyDigest } from '../../../src/core/protocol/manifest.ts'
import type { Logger } from '../../../src/runtime/logger.ts'
import { VirtualClock } from '../../../src/sim/clock.ts'
import { SimCluster } from '../../../src/sim/cluster.ts'
import { IDENTITY, SIGNAL } from '../agent/site.ts'
import { BODY, sealed } from '../protocol/fixed.ts'

const HOME = mkdtempSync(join(tmpdir(), 'flotilla-side-'))
afterAll(() => rmSync(HOME, { recursive: true, force: true }))
const folder = (name: string): string => mkdtempSync(join(HOME, `${name}-`))
const SILENT: Logger = { info() {}, warn() {}, error() {}, debug() {}, child: () => SILENT }

const DIGEST = digestBytes('object', Buffer.from('x'))
const RECORD: WorkloadRecord = {
  workload: 'till',
  since: { epoch: 1, counter: 2 },
  release: DIGEST,
  receivedAtMs: 1,
  applied: null,
  healthy: null,
  transitions: 0,
  unhealthyMs: 0,
}

function accept(store: AgentStore, counter: number): void {
  const generation = { epoch: 1, counter }
  const envelope = sealed({ ...BODY, generation })
  store.accept({ envelope, generation, body: bodyDigest(envelope.payload), acceptedAtMs: 5 })
}

describe('a store that a newer agent has', () => {
  test('is read by the older one, with what the newer one wrote, until the newer one is confirmed', () => {
    const dir = folder('format')
    const first = openAgentStore(dir, 1)
    first.saveIdentity(IDENTITY)
    accept(first, 1)
    first.close()
    const newer = openAgentStore(dir, 2)
    accept(newer, 2)
    // A field that only the newer one knows.
    const extended = { ...RECORD, learnt: { late: true } }
    newer.write({ workloads: new Map([['till', extended]]), notes: new Map([['of-two', { a: 1 }]]) })
    newer.close()
    const older = openAgentStore(dir, 1)
    expect(older.opened.rebuilt).toEqual([])
    expect(older.manifests().map(({ generation }) => generation.counter)).toEqual([2, 1])
    expect(older.floor()?.generation.counter).toBe(2)
    expect(older.workloads().get('till')).toMatchObject(RECORD)
    older.write({ workloads: new Map([['other', { ...RECORD, workload: 'other' }]]) })
    older.close()
    const again = openAgentStore(dir, 2)
    expect([...again.workloads().keys()].toSorted()).toEqual(['other', 'till'])
    expect(again.workloads().get('till')).toEqual(extended)
    again.confirmFormat()
    again.close()
    expect(() => openAgentStore(dir, 1)).toThrow(/format 2, this agent knows 1/)
    openAgentStore(dir, 2).close()
  })

  test('and made new by the newer one is of its own format', () => {
    const dir = folder('new')
    openAgentStore(dir, 2).close()
    expect(() => openAgentStore(dir, 1)).toThrow(Fault)
  })

  test('is copied whole while it is written, keys and floor too', () => {
    const [dir, to] = [folder('copied'), join(folder('to'), 'copy')]
    const store = openAgentStore(dir)
    store.saveIdentity(IDENTITY)
    accept(store, 3)
    copyAgentStore(dir, to)
    accept(store, 4)
    const copy = openAgentStore(to)
    expect(copy.identity()).toEqual(IDENTITY)
    expect(copy.floor()?.generation.counter).toBe(3)
    expect(copy.storeEpoch).toBe(store.storeEpoch)
    expect(store.manifests()[0]?.generation.counter).toBe(4)
    copy.close()
    store.close()
  })
})

describe('the lock of a store', () => {
  test('is had once, and again when it was given back', () => {
    const dir = folder('lock')
    const lock = takeStoreLock(dir)
    expect(lock).toBeDefined()
    expect(takeStoreLock(dir)).toBeUndefined()
    lock?.release()
    const next = takeStoreLock(dir)
    expect(next?.id).toBe(lock?.id)
    next?.release()
  })

  test('of a copied folder is another one', () => {
    const [dir, copy] = [folder('original'), join(folder('cloned'), 'copy')]
    const lock = takeStoreLock(dir)
    cpSync(dir, copy, { recursive: true })
    const other = takeStoreLock(copy)
    expect(other).toBeDefined()
    expect(other?.id).not.toBe(lock?.id)
    other?.release()
    lock?.release()
  })

  test('of another process goes with it, however it ends', async () => {
    const dir = folder('killed')
    const module = join(import.meta.dirname, '../../../src/adapters/store/store-lock.ts')
    const code = `import { takeStoreLock } from ${JSON.stringify(module)}
      globalThis.lock = takeStoreLock(${JSON.stringify(dir)}); console.log(globalThis.lock !== undefined); setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', code])
    const said = await new Promise<string>((resolve) => child.stdout.once('data', (data) => resolve(String(data))))
    expect(said.trim()).toBe('true')
    expect(takeStoreLock(dir)).toBeUndefined()
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
    const lock = takeStoreLock(dir)
    expect(lock).toBeDefined()
    lock?.release()
  })
})

describe('the copy of keys and floor in the cluster', () => {
  const cluster = () => new SimCluster({ clock: new VirtualClock(), seed: 1 })
  const keep = (to: SimCluster, store: AgentStore) => keepKeys(to, store, 'kube-system', SILENT, SIGNAL)
  const restore = async (from: SimCluster, store: AgentStore): Promise<void> => {
    const keys = await copyOfKeys(from, store, 'kube-system', SILENT, SIGNAL)
    if (keys !== undefined) store.restoreKeys(keys)
  }
  const kept = async () => {
    const there = cluster()
    const store = openAgentStore(folder('kept'))
    store.saveIdentity(IDENTITY)
    accept(store, 7)
    await keep(there, store)
    return { there, store }
  }

  test('brings a lost store back to its identity, and no lower than its floor', async () => {
    const { there, store } = await kept()
    const dir = folder('lost')
    const lost = openAgentStore(dir)
    await restore(there, lost)
    expect(lost.identity()).toMatchObject(IDENTITY)
    expect(lost.floor()).toEqual(store.floor())
    lost.close()
    expect(openAgentStore(dir).floor()).toEqual(store.floor())
    expect(statSync(join(dir, 'identity')).mode & 0o777).toBe(0o600)
  })

  test('brings a damaged identity back', async () => {
    const { there } = await kept()
    const dir = folder('damaged')
    const before = openAgentStore(dir)
    before.saveIdentity(IDENTITY)
    before.close()
    const file = join(dir, 'identity')
    writeFileSync(file, readFileSync(file, 'utf8').replace('"site"', '"sitf"'))
    const damaged = openAgentStore(dir)
    expect(() => damaged.identity()).toThrow(Fault)
    await restore(there, damaged)
    expect(damaged.identity()).toMatchObject(IDENTITY)
  })

  test('is written once, and again when the floor rose', async () => {
    const { there, store } = await kept()
    const applies = () => there.requests['apply'] ?? 0
    const before = applies()
    await keep(there, store)
    expect(applies()).toBe(before)
    accept(store, 8)
    await keep(there, store)
    expect(applies()).toBe(before + 1)
    const lost = openAgentStore(':memory:')
    await restore(there, lost)
    expect(lost.floor()?.generation.counter).toBe(8)
  })

  test('that was changed by anybody says nothing', async () => {
    const { there } = await kept()
    const ref = { group: '', kind: 'Secret', namespace: 'kube-system', name: KEYS_SECRET }
    const live = await there.get({ apiVersion: 'v1', kind: 'Secret' }, ref, SIGNAL)
    const text = (live?.['data'] as Record<string, string> | undefined)?.['keys.json'] ?? ''
    const other = Buffer.from(Buffer.from(text, 'base64').toString().replace('"counter":7', '"counter":1')).toString(
      'base64',
    )
    await there.patch({ apiVersion: 'v1', kind: 'Secret' }, ref, { data: { 'keys.json': other } }, {}, SIGNAL)
    const lost = openAgentStore(':memory:')
    await restore(there, lost)
    expect([lost.identity(), lost.floor()]).toEqual([null, null])
  })

  test('is not looked at where the store has its own, and its absence is no fault', async () => {
    const there = cluster()
    const store = openAgentStore(':memory:')
    await restore(there, store)
    expect(store.identity()).toBeNull()
    store.saveIdentity(IDENTITY)
    const before = there.requests['get'] ?? 0
    await restore(there, store)
    expect(there.requests['get'] ?? 0).toBe(before)
  })
})
