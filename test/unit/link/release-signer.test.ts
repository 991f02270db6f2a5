/** A fleet begins to ask for a release signer while it runs: nothing is told that would be refused, and what is signed goes. */
import { generateKeyPairSync } from 'node:crypto'
import { expect, test } from 'vitest'
import type { Digest } from '../../../src/core/model/digest.ts'
import { type SigningKey, signingKey } from '../../../src/core/protocol/envelope.ts'
import { signRelease } from '../../../src/core/protocol/statement.ts'
import { shops } from '../hub/files.ts'
import { ADMIN } from '../hub/rig.ts'
import { type Box, OneSite, soon } from './one-site.ts'

const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })
const SIGNER: SigningKey = signingKey(pem)
const STRANGER = signingKey(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }))

async function visit(world: OneSite, box: Box, times = 1): Promise<void> {
  for (let i = 0; i < times; i++) {
    await box.agent.exchange(soon())
    await box.agent.turn(soon())
    await world.rig.clock.advance(60_000)
    await world.clock.advance(60_000)
    await world.rig.decide()
  }
  expect(box.agent.status().conditions).toEqual([])
}
const tag = async (box: Box): Promise<unknown> => {
  const ref = { group: '', kind: 'ConfigMap', namespace: 'web', name: 'web' }
  const found = await box.cluster.get({ apiVersion: 'v1', kind: 'ConfigMap' }, ref, soon())
  return (found?.['data'] as { readonly tag?: string } | undefined)?.tag
}
const commit = async (world: OneSite, tag: string): Promise<Digest> => {
  world.rig.git.commit(shops({ sites: ['s1'], tag }))
  await world.rig.settle()
  const target = (await world.rig.hub.api.site('s1')).workloads[0]?.target
  if (target == null) throw new Error('the site is not targeted')
  return target as Digest
}
const word = (release: Digest, seq: number, by = SIGNER, notBelow = 0) =>
  signRelease({ revisionSeq: seq, workload: 'web', sites: ['s1'], release, notBelow }, by)
const waits = async (world: OneSite): Promise<readonly string[]> =>
  (await world.rig.hub.api.why('site', 's1')).causes.map(({ reason }) => reason)

test('the root begins to ask for a signer: no site refuses anything, and what is signed goes', async () => {
  await using world = await OneSite.open()
  const box = await world.join()
  const first = await commit(world, '1')
  await visit(world, box, 3)
  expect(await tag(box)).toBe('1')
  await world.rotate({ step: 'release-signer', key: SIGNER.publicKey })

  const second = await commit(world, '2')
  await visit(world, box, 5)
  expect(await tag(box)).toBe('1')
  expect(await waits(world)).toContainEqual(expect.stringMatching(/^Unsigned\(/))
  // A stranger's word is none, and one bad word among good ones takes none of them.
  await expect(world.rig.hub.api.sign(ADMIN, [word(second, 1), word(second, 2, STRANGER)])).rejects.toMatchObject({
    reason: 'SignatureInvalid',
  })
  await visit(world, box, 2)
  expect(await tag(box)).toBe('1')

  expect(await world.rig.hub.api.sign(ADMIN, [word(second, 2)])).toEqual({ taken: 1 })
  await visit(world, box, 5)
  expect(await tag(box)).toBe('2')
  expect(box.store.floor()?.content).toEqual({ web: 0 })

  // Kept over a restart of the hub; a floor that the signer sets closes what it signed before.
  await world.rig.restart()
  await world.rig.hub.api.sign(ADMIN, [word(first, 1), word(second, 3, SIGNER, 3)])
  await visit(world, box, 3)
  expect(box.store.floor()?.content).toEqual({ web: 3 })
  expect(await commit(world, '1')).toBe(first)
  await visit(world, box, 5)
  expect(await tag(box)).toBe('2')
  await world.rig.hub.api.sign(ADMIN, [word(first, 4)])
  await visit(world, box, 5)
  expect(await tag(box)).toBe('1')
})

test('a site that is renamed keeps what it has until the signer says so, and the hub says what is to be done', async () => {
  await using world = await OneSite.open()
  const box = await world.join()
  await world.rotate({ step: 'release-signer', key: SIGNER.publicKey })
  const first = await commit(world, '1')
  await world.rig.hub.api.sign(ADMIN, [word(first, 1)])
  await visit(world, box, 5)
  expect(await tag(box)).toBe('1')

  world.rig.git.commit(shops({ sites: ['s9'], tag: '1', site: () => '  formerNames: [s1]\n' }))
  await world.rig.settle()
  await visit(world, box, 3)
  expect([await tag(box), box.identity().site]).toEqual(['1', 's1'])
  const { conditions } = await world.rig.hub.api.site('s9')
  expect(conditions).toMatchObject([{ reason: 'Unsigned', message: expect.stringMatching(/web under this name \(it was s1\).*flotilla sign/) as string }]) // prettier-ignore
  expect((await world.rig.hub.api.status()).needsYou).toMatchObject([{ message: 's9: Manifest Unsigned', next: 'flotilla why site/s9' }]) // prettier-ignore
  // Also to a hub that was started since.
  await world.rig.restart()
  await world.rig.decide()
  expect((await world.rig.hub.api.why('site', 's9')).causes.map(({ reason }) => reason)).toContain('Unsigned')

  const renamed = (seq: number, formerNames?: Readonly<Record<string, readonly string[]>>) =>
    signRelease(
      {
        revisionSeq: seq,
        workload: 'web',
        sites: ['s9'],
        release: first,
        notBelow: 0,
        ...(formerNames && { formerNames }),
      },
      SIGNER,
    )
  // The signer's word for the new name alone would do for whatever box a hub calls so: the site asks for more, and says so.
  await world.rig.hub.api.sign(ADMIN, [renamed(2)])
  await world.rig.decide()
  await box.agent.exchange(soon())
  await box.agent.turn(soon())
  expect([await tag(box), box.identity().site]).toEqual(['1', 's1'])
  expect(box.agent.status().conditions).toMatchObject([{ reason: 'SignatureInvalid', message: 'no release signer says that s9 was s1' }]) // prettier-ignore
  await box.agent.exchange(soon())
  expect((await world.rig.hub.api.why('site', 's9')).causes[0]?.message).toBe('no release signer says that s9 was s1')

  await world.rig.hub.api.sign(ADMIN, [renamed(3, { s9: ['s1'] })])
  await world.rig.decide()
  await box.agent.exchange(soon())
  await visit(world, box, 3)
  expect([await tag(box), box.identity().site]).toEqual(['1', 's9'])
  expect(await world.rig.hub.api.site('s9')).toMatchObject({ sync: 'Synced', conditions: [] })
  expect((await world.rig.hub.api.status()).needsYou).toEqual([])
})

test('a site that was dark while the signer came is told what was signed meanwhile', async () => {
  await using world = await OneSite.open()
  const box = await world.join()
  await commit(world, '1')
  await visit(world, box, 3)
  await box.close()
  await world.rotate({ step: 'release-signer', key: SIGNER.publicKey }, { step: 'signing' }, { step: 'retire-old' })
  const second = await commit(world, '2')
  await world.rig.hub.api.sign(ADMIN, [word(second, 1)])
  await world.rig.decide()
  const back = world.start(box.dir, { cluster: box.cluster })
  await visit(world, back, 5)
  expect(await tag(back)).toBe('2')
})
