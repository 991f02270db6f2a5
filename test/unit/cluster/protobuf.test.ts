import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeObject, decodeWatchEvent, encodeObject, PROTOBUF } from '../../../src/adapters/cluster/protobuf.ts'
import { frames } from '../../../src/adapters/cluster/watch.ts'
import { eventOf } from '../../../src/agent/scheduling/events.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import type { JsonObject } from '../../../src/core/model/json.ts'
import { respond, startFaultServer } from './fault-server.ts'

/** As a real API server (v1.34) sent them: a pod with spread, affinity, tolerations, a negative priority and a nominated node. */
const POD = Buffer.from(
  'azhzAAoJCgJ2MRIDUG9kEpoNCtUJCgFwEgAaB2RlZmF1bHQiACokNmM3MGYwMDgtNzhjMS00ZTZiLTk3N2ItMmRlZjg5MjliMGMxMgMyMDE4AUIICOi1h9gGEABaCAoDYXBwEgFhigGhCAoHdW5rbm93bhIGVXBkYXRlGgJ2MSIICOi1h9gGEAAyCEZpZWxkc1YxOvMHCvAHeyJmOm1ldGFkYXRhIjp7ImY6bGFiZWxzIjp7Ii4iOnt9LCJmOmFwcCI6e319fSwiZjpzcGVjIjp7ImY6YWZmaW5pdHkiOnsiLiI6e30sImY6cG9kQW50aUFmZmluaXR5Ijp7Ii4iOnt9LCJmOnJlcXVpcmVkRHVyaW5nU2NoZWR1bGluZ0lnbm9yZWREdXJpbmdFeGVjdXRpb24iOnt9fX0sImY6Y29udGFpbmVycyI6eyJrOntcIm5hbWVcIjpcImNcIn0iOnsiLiI6e30sImY6aW1hZ2UiOnt9LCJmOmltYWdlUHVsbFBvbGljeSI6e30sImY6bmFtZSI6e30sImY6cG9ydHMiOnsiLiI6e30sIms6e1wiY29udGFpbmVyUG9ydFwiOjgwLFwicHJvdG9jb2xcIjpcIlRDUFwifSI6eyIuIjp7fSwiZjpjb250YWluZXJQb3J0Ijp7fSwiZjpob3N0UG9ydCI6e30sImY6cHJvdG9jb2wiOnt9fX0sImY6cmVzb3VyY2VzIjp7Ii4iOnt9LCJmOnJlcXVlc3RzIjp7Ii4iOnt9LCJmOmNwdSI6e319fSwiZjp0ZXJtaW5hdGlvbk1lc3NhZ2VQYXRoIjp7fSwiZjp0ZXJtaW5hdGlvbk1lc3NhZ2VQb2xpY3kiOnt9fX0sImY6ZG5zUG9saWN5Ijp7fSwiZjplbmFibGVTZXJ2aWNlTGlua3MiOnt9LCJmOnByaW9yaXR5Q2xhc3NOYW1lIjp7fSwiZjpyZXN0YXJ0UG9saWN5Ijp7fSwiZjpzY2hlZHVsZXJOYW1lIjp7fSwiZjpzZWN1cml0eUNvbnRleHQiOnt9LCJmOnRlcm1pbmF0aW9uR3JhY2VQZXJpb2RTZWNvbmRzIjp7fSwiZjp0b2xlcmF0aW9ucyI6e30sImY6dG9wb2xvZ3lTcHJlYWRDb25zdHJhaW50cyI6eyIuIjp7fSwiazp7XCJ0b3BvbG9neUtleVwiOlwiem9uZVwiLFwid2hlblVuc2F0aXNmaWFibGVcIjpcIkRvTm90U2NoZWR1bGVcIn0iOnsiLiI6e30sImY6bWF4U2tldyI6e30sImY6bWluRG9tYWlucyI6e30sImY6dG9wb2xvZ3lLZXkiOnt9LCJmOndoZW5VbnNhdGlzZmlhYmxlIjp7fX19LCJmOnZvbHVtZXMiOnsiLiI6e30sIms6e1wibmFtZVwiOlwiZGF0YVwifSI6eyIuIjp7fSwiZjpuYW1lIjp7fSwiZjpwZXJzaXN0ZW50Vm9sdW1lQ2xhaW0iOnsiLiI6e30sImY6Y2xhaW1OYW1lIjp7fX19fX19QgCKAVwKB3Vua25vd24SBlVwZGF0ZRoCdjEiCAjptYfYBhAAMghGaWVsZHNWMTopCid7ImY6c3RhdHVzIjp7ImY6bm9taW5hdGVkTm9kZU5hbWUiOnt9fX1CBnN0YXR1cxKUAwoPCgRkYXRhEgdSBQoBZBAAElYKAWMSAXgqADINCgAQUBhQIgNUQ1AqAEIPEg0KA2NwdRIGCgQxNTBtahQvZGV2L3Rlcm1pbmF0aW9uLWxvZ3IGQWx3YXlzgAEAiAEAkAEAogEERmlsZRoGQWx3YXlzIB4yDENsdXN0ZXJGaXJzdEIASgBSAFgAYABoAHIAggEAigEAkgEYGhYKFAoKCggKA2FwcBIBYRoEem9uZSIAmgEIZmxvdGlsbGGyARoKAWsSBkV4aXN0cxoAIglOb0V4ZWN1dGUoALIBNgocbm9kZS5rdWJlcm5ldGVzLmlvL25vdC1yZWFkeRIGRXhpc3RzGgAiCU5vRXhlY3V0ZSisArIBOAoebm9kZS5rdWJlcm5ldGVzLmlvL3VucmVhY2hhYmxlEgZFeGlzdHMaACIJTm9FeGVjdXRlKKwCwgEDbG93yAGA2KnG+P////8B8AEB+gEUUHJlZW1wdExvd2VyUHJpb3JpdHmKAhkIARIEem9uZRoNRG9Ob3RTY2hlZHVsZSgCGikKB1BlbmRpbmcaACIAKgAyAEoJQnVyc3RhYmxlWgZub2RlLTFyAIgBABoAIgA=',
  'base64',
)

