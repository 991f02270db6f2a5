import { createPrivateKey, generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { verifyCommit } from '../../../src/adapters/git/signature.ts'
import { readSigners } from '../../../src/adapters/git/signers.ts'
import { commit, LINE, signed } from './signed.ts'

const ann = await readSigners([`ann@example.com ${LINE}`])

describe('a commit', () => {
  test('signed by a known key names who', async () => {
    expect(await verifyCommit(signed(commit('hello')), ann)).toEqual({ kind: 'signed', by: 'ann@example.com' })
  })

  test('without a signature is unsigned', async () => {
    expect(await verifyCommit(Buffer.from(commit('hello')), ann)).toEqual({ kind: 'unsigned' })
  })

  test('signed by a stranger shows the key', async () => {
    const stranger = createPrivateKey(
      generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }),
    )
    expect(await verifyCommit(signed(commit('hello'), { key: stranger }), ann)).toMatchObject({
      kind: 'unknown',
      key: expect.stringMatching(/^SHA256:/) as string,
    })
  })

  test('whose message was changed after signing is invalid', async () => {
    const bytes = Buffer.from(signed(commit('hello')).toString().replace('hello', 'hullo'))
    expect(await verifyCommit(bytes, ann)).toMatchObject({ kind: 'invalid' })
  })

  test('signed for another purpose, or with a weak hash, is invalid', async () => {
    expect(await verifyCommit(signed(commit('x'), { namespace: 'file' }), ann)).toMatchObject({
      kind: 'invalid',
      because: expect.stringContaining('file') as string,
    })
    expect(await verifyCommit(signed(commit('x'), { hash: 'md5' }), ann)).toMatchObject({ kind: 'invalid' })
  })

  test('a signature inside the message is text', async () => {
    const text = `${commit('hello')}gpgsig -----BEGIN SSH SIGNATURE-----\n AAAA\n -----END SSH SIGNATURE-----\n`
    expect(await verifyCommit(Buffer.from(text), ann)).toEqual({ kind: 'unsigned' })
  })

  test('any flipped byte of a signed commit is refused, and nothing is thrown', async () => {
    const bytes = signed(commit('hello'))
    for (let i = 0; i < bytes.length; i++) {
      const bent = Buffer.from(bytes)
      bent[i] = (bent[i] as number) ^ 1
      const verdict = await verifyCommit(bent, ann)
      // The line that only shows the armour's break may vary: what is signed does not.
      if (verdict.kind === 'signed') expect(Buffer.compare(bent, bytes)).not.toBe(0)
      if (i > bytes.indexOf('\n\n')) expect(verdict.kind).not.toBe('signed')
    }
  })

  const at = (time: string): string => commit('x').replaceAll('1 +0000', `${Date.parse(time) / 1000} +0000`)
  test.each([
    ['before its key is valid', '2025-12-31T23:59:59Z', undefined, 'expired'],
    ['while its key is valid', '2026-01-01T00:00:00Z', undefined, 'signed'],
    ['when its key has expired', '2026-02-01T00:00:00Z', undefined, 'expired'],
    ['that says an early time although it comes after a later one', '2026-01-15T00:00:00Z', '2026-03-01', 'expired'],
  ])('%s is judged by the options of its line', async (_, time, notBefore, kind) => {
    const signers = await readSigners([`ann@example.com valid-after="20260101Z",valid-before="202602010000Z" ${LINE}`])
    expect(await verifyCommit(signed(at(time)), signers, Date.parse(notBefore ?? '1970-01-01'))).toMatchObject({ kind })
  })

  test('a key that its line gives to something else than Git signs no commit', async () => {
    expect(await verifyCommit(signed(commit('x')), await readSigners([`ann namespaces="file" ${LINE}`]))).toMatchObject(
      {
        kind: 'unknown',
      },
    )
    expect(await verifyCommit(signed(commit('x')), await readSigners([`ann namespaces="file,git" ${LINE}`]))).toEqual({
      kind: 'signed',
      by: 'ann',
    })
  })
})

test.each([
  ['ann'],
  ['cert-authority ssh-ed25519 AAAA'],
  ['-----BEGIN PGP PUBLIC KEY BLOCK-----\nxx'],
  [`valid-before="soon" ${LINE}`],
])('%j is no signer', async (text) => {
  await expect(readSigners([text])).rejects.toMatchObject({ reason: 'InvalidInput' })
})
