import { describe, expect, test } from 'vitest'
import { digestBytes, type Digest } from '../../../src/core/model/digest.ts'
import { canonicalJson, type JsonObject } from '../../../src/core/model/json.ts'
import { accept, acceptBlob, acceptRelease, type AcceptInput, type Floor } from '../../../src/core/protocol/accept.ts'
import { opens, PAYLOAD_TYPES, seal } from '../../../src/core/protocol/envelope.ts'
import {
  bodyDigest,
  makeManifest,
  manifestBytes,
  MANIFEST_MAX_BYTES,
  parseManifest,
  rootOf,
} from '../../../src/core/protocol/manifest.ts'
import type { Envelope, ManifestEntry } from '../../../src/core/protocol/messages.ts'
import { acceptTrust, signTrust } from '../../../src/core/protocol/trust.ts'
import { BODY, HUB, NOW_MS, RELEASE_SIGNER, ROOT, sealed, SITE, SITE_ID, STRANGER, TRUST } from './fixed.ts'

const GOOD = sealed(BODY)
const FLOOR: Floor = { generation: { epoch: 1, counter: 6 }, body: `sha256:${'0'.repeat(64)}` }

function judge(envelope: Envelope, rest: Partial<AcceptInput> = {}): ReturnType<typeof accept> {
  return accept({
    envelope,
    trust: TRUST,
    site: SITE,
    siteId: SITE_ID,
    floor: FLOOR,
    hubNow: { known: 'exact', ms: NOW_MS },
    ...rest,
  })
}

/** A body that the hub's key signs as it stands, whatever its root says. */
function signedJson(body: unknown): Envelope {
  return seal(PAYLOAD_TYPES.manifest, Buffer.from(JSON.stringify(body)), [HUB])
}

describe('what is accepted', () => {
  const newer = { ...BODY, generation: { epoch: 1, counter: 8 } }
  test.each<[string, () => ReturnType<typeof accept>, object]>([
    ['the first manifest of a site without a floor', () => judge(GOOD, { floor: null }), { verdict: 'accept' }],
    [
      'a newer generation, and the floor rises to it',
      () => judge(GOOD),
      { verdict: 'accept', floor: { generation: BODY.generation, body: bodyDigest(GOOD.payload) } },
    ],
    [
      'a lower counter of a higher epoch',
      () => judge(sealed({ ...BODY, generation: { epoch: 2, counter: 0 } })),
      { verdict: 'accept' },
    ],
    [
      'one that names the site as it is called now, and us among its former names',
      () => judge(sealed({ ...BODY, site: '0418', formerNames: ['0416', SITE] })),
      { verdict: 'accept', manifest: { site: '0418' } },
    ],
    ['one that a stranger signed as well', () => judge(sealed(BODY, [STRANGER, HUB])), { verdict: 'accept' }],
    [
      'a field that nobody knows yet, kept',
      () => judge(sealed({ ...BODY, later: { a: 1 } })),
      { verdict: 'accept', manifest: { later: { a: 1 } } },
    ],
    [
      'a critical name that we obey',
      () => judge(sealed({ ...BODY, critical: ['queues', 'fallback'] })),
      { verdict: 'accept' },
    ],
    [
      'the same generation with the same bytes',
      () => judge(GOOD, { floor: { generation: BODY.generation, body: bodyDigest(GOOD.payload) } }),
      { verdict: 'current' },
    ],
    [
      'what is already in force, though it expired',
      () =>
        judge(GOOD, {
          floor: { generation: BODY.generation, body: bodyDigest(GOOD.payload) },
          hubNow: { known: 'exact', ms: NOW_MS * 2 },
        }),
      { verdict: 'current' },
    ],
    [
      'what is already in force, at boot, before any word of time',
      () =>
        judge(GOOD, {
          floor: { generation: BODY.generation, body: bodyDigest(GOOD.payload) },
          hubNow: { known: 'no' },
        }),
      { verdict: 'current' },
    ],
    [
      'a rollback as content of a newer generation',
      () => judge(sealed({ ...newer, entries: [] })),
      { verdict: 'accept' },
    ],
    [
      'the last moment before it expires',
      () => judge(GOOD, { hubNow: { known: 'exact', ms: Date.parse(BODY.expires) } }),
      { verdict: 'accept' },
    ],
  ])('%s', (_name, run, expected) => expect(run()).toMatchObject(expected))
})

