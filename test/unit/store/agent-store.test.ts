import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openAgentStore } from '../../../src/adapters/store/agent-store.ts'
import { digestBytes } from '../../../src/core/model/digest.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import { BLOB, factsOf, fill, manifestAt, wrongIn, type Facts } from './facts.ts'

const HOME = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'flotilla-store-'))
afterAll(() => rmSync(HOME, { recursive: true, force: true }))

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
  let facts: Facts
  beforeAll(() => {
    const store = openAgentStore(original)
    fill(store)
    facts = factsOf(store)
    store.close()
  })

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
      wrong.push(...wrongIn(dir, facts).map((what) => `byte ${at}: ${what}`))
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
      wrong.push(...wrongIn(dir, facts).map((what) => `${part}/20: ${what}`))
    }
    expect(wrong).toEqual([])
  })
})
