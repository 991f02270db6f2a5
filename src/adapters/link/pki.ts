/**
 * The hub's keys, in a directory of 0600 files: the Ed25519 root (may be taken offline once the trust statement stands), the
 * key that signs manifests and time, the P-256 authority of the link's TLS, the hub's certificate, and the ticket keys, which
 * must be guarded like the authority's: who has them can pose as any site.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  webcrypto,
  X509Certificate,
} from 'node:crypto'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Digest } from '../../core/model/digest.ts'
import { Fault } from '../../core/model/fault.ts'
import { signingKey, spkiOf, type SigningKey } from '../../core/protocol/envelope.ts'
import type { TrustStatement } from '../../core/protocol/ports.ts'
import { SITE_ID, SITE_NAME } from '../../core/protocol/shape.ts'
import { followTrust, pinOf, signTrust, type Trust } from '../../core/protocol/trust.ts'
import { HUB_URI, siteUri } from './peers.ts'
import { writeSecretFile } from './secret-file.ts'
import { encodeToken, hubUrl } from './token.ts'

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const DAY_MS = 86_400_000
/** Nobody on the link reads a date; these are for other tools that look at the certificates. */
const AUTHORITY_DAYS = 36_500
const LEAF_DAYS = 365
const TICKET_KEY_BYTES = 48

export interface Pki {
  /** Of the first root. */
  readonly pin: Digest
  /** SPKI of the first root. */
  readonly root: Uint8Array
  /** Oldest first; the last one holds: what a site is given. */
  readonly chain: readonly TrustStatement[]
  readonly trust: Trust
  /** Signs manifests and time. */
  readonly signer: SigningKey
  readonly tls: HubTls
  /** A certificate (PEM) whose subject is composed here. `publicKey`: SPKI of a P-256 key. Fault InvalidInput. */
  certify(subject: Subject): Promise<string>
  /** The one line to run at a site that is to reach this hub at `url`. */
  joinLine(url: string, site: string, secret: string): string
}

export interface Subject {
  readonly site: string
  readonly siteId: string
  readonly publicKey: Uint8Array
}

export interface HubTls {
  readonly key: string
  readonly cert: string
  readonly ticketKeys: Buffer
  /** Who may have issued a site's certificate. */
  readonly authorities: readonly X509Certificate[]
}

/** Opens the directory, making what is not there yet. Fault StoreCorrupt where files do not belong together. */
export async function openPki(dir: string, nowMs: number): Promise<Pki> {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const at = (name: string): string => join(dir, name)
  // Once the statement stands, a key that is missing is a loss to be told of, not a reason to make another.
  const fresh = !existsSync(at('trust.json'))
  const keep = async (name: string, make: () => string | Promise<string>): Promise<string> => {
    if (existsSync(at(name))) return readFileSync(at(name), 'utf8')
    if (!fresh) throw new Fault('StoreCorrupt', `${name} is missing in ${dir}`)
    const text = await make()
    writeSecretFile(at(name), text)
    return text
  }
  const signer = signingKey(await keep('signing.key', ed25519Pem))
  const caKey = await keep('ca.key', p256Pem)
  const caPem = await keep('ca.pem', () => makeAuthority(caKey, nowMs))
  const hubKey = await keep('hub.key', p256Pem)
  const issue = (uri: string, commonName: string, spki: Uint8Array): Promise<string> =>
    issueLeaf({ uri, commonName, spki, caKey, caPem, nowMs })
  const hubPem = await keep('hub.pem', () => issue(HUB_URI, 'hub', spkiOf(createPublicKey(hubKey))))
  if (fresh) {
    const root = signingKey(await keep('root.key', ed25519Pem))
    writeSecretFile(at('trust.json'), firstStatement(root, signer, caPem, nowMs))
  }
  if (!existsSync(at('ticket.key'))) writeSecretFile(at('ticket.key'), randomBytes(TICKET_KEY_BYTES).toString('base64'))
  const stored = readTrustFile(readFileSync(at('trust.json'), 'utf8'))
  const read = followTrust(stored.pin, stored.root, stored.chain)
  if (read.verdict === 'refuse') throw new Fault('StoreCorrupt', `trust.json in ${dir}: ${read.because}`)
  if (!read.trust.rings.manifest.has(signer.keyid))
    throw new Fault('StoreCorrupt', `signing.key in ${dir} is not named by trust.json`)
  return {
    ...stored,
    trust: read.trust,
    signer,
    tls: {
      key: hubKey,
      cert: hubPem,
      ticketKeys: Buffer.from(readFileSync(at('ticket.key'), 'utf8'), 'base64'),
      authorities: read.trust.authorities.map((der) => new X509Certificate(der)),
    },
    certify: async ({ site, siteId, publicKey }) => {
      if (!SITE_NAME.test(site) || !SITE_ID.test(siteId)) throw new Fault('InvalidInput', 'not a site name and id')
      return issue(siteUri(site, siteId), siteId, publicKey)
    },
    joinLine: (url, site, secret) => encodeToken({ hub: hubUrl(url), site, secret, pin: pinOf(read.trust.root) }),
  }
}

