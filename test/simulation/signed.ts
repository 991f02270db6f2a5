/** Reading what a hub signed, by the fixed keys of the simulation: its own few lines, and not the agent's acceptance. */
import { verify } from 'node:crypto'
import { PAYLOAD_TYPES } from '../../src/core/protocol/envelope.ts'
import type { Envelope, SiteManifest } from '../../src/core/protocol/messages.ts'
import { SIGNERS } from '../unit/protocol/rotated.ts'

export { PAYLOAD_TYPES }

export function verifyEnvelope({ payload, payloadType, signatures }: Envelope, type: string): SiteManifest {
  const head = `DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} `
  const signed = Buffer.concat([Buffer.from(head), payload])
  const good = signatures.some(({ keyid, sig }) =>
    SIGNERS.some((key) => keyid === key.keyid && verify(null, signed, key.publicKey, sig)),
  )
  if (payloadType !== type || !good) throw new Error('an envelope that the hub did not sign')
  return JSON.parse(Buffer.from(payload).toString()) as SiteManifest
}
