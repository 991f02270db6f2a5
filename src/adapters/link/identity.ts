/** What a site's enrolment says of the hub's keys. */
import type { KeyObject } from 'node:crypto'
import type { SiteIdentity } from '../../agent/ports.ts'
import { Fault } from '../../core/model/fault.ts'
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
