/** Packs as hostile hosts make them, byte by byte: what is promised is held against what comes, and nothing is unpacked without end. */
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import zlib from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { indexPack, type IndexLimits } from '../../../src/adapters/git/index-pack.ts'
import { openObjectDb } from '../../../src/adapters/git/object-db.ts'

const LIMITS: IndexLimits = { heldBytes: 4096, unpackedBytes: 1024 * 1024, objects: 100 }
const COMMIT = 1
const BLOB = 3
const OFS = 6
const REF = 7

let dir: string
beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-pack-'))
})
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }))

function head(type: number, size: number): Buffer {
  const bytes = [(type << 4) | (size & 15)]
  for (let rest = size >>> 4; rest > 0; rest >>>= 7) {
    bytes[bytes.length - 1] = (bytes.at(-1) as number) | 128
    bytes.push(rest & 127)
  }
  return Buffer.from(bytes)
}
const varint = (size: number): number[] => (size < 128 ? [size] : [(size & 127) | 128, ...varint(size >>> 7)])
const entry = (type: number, data: Buffer, size = data.length, between: Buffer = Buffer.alloc(0)): Buffer =>
  Buffer.concat([head(type, size), between, zlib.deflateSync(data)])
/** All of the base, then `more`. */
const delta = (base: Buffer, more: Buffer): Buffer =>
  Buffer.from([...varint(base.length), ...varint(base.length + more.length), 0x80 | 0x10 | 0x20, base.length & 255, base.length >> 8, more.length, ...more]) // prettier-ignore
const oidOf = (data: Buffer, type = 'blob'): string =>
  createHash('sha1').update(`${type} ${data.length}\0`).update(data).digest('hex')

function pack(entries: readonly Buffer[], count = entries.length): string {
  const top = Buffer.from('PACK\0\0\0\x02\0\0\0\0', 'latin1')
  top.writeUInt32BE(count, 8)
  const body = Buffer.concat([top, ...entries])
  const file = path.join(dir, 'incoming')
  fs.writeFileSync(file, Buffer.concat([body, createHash('sha1').update(body).digest()]))
  return file
}

async function names(file: string): Promise<readonly string[]> {
  const { index } = await indexPack(file, LIMITS)
  const count = index.readUInt32BE(8 + 255 * 4)
  return Array.from({ length: count }, (_, i) => index.toString('hex', 1032 + i * 20, 1052 + i * 20))
}

const small = Buffer.from('one\n'.repeat(20))
const large = Buffer.alloc(20_000, 'x')

describe('an index', () => {
  test('names whole objects, deltas by offset, by name, of deltas, and of what comes later', async () => {
    const second = Buffer.concat([small, Buffer.from('two')])
    const third = Buffer.concat([second, Buffer.from('three')])
    const fourth = Buffer.concat([third, Buffer.from('four')])
    const whole = entry(BLOB, small)
    const byName = entry(REF, delta(third, Buffer.from('four')), undefined, Buffer.from(oidOf(third), 'hex'))
    const byOffset = entry(
      OFS,
      delta(small, Buffer.from('two')),
      undefined,
      Buffer.from([whole.length + byName.length]),
    )
    const ofDelta = entry(OFS, delta(second, Buffer.from('three')), undefined, Buffer.from([byOffset.length]))
    const found = await names(pack([whole, byName, byOffset, ofDelta, entry(COMMIT, small)]))
    const expected = [small, second, third, fourth].map((data) => oidOf(data))
    expect(found).toEqual([...expected, oidOf(small, 'commit')].toSorted())
  })

  test('is one by which the objects are read', async () => {
    const file = pack([entry(BLOB, small), entry(BLOB, Buffer.alloc(0))])
    const { name, index } = await indexPack(file, LIMITS)
    const packs = path.join(dir, 'objects', 'pack')
    fs.mkdirSync(packs, { recursive: true })
    fs.renameSync(file, path.join(packs, `pack-${name}.pack`))
    fs.writeFileSync(path.join(packs, `pack-${name}.idx`), index)
    using db = openObjectDb(dir, 1_000)
    expect(db.read(oidOf(small), 'blob')).toEqual(small)
    expect(db.read(oidOf(Buffer.alloc(0)), 'blob')).toHaveLength(0)
  })

  test('names what is too large to hold, and leaves out what is a delta of it', async () => {
    const whole = entry(BLOB, large)
    const more = entry(OFS, delta(large, Buffer.from('more')), undefined, ofsBytes(whole.length))
    expect(await names(pack([whole, more, entry(BLOB, small)]))).toEqual([oidOf(large), oidOf(small)].toSorted())
  })
})