const signal = new AbortController().signal
const event = eventOf(
  { namespace: 'default', name: 'p', uid: 'u' },
  { type: 'Normal', reason: 'Scheduled', action: 'Binding', message: 'Successfully assigned — ü' },
  { component: 'flotilla', instance: 'flotilla-site' },
  Date.parse('2026-03-01T12:00:00Z'),
)

test('a pod as a real API server sends it reads as its JSON, of what a scheduler looks at', () => {
  expect(decodeObject(POD)).toMatchObject({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'default', labels: { app: 'a' }, creationTimestamp: expect.stringMatching(/^\d{4}-.*Z$/) },
    spec: {
      priority: -2_000_000_000,
      schedulerName: 'flotilla',
      containers: [{ name: 'c', image: 'x', ports: [{ containerPort: 80, hostPort: 80, protocol: 'TCP' }], resources: { requests: { cpu: '150m' } } }],
      affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'zone', namespaceSelector: {}, labelSelector: { matchLabels: { app: 'a' } } }] } },
      tolerations: expect.arrayContaining([{ key: 'k', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 0 }]),
      topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule', minDomains: 2 }],
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'd' } }],
    },
    status: { phase: 'Pending', nominatedNodeName: 'node-1' },
  })
}) // prettier-ignore

describe('what is cut off or is none', () => {
  test('every beginning of a pod, and a pod with any byte changed, is read or a fault of the server', () => {
    const read = (bytes: Buffer): void => {
      try {
        decodeObject(bytes)
      } catch (error) {
        expect(error).toBeInstanceOf(Fault)
        expect((error as Fault).reason).toBe('ServerError')
      }
    }
    for (let length = 0; length < POD.length; length++) read(POD.subarray(0, length))
    fc.assert(
      fc.property(fc.nat(POD.length - 1), fc.nat(255), (at, value) => {
        const bytes = Buffer.from(POD)
        bytes[at] = value
        read(bytes)
      }),
      { numRuns: 2_000 },
    )
  })

  test('a kind that is not read here, and what is no protobuf at all', () => {
    expect(() => decodeObject(encodeObject(event) as Buffer)).toThrow('protobuf of kind Event is not read here')
    expect(() => decodeObject(Buffer.from('{"kind":"Pod"}'))).toThrow('not protobuf of Kubernetes')
  })
})

