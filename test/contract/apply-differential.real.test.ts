/** Seeded runs of several managers over one object, on the simulated and on a real API server: the same objects, owners and faults. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openCluster } from '../../src/adapters/cluster/kube-cluster.ts'
import type { Cluster } from '../../src/core/kube/cluster.ts'
import { Fault } from '../../src/core/model/fault.ts'
import { isObject, type Json, type JsonObject } from '../../src/core/model/json.ts'
import { refOf, type Manifest } from '../../src/core/model/object.ts'
import { VirtualClock } from '../../src/sim/clock.ts'
import { SimCluster } from '../../src/sim/cluster.ts'
import { seededRandom } from '../../src/sim/random.ts'
import { startControlPlane, type ControlPlane } from '../kube/control-plane.ts'

const RUNS = 60
const STEPS = 8
const signal = new AbortController().signal
let plane: ControlPlane
let real: Cluster
const simulated = new SimCluster({ clock: new VirtualClock(), controllers: 'off' })

beforeAll(async () => {
  plane = await startControlPlane()
  real = await openCluster({ from: 'kubeconfig', path: plane.kubeconfig })
})
afterAll(async () => {
  await real?.close()
  await plane?.stop()
})

type Step =
  | { readonly verb: 'apply'; readonly manager: string; readonly force: boolean; readonly object: Manifest }
  | { readonly verb: 'patch'; readonly manager: string; readonly object: Manifest; readonly patch: JsonObject }

function steps(seed: number): readonly Step[] {
  const random = seededRandom(seed)
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T
  const some = <T>(from: readonly T[]): readonly T[] => from.filter(() => random() < 0.5)
  const maybe = (share: number, value: () => JsonObject): JsonObject => (random() < share ? value() : {})
  const labels = (): JsonObject => Object.fromEntries(some(['a', 'b', 'c']).map((key) => [key, pick(['1', '2'])]))
  const meta = (): JsonObject => ({
    name: `run-${seed}`,
    namespace: 'default',
    ...maybe(0.6, () => ({ labels: labels() })),
    ...maybe(0.4, () => ({ annotations: Object.fromEntries(some(['x', 'y']).map((key) => [key, pick(['1', '2'])])) })),
    ...maybe(0.2, () => ({ finalizers: some(['a.example/f', 'b.example/g']) })),
  })
  const container = (name: string): JsonObject => ({
    name,
    image: pick(['app:1', 'app:2']),
    ...maybe(0.5, () => ({ env: some(['A', 'B', 'C']).map((key) => ({ name: key, value: pick(['1', '2']) })) })),
    ...maybe(0.4, () => ({
      ports: some([80, 443]).map((containerPort) => ({ containerPort, ...maybe(0.5, () => ({ protocol: 'TCP' })) })),
    })),
    ...maybe(0.3, () => ({ args: some(['--a', '--b']) })),
    ...maybe(0.3, () => ({ readinessProbe: { httpGet: { port: pick([80, 81]) } } })),
    ...maybe(0.3, () => ({ resources: { limits: { cpu: pick(['1', '2']) } } })),
  })
  const deployment = (): Manifest => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: meta() as Manifest['metadata'],
    spec: {
      ...maybe(0.5, () => ({ replicas: pick([1, 2]) })),
      ...maybe(0.3, () => ({ minReadySeconds: pick([5, 6]) })),
      ...maybe(0.3, () => ({ strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: pick([1, 2]) } } })),
      selector: { matchLabels: { app: 'x' } },
      template: {
        metadata: { labels: { app: 'x', ...maybe(0.3, () => ({ v: pick(['1', '2']) })) } },
        spec: {
          containers: ['web', ...some(['side', 'log'])].map((name) => container(name)),
          ...maybe(0.3, () => ({ nodeSelector: { zone: pick(['a', 'b']) } })),
          ...maybe(0.4, () => ({ volumes: some(['v', 'w']).map((name) => ({ name, emptyDir: {} })) })),
        },
      },
    },
  })
  const configMap = (): Manifest => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: meta() as Manifest['metadata'],
    data: labels(),
  })
  const service = (): Manifest => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: meta() as Manifest['metadata'],
    spec: {
      clusterIP: 'None',
      selector: { app: 'x', ...labels() },
      ports: [53, ...some([80])].flatMap((port) =>
        some(['TCP', 'UDP']).map((protocol) => ({
          name: `p${port}-${protocol.toLowerCase()}`,
          port,
          protocol,
          ...maybe(0.4, () => ({ targetPort: pick([1053, 2053]) })),
        })),
      ),
    },
  })
  const make = pick([deployment, configMap, service])
  return Array.from({ length: STEPS }, (): Step => {
    const manager = pick(['flotilla', 'other', 'third'])
    const object = make()
    if (random() < 0.75) return { verb: 'apply', manager, force: random() < 0.5, object }
    const patch =
      make === configMap ? { data: { a: pick(['1', '2', null]) } } : { metadata: { labels: { a: pick(['1', null]) } } }
    return { verb: 'patch', manager: 'kubectl-edit', object, patch }
  })
}

async function perform(cluster: Cluster, step: Step): Promise<string> {
  try {
    const { manager, object } = step
    const result =
      step.verb === 'apply'
        ? await cluster.apply(object, { fieldManager: manager, force: step.force }, signal)
        : await cluster.patch(object, refOf(object), step.patch, { fieldManager: manager }, signal)
    return JSON.stringify(comparable(result), null, 1)
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    const sorted = (text: unknown): string => String(text).split(',').toSorted().join(',')
    return error.reason === 'FieldConflict'
      ? `FieldConflict ${sorted(error.facts['manager'])} ${sorted(error.facts['fields'])}`
      : error.reason
  }
}

/** Without identity, times and status; owners by name, keys in order. */
function comparable(object: Manifest): Json {
  const { uid: _, resourceVersion: __, creationTimestamp: ___, managedFields, ...metadata } = object.metadata
  const owners = (managedFields ?? []).filter(isObject).map(({ time: _time, ...entry }) => entry)
  const byOwner = owners.toSorted((a, b) => ((a['manager'] as string) < (b['manager'] as string) ? -1 : 1))
  const { status: _status, ...rest } = object
  return ordered({
    ...rest,
    metadata: { ...metadata, finalizers: metadata.finalizers?.toSorted(), managedFields: byOwner },
  })
}

function ordered(value: Json): Json {
  if (Array.isArray(value)) return (value as readonly Json[]).map((item) => ordered(item))
  if (!isObject(value)) return value
  const keys = Object.keys(value).filter((key) => value[key] !== undefined)
  return Object.fromEntries(keys.toSorted().map((key) => [key, ordered(value[key] as Json)]))
}

test.each(Array.from({ length: RUNS }, (_, i) => i + 1))('seed %i', async (seed) => {
  const trail: string[] = []
  for (const step of steps(seed)) {
    trail.push(JSON.stringify(step))
    const [ours, theirs] = [await perform(simulated, step), await perform(real, step)]
    expect(ours, `seed ${seed} after\n${trail.join('\n')}`).toBe(theirs)
  }
})
