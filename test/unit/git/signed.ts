/** Commits as texts, and signatures on them as `git commit -S` with gpg.format=ssh makes them. */
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

const prefixed = (value: string | Buffer): Buffer => {
  const bytes = Buffer.from(value)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}
const raw = (key: KeyObject): Buffer => Buffer.from((key.export({ format: 'jwk' }) as { x: string }).x, 'base64url')
const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const blob = Buffer.concat([prefixed('ssh-ed25519'), prefixed(raw(publicKey))])
export const LINE = `ssh-ed25519 ${blob.toString('base64')}`
export const commit = (message: string): string =>
  `tree ${'a'.repeat(40)}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\n${message}\n`

/** The commit with a signature as ssh-keygen makes it. */
export function signed(
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
