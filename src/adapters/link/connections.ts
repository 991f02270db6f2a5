/** What the hub knows of one connection, for as long as it stands, and how many of them one key holds. */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  type KeyObject,
  type X509Certificate,
} from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { spkiOf } from '../../core/protocol/envelope.ts'
import { NEW_CONVERSATION, type Conversation } from '../../core/protocol/sync.ts'
import { CHALLENGE_BYTES } from './enrol-proof.ts'
import { issuedBy, keyHashOf, siteOf, type SiteName } from './peers.ts'

/** Never changes on one connection; the standing of the key does. */
export type Peer = { readonly keyHash: string; readonly name: SiteName } | undefined

export interface Connection {
  readonly peer: Peer
  conversation: Conversation
  /** Single use: made when asked for, gone when answered. */
  challenge: { readonly bytes: Buffer; readonly privateKey: KeyObject; readonly publicSpki: Buffer } | undefined
}

export interface ConnectionBook {
  readonly size: number
  of(socket: TLSSocket, authorities: readonly X509Certificate[]): Connection
}

export function connectionBook(perKey: number): ConnectionBook {
  const known = new WeakMap<TLSSocket, Connection>()
  const byKey = new Map<string, Set<TLSSocket>>()
  let size = 0

  const enlist = (socket: TLSSocket, keyHash: string): void => {
    const held = byKey.get(keyHash) ?? new Set()
    byKey.set(keyHash, held)
    held.add(socket)
    const [oldest] = held
    // A site whose old connections hang half open is served on its newest.
    if (held.size > perKey && oldest !== undefined) {
      held.delete(oldest)
      oldest.destroy()
    }
    socket.once('close', () => {
      held.delete(socket)
      if (held.size === 0 && byKey.get(keyHash) === held) byKey.delete(keyHash)
    })
  }
  return {
    get size() {
      return size
    },
    of(socket, authorities) {
      const found = known.get(socket)
      if (found !== undefined) return found
      const connection: Connection = {
        peer: peerOf(socket, authorities),
        conversation: NEW_CONVERSATION,
        challenge: undefined,
      }
      known.set(socket, connection)
      size++
      socket.once('close', () => size--)
      if (connection.peer !== undefined) enlist(socket, connection.peer.keyHash)
      return connection
    },
  }
}

/** The certificate of a resumed session comes out of its ticket. */
function peerOf(socket: TLSSocket, authorities: readonly X509Certificate[]): Peer {
  const leaf = socket.getPeerX509Certificate()
  if (leaf === undefined || !issuedBy(leaf, authorities)) return undefined
  const name = siteOf(leaf)
  return name === undefined ? undefined : { keyHash: keyHashOf(leaf), name }
}

export function makeChallenge(): NonNullable<Connection['challenge']> {
  const privateKey = createPrivateKey(generateKeyPairSync('x25519').privateKey.export({ type: 'pkcs8', format: 'pem' }))
  return { bytes: randomBytes(CHALLENGE_BYTES), privateKey, publicSpki: spkiOf(createPublicKey(privateKey)) }
}