describe('what is refused, and the site keeps what it has', () => {
  const timeType = seal(PAYLOAD_TYPES.time, GOOD.payload, [HUB])
  test.each<[string, string, () => ReturnType<typeof accept>]>([
    ['no signature', 'SignatureInvalid', () => judge({ ...GOOD, signatures: [] })],
    ['a key that nobody named', 'SignatureInvalid', () => judge(sealed(BODY, [STRANGER]))],
    [
      'a stranger who takes the hub’s key id',
      'SignatureInvalid',
      () => judge({ ...GOOD, signatures: [{ keyid: HUB.keyid, sig: sealed(BODY, [STRANGER]).signatures[0]!.sig }] }),
    ],
    ['a key that may sign releases only', 'SignatureInvalid', () => judge(sealed(BODY, [RELEASE_SIGNER]))],
    ['the root itself: it names keys and signs no manifest', 'SignatureInvalid', () => judge(sealed(BODY, [ROOT]))],
    ['a signature over the same bytes as another type', 'SignatureInvalid', () => judge(timeType)],
    [
      'that signature with the type written over',
      'SignatureInvalid',
      () => judge({ ...timeType, payloadType: PAYLOAD_TYPES.manifest }),
    ],
    [
      'a signature that is cut short',
      'SignatureInvalid',
      () => judge({ ...GOOD, signatures: [{ keyid: HUB.keyid, sig: GOOD.signatures[0]!.sig.subarray(1) }] }),
    ],
    [
      'more signatures than anybody needs',
      'SignatureInvalid',
      () => judge({ ...GOOD, signatures: Array.from({ length: 9 }, () => GOOD.signatures[0]!) }),
    ],
    [
      'the signature of another manifest',
      'SignatureInvalid',
      () => judge({ ...GOOD, signatures: sealed({ ...BODY, mode: 'observe' }).signatures }),
    ],
    ['arbitrary content, unsigned', 'SignatureInvalid', () => judge({ ...GOOD, payload: Buffer.from('#!/bin/sh') })],
    [
      'arbitrary content, signed',
      'InvalidInput',
      () => judge(seal(PAYLOAD_TYPES.manifest, Buffer.from('#!/bin/sh'), [HUB])),
    ],
    ['a manifest of another site', 'WrongSite', () => judge(sealed({ ...BODY, site: '0418' }))],
    [
      'a manifest of a site with other former names',
      'WrongSite',
      () => judge(sealed({ ...BODY, site: '0418', formerNames: ['0416'] })),
    ],
    [
      'a manifest of another site that says it was called as we are',
      'WrongSite',
      () => judge(sealed({ ...BODY, site: '0418', siteId: '01J9Z7M6K3Q9', formerNames: [SITE] })),
    ],
    [
      'former names that are no names',
      'InvalidInput',
      () => judge(sealed({ ...BODY, site: '0418', formerNames: [SITE, '../0418'] })),
    ],
    [
      'a reused site name: the same name with another id',
      'WrongSite',
      () => judge(sealed({ ...BODY, siteId: '01J9Z7M6K3Q9' })),
    ],
    [
      'a replay of an older counter',
      'OldGeneration',
      () => judge(GOOD, { floor: { ...FLOOR, generation: { epoch: 1, counter: 8 } } }),
    ],
    [
      'a replay of an older epoch with a higher counter',
      'OldGeneration',
      () =>
        judge(sealed({ ...BODY, generation: { epoch: 1, counter: 9_000 } }), {
          floor: { ...FLOOR, generation: { epoch: 2, counter: 1 } },
        }),
    ],
    [
      'an equal generation with another body: a cloned hub',
      'ForkedHub',
      () => judge(GOOD, { floor: { ...FLOOR, generation: BODY.generation } }),
    ],
    [
      'the same content issued again under the same generation',
      'ForkedHub',
      () =>
        judge(sealed({ ...BODY, issued: '2026-01-02T03:00:01Z' }), {
          floor: { generation: BODY.generation, body: bodyDigest(GOOD.payload) },
        }),
    ],
    [
      'a freeze: nothing new by an expired manifest',
      'Expired',
      () => judge(GOOD, { hubNow: { known: 'exact', ms: Date.parse(BODY.expires) + 1 } }),
    ],
    [
      'a freeze across a reboot, by the last time that was told',
      'Expired',
      () => judge(GOOD, { hubNow: { known: 'atLeast', ms: Date.parse(BODY.expires) + 1 } }),
    ],
    ['something new when no hub has ever said the time', 'HubClock', () => judge(GOOD, { hubNow: { known: 'no' } })],
    [
      'a critical name that we do not know',
      'AgentTooOld',
      () => judge(sealed({ ...BODY, critical: ['queues', 'teleport'] })),
    ],
    [
      'a later layout that says so by a critical name',
      'AgentTooOld',
      () => judge(sealed({ ...BODY, entries: { pos: 1 }, critical: ['entries-by-name'] })),
    ],
    [
      'a root that is not of this body',
      'InvalidInput',
      () => judge(signedJson({ ...makeManifest(BODY), mode: 'observe' })),
    ],
    [
      'two entries of one workload',
      'InvalidInput',
      () => judge(sealed({ ...BODY, entries: [BODY.entries[0], BODY.entries[0]] })),
    ],
    ['a fractional counter', 'InvalidInput', () => judge(sealed({ ...BODY, generation: { epoch: 1, counter: 7.5 } }))],
    [
      'a counter beyond what JSON carries',
      'InvalidInput',
      () => judge(sealed({ ...BODY, generation: { epoch: 1, counter: 2 ** 53 } })),
    ],
    ['a negative epoch', 'InvalidInput', () => judge(sealed({ ...BODY, generation: { epoch: -1, counter: 7 } }))],
    ['an expiry that is no time', 'InvalidInput', () => judge(sealed({ ...BODY, expires: 'never' }))],
    [
      'an expiry on a day that does not exist',
      'InvalidInput',
      () => judge(sealed({ ...BODY, expires: '2026-13-41T00:00:00Z' })),
    ],
    ['a mode that nobody knows', 'InvalidInput', () => judge(sealed({ ...BODY, mode: 'destroy' }))],
    [
      'a release that is no digest',
      'InvalidInput',
      () => judge(sealed({ ...BODY, entries: [{ ...BODY.entries[0], release: 'latest' }] })),
    ],
    [
      'text that nests without end',
      'TooLarge',
      () => judge(seal(PAYLOAD_TYPES.manifest, Buffer.from('['.repeat(100_000)), [HUB])),
    ],
    [
      'a payload above its limit',
      'TooLarge',
      () => judge(seal(PAYLOAD_TYPES.manifest, Buffer.alloc(MANIFEST_MAX_BYTES + 1, 32), [HUB])),
    ],
    [
      'bytes that are not UTF-8',
      'InvalidInput',
      () => judge(seal(PAYLOAD_TYPES.manifest, Buffer.from([0x7b, 0xff, 0x7d]), [HUB])),
    ],
  ])('%s: %s', (_name, reason, run) => expect(run()).toMatchObject({ verdict: 'refuse', reason }))

  test('a flipped bit in any byte in the payload or the signature', () => {
    for (let byte = 0; byte < GOOD.payload.length; byte++) {
      const payload = Buffer.from(GOOD.payload)
      payload[byte]! ^= 1 << (byte & 7)
      if (judge({ ...GOOD, payload }).verdict !== 'refuse') expect.fail(`byte ${byte} of the payload`)
    }
    for (let byte = 0; byte < 64; byte++) {
      const sig = Buffer.from(GOOD.signatures[0]!.sig)
      sig[byte]! ^= 1 << (byte & 7)
      const { verdict } = judge({ ...GOOD, signatures: [{ keyid: HUB.keyid, sig }] })
      if (verdict !== 'refuse') expect.fail(`byte ${byte} of the signature`)
    }
  })

  test('a refusal of something that was signed names its generation, for the report', () => {
    expect(judge(sealed({ ...BODY, site: '0418' }))).toMatchObject({ generation: BODY.generation })
  })

  test('the hub’s old key, once the root has named another', () => {
    const statement = signTrust(
      {
        version: 2,
        issued: '2026-01-03T00:00:00Z',
        timeEpoch: 1,
        critical: [],
        keys: [{ key: STRANGER.publicKey, roles: ['manifest'] }],
        authorities: [],
      },
      ROOT,
    )
    const read = acceptTrust(statement, ROOT.publicKey, TRUST)
    if (read.verdict !== 'accept') return expect.fail(read.verdict)
    expect(judge(GOOD, { trust: read.trust })).toMatchObject({ reason: 'SignatureInvalid' })
    expect(judge(sealed(BODY, [STRANGER]), { trust: read.trust })).toMatchObject({ verdict: 'accept' })
  })
})

