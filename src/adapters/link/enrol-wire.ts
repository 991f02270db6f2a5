/** The two messages of an enrolment and the root's chain as frames: nothing here depends on what a connection said before. */
import type { TrustStatement } from '../../core/protocol/ports.ts'
import { Fault } from '../../core/model/fault.ts'
import type { JsonObject } from '../../core/model/json.ts'
import type { Floor } from '../../core/protocol/accept.ts'
import { decodeFrame, encodeFrame, type Frame } from '../../core/protocol/frame.ts'
import { ENROL_MAX_BYTES } from '../../core/protocol/limits.ts'
import { digest, generation, parseJsonText, record, siteIdText, siteName, text } from '../../core/protocol/shape.ts'
import { TRUST_CHAIN_MAX, TRUST_MAX_BYTES } from '../../core/protocol/trust.ts'

const NO_DICTIONARY = { starter: '', previous: undefined }
export const ROOTS_MAX_BYTES = TRUST_MAX_BYTES * 4

/** What a hub says of itself before anybody has shown a key. */
export interface Roots {
  /** SPKI of the first root. */
  readonly root: Uint8Array
  readonly chain: readonly TrustStatement[]
}

export interface Challenge extends Roots {
  readonly challenge: Uint8Array
  /** SPKI of the hub's X25519 key of this connection. */
  readonly ephemeral: Uint8Array
}

export interface Application {
  readonly site: string
  readonly secret: string
  readonly recipient: string
  readonly publicKey: Uint8Array
  readonly sig: Uint8Array
  readonly mac: Uint8Array
}

export interface Admittance {
  readonly siteId: string
  readonly certificate: string
  readonly trust: TrustStatement
  readonly floor?: Floor
}

export function encodeChallenge({ root, chain, challenge, ephemeral }: Challenge): Buffer {
  return frame({ v: 1 }, [challenge, ephemeral, root, ...chain.flatMap(({ payload, sig }) => [payload, sig])])
}

export function encodeRoots({ root, chain }: Roots): Buffer {
  return encodeChallenge({ root, chain, challenge: new Uint8Array(), ephemeral: new Uint8Array() })
}

/** Fault InvalidInput, TooLarge. */
export function decodeChallenge(bytes: Uint8Array): Challenge {
  const { parts } = read(bytes, ROOTS_MAX_BYTES, 3 + 2 * TRUST_CHAIN_MAX)
  const [challenge, ephemeral, root, ...rest] = parts
  if (root === undefined || rest.length % 2 !== 0) throw new Fault('InvalidInput', 'a challenge without its parts')
  const chain = rest.flatMap((payload, i) => (i % 2 === 0 ? [{ payload, sig: rest[i + 1]! }] : []))
  return { challenge: challenge!, ephemeral: ephemeral!, root, chain }
}

export function encodeApplication({ site, secret, recipient, publicKey, sig, mac }: Application): Buffer {
  return frame({ v: 1, site, secret, recipient }, [publicKey, sig, mac])
}

/** Fault InvalidInput, TooLarge. */
export function decodeApplication(bytes: Uint8Array): Application {
  const { json, parts } = read(bytes, ENROL_MAX_BYTES, 8)
  const [publicKey, sig, mac] = parts
  if (mac === undefined) throw new Fault('InvalidInput', 'an application without its parts')
  return {
    site: siteName(json.site, 'site'),
    secret: text(json.secret, 'secret'),
    recipient: text(json.recipient, 'recipient', 128),
    publicKey: publicKey!,
    sig: sig!,
    mac,
  }
}

export function encodeAdmittance({ siteId, certificate, trust, floor }: Admittance): Buffer {
  const json = { v: 1, siteId, certificate, ...(floor === undefined ? {} : { floor: floor as unknown as JsonObject }) }
  return frame(json, [trust.payload, trust.sig])
}

/** Fault InvalidInput, TooLarge. */
export function decodeAdmittance(bytes: Uint8Array): Admittance {
  const { json, parts } = read(bytes, ROOTS_MAX_BYTES, 8)
  const [payload, sig] = parts
  if (sig === undefined) throw new Fault('InvalidInput', 'an admittance without its parts')
  const floor = json.floor === undefined ? undefined : record(json.floor, 'floor')
  return {
    siteId: siteIdText(json.siteId, 'siteId'),
    certificate: text(json.certificate, 'certificate', 8_192),
    trust: { payload: payload!, sig },
    ...(floor === undefined
      ? {}
      : {
          floor: {
            generation: generation(floor.generation, 'floor.generation'),
            body: digest(floor.body, 'floor.body'),
          },
        }),
  }
}

function frame(json: JsonObject, parts: readonly Uint8Array[]): Buffer {
  return encodeFrame({ head: JSON.stringify(json), parts }, NO_DICTIONARY)
}

function read(
  bytes: Uint8Array,
  totalBytes: number,
  parts: number,
): Pick<Frame, 'parts'> & { readonly json: JsonObject } {
  const found = decodeFrame(bytes, NO_DICTIONARY, { totalBytes, headBytes: ENROL_MAX_BYTES, parts })
  return { json: record(parseJsonText(found.head, 'the message'), 'message'), parts: found.parts }
}
