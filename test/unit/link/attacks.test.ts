/**
 * The table of attacks and accidents, by name: a real hub, real sockets, real keys, a real agent over a simulated cluster. Who
 * attacks has the hub's machine and its online keys, unless the case says otherwise. Each is refused for its reason, the site
 * keeps running what it has, and takes the truth when it comes again.
 */
import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { asFault } from '../../../src/core/model/fault.ts'
import { PAYLOAD_TYPES, seal, signingKey, type SigningKey } from '../../../src/core/protocol/envelope.ts'
import { bodyDigest, makeManifest, manifestBytes, parseManifest } from '../../../src/core/protocol/manifest.ts'
import type { Envelope, SiteManifest } from '../../../src/core/protocol/messages.ts'
import type { SyncReply } from '../../../src/core/protocol/ports.ts'
import { signRelease } from '../../../src/core/protocol/statement.ts'
import { signTime, timeSubject } from '../../../src/core/protocol/time.ts'
import { shops } from '../hub/files.ts'
import { ADMIN } from '../hub/rig.ts'
import { type Box, DAY_MS, OneSite, soon } from './one-site.ts'
import { tlsServer } from './relay.ts'

const CONFIG = { apiVersion: 'v1', kind: 'ConfigMap' }
const REF = { group: '', kind: 'ConfigMap', namespace: 'web', name: 'web' }

/** What runs at the site, as its cluster shows it. */
async function running(box: Box): Promise<string> {
  const found = await box.cluster.get(CONFIG, REF, soon())
  const data = found?.['data'] as { readonly tag?: string } | undefined
  return `${data?.tag ?? 'nothing'} uid ${found?.metadata.uid ?? ''}`
}

/** An exchange and a turn; why the exchange came to nothing, or what the site complains of. */
async function visit(world: OneSite, box: Box): Promise<readonly string[]> {
  const said: string[] = []
  await box.agent.exchange(soon()).catch((error: unknown) => said.push(asFault(error).reason))
  await box.agent.turn(soon())
  await world.rig.decide()
  return [...said, ...box.agent.status().conditions.map(({ reason }) => reason)]
}

async function until(world: OneSite, box: Box, tag: string): Promise<void> {
  for (let i = 0; i < 10 && !(await running(box)).startsWith(`${tag} `); i++) {
    expect(await visit(world, box)).toEqual([])
    await world.rig.clock.advance(60_000)
    await world.clock.advance(60_000)
  }
  expect(await running(box)).toMatch(new RegExp(`^${tag} `))
  expect(await visit(world, box)).toEqual([])
}

async function commit(world: OneSite, tag: string): Promise<void> {
  world.rig.git.commit(shops({ sites: ['s1'], tag }))
  await world.rig.settle()
}

async function atRest(given: Parameters<typeof OneSite.open>[0] = {}): Promise<{ world: OneSite; box: Box }> {
  const world = await OneSite.open(given)
  const box = await world.join()
  await until(world, box, '1')
  return { world, box }
}

const held = (box: Box): SiteManifest => {
  const read = parseManifest(box.store.manifests()[0]!.envelope.payload)
  if (!read.ok) throw new Error(read.because)
  return read.value
}

/** Tells the site this in place of whatever the hub has to say, with a time statement to go with it. */
function telling(world: OneSite, envelope: Envelope, signer: SigningKey = world.pki.signer): void {
  world.bend = (reply, up) => {
    const read = parseManifest(envelope.payload)
    const subject = timeSubject(read.ok ? read.value : undefined, up.have)
    const statement = { siteId: up.siteId, nonce: up.nonce, timeMs: reply.time.timeMs, timeEpoch: 1, ...subject }
    const time = { ...reply.time, keyid: signer.keyid, sig: signTime(statement, signer) }
    return { ...reply, manifest: { envelope, body: bodyDigest(envelope.payload) }, time }
  }
}

const sealed = (world: OneSite, change: Partial<SiteManifest>, box: Box, signer = world.pki.signer): Envelope => {
  const { root: _root, ...body } = held(box)
  return seal(PAYLOAD_TYPES.manifest, manifestBytes(makeManifest({ ...body, ...change })), [signer])
}
const counter = (box: Box, step: number): Pick<SiteManifest, 'generation'> => {
  const { generation } = held(box)
  return { generation: { ...generation, counter: generation.counter + step } }
}
const nobody = (): SigningKey =>
  signingKey(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }))

