/** X25519 keys in age's text form: bech32 (BIP 173) of 32 bytes, `age1…` and `AGE-SECRET-KEY-1…`. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { Fault } from '../../core/model/fault.ts'
import { SecretText } from '../../core/model/secret.ts'

const ALPHABET = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'
const GENERATOR = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]
const PUBLIC_PREFIX = 'age'
const SECRET_PREFIX = 'age-secret-key-'
const KEY_BYTES = 32
const KEY_WORDS = 52

export interface AgeKeys {
  readonly recipient: string
  /** `AGE-SECRET-KEY-1…` */
  readonly secret: SecretText
}

export function makeAgeKeys(): AgeKeys {
  const jwk = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' })
  const secret = new SecretText(encodeBech32(SECRET_PREFIX, Buffer.from(jwk.d!, 'base64url')).toUpperCase())
  return { recipient: encodeBech32(PUBLIC_PREFIX, Buffer.from(jwk.x!, 'base64url')), secret }
}

/** Fault InvalidInput. */
export function recipientKey(recipient: string): KeyObject {
  const x = decodeBech32(PUBLIC_PREFIX, recipient).toString('base64url')
  return createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x }, format: 'jwk' })
}

/** Fault InvalidInput. */
export function secretKey(keys: AgeKeys): KeyObject {
  const d = decodeBech32(SECRET_PREFIX, keys.secret.reveal().toLowerCase()).toString('base64url')
  const x = decodeBech32(PUBLIC_PREFIX, keys.recipient).toString('base64url')
  return createPrivateKey({ key: { kty: 'OKP', crv: 'X25519', d, x }, format: 'jwk' })
}

export function encodeBech32(prefix: string, bytes: Uint8Array): string {
  const words = regroup(bytes, 8, 5)
  const sum = checksum([...expand(prefix), ...words, 0, 0, 0, 0, 0, 0]) ^ 1
  for (let i = 0; i < 6; i++) words.push((sum >>> (5 * (5 - i))) & 31)
  return `${prefix}1${words.map((word) => ALPHABET[word]).join('')}`
}

/** Lower case, 32 bytes. Fault InvalidInput. */
export function decodeBech32(prefix: string, text: string): Buffer {
  const words = Array.from(text.slice(prefix.length + 1), (c) => ALPHABET.indexOf(c))
  const wellFormed = text.startsWith(`${prefix}1`) && words.length === KEY_WORDS + 6 && !words.includes(-1)
  if (!wellFormed || checksum([...expand(prefix), ...words]) !== 1) throw new Fault('InvalidInput', 'not an age key')
  const bytes = Buffer.from(regroup(words.slice(0, -6), 5, 8))
  // 52 groups of five bits are 32 bytes and four bits of padding, which are zero.
  if (bytes[KEY_BYTES] !== 0) throw new Fault('InvalidInput', 'not an age key')
  return bytes.subarray(0, KEY_BYTES)
}

function expand(prefix: string): number[] {
  const codes = Array.from(prefix, (c) => c.charCodeAt(0))
  return [...codes.map((code) => code >> 5), 0, ...codes.map((code) => code & 31)]
}

function checksum(words: readonly number[]): number {
  let sum = 1
  for (const word of words) {
    const top = sum >>> 25
    sum = (((sum & 0x1ffffff) << 5) ^ word) >>> 0
    for (const [i, value] of GENERATOR.entries()) if ((top >>> i) & 1) sum = (sum ^ value) >>> 0
  }
  return sum
}

/** Bits in groups of another size, the last padded with zeros. */
function regroup(input: Iterable<number>, from: number, to: number): number[] {
  const out: number[] = []
  let held = 0
  let bits = 0
  for (const value of input) {
    held = (held << from) | value
    bits += from
    while (bits >= to) {
      bits -= to
      out.push((held >>> bits) & ((1 << to) - 1))
      held &= (1 << bits) - 1
    }
  }
  if (bits > 0) out.push((held << (to - bits)) & ((1 << to) - 1))
  return out
}
