/** Servers that are not the hub: a TCP relay that cuts, and ends of the link that answer whatever a test wants. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions, type TLSSocket } from 'node:tls'
import type { HubTls } from '../../../src/adapters/link/pki.ts'

export interface Listening extends AsyncDisposable {
  readonly port: number
  readonly url: string
  readonly connections: number
  /** Breaks every connection that stands. */
  cut(): void
}

async function listen(server: Server, sockets: Set<Socket>): Promise<Listening> {
  let connections = 0
  server.on('connection', (socket: Socket) => {
    connections++
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `https://127.0.0.1:${port}`,
    get connections() {
      return connections
    },
    cut() {
      for (const socket of sockets) socket.destroy()
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

/** Passes everything on to `port`; connection number i is reset after `cutAfter(i)` bytes towards the site. */
export function cuttingRelay(port: number, cutAfter: (connection: number) => number): Promise<Listening> {
  const sockets = new Set<Socket>()
  let number = 0
  const server = createServer((site) => {
    let left = cutAfter(number++)
    const hub = connect(port, '127.0.0.1')
    sockets.add(hub)
    hub.on('error', () => site.destroy())
    hub.once('close', () => site.destroy())
    site.once('close', () => hub.destroy())
    site.on('data', (chunk: Buffer) => hub.write(chunk))
    hub.on('data', (chunk: Buffer) => {
      site.write(chunk.subarray(0, left))
      left -= chunk.length
      // What was passed on must arrive before the cut does.
      if (left <= 0) {
        hub.pause()
        site.end()
        hub.destroy()
      }
    })
  })
  return listen(server, sockets)
}

/** Speaks no TLS. */
export function plainServer(onSocket: (socket: Socket) => void): Promise<Listening> {
  return listen(createServer(onSocket), new Set())
}

/** Holds the certificate that it is given, and answers as the test says. */
export function tlsServer(
  tls: Pick<HubTls, 'key' | 'cert'>,
  onSocket: (socket: TLSSocket) => void,
  options: TlsOptions = {},
): Promise<Listening> {
  const server = createTlsServer(
    { key: tls.key, cert: tls.cert, ca: [], requestCert: true, rejectUnauthorized: false, ...options },
    (socket) => {
      socket.on('error', () => socket.destroy())
      onSocket(socket)
    },
  )
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  return listen(server, new Set())
}

/** As a proxy makes one: for a host name, by an authority that the site's administrators never heard of. */
export async function proxyCertificate(nowMs = Date.now()): Promise<{ key: string; cert: string }> {
  await import('reflect-metadata')
  const x509 = await import('@peculiar/x509')
  const { webcrypto } = await import('node:crypto')
  x509.cryptoProvider.set(webcrypto)
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=hub.example',
    notBefore: new Date(nowMs - 365 * 86_400_000),
    notAfter: new Date(nowMs + 365 * 86_400_000),
    signingAlgorithm: algorithm,
    keys,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'hub.example' }])],
  })
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64')
  return { key: `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`, cert: cert.toString('pem') }
}
