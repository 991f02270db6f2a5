import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { clusterOver } from '../../../src/adapters/cluster/kube-cluster.ts'
import type { Cluster, WatchEvent } from '../../../src/core/kube/cluster.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import type { JsonObject } from '../../../src/core/model/json.ts'
import { respond, startFaultServer } from './fault-server.ts'

const signal = new AbortController().signal
const CONFIG_MAP = { apiVersion: 'v1', kind: 'ConfigMap' }
const ref = { group: '', kind: 'ConfigMap', namespace: 'shop', name: 'x' }
const object = { ...CONFIG_MAP, metadata: { name: 'x', namespace: 'shop' } }
const get = (cluster: Cluster): Promise<unknown> => cluster.get(CONFIG_MAP, ref, signal)
const apply = (cluster: Cluster): Promise<unknown> =>
  cluster.apply(object, { fieldManager: 'flotilla', force: false }, signal)

async function faultOf(promise: Promise<unknown>): Promise<Fault> {
  try {
    await promise
  } catch (error) {
    expect(error).toBeInstanceOf(Fault)
    return error as Fault
  }
  throw new Error('no fault')
}

function status(code: number, reason: string, message: string, details: JsonObject = {}): JsonObject {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message, details }
}

const conflictCauses = [
  { reason: 'FieldManagerConflict', message: 'conflict with "kubectl" using apps/v1', field: '.spec.replicas' },
  { reason: 'FieldManagerConflict', message: 'conflict with "hpa" with subresource "scale"', field: '.spec.paused' },
]

describe('what an answer means', () => {
  test.each<[string, number, JsonObject | string, string, object]>([
    ['401', 401, status(401, 'Unauthorized', 'Unauthorized'), 'Unauthorized', { status: 401 }],
    ['403', 403, status(403, 'Forbidden', 'cannot patch'), 'Forbidden', { cause: 'Forbidden' }],
    [
      'a namespace that is going',
      403,
      status(403, 'Forbidden', 'being terminated', {
        causes: [{ reason: 'NamespaceTerminating', message: 'x', field: 'metadata.namespace' }],
      }),
      'Forbidden',
      { cause: 'NamespaceTerminating' },
    ],
    [
      '404 of an object',
      404,
      status(404, 'NotFound', 'configmaps "x" not found', { name: 'x', kind: 'configmaps' }),
      'NotFound',
      {},
    ],
    [
      '404 of a path',
      404,
      status(404, 'NotFound', 'the server could not find the requested resource'),
      'NoKindMatch',
      {},
    ],
    ['404 as text', 404, '404 page not found', 'NoKindMatch', {}],
    ['409', 409, status(409, 'Conflict', 'the object has been modified'), 'Conflict', { cause: 'Conflict' }],
    ['409 of a create', 409, status(409, 'AlreadyExists', 'already exists'), 'Conflict', { cause: 'AlreadyExists' }],
    [
      '409 between managers',
      409,
      status(409, 'Conflict', 'Apply failed', { causes: conflictCauses }),
      'FieldConflict',
      { manager: 'kubectl,hpa', fields: '.spec.replicas,.spec.paused', conflicts: 2 },
    ],
    ['410', 410, status(410, 'Expired', 'too old'), 'WatchExpired', {}],
    ['413', 413, status(413, 'RequestEntityTooLarge', 'too large'), 'TooLarge', {}],
    [
      '422',
      422,
      status(422, 'Invalid', 'invalid', {
        causes: [{ reason: 'FieldValueRequired', message: 'Required value', field: 'spec.selector' }],
      }),
      'Rejected',
      { field: 'spec.selector' },
    ],
    [
      '422 of a fixed field',
      422,
      status(422, 'Invalid', 'invalid', {
        causes: [
          { reason: 'FieldValueInvalid', message: 'Invalid value: {}: field is immutable', field: 'spec.template' },
        ],
      }),
      'ImmutableField',
      { field: 'spec.template' },
    ],
    [
      '422 of a service address',
      422,
      status(422, 'Invalid', 'invalid', {
        causes: [
          {
            reason: 'FieldValueInvalid',
            message: 'Invalid value: []: primary clusterIP can not be unset',
            field: 'spec.clusterIPs[0]',
          },
        ],
      }),
      'ImmutableField',
      { field: 'spec.clusterIPs[0]' },
    ],
    [
      '422 of a StatefulSet',
      422,
      status(422, 'Invalid', 'invalid', {
        causes: [
          {
            reason: 'FieldValueForbidden',
            message: "Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden",
            field: 'spec',
          },
        ],
      }),
      'ImmutableField',
      { field: 'spec' },
    ],
    [
      '422 that says it in its message only',
      422,
      status(422, 'Invalid', 'Job "x" is invalid: spec.template: Invalid value: {}: field is immutable'),
      'ImmutableField',
      { field: 'spec.template' },
    ],
    [
      '422 of another object’s UID',
      422,
      status(422, 'Invalid', 'invalid', {
        causes: [{ reason: 'FieldValueInvalid', message: 'Invalid value: field is immutable', field: 'metadata.uid' }],
      }),
      'Conflict',
      {},
    ],
    ['429', 429, status(429, 'TooManyRequests', 'slow down', { retryAfterSeconds: 3 }), 'Throttled', {}],
    [
      'an unfitting object under apply',
      500,
      status(
        500,
        '',
        'failed to create typed patch object (shop/x; /v1, Kind=ConfigMap): .spec: field not declared in schema',
      ),
      'Rejected',
      {},
    ],
    [
      'a webhook that does not answer',
      500,
      status(
        500,
        'InternalError',
        'Internal error occurred: failed calling webhook "a.example.com": connection refused',
      ),
      'WebhookFailed',
      {},
    ],
    [
      'a webhook that says no',
      403,
      status(403, 'Forbidden', 'admission webhook "policy.example.com" denied the request: no latest tags'),
      'Rejected',
      { webhook: 'policy.example.com' },
    ],
    ['500', 500, status(500, 'InternalError', 'etcdserver: leader changed'), 'ServerError', {}],
    ['503', 503, status(503, 'ServiceUnavailable', 'not ready'), 'ServerError', {}],
    ['a proxy’s page', 502, '<html>Bad gateway</html>', 'ServerError', { status: 502 }],
    ['504 of a write', 504, status(504, 'Timeout', 'request did not complete'), 'OutcomeUnknown', {}],
    ['400', 400, status(400, 'BadRequest', 'cannot decode'), 'Rejected', {}],
  ])('%s', async (_sentence, code, body, reason, facts) => {
    await using server = await startFaultServer()
    server.handle((_request, response) => respond(response, code, body))
    const fault = await faultOf(apply(server.cluster))
    expect(fault.reason).toBe(reason)
    expect(fault.facts).toMatchObject(facts)
  })

  test('how long to wait, from the header or the answer', async () => {
    await using server = await startFaultServer()
    server.handle((_request, response) =>
      respond(response, 429, status(429, 'TooManyRequests', 'x'), { 'retry-after': '7' }),
    )
    expect((await faultOf(apply(server.cluster))).retryAfterMs).toBe(7_000)
    server.handle((_request, response) =>
      respond(response, 503, status(503, 'ServiceUnavailable', 'x', { retryAfterSeconds: 2 })),
    )
    expect((await faultOf(apply(server.cluster))).retryAfterMs).toBe(2_000)
  })

  test('a time-out of the server at a read is Timeout', async () => {
    await using server = await startFaultServer()
    server.handle((_request, response) => respond(response, 504, status(504, 'Timeout', 'x')))
    expect((await faultOf(get(server.cluster))).reason).toBe('Timeout')
  })
})

