/**
 * Reads Git objects straight from a repository's database: loose files and packs, never a work tree.
 * isomorphic-git needs 1.3 ms a blob; a first read of 50,000 files must not take a minute.
 */
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import zlib from 'node:zlib'
import { Fault } from '../../core/model/fault.ts'

export type GitType = 'commit' | 'tree' | 'blob' | 'tag'
export interface GitObject {
  readonly type: GitType
  readonly data: Buffer
}

export interface ObjectDb extends Disposable {
  /** Bytes of an object, checked against its name. Faults: ObjectUnreadable (missing, damaged), TooLarge (above `maxBytes`). */
  read(oid: string, type: GitType): Buffer
  has(oid: string): boolean
  readonly packs: number
}

export const PACK_TYPES: readonly (GitType | '')[] = ['', 'commit', 'tree', 'blob', 'tag']
const OFFSET_DELTA = 6
const REF_DELTA = 7
/** Git itself makes chains of 50 at most, and 4,095 by hand. */
const MAX_DELTA_CHAIN = 4096
/** Bases are shared by many deltas: keep the recently used ones. */
const CACHE_BYTES = 32 * 1024 * 1024
const OID = /^[0-9a-f]{40}$/

export function openObjectDb(gitDir: string, maxBytes: number): ObjectDb {
  const objectsDir = path.join(gitDir, 'objects')
  let packs = openPacks(objectsDir)
  const cache = new ByteCache(CACHE_BYTES)

  function locate(oid: string): Located | undefined {
    const name = Buffer.from(oid, 'hex')
    for (const pack of packs) {
      const offset = pack.offsetOf(name)
      if (offset !== undefined) return { pack, offset }
    }
    return undefined
  }

  function find(oid: string): GitObject | undefined {
    const at = locate(oid)
    if (at !== undefined) return unpack(at, 0)
    const loose = readLoose(objectsDir, oid, maxBytes)
    if (loose !== undefined) return loose
    // A fetch or repack since the packs were listed.
    const fresh = openPacks(objectsDir)
    for (const pack of packs) pack.close()
    packs = fresh
    cache.clear()
    const again = locate(oid)
    return again === undefined ? undefined : unpack(again, 0)
  }

  function unpack({ pack, offset }: Located, depth: number): GitObject {
    const key = `${pack.file}:${offset}`
    const cached = cache.get(key)
    if (cached !== undefined) return cached
    if (depth > MAX_DELTA_CHAIN) throw unreadable(pack.file, 'a delta chain without end')
    const entry = pack.entry(offset, maxBytes)
    let object: GitObject
    if (entry.kind === 'whole') {
      object = { type: entry.type, data: entry.data }
    } else {
      const base =
        entry.base.kind === 'offset' ? unpack({ pack, offset: entry.base.offset }, depth + 1) : find(entry.base.oid)
      if (base === undefined) throw unreadable(pack.file, 'a delta without its base')
      object = { type: base.type, data: applyDelta(base.data, entry.delta, maxBytes) }
    }
    cache.set(key, object)
    return object
  }

  return {
    read(oid, type) {
      if (!OID.test(oid)) throw unreadable(oid, 'not an object name')
      let object: GitObject | undefined
      try {
        object = find(oid)
      } catch (error) {
        throw error instanceof Fault ? error : unreadable(oid, (error as Error).message, error)
      }
      if (object === undefined) throw unreadable(oid, 'missing')
      if (object.type !== type) throw unreadable(oid, `a ${object.type} where a ${type} was named`)
      const hash = createHash('sha1').update(`${object.type} ${object.data.length}\0`).update(object.data).digest('hex')
      if (hash !== oid) throw unreadable(oid, 'its bytes do not hash to its name')
      return object.data
    },
    has(oid) {
      try {
        return OID.test(oid) && find(oid) !== undefined
      } catch {
        return false
      }
    },
    get packs() {
      return packs.length
    },
    [Symbol.dispose]() {
      for (const pack of packs) pack.close()
      packs = []
      cache.clear()
    },
  }
}

interface Located {
  readonly pack: Pack
  readonly offset: number
}