describe('what is written', () => {
  test('the events and binds of the scheduler go as protobuf', () => {
    expect(encodeObject(event)).toBeDefined()
    const bind = { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'p', namespace: 'n', uid: 'u' }, target: { apiVersion: 'v1', kind: 'Node', name: 'x' } } // prettier-ignore
    expect(encodeObject(bind)?.toString('latin1')).toMatch(/^k8s\0.*Binding.*/s)
  })

  test.each<[string, JsonObject]>([
    ['a field that has no number', { ...event, series: { count: 2 } }],
    ['a field of another type', { ...event, count: 'one' }],
    ['a number that is none', { ...event, count: -1 }],
    ['a time finer than what is kept', { ...event, firstTimestamp: '2026-03-01T12:00:00.5Z' }],
    ['a time that is none', { ...event, eventTime: 'now' }],
    ['another version of the kind', { ...event, apiVersion: 'events.k8s.io/v1' }],
    ['another kind', { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } }],
  ])('%s goes as JSON: nothing of it would be lost', (_what, object) => {
    expect(encodeObject(object)).toBeUndefined()
  })

  test('a server that takes JSON only is heard once, and asked in JSON from then on', async () => {
    await using server = await startFaultServer()
    const types: (string | undefined)[] = []
    server.handle((request, response, body) => {
      types.push(request.headers['content-type'])
      if (request.headers['content-type'] === PROTOBUF) respond(response, 415, { kind: 'Status', code: 415 })
      else respond(response, 201, body)
    })
    for (let k = 0; k < 2; k++) expect(await server.cluster.create(event, {}, signal)).toEqual(event)
    expect(types).toEqual([PROTOBUF, 'application/json', 'application/json'])
  })
})

describe('a watch', () => {
  const chunksOf = async function* (bytes: Buffer, cuts: readonly number[]): AsyncGenerator<Buffer> {
    let from = 0
    for (const to of [...cuts, bytes.length]) {
      yield bytes.subarray(from, to)
      from = to
    }
  }
  const framed = (bytes: Buffer): Buffer => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    return Buffer.concat([length, bytes])
  }

  test('its frames are the same however the connection cuts them', async () => {
    const bodies = [Buffer.from('a'), Buffer.alloc(0), Buffer.alloc(700, 7), POD]
    const stream = Buffer.concat(bodies.map(framed))
    const property = fc.asyncProperty(fc.array(fc.nat(stream.length), { maxLength: 12 }), async (cuts) => {
      const seen: Buffer[] = []
      for await (const frame of frames(chunksOf(stream, cuts.toSorted((a, b) => a - b)), 1 << 20)) seen.push(Buffer.from(frame)) // prettier-ignore
      expect(seen).toEqual(bodies)
    })
    await fc.assert(property, { numRuns: 300 })
  })

  test('a frame above the limit ends it before it is held, and a part of one at the end says nothing', async () => {
    const read = async (bytes: Buffer, limit: number): Promise<number> => {
      let count = 0
      for await (const _ of frames(chunksOf(bytes, [5]), limit)) count++
      return count
    }
    await expect(read(framed(Buffer.alloc(100)).subarray(0, 20), 99)).rejects.toMatchObject({ reason: 'TooLarge' })
    expect(await read(Buffer.concat([framed(POD), framed(POD).subarray(0, 50)]), 1 << 20)).toBe(1)
  })

  test('an event is its type and its object', () => {
    const part = (number: number, bytes: Buffer): Buffer[] => {
      const length = bytes.length < 128 ? [bytes.length] : [(bytes.length & 127) | 128, bytes.length >> 7]
      return [Buffer.from([(number << 3) | 2, ...length]), bytes]
    }
    const raw = Buffer.concat(part(1, POD))
    const frame = Buffer.concat([...part(1, Buffer.from('MODIFIED')), ...part(2, raw)])
    expect(decodeWatchEvent(frame)).toMatchObject({
      type: 'MODIFIED',
      object: { kind: 'Pod', metadata: { name: 'p' } },
    })
  })
})