describe('the root digest', () => {
  const root = rootOf(BODY)
  test.each<[string, object, 'same' | 'other']>([
    ['generation', { generation: { epoch: 9, counter: 9 } }, 'same'],
    ['revision', { revision: 'x' }, 'same'],
    ['issued', { issued: '2027-01-01T00:00:00Z' }, 'same'],
    ['expires', { expires: '2027-01-01T00:00:00Z' }, 'same'],
    ['queues', { queues: {} }, 'other'],
    ['site', { site: '0418' }, 'other'],
    ['entries', { entries: [] }, 'other'],
    ['critical', { critical: ['mode'] }, 'other'],
    ['a field that nobody knows', { later: 1 }, 'other'],
  ])('a change of %s gives the %s', (_name, change, expected) => {
    expect(rootOf({ ...BODY, ...change }) === root ? 'same' : 'other').toBe(expected)
  })

  test('a manifest reads back as it was made, unknown fields included', () => {
    const made = makeManifest({ ...BODY, later: [1] } as never)
    const read = parseManifest(manifestBytes(made))
    expect(read.ok && manifestBytes(read.value).equals(manifestBytes(made))).toBe(true)
  })

  test('a name in a map from outside finds nothing that it did not bring', () => {
    const read = parseManifest(manifestBytes(makeManifest(BODY)))
    expect(read.ok && read.value.keys.constructor).toBeUndefined()
  })
})

