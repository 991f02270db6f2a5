/** `trust.json`: the root's chain, and which files hold the keys that go with its last statement. Its renaming is a rotation's commit. */
import type { Digest } from '../../core/model/digest.ts'
import { Fault } from '../../core/model/fault.ts'
import type { TrustStatement } from '../../core/protocol/ports.ts'

/** Names within the directory. */
export interface KeyFiles {
  readonly root: string
  readonly signer: string
  readonly caKey: string
  readonly caPem: string
  readonly hubKey: string
  readonly hubPem: string
  readonly ticket: string
}

export const FIRST_FILES: KeyFiles = {
  root: 'root.key',
  signer: 'signing.key',
  caKey: 'ca.key',
  caPem: 'ca.pem',
  hubKey: 'hub.key',
  hubPem: 'hub.pem',
  ticket: 'ticket.key',
}

export interface TrustFile {
  /** Of the first root. */
  readonly pin: Digest
  /** SPKI of the first root. */
  readonly root: Uint8Array
  /** Oldest first. */
  readonly chain: readonly TrustStatement[]
  readonly files: KeyFiles
}

export function encodeTrustFile({ pin, root, chain, files }: TrustFile): string {
  const part = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
  const statements = chain.map(({ payload, sig }) => ({ payload: part(payload), sig: part(sig) }))
  return JSON.stringify({ format: 1, pin, root: part(root), chain: statements, files })
}

/** Fault StoreCorrupt. */
export function readTrustFile(text: string): TrustFile {
  try {
    const it = JSON.parse(text) as {
      readonly pin: Digest
      readonly root: string
      readonly chain: readonly { readonly payload: string; readonly sig: string }[]
      readonly files?: Partial<KeyFiles>
    }
    const bytes = (part: string): Buffer => Buffer.from(part, 'base64')
    const chain = it.chain.map(({ payload, sig }) => ({ payload: bytes(payload), sig: bytes(sig) }))
    return { pin: it.pin, root: bytes(it.root), chain, files: { ...FIRST_FILES, ...it.files } }
  } catch (cause) {
    throw new Fault('StoreCorrupt', 'trust.json cannot be read', { cause })
  }
}
