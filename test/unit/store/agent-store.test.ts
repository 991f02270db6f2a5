import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openAgentStore } from '../../../src/adapters/store/agent-store.ts'
import type { AgentStore, StoredManifest, WorkloadRecord } from '../../../src/agent/ports.ts'
import type { InventoryEntry } from '../../../src/core/diff/types.ts'
import { digestBytes } from '../../../src/core/model/digest.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import { bodyDigest } from '../../../src/core/protocol/manifest.ts'
import { IDENTITY } from '../agent/site.ts'
import { BODY, sealed } from '../protocol/fixed.ts'

const HOME = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'flotilla-store-'))
afterAll(() => rmSync(HOME, { recursive: true, force: true }))

const BLOB = Buffer.from('{"kind":"ConfigMap"}')
const DIGEST = digestBytes('object', BLOB)

function manifestAt(counter: number): StoredManifest {
  const generation = { epoch: 1, counter }
  const envelope = sealed({ ...BODY, generation })
  return { envelope, generation, body: bodyDigest(envelope.payload), acceptedAtMs: 5 }
}

function owned(name: string): InventoryEntry {
  return {
    state: 'owned',
    ref: { group: '', kind: 'ConfigMap', namespace: 'shop', name },
    apiVersion: 'v1',
    workload: 'till',
    uid: `uid-${name}`,
    applied: DIGEST,
    resourceVersion: '7',
    settled: null,
  }
}

const RECORD: WorkloadRecord = {
  workload: 'till',
  since: { epoch: 1, counter: 2 },
  release: DIGEST,
  receivedAtMs: 1,
  applied: { digest: DIGEST, atMs: 2 },
  healthy: null,
  transitions: 0,
  unhealthyMs: 0,
}

function fill(store: AgentStore): void {
  store.saveIdentity(IDENTITY)
  store.putBlobs([{ domain: 'object', digest: DIGEST, bytes: BLOB }])
  for (const counter of [1, 2, 3]) store.accept(manifestAt(counter))
  store.write({
    inventory: new Map(['a', 'b', 'c'].map((name) => [`/ConfigMap/shop/${name}`, owned(name)])),
    workloads: new Map([['till', RECORD]]),
    outbox: [{ class: 'result', seq: 1, atMs: 1, body: { job: 'x' } }],
    time: { timeMs: 1_000, timeEpoch: 1, atMonotonicMs: 5, boot: 'boot' },
  })
}

/** Every fact that the store can be asked for; null: it says that it has lost it. */
function factsOf(store: AgentStore): Readonly<Record<string, unknown>> {
  return {
    identity: store.identity(),
    floor: store.floor(),
    manifests: store.manifests().map(({ generation, body }) => ({ generation, body })),
    inventory: [...store.inventory()],
    workloads: [...store.workloads()],
    outbox: store.outbox(),
    time: store.time(),
    blob: store.blob('object', DIGEST),
  }
}

describe('what is kept', () => {
  test('is there again when it is opened again; of manifests the newest two', () => {
    const dir = join(HOME, 'again')
    const store = openAgentStore(dir)
    fill(store)
    const facts = factsOf(store)
    store.close()
    const reopened = openAgentStore(dir)
    expect(factsOf(reopened)).toEqual(facts)
    expect(reopened.manifests().map(({ generation }) => generation.counter)).toEqual([3, 2])
    expect(reopened.storeEpoch).toBe(store.storeEpoch)
    expect(reopened.opened.rebuilt).toEqual([])
    reopened.close()
  })

  test('a change is in what was read before it only after it is on the disk', () => {
    const store = openAgentStore(':memory:')
    fill(store)
    const before = store.inventory()
    store.write({ inventory: new Map([['/ConfigMap/shop/a', null]]) })
    expect(before.size).toBe(3)
    expect(store.inventory().size).toBe(2)
  })

  test('a floor lives in two places, and the higher one counts', () => {
    const dir = join(HOME, 'floor')
    const store = openAgentStore(dir)
    fill(store)
    store.close()
    rmSync(join(dir, 'floor'))
    const without = openAgentStore(dir)
    expect(without.floor()?.generation.counter).toBe(3)
    without.accept(manifestAt(4))
    without.close()
    for (const suffix of ['', '-wal', '-shm']) rmSync(join(dir, `agent.db${suffix}`), { force: true })
    const bare = openAgentStore(dir)
    expect(bare.floor()?.generation.counter).toBe(4)
    expect(bare.manifests()).toEqual([])
    expect(bare.storeEpoch).not.toBe(store.storeEpoch)
    bare.close()
  })

  test('a blob that was damaged is absent, so that it is fetched again', () => {
    const store = openAgentStore(':memory:')
    const digest = digestBytes('object', 'of other bytes')
    store.putBlobs([{ domain: 'object', digest, bytes: BLOB }])
    expect(store.blob('object', digest)).toBeUndefined()
    expect(store.has(digest)).toBe(false)
  })

  test('a folder that cannot be written is StoreReadOnly or StoreFailed, never a crash', () => {
    const dir = join(HOME, 'file')
    writeFileSync(dir, 'not a folder')
    expect(() => openAgentStore(dir)).toThrow(Fault)
  })
})

