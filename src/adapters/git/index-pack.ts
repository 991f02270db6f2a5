/**
 * Makes the index of a pack that somebody else made, as `git index-pack` does: every object is unpacked once to learn its name. A
 * pack of a few KiB may unpack to terabytes, so nothing larger than a bound is ever held, and the whole has an end.
 */
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import zlib from 'node:zlib'
import { Fault } from '../../core/model/fault.ts'
import { applyDelta, ByteCache, type GitObject, type GitType, PACK_TYPES } from './object-db.ts'

export interface IndexLimits {
  /** An object that is larger is named and never held: what is a delta of it is left out, and missing to whoever asks. */
  readonly heldBytes: number
  /** Of all objects, unpacked. Fault TooLarge. */
  readonly unpackedBytes: number
  readonly objects: number
}

export const INDEX_LIMITS: IndexLimits = {
  heldBytes: 32 * 1024 * 1024,
  unpackedBytes: 8 * 1024 * 1024 * 1024,
  objects: 5_000_000,
}

const CACHE_BYTES = 96 * 1024 * 1024
const CHUNK_BYTES = 1024 * 1024
const OFFSET_DELTA = 6
const REF_DELTA = 7
const TRAILER_BYTES = 20

export interface Indexed {
  readonly name: string
  readonly index: Buffer
}

interface Entry {
  readonly offset: number
  readonly end: number
  /** Where the packed bytes begin. */
  readonly at: number
  readonly size: number
  readonly type: GitType | undefined
  /** Of a delta: where its base is, or what it is called. */
  readonly base: number | string | undefined
}

/** Bytes of the index, and the name of the pack. Faults: ObjectUnreadable (damaged, thin), TooLarge. */
export async function indexPack(file: string, limits: IndexLimits = INDEX_LIMITS): Promise<Indexed> {
  const fd = fs.openSync(file, 'r')
  try {
    return await new Indexer(fd, limits).run()
  } finally {
    fs.closeSync(fd)
  }
}

class Indexer {
  readonly #fd: number
  readonly #limits: IndexLimits
  readonly #size: number
  readonly #cache = new ByteCache(CACHE_BYTES)
  readonly #entries = new Map<number, Entry>()
  readonly #names = new Map<number, string>()
  readonly #offsets = new Map<string, number>()
  #unpacked = 0

  constructor(fd: number, limits: IndexLimits) {
    this.#fd = fd
    this.#limits = limits
    this.#size = fs.fstatSync(fd).size
  }

