/**
 * What a real agent process does when what it is told is not what it should be told. The hub here has the fleet's own keys:
 * the strongest liar that a site can meet. On a real API server; each refusal is read from what the site itself reports.
 */
import { randomBytes } from 'node:crypto'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPki, type Pki } from '../../src/adapters/link/pki.ts'
import { startLinkServer } from '../../src/adapters/link/server.ts'
import { hashTokenSecret, makeTokenSecret } from '../../src/adapters/link/token.ts'
import type { LinkServer } from '../../src/adapters/link/types.ts'
import { type Digest, digestBytes, digestJson } from '../../src/core/model/digest.ts'
import { Fault } from '../../src/core/model/fault.ts'
import { canonicalJson, type JsonObject } from '../../src/core/model/json.ts'
import type { Generation } from '../../src/core/model/observation.ts'
import type { Release } from '../../src/core/model/release.ts'
import { PAYLOAD_TYPES, seal } from '../../src/core/protocol/envelope.ts'
import { bodyDigest, makeManifest, manifestBytes } from '../../src/core/protocol/manifest.ts'
import type { Envelope, SyncUp } from '../../src/core/protocol/messages.ts'
import type { SyncHandler } from '../../src/core/protocol/ports.ts'
import { signTime, timeSubject } from '../../src/core/protocol/time.ts'
import { type ControlPlane, startControlPlane } from '../kube/control-plane.ts'
import { buildCli, eventually, Program } from './fleet.ts'

const SITE = 'liar-0417'
let dir: string
let plane: ControlPlane
let pki: Pki
let server: LinkServer
let agent: Program
let told:
  | { readonly envelope: Envelope; readonly body: Digest; readonly generation: Generation; readonly root: Digest }
  | undefined
let heard: SyncUp | undefined
let siteId = ''
const blobs = new Map<Digest, { readonly domain: 'release' | 'object'; readonly bytes: Uint8Array }>()

const rules = {
  prune: 'on',
  pruneFirst: [],
  pruneConfirm: [],
  adopt: 'ifIdentical',
  replace: 'never',
  drift: { mode: 'correct', ignore: [] },
  healthChecks: [],
  suspend: false,
  formerNames: [],
} as const

/** A release of one ConfigMap that says `word`. */
function release(word: string): Digest {
  const object = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'word', namespace: 'default' },
    data: { word },
  }
  const blob = digestJson('object', object)
  blobs.set(blob, { domain: 'object', bytes: Buffer.from(canonicalJson(object)) })
  const made: Release = {
    format: 1,
    workload: 'word',
    namespace: 'default',
    objects: [{ ref: { group: '', kind: 'ConfigMap', namespace: 'default', name: 'word' }, apiVersion: 'v1', blob }],
    dependsOn: [],
    rules,
  }
  const bytes = Buffer.from(canonicalJson(made as unknown as JsonObject))
  const digest = digestBytes('release', bytes)
  blobs.set(digest, { domain: 'release', bytes })
  return digest
}

interface Tell {
  readonly counter: number
  readonly word: string
  readonly site?: string
  readonly siteId?: string
  readonly critical?: readonly string[]
}

function manifest(tell: Tell): Buffer {
  const nowMs = Date.now()
  const generation = { epoch: 1, counter: tell.counter }
  const made = makeManifest({
    site: tell.site ?? SITE,
    siteId: tell.siteId ?? siteId,
    generation,
    revision: 'a'.repeat(40),
    issued: new Date(nowMs).toISOString(),
    expires: new Date(nowMs + 86_400_000).toISOString(),
    critical: tell.critical ?? [],
    mode: 'enforce',
    entries: [
      {
        workload: 'word',
        since: generation,
        release: release(tell.word),
        order: 0,
        startAfter: new Date(nowMs - 60_000).toISOString(),
        startBy: new Date(nowMs + 86_400_000).toISOString(),
        gates: [],
      },
    ],
    config: null,
    queues: {},
    keys: {},
    withdrawn: [],
    deletionsConfirmed: [],
  })
  return manifestBytes(made)
}

function tell(payload: Buffer, bend: (envelope: Envelope) => Envelope = (envelope) => envelope): void {
  const { generation, root } = JSON.parse(payload.toString()) as { generation: Generation; root: Digest }
  const envelope = bend(seal(PAYLOAD_TYPES.manifest, payload, [pki.signer]))
  told = { envelope, body: bodyDigest(envelope.payload), generation, root }
}