function ofsBytes(distance: number): Buffer {
  const bytes = [distance & 127]
  for (let rest = distance >>> 7; rest > 0; rest >>>= 7) bytes.unshift((--rest & 127) | 128)
  return Buffer.from(bytes)
}

describe('refused', () => {
  const bomb = Buffer.alloc(2 * 1024 * 1024)
  const growing = (): string => {
    // Each of a hundred deltas makes the same 4,000 bytes anew out of nothing but copies.
    const base = Buffer.alloc(4_000, 'y')
    const copies = Buffer.from([...varint(4_000), ...varint(4_000), 0xb0, 4_000 & 255, 4_000 >> 8])
    const entries = [entry(BLOB, base)]
    for (let i = 0; i < 99; i++)
      entries.push(entry(OFS, copies, undefined, ofsBytes((entries.at(-1) as Buffer).length)))
    return pack(entries)
  }
  test.each<[string, string, () => string]>([
    ['a bomb of one object', 'TooLarge', () => pack([entry(BLOB, bomb)])],
    ['a bomb of one object that promises little', 'ObjectUnreadable', () => pack([entry(BLOB, bomb, 100)])],
    ['more than was promised of a large one', 'ObjectUnreadable', () => pack([entry(BLOB, bomb, 5_000)])],
    ['less than was promised', 'ObjectUnreadable', () => pack([entry(BLOB, small, small.length + 1)])],
    ['a bomb of many', 'TooLarge', () => pack(Array.from({ length: 99 }, () => entry(BLOB, Buffer.alloc(20_000))))],
    ['more objects than anybody has', 'TooLarge', () => pack([entry(BLOB, small)], 101)],
    ['more objects than there are', 'ObjectUnreadable', () => pack([entry(BLOB, small)], 2)],
    ['fewer objects than there are', 'ObjectUnreadable', () => pack([entry(BLOB, small), entry(BLOB, large)], 1)],
    ['a delta of itself', 'ObjectUnreadable', () => pack([entry(OFS, delta(small, small), undefined, Buffer.from([0]))])],
    ['a delta of what is before the pack', 'ObjectUnreadable', () => pack([entry(OFS, delta(small, small), undefined, ofsBytes(5_000))])],
    ['an entry of no type', 'ObjectUnreadable', () => pack([entry(5, small)])],
    ['bytes that do not unpack', 'ObjectUnreadable', () => pack([Buffer.concat([head(BLOB, 10), Buffer.alloc(30, 7)])])],
    ['a delta that copies past its base', 'ObjectUnreadable', () => {
      const whole = entry(BLOB, small)
      return pack([whole, entry(OFS, Buffer.from([small.length, 50, 0x91, 79, 50]), undefined, ofsBytes(whole.length))])
    }],
    ['no pack at all', 'ObjectUnreadable', () => {
      const file = path.join(dir, 'incoming')
      fs.writeFileSync(file, '<html>log in here</html>')
      return file
    }],
  ])('%s: %s', async (_name, reason, make) => {
    await expect(indexPack(make(), LIMITS)).rejects.toMatchObject({ reason })
  }) // prettier-ignore

  test('deltas that make more and more', async () => {
    await expect(indexPack(growing(), { ...LIMITS, unpackedBytes: 100_000 })).rejects.toMatchObject({
      reason: 'TooLarge',
    })
    expect(await names(growing())).toHaveLength(1)
  })

  test('a flipped byte anywhere', async () => {
    const file = pack([entry(BLOB, small), entry(COMMIT, small)])
    const bytes = fs.readFileSync(file)
    for (let i = 0; i < bytes.length; i++) {
      const bent = Buffer.from(bytes)
      bent[i] = (bent[i] as number) ^ 0x10
      fs.writeFileSync(file, bent)
      await expect(indexPack(file, LIMITS), `byte ${i}`).rejects.toMatchObject({ name: 'Fault' })
    }
  })
})
