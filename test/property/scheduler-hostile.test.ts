/** Whatever stands in the objects of a cluster: nothing throws, no number is lost, and what is in order is placed all the same. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isObject, type Json, type JsonObject } from '../../src/core/model/json.ts'
import { predictOn } from '../../src/core/scheduler/predict.ts'
import { createScheduler, type LiveScheduler } from '../../src/core/scheduler/scheduler.ts'
import type { Delta, ObjectKind, Options } from '../../src/core/scheduler/types.ts'

const SEED = 20260103

const KINDS: readonly ObjectKind[] = ['Node', 'Pod', 'Namespace', 'PodDisruptionBudget', 'PersistentVolume', 'PersistentVolumeClaim', 'StorageClass', 'CSINode', 'CSIDriver', 'CSIStorageCapacity', 'PriorityClass', 'ResourceQuota', 'ResourceClaim', 'ResourceSlice', 'DeviceClass'] // prettier-ignore
const labelSelector = { matchLabels: { app: 'a' }, matchExpressions: [{ key: 'app', operator: 'In', values: ['a'] }] }
const term = { labelSelector, topologyKey: 'zone', namespaces: ['ns'], namespaceSelector: {}, matchLabelKeys: ['app'], mismatchLabelKeys: ['b'] } // prettier-ignore
const nodeTerm = { matchExpressions: [{ key: 'zone', operator: 'Gt', values: ['1'] }], matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n0'] }] } // prettier-ignore
const required = 'requiredDuringSchedulingIgnoredDuringExecution'
const preferred = 'preferredDuringSchedulingIgnoredDuringExecution'

/** One of each kind with every field that is read: whole, it is in order. */
const WHOLE: Readonly<Record<ObjectKind, JsonObject>> = {
  Node: { metadata: { name: 'n1', labels: { zone: '1' }, annotations: { a: 'b' } }, spec: { taints: [{ key: 'k', value: 'v', effect: 'PreferNoSchedule' }], unschedulable: false }, status: { allocatable: { cpu: '4', memory: '8Gi', pods: '10', 'x.y/z': '2' }, images: [{ names: ['i'], sizeBytes: 7 }] } }, // prettier-ignore
  Pod: {
    metadata: { name: 'p', namespace: 'ns', uid: 'u', labels: { app: 'a' }, annotations: { 'flotilla.dev/job': 'j', 'flotilla.dev/task': 't' }, creationTimestamp: '2026-01-01T00:00:00Z', ownerReferences: [{ controller: true, uid: 'o' }] }, // prettier-ignore
    spec: {
      schedulerName: 'flotilla',
      priority: 5,
      priorityClassName: 'c',
      preemptionPolicy: 'Never',
      nodeName: '',
      activeDeadlineSeconds: 60,
      terminationGracePeriodSeconds: 3, // prettier-ignore
      containers: [{ name: 'c', image: 'i', restartPolicy: 'Always', resources: { requests: { cpu: '1', memory: '1Gi', 'x.y/z': 1 }, limits: { cpu: '2' } }, ports: [{ hostPort: 80, hostIP: '1.2.3.4', protocol: 'TCP' }] }], // prettier-ignore
      initContainers: [{ name: 'i', restartPolicy: 'Always', resources: { requests: { cpu: '1' } } }],
      resources: { requests: { cpu: '2' } },
      overhead: { cpu: '1m' },
      nodeSelector: { zone: '1' },
      hostNetwork: true, // prettier-ignore
      tolerations: [{ key: 'k', operator: 'Exists', value: 'v', effect: 'NoSchedule', tolerationSeconds: 3 }],
      schedulingGates: [],
      resourceClaims: [{ name: 'r', resourceClaimName: 'rc' }], // prettier-ignore
      affinity: { nodeAffinity: { [required]: { nodeSelectorTerms: [nodeTerm] }, [preferred]: [{ weight: 3, preference: nodeTerm }] }, podAffinity: { [required]: [term], [preferred]: [{ weight: 3, podAffinityTerm: term }] }, podAntiAffinity: { [required]: [term], [preferred]: [{ weight: 3, podAffinityTerm: term }] } }, // prettier-ignore
      topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule', labelSelector, minDomains: 2, nodeAffinityPolicy: 'Honor', nodeTaintsPolicy: 'Honor', matchLabelKeys: ['app'] }], // prettier-ignore
      volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'pc' } }, { name: 'w', ephemeral: {} }, { name: 'x', rbd: { monitors: ['m'], pool: 'p', image: 'i' } }], // prettier-ignore
    },
    status: { phase: 'Pending', startTime: '2026-01-01T00:00:00Z', nominatedNodeName: 'n0', containerStatuses: [{ name: 'c', allocatedResources: { cpu: '1' }, resources: { requests: { cpu: '1' } } }], conditions: [{ type: 'PodResizePending', reason: 'Infeasible' }] }, // prettier-ignore
  },
  Namespace: { metadata: { name: 'ns', labels: { team: 'x' } } },
  PodDisruptionBudget: { metadata: { name: 'b', namespace: 'ns' }, spec: { selector: labelSelector }, status: { disruptionsAllowed: 1 } }, // prettier-ignore
  PersistentVolume: { metadata: { name: 'pv', labels: { 'topology.kubernetes.io/zone': 'a__b' } }, spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], storageClassName: 's', volumeMode: 'Block', claimRef: { namespace: 'ns', name: 'pc', uid: 'u' }, csi: { driver: 'd' }, nodeAffinity: { required: { nodeSelectorTerms: [nodeTerm] } } }, status: { phase: 'Available' } }, // prettier-ignore
  PersistentVolumeClaim: { metadata: { name: 'pc', namespace: 'ns', annotations: { 'pv.kubernetes.io/bind-completed': 'yes', 'volume.kubernetes.io/selected-node': 'n0' } }, spec: { storageClassName: 's', volumeName: 'pv', accessModes: ['ReadWriteOncePod'], selector: labelSelector, resources: { requests: { storage: '1Gi' } } }, status: { phase: 'Bound' } }, // prettier-ignore
  StorageClass: { metadata: { name: 's' }, provisioner: 'd', volumeBindingMode: 'WaitForFirstConsumer', allowedTopologies: [{ matchLabelExpressions: [{ key: 'zone', values: ['1'] }] }] }, // prettier-ignore
  CSINode: { metadata: { name: 'n0' }, spec: { drivers: [{ name: 'd', allocatable: { count: 1 } }] } },
  CSIDriver: { metadata: { name: 'd' }, spec: { storageCapacity: true } },
  CSIStorageCapacity: { metadata: { name: 'r', namespace: 'ns' }, storageClassName: 's', nodeTopology: labelSelector, capacity: '1Gi', maximumVolumeSize: '1Gi' }, // prettier-ignore
  PriorityClass: { metadata: { name: 'c' }, value: 7 },
  ResourceQuota: { metadata: { name: 'q', namespace: 'ns' }, status: { hard: { cpu: '1' }, used: { cpu: '1' } } },
  ResourceClaim: { metadata: { name: 'rc', namespace: 'ns' }, spec: { devices: { requests: [{ exactly: { deviceClassName: 'dc', count: 1 } }] } } }, // prettier-ignore
  ResourceSlice: { metadata: { name: 'rs' }, spec: { nodeName: 'n0', driver: 'd', devices: [{ name: 'x' }] } },
  DeviceClass: { metadata: { name: 'dc' }, spec: { selectors: [{ cel: { expression: 'device.driver == "d"' } }] } },
}
const JOB: JsonObject = { namespace: 'ns', name: 'j', uid: 'u', queue: 'q', priority: 3, minMember: 1, minTaskMember: { t: 1 }, minResources: { cpu: '1' }, phase: 'Inqueue', createdMs: 1, timeLimitMs: 5, estimateMs: 4, preemptible: true, annotations: { 'sla-waiting-time': '1s' }, networkTopology: { mode: 'hard', highestTierAllowed: 1 }, subGroupPolicy: [{ name: 's', matchLabelKeys: ['app'], labelSelector, subGroupSize: 1, minSubGroups: 1 }] } // prettier-ignore
const QUEUE: JsonObject = { name: 'q', parent: 'p', weight: 2, priority: 1, state: 'Open', reclaimable: true, deserved: { cpu: '1' }, guarantee: { cpu: '1' }, capability: { cpu: '2' }, dequeueStrategy: 'fifo', maxRunning: 1, annotations: { a: 'b' }, affinity: { nodeGroupAffinity: { [required]: ['g'] } } } // prettier-ignore