type PackEntry =
  | { readonly kind: 'whole'; readonly type: GitType; readonly data: Buffer }
  | {
      readonly kind: 'delta'
      readonly base:
        | { readonly kind: 'offset'; readonly offset: number }
        | { readonly kind: 'oid'; readonly oid: string }
      readonly delta: Buffer
    }

function tooLarge(bytes: number, maxBytes: number): Fault {
  return new Fault('TooLarge', `${bytes} bytes, above the limit of ${maxBytes}`)
}

function unreadable(what: string, why: string, cause?: unknown): Fault {
  return new Fault('ObjectUnreadable', `Git object ${path.basename(what)}: ${why}`, { cause })
}

function openPacks(objectsDir: string): Pack[] {
  const dir = path.join(objectsDir, 'pack')
  if (!fs.existsSync(dir)) return []
  return fs
    .readdirSync(dir)
    .filter((file) => file.endsWith('.idx') && fs.existsSync(path.join(dir, file.replace(/idx$/, 'pack'))))
    .map((file) => new Pack(path.join(dir, file)))
}

/** One pack by its version 2 index. The index is held; of the pack only the entries asked for are read. */
class Pack {
  readonly file: string
  readonly #index: Buffer
  readonly #count: number
  readonly #fd: number
  readonly #size: number
  /** Ends of entries: an entry's compressed length stands nowhere, but it ends where the next begins. */
  #offsets: Float64Array | undefined

