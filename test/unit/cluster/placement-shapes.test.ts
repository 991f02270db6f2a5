/** What the scheduler reads of pods and nodes is in the shapes by which it is sent: a field that is not would read as absent at every real site. */
import { expect, test } from 'vitest'
import { readOwn, toldOf } from '../../../src/agent/scheduling/own-pods.ts'
import { READ_SHAPES, type Shape } from '../../../src/adapters/cluster/protobuf-shapes.ts'
import type { JsonObject } from '../../../src/core/model/json.ts'
import type { Manifest } from '../../../src/core/model/object.ts'
import { createScheduler } from '../../../src/core/scheduler/scheduler.ts'

const term = {
  labelSelector: { matchLabels: { app: 'a' }, matchExpressions: [{ key: 'x', operator: 'In', values: ['y'] }] },
  topologyKey: 'zone',
  namespaceSelector: { matchLabels: {}, matchExpressions: [{ key: 'x', operator: 'Exists' }] },
}
const nodeTerm = { matchExpressions: [{ key: 'x', operator: 'Exists' }], matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n'] }] } // prettier-ignore
const required = 'requiredDuringSchedulingIgnoredDuringExecution'
const preferred = 'preferredDuringSchedulingIgnoredDuringExecution'
const container = {
  name: 'c',
  resources: { requests: { cpu: '1' }, limits: { memory: '1Gi' }, claims: [{ name: 'd' }] },
  ports: [{ containerPort: 1, hostPort: 1 }],
}
const disk = { monitors: ['m'] }

/** One of every part that has parts of its own: what is read of them shows by itself. */
const POD: JsonObject = {
  metadata: { name: 'p', namespace: 'n', labels: {}, annotations: {}, ownerReferences: [{ kind: 'ReplicaSet' }] },
  spec: {
    schedulerName: 'flotilla',
    containers: [container],
    initContainers: [container, { ...container, restartPolicy: 'Always' }],
    overhead: { cpu: '1m' },
    resources: { requests: { cpu: '2' } },
    nodeSelector: { a: 'b' },
    affinity: {
      nodeAffinity: { [required]: { nodeSelectorTerms: [nodeTerm] }, [preferred]: [{ weight: 1, preference: nodeTerm }] },
      podAffinity: { [required]: [term], [preferred]: [{ weight: 1, podAffinityTerm: term }] },
      podAntiAffinity: { [required]: [term], [preferred]: [{ weight: 1, podAffinityTerm: term }] },
    },
    tolerations: [{ key: 'x' }],
    topologySpreadConstraints: [{ topologyKey: 'zone', labelSelector: term.labelSelector }],
    schedulingGates: [{ name: 'g' }],
    resourceClaims: [{ name: 'd' }],
    volumes: [
      { name: 'v', persistentVolumeClaim: { claimName: 'v' } },
      { name: 'e', ephemeral: {} },
      ...['gcePersistentDisk', 'awsElasticBlockStore', 'rbd', 'iscsi'].map((kind) => ({ name: kind, [kind]: disk })),
    ],
  },
  status: {
    phase: 'Pending',
    conditions: [{ type: 'PodScheduled', status: 'False' }],
    containerStatuses: [{ name: 'c', allocatedResources: {}, resources: { requests: {} } }],
    initContainerStatuses: [{ name: 'c', allocatedResources: {}, resources: { requests: {} } }],
    resourceClaimStatuses: [{ name: 'd' }],
  },
} // prettier-ignore
const NODE: JsonObject = {
  metadata: { name: 'n', labels: {}, annotations: {} },
  spec: { taints: [{ key: 'x' }] },
  status: { allocatable: { cpu: '9' }, images: [{ names: ['x'] }] },
}

/** The object, noting which fields are asked for, there or not; not below maps, whose keys are whatever people chose. */
function watched(value: unknown, shape: Shape, path: string, unknown: Set<string>): unknown {
  if (Array.isArray(value)) return value.map((item) => watched(item, shape, `${path}[]`, unknown))
  return new Proxy(value as object, {
    get(target, key, receiver) {
      const inner: unknown = Reflect.get(target, key, receiver)
      if (typeof key !== 'string' || key === 'toJSON') return inner
      const field = shape.flatMap((one) => (one?.is === 'inline' ? one.shape : [one])).find((one) => one?.name === key)
      if (field === undefined) unknown.add(`${path}.${key}`)
      else if ((field.is === 'message' || field.is === 'messages') && typeof inner === 'object')
        return watched(inner, field.shape, `${path}.${key}`, unknown)
      return inner
    },
  })
}

test('every field that is read has a number', () => {
  const unknown = new Set<string>()
  const scheduler = createScheduler({ seed: 's', schedulerNames: ['flotilla'], explain: 'each' })
  const node = watched(NODE, READ_SHAPES['Node'] as Shape, 'Node', unknown) as JsonObject
  scheduler.apply({ kind: 'Node', set: node })
  scheduler.apply({ kind: 'Node', set: node })
  const pod = watched(POD, READ_SHAPES['Pod'] as Shape, 'Pod', unknown) as Manifest
  for (const more of [{}, { nodeName: 'n' }]) {
    const spec = watched({ ...(POD['spec'] as JsonObject), ...more }, shapeAt('Pod', 'spec'), 'Pod.spec', unknown)
    scheduler.apply({ kind: 'Pod', set: { ...(pod as JsonObject), metadata: pod.metadata, spec, status: pod['status'] } as JsonObject }) // prettier-ignore
  }
  scheduler.cycle(1)
  const own = readOwn(pod, 'flotilla')
  expect(own && toldOf(own)).toBeDefined()
  // Asked of every disk, and had by rbd alone.
  expect([...unknown].filter((path) => !path.endsWith('.monitors'))).toEqual([])
})

function shapeAt(kind: string, name: string): Shape {
  const field = READ_SHAPES[kind]?.find((one) => one?.name === name)
  if (field?.is !== 'message') throw new Error(`${kind} has no ${name}`)
  return field.shape
}
