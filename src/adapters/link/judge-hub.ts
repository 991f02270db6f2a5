/** Whether what answers is our hub: by the pinned root's authorities, never by a date. */
import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { Fault } from '../../core/model/fault.ts'
import { isHub, issuedBy } from './peers.ts'

/** A resumed session shows no certificate: its secret is the proof, and it comes from a handshake that was judged here. */
export function judgeHub(socket: TLSSocket, authorities: readonly X509Certificate[]): void {
  if (socket.isSessionReused()) return
  const leaf = socket.getPeerX509Certificate()
  if (leaf !== undefined && issuedBy(leaf, authorities)) {
    if (isHub(leaf)) return
    throw new Fault('HubNotTrusted', 'a certificate of our root, and not the hub’s')
  }
  // Who claims to be a hub of ours is an impostor or another fleet's; who claims anything else is in between.
  if (leaf?.subjectAltName?.includes('spiffe://flotilla/') === true)
    throw new Fault('HubNotTrusted', 'a hub’s certificate that our root did not sign')
  throw new Fault('CaptivePortal', 'something intercepts TLS on the way to the hub')
}
