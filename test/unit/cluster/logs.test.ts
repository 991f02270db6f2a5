/** A pod's log over HTTP: what is asked, the newest kept, and what refusals mean. */
import { expect, test } from 'vitest'
import { asFault } from '../../../src/core/model/fault.ts'
import { respond, startFaultServer } from './fault-server.ts'

const signal = new AbortController().signal
const POD = { group: '', kind: 'Pod', namespace: 'shop', name: 'till-1' }
const OPTIONS = { container: 'main', tailLines: 100, maxBytes: 1_000, previous: false, sinceSeconds: null }

test('asks for the lines of one container, as the account that it acts for', async () => {
  await using server = await startFaultServer()
  let url = ''
  let headers: unknown
  server.handle((request, response) => {
    url = request.url ?? ''
    headers = request.headers
    response.end('one\ntwo\n')
  })
  const as = server.cluster.as({ user: 'kim', groups: [] })
  expect(await as.log(POD, { ...OPTIONS, previous: true, sinceSeconds: 60 }, signal)).toEqual({
    text: 'one\ntwo\n',
    cutBytes: 0,
  })
  expect(url).toBe('/api/v1/namespaces/shop/pods/till-1/log?container=main&tailLines=100&previous=true&sinceSeconds=60')
  expect(headers).toMatchObject({ accept: '*/*', 'impersonate-user': 'kim' })
})

test.each<[string, readonly string[], string, number]>([
  ['nothing', [''], '', 0],
  ['as much as is kept', ['x'.repeat(999), '\n'], `${'x'.repeat(999)}\n`, 0],
  ['a line more', ['old line\n', 'x'.repeat(999), '\n'], `${'x'.repeat(999)}\n`, 9],
  ['a line that is longer than what is kept', ['a\n', 'x'.repeat(5_000)], 'x'.repeat(1_000), 4_002],
  [
    'a cut within a line: it begins with the next',
    ['y'.repeat(600), '\n', 'z'.repeat(600), '\n'],
    `${'z'.repeat(600)}\n`,
    601,
  ],
  ['many chunks', Array.from({ length: 5_000 }, (_, i) => `line ${String(i).padStart(4, '0')}\n`), Array.from({ length: 100 }, (_, i) => `line ${4_900 + i}\n`).join(''), 49_000], // prettier-ignore
])('keeps the newest: %s', async (_name, chunks, text, cutBytes) => {
  await using server = await startFaultServer()
  server.handle((_request, response) => {
    for (const chunk of chunks) response.write(chunk)
    response.end()
  })
  expect(await server.cluster.log(POD, OPTIONS, signal)).toEqual({ text, cutBytes })
})

test.each<[number, string, string]>([
  [400, 'container "main" in pod "till-1" is waiting to start: ContainerCreating', 'Rejected'],
  [403, 'pods "till-1" is forbidden', 'Forbidden'],
  [404, 'pods "till-1" not found', 'NotFound'],
  [500, 'Get "https://10.0.0.1:10250": dial tcp: no route to host', 'ServerError'],
])('%s is told in the server’s words', async (status, message, reason) => {
  await using server = await startFaultServer()
  server.handle((_request, response) =>
    respond(response, status, { kind: 'Status', message, details: { name: 'till-1', kind: 'pods' } }),
  )
  const fault = await server.cluster.log(POD, OPTIONS, signal).catch(asFault)
  expect(fault).toMatchObject({ reason, message })
})
