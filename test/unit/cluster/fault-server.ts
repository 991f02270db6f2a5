/** An API server that answers what a test tells it to, and counts what it was asked. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Cluster } from '../../../src/core/kube/cluster.ts'
import { clusterOver } from '../../../src/adapters/cluster/kube-cluster.ts'
import type { TransportOptions } from '../../../src/adapters/cluster/transport.ts'

export type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void

export const DISCOVERY: Readonly<Record<string, object>> = {
  '/api': {
    kind: 'APIGroupDiscoveryList',
    items: [
      {
        metadata: {},
        versions: [
          {
            version: 'v1',
            resources: [
              {
                resource: 'configmaps',
                responseKind: { kind: 'ConfigMap' },
                scope: 'Namespaced',
                verbs: ['get'],
                subresources: [],
              },
              {
                resource: 'pods',
                responseKind: { kind: 'Pod' },
                scope: 'Namespaced',
                verbs: ['get'],
                subresources: [],
              },
              {
                resource: 'events',
                responseKind: { kind: 'Event' },
                scope: 'Namespaced',
                verbs: ['create'],
                subresources: [],
              },
            ],
          },
        ],
      },
    ],
  },
  '/apis': { kind: 'APIGroupDiscoveryList', items: [] },
}

export interface FaultServer extends AsyncDisposable {
  readonly cluster: Cluster
  /** `METHOD path`, in order, discovery apart. */
  readonly asked: readonly string[]
  readonly discovered: () => number
  handle(handler: Handler): void
}

export async function startFaultServer(
  options: Partial<TransportOptions> = {},
  headers: () => Record<string, string> = () => ({}),
): Promise<FaultServer> {
  let handler: Handler = (_request, response) => respond(response, 500, { kind: 'Status', message: 'no handler' })
  let discovered = 0
  const asked: string[] = []
  const sockets = new Set<Socket>()
  const server: Server = createServer((request, response) => {
    const path = (request.url ?? '').split('?')[0] ?? ''
    const answer = DISCOVERY[path]
    if (answer !== undefined) {
      discovered++
      return respond(response, 200, answer)
    }
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      asked.push(`${request.method} ${path}`)
      handler(request, response, Buffer.concat(chunks).toString())
    })
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const cluster = clusterOver({ server: url, identity: async () => ({ tls: {}, headers: headers() }) }, options)
  return {
    cluster,
    asked,
    discovered: () => discovered,
    handle: (next) => {
      handler = next
    },
    [Symbol.asyncDispose]: async () => {
      await cluster.close()
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => {
        server.close(resolve)
      })
    },
  }
}

export function respond(
  response: ServerResponse,
  status: number,
  body: object | string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(typeof body === 'string' ? body : JSON.stringify(body))
}
