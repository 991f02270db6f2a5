/** Made-up clusters for the scheduler's bench: nodes and pods as the API server would give them, every pod an object of its own. */
import type { JsonObject } from '../src/core/model/json.ts'

/** Small and fast (mulberry32); the same seed makes the same world. */
export function dice(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

export function node(
  name: string,
  cpu: number,
  memoryGi: number,
  pods: number,
  labels: Record<string, string>,
): JsonObject {
  return {
    metadata: { name, labels: { 'kubernetes.io/hostname': name, ...labels } },
    spec: {},
    status: { allocatable: { cpu: String(cpu), memory: `${memoryGi}Gi`, pods: String(pods) } },
  }
}

export interface PodShape {
  readonly namespace: string
  readonly owner: string
  readonly labels: Record<string, string>
  readonly cpuMilli: number
  readonly memoryMi: number
  /** More of the spec, as JSON text: every pod gets objects of its own. */
  readonly extra?: string
}

export function pod(name: string, shape: PodShape): JsonObject {
  return {
    metadata: {
      name,
      namespace: shape.namespace,
      uid: `${shape.namespace}-${name}`,
      labels: { ...shape.labels },
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: shape.owner, uid: shape.owner, controller: true },
      ],
    },
    spec: {
      schedulerName: 'flotilla',
      containers: [
        {
          name: 'main',
          image: 'registry.example/app',
          resources: { requests: { cpu: `${shape.cpuMilli}m`, memory: `${shape.memoryMi}Mi` } },
        },
      ],
      ...(shape.extra === undefined ? {} : (JSON.parse(shape.extra) as JsonObject)),
    },
    status: { phase: 'Pending' },
  }
}

const HOST = 'kubernetes.io/hostname'
const ZONE = 'topology.kubernetes.io/zone'

export function spread(app: string, key: string, maxSkew: number, when = 'DoNotSchedule'): JsonObject {
  return {
    topologySpreadConstraints: [
      { maxSkew, topologyKey: key, whenUnsatisfiable: when, labelSelector: { matchLabels: { app } } },
    ],
  }
}

export function near(app: string, key: string): JsonObject {
  return {
    affinity: {
      podAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [{ labelSelector: { matchLabels: { app } }, topologyKey: key }],
      },
    },
  }
}

export function apart(app: string, key: string): JsonObject {
  return {
    affinity: {
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [{ labelSelector: { matchLabels: { app } }, topologyKey: key }],
      },
    },
  }
}

export function onLabel(key: string, values: readonly string[]): JsonObject {
  return {
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchExpressions: [{ key, operator: 'In', values: [...values] }] }],
        },
      },
    },
  }
}

/**
 * One site: so many nodes and pods, the pods of so many distinct workloads, about 30 % of them under spread, affinity or anti-affinity.
 * Sizes of nodes, pods and workloads differ from seed to seed.
 */
export function site(
  seed: number,
  nodes: number,
  pods: number,
  classes: number,
): { nodes: JsonObject[]; pods: JsonObject[] } {
  const { nodes: worldNodes, workloads } = siteParts(seed, nodes, pods, classes)
  return { nodes: worldNodes, pods: workloads.flatMap((make) => make()) }
}

/** The same with the pods of each workload made when they are asked for: two million at once are more than a heap likes. */
export function siteParts(
  seed: number,
  nodes: number,
  pods: number,
  classes: number,
): { readonly nodes: JsonObject[]; readonly workloads: readonly (() => JsonObject[])[] } {
  const roll = dice(seed)
  const room = Math.ceil(pods / nodes)
  const zones = Math.min(3, nodes)
  const worldNodes = Array.from({ length: nodes }, (_, n) =>
    node(
      `s${seed}-n${n}`,
      Math.ceil(room * 0.14) + 4 + Math.floor(roll() * 4),
      Math.ceil(room * 0.16) + 8 + Math.floor(roll() * 8),
      room + 60 + Math.floor(roll() * 40),
      { [ZONE]: `z${n % zones}`, disk: roll() < 0.9 ? 'ssd' : 'hdd' },
    ),
  )
  const workloads = Array.from({ length: classes }, (_, c) => {
    const app = `app-${c}`
    const kind = roll()
    const share = Math.floor(((c + 1) * pods) / classes) - Math.floor((c * pods) / classes)
    let extra: JsonObject | undefined
    if (kind < 0.12) extra = spread(app, ZONE, 1 + Math.floor(roll() * 2))
    else if (kind < 0.2) extra = spread(app, HOST, 1 + Math.floor(roll() * 3))
    else if (kind < 0.26) extra = near(app, ZONE)
    else if (kind < 0.3) extra = apart(`${app}-rival`, HOST)
    const shape: PodShape = {
      namespace: `team-${c % 7}`,
      owner: `rs-${app}`,
      labels: { app, tier: `t${c % 3}` },
      cpuMilli: 10 + Math.floor(roll() * 100),
      memoryMi: 16 + Math.floor(roll() * 100),
      ...(extra === undefined ? {} : { extra: JSON.stringify(extra) }),
    }
    return () => Array.from({ length: share }, (_, k) => pod(`${app}-${k}`, shape))
  })
  return { nodes: worldNodes, workloads }
}
