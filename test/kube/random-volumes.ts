/** The storage of a random cluster: classes, volumes, drivers with limits and with room that is told, and claims in every state. */
import type { JsonObject } from '../../src/core/model/json.ts'
import type { Random } from './random.ts'

const ZONE = 'topology.kubernetes.io/zone'
const HOST = 'kubernetes.io/hostname'
const DRIVER = 'csi.example.com'
/** Its room is told by CSIStorageCapacity. */
const TRACKED = 'tracked.example.com'

export interface RandomVolumes {
  readonly storage: JsonObject[]
  readonly claims: (JsonObject & { readonly metadata: { readonly name: string } })[]
  /** To be deleted once they are there: their finalizers hold them. */
  readonly leaving: JsonObject[]
  /** Makes a claim in a state that the seed says, or names one that is not there. */
  claim(k: number): string
  /** One that is bound to a volume of the driver whose volumes are counted. */
  boundClaim(k: number): string
}

const WAYS = ['bound', 'bound', 'bound', 'bound', 'csi', 'csi', 'wait', 'wait', 'wait', 'made', 'tracked', 'tracked', 'now', 'missing', 'half', 'leaving', 'kept', 'selected'] as const // prettier-ignore
type Way = (typeof WAYS)[number]

export function randomVolumes(
  seed: number,
  random: Random,
  nodeLabels: readonly Readonly<Record<string, string>>[],
): RandomVolumes {
  const { chance, int, pick } = random
  const claims: RandomVolumes['claims'] = []
  const leaving: JsonObject[] = []
  const zones = [{ matchLabelExpressions: [{ key: ZONE, values: ['z0', 'z1'] }] }]
  const storage: JsonObject[] = [
    storageClass(`wait-${seed}`, 'kubernetes.io/no-provisioner', 'WaitForFirstConsumer'),
    storageClass(`now-${seed}`, 'kubernetes.io/no-provisioner', 'Immediate'),
    storageClass(`made-${seed}`, DRIVER, 'WaitForFirstConsumer', zones),
    storageClass(`tracked-${seed}`, TRACKED, 'WaitForFirstConsumer'),
    {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'CSIDriver',
      metadata: { name: TRACKED },
      spec: { storageCapacity: true },
    },
    ...['z0', 'z1'].map((zone, k) => ({
      apiVersion: 'storage.k8s.io/v1',
      kind: 'CSIStorageCapacity',
      metadata: { name: `room-${seed}-${k}`, namespace: 'default' },
      storageClassName: `tracked-${seed}`,
      ...(chance(0.9) ? { nodeTopology: { matchLabels: { [ZONE]: zone } } } : {}),
      ...(chance(0.9) ? { capacity: pick(['1Gi', '2Gi', '10Gi']) } : {}),
      ...(chance(0.3) ? { maximumVolumeSize: pick(['1Gi', '5Gi']) } : {}),
    })),
    ...nodeLabels.flatMap((labels) =>
      chance(0.6)
        ? [
            {
              apiVersion: 'storage.k8s.io/v1',
              kind: 'CSINode',
              metadata: { name: labels[HOST] ?? '' },
              spec: {
                drivers: [
                  { name: DRIVER, nodeID: 'x', topologyKeys: [HOST], ...(chance(0.8) ? { allocatable: { count: int(1, 2) } } : {}) }, // prettier-ignore
                ],
              },
            },
          ]
        : [],
    ),
  ]

  function classOf(way: Way): string {
    if (way === 'made' || way === 'selected') return `made-${seed}`
    return way === 'now' || way === 'tracked' ? `${way}-${seed}` : `wait-${seed}`
  }

  function addClaim(name: string, way: Way, modes: readonly string[]): JsonObject {
    const hasVolume = way === 'bound' || way === 'csi' || way === 'half' || way === 'leaving'
    const annotations = {
      ...(hasVolume && way !== 'half' ? { 'pv.kubernetes.io/bind-completed': 'yes' } : {}),
      ...(way === 'selected' ? { 'volume.kubernetes.io/selected-node': pick(nodeLabels)[HOST] ?? '' } : {}),
    }
    const claim = {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name, namespace: 'default', annotations },
      spec: {
        accessModes: modes,
        storageClassName: classOf(way),
        resources: { requests: { storage: pick(['1Gi', '5Gi']) } },
        ...(hasVolume ? { volumeName: volumeOf(name) } : {}),
      },
    }
    claims.push(claim)
    return claim
  }

  function addVolume(name: string, way: Way, modes: readonly string[]): void {
    const at = pick(nodeLabels)
    const isBound = way === 'bound' || way === 'csi' || way === 'half' || way === 'leaving'
    const zoned = way === 'bound' && chance(0.35)
    const where = chance(0.5) ? { key: HOST, operator: 'In', values: [at[HOST] ?? ''] } : { key: 'disk', operator: 'In', values: [at['disk'] ?? ''] } // prettier-ignore
    const reachable = zoned || (way === 'csi' && chance(0.7))
    storage.push({
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      status: { phase: isBound ? 'Bound' : chance(0.85) ? 'Available' : 'Pending' },
      metadata: { name: volumeOf(name), labels: zoned ? { [ZONE]: `z${int(0, 2)}` } : {} },
      spec: {
        capacity: { storage: pick(['2Gi', '10Gi']) },
        accessModes: modes,
        storageClassName: way === 'kept' && chance(0.2) ? `now-${seed}` : classOf(way),
        persistentVolumeReclaimPolicy: 'Retain',
        ...(reachable ? { csi: { driver: DRIVER, volumeHandle: volumeOf(name) } } : { local: { path: '/mnt' } }),
        ...(reachable ? {} : { nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [where] }] } } }),
        ...(isBound || way === 'kept'
          ? { claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace: 'default', name } }
          : {}),
      },
    })
  }

  return {
    storage,
    claims,
    leaving,
    claim(k) {
      const name = `claim-${seed}-${k}`
      const way = pick(WAYS)
      if (way === 'missing') return name
      const modes = [chance(0.15) ? 'ReadWriteOncePod' : 'ReadWriteOnce']
      const claim = addClaim(name, way, modes)
      if (way === 'leaving') leaving.push(claim)
      if (way !== 'made' && way !== 'now' && way !== 'tracked' && way !== 'selected') addVolume(name, way, modes)
      return name
    },
    boundClaim(k) {
      const name = `used-${seed}-${k}`
      const modes = [chance(0.3) ? 'ReadWriteOncePod' : 'ReadWriteOnce']
      addClaim(name, 'csi', modes)
      addVolume(name, 'csi', modes)
      return name
    },
  }
}

function volumeOf(claim: string): string {
  return `${claim}-volume`
}

function storageClass(
  name: string,
  provisioner: string,
  volumeBindingMode: string,
  allowedTopologies: readonly JsonObject[] = [],
): JsonObject {
  return {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name },
    provisioner,
    volumeBindingMode,
    ...(allowedTopologies.length > 0 ? { allowedTopologies } : {}),
  }
}
