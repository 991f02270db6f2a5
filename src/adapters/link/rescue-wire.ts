/**
 * Renewal by proof of the held key, for a site at any agent version after any silence: these bytes are frozen for ever (golden
 * files). A later need gets a path of its own. The hub's first word is an enrolment's challenge.
 *
 *   GET  /v1/rescue/roots  → challenge frame with empty challenge
 *   GET  /v1/rescue/renew  → challenge frame
 *   POST /v1/rescue/renew  head {v, site, siteId}, parts: held key (SPKI), next key (SPKI), signature by each
 *                          → head {v, certificate}
 */
import { createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import { Fault } from '../../core/model/fault.ts'
import { canonicalJson } from '../../core/model/json.ts'
import { pae, PAYLOAD_TYPES } from '../../core/protocol/envelope.ts'
import { decodeFrame, encodeFrame } from '../../core/protocol/frame.ts'
import { ENROL_MAX_BYTES } from '../../core/protocol/limits.ts'
import { parseJsonText, record, siteIdText, siteName, text } from '../../core/protocol/shape.ts'

const NO_DICTIONARY = { starter: '', previous: undefined }
const MAX_PARTS = 8

export interface RenewalClaim {
  readonly site: string
  readonly siteId: string
  /** SPKI. */
  readonly heldKey: Uint8Array
  readonly nextKey: Uint8Array
}

export interface RenewalApplication extends RenewalClaim {
  readonly heldSig: Uint8Array
  readonly nextSig: Uint8Array
}

/** What ties a proof to one connection: the hub's challenge and TLS's exported keying material. */
export interface RenewalMoment {
  readonly challenge: Uint8Array
  readonly binding: Uint8Array
}

export function renewalTranscript(claim: RenewalClaim, moment: RenewalMoment): Buffer {
  const b64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
  const json = canonicalJson({
    site: claim.site,
    siteId: claim.siteId,
    heldKey: b64(claim.heldKey),
    nextKey: b64(claim.nextKey),
    challenge: b64(moment.challenge),
    binding: b64(moment.binding),
  })
  return pae(PAYLOAD_TYPES.renew, Buffer.from(json))
}

export function proveRenewal(
  claim: RenewalClaim,
  moment: RenewalMoment,
  held: KeyObject,
  next: KeyObject,
): RenewalApplication {
  const said = renewalTranscript(claim, moment)
  return { ...claim, heldSig: sign('sha256', said, held), nextSig: sign('sha256', said, next) }
}

/** Fault InvalidInput where a key is not on P-256 or a proof does not hold. */
export function checkRenewal(application: RenewalApplication, moment: RenewalMoment): void {
  const said = renewalTranscript(application, moment)
  const { heldKey, heldSig, nextKey, nextSig } = application
  if (!signedBy(heldKey, said, heldSig)) throw new Fault('InvalidInput', 'possession of the held key is not proved')
  if (!signedBy(nextKey, said, nextSig)) throw new Fault('InvalidInput', 'possession of the next key is not proved')
}

function signedBy(spki: Uint8Array, said: Buffer, sig: Uint8Array): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
    return key.asymmetricKeyDetails?.namedCurve === 'prime256v1' && verify('sha256', said, key, sig)
  } catch (cause) {
    throw new Fault('InvalidInput', 'a key that cannot be read', { cause })
  }
}

export function encodeRenewal(application: RenewalApplication): Buffer {
  const { site, siteId, heldKey, nextKey, heldSig, nextSig } = application
  return encodeFrame(
    { head: JSON.stringify({ v: 1, site, siteId }), parts: [heldKey, nextKey, heldSig, nextSig] },
    NO_DICTIONARY,
  )
}

/** Fault InvalidInput, TooLarge. */
export function decodeRenewal(bytes: Uint8Array): RenewalApplication {
  const limits = { totalBytes: ENROL_MAX_BYTES, headBytes: ENROL_MAX_BYTES, parts: MAX_PARTS }
  const { head, parts } = decodeFrame(bytes, NO_DICTIONARY, limits)
  const [heldKey, nextKey, heldSig, nextSig] = parts
  if (nextSig === undefined) throw new Fault('InvalidInput', 'a renewal without its parts')
  const json = record(parseJsonText(head, 'the renewal'), 'renewal')
  return {
    site: siteName(json.site, 'site'),
    siteId: siteIdText(json.siteId, 'siteId'),
    heldKey: heldKey!,
    nextKey: nextKey!,
    heldSig: heldSig!,
    nextSig,
  }
}

export function encodeRenewed(certificate: string): Buffer {
  return encodeFrame({ head: JSON.stringify({ v: 1, certificate }), parts: [] }, NO_DICTIONARY)
}

/** The certificate, PEM. Fault InvalidInput, TooLarge. */
export function decodeRenewed(bytes: Uint8Array): string {
  const limits = { totalBytes: ENROL_MAX_BYTES, headBytes: ENROL_MAX_BYTES, parts: MAX_PARTS }
  const { head } = decodeFrame(bytes, NO_DICTIONARY, limits)
  return text(record(parseJsonText(head, 'the renewal'), 'renewal').certificate, 'certificate', 8_192)
}