type Attack = (world: OneSite, box: Box) => Promise<void> | void
const NOTHING = { entries: [] }

describe('what the site is told', () => {
  test.each<readonly [string, string, Attack]>([
    ['arbitrary content, signed by a stranger', 'SignatureInvalid', (world, box) => telling(world, sealed(world, { ...counter(box, 1), ...NOTHING }, box, nobody()))],
    ['arbitrary content, changed on the way', 'SignatureInvalid', (world, box) => {
      const envelope = sealed(world, { ...counter(box, 1), ...NOTHING }, box)
      telling(world, { ...envelope, payload: Buffer.from(Buffer.from(envelope.payload).toString().replace('"enforce"', '"observe"')) })
    }],
    ['arbitrary content, another signed thing in its place', 'SignatureInvalid', (world, box) =>
      telling(world, { ...sealed(world, { ...counter(box, 1), ...NOTHING }, box), payloadType: PAYLOAD_TYPES.time })],
    ['arbitrary content, signed and no manifest', 'InvalidInput', (world) => telling(world, seal(PAYLOAD_TYPES.manifest, Buffer.from('{"a":1}'), [world.pki.signer]))],
    ['replay of an older generation', 'OldGeneration', async (world, box) => {
      const old = box.store.manifests()[0]!.envelope
      await commit(world, '2')
      await until(world, box, '2')
      telling(world, old)
    }],
    ['freeze: what was true when it was kept back', 'Expired', async (world, box) => {
      const kept = sealed(world, { ...counter(box, 1), ...NOTHING }, box)
      const pastMs = Date.parse(held(box).expires) - world.rig.clock.nowMs() + DAY_MS
      await world.rig.clock.advance(pastMs)
      await world.clock.advance(pastMs)
      telling(world, kept)
    }],
    ['mix-and-match of blobs: the release of one workload as another’s', 'InvalidInput', (world, box) =>
      telling(world, sealed(world, { ...counter(box, 1), entries: held(box).entries.map((entry) => ({ ...entry, workload: 'other' })) }, box))],
    ['wrong site', 'WrongSite', (world, box) => telling(world, sealed(world, { ...counter(box, 1), ...NOTHING, site: 's2' }, box))],
    ['reused site name', 'WrongSite', (world, box) => telling(world, sealed(world, { ...counter(box, 1), ...NOTHING, siteId: 'f'.repeat(16) }, box))],
    ['equal generation with another body', 'ForkedHub', (world, box) => telling(world, sealed(world, NOTHING, box))],
    ['a critical field that this agent does not know', 'AgentTooOld', (world, box) => telling(world, sealed(world, { ...counter(box, 1), ...NOTHING, critical: ['teleport'] }, box))],
    ['stolen hub key, with a release signer configured', 'SignatureInvalid', async (world, box) => {
      await world.rotate({ step: 'release-signer', key: generateKeyPairSync('ed25519').publicKey })
      await visit(world, box)
      telling(world, sealed(world, { ...counter(box, 1), ...NOTHING, entries: held(box).entries }, box))
    }],
    ['stolen hub key, with a release signer configured: the site is given the name of another, and what was signed for that', 'SignatureInvalid', async (world, box) => {
      const signer = nobody()
      await world.rotate({ step: 'release-signer', key: signer.publicKey })
      await visit(world, box)
      const { entries } = held(box)
      const statements = entries.map(({ workload, release }) => signRelease({ revisionSeq: 1, workload, release, sites: ['s2'], notBelow: 0 }, signer))
      telling(world, sealed(world, { ...counter(box, 1), site: 's2', formerNames: ['s1'], entries, statements }, box))
    }],
  ])('%s: %s', async (_name, reason, attack) => {
    const { world, box } = await atRest()
    await using _world = world
    await attack(world, box)
    const before = { runs: await running(box), floor: box.store.floor() }
    expect(await visit(world, box)).toContain(reason)
    expect(await visit(world, box)).toContain(reason)
    expect({ runs: await running(box), floor: box.store.floor() }).toEqual(before)
    // A process that starts anew on its disk runs the same.
    await box.close()
    const again = world.start(box.dir, { cluster: box.cluster })
    await again.agent.turn(soon())
    expect(await running(again)).toBe(before.runs)
    expect(again.store.floor()).toEqual(before.floor)
    if (reason === 'SignatureInvalid' && world.pki.trust.critical.includes('release')) return
    world.bend = (reply) => reply
    await commit(world, 'true')
    await until(world, again, 'true')
  }) // prettier-ignore
})