  async run(): Promise<Indexed> {
    const head = this.#read(0, 12)
    if (head.toString('latin1', 0, 4) !== 'PACK' || ![2, 3].includes(head.readUInt32BE(4))) throw damaged('no pack')
    const count = head.readUInt32BE(8)
    if (count > this.#limits.objects) throw new Fault('TooLarge', `a pack of ${count} objects`)
    let at = 12
    for (let i = 0; i < count; i++) at = await this.#take(at)
    const trailer = this.#read(at, TRAILER_BYTES)
    if (at + TRAILER_BYTES !== this.#size || !this.#hashTo(at).equals(trailer)) throw damaged('its checksum')
    for (let open = [...this.#entries.values()].filter(({ offset }) => !this.#names.has(offset)); open.length > 0;) {
      for (const entry of open) this.#resolve(entry)
      const left = open.filter(({ offset }) => !this.#names.has(offset))
      // What is left stands on something too large to hold, or on nothing that is here.
      if (left.length === open.length) break
      open = left
    }
    return { name: trailer.toString('hex'), index: this.#index(trailer) }
  }

  /** Reads one entry, names it where it is whole, and says where the next begins. */
  async #take(offset: number): Promise<number> {
    const head = this.#read(offset, Math.min(64, this.#size - offset))
    let i = 0
    const next = (): number => {
      const byte = head[i++]
      if (byte === undefined) throw damaged('a truncated entry')
      return byte
    }
    let byte = next()
    const code = (byte >> 4) & 7
    let size = byte & 15
    for (let shift = 4; byte & 128; shift += 7) {
      byte = next()
      size += (byte & 127) * 2 ** shift
    }
    let base: number | string | undefined
    if (code === OFFSET_DELTA) {
      byte = next()
      let distance = byte & 127
      while (byte & 128) {
        byte = next()
        distance = (distance + 1) * 128 + (byte & 127)
      }
      base = offset - distance
      if (distance <= 0 || !this.#entries.has(base)) throw damaged('a delta of nothing')
    } else if (code === REF_DELTA) {
      base = head.toString('hex', i, i + 20)
      i += 20
    }
    const type = PACK_TYPES[code]
    if (base === undefined && (type === undefined || type === '')) throw damaged(`an entry of type ${code}`)
    const at = offset + i
    const whole = base === undefined ? (type as GitType) : undefined
    const end =
      size > this.#limits.heldBytes ? await this.#stream(at, size, whole, offset) : this.#hold(at, size, whole, offset)
    this.#entries.set(offset, { offset, end, at, size, type: whole, base })
    return end
  }

  #hold(at: number, size: number, type: GitType | undefined, offset: number): number {
    const { data, used } = this.#inflate(at, size)
    if (type !== undefined) this.#learn(offset, { type, data })
    return at + used
  }

  /** One that is too large to be held: its name and its end, a piece at a time. */
  async #stream(at: number, size: number, type: GitType | undefined, offset: number): Promise<number> {
    this.#spend(size)
    const hash = createHash('sha1').update(`${type ?? 'delta'} ${size}\0`)
    let seen = 0
    const used = await inflateInPieces(
      (from) => this.#read(at + from, Math.min(CHUNK_BYTES, this.#size - TRAILER_BYTES - at - from)),
      (piece) => {
        seen += piece.length
        if (seen > size) throw damaged('more bytes than were promised')
        hash.update(piece)
      },
    )
    if (seen !== size) throw damaged('fewer bytes than were promised')
    if (type !== undefined) this.#name(offset, hash.digest('hex'))
    return at + used
  }

  #resolve({ offset }: Entry): void {
    const object = this.#object(offset, 0)
    if (object !== undefined) this.#learn(offset, object)
  }

  /** Undefined where it is, or stands on, what is not held. */
  #object(offset: number, depth: number): GitObject | undefined {
    const known = this.#cache.get(String(offset))
    if (known !== undefined) return known
    const entry = this.#entries.get(offset)
    if (entry === undefined || depth > 4096) throw damaged('a delta of nothing')
    if (entry.size > this.#limits.heldBytes) return undefined
    if (entry.base === undefined) return { type: entry.type as GitType, data: this.#inflate(entry.at, entry.size).data }
    const from = typeof entry.base === 'number' ? entry.base : this.#offsets.get(entry.base)
    const base = from === undefined ? undefined : this.#object(from, depth + 1)
    if (base === undefined) return undefined
    const delta = this.#inflate(entry.at, entry.size).data
    const size = resultSize(delta)
    if (size > this.#limits.heldBytes) return undefined
    this.#spend(size)
    const data = applied(base.data, delta, size)
    const object = { type: base.type, data }
    this.#cache.set(String(offset), object)
    return object
  }

  #learn(offset: number, { type, data }: GitObject): void {
    this.#cache.set(String(offset), { type, data })
    this.#name(offset, createHash('sha1').update(`${type} ${data.length}\0`).update(data).digest('hex'))
  }

  #name(offset: number, name: string): void {
    this.#names.set(offset, name)
    this.#offsets.set(name, offset)
  }

  #inflate(at: number, size: number): { readonly data: Buffer; readonly used: number } {
    this.#spend(size)
    // What deflate makes of bytes that it cannot make smaller, and room.
    const most = size + (size >> 9) + 1024
    const packed = this.#read(at, Math.min(most, this.#size - TRAILER_BYTES - at))
    try {
      const { buffer, engine } = zlib.inflateSync(packed, {
        info: true,
        maxOutputLength: Math.max(1, size),
      }) as unknown as Inflated
      if (buffer.length !== size) throw damaged('fewer bytes than were promised')
      return { data: buffer, used: engine.bytesWritten }
    } catch (error) {
      throw error instanceof Fault ? error : damaged('an entry that does not unpack', error)
    }
  }

  #spend(bytes: number): void {
    this.#unpacked += bytes
    if (this.#unpacked > this.#limits.unpackedBytes)
      throw new Fault(
        'TooLarge',
        `a pack of ${this.#size} bytes that unpacks to more than ${this.#limits.unpackedBytes}`,
      )
  }

  #read(at: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(Math.max(0, length))
    if (fs.readSync(this.#fd, bytes, 0, bytes.length, at) !== bytes.length || length < 0)
      throw damaged('a truncated pack')
    return bytes
  }

  #hashTo(end: number): Buffer {
    const hash = createHash('sha1')
    for (let at = 0; at < end; at += CHUNK_BYTES) hash.update(this.#read(at, Math.min(CHUNK_BYTES, end - at)))
    return hash.digest()
  }

  #crc({ offset, end }: Entry): number {
    let crc = 0
    for (let at = offset; at < end; at += CHUNK_BYTES)
      crc = zlib.crc32(this.#read(at, Math.min(CHUNK_BYTES, end - at)), crc)
    return crc
  }

  /** Version 2: 256 counts, names in order, checksums, offsets; those beyond 2 GiB apart. */
  #index(trailer: Buffer): Buffer {
    const found = [...this.#offsets].sort(([a], [b]) => (a < b ? -1 : 1))
    const far = found.filter(([, offset]) => offset >= 0x8000_0000)
    const index = Buffer.alloc(8 + 1024 + found.length * 28 + far.length * 8 + 40)
    index.writeUInt32BE(0xff744f63, 0)
    index.writeUInt32BE(2, 4)
    let farther = 0
    for (const [i, [name, offset]] of found.entries()) {
      index.write(name, 1032 + i * 20, 'hex')
      index.writeUInt32BE(this.#crc(this.#entries.get(offset) as Entry), 1032 + found.length * 20 + i * 4)
      const at = 1032 + found.length * 24 + i * 4
      if (offset < 0x8000_0000) index.writeUInt32BE(offset, at)
      else {
        index.writeUInt32BE(0x8000_0000 + farther, at)
        index.writeBigUInt64BE(BigInt(offset), 1032 + found.length * 28 + farther * 8)
        farther++
      }
    }
    let i = 0
    for (let first = 0; first < 256; first++) {
      while (i < found.length && Number.parseInt((found[i] as [string, number])[0].slice(0, 2), 16) <= first) i++
      index.writeUInt32BE(i, 8 + first * 4)
    }
    trailer.copy(index, index.length - 40)
    createHash('sha1')
      .update(index.subarray(0, -20))
      .digest()
      .copy(index, index.length - 20)
    return index
  }
}

/** How many bytes of its input a stream has. `sink` may throw to end it. */
async function inflateInPieces(read: (from: number) => Buffer, sink: (piece: Buffer) => void): Promise<number> {
  const inflate = zlib.createInflate({ chunkSize: CHUNK_BYTES })
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>()
  const state = { over: false }
  inflate.once('end', () => {
    state.over = true
    resolve()
  })
  inflate.once('error', (error) => reject(damaged('an entry that does not unpack', error)))
  inflate.on('data', (piece: Buffer) => {
    try {
      sink(piece)
    } catch (error) {
      inflate.destroy()
      reject(error)
    }
  })
  try {
    for (let from = 0; !state.over;) {
      const piece = read(from)
      from += piece.length
      // Bytes after the end of the stream are the next entry's, and are never taken.
      if (piece.length > 0) await Promise.race([ended, new Promise((taken) => inflate.write(piece, taken))])
      else {
        inflate.end()
        await ended
      }
    }
    return inflate.bytesWritten
  } finally {
    inflate.destroy()
  }
}

/** Of what a delta makes: the second number of its head. */
function resultSize(delta: Buffer): number {
  let at = 0
  let size = 0
  for (let i = 0; i < 2; i++) {
    size = 0
    for (let shift = 0; ; shift += 7) {
      const byte = delta[at++]
      if (byte === undefined) throw damaged('a truncated delta')
      size += (byte & 127) * 2 ** shift
      if (byte < 128) break
    }
  }
  return size
}

function applied(base: Buffer, delta: Buffer, size: number): Buffer {
  try {
    return applyDelta(base, delta, size)
  } catch (error) {
    throw damaged('a delta that does not fit', error)
  }
}

interface Inflated {
  readonly buffer: Buffer
  readonly engine: { readonly bytesWritten: number }
}

function damaged(what: string, cause?: unknown): Fault {
  return new Fault('ObjectUnreadable', `the pack that the Git host sent: ${what}`, { cause })
}