  constructor(indexFile: string) {
    this.file = indexFile.replace(/idx$/, 'pack')
    this.#index = fs.readFileSync(indexFile)
    if (this.#index.length < 1032 || this.#index.readUInt32BE(0) !== 0xff744f63 || this.#index.readUInt32BE(4) !== 2) {
      throw unreadable(indexFile, 'not a version 2 pack index')
    }
    this.#count = this.#index.readUInt32BE(8 + 255 * 4)
    if (this.#index.length < 1032 + this.#count * 28 + 40) throw unreadable(indexFile, 'a truncated pack index')
    this.#fd = fs.openSync(this.file, 'r')
    this.#size = fs.fstatSync(this.#fd).size
  }

  close(): void {
    fs.closeSync(this.#fd)
  }

  offsetOf(name: Buffer): number | undefined {
    const first = name[0] as number
    let low = first === 0 ? 0 : this.#index.readUInt32BE(8 + (first - 1) * 4)
    let high = this.#index.readUInt32BE(8 + first * 4)
    while (low < high) {
      const middle = (low + high) >>> 1
      const at = 1032 + middle * 20
      const order = name.compare(this.#index, at, at + 20)
      if (order === 0) return this.#offsetAt(middle)
      if (order < 0) high = middle
      else low = middle + 1
    }
    return undefined
  }

  #offsetAt(i: number): number {
    const small = this.#index.readUInt32BE(1032 + this.#count * 24 + i * 4)
    if (small < 0x8000_0000) return small
    return Number(this.#index.readBigUInt64BE(1032 + this.#count * 28 + (small - 0x8000_0000) * 8))
  }

  #endOf(offset: number): number {
    this.#offsets ??= Float64Array.from({ length: this.#count }, (_, i) => this.#offsetAt(i)).sort()
    let low = 0
    let high = this.#offsets.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#offsets[middle] as number) <= offset) low = middle + 1
      else high = middle
    }
    return this.#offsets[low] ?? this.#size - 20
  }

  entry(offset: number, maxBytes: number): PackEntry {
    const length = this.#endOf(offset) - offset
    if (length <= 0) throw unreadable(this.file, `an entry of ${length} bytes`)
    if (length > maxBytes + 65536) throw tooLarge(length, maxBytes)
    const bytes = Buffer.allocUnsafe(length)
    if (fs.readSync(this.#fd, bytes, 0, length, offset) !== length) throw unreadable(this.file, 'truncated')
    let at = 0
    const next = (): number => {
      const byte = bytes[at++]
      if (byte === undefined) throw unreadable(this.file, 'a truncated entry')
      return byte
    }
    let byte = next()
    const code = (byte >> 4) & 7
    let size = byte & 15
    for (let shift = 4; byte & 128; shift += 7) {
      byte = next()
      size += (byte & 127) * 2 ** shift
    }
    if (size > maxBytes) throw tooLarge(size, maxBytes)
    if (code === OFFSET_DELTA) {
      byte = next()
      let distance = byte & 127
      while (byte & 128) {
        byte = next()
        distance = (distance + 1) * 128 + (byte & 127)
      }
      return {
        kind: 'delta',
        base: { kind: 'offset', offset: offset - distance },
        delta: inflate(bytes.subarray(at), size),
      }
    }
    if (code === REF_DELTA) {
      const oid = bytes.toString('hex', at, at + 20)
      return { kind: 'delta', base: { kind: 'oid', oid }, delta: inflate(bytes.subarray(at + 20), size) }
    }
    const type = PACK_TYPES[code]
    if (type === undefined || type === '') throw unreadable(this.file, `an entry of unknown type ${code}`)
    return { kind: 'whole', type, data: inflate(bytes.subarray(at), size) }
  }
}

function inflate(bytes: Buffer, size: number): Buffer {
  const data = zlib.inflateSync(bytes, { maxOutputLength: Math.max(size, 1) })
  if (data.length !== size) throw new Error(`${data.length} bytes where ${size} were promised`)
  return data
}

function readLoose(objectsDir: string, oid: string, maxBytes: number): GitObject | undefined {
  let packed: Buffer
  try {
    packed = fs.readFileSync(path.join(objectsDir, oid.slice(0, 2), oid.slice(2)))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const bytes = unpacked(packed, maxBytes)
  const end = bytes.indexOf(0)
  const [type = '', size = ''] = bytes.toString('latin1', 0, end).split(' ')
  if (end < 0 || Number(size) !== bytes.length - end - 1) throw new Error('a damaged header')
  return { type: type as GitType, data: bytes.subarray(end + 1) }
}

function unpacked(packed: Buffer, maxBytes: number): Buffer {
  try {
    return zlib.inflateSync(packed, { maxOutputLength: maxBytes + 64 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_BUFFER_TOO_LARGE') throw error
    throw new Fault('TooLarge', `more than ${maxBytes} bytes`, { cause: error })
  }
}

/** Git's copy-and-insert delta. */
export function applyDelta(base: Buffer, delta: Buffer, maxBytes: number): Buffer {
  let at = 0
  const byte = (): number => {
    const value = delta[at++]
    if (value === undefined) throw new Error('a truncated delta')
    return value
  }
  const varint = (): number => {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const next = byte()
      value += (next & 127) * 2 ** shift
      if (next < 128) return value
    }
  }
  if (varint() !== base.length) throw new Error('a delta for another base')
  const size = varint()
  if (size > maxBytes) throw tooLarge(size, maxBytes)
  const out = Buffer.allocUnsafe(size)
  let written = 0
  while (at < delta.length) {
    const op = byte()
    if (op & 128) {
      let offset = 0
      let length = 0
      for (let i = 0; i < 4; i++) if (op & (1 << i)) offset += byte() * 2 ** (8 * i)
      for (let i = 0; i < 3; i++) if (op & (16 << i)) length += byte() * 2 ** (8 * i)
      if (length === 0) length = 0x10000
      if (offset + length > base.length || written + length > size) throw new Error('a delta that copies past the end')
      base.copy(out, written, offset, offset + length)
      written += length
    } else {
      if (op === 0 || at + op > delta.length || written + op > size) throw new Error('a damaged delta')
      delta.copy(out, written, at, at + op)
      at += op
      written += op
    }
  }
  if (written !== size) throw new Error('a delta that ends early')
  return out
}

/** Least recently used objects, bounded by their bytes. */
export class ByteCache {
  readonly #limit: number
  readonly #items = new Map<string, GitObject>()
  #bytes = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get(key: string): GitObject | undefined {
    const item = this.#items.get(key)
    if (item === undefined) return undefined
    this.#items.delete(key)
    this.#items.set(key, item)
    return item
  }

  set(key: string, item: GitObject): void {
    this.#items.set(key, item)
    this.#bytes += item.data.length
    for (const [oldest, { data }] of this.#items) {
      if (this.#bytes <= this.#limit) break
      this.#items.delete(oldest)
      this.#bytes -= data.length
    }
  }

  clear(): void {
    this.#items.clear()
    this.#bytes = 0
  }
}