describe('blobs', () => {
  const other = Buffer.from(
    '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"web","namespace":"web"},"data":{"tag":"evil"}}',
  )
  test.each<readonly [string, (world: OneSite) => void]>([
    ['mix-and-match of blobs: inline, under the names of others', (world) => {
      world.bend = (reply) => ({ ...reply, blobs: reply.blobs.map(({ base: _base, ...blob }) => ({ ...blob, bytes: other })) })
      world.bendBlob = () => other
    }],
    ['mix-and-match of blobs: fetched by name', (world) => {
      world.bend = (reply) => ({ ...reply, blobs: [] })
      world.bendBlob = () => other
    }],
  ])('%s: BlobMismatch', async (_name, attack) => {
    const { world, box } = await atRest()
    await using _world = world
    const before = await running(box)
    const floor = box.store.floor()
    await commit(world, '2')
    attack(world)
    const said = new Set<string>()
    for (let i = 0; i < 4; i++) for (const reason of await visit(world, box)) said.add(reason)
    expect([...said]).toContain('BlobMismatch')
    expect(await running(box)).toBe(before)
    expect(box.store.floor()).toEqual(floor)
    world.bend = (reply) => reply
    world.bendBlob = (bytes) => bytes
    await until(world, box, '2')
  }) // prettier-ignore
})

describe('freeze', () => {
  test('freeze: an answer of before, replayed whole, proves no freshness: its time is not believed', async () => {
    const { world, box } = await atRest()
    await using _world = world
    const before = await running(box)
    let first: SyncReply | undefined
    world.bend = (reply) => (first ??= reply)
    await visit(world, box)
    await commit(world, '2')
    await world.rig.clock.advance(DAY_MS)
    expect(await visit(world, box)).toEqual(['SignatureInvalid'])
    expect(box.agent.status().conditions).toMatchObject([{ type: 'Clock' }])
    expect(await running(box)).toBe(before)
    world.bend = (reply) => reply
    await until(world, box, '2')
  })
})

describe('what comes without an end', () => {
  const head = (length: number): string => `HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\n\r\n`
  test.each<readonly [string, string, (socket: { write(data: string | Buffer): boolean; destroyed: boolean; once(event: 'drain', then: () => void): void }) => void]>([
    ['endless data: announced', 'TooLarge', (socket) => void socket.write(head(2 ** 40))],
    ['endless data: chunk after chunk', 'InvalidInput', (socket) => {
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
      const chunk = Buffer.from(`10000\r\n${'x'.repeat(0x10000)}\r\n`)
      const more = (): void => {
        if (socket.destroyed) return
        if (socket.write(chunk)) setImmediate(more)
        else socket.once('drain', more)
      }
      more()
    }],
    ['slow data: a byte now and then', 'Timeout', (socket) => {
      socket.write(head(1_000))
      const timer = setInterval(() => (socket.destroyed ? clearInterval(timer) : socket.write('x')), 20)
    }],
    ['slow data: no answer at all', 'Timeout', () => undefined],
  ])('%s: %s', async (_name, reason, answer) => {
    const { world, box } = await atRest()
    await using _world = world
    const before = await running(box)
    await box.close()
    // Where the site looks for the hub, with the hub's own certificate.
    const hostile = await tlsServer(world.pki.tls, (socket) => socket.once('data', () => answer(socket)))
    const impatient = { answerTimeoutMs: 300, stalledMs: 300, minBytesPerSecond: 1_000 }
    const tried = world.start(box.dir, { cluster: box.cluster, limits: reason === 'Timeout' ? impatient : {} })
    const identity = tried.identity()
    tried.store.saveIdentity({ ...identity, hubUrl: hostile.url })
    try {
      expect(await visit(world, tried)).toContain(reason)
    } finally {
      await hostile[Symbol.asyncDispose]()
    }
    expect(await running(tried)).toBe(before)
    expect(process.memoryUsage().external).toBeLessThan(512 * 1024 * 1024)
    tried.store.saveIdentity(identity)
    await tried.close()
    const again = world.start(box.dir, { cluster: box.cluster })
    await commit(world, '2')
    await until(world, again, '2')
  }) // prettier-ignore
})

