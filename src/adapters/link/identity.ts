/** All that a site keeps of its enrolment. The agent stores it; as text, a damaged one is told from a valid one by its sum. */
import { createHash } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { SiteIdentity } from '../../agent/ports.ts'
import { Fault } from '../../core/model/fault.ts'
import { canonicalJson, type JsonObject } from '../../core/model/json.ts'
import { ed25519PublicKey } from '../../core/protocol/envelope.ts'
import { acceptTrust, type Trust } from '../../core/protocol/trust.ts'

export type { SiteIdentity }

export function rootOfIdentity(identity: Pick<SiteIdentity, 'root'>): KeyObject {
  return ed25519PublicKey(Buffer.from(identity.root, 'base64'))
}

/** What the identity's statement says. Fault with the reason of the refusal. */
export function trustOf(identity: Pick<SiteIdentity, 'root' | 'trust'>): Trust {
  const read = acceptTrust(identity.trust, rootOfIdentity(identity), undefined)
  if (read.verdict === 'refuse') throw new Fault(read.reason, read.because)
  return read.trust
}

const FIELDS = ['site', 'siteId', 'hubUrl', 'root', 'certificate', 'privateKey', 'ageKey', 'recipient'] as const
const b64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')

/** Text with private keys in the clear: for a file of mode 0600 and nothing else. */
export function encodeIdentity(identity: SiteIdentity): string {
  const { trust, floor, ...rest } = identity
  const body = {
    format: 1,
    ...rest,
    trust: { payload: b64(trust.payload), sig: b64(trust.sig) },
    ...(floor === undefined ? {} : { floor }),
  }
  const text = canonicalJson(body as unknown as JsonObject)
  return `${createHash('sha256').update(text).digest('hex')}\n${text}\n`
}

/** Fault StoreCorrupt. */
export function decodeIdentity(text: string): SiteIdentity {
  const [sum, json = ''] = text.split('\n')
  if (createHash('sha256').update(json).digest('hex') !== sum)
    throw new Fault('StoreCorrupt', 'the identity does not match its sum')
  const it = JSON.parse(json) as SiteIdentity & { readonly format: number }
  if (it.format !== 1 || FIELDS.some((field) => typeof it[field] !== 'string'))
    throw new Fault('StoreCorrupt', 'an identity of another format')
  const { format: _format, ...identity } = it
  const trust = it.trust as unknown as { readonly payload: string; readonly sig: string }
  return {
    ...identity,
    trust: { payload: Buffer.from(trust.payload, 'base64'), sig: Buffer.from(trust.sig, 'base64') },
  }
}
