/** SSH signatures of Git commits (gpg.format=ssh). Format: PROTOCOL.sshsig of OpenSSH. Pure. */
import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto'
import type { CommitVerdict } from './signature.ts'
import type { SshSigner } from './signers.ts'

const NAMESPACE = 'git'
/** Shorter moduli can be factored. */
const MIN_RSA_BITS = 2048

/** `atMs`: when the key must have been valid. Throws where the signature cannot be read. */
export function verifySshSignature(
  armored: string,
  payload: Buffer,
  signers: readonly SshSigner[],
  atMs: number,
): CommitVerdict {
  const body = /^-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)\n-----END SSH SIGNATURE-----$/.exec(armored)?.[1]
  if (body === undefined) throw new Error('damaged armour')
  const blob = Buffer.from(body.replaceAll('\n', ''), 'base64')
  if (blob.toString('latin1', 0, 6) !== 'SSHSIG' || blob.readUInt32BE(6) !== 1)
    throw new Error('not an SSHSIG of version 1')
  const fields = new Reader(blob, 10)
  const publicKey = fields.string()
  const namespace = fields.string().toString()
  const reserved = fields.string()
  const hash = fields.string().toString()
  const inner = new Reader(fields.string(), 0)
  const algorithm = inner.string().toString()
  const signature = inner.string()
  if (namespace !== NAMESPACE) throw new Error(`signed for ${JSON.stringify(namespace)}, not for ${NAMESPACE}`)
  if (hash !== 'sha256' && hash !== 'sha512') throw new Error(`hash ${JSON.stringify(hash)}`)
  const encoded = publicKey.toString('base64')
  const signer = signers.find(({ key }) => key === encoded)
  if (signer === undefined) return { kind: 'unknown', key: fingerprint(publicKey) }
  const digest = createHash(hash).update(payload).digest()
  const signed = Buffer.concat([
    Buffer.from('SSHSIG'),
    prefixed(namespace),
    prefixed(reserved),
    prefixed(hash),
    prefixed(digest),
  ])
  if (!checks(algorithm, publicKey, signed, signature))
    return { kind: 'invalid', because: 'the signature does not match the commit' }
  if (atMs < signer.fromMs || atMs >= signer.untilMs) {
    const bound = atMs < signer.fromMs ? `not valid before ${iso(signer.fromMs)}` : `expired at ${iso(signer.untilMs)}`
    return { kind: 'expired', by: signer.name, because: bound }
  }
  return { kind: 'signed', by: signer.name }
}

function iso(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z')
}

/** As `ssh-keygen -l` shows it. */
function fingerprint(publicKey: Buffer): string {
  return `SHA256:${createHash('sha256').update(publicKey).digest('base64').replace(/=+$/, '')}`
}

function checks(algorithm: string, publicKey: Buffer, signed: Buffer, signature: Buffer): boolean {
  const { type, key } = keyOf(publicKey)
  if (algorithm === 'ssh-ed25519' && type === algorithm) return verify(null, signed, key, signature)
  if ((algorithm === 'rsa-sha2-512' || algorithm === 'rsa-sha2-256') && type === 'ssh-rsa') {
    if ((key.asymmetricKeyDetails?.modulusLength ?? 0) < MIN_RSA_BITS) throw new Error('an RSA key that is too short')
    return verify(algorithm === 'rsa-sha2-512' ? 'sha512' : 'sha256', signed, key, signature)
  }
  const curve = /^ecdsa-sha2-nistp(256|384|521)$/.exec(algorithm)?.[1]
  if (curve === undefined || type !== algorithm) throw new Error(`signature algorithm ${JSON.stringify(algorithm)}`)
  const parts = new Reader(signature, 0)
  const der = Buffer.concat([derInteger(parts.string()), derInteger(parts.string())])
  const length = der.length > 127 ? Buffer.from([0x30, 0x81, der.length]) : Buffer.from([0x30, der.length])
  return verify({ '256': 'sha256', '384': 'sha384', '521': 'sha512' }[curve], signed, key, Buffer.concat([length, der]))
}

function keyOf(blob: Buffer): { readonly type: string; readonly key: KeyObject } {
  const fields = new Reader(blob, 0)
  const type = fields.string().toString()
  const b64 = (bytes: Buffer): string => bytes.toString('base64url')
  if (type === 'ssh-ed25519') {
    return {
      type,
      key: createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: b64(fields.string()) }, format: 'jwk' }),
    }
  }
  if (type === 'ssh-rsa') {
    const e = unsigned(fields.string())
    const n = unsigned(fields.string())
    return { type, key: createPublicKey({ key: { kty: 'RSA', e: b64(e), n: b64(n) }, format: 'jwk' }) }
  }
  if (type.startsWith('ecdsa-sha2-nistp')) {
    const crv = fields.string().toString().replace('nistp', 'P-')
    const point = fields.string()
    const half = (point.length - 1) / 2
    const [x, y] = [b64(point.subarray(1, 1 + half)), b64(point.subarray(1 + half))]
    return { type, key: createPublicKey({ key: { kty: 'EC', crv, x, y }, format: 'jwk' }) }
  }
  throw new Error(`key type ${JSON.stringify(type)}`)
}

class Reader {
  readonly #bytes: Buffer
  #at: number

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes
    this.#at = at
  }

  string(): Buffer {
    const length = this.#at + 4 <= this.#bytes.length ? this.#bytes.readUInt32BE(this.#at) : Number.POSITIVE_INFINITY
    const end = this.#at + 4 + length
    if (end > this.#bytes.length) throw new Error('a truncated signature')
    const value = this.#bytes.subarray(this.#at + 4, end)
    this.#at = end
    return value
  }
}

function prefixed(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

/** An mpint without its leading zeros. */
function unsigned(bytes: Buffer): Buffer {
  let from = 0
  while (from < bytes.length - 1 && bytes[from] === 0) from++
  return bytes.subarray(from)
}

function derInteger(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([2, bytes.length]), bytes])
}