describe('the hub itself', () => {
  test('cloned hub: the clone that is behind tells the site nothing, and says so', async () => {
    const { world, box } = await atRest()
    await using _world = world
    const clone = await world.rig.backup()
    await commit(world, '2')
    await until(world, box, '2')
    const before = { runs: await running(box), floor: box.store.floor() }
    await world.rig.restore(clone)
    for (let i = 0; i < 3; i++) await visit(world, box)
    expect({ runs: await running(box), floor: box.store.floor() }).toEqual(before)
    expect((await world.rig.hub.api.site('s1')).conditions.map(({ reason }) => reason)).toEqual(['HubBehind'])
  })

  test('cloned hub: one that has counted as far with another body is not taken for the other: ForkedHub', async () => {
    const { world, box } = await atRest()
    await using _world = world
    const clone = await world.rig.backup()
    await commit(world, '2')
    await until(world, box, '2')
    const before = { runs: await running(box), floor: box.store.floor() }
    await world.rig.restore(clone)
    // The clone counts on while the site speaks to the other.
    await commit(world, '3')
    telling(world, sealed(world, NOTHING, box))
    expect(await visit(world, box)).toEqual(['ForkedHub'])
    world.bend = (reply) => reply
    await visit(world, box)
    expect({ runs: await running(box), floor: box.store.floor() }).toEqual(before)
    expect((await world.rig.hub.api.why('site', 's1')).causes.map(({ reason }) => reason)).toContain('ForkedHub')
  })

  test('hub restored from an old backup: nothing moves until `hub recover`, and then nothing that is as Git says', async () => {
    const { world, box } = await atRest()
    await using _world = world
    const backup = await world.rig.backup()
    await commit(world, '2')
    await until(world, box, '2')
    const before = await running(box)
    await world.rig.restore(backup)
    for (let i = 0; i < 3; i++) await visit(world, box)
    expect(await running(box)).toBe(before)
    expect((await world.rig.hub.api.site('s1')).conditions.map(({ reason }) => reason)).toEqual(['HubBehind'])
    // Before it has looked at Git it would take the site back to what the backup knew.
    await expect(world.rig.hub.api.recover(ADMIN)).rejects.toMatchObject({ reason: 'Conflict' })
    await world.rig.settle()
    expect(await world.rig.hub.api.recover(ADMIN)).toMatchObject({ epoch: 2 })
    for (let i = 0; i < 4; i++) await visit(world, box)
    expect(await running(box)).toBe(before)
    expect((await world.rig.hub.api.site('s1')).conditions).toEqual([])
    await commit(world, '3')
    await until(world, box, '3')
    expect(box.store.floor()?.generation.epoch).toBe(2)
  })

  test('hub clock at 2036 for five minutes: it signs nothing, and no site ever hears of it', async () => {
    const { world, box } = await atRest({ siteNowMs: Date.UTC(2026, 0, 1), hub: { maxClockSkewMs: DAY_MS } })
    await using _world = world
    const before = await running(box)
    const aheadMs = Date.UTC(2036, 0, 1) - world.rig.clock.nowMs()
    world.rig.clock.jump(aheadMs)
    await commit(world, '2')
    for (let i = 0; i < 5; i++) {
      expect(await visit(world, box)).toContain('HubClock')
      await world.rig.clock.advance(60_000)
      await world.clock.advance(60_000)
    }
    expect(await running(box)).toBe(before)
    const key = box.identity().certificate
    world.rig.clock.jump(-aheadMs)
    await until(world, box, '2')
    // Nothing of 2036 stayed: not in what it was told, nor in the age of its key.
    expect(Date.parse(held(box).issued)).toBeLessThan(Date.UTC(2026, 6, 1))
    expect(box.identity().certificate).toBe(key)
  })

  test.each([['ahead', 10], ['behind', -10]])('site clock ten years %s: it decides nothing', async (_name, years) => {
    const { world, box } = await atRest({ siteNowMs: Date.UTC(2026, 0, 1) })
    await using _world = world
    const key = box.identity().certificate
    world.clock.jump(years * 365 * DAY_MS)
    expect(await visit(world, box)).toEqual([])
    await commit(world, '2')
    await until(world, box, '2')
    await box.close()
    const again = world.start(box.dir, { cluster: box.cluster })
    world.clock.jump(-2 * years * 365 * DAY_MS)
    await commit(world, '3')
    await until(world, again, '3')
    expect(again.identity().certificate).toBe(key)
  }) // prettier-ignore
})
