/**
 * The first link of every chain: the pinned root key signs a statement that names everything else that counts:
 * keys and their roles, the certificate authorities of the link, the time epoch, and in the end the next root.
 */
import type { KeyObject } from 'node:crypto'
import { digestBytes, type Digest } from '../model/digest.ts'
import { Fault, type FaultReason } from '../model/fault.ts'
import { canonicalJson, type JsonObject } from '../model/json.ts'
import {
  ed25519PublicKey,
  keyIdOf,
  PAYLOAD_TYPES,
  signBytes,
  spkiOf,
  verifyBytes,
  type KeyRing,
  type SigningKey,
} from './envelope.ts'
import type { TrustStatement } from './ports.ts'
import { count, instantMs, list, oneOf, parseJson, record, text } from './shape.ts'

export const TRUST_MAX_BYTES = 64 * 1024
export const TRUST_CHAIN_MAX = 64
const ROLES = ['manifest', 'time', 'release'] as const
/** `release`: a signer outside the hub (CI, offline). */
export type Role = (typeof ROLES)[number]

/** What of a statement's `critical` this code understands. A threshold of roots is not among it yet. */
export const TRUST_CRITICAL: ReadonlySet<string> = new Set(['keys', 'authorities', 'timeEpoch', 'root', 'release'])

export interface TrustBody {
  /** Never goes back at a site. */
  readonly version: number
  readonly issued: string
  /** Time statements of another epoch are void: raising it repairs a fleet that was told a wrong time. */
  readonly timeEpoch: number
  readonly critical: readonly string[]
  readonly keys: readonly { readonly key: KeyObject; readonly roles: readonly Role[] }[]
  /** Certificates (DER) of those who may issue the hub's TLS certificate. */
  readonly authorities: readonly Uint8Array[]
  /** The root from here on, when this one steps down. */
  readonly root?: KeyObject
}

/** A statement that was checked. */
export interface Trust {
  readonly version: number
  readonly timeEpoch: number
  readonly critical: readonly string[]
  readonly rings: Readonly<Record<Role, KeyRing>>
  readonly authorities: readonly Uint8Array[]
  /** The root that signed this one: what a site that begins with it pins. */
  readonly signedBy: KeyObject
  /** Who signs the next statement. */
  readonly root: KeyObject
  readonly digest: Digest
  readonly statement: TrustStatement
}

export type TrustRead =
  | { readonly verdict: 'accept'; readonly trust: Trust }
  | { readonly verdict: 'current'; readonly trust: Trust }
  | { readonly verdict: 'refuse'; readonly reason: FaultReason; readonly because: string }

/** What the join token carries: the hash of the root's public key. It covers all that the root signs, TLS authorities too. */
export function pinOf(root: KeyObject): Digest {
  return digestBytes('trust', spkiOf(root))
}

const b64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')

export function signTrust(body: TrustBody, root: SigningKey): TrustStatement {
  const json: JsonObject = {
    format: 1,
    version: body.version,
    issued: body.issued,
    timeEpoch: body.timeEpoch,
    critical: body.critical,
    keys: body.keys.map(({ key, roles }) => ({ key: b64(spkiOf(key)), roles })),
    authorities: body.authorities.map(b64),
    ...(body.root === undefined ? {} : { root: b64(spkiOf(body.root)) }),
  }
  const payload = Buffer.from(canonicalJson(json))
  return { payload, sig: signBytes(PAYLOAD_TYPES.trust, payload, root) }
}

/** Judges one statement by the root that must have signed it and by the one that is held. */
export function acceptTrust(statement: TrustStatement, root: KeyObject, held: Trust | undefined): TrustRead {
  if (statement.payload.length > TRUST_MAX_BYTES)
    return { verdict: 'refuse', reason: 'TooLarge', because: 'the trust statement is above its limit' }
  if (!verifyBytes(PAYLOAD_TYPES.trust, statement.payload, statement.sig, root))
    return {
      verdict: 'refuse',
      reason: 'SignatureInvalid',
      because: 'the trust statement is not signed by the pinned root',
    }
  try {
    const trust = readBody(statement, root)
    if (held === undefined || trust.version > held.version) return { verdict: 'accept', trust }
    if (trust.version < held.version)
      return {
        verdict: 'refuse',
        reason: 'OldGeneration',
        because: `trust version ${trust.version} after ${held.version}`,
      }
    if (trust.digest === held.digest) return { verdict: 'current', trust: held }
    return { verdict: 'refuse', reason: 'ForkedHub', because: `two trust statements of version ${trust.version}` }
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    return { verdict: 'refuse', reason: error.reason, because: error.message }
  }
}

/**
 * From the pin to what holds now: each statement is signed by the root that the one before left in charge. Oldest first.
 * A pin of a later root of the chain is as good as one of the first: what came before it is then not looked at.
 */
export function followTrust(pin: Digest, rootSpki: Uint8Array, chain: readonly TrustStatement[]): TrustRead {
  try {
    const start = pinnedAt(pin, rootSpki, chain)
    if (start === undefined)
      return { verdict: 'refuse', reason: 'HubNotTrusted', because: 'the root does not match the pin' }
    let { root } = start
    let held: Trust | undefined
    for (const statement of start.rest) {
      const read = acceptTrust(statement, root, held)
      if (read.verdict === 'refuse') return read
      held = read.trust
      root = held.root
    }
    if (held !== undefined) return { verdict: 'accept', trust: held }
    return { verdict: 'refuse', reason: 'SignatureInvalid', because: 'no trust statement' }
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    return { verdict: 'refuse', reason: error.reason, because: error.message }
  }
}

