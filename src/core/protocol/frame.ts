/**
 * One message: a JSON head and byte parts beside it. The head is deflated with the previous head of the same direction and
 * connection as dictionary, or a fixed starter where there is none; digests that the dictionary does not hold travel as 32 bytes.
 *
 *   u8 format and dictionary · varint head length (packed) · varint number of digests · varint number of parts ·
 *   varint length a part · u32 CRC-32 of the head's text · head · digests, 32 bytes each · parts
 */
import { constants, crc32, deflateRawSync, inflateRawSync } from 'node:zlib'
import { Fault } from '../model/fault.ts'
import { HEAD_MAX_BYTES, MAX_PARTS } from './limits.ts'

const FORMAT = 0x10
const DICTIONARY = { starter: 0, previous: 1 } as const
const MAX_DIGESTS = 20_000
const DIGEST_BYTES = 32
const DIGEST = /sha256:[0-9a-f]{64}/g
/** Control characters never stand in JSON text, so that they can stand for a digest: the next of the table, or one named by number. */
const NEXT_DIGEST = '\u0001'
const SAME_DIGEST = '\u0002'
const MARKS = /\u0001|\u0002(\d{1,5});/g // oxlint-disable-line no-control-regex

export interface Frame {
  /** JSON text. */
  readonly head: string
  readonly parts: readonly Uint8Array[]
}

export interface Dictionary {
  /** Both sides know it from the start. */
  readonly starter: string
  /** The previous head of this direction on this connection, as both sides have it. */
  readonly previous: string | undefined
}

export interface FrameLimits {
  readonly totalBytes: number
  readonly headBytes?: number
  readonly parts?: number
}

export function encodeFrame(frame: Frame, dictionary: Dictionary): Buffer {
  const kind = dictionary.previous === undefined ? 'starter' : 'previous'
  const known = dictionary[kind] ?? ''
  const table: Buffer[] = []
  const at = new Map<string, number>()
  const packed = frame.head.replace(DIGEST, (digest) => {
    // What the dictionary holds costs three bytes as a match.
    if (known.includes(digest)) return digest
    const index = at.get(digest)
    if (index !== undefined) return `${SAME_DIGEST}${index};`
    at.set(digest, table.push(Buffer.from(digest.slice('sha256:'.length), 'hex')) - 1)
    return NEXT_DIGEST
  })
  const head = deflateRawSync(packed, { level: 9, memLevel: 8, dictionary: Buffer.from(known) })
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(crc32(frame.head))
  const lengths = [head.length, table.length, frame.parts.length, ...frame.parts.map((part) => part.length)]
  const prefix = Buffer.from([FORMAT | DICTIONARY[kind], ...lengths.flatMap(varint)])
  return Buffer.concat([prefix, sum, head, ...table, ...frame.parts])
}

/** Fault InvalidInput, TooLarge; Stale where it is against a head that this side does not hold. */
export function decodeFrame(bytes: Uint8Array, dictionary: Dictionary, limits: FrameLimits): Frame {
  if (bytes.length > limits.totalBytes) throw new Fault('TooLarge', `a message of ${bytes.length} bytes`)
  const read = new Reader(bytes)
  const kind = read.byte()
  if ((kind & 0xf0) !== FORMAT || (kind & 0x0f) > 1) throw new Fault('InvalidInput', 'not a message of this format')
  const known = kind === (FORMAT | DICTIONARY.previous) ? dictionary.previous : dictionary.starter
  if (known === undefined) throw new Fault('Stale', 'a message against a head that this connection has not seen')
  const headLength = read.varint(limits.totalBytes)
  const digests = read.varint(MAX_DIGESTS)
  const parts = read.varint(limits.parts ?? MAX_PARTS)
  const partLengths = Array.from({ length: parts }, () => read.varint(limits.totalBytes))
  const sum = read.bytes(4)
  const packed = inflateHead(read.bytes(headLength), known, limits.headBytes ?? HEAD_MAX_BYTES)
  const table = read.bytes(digests * DIGEST_BYTES)
  const found = partLengths.map((length) => read.bytes(length))
  read.end()
  const head = unpackDigests(packed, table, limits.headBytes ?? HEAD_MAX_BYTES)
  if (crc32(head) !== Buffer.from(sum).readUInt32BE()) throw new Fault('InvalidInput', 'a message with a damaged head')
  return { head, parts: found }
}

function inflateHead(head: Uint8Array, known: string, maxBytes: number): string {
  try {
    const bytes = inflateRawSync(head, {
      dictionary: Buffer.from(known),
      maxOutputLength: maxBytes,
      finishFlush: constants.Z_FINISH,
    })
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    if ((cause as { readonly code?: string }).code === 'ERR_BUFFER_TOO_LARGE')
      throw new Fault('TooLarge', `a head above ${maxBytes} bytes`, { cause })
    throw new Fault('InvalidInput', 'a head that does not inflate', { cause })
  }
}

function unpackDigests(packed: string, table: Uint8Array, maxChars: number): string {
  const texts: string[] = []
  for (let at = 0; at < table.length; at += DIGEST_BYTES)
    texts.push(`sha256:${Buffer.from(table.subarray(at, at + DIGEST_BYTES)).toString('hex')}`)
  let next = 0
  let grown = packed.length
  const head = packed.replace(MARKS, (mark, index: string | undefined) => {
    const digest = mark === NEXT_DIGEST ? texts[next++] : texts[Number(index)]
    if (digest === undefined) throw new Fault('InvalidInput', 'a head that names a digest it does not bring')
    if ((grown += digest.length) > maxChars) throw new Fault('TooLarge', `a head above ${maxChars} characters`)
    return digest
  })
  if (next !== texts.length) throw new Fault('InvalidInput', 'a message with digests that its head does not name')
  return head
}

function varint(value: number): number[] {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest & 0x7f) | 0x80)
  bytes.push(rest)
  return bytes
}

/** Reads forward and never past the end. */
class Reader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  byte(): number {
    const byte = this.#bytes[this.#at++]
    return byte ?? truncated()
  }

  varint(max: number): number {
    let value = 0
    for (let shift = 0; shift <= 28; shift += 7) {
      const byte = this.byte()
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) {
        if (value > max) throw new Fault('TooLarge', `a message that announces ${value} where ${max} is the most`)
        return value
      }
    }
    throw new Fault('InvalidInput', 'a length of more than five bytes')
  }

  bytes(length: number): Uint8Array {
    if (this.#at + length > this.#bytes.length) return truncated()
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw new Fault('InvalidInput', 'bytes after the end of a message')
  }
}

function truncated(): never {
  throw new Fault('InvalidInput', 'a message that ends too soon')
}
