/** What only placement reads comes as protobuf from a real API server, and says the same as its JSON: of every field that a scheduler looks at. */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openCluster } from '../../src/adapters/cluster/kube-cluster.ts'
import { READ_SHAPES, type Field, type Shape } from '../../src/adapters/cluster/protobuf-shapes.ts'
import type { Cluster } from '../../src/core/kube/cluster.ts'
import { isObject, type Json, type JsonObject } from '../../src/core/model/json.ts'
import type { Manifest } from '../../src/core/model/object.ts'
import { specSignature } from '../../src/core/scheduler/signature.ts'
import { startControlPlane, type ControlPlane } from '../kube/control-plane.ts'

const run = promisify(execFile)
const never = new AbortController().signal
const PODS = { apiVersion: 'v1', kind: 'Pod' } as const
const NODES = { apiVersion: 'v1', kind: 'Node' } as const

let plane: ControlPlane
let cluster: Cluster

beforeAll(async () => {
  plane = await startControlPlane()
  cluster = await openCluster({ from: 'kubeconfig', path: plane.kubeconfig })
})
afterAll(async () => {
  await cluster?.close()
  await plane?.stop()
})

const selector = {
  matchLabels: { app: 'a', 'example.com/x': 'y' },
  matchExpressions: [
    { key: 'tier', operator: 'In', values: ['x', 'y'] },
    { key: 'old', operator: 'DoesNotExist' },
  ],
}
const term = (more: object = {}): object => ({ labelSelector: selector, topologyKey: 'zone', ...more })
const required = 'requiredDuringSchedulingIgnoredDuringExecution'
const preferred = 'preferredDuringSchedulingIgnoredDuringExecution'

const pod = (name: string, spec: object, metadata: object = {}): object => ({
  ...PODS,
  metadata: { name, namespace: 'default', ...metadata },
  spec: { schedulerName: 'flotilla', containers: [{ name: 'c', image: 'x' }], ...spec },
})