describe('blobs', () => {
  const release: JsonObject = {
    format: 1,
    workload: 'pos/till',
    namespace: 'pos',
    objects: [],
    dependsOn: [],
    rules: {},
  }
  const bytesOf = (it: JsonObject): Buffer => Buffer.from(canonicalJson(it))
  const entryOf = (bytes: Uint8Array): ManifestEntry => ({
    ...BODY.entries[0]!,
    release: digestBytes('release', bytes),
  })
  const blob = {
    ref: { group: '', kind: 'ConfigMap', namespace: 'pos', name: 'a' },
    apiVersion: 'v1',
    blob: digestBytes('object', 'x'),
  }

  test.each<[string, JsonObject, string]>([
    ['of its workload', release, 'ok'],
    ['with objects', { ...release, objects: [blob] }, 'ok'],
    ['of another workload: mixed and matched', { ...release, workload: 'pos/other' }, 'InvalidInput'],
    ['of a later format', { ...release, format: 2 }, 'AgentTooOld'],
    ['with an object that names no blob', { ...release, objects: [{ ...blob, blob: 'x' }] }, 'InvalidInput'],
  ])('a release %s: %s', (_name, it, expected) => {
    const read = acceptRelease(entryOf(bytesOf(it)), bytesOf(it))
    expect(read.ok ? 'ok' : read.reason).toBe(expected)
  })

  test('a release in another’s place, or one changed byte, does not hash to the name', () => {
    const entry = entryOf(bytesOf(release))
    expect(acceptRelease(entry, bytesOf({ ...release, namespace: 'other' }))).toMatchObject({ reason: 'BlobMismatch' })
    const bent = bytesOf(release)
    bent[3]! ^= 1
    expect(acceptRelease(entry, bent)).toMatchObject({ reason: 'BlobMismatch' })
  })

  test('bytes of one domain are never taken for those of another', () => {
    const bytes = bytesOf(release)
    const names = (['object', 'sealed', 'release', 'config'] as const).map((domain): [typeof domain, Digest] => [
      domain,
      digestBytes(domain, bytes),
    ])
    for (const [domain] of names)
      for (const [other, digest] of names) expect(acceptBlob(domain, digest, bytes).ok).toBe(domain === other)
  })
})

describe('the envelope', () => {
  test('says whose signature holds', () => {
    expect(opens(GOOD, PAYLOAD_TYPES.manifest, TRUST.rings.manifest)).toEqual({ ok: true, by: HUB.keyid })
  })
})