describe('connections', () => {
  test('nobody there: Unreachable, for a write too, because nothing was sent', async () => {
    await using server = await startFaultServer()
    await server.cluster.kind(CONFIG_MAP, signal)
    const free = createServer()
    await new Promise<void>((resolve) => {
      free.listen(0, '127.0.0.1', resolve)
    })
    const { port } = free.address() as AddressInfo
    await new Promise((resolve) => {
      free.close(resolve)
    })
    const lost = clusterOver({
      server: new URL(`http://127.0.0.1:${port}`),
      identity: async () => ({ tls: {}, headers: {} }),
    })
    expect((await faultOf(apply(lost))).reason).toBe('Unreachable')
    await lost.close()
  })

  test('a write whose connection dies after it was sent: OutcomeUnknown, and it is not sent again', async () => {
    await using server = await startFaultServer()
    server.handle((request) => request.socket.destroy())
    expect((await faultOf(apply(server.cluster))).reason).toBe('OutcomeUnknown')
    expect(server.asked).toEqual(['PATCH /api/v1/namespaces/shop/configmaps/x'])
  })

  test('a write whose answer breaks off in the middle: OutcomeUnknown', async () => {
    await using server = await startFaultServer()
    server.handle((_request, response) => {
      response.writeHead(200, { 'content-length': '1000' })
      response.write('{"kind":')
      setImmediate(() => response.destroy())
    })
    expect((await faultOf(apply(server.cluster))).reason).toBe('OutcomeUnknown')
  })

  test('a read on a connection that dies is asked once more, and no more than once', async () => {
    await using server = await startFaultServer()
    let times = 0
    server.handle((request, response) => {
      if (times++ === 0) request.socket.destroy()
      else respond(response, 200, object)
    })
    expect(await get(server.cluster)).toEqual(object)
    server.handle((request) => request.socket.destroy())
    expect((await faultOf(get(server.cluster))).reason).toBe('Unreachable')
    expect(server.asked).toHaveLength(4)
  })

  test('no answer in time: a read is Timeout, a write OutcomeUnknown', async () => {
    await using server = await startFaultServer({ timeoutMs: 50 })
    server.handle(() => undefined)
    expect((await faultOf(get(server.cluster))).reason).toBe('Timeout')
    expect((await faultOf(apply(server.cluster))).reason).toBe('OutcomeUnknown')
  })

  test('given up by the caller: Cancelled', async () => {
    await using server = await startFaultServer()
    const stop = new AbortController()
    server.handle(() => stop.abort())
    expect((await faultOf(server.cluster.get(CONFIG_MAP, ref, stop.signal))).reason).toBe('Cancelled')
  })

  test('an answer above the limit is TooLarge, plain or compressed', async () => {
    await using server = await startFaultServer({ maxResponseBytes: 10_000, gzip: true })
    const large = JSON.stringify({ ...object, data: { a: 'x'.repeat(20_000) } })
    server.handle((_request, response) => respond(response, 200, large))
    expect((await faultOf(get(server.cluster))).reason).toBe('TooLarge')
    server.handle((_request, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' })
      response.end(gzipSync(large))
    })
    expect((await faultOf(get(server.cluster))).reason).toBe('TooLarge')
    server.handle((_request, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' })
      response.end(gzipSync(JSON.stringify(object)))
    })
    expect(await get(server.cluster)).toEqual(object)
  })

  test('refused credentials are read again once', async () => {
    let token = 'old'
    await using server = await startFaultServer({}, () => ({ authorization: `Bearer ${token}` }))
    server.handle((request, response) => {
      const fresh = request.headers.authorization === 'Bearer new'
      token = 'new'
      respond(response, fresh ? 200 : 401, fresh ? object : status(401, 'Unauthorized', 'x'))
    })
    expect(await get(server.cluster)).toEqual(object)
    expect(server.asked).toHaveLength(2)
  })
})