const ODD_PODS: readonly object[] = [
  pod('plain', {}),
  pod(
    'named',
    { priority: 0 },
    {
      labels: { a: '', 'example.com/b': 'c' },
      annotations: { text: 'line\nüñî 🐢', empty: '' },
      finalizers: ['example.com/stay', 'example.com/also'],
      ownerReferences: [
        { apiVersion: 'v1', kind: 'ConfigMap', name: 'o', uid: 'u-1', controller: true, blockOwnerDeletion: false },
        { apiVersion: 'v1', kind: 'ConfigMap', name: 'p', uid: 'u-2' },
      ],
    },
  ),
  pod('amounts', {
    overhead: undefined,
    activeDeadlineSeconds: 3600,
    terminationGracePeriodSeconds: 0,
    initContainers: [
      { name: 'once', image: 'i', resources: { requests: { cpu: '1500m' }, limits: { cpu: '2' } } },
      { name: 'sidecar', image: 's', restartPolicy: 'Always', resources: { requests: { memory: '1Gi' } } },
    ],
    containers: [
      {
        name: 'c',
        image: 'registry.example/app@sha256:1',
        ports: [
          { containerPort: 80 },
          { containerPort: 81, hostPort: 8081, protocol: 'UDP', hostIP: '10.0.0.1', name: 'odd' },
        ],
        resources: {
          requests: { cpu: '0.1', memory: '129e6', 'example.com/gpu': '2', 'ephemeral-storage': '1.5Gi' },
          limits: { 'example.com/gpu': '2' },
        },
      },
    ],
  }),
  pod('placed', {
    nodeSelector: { disk: 'ssd', 'kubernetes.io/os': 'linux' },
    affinity: {
      nodeAffinity: {
        [required]: {
          nodeSelectorTerms: [
            { matchExpressions: [{ key: 'zone', operator: 'NotIn', values: ['a'] }, { key: 'cores', operator: 'Gt', values: ['3'] }] },
            { matchFields: [{ key: 'metadata.name', operator: 'In', values: ['node-1'] }] },
          ],
        },
        [preferred]: [{ weight: 7, preference: { matchExpressions: [{ key: 'fast', operator: 'Exists' }] } }],
      },
      podAffinity: { [required]: [term({ namespaces: ['default', 'other'] }), term({ namespaceSelector: {} })] },
      podAntiAffinity: {
        [required]: [{ topologyKey: 'kubernetes.io/hostname' }, term({ matchLabelKeys: ['rev'], mismatchLabelKeys: ['color'] })],
        [preferred]: [{ weight: 100, podAffinityTerm: term({ namespaceSelector: { matchLabels: { team: 'x' } } }) }],
      },
    },
    tolerations: [{ operator: 'Exists' }, { key: 'k', value: 'v', effect: 'NoExecute', tolerationSeconds: 0 }, { key: 'n', effect: 'NoSchedule' }],
    topologySpreadConstraints: [
      { maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule', labelSelector: selector, minDomains: 3, nodeAffinityPolicy: 'Ignore', nodeTaintsPolicy: 'Honor', matchLabelKeys: ['rev'] },
      { maxSkew: 5, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'ScheduleAnyway' },
    ],
  }),
  pod('host', { hostNetwork: true, containers: [{ name: 'c', image: 'x', ports: [{ containerPort: 9100 }] }] }),
  pod('gated', { schedulingGates: [{ name: 'example.com/one' }, { name: 'example.com/two' }] }),
  pod('lowly', { priorityClassName: 'below', preemptionPolicy: undefined }),
  pod('volumes', {
    volumes: [
      { name: 'claim', persistentVolumeClaim: { claimName: 'data', readOnly: true } },
      { name: 'made', ephemeral: { volumeClaimTemplate: { spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } } } },
      { name: 'disk', gcePersistentDisk: { pdName: 'd', readOnly: true } },
      { name: 'ebs', awsElasticBlockStore: { volumeID: 'v', partition: 1 } },
      { name: 'azure', azureDisk: { diskName: 'd', diskURI: '/subscriptions/x', kind: 'Managed', readOnly: false } },
      { name: 'rbd', rbd: { monitors: ['m1', 'm2'], image: 'i', pool: 'p' } },
      { name: 'iscsi', iscsi: { targetPortal: '10.0.0.1', iqn: 'iqn.2001-04.com.example:x', lun: 0, readOnly: true } },
      { name: 'csi', csi: { driver: 'example.com' } },
      { name: 'config', configMap: { name: 'c' } },
      { name: 'empty', emptyDir: {} },
      { name: 'all', projected: { sources: [{ secret: { name: 's' } }] } },
    ],
  }),
  pod('devices', {
    resourceClaims: [{ name: 'gpu', resourceClaimName: 'one' }, { name: 'other', resourceClaimTemplateName: 'made' }],
    containers: [{ name: 'c', image: 'x', resources: { claims: [{ name: 'gpu' }] } }],
  }),
  pod('there', { nodeName: 'node-1' }),
] // prettier-ignore

const STATUSES: Readonly<Record<string, object>> = {
  amounts: {
    phase: 'Running',
    startTime: '2026-03-01T12:00:00Z',
    containerStatuses: [{ name: 'c', ready: true, restartCount: 3, image: 'x', imageID: '', state: {}, lastState: {}, allocatedResources: { cpu: '200m' }, resources: { requests: { cpu: '150m' } } }],
    conditions: [{ type: 'PodResizePending', status: 'True', reason: 'Infeasible', message: 'no', lastTransitionTime: '2026-03-01T12:00:01Z', lastProbeTime: '2026-03-01T12:00:02Z' }],
  },
  gated: { nominatedNodeName: 'node-1' },
  devices: { resourceClaimStatuses: [{ name: 'other', resourceClaimName: 'devices-other-x' }] },
} // prettier-ignore

