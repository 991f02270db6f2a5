import { describe, expect, test } from 'vitest'
import { healthOf, healthOfMissing } from '../../../src/core/health/health.ts'
import type { JsonObject } from '../../../src/core/model/json.ts'
import type { Manifest } from '../../../src/core/model/object.ts'

const NOW_MS = Date.parse('2026-03-01T12:00:00Z')

function read(apiVersion: string, kind: string, rest: JsonObject, metadata: JsonObject = {}): Manifest {
  return { apiVersion, kind, metadata: { name: 'x', ...metadata }, ...rest }
}

const deployment = (status: JsonObject, spec: JsonObject = {}) =>
  read(
    'apps/v1',
    'Deployment',
    { spec: { replicas: 2, progressDeadlineSeconds: 600, ...spec }, status },
    { generation: 2 },
  )
const whole = { observedGeneration: 2, replicas: 2, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 2 }
const good = [
  { type: 'Progressing', status: 'True', reason: 'NewReplicaSetAvailable' },
  { type: 'Available', status: 'True' },
]
const pod = (status: JsonObject, metadata: JsonObject = {}) =>
  read('v1', 'Pod', { spec: { restartPolicy: 'Always' }, status }, metadata)
const unschedulable = {
  phase: 'Pending',
  conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable' }],
}

describe('the worse of both readings', () => {
  const table: readonly [string, Manifest, object][] = [
    ['a deployment that is whole', deployment({ ...whole, conditions: good }), { kstatus: 'Current', engine: 'Healthy', health: 'Healthy', reason: '' }],
    ['a spec not seen yet', deployment({ ...whole, observedGeneration: 1, conditions: good }), { kstatus: 'InProgress', health: 'Progressing', reason: 'LatestGenerationNotObserved' }],
    ['a deadline exceeded', deployment({ ...whole, availableReplicas: 1, conditions: [{ type: 'Progressing', status: 'False', reason: 'ProgressDeadlineExceeded' }] }), { kstatus: 'Failed', health: 'Degraded', reason: 'ProgressDeadlineExceeded' }],
    ['a paused one that is whole', deployment({ ...whole, conditions: good }, { paused: true }), { kstatus: 'Current', engine: 'Suspended', health: 'Suspended', reason: 'Paused' }],
    ['a failed pod: kstatus calls it Current, and it is not well', pod({ phase: 'Failed', reason: 'Evicted', message: 'low on memory' }), { kstatus: 'Current', health: 'Degraded', reason: 'Evicted', message: 'low on memory' }],
    ['unschedulable for a minute', pod(unschedulable, { creationTimestamp: '2026-03-01T11:59:00Z' }), { kstatus: 'Failed', health: 'Degraded' }],
    ['unschedulable for a moment', pod(unschedulable, { creationTimestamp: '2026-03-01T11:59:50Z' }), { kstatus: 'InProgress', health: 'Progressing' }],
    ['a phase nobody knows', pod({ phase: 'Dreaming' }), { kstatus: 'Unknown', health: 'Unknown' }],
    ['anything being deleted', read('v1', 'ConfigMap', {}, { deletionTimestamp: '2026-03-01T11:00:00Z' }), { kstatus: 'Terminating', health: 'Progressing' }],
    ['a config map', read('v1', 'ConfigMap', {}), { kstatus: 'Current', health: 'Healthy' }],
    ['a custom object that is stalled', read('example.com/v1', 'Widget', { status: { conditions: [{ type: 'Stalled', status: 'True', reason: 'Broken', message: 'no' }] } }), { kstatus: 'Failed', engine: 'Degraded', health: 'Degraded', reason: 'Broken', message: 'no' }],
    ['a custom object that is not ready', read('example.com/v1', 'Widget', { status: { conditions: [{ type: 'Ready', status: 'False', reason: 'Warming', message: 'soon' }] } }), { kstatus: 'InProgress', health: 'Progressing', reason: 'Warming' }],
    ['a custom object that says nothing', read('example.com/v1', 'Widget', {}), { kstatus: 'Current', health: 'Healthy' }],
    ['a balancer without address', read('v1', 'Service', { spec: { type: 'LoadBalancer', clusterIP: '10.0.0.1' } }), { kstatus: 'Current', health: 'Progressing', reason: 'NoAddress' }],
    ['a suspended job', read('batch/v1', 'Job', { status: { startTime: 'x', conditions: [{ type: 'Suspended', status: 'True' }] } }), { engine: 'Suspended', health: 'Suspended' }],
    ['status of a wrong form counts as absent', read('apps/v1', 'Deployment', { status: 'fine', spec: [] }), { kstatus: 'InProgress', reason: 'LessReplicas' }],
    ['a scaler whose annotation is broken', read('autoscaling/v1', 'HorizontalPodAutoscaler', {}, { annotations: { 'autoscaling.alpha.kubernetes.io/conditions': '{' } }), { engine: 'Unknown', health: 'Unknown' }],
  ] // prettier-ignore
  test.each(table)('%s', (_says, object, expected) =>
    expect(healthOf(object, { nowMs: NOW_MS })).toMatchObject(expected),
  )
})

test('what is not there is not well', () =>
  expect(healthOfMissing()).toMatchObject({ kstatus: 'NotFound', health: 'Degraded' }))

test('a crash loop speaks with the container runtime’s word', () => {
  const waiting = { reason: 'CrashLoopBackOff', message: 'back-off 5m0s restarting' }
  const crashing = pod({ phase: 'Running', containerStatuses: [{ name: 'main', state: { waiting } }] })
  expect(healthOf(crashing, { nowMs: NOW_MS })).toMatchObject({ kstatus: 'Failed', health: 'Degraded', ...waiting })
})
