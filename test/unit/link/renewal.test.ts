/** Keys that are renewed, lost, fenced and rescued: a real hub, real sockets, one real agent. */
import { SecretText } from '../../../src/core/model/secret.ts'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { keyHashOf } from '../../../src/adapters/link/peers.ts'
import type { AgentStore, SiteIdentity } from '../../../src/agent/ports.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import { accept } from '../../../src/core/protocol/accept.ts'
import { PAYLOAD_TYPES, seal, spkiOf } from '../../../src/core/protocol/envelope.ts'
import { renewSite } from '../../../src/adapters/link/rescue.ts'
import type { Rotation } from '../../../src/adapters/link/rotate.ts'
import { ADMIN } from '../hub/rig.ts'
import { NO_BASES, upOf } from './hub-twin.ts'
import { DAY_MS, OneSite, soon, type Box, type BoxOptions } from './one-site.ts'

const hashOf = ({ certificate }: Pick<SiteIdentity, 'certificate'>): string =>
  keyHashOf(new X509Certificate(certificate))
const reason = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: unknown) => (error instanceof Fault ? error.reason : String(error)),
  )
const standing = (world: OneSite, identity: Pick<SiteIdentity, 'certificate'>): string | undefined =>
  world.rig.hub.handler.standing(hashOf(identity))?.state

/** What Git means for it has arrived. */
async function told(world: OneSite, box: Box): Promise<void> {
  for (let i = 0; i < 3; i++) {
    await box.agent.exchange(soon())
    await world.rig.decide()
  }
  await box.agent.exchange(soon())
  expect(box.store.floor()).not.toBeNull()
}

type Step = (typeof STEPS)[number]
const STEPS = ['before asking', 'answer lost', 'before the disk', 'after the disk', 'before the second save'] as const

/** A process that ends there: nothing that it would do after that is done. */
function dyingAt(step: Step): BoxOptions {
  let dead = false
  let saves = 0
  const die = (): never => {
    dead = true
    throw new Fault('StoreFailed', 'killed')
  }
  return {
    keys: (real) => ({
      roots: (identity, signal) => real.roots(identity, signal),
      renew: async (identity, signal) => {
        if (dead || step === 'before asking') die()
        const renewed = await real.renew(identity, signal)
        return step === 'answer lost' ? die() : renewed
      },
    }),
    storeOf: (real) =>
      new Proxy(real, {
        get(store, name: keyof AgentStore) {
          if (name !== 'saveIdentity') return store[name]
          return (identity: SiteIdentity) => {
            saves++
            if (dead || (step === 'before the disk' && saves === 1)) die()
            if (step === 'before the second save' && saves === 2) die()
            store.saveIdentity(identity)
            if (step === 'after the disk') die()
          }
        },
      }),
  }
}

/** A certificate of this hub's authority for a key that its store never heard of. */
async function keysOfNobody(
  world: OneSite,
  { site, siteId }: SiteIdentity,
): Promise<Pick<SiteIdentity, 'certificate' | 'privateKey'>> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return {
    certificate: await world.pki.certify({ site, siteId, publicKey: spkiOf(publicKey) }),
    privateKey: new SecretText(privateKey.export({ type: 'pkcs8', format: 'pem' })),
  }
}

