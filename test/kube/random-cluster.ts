/** Random clusters and pods for the scheduler: valid for an API server, and such that every filter has something to refuse. */
import type { JsonObject } from '../../src/core/model/json.ts'
import { randomOf } from './random.ts'
import { randomVolumes } from './random-volumes.ts'

export interface RandomCluster {
  readonly namespaces: readonly JsonObject[]
  readonly nodes: readonly JsonObject[]
  readonly storage: readonly JsonObject[]
  readonly claims: readonly JsonObject[]
  /** On nodes already; `status` is to be set once they are there. */
  readonly placed: readonly JsonObject[]
  /** Of claims and placed pods, those that are to be deleted once they are there, and stay for a while. */
  readonly leaving: readonly JsonObject[]
  /** To be judged. */
  readonly asking: readonly JsonObject[]
}

const ZONE = 'topology.kubernetes.io/zone'
const HOST = 'kubernetes.io/hostname'
const APPS = ['a', 'b', 'c'] as const

export function randomCluster(seed: number, size = { nodes: 8, placed: 20, asking: 60 }): RandomCluster {
  const random = randomOf(seed)
  const { chance, int, pick } = random
  const name = (kind: string, k: number): string => `${kind}-${seed}-${k}`

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
      ...(chance(0.4) ? { 'hugepages-2Mi': '64Mi' } : {}),
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
    ...(chance(0.1) ? { mismatchLabelKeys: ['build'] } : {}),
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
      ? {
          matchFields: [{ key: 'metadata.name', operator: pick(['In', 'NotIn']), values: [name('node', int(0, size.nodes - 1))] }], // prettier-ignore
          ...(chance(0.4) ? { matchExpressions: [nodeRequirement()] } : {}),
        }
      : { matchExpressions: [nodeRequirement(), ...(chance(0.3) ? [nodeRequirement()] : [])] }
  const spread = (): JsonObject => ({
    maxSkew: int(1, 2),
    topologyKey: pick([ZONE, HOST, 'disk']),
    whenUnsatisfiable: chance(0.85) ? 'DoNotSchedule' : 'ScheduleAnyway',
    labelSelector: selector(),
    ...(chance(0.3) ? { nodeAffinityPolicy: pick(['Honor', 'Ignore']) } : {}),
    ...(chance(0.3) ? { nodeTaintsPolicy: pick(['Honor', 'Ignore']) } : {}),
    ...(chance(0.2) ? { matchLabelKeys: ['release'] } : {}),
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

  const volumes = randomVolumes(
    seed,
    random,
    nodes.map(({ metadata }) => metadata.labels),
  )
  const labels = (): JsonObject => ({
    app: pick(APPS),
    ...(chance(0.4) ? { tier: pick(['x', 'y']) } : {}),
    ...(chance(0.5) ? { release: pick(['1', '2']) } : {}),
    ...(chance(0.3) ? { build: pick(['1', '2']) } : {}),
  })
  /** A resize in flight: what the kubelet gave it, and what runs, are not what it asks for. */
  const resized = (): JsonObject => ({
    ...(chance(0.4) ? { conditions: [{ type: 'PodResizePending', status: 'True', reason: pick(['Infeasible', 'Deferred']) }] } : {}), // prettier-ignore
    containerStatuses: [
      {
        name: 'c',
        image: 'none',
        imageID: '',
        ready: true,
        restartCount: 0,
        allocatedResources: { cpu: pick(['100m', '1500m']) },
        resources: { requests: { cpu: pick(['50m', '1']) } },
      },
    ],
  })
  /** kube-scheduler keeps ports in a set: of two pods that hold one port, which no kubelet would admit, the first to go frees it. */
  const held = new Set<string>()
  const freePort = (node: string): JsonObject[] => {
    const one = port()
    const key = `${node} ${JSON.stringify(one['hostPort'])}`
    return held.has(key) ? [] : (held.add(key), [one])
  }
  const placed = Array.from({ length: size.placed }, (_, k) => {
    const node = name('node', int(0, size.nodes - 1))
    const namespace = chance(0.8) ? 'default' : `other-${seed}`
    const phase = chance(0.15) ? pick(['Succeeded', 'Failed']) : 'Running'
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: name('placed', k), namespace, labels: labels() },
      spec: {
        nodeName: node,
        containers: [
          {
            name: 'c',
            image: 'none',
            resources: requests(chance(0.3)),
            ...(chance(0.3) ? { ports: freePort(node) } : {}),
          },
        ],
        ...(chance(0.1)
          ? { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [podTerm()] } } }
          : {}),
        ...(namespace === 'default' && chance(0.4)
          ? { volumes: [{ name: 'v', persistentVolumeClaim: { claimName: volumes.boundClaim(k) } }] }
          : {}),
      },
      status: { phase, ...(chance(0.2) ? resized() : {}) },
    }
  })
  const usedClaims = volumes.claims.map(({ metadata }) => metadata.name)

  /** The pod as a whole asks for more than its containers do. */
  const podLevel = (): JsonObject =>
    pick<JsonObject>([
      { requests: { cpu: pick(['1', '2']) } },
      { requests: { cpu: '1500m', memory: pick(['1Gi', '3Gi']) } },
      { limits: { cpu: '2', memory: '2Gi' } },
    ])
  const asking = Array.from({ length: size.asking }, (_, k) => {
    const wants = (p: number): boolean => chance(p)
    const whole = chance(0.12)
    const hostNetwork = chance(0.05)
    const container = (at: number): JsonObject => ({
      name: `c${at}`,
      image: 'none',
      resources:
        at === 0 && !whole && chance(0.08)
          ? { requests: { cpu: '100m' }, limits: { 'hugepages-2Mi': pick(['32Mi', '128Mi']) } }
          : requests(!whole && chance(0.35)),
      ...(at === 0 && wants(0.25) ? { ports: [hostNetwork ? { containerPort: 8000 + int(0, 1) } : port()] } : {}),
    })
    const init = [
      ...(chance(0.15) ? [{ name: 'setup', image: 'none', resources: requests(!whole && chance(0.5)) }] : []),
      ...(chance(0.15)
        ? [{ name: 'sidecar', image: 'none', restartPolicy: 'Always', resources: requests(!whole && chance(0.3)), ...(chance(0.3) && !hostNetwork ? { ports: [port()] } : {}) }] // prettier-ignore
        : []),
    ]
    const affinity = {
      ...(wants(0.25)
        ? { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [nodeTerm(), ...(chance(0.4) ? [nodeTerm()] : [])] } } } // prettier-ignore
        : {}),
      ...(wants(0.22) ? { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [podTerm()] } } : {}),
      ...(wants(0.25) ? { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [podTerm()] } } : {}),
    }
    const claims = wants(0.5) ? [volumes.claim(k), ...(chance(0.3) ? [volumes.claim(k + size.asking)] : [])] : []
    if (claims.length > 0 && usedClaims.length > 0 && chance(0.2)) claims[0] = pick(usedClaims)
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: name('asks', k), namespace: 'default', labels: labels() },
      spec: {
        schedulerName: 'asked',
        ...(hostNetwork ? { hostNetwork } : {}),
        ...(whole ? { resources: podLevel() } : {}),
        containers: [container(0), ...(chance(0.3) ? [container(1)] : [])],
        ...(init.length > 0 ? { initContainers: init } : {}),
        ...(Object.keys(affinity).length > 0 ? { affinity } : {}),
        ...(chance(0.15) ? { nodeSelector: { disk: pick(['ssd', 'hdd']) } } : {}),
        ...(wants(0.25)
          ? { topologySpreadConstraints: [spread(), ...(chance(0.25) ? [spread()] : [])].filter(isFirstOfKey).map(minDomains) } // prettier-ignore
          : {}),
        ...(chance(0.4)
          ? { tolerations: [pick<JsonObject>([{ operator: 'Exists' }, { key: 'dedicated', operator: 'Exists' }, { key: 'dedicated', value: pick(APPS), effect: 'NoSchedule' }, { key: 'dedicated', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 60 }, { key: 'node.kubernetes.io/unschedulable', operator: 'Exists' }])] } // prettier-ignore
          : {}),
        ...(claims.length > 0
          ? { volumes: claims.map((claimName, v) => ({ name: `v${v}`, persistentVolumeClaim: { claimName } })) }
          : {}),
      },
    }
  })

  const namespaces = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: `other-${seed}`, labels: { team: pick(['x', 'y']) } } },
  ]
  const leaving = [...volumes.leaving, ...placed.filter(({ status }) => status.phase === 'Running' && chance(0.15))]
  return { namespaces, nodes, storage: volumes.storage, claims: volumes.claims, placed, leaving, asking }
}

function isFirstOfKey(one: JsonObject, at: number, all: readonly JsonObject[]): boolean {
  return all.findIndex((other) => other['topologyKey'] === one['topologyKey']) === at
}
