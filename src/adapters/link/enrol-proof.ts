/**
 * Proof that who enrols holds both private keys, over this very connection: the transcript holds the hub's challenge and
 * TLS's exported keying material, so that a proof taken from one connection is worth nothing on another.
 * The TLS key signs it; the age key, which cannot sign, keys a MAC by Diffie-Hellman with the hub's ephemeral key.
 */
import {
  createHmac,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  sign,
  timingSafeEqual,
  verify,
  type KeyObject,
} from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { Fault } from '../../core/model/fault.ts'
import { canonicalJson } from '../../core/model/json.ts'
import { pae, PAYLOAD_TYPES } from '../../core/protocol/envelope.ts'
import { recipientKey } from './age-keys.ts'
import { hashTokenSecret } from './token.ts'

export const CHALLENGE_BYTES = 32
const MAC_INFO = 'flotilla/enrol/age/v1'

export interface Claim {
  readonly site: string
  readonly secret: string
  /** SPKI of the TLS key. */
  readonly publicKey: Uint8Array
  readonly recipient: string
  readonly challenge: Uint8Array
  /** TLS exporter output of this connection. */
  readonly binding: Uint8Array
}

export interface Proof {
  readonly sig: Uint8Array
  readonly mac: Uint8Array
}

/** The same bytes at both ends of one TLS connection and nowhere else. */
export function bindingOf(socket: TLSSocket): Buffer {
  return socket.exportKeyingMaterial(32, 'EXPORTER-flotilla-enrol', Buffer.alloc(0))
}

function transcript(claim: Claim): Buffer {
  const b64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
  const json = canonicalJson({
    site: claim.site,
    secret: hashTokenSecret(claim.secret),
    publicKey: b64(claim.publicKey),
    recipient: claim.recipient,
    challenge: b64(claim.challenge),
    binding: b64(claim.binding),
  })
  return pae(PAYLOAD_TYPES.enrol, Buffer.from(json))
}

function mac(claim: Claim, shared: Buffer): Buffer {
  const key = Buffer.from(hkdfSync('sha256', shared, claim.challenge, MAC_INFO, 32))
  return createHmac('sha256', key).update(transcript(claim)).digest()
}

/** At the site. `age` is the X25519 private key of `claim.recipient`, `ephemeral` the hub's public one. */
export function prove(claim: Claim, tlsKey: KeyObject, age: KeyObject, ephemeral: KeyObject): Proof {
  return {
    sig: sign('sha256', transcript(claim), tlsKey),
    mac: mac(claim, diffieHellman({ privateKey: age, publicKey: ephemeral })),
  }
}

/** At the hub. Fault InvalidInput where a key is not of its kind or a proof does not hold. */
export function checkProof(claim: Claim, proof: Proof, ephemeral: KeyObject): void {
  const refuse = (because: string, cause?: unknown): never => {
    throw new Fault('InvalidInput', because, { cause })
  }
  try {
    const tlsKey = createPublicKey({ key: Buffer.from(claim.publicKey), format: 'der', type: 'spki' })
    if (tlsKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') refuse('the TLS key is not on P-256')
    if (!verify('sha256', transcript(claim), tlsKey, proof.sig)) refuse('possession of the TLS key is not proved')
    const shared = diffieHellman({ privateKey: ephemeral, publicKey: recipientKey(claim.recipient) })
    const expected = mac(claim, shared)
    if (proof.mac.length !== expected.length || !timingSafeEqual(expected, proof.mac))
      refuse('possession of the age key is not proved')
  } catch (cause) {
    if (cause instanceof Fault) throw cause
    refuse('a key that cannot be read', cause)
  }
}
