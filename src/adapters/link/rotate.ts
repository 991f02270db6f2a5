/**
 * A rotation of the hub's keys: a statement that the root signs, and files beside the old ones. Done with the hub stopped; the
 * renaming of `trust.json` commits it, so that a kill at any point leaves the hub of before or the hub of after.
 * In two steps no site pays for it: first the new counts beside the old, then (`retire-old`) the old counts no more. Sites that
 * were dark meanwhile come back by the rescue paths, whichever steps they missed.
 */
import { createPublicKey, randomBytes, X509Certificate, type KeyObject } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Fault } from '../../core/model/fault.ts'
import { signingKey, spkiOf, type SigningKey } from '../../core/protocol/envelope.ts'
import {
  followTrust,
  nextTrust,
  signTrust,
  TRUST_CHAIN_MAX,
  type Trust,
  type TrustBody,
} from '../../core/protocol/trust.ts'
import { ed25519Pem, issueLeaf, makeAuthority, p256Pem } from './certificates.ts'
import { encodeTrustFile, readTrustFile, type KeyFiles, type TrustFile } from './key-files.ts'
import { HUB_URI } from './peers.ts'
import { TICKET_KEY_BYTES, TRUST_FILE } from './pki.ts'
import { writeSecretFile } from '../../runtime/secret-file.ts'

export type Rotation =
  /** Another key signs manifests and time; what the old one signs still counts. */
  | { readonly step: 'signing' }
  /** Another authority issues; certificates of the old one are still taken, and the hub still shows its own of the old one. */
  | { readonly step: 'authority' }
  /** Only the newest signing key and authority count; the hub shows a certificate of it, and every TLS session ends. */
  | { readonly step: 'retire-old' }
  /** The root hands over to a new one. */
  | { readonly step: 'root' }
  /** From here on a release counts only if this key signed for it as well. Ed25519. */
  | { readonly step: 'release-signer'; readonly key: KeyObject }
  /** Void every time statement of before: for a fleet that was told a wrong time. */
  | { readonly step: 'time-epoch' }

export interface Rotated {
  readonly version: number
  readonly files: KeyFiles
}

interface Draft {
  readonly body: Partial<TrustBody>
  /** Files to write before the statement, and the names that are new. */
  readonly written: readonly (readonly [name: keyof KeyFiles, file: string, text: string])[]
}

/** Faults: StoreCorrupt, InvalidInput (no root key at `rootKeyFile`, default in the directory; or a chain that is at its end), those of the disk. */
export async function rotateKeys(
  dir: string,
  rotation: Rotation,
  nowMs: number,
  rootKeyFile?: string,
): Promise<Rotated> {
  if (!existsSync(join(dir, TRUST_FILE))) throw new Fault('InvalidInput', `no keys of a hub in ${dir}`)
  const stored = readTrustFile(readFileSync(join(dir, TRUST_FILE), 'utf8'))
  const read = followTrust(stored.pin, stored.root, stored.chain)
  if (read.verdict === 'refuse') throw new Fault('StoreCorrupt', `${TRUST_FILE} in ${dir}: ${read.because}`)
  const { trust } = read
  if (stored.chain.length + 2 > TRUST_CHAIN_MAX)
    throw new Fault('InvalidInput', 'the chain of statements is at its end')
  const root = rootKey(rootKeyFile ?? join(dir, stored.files.root), trust)
  const draft = await drafts(dir, stored, trust, rotation, nowMs)
  const files = { ...stored.files, ...Object.fromEntries(draft.written.map(([name, file]) => [name, file])) }
  const first: TrustBody = { ...nextTrust(trust, nowMs), ...draft.body }
  const chain = [signTrust(first, root)]
  for (const [name, file, text] of draft.written) {
    writeSecretFile(join(dir, file), text)
    // The new root says it once itself: a token made from now on pins that one.
    if (name === 'root') chain.push(signTrust(afterHandover(first), signingKey(text)))
  }
  writeSecretFile(join(dir, TRUST_FILE), encodeTrustFile({ ...stored, chain: [...stored.chain, ...chain], files }))
  return { version: trust.version + chain.length, files }
}

function rootKey(file: string, trust: Trust): SigningKey {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new Fault('InvalidInput', `no root key at ${file}`, { cause })
  }
  const key = signingKey(text)
  if (!key.publicKey.equals(trust.root))
    throw new Fault('InvalidInput', `the key at ${file} is not the root of this hub`)
  return key
}

function afterHandover({ root: _root, ...body }: TrustBody): TrustBody {
  return { ...body, version: body.version + 1 }
}

async function drafts(
  dir: string,
  { files }: TrustFile,
  trust: Trust,
  rotation: Rotation,
  nowMs: number,
): Promise<Draft> {
  const before = nextTrust(trust, nowMs)
  const named = (base: string, kind: string): string => `${base}-${before.version}.${kind}`
  switch (rotation.step) {
    case 'signing': {
      const pem = ed25519Pem()
      const { publicKey: key } = signingKey(pem)
      return {
        body: { keys: [{ key, roles: ['manifest', 'time'] }, ...before.keys] },
        written: [['signer', named('signing', 'key'), pem]],
      }
    }
    case 'authority': {
      const key = p256Pem()
      const pem = await makeAuthority(key, nowMs)
      return {
        body: { authorities: [new X509Certificate(pem).raw, ...before.authorities] },
        written: [
          ['caKey', named('ca', 'key'), key],
          ['caPem', named('ca', 'pem'), pem],
        ],
      }
    }
    case 'retire-old': {
      const text = (name: keyof KeyFiles): string => readFileSync(join(dir, files[name]), 'utf8')
      const signer = signingKey(text('signer'))
      const [caKey, caPem, hubKey] = [text('caKey'), text('caPem'), p256Pem()]
      const spki = spkiOf(createPublicKey(hubKey))
      const hubPem = await issueLeaf({ uri: HUB_URI, commonName: 'hub', spki, caKey, caPem, nowMs })
      return {
        body: {
          keys: before.keys.filter(({ key, roles }) => roles.includes('release') || key.equals(signer.publicKey)),
          authorities: [new X509Certificate(caPem).raw],
        },
        written: [
          ['hubKey', named('hub', 'key'), hubKey],
          ['hubPem', named('hub', 'pem'), hubPem],
          ['ticket', named('ticket', 'key'), randomBytes(TICKET_KEY_BYTES).toString('base64')],
        ],
      }
    }
    case 'root': {
      const pem = ed25519Pem()
      return { body: { root: signingKey(pem).publicKey }, written: [['root', named('root', 'key'), pem]] }
    }
    case 'release-signer':
      return {
        body: {
          critical: [...new Set([...before.critical, 'release'])],
          keys: [...before.keys, { key: rotation.key, roles: ['release'] }],
        },
        written: [],
      }
    case 'time-epoch':
      return { body: { timeEpoch: before.timeEpoch + 1 }, written: [] }
  }
}