describe('what passes', () => {
  test('fields that nobody knows go out and come back as they are', async () => {
    await using server = await startFaultServer()
    const strange = { ...object, spec: { 'x-unknown': [1, { deep: null }], Name: 'Kept' }, weird: 1e21 }
    let sent = ''
    server.handle((request, response, body) => {
      sent = body
      expect(request.headers['content-type']).toBe('application/apply-patch+yaml')
      expect(request.url).toBe('/api/v1/namespaces/shop/configmaps/x?fieldManager=flotilla&force=false')
      respond(response, 200, body)
    })
    expect(await server.cluster.apply(strange, { fieldManager: 'flotilla', force: false }, signal)).toEqual(strange)
    expect(JSON.parse(sent)).toEqual(strange)
  })

  test('an account goes along with every request, each group a header of its own', async () => {
    await using server = await startFaultServer()
    const seen: string[][] = []
    server.handle((request, response) => {
      seen.push(
        request.rawHeaders.filter((_text, i, all) => i % 2 === 1 && (all[i - 1] ?? '').startsWith('impersonate-')),
      )
      respond(response, 200, { ...object, items: [] })
    })
    const tenant = server.cluster.as({ user: 'u', groups: ['a', 'b'] })
    await get(tenant)
    await apply(tenant)
    await tenant.list(CONFIG_MAP, signal)
    await tenant.delete(CONFIG_MAP, ref, {}, signal)
    expect(seen).toEqual(Array.from({ length: 4 }, () => ['u', 'a', 'b']))
  })

  test('lists are read in pages of one version; one that expires on the way is read in one piece', async () => {
    await using server = await startFaultServer()
    let expired = false
    server.handle((request, response) => {
      const query = new URL(request.url ?? '', 'http://x').searchParams
      const page = (names: string[], more: string): object => ({
        metadata: { resourceVersion: '5', continue: more },
        items: names.map((name) => ({ metadata: { name } })),
      })
      if (query.get('limit') === null) respond(response, 200, page(['a', 'b', 'c'], ''))
      else if (query.get('continue') === null) respond(response, 200, page(['a'], 'next'))
      else if (expired) respond(response, 410, status(410, 'Expired', 'continue too old'))
      else respond(response, 200, page(['b'], ''))
    })
    const names = async (): Promise<readonly string[]> =>
      (await server.cluster.list(CONFIG_MAP, signal)).items.map((item) => item.metadata.name)
    expect(await names()).toEqual(['a', 'b'])
    expired = true
    expect(await names()).toEqual(['a', 'b', 'c'])
    const pages: unknown[] = []
    for await (const { items, begins } of server.cluster.pages(CONFIG_MAP, signal)) pages.push([items.length, begins])
    expect(pages).toEqual([
      [1, true],
      [3, true],
    ])
    expired = false
    for await (const { items, begins } of server.cluster.pages(CONFIG_MAP, signal)) pages.push([items.length, begins])
    expect(pages.slice(2)).toEqual([
      [1, true],
      [1, false],
    ])
  })

  test('discovery is asked once, once more for a kind that is missing, and again after a path that is gone', async () => {
    await using server = await startFaultServer()
    server.handle((_request, response) => respond(response, 404, '404 page not found'))
    await Promise.all([server.cluster.kind(CONFIG_MAP, signal), server.cluster.kind(CONFIG_MAP, signal)])
    expect(server.discovered()).toBe(2)
    expect((await faultOf(server.cluster.kind({ apiVersion: 'a.b/v1', kind: 'C' }, signal))).reason).toBe('NoKindMatch')
    expect(server.discovered()).toBe(4)
    expect((await faultOf(apply(server.cluster))).reason).toBe('NoKindMatch')
    expect(server.discovered()).toBe(4)
    await server.cluster.kind(CONFIG_MAP, signal)
    expect(server.discovered()).toBe(6)
  })
})

