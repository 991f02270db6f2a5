/**
 * The hub's keys, in a directory of 0600 files: the Ed25519 root (may be taken offline once the trust statement stands), the
 * key that signs manifests and time, the P-256 authority of the link's TLS, the hub's certificate, and the ticket keys, which
 * must be guarded like the authority's: who has them can pose as any site.
 */
import { createPublicKey, randomBytes, X509Certificate } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Digest } from '../../core/model/digest.ts'
import { Fault } from '../../core/model/fault.ts'
import { signingKey, spkiOf, type SigningKey } from '../../core/protocol/envelope.ts'
import type { TrustStatement } from '../../core/protocol/ports.ts'
import { SITE_ID, SITE_NAME } from '../../core/protocol/shape.ts'
import { followTrust, pinOf, signTrust, type Trust } from '../../core/protocol/trust.ts'
import { ed25519Pem, issueLeaf, makeAuthority, p256Pem } from './certificates.ts'
import { encodeTrustFile, FIRST_FILES, readTrustFile } from './key-files.ts'
import { HUB_URI, siteUri } from './peers.ts'
import { writeSecretFile } from '../../runtime/secret-file.ts'
import { encodeToken, hubUrl } from './token.ts'

export const TICKET_KEY_BYTES = 48
export const TRUST_FILE = 'trust.json'

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
  /** A certificate (PEM) whose subject is composed here. `publicKey`: SPKI of a P-256 key; `atMs`: where its life begins, default when the directory was opened. Fault InvalidInput. */
  certify(subject: Subject, atMs?: number): Promise<string>
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
  const fresh = !existsSync(at(TRUST_FILE))
  const names = fresh ? FIRST_FILES : readTrustFile(readFileSync(at(TRUST_FILE), 'utf8')).files
  const keep = async (name: string, make: () => string | Promise<string>): Promise<string> => {
    if (existsSync(at(name))) return readFileSync(at(name), 'utf8')
    if (!fresh) throw new Fault('StoreCorrupt', `${name} is missing in ${dir}`)
    const text = await make()
    writeSecretFile(at(name), text)
    return text
  }
  const signer = signingKey(await keep(names.signer, ed25519Pem))
  const caKey = await keep(names.caKey, p256Pem)
  const caPem = await keep(names.caPem, () => makeAuthority(caKey, nowMs))
  const hubKey = await keep(names.hubKey, p256Pem)
  const issue = (uri: string, commonName: string, spki: Uint8Array, atMs: number): Promise<string> =>
    issueLeaf({ uri, commonName, spki, caKey, caPem, nowMs: atMs })
  const hubPem = await keep(names.hubPem, () => issue(HUB_URI, 'hub', spkiOf(createPublicKey(hubKey)), nowMs))
  if (fresh) {
    const root = signingKey(await keep('root.key', ed25519Pem))
    writeSecretFile(at(TRUST_FILE), firstStatement(root, signer, caPem, nowMs))
  }
  if (!existsSync(at(names.ticket))) writeSecretFile(at(names.ticket), randomBytes(TICKET_KEY_BYTES).toString('base64'))
  const { files: _files, ...stored } = readTrustFile(readFileSync(at(TRUST_FILE), 'utf8'))
  const read = followTrust(stored.pin, stored.root, stored.chain)
  if (read.verdict === 'refuse') throw new Fault('StoreCorrupt', `trust.json in ${dir}: ${read.because}`)
  if (!read.trust.rings.manifest.has(signer.keyid))
    throw new Fault('StoreCorrupt', `${names.signer} in ${dir} is not named by trust.json`)
  return {
    ...stored,
    trust: read.trust,
    signer,
    tls: {
      key: hubKey,
      cert: hubPem,
      ticketKeys: Buffer.from(readFileSync(at(names.ticket), 'utf8'), 'base64'),
      authorities: read.trust.authorities.map((der) => new X509Certificate(der)),
    },
    certify: async ({ site, siteId, publicKey }, atMs = nowMs) => {
      if (!SITE_NAME.test(site) || !SITE_ID.test(siteId)) throw new Fault('InvalidInput', 'not a site name and id')
      return issue(siteUri(site, siteId), siteId, publicKey, atMs)
    },
    joinLine: (url, site, secret) => encodeToken({ hub: hubUrl(url), site, secret, pin: pinOf(read.trust.signedBy) }),
  }
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
  return encodeTrustFile({
    pin: pinOf(root.publicKey),
    root: spkiOf(root.publicKey),
    chain: [statement],
    files: FIRST_FILES,
  })
}