const ODD_NODES: readonly object[] = [
  { ...NODES, metadata: { name: 'bare' } },
  {
    ...NODES,
    metadata: { name: 'node-1', labels: { zone: 'a' }, annotations: { load: '0.5' } },
    spec: { unschedulable: true, taints: [{ key: 'k', value: 'v', effect: 'NoExecute', timeAdded: '2026-03-01T12:00:00Z' }, { key: 'only', effect: 'NoSchedule' }] },
  },
] // prettier-ignore
const NODE_STATUS = {
  allocatable: { cpu: '3920m', memory: '30Gi', pods: '110', 'example.com/gpu': '4' },
  capacity: { cpu: '4', memory: '32Gi', pods: '110', 'example.com/gpu': '4' },
  images: [{ names: ['registry.example/app:1', 'registry.example/app@sha256:1'], sizeBytes: 5_000_000_000 }],
  conditions: [{ type: 'Ready', status: 'True', reason: 'x', message: 'y', lastHeartbeatTime: null, lastTransitionTime: null }],
} // prettier-ignore

/** What of an object's JSON has a number in the shape; what JSON says though it is empty is left out, as the reader does. */
function within(shape: Shape, object: JsonObject): JsonObject {
  const kept: Record<string, Json> = {}
  for (const field of shape) {
    if (field === undefined) continue
    if (field.is === 'inline') Object.assign(kept, within(field.shape, object))
    else {
      const value = object[field.name]
      if (value !== undefined && !isEmpty(field, value)) kept[field.name] = valueWithin(field, value)
    }
  }
  return kept
}

function isEmpty(field: Field, value: Json): boolean {
  if (field.is === 'text' || field.is === 'number' || field.is === 'flag')
    return !field.pointer && (value === '' || value === 0 || value === false)
  return Array.isArray(value) && value.length === 0
}

function valueWithin(field: Field, value: Json): Json {
  if (field.is === 'message') return within(field.shape, value as JsonObject)
  return field.is === 'messages' ? (value as readonly JsonObject[]).map((item) => within(field.shape, item)) : value
}

/** Both readers leave a part that says nothing or not say it. */
function withoutEmpty(value: Json | undefined): Json | undefined {
  if (Array.isArray(value)) return value.map((item) => withoutEmpty(item as Json) as Json)
  if (!isObject(value)) return value
  const entries = Object.entries(value).map(([key, item]) => [key, withoutEmpty(item)] as const)
  return Object.fromEntries(entries.filter(([key, item]) => item !== null && (KEEPS_EMPTY.has(key) || !isHollow(item))))
}
/** Where nothing in it says something by being there. */
const KEEPS_EMPTY = new Set(['namespaceSelector', 'labelSelector', 'ephemeral'])
const isHollow = (item: Json | undefined): boolean => isObject(item) && Object.keys(item).length === 0

function same(kind: 'Pod' | 'Node', compact: Manifest, json: Manifest): void {
  const { apiVersion, kind: itsKind, ...rest } = compact
  expect([apiVersion, itsKind]).toEqual(['v1', kind])
  expect(withoutEmpty(rest as JsonObject)).toEqual(withoutEmpty(within(READ_SHAPES[kind] as Shape, json)))
}

async function put(...objects: readonly object[]): Promise<void> {
  const file = join(plane.dir, `objects-${process.hrtime.bigint()}.json`)
  await writeFile(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }))
  await run(plane.kubectlPath, ['--kubeconfig', plane.kubeconfig, 'apply', '--server-side', '-f', file])
}