const handler: SyncHandler = {
  async sync(_caller, up) {
    heard = up
    const send = told !== undefined && up.have?.body !== told.body ? told : undefined
    const timeMs = Date.now()
    const subject = timeSubject(send, up.have)
    const sig = signTime({ siteId: up.siteId, nonce: up.nonce, timeMs, timeEpoch: 1, ...subject }, pki.signer)
    return {
      head: { v: 1, ack: up.seq, ackOutbox: 0, nextDueMs: 200 },
      manifest: send === undefined ? undefined : { envelope: send.envelope, body: send.body },
      blobs: send === undefined ? [] : [...blobs].map(([digest, { domain, bytes }]) => ({ digest, domain, bytes })),
      time: { timeMs, timeEpoch: 1, keyid: pki.signer.keyid, sig },
    }
  },
  blob: async (_caller, _domain, digest) => blobs.get(digest)?.bytes,
  standing: (keyHash) => standings.get(keyHash),
  async renew() {
    throw new Fault('KeyUnknown', 'this hub renews nothing')
  },
  async enrol(request) {
    if (hashTokenSecret(request.secret) !== hashTokenSecret(secret)) throw new Error('not this token')
    siteId = randomBytes(8).toString('hex')
    standings.set(request.keyHash, { state: 'active', site: SITE, siteId })
    return {
      siteId,
      certificate: await pki.certify({ site: SITE, siteId, publicKey: request.publicKey }),
      keys: pki.chain.at(-1)!,
    }
  },
}
const standings = new Map<
  string,
  { readonly state: 'active' | 'retired'; readonly site: string; readonly siteId: string }
>()
const secret = makeTokenSecret()

const word = (): string => {
  const done = spawnSync(
    plane.kubectlPath,
    ['--kubeconfig', plane.kubeconfig, 'get', 'configmap', 'word', '-o', 'jsonpath={.data.word}'],
    { encoding: 'utf8' },
  )
  return done.stdout
}
const refusal = (reason: string): Promise<unknown> =>
  eventually(
    `the site reports ${reason}`,
    () => heard?.conditions.some((condition) => condition.reason === reason) ?? false,
    20_000,
  )

beforeAll(async () => {
  buildCli()
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-liar-'))
  plane = await startControlPlane()
  pki = await openPki(path.join(dir, 'pki'), Date.now())
  server = await startLinkServer({ pki, handler })
  agent = new Program('agent', dir, [
    'agent',
    '--data',
    path.join(dir, 'agent'),
    '--kubeconfig',
    plane.kubeconfig,
    '--poll-ms',
    '200',
  ])
  agent.start(['--join', pki.joinLine(server.url, SITE, secret)])
  await eventually('the site calls', () => heard !== undefined)
  tell(manifest({ counter: 5, word: 'good' }))
  await eventually('the good word is applied', () => word() === 'good')
}, 120_000)

afterAll(async () => {
  await agent?.stop('SIGKILL')
  await server?.close(0)
  await plane?.[Symbol.asyncDispose]()
  fs.rmSync(dir, { recursive: true, force: true })
})

describe('a manifest is refused, says why, and the site keeps running what it has', () => {
  const bent = (envelope: Envelope): Envelope => {
    const payload = Buffer.from(envelope.payload)
    payload[payload.length >> 1] = (payload[payload.length >> 1] as number) ^ 1
    return { ...envelope, payload }
  }
  test.each<[string, string, () => void]>([
    ['one flipped byte', 'SignatureInvalid', () => tell(manifest({ counter: 6, word: 'bad' }), bent)],
    ['another site', 'WrongSite', () => tell(manifest({ counter: 6, word: 'bad', site: 'other' }))],
    [
      'a reused name of another siteId',
      'WrongSite',
      () => tell(manifest({ counter: 6, word: 'bad', siteId: 'f'.repeat(16) })),
    ],
    ['an older generation', 'OldGeneration', () => tell(manifest({ counter: 4, word: 'bad' }))],
    ['an equal generation with another body', 'ForkedHub', () => tell(manifest({ counter: 5, word: 'bad' }))],
    [
      'a critical field that this agent does not know',
      'AgentTooOld',
      () => tell(manifest({ counter: 6, word: 'bad', critical: ['teleport'] })),
    ],
    [
      'a time statement in its place',
      'SignatureInvalid',
      () =>
        tell(manifest({ counter: 6, word: 'bad' }), (envelope) => ({ ...envelope, payloadType: PAYLOAD_TYPES.time })),
    ],
  ])(
    '%s',
    async (_name, reason, lie) => {
      lie()
      await refusal(reason)
      expect(word()).toBe('good')
      expect(heard?.have?.generation).toEqual({ epoch: 1, counter: 5 })
    },
    60_000,
  )

  test('after all of it the true next one is taken', async () => {
    tell(manifest({ counter: 6, word: 'better' }))
    await eventually('the better word is applied', () => word() === 'better')
    await eventually('no complaint is left', () => heard?.conditions.length === 0)
  }, 60_000)
})
