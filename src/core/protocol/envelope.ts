/** Exact bytes and who signed them: Ed25519 over DSSE's pre-authentication encoding. Nobody re-canonicalises to verify. */
import { createHash, createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import { Fault } from '../model/fault.ts'
import type { Envelope } from './messages.ts'

/** The type is under the signature: a time statement is never taken for a manifest. */
export const PAYLOAD_TYPES = {
  manifest: 'application/vnd.flotilla.manifest.v1+json',
  time: 'application/vnd.flotilla.time.v1',
  trust: 'application/vnd.flotilla.trust.v1+json',
  enrol: 'application/vnd.flotilla.enrol.v1+json',
  release: 'application/vnd.flotilla.release.v1+json',
  renew: 'application/vnd.flotilla.renew.v1+json',
  audit: 'application/vnd.flotilla.audit.v1+json',
  ask: 'application/vnd.flotilla.ask.v1+json',
} as const
export type PayloadType = (typeof PAYLOAD_TYPES)[keyof typeof PAYLOAD_TYPES]

/** More signatures than roles and rotation need are an attack on our CPU. */
export const MAX_SIGNATURES = 8
export const SIGNATURE_BYTES = 64

export interface SigningKey {
  readonly keyid: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

/** Public keys that count, by keyid. */
export type KeyRing = ReadonlyMap<string, KeyObject>

/** `DSSEv1 <type length> <type> <payload length> <payload>`. */
export function pae(payloadType: string, payload: Uint8Array): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `
  return Buffer.concat([Buffer.from(head), payload])
}

/** SubjectPublicKeyInfo, DER. */
export function spkiOf(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' })
}

/** 16 hex digits of the hash of the public key: finds the key, proves nothing. */
export function keyIdOf(publicKey: KeyObject): string {
  return createHash('sha256').update(spkiOf(publicKey)).digest('hex').slice(0, 16)
}

/** PKCS #8, PEM or DER. Fault InvalidInput where it is not an Ed25519 key. */
export function signingKey(pkcs8: string | Uint8Array): SigningKey {
  try {
    const privateKey =
      typeof pkcs8 === 'string'
        ? createPrivateKey(pkcs8)
        : createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' })
    if (privateKey.asymmetricKeyType !== 'ed25519') throw new TypeError(`a ${privateKey.asymmetricKeyType} key`)
    const publicKey = createPublicKey(privateKey)
    return { keyid: keyIdOf(publicKey), privateKey, publicKey }
  } catch (cause) {
    throw new Fault('InvalidInput', 'not an Ed25519 private key', { cause })
  }
}

/** Fault InvalidInput where the bytes are not the SPKI of an Ed25519 key. */
export function ed25519PublicKey(spki: Uint8Array): KeyObject {
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
    if (key.asymmetricKeyType !== 'ed25519') throw new TypeError(`a ${key.asymmetricKeyType} key`)
    return key
  } catch (cause) {
    throw new Fault('InvalidInput', 'not an Ed25519 public key', { cause })
  }
}

export function signBytes(payloadType: PayloadType, payload: Uint8Array, key: SigningKey): Buffer {
  return sign(null, pae(payloadType, payload), key.privateKey)
}

export function verifyBytes(payloadType: PayloadType, payload: Uint8Array, sig: Uint8Array, key: KeyObject): boolean {
  return sig.length === SIGNATURE_BYTES && verify(null, pae(payloadType, payload), key, sig)
}

export function seal(payloadType: PayloadType, payload: Uint8Array, keys: readonly SigningKey[]): Envelope {
  const signatures = keys.map((key) => ({ keyid: key.keyid, sig: signBytes(payloadType, payload, key) }))
  return { payloadType, payload, signatures }
}

export type Opened = { readonly ok: true; readonly by: string } | { readonly ok: false; readonly because: string }

/** Holds iff the type is the expected one and one signature verifies under a key of the ring. */
export function opens(envelope: Envelope, payloadType: PayloadType, ring: KeyRing): Opened {
  if (envelope.payloadType !== payloadType) return { ok: false, because: `a payload of type ${envelope.payloadType}` }
  if (envelope.signatures.length > MAX_SIGNATURES) return { ok: false, because: 'too many signatures' }
  const named: string[] = []
  for (const { keyid, sig } of envelope.signatures) {
    const key = ring.get(keyid)
    if (key === undefined) continue
    named.push(keyid)
    if (verifyBytes(payloadType, envelope.payload, sig, key)) return { ok: true, by: keyid }
  }
  if (named.length > 0) return { ok: false, because: `the signature by ${named.join(', ')} does not verify` }
  return { ok: false, because: 'no signature by a key that the trust statement names' }
}
