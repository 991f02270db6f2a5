/** OpenPGP signatures of Git commits, as gpg makes them. */
import type { Key, KeyID } from 'openpgp'
import type { CommitVerdict } from './signature.ts'

/** `atMs`: the earliest time at which the key must have been valid. Throws where the signature cannot be read. */
export async function verifyPgpSignature(
  armored: string,
  payload: Buffer,
  signers: readonly Key[],
  atMs: number,
): Promise<CommitVerdict> {
  const { createMessage, readSignature, verify } = await import('openpgp')
  const signature = await readSignature({ armoredSignature: armored })
  const [packet, second] = signature.packets
  if (packet === undefined || second !== undefined) throw new Error('not one signature')
  const { issuerKeyID } = packet as unknown as { readonly issuerKeyID: KeyID }
  const signer = signers.find((key) => key.getKeys(issuerKeyID).length > 0)
  if (signer === undefined) return { kind: 'unknown', key: issuerKeyID.toHex().toUpperCase() }
  const name = signer.getUserIDs()[0] ?? signer.getFingerprint().toUpperCase()
  const date = new Date(Math.max(atMs, packet.created?.getTime() ?? 0))
  try {
    // Of the key now, not only of the time that the signature names for itself.
    await signer.getSigningKey(issuerKeyID, date)
  } catch (error) {
    return { kind: 'expired', by: name, because: (error as Error).message }
  }
  const message = await createMessage({ binary: new Uint8Array(payload) })
  const { signatures } = await verify({ message, signature, verificationKeys: [signer], date })
  const valid = await Promise.all(signatures.map(({ verified }) => verified.catch(() => false)))
  if (valid.length !== 1 || valid[0] !== true)
    return { kind: 'invalid', because: 'the signature does not match the commit' }
  return { kind: 'signed', by: name }
}
