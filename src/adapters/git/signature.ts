/**
 * By whom a commit was signed, judged on the raw object: the bytes that were signed are the commit without its `gpgsig` header,
 * to the byte.
 */
import { verifyPgpSignature } from './pgp-signature.ts'
import type { Signers } from './signers.ts'
import { verifySshSignature } from './ssh-signature.ts'

export type CommitVerdict =
  | { readonly kind: 'signed'; readonly by: string }
  | { readonly kind: 'unsigned' }
  | { readonly kind: 'unknown'; readonly key: string }
  /** Or revoked, or not valid yet. */
  | { readonly kind: 'expired'; readonly by: string; readonly because: string }
  | { readonly kind: 'invalid'; readonly because: string }

const MAX_SIGNATURE_CHARS = 16_384

/**
 * Judges one commit; `raw` is the object's data without Git's header. `notBeforeMs`: a commit says itself when it was made, and
 * whoever holds an expired key would say an early time, so keys must have been valid at this time or later.
 */
export async function verifyCommit(raw: Buffer, signers: Signers, notBeforeMs = 0): Promise<CommitVerdict> {
  const split = splitSignature(raw)
  if (split === undefined) return { kind: 'unsigned' }
  const { signature, payload } = split
  if (signature.length > MAX_SIGNATURE_CHARS)
    return { kind: 'invalid', because: `a signature of ${signature.length} characters` }
  const atMs = Math.max(committedAtMs(payload), notBeforeMs)
  try {
    if (signature.startsWith('-----BEGIN SSH SIGNATURE-----'))
      return verifySshSignature(signature, payload, signers.ssh, atMs)
    if (signature.startsWith('-----BEGIN PGP SIGNATURE-----'))
      return await verifyPgpSignature(signature, payload, signers.pgp, atMs)
    return { kind: 'invalid', because: 'neither an SSH nor an OpenPGP signature' }
  } catch (error) {
    return { kind: 'invalid', because: (error as Error).message }
  }
}

function committedAtMs(payload: Buffer): number {
  const end = payload.indexOf('\n\n')
  const head = payload.toString('latin1', 0, end < 0 ? payload.length : end)
  return Number(/^committer .*> (\d{1,12}) [-+]\d{4}$/m.exec(head)?.[1] ?? 0) * 1000
}

/** The `gpgsig` header and the commit without it; continuation lines begin with a space. */
function splitSignature(raw: Buffer): { readonly signature: string; readonly payload: Buffer } | undefined {
  const end = raw.indexOf('\n\n')
  const head = raw.subarray(0, end < 0 ? raw.length : end + 1)
  const marker = head.indexOf('\ngpgsig ')
  if (marker < 0) return undefined
  const from = marker + 1
  let to = head.indexOf('\n', from) + 1
  while (to > 0 && head[to] === 0x20) to = head.indexOf('\n', to) + 1
  if (to <= 0) return undefined
  const signature = head
    .toString('latin1', from + 'gpgsig '.length, to)
    .replaceAll('\n ', '\n')
    .trim()
  return { signature, payload: Buffer.concat([raw.subarray(0, from), raw.subarray(to)]) }
}