describe('renewal at half life', () => {
  test('by the hub’s time and not the site’s, keys made anew, the old one fenced when the new one was used', async () => {
    await using world = await OneSite.open()
    const box = await world.join()
    const before = box.identity()
    // The site's own clock is ten years ahead, past every date in its certificate.
    await box.agent.exchange(soon())
    await world.rig.clock.advance(181 * DAY_MS)
    await box.agent.exchange(soon())
    expect(box.identity()).toEqual(before)
    await world.rig.clock.advance(2 * DAY_MS)
    await box.agent.exchange(soon())
    const renewed = box.identity()
    expect(renewed.privateKey.reveal()).not.toBe(before.privateKey.reveal())
    expect(renewed.siteId).toBe(before.siteId)
    expect(
      new X509Certificate(renewed.certificate).publicKey.equals(new X509Certificate(before.certificate).publicKey),
    ).toBe(false)
    expect(renewed.previous?.certificate).toBe(before.certificate)
    expect(renewed.previous?.privateKey.reveal()).toBe(before.privateKey.reveal())
    expect([standing(world, before), standing(world, renewed)]).toEqual(['active', 'active'])
    await box.agent.exchange(soon())
    expect([standing(world, before), standing(world, renewed)]).toEqual(['retired', 'active'])
    expect(box.identity().previous).toBeUndefined()
    // A copy of the old key, its session included, opens nothing any more, and cannot renew itself.
    box.store.saveIdentity(before)
    expect(await reason(box.link.sync(upOf(before), NO_BASES, soon()))).toBe('KeyRetired')
  })

  test.each(STEPS)('a process killed %s has a working identity, and ends with one key', async (step) => {
    await using world = await OneSite.open()
    const box = await world.join()
    await box.agent.exchange(soon())
    await box.close()
    await world.rig.clock.advance(200 * DAY_MS)
    const dying = world.start(box.dir, dyingAt(step))
    await dying.agent.exchange(soon()).catch(() => undefined)
    await dying.agent.exchange(soon()).catch(() => undefined)
    await dying.close()
    const after = world.start(box.dir)
    for (let i = 0; i < 3; i++) expect(await reason(after.agent.exchange(soon()))).toBe('none')
    const { certificate, previous } = after.identity()
    expect(previous).toBeUndefined()
    const bornMs = new X509Certificate(certificate).validFromDate.getTime()
    expect(bornMs).toBeGreaterThan(world.rig.clock.nowMs() - 2 * DAY_MS)
    const alive = (await world.rig.store.load()).keys.filter(({ state }) => state !== 'retired')
    expect(alive.map(({ hash }) => hash)).toEqual([hashOf(after.identity())])
  })

  test('a hub that never heard of the renewal is met with the key of before', async () => {
    await using world = await OneSite.open()
    const box = await world.join()
    await box.agent.exchange(soon())
    const before = box.identity()
    await world.server.close(0)
    await box.close()
    // What a renewal leaves on the disk, at a hub that was restored from before it.
    const other = world.start(box.dir)
    const stranger = await keysOfNobody(world, before)
    other.store.saveIdentity({
      ...before,
      ...stranger,
      previous: { certificate: before.certificate, privateKey: before.privateKey },
    })
    await other.close()
    await world.rotate()
    const back = world.start(box.dir)
    expect(await reason(back.agent.exchange(soon()))).toBe('none')
    expect(back.identity().privateKey.reveal()).toBe(before.privateKey.reveal())
  })
})

