/** Fixed keys and one fixed site: what golden bytes are made of. The keys are test data and sign nothing else. */
import { generateKeyPairSync } from 'node:crypto'
import { PAYLOAD_TYPES, seal, signingKey, type SigningKey } from '../../../src/core/protocol/envelope.ts'
import { makeManifest, manifestBytes } from '../../../src/core/protocol/manifest.ts'
import type { Envelope, SiteManifest, SyncUp } from '../../../src/core/protocol/messages.ts'
import { acceptTrust, signTrust, type Trust } from '../../../src/core/protocol/trust.ts'

/** An Ed25519 key whose 32 secret bytes all have one value. */
export function fixedKey(value: number): SigningKey {
  const prefix = Buffer.from('302e020100300506032b657004220420', 'hex')
  return signingKey(Buffer.concat([prefix, Buffer.alloc(32, value)]))
}

export const ROOT = fixedKey(1)
export const HUB = fixedKey(2)
export const STRANGER = fixedKey(3)
export const RELEASE_SIGNER = fixedKey(4)

export const SITE = '0417'
export const SITE_ID = '01J9Z7M6K3Q8'
export const NONCE = 'AAECAwQFBgcICQoL'
export const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5)

export const STATEMENT = signTrust(
  {
    version: 1,
    issued: '2026-01-01T00:00:00Z',
    timeEpoch: 1,
    critical: [],
    keys: [
      { key: HUB.publicKey, roles: ['manifest', 'time'] },
      { key: RELEASE_SIGNER.publicKey, roles: ['release'] },
    ],
    authorities: [Buffer.from('a certificate')],
  },
  ROOT,
)

export const TRUST: Trust = (() => {
  const read = acceptTrust(STATEMENT, ROOT.publicKey, undefined)
  if (read.verdict === 'refuse') throw new Error(read.because)
  return read.trust
})()

export const BODY: Omit<SiteManifest, 'root'> = {
  site: SITE,
  siteId: SITE_ID,
  generation: { epoch: 1, counter: 7 },
  revision: '0123456789abcdef0123456789abcdef01234567',
  issued: '2026-01-02T03:00:00Z',
  expires: '2026-02-02T03:00:00Z',
  critical: [],
  mode: 'enforce',
  entries: [
    {
      workload: 'pos/till',
      since: { epoch: 1, counter: 3 },
      release: `sha256:${'ab'.repeat(32)}`,
      order: 1,
      startAfter: '2026-01-01T00:00:00Z',
      startBy: '2026-01-08T00:00:00Z',
      gates: [],
    },
  ],
  config: `sha256:${'cd'.repeat(32)}`,
  queues: { camera: { limit: 2 } },
  keys: { 'dk-7': 'wrapped' },
  withdrawn: [],
  deletionsConfirmed: [],
}

export function sealed(body: object, by: readonly SigningKey[] = [HUB]): Envelope {
  return seal(PAYLOAD_TYPES.manifest, manifestBytes(makeManifest(body as Omit<SiteManifest, 'root'>)), by)
}

export const UP: SyncUp = {
  v: 1,
  site: SITE,
  siteId: SITE_ID,
  agent: '0.1.0',
  boot: 'c0ffee00c0ffee00',
  storeEpoch: '0ddba11',
  have: null,
  clockMs: NOW_MS,
  nonce: NONCE,
  seq: 12,
  observations: [],
  outbox: [],
  conditions: [],
  trust: 1,
}

/** Not fixed: for tests that only need another key. */
export function anotherKey(): SigningKey {
  return signingKey(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'der' }))
}
