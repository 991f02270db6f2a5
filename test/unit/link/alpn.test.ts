import { connect } from 'node:tls'
import { expect, test } from 'vitest'
import { startBench } from './hub-twin.ts'

test('a client that names protocols is answered in HTTP/1.1, one that knows only others is turned away', async () => {
  await using bench = await startBench()
  const spoken = (protocols: string[] | undefined): Promise<string> =>
    new Promise((resolve) => {
      const named = protocols === undefined ? {} : { ALPNProtocols: protocols }
      const { port } = bench.server
      const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ca: [], ...named }, () => {
        resolve(String(socket.alpnProtocol))
        socket.destroy()
      })
      socket.on('error', ({ message }) => resolve(message))
    })
  expect(await spoken(undefined)).toBe('false')
  expect(await spoken(['h2', 'http/1.1'])).toBe('http/1.1')
  expect(await spoken(['h2'])).toMatch(/no application protocol/i)
})
