import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { type Signer, verifyCommit } from '../../../src/adapters/git/signature.ts'

const prefixed = (value: string | Buffer): Buffer => {
  const bytes = Buffer.from(value)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}
const raw = (key: KeyObject): Buffer => Buffer.from((key.export({ format: 'jwk' }) as { x: string }).x, 'base64url')
const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const blob = Buffer.concat([prefixed('ssh-ed25519'), prefixed(raw(publicKey))])
const ann: Signer = { name: 'ann', key: `ssh-ed25519 ${blob.toString('base64')} ann@example.com` }
const commit = (message: string): string =>
  `tree ${'a'.repeat(40)}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\n${message}\n`

function signed(
  text: string,
  how: { readonly namespace?: string; readonly key?: KeyObject; readonly hash?: string } = {},
): Buffer {
  const { namespace = 'git', key = privateKey, hash = 'sha512' } = how
  const digest = createHash(hash === 'md5' ? 'md5' : 'sha512')
    .update(text)
    .digest()
  const data = Buffer.concat([
    Buffer.from('SSHSIG'),
    prefixed(namespace),
    prefixed(''),
    prefixed(hash),
    prefixed(digest),
  ])
  const mine = Buffer.concat([prefixed('ssh-ed25519'), prefixed(raw(createPublicKey(key)))])
  const inner = Buffer.concat([prefixed('ssh-ed25519'), prefixed(sign(null, data, key))])
  const version = Buffer.from([0, 0, 0, 1])
  const body = Buffer.concat([
    Buffer.from('SSHSIG'),
    version,
    prefixed(mine),
    prefixed(namespace),
    prefixed(''),
    prefixed(hash),
    prefixed(inner),
  ]).toString('base64')
  const armor = [
    '-----BEGIN SSH SIGNATURE-----',
    ...(body.match(/.{1,70}/g) ?? []),
    '-----END SSH SIGNATURE-----',
  ].join('\n ')
  const at = text.indexOf('\n\n')
  return Buffer.from(`${text.slice(0, at)}\ngpgsig ${armor}${text.slice(at)}`)
}

describe('a commit', () => {
  test('signed by a known key names who', () => {
    expect(verifyCommit(signed(commit('hello')), [ann])).toEqual({ kind: 'signed', by: 'ann' })
  })

  test('without a signature is unsigned', () => {
    expect(verifyCommit(Buffer.from(commit('hello')), [ann])).toEqual({ kind: 'unsigned' })
  })

  test('signed by a stranger shows the key', () => {
    const stranger = createPrivateKey(
      generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }),
    )
    expect(verifyCommit(signed(commit('hello'), { key: stranger }), [ann])).toMatchObject({
      kind: 'unknown',
      key: expect.stringMatching(/^SHA256:/) as string,
    })
  })

  test('whose message was changed after signing is invalid', () => {
    const bytes = Buffer.from(signed(commit('hello')).toString().replace('hello', 'hullo'))
    expect(verifyCommit(bytes, [ann])).toMatchObject({ kind: 'invalid' })
  })

  test('signed for another purpose, or with a weak hash, is invalid', () => {
    expect(verifyCommit(signed(commit('x'), { namespace: 'file' }), [ann])).toMatchObject({
      kind: 'invalid',
      because: expect.stringContaining('file') as string,
    })
    expect(verifyCommit(signed(commit('x'), { hash: 'md5' }), [ann])).toMatchObject({ kind: 'invalid' })
  })

  test('a signature inside the message is text', () => {
    const text = `${commit('hello')}gpgsig -----BEGIN SSH SIGNATURE-----\n AAAA\n -----END SSH SIGNATURE-----\n`
    expect(verifyCommit(Buffer.from(text), [ann])).toEqual({ kind: 'unsigned' })
  })

  test('any flipped byte of a signed commit is refused, and nothing is thrown', () => {
    const bytes = signed(commit('hello'))
    for (let i = 0; i < bytes.length; i++) {
      const bent = Buffer.from(bytes)
      bent[i] = (bent[i] as number) ^ 1
      const verdict = verifyCommit(bent, [ann])
      // The line that only shows the armour's break may vary: what is signed does not.
      if (verdict.kind === 'signed') expect(Buffer.compare(bent, bytes)).not.toBe(0)
      if (i > bytes.indexOf('\n\n')) expect(verdict.kind).not.toBe('signed')
    }
  })
})
