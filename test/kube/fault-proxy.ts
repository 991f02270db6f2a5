/** Stands between an agent and a real API server, and does to chosen requests what bad days do. Plain HTTP towards the agent. */
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { Agent, request as httpsRequest } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { type Credentials, readCredentials } from '../../src/adapters/cluster/credentials.ts'

/** What becomes of a request. undefined: it passes. */
export type Ill =
  /** Answered here; the server never hears of it. */
  | { readonly answer: number; readonly body?: object; readonly headers?: Readonly<Record<string, string>> }
  /** The server does it, and nobody hears of that. `silent`: the connection stays open without an answer. */
  | { readonly lost: 'cut' | 'silent' }
  /** The connection breaks before the server hears of it. */
  | { readonly broken: true }
  /** It passes, after so long. */
  | { readonly lateMs: number }

export interface FaultProxy extends AsyncDisposable {
  /** For an agent to go through it. */
  readonly credentials: Credentials
  /** `METHOD path` of what passed or was made ill, watches and reads too, with its time. */
  readonly asked: readonly { readonly what: string; readonly atMs: number; readonly ill: boolean }[]
  /** Asked for each request until the next call. */
  judge(rule: (method: string, path: string) => Ill | undefined): void
  /** Breaks every connection that is open, watches too. */
  cutAll(): void
}

export async function startFaultProxy(kubeconfig: string): Promise<FaultProxy> {
  const behind = await readCredentials({ from: 'kubeconfig', path: kubeconfig })
  const { tls } = await behind.identity()
  const agent = new Agent({ ...tls, keepAlive: true, maxSockets: 64 })
  const asked: { readonly what: string; readonly atMs: number; readonly ill: boolean }[] = []
  const sockets = new Set<Socket>()
  let rule: (method: string, path: string) => Ill | undefined = () => undefined

  const pass = (
    request: IncomingMessage,
    body: Buffer,
    heard: (answer: IncomingMessage) => void,
    failed: () => void,
  ) => {
    const { method = 'GET', url = '/', headers } = request
    const { host: _host, connection: _connection, ...rest } = headers
    const options = { method, headers: rest, agent, host: behind.server.hostname, port: behind.server.port, path: url }
    const ask = behind.server.protocol === 'https:' ? httpsRequest : httpRequest
    const onward = ask(options, heard)
    onward.on('error', failed)
    onward.end(body)
    return onward
  }

  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const path = (request.url ?? '').split('?')[0] ?? ''
      const ill = rule(request.method ?? 'GET', path)
      asked.push({ what: `${request.method} ${path}`, atMs: performance.now(), ill: ill !== undefined })
      const body = Buffer.concat(chunks)
      const cut = (): void => void request.socket.destroy()
      const forward = (): void => {
        const onward = pass(request, body, (answer) => through(answer, response), cut)
        response.on('close', () => onward.destroy())
      }
      if (ill === undefined) forward()
      else if ('lateMs' in ill) setTimeout(forward, ill.lateMs)
      else if ('answer' in ill) {
        response.writeHead(ill.answer, { 'content-type': 'application/json', ...ill.headers })
        response.end(
          JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', code: ill.answer, ...ill.body }),
        )
      } else if ('lost' in ill) {
        pass(
          request,
          body,
          (answer) => {
            answer.resume()
            answer.on('end', () => {
              if (ill.lost === 'cut') cut()
            })
          },
          cut,
        )
      } else cut()
    })
  })
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => undefined)
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  return {
    credentials: { server: url, identity: async () => ({ tls: {}, headers: {} }) },
    asked,
    judge: (next) => {
      rule = next
    },
    cutAll: () => {
      for (const socket of sockets) socket.destroy()
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      agent.destroy()
      await new Promise((resolve) => {
        server.close(resolve)
      })
    },
  }
}

function through(answer: IncomingMessage, response: ServerResponse): void {
  response.writeHead(answer.statusCode ?? 502, answer.headers)
  // A watch begins with its head: it may be long until the first event.
  response.flushHeaders()
  answer.on('error', () => response.destroy())
  answer.pipe(response)
}

/** The first so many requests of a kind; the rest pass. */
export function first(
  times: number,
  fits: (method: string, path: string) => boolean,
  ill: Ill,
): Parameters<FaultProxy['judge']>[0] {
  let left = times
  return (method, path) => (fits(method, path) && left-- > 0 ? ill : undefined)
}