test('pods and nodes of every odd kind read the same both ways, listed and watched', async () => {
  await put({ apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', metadata: { name: 'below' }, value: -2_000_000_000 }) // prettier-ignore
  await put(...ODD_NODES)
  await plane.kubectl('patch', 'node', 'node-1', '--subresource=status', '--type=merge', '-p', JSON.stringify({ status: NODE_STATUS })) // prettier-ignore
  const before = await cluster.list({ ...PODS, fields: 'placement' }, never)
  expect(before.items).toEqual([])
  await put(...ODD_PODS)
  for (const [name, status] of Object.entries(STATUSES))
    await plane.kubectl('patch', 'pod', name, '--subresource=status', '--type=merge', '-p', JSON.stringify({ status }))
  const end = new AbortController()
  const json = await cluster.list(PODS, never)
  const compact = await cluster.list({ ...PODS, fields: 'placement' }, never)
  expect(compact.resourceVersion).toBe(json.resourceVersion)
  expect(compact.items).toHaveLength(ODD_PODS.length)
  for (const [k, item] of json.items.entries()) {
    const read = compact.items[k] as Manifest
    same('Pod', read, item)
    // All that places it: disks apart, of which only what names them is read.
    if (item.metadata.name !== 'volumes') expect(specSignature(read)).toBe(specSignature(item))
    // A third of an object is who manages it.
    expect(read.metadata['managedFields']).toBeUndefined()
  }
  const below = compact.items.find(({ metadata }) => metadata.name === 'lowly')
  expect((below as { spec?: JsonObject } | undefined)?.spec?.['priority']).toBe(-2_000_000_000)

  const nodes = await cluster.list({ ...NODES, fields: 'placement' }, never)
  for (const [k, item] of (await cluster.list(NODES, never)).items.entries()) same('Node', nodes.items[k] as Manifest, item) // prettier-ignore

  const seen = new Map<string, Manifest>()
  for await (const event of cluster.watch({ ...PODS, fields: 'placement' }, before.resourceVersion, end.signal)) {
    if (event.type === 'bookmark') continue
    seen.set(event.object.metadata.name, event.object)
    const isLast = event.object.metadata.resourceVersion === compact.resourceVersion
    if (isLast || seen.size === ODD_PODS.length) break
  }
  for (const [name, object] of seen) {
    const item = json.items.find(({ metadata }) => metadata.name === name) as Manifest
    if (item.metadata.resourceVersion === object.metadata.resourceVersion) same('Pod', object, item)
  }
  expect(seen.size).toBeGreaterThan(5)
})

test('a bind and an event go as protobuf and are there whole; refusals are as ever', async () => {
  const { metadata } = (await cluster.get(PODS, { group: '', kind: 'Pod', namespace: 'default', name: 'plain' }, never)) as Manifest // prettier-ignore
  const ref = { group: '', kind: 'Pod', namespace: 'default', name: 'plain' }
  const bind = (uid: string, node: string): Promise<JsonObject> =>
    cluster.subresource(PODS, ref, 'binding', { metadata: { namespace: 'default', name: 'plain', uid }, target: { apiVersion: 'v1', kind: 'Node', name: node } }, never) // prettier-ignore
  await expect(bind('not-its-own', 'node-1')).rejects.toMatchObject({ reason: 'Conflict' })
  await bind(metadata.uid ?? '', 'node-1')
  await expect(bind(metadata.uid ?? '', 'node-1')).rejects.toMatchObject({ reason: 'Conflict' })
  const event = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: 'plain.1', namespace: 'default', labels: { a: 'b' } },
    involvedObject: { apiVersion: 'v1', kind: 'Pod', namespace: 'default', name: 'plain', uid: metadata.uid ?? '' },
    type: 'Normal',
    reason: 'Scheduled',
    action: 'Binding',
    message: 'Successfully assigned — ü',
    source: { component: 'flotilla' },
    reportingComponent: 'flotilla',
    reportingInstance: 'flotilla-x',
    firstTimestamp: '2026-03-01T12:00:00Z',
    lastTimestamp: '2026-03-01T12:00:01Z',
    eventTime: '2026-03-01T12:00:01.123000Z',
    count: 1,
  }
  await cluster.create(event, {}, never)
  const stored = JSON.parse(await plane.kubectl('get', 'event', 'plain.1', '-o', 'json'))
  expect(stored).toMatchObject(event)
  await expect(cluster.create(event, {}, never)).rejects.toMatchObject({ reason: 'Conflict' })
})

test('what a server refuses in protobuf is the fault that it is in JSON', async () => {
  await expect(
    cluster.list({ ...PODS, fields: 'placement', fieldSelector: 'spec.nothing=x' }, never),
  ).rejects.toMatchObject({ reason: 'Rejected' })
  const nobody = cluster.as({ user: 'nobody', groups: [] })
  await expect(nobody.list({ ...PODS, fields: 'placement' }, never)).rejects.toMatchObject({ reason: 'Forbidden' })
  // A new API server knows what is, not what was.
  await plane.cut()
  await plane.restore()
  const old = cluster.watch({ ...PODS, fields: 'placement' }, '1', never)
  await expect(
    (async () => {
      for await (const _ of old) break
    })(),
  ).rejects.toMatchObject({ reason: 'WatchExpired' })
})