const SCALARS: readonly Json[] = [null, true, 0, -1, 1e30, -0.5, '', '-1', '1e30', '0.0001m', '5Zb', 'n0', 'Infinity', '__proto__', 'constructor', '\u0000', [], {}, [null], [[]], { a: null }] // prettier-ignore
const junk: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom(...SCALARS),
  fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<Json>,
  fc.constant(
    JSON.parse('{"toString": 1, "valueOf": 2, "length": 3, "constructor": "x", "__proto__": {"a": 1}}') as Json,
  ),
)

/** The object with some of its fields, however deep, replaced by junk. */
function broken(whole: JsonObject): fc.Arbitrary<Json> {
  const places = placesIn(whole, [])
  return fc
    .array(fc.tuple(fc.constantFrom(...places), junk), { minLength: 1, maxLength: 4 })
    .map((changes) => changes.reduce<Json>((value, [place, by]) => withAt(value, place, by), whole))
}

type Place = readonly (string | number)[]
function placesIn(value: Json, at: Place): Place[] {
  const below = Array.isArray(value)
    ? value.flatMap((item: Json, k) => placesIn(item, [...at, k]))
    : isObject(value)
      ? Object.entries(value).flatMap(([key, item]) => placesIn(item as Json, [...at, key]))
      : []
  return at.length === 0 ? below : [at, ...below]
}