function ed25519Pem(): string {
  return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })
}

function p256Pem(): string {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
    type: 'pkcs8',
    format: 'pem',
  })
}

function firstStatement(root: SigningKey, signer: SigningKey, caPem: string, nowMs: number): string {
  const statement = signTrust(
    {
      version: 1,
      issued: new Date(nowMs).toISOString(),
      timeEpoch: 1,
      critical: [],
      keys: [{ key: signer.publicKey, roles: ['manifest', 'time'] }],
      authorities: [new X509Certificate(caPem).raw],
    },
    root,
  )
  const part = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
  const chain = [{ payload: part(statement.payload), sig: part(statement.sig) }]
  return JSON.stringify({ format: 1, pin: pinOf(root.publicKey), root: part(spkiOf(root.publicKey)), chain })
}

function readTrustFile(text: string): Pick<Pki, 'pin' | 'root' | 'chain'> {
  try {
    const it = JSON.parse(text) as { pin: Digest; root: string; chain: { payload: string; sig: string }[] }
    const bytes = (part: string): Buffer => Buffer.from(part, 'base64')
    const chain = it.chain.map(({ payload, sig }) => ({ payload: bytes(payload), sig: bytes(sig) }))
    return { pin: it.pin, root: bytes(it.root), chain }
  } catch (cause) {
    throw new Fault('StoreCorrupt', 'trust.json cannot be read', { cause })
  }
}

/** Loaded when a certificate is made: 60 ms that a running hub and every agent do without. */
async function x509Library() {
  await import('reflect-metadata')
  const x509 = await import('@peculiar/x509')
  x509.cryptoProvider.set(webcrypto)
  return x509
}

async function caSigningKey(caKey: string): Promise<CryptoKey> {
  const der = createPrivateKey(caKey).export({ type: 'pkcs8', format: 'der' })
  return await webcrypto.subtle.importKey('pkcs8', new Uint8Array(der), P256, false, ['sign'])
}

async function makeAuthority(caKey: string, nowMs: number): Promise<string> {
  const x509 = await x509Library()
  const cert = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: 'CN=flotilla',
    issuer: 'CN=flotilla',
    notBefore: new Date(nowMs - DAY_MS),
    notAfter: new Date(nowMs + AUTHORITY_DAYS * DAY_MS),
    signingKey: await caSigningKey(caKey),
    publicKey: await importSpki(spkiOf(createPublicKey(caKey))),
    signingAlgorithm: P256,
    extensions: [new x509.BasicConstraintsExtension(true, 0, true)],
  })
  return `${cert.toString('pem')}\n`
}

interface LeafRequest {
  readonly uri: string
  readonly commonName: string
  readonly spki: Uint8Array
  readonly caKey: string
  readonly caPem: string
  readonly nowMs: number
}

/** No extension that nobody reads: it is sent in every full handshake. */
async function issueLeaf(request: LeafRequest): Promise<string> {
  const x509 = await x509Library()
  const cert = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: `CN=${request.commonName}`,
    issuer: new x509.X509Certificate(request.caPem).subject,
    notBefore: new Date(request.nowMs - DAY_MS),
    notAfter: new Date(request.nowMs + LEAF_DAYS * DAY_MS),
    signingKey: await caSigningKey(request.caKey),
    publicKey: await importSpki(request.spki),
    signingAlgorithm: P256,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'url', value: request.uri }])],
  })
  return `${cert.toString('pem')}\n`
}

async function importSpki(spki: Uint8Array): Promise<CryptoKey> {
  try {
    return await webcrypto.subtle.importKey('spki', new Uint8Array(spki), P256, true, ['verify'])
  } catch (cause) {
    throw new Fault('InvalidInput', 'not a P-256 public key', { cause })
  }
}

/** Positive, as DER wants it. */
function serial(): string {
  return `01${randomBytes(8).toString('hex')}`
}