function pinnedAt(
  pin: Digest,
  rootSpki: Uint8Array,
  chain: readonly TrustStatement[],
): { readonly root: KeyObject; readonly rest: readonly TrustStatement[] } | undefined {
  const statements = chain.slice(0, TRUST_CHAIN_MAX)
  const first = ed25519PublicKey(rootSpki)
  if (pinOf(first) === pin) return { root: first, rest: statements }
  // Nothing of these is believed but that its hash is the pin: what matches is signed for by the pin itself.
  for (const [i, { payload }] of statements.entries()) {
    if (payload.length > TRUST_MAX_BYTES) return undefined
    const named = record(parseJson(payload, 'the trust statement'), 'trust').root
    const root = named === undefined ? undefined : ed25519PublicKey(bytesOf(named, 'trust.root'))
    if (root !== undefined && pinOf(root) === pin) return { root, rest: statements.slice(i + 1) }
  }
  return undefined
}

/**
 * From what a site holds to the newest statement that its own root leads to; what is older, or of roots before its own, is
 * passed over. `current` where nothing is newer.
 */
export function catchUpTrust(held: Trust, chain: readonly TrustStatement[]): TrustRead {
  let trust = held
  for (const statement of chain.slice(0, TRUST_CHAIN_MAX)) {
    const read = acceptTrust(statement, trust.root, trust)
    if (read.verdict === 'accept') trust = read.trust
    else if (read.verdict === 'refuse' && (read.reason === 'ForkedHub' || read.reason === 'AgentTooOld')) return read
  }
  return trust === held ? { verdict: 'current', trust } : { verdict: 'accept', trust }
}

/** The body of the statement after this one, saying the same: what a rotation changes. */
export function nextTrust(trust: Trust, nowMs: number): TrustBody {
  const keys = new Map<string, { readonly key: KeyObject; readonly roles: Role[] }>()
  for (const role of ROLES)
    for (const [keyid, key] of trust.rings[role]) {
      const entry = keys.get(keyid) ?? { key, roles: [] }
      entry.roles.push(role)
      keys.set(keyid, entry)
    }
  return {
    version: trust.version + 1,
    issued: new Date(nowMs).toISOString(),
    timeEpoch: trust.timeEpoch,
    critical: trust.critical,
    keys: [...keys.values()],
    authorities: trust.authorities,
  }
}

/** For statements whose signature was checked. Fault InvalidInput, TooLarge, AgentTooOld. */
function readBody(statement: TrustStatement, root: KeyObject): Trust {
  const { payload } = statement
  const it = record(parseJson(payload, 'the trust statement'), 'trust')
  const unknown = list(it.critical, 'trust.critical', 64).find((name) => !TRUST_CRITICAL.has(name as string))
  if (unknown !== undefined) throw new Fault('AgentTooOld', `the trust statement needs ${JSON.stringify(unknown)}`)
  if (it.format !== 1) throw new Fault('AgentTooOld', 'a trust statement of another format')
  instantMs(it.issued, 'trust.issued')
  return {
    version: count(it.version, 'trust.version'),
    timeEpoch: count(it.timeEpoch, 'trust.timeEpoch'),
    critical: list(it.critical, 'trust.critical', 64).map((name) => text(name, 'trust.critical')),
    rings: ringsOf(it),
    authorities: list(it.authorities, 'trust.authorities', 16).map((item, i) =>
      bytesOf(item, `trust.authorities[${i}]`),
    ),
    signedBy: root,
    root: it.root === undefined ? root : ed25519PublicKey(bytesOf(it.root, 'trust.root')),
    digest: digestBytes('trust', payload),
    statement,
  }
}

/** Fault InvalidInput. */
function ringsOf(it: ReturnType<typeof record>): Trust['rings'] {
  const rings: Record<Role, Map<string, KeyObject>> = { manifest: new Map(), time: new Map(), release: new Map() }
  for (const [i, item] of list(it.keys, 'trust.keys', 64).entries()) {
    const entry = record(item, `trust.keys[${i}]`)
    const key = ed25519PublicKey(bytesOf(entry.key, `trust.keys[${i}].key`))
    for (const role of list(entry.roles, `trust.keys[${i}].roles`, 16)) {
      // A role that we do not know gives no right that we know of.
      if ((ROLES as readonly unknown[]).includes(role)) rings[oneOf(role, 'role', ROLES)].set(keyIdOf(key), key)
    }
  }
  return rings
}

/**
 * Every key that a statement of this chain named for the role, those that were retired since included: what they signed in their time
 * is told by it from what nobody signed. For a chain that was followed before. Fault InvalidInput.
 */
export function everNamed(chain: readonly TrustStatement[], role: Role): KeyRing {
  return new Map(
    chain.flatMap(({ payload }) => [...ringsOf(record(parseJson(payload, 'the trust statement'), 'trust'))[role]]),
  )
}

function bytesOf(value: Parameters<typeof text>[0], path: string): Buffer {
  return Buffer.from(text(value, path, 8192), 'base64')
}