function withAt(value: Json, [first, ...rest]: Place, by: Json): Json {
  if (first === undefined) return by
  if (Array.isArray(value))
    return (value as readonly Json[]).map((item, k) => (k === first ? withAt(item, rest, by) : item))
  return isObject(value) && first in value ? { ...value, [first]: withAt(value[first] as Json, rest, by) } : value
}

const object = (kind: ObjectKind): fc.Arbitrary<Json> =>
  fc.oneof({ weight: 4, arbitrary: broken(WHOLE[kind]) }, { weight: 1, arbitrary: fc.constant(WHOLE[kind]) }, { weight: 1, arbitrary: junk }) // prettier-ignore
const delta: fc.Arbitrary<Delta> = fc.oneof(
  ...KINDS.map((kind) => object(kind).map((set) => ({ kind, set }) as unknown as Delta)),
  object('Pod').map((set) => ({ kind: 'Pod', set }) as unknown as Delta),
  broken(JOB).map((set) => ({ kind: 'Job', set }) as unknown as Delta),
  broken(QUEUE).map((set) => ({ kind: 'Queue', set }) as unknown as Delta),
  fc.constantFrom(...KINDS).map((kind): Delta => ({ kind, gone: { namespace: 'ns', name: 'p' } })),
  fc.constant<Delta>({ kind: 'Job', gone: { namespace: 'ns', name: 'j' } }),
  fc.constant<Delta>({ kind: 'Queue', gone: { name: 'q' } }),
)

const GOOD_NODE: JsonObject = { metadata: { name: 'good-node', labels: {} }, status: { allocatable: { cpu: '100', memory: '100Gi', pods: '100' } } } // prettier-ignore
const goodPod = (name: string): JsonObject => ({
  metadata: { name, namespace: 'good', uid: name },
  spec: { schedulerName: 'flotilla', containers: [{ resources: { requests: { cpu: '1' } } }] },
  status: { phase: 'Pending' },
})

/** Every amount that the scheduler keeps is a number. */
function lostNumber({ world: { state } }: LiveScheduler): string | null {
  const columns = { idle: state.idle, later: state.later, allocatable: state.allocatable, jobHeld: state.jobHeld, queueHeld: state.queueHeld } // prettier-ignore
  for (const [name, list] of Object.entries(columns))
    for (const column of list) if (column.some((value) => !Number.isFinite(value))) return name
  return [...state.taskPriority].some((value) => Number.isNaN(value)) ? 'priority' : null
}

/** In Volcano's division of what is there, one of enough weight may ask for all of it, and others then have to wait. */
function ofLittleWeight(one: Delta): Delta {
  return one.kind === 'Queue' && 'set' in one && isObject(one.set) ? { ...one, set: { ...one.set, weight: 1 } } : one
}

const PROFILES: readonly Options[] = [
  { seed: 's' },
  { seed: 's', profile: 'volcano', schedulerNames: ['flotilla'], actions: ['enqueue', 'allocate', 'backfill', 'preempt', 'reclaim'] }, // prettier-ignore
]

describe('hostile input', () => {
  for (const options of PROFILES)
    it(`profile ${options.profile ?? 'calm'}: nothing throws, and what is in order is placed`, () =>
      fc.assert(
        fc.property(fc.array(delta, { minLength: 1, maxLength: 12 }), (deltas) => {
          const live = createScheduler({ ...options, explain: 'each' })
          const kept = deltas.map((one) => (options.profile === 'volcano' ? ofLittleWeight(one) : one))
          for (const one of kept) live.apply(one)
          live.apply({ kind: 'Node', set: GOOD_NODE })
          live.apply({ kind: 'Pod', set: goodPod('first') })
          const first = live.cycle(1_800_000_000_000)
          expect(first.binds.filter(({ namespace }) => namespace === 'good')).toHaveLength(1)
          predictOn(live, { pods: [goodPod('asked')] }, 1_800_000_000_001)
          for (const one of kept.toReversed()) live.apply(one)
          live.apply({ kind: 'Pod', set: goodPod('second') })
          const second = live.cycle(1_800_000_001_000)
          expect(second.binds.filter(({ namespace }) => namespace === 'good')).toHaveLength(1)
          expect(lostNumber(live)).toBeNull()
          expect(JSON.stringify([first, second])).not.toMatch(/NaN|null,"(cpu|memory)"/)
        }),
        { seed: SEED, numRuns: 1000 },
      ))
})
