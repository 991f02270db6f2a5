/** Keys and certificates of the link, made. Subjects are composed by the caller; no date in them is ever read on the link. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, webcrypto } from 'node:crypto'
import { Fault } from '../../core/model/fault.ts'
import { spkiOf } from '../../core/protocol/envelope.ts'

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const DAY_MS = 86_400_000
/** Nobody on the link judges by a date; these are for other tools, and a leaf's half life is when a site renews. */
const AUTHORITY_DAYS = 36_500
const LEAF_DAYS = 365

export function ed25519Pem(): string {
  return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })
}

export function p256Pem(): string {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
    type: 'pkcs8',
    format: 'pem',
  })
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

/** A self-signed authority, PEM. */
export async function makeAuthority(caKey: string, nowMs: number): Promise<string> {
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

export interface LeafRequest {
  readonly uri: string
  readonly commonName: string
  readonly spki: Uint8Array
  readonly caKey: string
  readonly caPem: string
  readonly nowMs: number
}

/** PEM. No extension that nobody reads: it is sent in every full handshake. Fault InvalidInput. */
export async function issueLeaf(request: LeafRequest): Promise<string> {
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
