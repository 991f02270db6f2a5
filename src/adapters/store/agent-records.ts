/** What the site's store keeps, as JSON and back: bytes in base64, keys in the clear. */
import type { SiteIdentity, StoredManifest } from '../../agent/ports.ts'
import { Fault } from '../../core/model/fault.ts'
import type { JsonObject } from '../../core/model/json.ts'
import { SecretText } from '../../core/model/secret.ts'

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
const bytesFrom = (text: unknown): Uint8Array => Buffer.from(String(text), 'base64')

export function manifestBody({ envelope, ...rest }: StoredManifest): JsonObject {
  const { payloadType, payload, signatures } = envelope
  const signed = signatures.map(({ keyid, sig }) => ({ keyid, sig: base64(sig) }))
  return { ...rest, payloadType, payload: base64(payload), signatures: signed } as unknown as JsonObject
}

export function manifestFrom(body: JsonObject): readonly StoredManifest[] {
  const it = body as unknown as StoredManifest & {
    payloadType: string
    payload: string
    signatures: { keyid: string; sig: string }[]
  }
  const signatures = it.signatures.map(({ keyid, sig }) => ({ keyid, sig: bytesFrom(sig) }))
  const envelope = { payloadType: it.payloadType, payload: bytesFrom(it.payload), signatures }
  return [{ envelope, generation: it.generation, body: it.body, acceptedAtMs: it.acceptedAtMs }]
}

interface StoredIdentity extends Omit<SiteIdentity, 'trust' | 'privateKey' | 'ageKey' | 'previous'> {
  readonly trust: { readonly payload: string; readonly sig: string }
  readonly privateKey: string
  readonly ageKey: string
  readonly previous?: { readonly certificate: string; readonly privateKey: string }
}

/** With its keys in the clear: for a file of mode 0600, and the Secret beside the agent. */
export function identityBody({ trust, privateKey, ageKey, previous, ...rest }: SiteIdentity): JsonObject {
  return {
    format: 1,
    ...rest,
    privateKey: privateKey.reveal(),
    ageKey: ageKey.reveal(),
    ...(previous === undefined ? {} : { previous: { ...previous, privateKey: previous.privateKey.reveal() } }),
    trust: { payload: base64(trust.payload), sig: base64(trust.sig) },
  } as unknown as JsonObject
}

export function identityFrom(body: JsonObject): SiteIdentity {
  const { format, ...rest } = body
  if (format !== 1) throw new Fault('StoreFailed', 'the identity has a format that this agent does not know')
  const { trust, privateKey, ageKey, previous, ...plain } = rest as unknown as StoredIdentity
  return {
    ...plain,
    privateKey: new SecretText(privateKey),
    ageKey: new SecretText(ageKey),
    ...(previous === undefined ? {} : { previous: { ...previous, privateKey: new SecretText(previous.privateKey) } }),
    trust: { payload: bytesFrom(trust.payload), sig: bytesFrom(trust.sig) },
  }
}

export function encode(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}

export function decode(bytes: Uint8Array): unknown {
  return JSON.parse(Buffer.from(bytes).toString('utf8'))
}
