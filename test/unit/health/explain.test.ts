import { describe, expect, test } from 'vitest'
import { explain, withCause } from '../../../src/core/health/explain.ts'
import { foldHealth, MAX_REASONS } from '../../../src/core/health/fold.ts'
import { healthOf } from '../../../src/core/health/health.ts'
import { sayImagePull } from '../../../src/core/health/image-pull.ts'
import type { JsonObject } from '../../../src/core/model/json.ts'
import { type Manifest, refOf } from '../../../src/core/model/object.ts'

const web: Manifest = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', namespace: 'shop' } }
const pod = (name: string, status: JsonObject): Manifest => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'shop', uid: `uid-${name}` },
  status,
})
const about = (name: string, reason: string, message: string, kind = 'Pod'): Manifest => ({
  apiVersion: 'v1',
  kind: 'Event',
  metadata: { name: `${name}.1` },
  type: 'Warning',
  reason,
  message,
  lastTimestamp: '2026-03-01T12:00:00Z',
  involvedObject: { kind, name, namespace: 'shop', ...(kind === 'Pod' ? { uid: `uid-${name}` } : {}) },
})
const waiting = (reason: string, message = '', rest: JsonObject = {}) => ({
  phase: 'Pending',
  containerStatuses: [
    { name: 'main', image: 'registry-dk/shop/web:2', state: { waiting: { reason, message } }, ...rest },
  ],
})

describe('one cause', () => {
  const table: readonly [string, readonly Manifest[], readonly Manifest[], object][] = [
    [
      'a registry that refuses is named with its answer',
      [pod('a', waiting('ImagePullBackOff', 'Back-off pulling image "registry-dk/shop/web:2"'))],
      [about('a', 'Failed', 'Failed to pull image "registry-dk/shop/web:2": unexpected status: 403 Forbidden')],
      { reason: 'ImagePullBackOff', message: 'registry-dk says 403: this account may not pull it (registry-dk/shop/web:2)' },
    ],
    [
      'a crash loop with exit code and reason',
      [pod('a', { phase: 'Running', containerStatuses: [{ name: 'main', restartCount: 5, state: { waiting: { reason: 'CrashLoopBackOff' } }, lastState: { terminated: { exitCode: 137, reason: 'OOMKilled' } } }] })],
      [],
      { reason: 'CrashLoopBackOff', message: 'container main ended with exit code 137 (OOMKilled), 5 restarts' },
    ],
    [
      'the scheduler’s own words',
      [pod('a', { phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/3 nodes are available: 3 Insufficient cpu.' }] })],
      [],
      { reason: 'Unschedulable', message: '0/3 nodes are available: 3 Insufficient cpu.' },
    ],
    [
      'a missing secret',
      [pod('a', waiting('CreateContainerConfigError', 'secret "db" not found'))],
      [],
      { reason: 'CreateContainerConfigError', message: 'container main: secret "db" not found' },
    ],
    [
      'a volume that cannot be mounted',
      [pod('a', waiting('ContainerCreating'))],
      [about('a', 'FailedMount', 'MountVolume.SetUp failed for volume "data"')],
      { reason: 'FailedMount' },
    ],
    [
      'a probe that fails',
      [pod('a', { phase: 'Running', containerStatuses: [{ name: 'main', state: { running: {} } }] })],
      [about('a', 'Unhealthy', 'Readiness probe failed: HTTP probe failed with statuscode: 500')],
      { reason: 'ProbeFailed' },
    ],
    [
      'pods that cannot be made',
      [],
      [about('web', 'FailedCreate', 'pods "web-1" is forbidden: exceeded quota', 'Deployment')],
      { reason: 'FailedCreate', message: 'pods "web-1" is forbidden: exceeded quota' },
    ],
  ] // prettier-ignore
  test.each(table)('%s', (_says, pods, events, cause) => expect(explain(web, pods, events)[0]).toMatchObject(cause))
})

test('what several pods say is said once, with their number', () => {
  const pods = ['a', 'b', 'c'].map((name) => pod(name, waiting('CreateContainerConfigError', 'secret "db" not found')))
  const causes = explain(web, pods, [])
  expect(causes).toHaveLength(1)
  expect(causes[0]).toMatchObject({ count: 3, about: { name: 'a' } })
  const health = healthOf({ ...web, spec: { replicas: 3 }, status: {} }, { nowMs: 0 })
  expect(withCause(health, causes).message).toBe('container main: secret "db" not found (3 pods)')
})

test('an event about an earlier pod of the same name says nothing', () => {
  const event = {
    ...about('a', 'FailedMount', 'old'),
    involvedObject: { kind: 'Pod', name: 'a', namespace: 'shop', uid: 'other' },
  }
  expect(explain(web, [pod('a', waiting('ContainerCreating'))], [event])).toEqual([])
})

test('a ready pod has nothing to explain', () =>
  expect(explain(web, [pod('a', { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] })], [])).toEqual(
    [],
  ))

describe('what a registry says', () => {
  const table: readonly [string, string, string][] = [
    ['nginx:403', 'pull access denied for nginx', 'docker.io says 403'],
    [
      'registry.example:5000/a/b',
      'dial tcp: lookup registry.example: no such host',
      'registry.example:5000 cannot be found',
    ],
    ['quay.io/a/b@sha256:4034', 'manifest unknown', 'quay.io does not have it'],
    ['quay.io/a/b', 'tls: failed to verify certificate: x509: unknown authority', 'quay.io shows a certificate'],
  ]
  test.each(table)('%s: %s', (image, text, said) => expect(sayImagePull(image, text)).toContain(said))
  test('nothing known is not made up', () => expect(sayImagePull('a', 'something else')).toBeUndefined())
})

describe('many as one', () => {
  const at = (name: string, status: JsonObject) => {
    const object = pod(name, status)
    return { ref: refOf(object), health: healthOf({ ...object, spec: { restartPolicy: 'Always' } }, { nowMs: 0 }) }
  }
  const ready = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] }
  test('the worst decides and comes first', () => {
    const folded = foldHealth([
      at('a', ready),
      at('b', { phase: 'Pending' }),
      at('c', { phase: 'Failed', message: 'gone' }),
    ])
    expect(folded).toMatchObject({ health: 'Degraded', message: 'gone', counts: { objects: 3, ready: 1 } })
    expect(folded.worst.map(({ ref }) => ref.name)).toEqual(['c', 'b'])
  })
  test('no objects are healthy', () => expect(foldHealth([]).health).toBe('Healthy'))
  test('reasons have a limit, counts do not', () => {
    const folded = foldHealth(Array.from({ length: 50 }, (_, i) => at(`p${i}`, { phase: 'Pending' })))
    expect(folded.worst).toHaveLength(MAX_REASONS)
    expect(folded.counts).toEqual({ objects: 50, ready: 0 })
  })
})
