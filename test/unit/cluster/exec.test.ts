/** A command over a WebSocket, against a server that speaks the protocol, and refusals in the API server's words. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { WebSocketServer, type WebSocket } from 'ws'
import { clusterOver } from '../../../src/adapters/cluster/kube-cluster.ts'
import { asFault, Fault } from '../../../src/core/model/fault.ts'
import { DISCOVERY, respond } from './fault-server.ts'

const signal = new AbortController().signal
const POD = { group: '', kind: 'Pod', namespace: 'shop', name: 'till-1' }
const OPTIONS = { container: 'main', command: ['sh', '-c', 'a b'], maxBytes: 100 }

/** `serve`: what happens on the socket; null: no upgrade is let through. */
async function serverOf(serve: ((socket: WebSocket) => void) | null) {
  const asked: string[] = []
  const server = createServer((request, response) => {
    const path = (request.url ?? '').split('?')[0] ?? ''
    if (DISCOVERY[path] !== undefined) return respond(response, 200, DISCOVERY[path])
    asked.push(`${request.method} ${request.url}`)
    respond(response, 403, { kind: 'Status', message: 'pods "till-1" is forbidden: cannot get pods/exec' })
  })
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: (offered) => [...offered][0] ?? false })
  server.on('upgrade', (request, socket, head) => {
    asked.push(`${request.headers['sec-websocket-protocol']} ${request.headers.authorization} ${request.url}`)
    if (serve === null) return void socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n')
    sockets.handleUpgrade(request, socket, head, serve)
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const cluster = clusterOver({
    server: url,
    identity: async () => ({ tls: {}, headers: { authorization: 'Bearer t' } }),
  })
  onTestFinished(async () => {
    for (const socket of sockets.clients) socket.terminate()
    await cluster.close()
    server.closeAllConnections()
    await new Promise((resolve) => {
      server.close(resolve)
    })
  })
  return { cluster, asked }
}

const on = (channel: number, text: string): Buffer => Buffer.concat([Buffer.from([channel]), Buffer.from(text)])

function ends(socket: WebSocket, status: object): void {
  socket.send(on(3, JSON.stringify(status)))
  socket.close(1000)
}

test('both outputs, and success', async () => {
  const { cluster, asked } = await serverOf((socket) => {
    socket.send(on(1, 'one '))
    socket.send(on(2, 'warned'))
    socket.send(on(1, 'two'))
    ends(socket, { status: 'Success' })
  })
  expect(await cluster.exec(POD, OPTIONS, signal)).toEqual({
    stdout: 'one two',
    stderr: 'warned',
    exitCode: 0,
    cutBytes: 0,
  })
  expect(asked).toEqual([
    'v4.channel.k8s.io Bearer t /api/v1/namespaces/shop/pods/till-1/exec?stdout=true&stderr=true&container=main&command=sh&command=-c&command=a+b',
  ])
})

test('an exit code, and more output than is kept', async () => {
  const { cluster } = await serverOf((socket) => {
    socket.send(on(1, 'x'.repeat(90)))
    socket.send(on(2, 'y'.repeat(90)))
    const causes = [{ reason: 'ExitCode', message: '42' }]
    ends(socket, { status: 'Failure', reason: 'NonZeroExitCode', details: { causes } })
  })
  expect(await cluster.exec(POD, OPTIONS, signal)).toEqual({
    stdout: 'x'.repeat(90),
    stderr: 'y'.repeat(10),
    exitCode: 42,
    cutBytes: 80,
  })
})

test.each<[string, (socket: WebSocket) => void, string, string]>([
  ['a command that is not there', (socket) => ends(socket, { status: 'Failure', message: 'exec: "nope": not found' }), 'Rejected', 'exec: "nope": not found'], // prettier-ignore
  ['a connection that ends first', (socket) => socket.terminate(), 'OutcomeUnknown', 'the connection ended before the command did'], // prettier-ignore
])('%s', async (_name, serve, reason, message) => {
  const { cluster } = await serverOf(serve)
  expect(await cluster.exec(POD, OPTIONS, signal).catch(asFault)).toMatchObject({ reason, message })
})

test('a refusal is the API server’s, in its words', async () => {
  const { cluster, asked } = await serverOf(null)
  expect(await cluster.exec(POD, OPTIONS, signal).catch(asFault)).toMatchObject({
    reason: 'Forbidden',
    message: 'pods "till-1" is forbidden: cannot get pods/exec',
  })
  expect(asked.at(-1)).toBe('GET /api/v1/namespaces/shop/pods/till-1/exec')
})

test('whoever waits no longer gets the reason why', async () => {
  const stop = new AbortController()
  const { cluster } = await serverOf(() => stop.abort(new Fault('Cancelled', 'enough')))
  expect(await cluster.exec(POD, OPTIONS, stop.signal).catch(asFault)).toMatchObject({ reason: 'Cancelled' })
})