describe('watches', () => {
  const events = async (cluster: Cluster): Promise<readonly WatchEvent[]> => {
    const seen: WatchEvent[] = []
    for await (const event of cluster.watch(CONFIG_MAP, '1', signal)) seen.push(event)
    return seen
  }
  const line = (type: string, name: string): string =>
    `${JSON.stringify({ type, object: { ...CONFIG_MAP, metadata: { name, resourceVersion: '9' } } })}\n`

  test('lines come through, however the bytes are cut; bookmarks as versions; the end of the server’s is the end', async () => {
    await using server = await startFaultServer()
    const bytes = Buffer.from(line('ADDED', 'naïve') + line('BOOKMARK', '') + line('DELETED', 'b'))
    server.handle((_request, response) => {
      for (let at = 0; at < bytes.length; at += 7) response.write(bytes.subarray(at, at + 7))
      response.end()
    })
    const seen = await events(server.cluster)
    expect(seen.map((event) => event.type)).toEqual(['added', 'bookmark', 'deleted'])
    expect(seen[0]).toMatchObject({ object: { metadata: { name: 'naïve' } } })
    expect(seen[1]).toEqual({ type: 'bookmark', resourceVersion: '9' })
  })

  test.each<[string, (line: string) => string, string]>([
    [
      'an expired version, as an event',
      () => `${JSON.stringify({ type: 'ERROR', object: status(410, 'Expired', 'too old resource version') })}\n`,
      'WatchExpired',
    ],
    [
      'another error, as an event',
      () => `${JSON.stringify({ type: 'ERROR', object: status(500, 'InternalError', 'x') })}\n`,
      'ServerError',
    ],
    ['an event that is too large', (text) => text.replace('"9"', `"${'9'.repeat(30_000)}"`).trimEnd(), 'TooLarge'],
  ])('%s ends it with a fault', async (_sentence, last, reason) => {
    await using server = await startFaultServer({ maxResponseBytes: 10_000 })
    server.handle((_request, response) => {
      response.write(last(line('ADDED', 'a')))
      response.end()
    })
    expect((await faultOf(events(server.cluster))).reason).toBe(reason)
  })

  test('an expired version, as a status', async () => {
    await using server = await startFaultServer()
    server.handle((_request, response) => respond(response, 410, status(410, 'Expired', 'x')))
    expect((await faultOf(events(server.cluster))).reason).toBe('WatchExpired')
  })

  test('a connection that breaks is Unreachable, one that falls silent Timeout', async () => {
    await using server = await startFaultServer({ watchIdleMs: 50 })
    server.handle((_request, response) => {
      response.write(line('ADDED', 'a'))
      setImmediate(() => response.destroy())
    })
    expect((await faultOf(events(server.cluster))).reason).toBe('Unreachable')
    server.handle((_request, response) => {
      response.write(line('ADDED', 'a'))
    })
    expect((await faultOf(events(server.cluster))).reason).toBe('Timeout')
  })

  test('watches do not take the connections of other requests', async () => {
    await using server = await startFaultServer({ connections: 2 })
    const stop = new AbortController()
    server.handle((request, response) => {
      if (request.url?.includes('watch=1') === true) response.write(line('ADDED', 'a'))
      else respond(response, 200, object)
    })
    const open = Array.from({ length: 20 }, async () => {
      for await (const event of server.cluster.watch(CONFIG_MAP, '1', stop.signal)) expect(event.type).toBe('added')
    })
    expect(await get(server.cluster)).toEqual(object)
    stop.abort()
    await Promise.all(open)
  })
})