describe('a byte that flips, a file that ends early', () => {
  const original = join(HOME, 'original')
  let facts: Readonly<Record<string, unknown>>
  beforeAll(() => {
    const store = openAgentStore(original)
    fill(store)
    facts = factsOf(store)
    store.close()
  })

  /** Each fact is as it was, or is gone with its group named; never another one. What went wrong, or nothing. */
  function wrongIn(dir: string): readonly string[] {
    let store: AgentStore
    let found: Readonly<Record<string, unknown>>
    try {
      store = openAgentStore(dir)
      found = factsOf(store)
      store.close()
    } catch (error) {
      return error instanceof Fault ? [] : [String(error)]
    }
    const lost = new Set(store.opened.rebuilt)
    const same = (a: unknown, b: unknown): boolean => isDeepStrictEqual(a, b)
    const kept = { inventory: 'inventory', workloads: 'workload', outbox: 'outbox', manifests: 'manifest' }
    const wrong = same(found['floor'], facts['floor']) ? [] : ['floor']
    for (const [fact, group] of Object.entries(kept)) {
      if (!lost.has(group) && !same(found[fact], facts[fact])) wrong.push(`${fact} changed unsaid`)
      const before = (facts[fact] as readonly unknown[]).map((it) => JSON.stringify(it))
      for (const it of found[fact] as readonly unknown[])
        if (!before.includes(JSON.stringify(it))) wrong.push(`another ${fact}`)
    }
    if (found['time'] !== null && !same(found['time'], facts['time'])) wrong.push('time')
    if (found['blob'] !== undefined && !same(found['blob'], facts['blob'])) wrong.push('blob')
    return wrong
  }

  test.each(['agent.db', 'identity', 'floor'])('of %s is seen, or changes nothing that is read', (file) => {
    const wrong: string[] = []
    const bytes = readFileSync(join(original, file))
    const dir = join(HOME, `flip-${file}`)
    // Every byte of the small files; of the database a walk with a stride that meets every page and every row.
    const stride = file === 'agent.db' ? 61 : 7
    for (let at = 0; at < bytes.length; at += stride) {
      rmSync(dir, { recursive: true, force: true })
      cpSync(original, dir, { recursive: true })
      const damaged = Buffer.from(bytes)
      damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8))
      writeFileSync(join(dir, file), damaged)
      wrong.push(...wrongIn(dir).map((what) => `byte ${at}: ${what}`))
    }
    expect(wrong).toEqual([])
  })

  test.each(['agent.db', 'identity', 'floor'])('a %s that ends early is seen', (file) => {
    const wrong: string[] = []
    const { length } = readFileSync(join(original, file))
    const dir = join(HOME, `cut-${file}`)
    for (let part = 0; part < 20; part++) {
      rmSync(dir, { recursive: true, force: true })
      cpSync(original, dir, { recursive: true })
      truncateSync(join(dir, file), Math.floor((length * part) / 20))
      wrong.push(...wrongIn(dir).map((what) => `${part}/20: ${what}`))
    }
    expect(wrong).toEqual([])
  })
})
