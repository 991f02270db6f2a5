/** A rotation in the key directory: whole or not at all, and only by who holds the root. */
import { generateKeyPairSync } from 'node:crypto'
import { copyFileSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { openPki } from '../../../src/adapters/link/pki.ts'
import { rotateKeys, type Rotation } from '../../../src/adapters/link/rotate.ts'
import { keyDir } from './key-dirs.ts'

const NOW_MS = Date.UTC(2026, 0, 1)
const STEPS: readonly Rotation[] = [
  { step: 'signing' },
  { step: 'authority' },
  { step: 'retire-old' },
  { step: 'root' },
  { step: 'release-signer', key: generateKeyPairSync('ed25519').publicKey },
  { step: 'time-epoch' },
]

describe('a rotation of the hub’s keys', () => {
  test.each(STEPS.map((rotation) => [rotation.step, rotation] as const))(
    '%s: killed before its commit it is the hub of before, and may be tried again',
    async (_step, rotation) => {
      using dir = keyDir()
      const before = await openPki(dir.path, NOW_MS)
      copyFileSync(dir.at('trust.json'), dir.at('trust.json.kept'))
      await rotateKeys(dir.path, rotation, NOW_MS + 1)
      const after = await openPki(dir.path, NOW_MS)
      expect(after.trust.version).toBeGreaterThan(before.trust.version)
      renameSync(dir.at('trust.json.kept'), dir.at('trust.json'))
      const killed = await openPki(dir.path, NOW_MS)
      expect([killed.signer.keyid, killed.tls.cert, killed.trust.version]).toEqual([
        before.signer.keyid,
        before.tls.cert,
        1,
      ])
      expect((await rotateKeys(dir.path, rotation, NOW_MS + 2)).version).toBe(after.trust.version)
      expect((await openPki(dir.path, NOW_MS)).trust.version).toBe(after.trust.version)
      for (const name of readdirSync(dir.path)) expect(statSync(dir.at(name)).mode & 0o777).toBe(0o600)
    },
  )

  test('says what each step makes of the trust', async () => {
    using dir = keyDir()
    await expect(rotateKeys(dir.path, { step: 'root' }, NOW_MS)).rejects.toMatchObject({ reason: 'InvalidInput' })
    await openPki(dir.path, NOW_MS)
    const seen: unknown[] = []
    for (const rotation of STEPS) {
      await rotateKeys(dir.path, rotation, NOW_MS)
      const { trust } = await openPki(dir.path, NOW_MS)
      const { rings, authorities, critical, timeEpoch, version } = trust
      seen.push([
        rotation.step,
        version,
        rings.manifest.size,
        authorities.length,
        rings.release.size,
        critical.join(),
        timeEpoch,
      ])
    }
    expect(seen).toEqual([
      ['signing', 2, 2, 1, 0, '', 1],
      ['authority', 3, 2, 2, 0, '', 1],
      ['retire-old', 4, 1, 1, 0, '', 1],
      ['root', 6, 1, 1, 0, '', 1],
      ['release-signer', 7, 1, 1, 1, 'release', 1],
      ['time-epoch', 8, 1, 1, 1, 'release', 2],
    ])
  })

  test('takes the root’s key from where it is kept, and no other', async () => {
    using dir = keyDir()
    using other = keyDir()
    await openPki(dir.path, NOW_MS)
    await openPki(other.path, NOW_MS)
    using safe = keyDir()
    writeFileSync(safe.at('root.key'), readFileSync(dir.at('root.key')))
    rmSync(dir.at('root.key'))
    const rotation: Rotation = { step: 'signing' }
    await expect(rotateKeys(dir.path, rotation, NOW_MS)).rejects.toMatchObject({ reason: 'InvalidInput' })
    await expect(rotateKeys(dir.path, rotation, NOW_MS, other.at('root.key'))).rejects.toMatchObject({
      reason: 'InvalidInput',
    })
    expect((await openPki(dir.path, NOW_MS)).trust.version).toBe(1)
    expect((await rotateKeys(dir.path, rotation, NOW_MS, safe.at('root.key'))).version).toBe(2)
  })
})
