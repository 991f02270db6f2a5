/** Random clusters and pods for the scheduler: valid for an API server, and such that every filter has something to refuse. */
import type { JsonObject } from '../../src/core/model/json.ts'

export interface RandomCluster {
  readonly namespaces: readonly JsonObject[]
  readonly nodes: readonly JsonObject[]
  readonly storage: readonly JsonObject[]
  readonly claims: readonly JsonObject[]
  /** On nodes already. */
  readonly placed: readonly JsonObject[]
  /** To be judged. */
  readonly asking: readonly JsonObject[]
}

const ZONE = 'topology.kubernetes.io/zone'
const HOST = 'kubernetes.io/hostname'
const APPS = ['a', 'b', 'c'] as const

export function randomCluster(seed: number, size = { nodes: 8, placed: 20, asking: 60 }): RandomCluster {
  const random = generator(seed)
  const chance = (p: number): boolean => random() < p
  const int = (from: number, to: number): number => from + Math.floor(random() * (to - from + 1))
  const pick = <T>(list: readonly T[]): T => list[int(0, list.length - 1)] as T
  const name = (kind: string, k: number): string => `${kind}-${seed}-${k}`
  const claims: JsonObject[] = []
  const storage: JsonObject[] = [
    storageClass(`wait-${seed}`, 'kubernetes.io/no-provisioner', 'WaitForFirstConsumer'),
    storageClass(`now-${seed}`, 'kubernetes.io/no-provisioner', 'Immediate'),
    storageClass(`made-${seed}`, 'csi.example.com', 'WaitForFirstConsumer', [
      { matchLabelExpressions: [{ key: ZONE, values: ['z0', 'z1'] }] },
    ]),
  ]

  const nodes = Array.from({ length: size.nodes }, (_, k) => {
    const taints = []
    if (chance(0.25)) taints.push({ key: 'dedicated', value: pick(APPS), effect: pick(['NoSchedule', 'NoExecute']) })
    if (chance(0.2)) taints.push({ key: 'soft', value: 'x', effect: 'PreferNoSchedule' })
    const host = name('node', k)
    const room = {
      cpu: pick(['1', '2', '4', '3500m']),
      memory: pick(['2Gi', '4Gi', '8Gi']),
      pods: String(int(3, 8)),
      'ephemeral-storage': pick(['1Gi', '20Gi']),
      ...(chance(0.4) ? { 'example.com/gpu': String(int(1, 4)) } : {}),
    }
    return {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name: host,
        labels: {
          [HOST]: host,
          ...(chance(0.85) ? { [ZONE]: `z${k % 3}` } : {}),
          disk: pick(['ssd', 'hdd']),
          size: String(int(1, 5)),
        },
      },
      spec: { taints, ...(chance(0.15) ? { unschedulable: true } : {}) },
      status: { capacity: room, allocatable: room },
    }
  })

  const selector = (): JsonObject =>
    pick([
      { matchLabels: { app: pick(APPS) } },
      { matchExpressions: [{ key: 'app', operator: 'In', values: [pick(APPS), pick(APPS)] }] },
      { matchExpressions: [{ key: 'app', operator: 'NotIn', values: [pick(APPS)] }] },
      { matchExpressions: [{ key: 'tier', operator: pick(['Exists', 'DoesNotExist']) }] },
    ])
  const podTerm = (): JsonObject => ({
    labelSelector: selector(),
    topologyKey: pick([ZONE, HOST, 'disk']),
    ...(chance(0.2) ? { namespaces: ['default', `other-${seed}`] } : {}),
    ...(chance(0.15) ? { namespaceSelector: pick([{}, { matchLabels: { team: 'x' } }]) } : {}),
    ...(chance(0.1) ? { matchLabelKeys: ['release'] } : {}),
  })
  const nodeRequirement = (): JsonObject =>
    pick([
      { key: 'disk', operator: 'In', values: [pick(['ssd', 'hdd', 'none'])] },
      { key: 'disk', operator: 'NotIn', values: ['ssd'] },
      { key: 'size', operator: pick(['Gt', 'Lt']), values: [String(int(1, 4))] },
      { key: ZONE, operator: pick(['Exists', 'DoesNotExist']) },
      { key: ZONE, operator: 'In', values: ['z0', 'z1'] },
    ])
  const nodeTerm = (): JsonObject =>
    chance(0.15)
      ? { matchFields: [{ key: 'metadata.name', operator: pick(['In', 'NotIn']), values: [name('node', int(0, size.nodes - 1))] }] } // prettier-ignore
      : { matchExpressions: [nodeRequirement(), ...(chance(0.3) ? [nodeRequirement()] : [])] }
  const spread = (): JsonObject => ({
    maxSkew: int(1, 2),
    topologyKey: pick([ZONE, HOST, 'disk']),
    whenUnsatisfiable: chance(0.85) ? 'DoNotSchedule' : 'ScheduleAnyway',
    labelSelector: selector(),
    ...(chance(0.3) ? { nodeAffinityPolicy: pick(['Honor', 'Ignore']) } : {}),
    ...(chance(0.3) ? { nodeTaintsPolicy: pick(['Honor', 'Ignore']) } : {}),
  })
  const minDomains = (one: JsonObject): JsonObject =>
    one['whenUnsatisfiable'] === 'DoNotSchedule' && chance(0.25) ? { ...one, minDomains: int(1, 4) } : one
  const requests = (large: boolean): JsonObject => ({
    requests: {
      ...(chance(0.85) ? { cpu: large ? pick(['1', '2', '3']) : pick(['50m', '100m', '300m']) } : {}),
      ...(chance(0.6) ? { memory: large ? pick(['1Gi', '3Gi']) : pick(['64Mi', '200M']) } : {}),
      ...(chance(0.15) ? { 'ephemeral-storage': pick(['100Mi', '2Gi']) } : {}),
    },
    ...(large && chance(0.25) ? { limits: { 'example.com/gpu': String(int(1, 3)) } } : {}),
  })
  const port = (): JsonObject => ({
    containerPort: 80,
    hostPort: 8000 + int(0, 1),
    protocol: pick(['TCP', 'TCP', 'UDP']),
    ...(chance(0.2) ? { hostIP: pick(['127.0.0.1', '10.0.0.1']) } : {}),
  })

  /** A claim, bound to a volume, free to be bound, or made where its pod goes. */
  function claim(k: number): string {
    const own = name('claim', k)
    const modes = [chance(0.15) ? 'ReadWriteOncePod' : 'ReadWriteOnce']
    const way = pick(['bound', 'bound', 'bound-csi', 'wait', 'wait', 'made', 'now', 'missing'])
    if (way === 'missing') return own
    const volume = name('volume', k)
    const className = way === 'made' ? `made-${seed}` : way === 'now' ? `now-${seed}` : `wait-${seed}`
    const isBound = way.startsWith('bound')
    claims.push({
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: {
        name: own,
        namespace: 'default',
        ...(isBound ? { annotations: { 'pv.kubernetes.io/bind-completed': 'yes' } } : {}),
      },
      spec: {
        accessModes: modes,
        storageClassName: className,
        resources: { requests: { storage: pick(['1Gi', '5Gi']) } },
        ...(isBound ? { volumeName: volume } : {}),
      },
    })
    if (way === 'made' || way === 'now') return own
    const at = pick(nodes).metadata.labels as Readonly<Record<string, string>>
    const zoned = way === 'bound' && chance(0.35)
    storage.push({
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      status: { phase: isBound ? 'Bound' : chance(0.85) ? 'Available' : 'Pending' },
      metadata: { name: volume, labels: zoned ? { [ZONE]: `z${int(0, 2)}` } : {} },
      spec: {
        capacity: { storage: pick(['2Gi', '10Gi']) },
        accessModes: modes,
        storageClassName: className,
        persistentVolumeReclaimPolicy: 'Retain',
        ...(way === 'bound-csi' || zoned
          ? { csi: { driver: 'csi.example.com', volumeHandle: volume } }
          : { local: { path: '/mnt' } }),
        ...(zoned
          ? {}
          : { nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [chance(0.5) ? { key: HOST, operator: 'In', values: [String(at[HOST])] } : { key: 'disk', operator: 'In', values: [String(at['disk'])] }] }] } } }), // prettier-ignore
        ...(isBound ? { claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace: 'default', name: own } } : {}), // prettier-ignore
      },
    })
    return own
  }

  const labels = (): JsonObject => ({
    app: pick(APPS),
    ...(chance(0.4) ? { tier: pick(['x', 'y']) } : {}),
    ...(chance(0.5) ? { release: pick(['1', '2']) } : {}),
  })
  const placed = Array.from({ length: size.placed }, (_, k) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: name('placed', k), namespace: chance(0.8) ? 'default' : `other-${seed}`, labels: labels() },
    spec: {
      nodeName: name('node', int(0, size.nodes - 1)),
      containers: [
        { name: 'c', image: 'none', resources: requests(chance(0.3)), ...(chance(0.3) ? { ports: [port()] } : {}) },
      ],
      ...(chance(0.1)
        ? { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [podTerm()] } } }
        : {}),
    },
  }))

  const asking = Array.from({ length: size.asking }, (_, k) => {
    const wants = (p: number): boolean => chance(p)
    const container = (at: number): JsonObject => ({
      name: `c${at}`,
      image: 'none',
      resources: requests(chance(0.35)),
      ...(at === 0 && wants(0.25) ? { ports: [port()] } : {}),
    })
    const init = [
      ...(chance(0.15) ? [{ name: 'setup', image: 'none', resources: requests(chance(0.5)) }] : []),
      ...(chance(0.15)
        ? [{ name: 'sidecar', image: 'none', restartPolicy: 'Always', resources: requests(chance(0.3)) }]
        : []),
    ]
    const affinity = {
      ...(wants(0.25)
        ? { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [nodeTerm(), ...(chance(0.4) ? [nodeTerm()] : [])] } } } // prettier-ignore
        : {}),
      ...(wants(0.22) ? { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [podTerm()] } } : {}),
      ...(wants(0.25) ? { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [podTerm()] } } : {}),
    }
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: name('asks', k), namespace: 'default', labels: labels() },
      spec: {
        schedulerName: 'asked',
        containers: [container(0), ...(chance(0.3) ? [container(1)] : [])],
        ...(init.length > 0 ? { initContainers: init } : {}),
        ...(Object.keys(affinity).length > 0 ? { affinity } : {}),
        ...(chance(0.15) ? { nodeSelector: { disk: pick(['ssd', 'hdd']) } } : {}),
        ...(wants(0.25)
          ? { topologySpreadConstraints: [spread(), ...(chance(0.25) ? [spread()] : [])].filter(isFirstOfKey).map(minDomains) } // prettier-ignore
          : {}),
        ...(chance(0.4)
          ? { tolerations: [pick<JsonObject>([{ operator: 'Exists' }, { key: 'dedicated', operator: 'Exists' }, { key: 'dedicated', value: pick(APPS), effect: 'NoSchedule' }, { key: 'node.kubernetes.io/unschedulable', operator: 'Exists' }])] } // prettier-ignore
          : {}),
        ...(wants(0.4) ? { volumes: [{ name: 'v', persistentVolumeClaim: { claimName: claim(k) } }] } : {}),
      },
    }
  })

  const namespaces = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: `other-${seed}`, labels: { team: pick(['x', 'y']) } } },
  ]
  return { namespaces, nodes, storage, claims, placed, asking }
}

function isFirstOfKey(one: JsonObject, at: number, all: readonly JsonObject[]): boolean {
  return all.findIndex((other) => other['topologyKey'] === one['topologyKey']) === at
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

/** mulberry32: small, and the same everywhere. */
function generator(seed: number): () => number {
  let state = (seed * 2_654_435_761) >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}