describe('rescue', () => {
  const rotations: readonly (readonly [string, readonly Rotation[]])[] = [
    ['nothing', []],
    ['another signing key', [{ step: 'signing' }]],
    ['another signing key, the old one void', [{ step: 'signing' }, { step: 'retire-old' }]],
    ['another authority', [{ step: 'authority' }]],
    ['another authority, the old one void', [{ step: 'authority' }, { step: 'retire-old' }]],
    ['another root', [{ step: 'root' }]],
    ['all of it, twice', [1, 2].flatMap((): Rotation[] => [{ step: 'signing' }, { step: 'authority' }, { step: 'retire-old' }, { step: 'root' }])],
    ['the time epoch', [{ step: 'time-epoch' }]],
  ] // prettier-ignore

  test.each(rotations)('dark for 400 days while the hub got %s: back at its first word', async (_name, steps) => {
    await using world = await OneSite.open()
    const box = await world.join()
    await told(world, box)
    const generation = box.store.floor()?.generation
    const before = box.identity()
    await box.close()
    await world.rig.clock.advance(400 * DAY_MS)
    await world.rotate(...steps)
    const back = world.start(box.dir)
    await back.agent.exchange(soon())
    expect(back.agent.status().conditions).toEqual([])
    expect(back.store.floor()!.generation.counter).toBeGreaterThanOrEqual(generation?.counter ?? 0)
    // It renewed on the way, and holds the newest word of the root.
    await back.agent.exchange(soon())
    await back.agent.exchange(soon())
    expect(back.identity().privateKey.reveal()).not.toBe(before.privateKey.reveal())
    expect(Buffer.from(back.identity().trust.payload)).toEqual(Buffer.from(world.pki.chain.at(-1)!.payload))
    const alive = (await world.rig.store.load()).keys.filter(({ state }) => state !== 'retired')
    expect(alive.map(({ hash }) => hash)).toEqual([hashOf(back.identity())])
    // After any rotation new boxes join with the hub's present pin.
    const next = await world.join()
    expect(await reason(next.agent.exchange(soon()))).toBe('none')
  })

  test.each(rotations)('connected while the hub got %s: not one exchange is lost', async (_name, steps) => {
    await using world = await OneSite.open()
    const box = await world.join()
    await box.agent.exchange(soon())
    for (const step of steps) {
      await world.rotate(step)
      expect([step.step, await reason(box.agent.exchange(soon()))]).toEqual([step.step, 'none'])
      expect(box.agent.status().conditions).toEqual([])
    }
  })

  test('a token made before a root stepped down still joins', async () => {
    await using world = await OneSite.open()
    const line = await world.token()
    await world.rotate({ step: 'root' }, { step: 'authority' }, { step: 'retire-old' })
    const box = await world.join(line)
    expect(await reason(box.agent.exchange(soon()))).toBe('none')
  })

  test('what the old signing key signs counts until the root says otherwise', async () => {
    await using world = await OneSite.open()
    const box = await world.join()
    await box.agent.exchange(soon())
    const old = world.pki.signer
    const judge = (): string => {
      const envelope = seal(PAYLOAD_TYPES.manifest, Buffer.from('{}'), [old])
      const { site, siteId } = box.identity()
      const judged = accept({ envelope, trust: world.pki.trust, site, siteId, floor: null, hubNow: { known: 'no' } })
      return judged.verdict === 'refuse' ? judged.reason : judged.verdict
    }
    await world.rotate({ step: 'signing' })
    expect(judge()).toBe('InvalidInput')
    await world.rotate({ step: 'retire-old' })
    expect(judge()).toBe('SignatureInvalid')
  })

  test('a retired site is not rescued, by any path, at once', async () => {
    await using world = await OneSite.open()
    const box = await world.join()
    await box.agent.exchange(soon())
    await world.rig.hub.api.retire(ADMIN, 's1')
    expect(await reason(box.agent.exchange(soon()))).toBe('KeyRetired')
    const copy = world.start(box.dir)
    expect(await reason(copy.agent.exchange(soon()))).toBe('KeyRetired')
    expect(await reason(renewSite(box.identity(), soon()))).toBe('KeyRetired')
  })

  test('a replaced box is fenced, offered keys included, and its place and floor are the new one’s', async () => {
    await using world = await OneSite.open()
    const old = await world.join()
    await told(world, old)
    const floor = old.store.floor()
    expect(floor).not.toBeNull()
    await world.rig.clock.advance(200 * DAY_MS)
    // Its renewal is under way: one key in force, one offered.
    await old.agent.exchange(soon())
    expect(old.identity().previous).toBeDefined()
    const box = await world.join()
    expect(box.store.floor()).toEqual(floor)
    expect(box.identity().siteId).toBe(old.identity().siteId)
    expect([standing(world, old.identity()), standing(world, old.identity().previous!)]).toEqual(['retired', 'retired'])
    expect(await reason(old.agent.exchange(soon()))).toBe('KeyRetired')
    expect(await reason(box.agent.exchange(soon()))).toBe('none')
  })
})
