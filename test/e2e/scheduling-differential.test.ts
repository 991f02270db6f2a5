/**
 * The scheduler core against a real kube-scheduler: for random clusters and pods, the same nodes are allowed, so the same pods can be
 * scheduled, and ours are put on allowed nodes only. `SEEDS=200 FIRST_SEED=1000` tries more.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openCluster } from '../../src/adapters/cluster/kube-cluster.ts'
import type { Cluster } from '../../src/core/kube/cluster.ts'
import type { JsonObject } from '../../src/core/model/json.ts'
import type { Manifest } from '../../src/core/model/object.ts'
import { createScheduler } from '../../src/core/scheduler/scheduler.ts'
import { startControlPlane, type ControlPlane } from '../kube/control-plane.ts'
import { startFeasible, type Feasible } from '../kube/feasible.ts'
import { randomCluster } from '../kube/random-cluster.ts'
import { eventually } from './fleet.ts'

const SEEDS = Number(process.env['SEEDS'] ?? 6)
const FIRST_SEED = Number(process.env['FIRST_SEED'] ?? 1)
const never = new AbortController().signal

let plane: ControlPlane
let cluster: Cluster
let feasible: Feasible

beforeAll(async () => {
  plane = await startControlPlane()
  cluster = await openCluster({ from: 'kubeconfig', path: plane.kubeconfig })
  feasible = await startFeasible(plane)
})
afterAll(async () => {
  await feasible?.[Symbol.asyncDispose]()
  await cluster?.close()
  await plane?.stop()
})

const KINDS = [
  ['v1', 'Namespace', 'namespaces'],
  ['v1', 'Node', 'nodes'],
  ['storage.k8s.io/v1', 'StorageClass', 'storageClasses'],
  ['v1', 'PersistentVolume', 'persistentVolumes'],
  ['v1', 'PersistentVolumeClaim', 'persistentVolumeClaims'],
  ['storage.k8s.io/v1', 'CSINode', 'csiNodes'],
  ['storage.k8s.io/v1', 'CSIDriver', 'csiDrivers'],
  ['storage.k8s.io/v1', 'CSIStorageCapacity', 'csiStorageCapacities'],
  ['v1', 'Pod', 'pods'],
] as const

async function create(objects: readonly JsonObject[]): Promise<readonly Manifest[]> {
  return Promise.all(objects.map((object) => cluster.create(object as Manifest, {}, never)))
}

/** Nodes as they are meant: what admission and creation did to taints and status is undone. */
async function createNodes(nodes: readonly JsonObject[]): Promise<void> {
  await Promise.all(
    nodes.map(async (node) => {
      const { metadata } = await cluster.create(node as Manifest, {}, never)
      const ref = { group: '', kind: 'Node', namespace: '', name: metadata.name }
      const { spec, status } = node as { spec: { taints: JsonObject[] }; status: JsonObject }
      await cluster.patch({ apiVersion: 'v1', kind: 'Node' }, ref, { spec: { taints: spec.taints } }, {}, never)
      await cluster.subresource({ apiVersion: 'v1', kind: 'Node' }, ref, 'status', { status }, never)
    }),
  )
}

/** The part of the volume controller, and of the kubelet. */
async function setStatus(object: JsonObject): Promise<void> {
  const { kind, apiVersion, metadata, status } = object as Manifest & { readonly status?: JsonObject }
  if (status === undefined) return
  const { namespace = '', name } = metadata
  await cluster.subresource({ apiVersion, kind }, { group: '', kind, namespace, name }, 'status', { status }, never)
}

function messageOf(pod: Manifest): string {
  const { conditions = [] } = pod['status'] as { readonly conditions?: readonly { readonly type: string; readonly message?: string }[] } // prettier-ignore
  return conditions.find(({ type }) => type === 'PodScheduled')?.message ?? 'none'
}

/** What a difference can come from, without what admission filled in. */
function specText(pod: Manifest, claims: readonly JsonObject[]): string {
  const { containers, initContainers, affinity, nodeSelector, tolerations, topologySpreadConstraints, volumes } = pod['spec'] as JsonObject // prettier-ignore
  const own = claims.filter((claim) => JSON.stringify(volumes ?? '').includes(`"${(claim as Manifest).metadata.name}"`))
  return JSON.stringify({ containers, initContainers, affinity, nodeSelector, tolerations, topologySpreadConstraints, own }) // prettier-ignore
}

/** Deleted, and held by a finalizer or by a kubelet that does not come. */
async function leave(object: JsonObject): Promise<void> {
  const { kind, metadata } = object as Manifest
  await cluster.delete(object as Manifest, { group: '', kind, namespace: metadata.namespace ?? '', name: metadata.name }, {}, never) // prettier-ignore
}

async function remove(objects: readonly JsonObject[]): Promise<void> {
  await Promise.all(
    (objects as readonly Manifest[]).map(async (object) => {
      const { namespace = '', name } = object.metadata
      const group = object.apiVersion === 'v1' ? '' : object.apiVersion.slice(0, object.apiVersion.indexOf('/'))
      const ref = { group, kind: object.kind, namespace, name }
      if (object.metadata.finalizers !== undefined || object.kind.startsWith('PersistentVolume'))
        await cluster.patch(object, ref, { metadata: { finalizers: null } }, {}, never)
      await cluster.delete(object, ref, { gracePeriodSeconds: 0 }, never)
    }),
  )
}

test(
  `${SEEDS} random clusters: the same nodes are allowed as by kube-scheduler`,
  { timeout: SEEDS * 60_000 },
  async () => {
    const refusedBy = new Map<string, number>()
    let pods = 0
    let unschedulable = 0
    const differences: string[] = []
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
      const world = randomCluster(seed)
      await create(world.namespaces)
      await createNodes(world.nodes)
      await create(world.storage)
      await Promise.all(world.storage.map(setStatus))
      await create(world.claims)
      await create(world.placed)
      await Promise.all(world.placed.map(setStatus))
      await Promise.all(world.leaving.map(leave))
      const asking = await create(world.asking)
      const judged = (object: Manifest): boolean =>
        ((object['status'] as { conditions?: readonly JsonObject[] }).conditions ?? []).some(
          (condition) => condition['type'] === 'PodScheduled' && condition['status'] === 'False',
        )
      await eventually(`kube-scheduler judged all pods of seed ${seed}`, async () => {
        const { items } = await cluster.list({ apiVersion: 'v1', kind: 'Pod', namespace: 'default', fieldSelector: 'spec.schedulerName=asked' }, never) // prettier-ignore
        return items.length === asking.length && items.every(judged)
      })
      const snapshot: Record<string, readonly JsonObject[]> = {}
      for (const [apiVersion, kind, field] of KINDS)
        snapshot[field] = (await cluster.list({ apiVersion, kind }, never)).items
      const nodes = (snapshot['nodes'] as readonly Manifest[]).map(({ metadata }) => metadata.name)
      const scheduler = createScheduler(
        { schedulerNames: ['asked'] },
        { ...snapshot, nodes: snapshot['nodes'] ?? [], pods: snapshot['pods'] ?? [] },
      )
      const alone = createScheduler(
        { schedulerNames: ['asked'] },
        {
          ...snapshot,
          nodes: snapshot['nodes'] ?? [],
          pods: (snapshot['pods'] ?? []).filter((one) => (one['spec'] as JsonObject)['schedulerName'] !== 'asked'),
        },
      )
      for (const { metadata } of asking) {
        const { name, uid = '' } = metadata
        const verdicts = nodes.map((node) => ({
          node,
          verdict: scheduler.verdict({ namespace: 'default', name }, node),
        }))
        const ours = verdicts.filter(({ verdict }) => verdict.fits).map(({ node }) => node)
        const theirs = feasible.nodes.get(uid) ?? []
        pods++
        if (theirs.length === 0) unschedulable++
        for (const refusal of new Set(verdicts.flatMap(({ verdict }) => verdict.refusals)))
          refusedBy.set(refusal, (refusedBy.get(refusal) ?? 0) + 1)
        const object = (snapshot['pods'] as readonly Manifest[]).find((one) => one.metadata.uid === uid) as Manifest
        if (ours.toSorted().join() !== theirs.toSorted().join()) {
          const odd = nodes.filter((node) => ours.includes(node) !== theirs.includes(node))
          const why = verdicts.filter(({ node }) => odd.includes(node)).map(({ node, verdict }) => `${node}: ours ${verdict.fits ? 'yes' : verdict.reasons.join(', ')}`) // prettier-ignore
          differences.push(`seed ${seed} ${name}: ${why.join('; ')}; kube-scheduler ${theirs.join(' ') || messageOf(object)}\n${specText(object, world.claims)}`) // prettier-ignore
          continue
        }
        const { binds } = alone.tryOut({ pods: [object] }, 1)
        const node = binds[0]?.node ?? ''
        if (theirs.length === 0 ? binds.length > 0 : !theirs.includes(node))
          differences.push(`seed ${seed} ${name}: bound to "${node}", allowed ${theirs.join(' ') || 'none'}`)
      }
      await remove([...asking, ...world.placed, ...world.claims, ...world.storage, ...world.nodes])
      await eventually('the cluster is empty again', async () => {
        const left = await Promise.all([
          cluster.list({ apiVersion: 'v1', kind: 'Pod' }, never),
          cluster.list({ apiVersion: 'v1', kind: 'PersistentVolume' }, never),
        ])
        return left.every(({ items }) => items.length === 0)
      })
    }
    const share = (count: number): string => `${Math.round((100 * count) / pods)} %`
    console.log(
      `seeds ${FIRST_SEED}…${FIRST_SEED + SEEDS - 1}: ${pods} pods, ${share(unschedulable)} unschedulable; refused somewhere by ` +
      [...refusedBy].toSorted((a, b) => b[1] - a[1]).map(([refusal, count]) => `${refusal} ${share(count)}`).join(', '), // prettier-ignore
    )
    expect(differences.slice(0, 10)).toEqual([])
    expect(unschedulable / pods).toBeGreaterThanOrEqual(0.2)
    for (const refusal of [
      'Taint',
      'Unschedulable',
      'NodeAffinity',
      'Ports',
      'Resources',
      'Spread',
      'Affinity',
      'AntiAffinity',
      'ExistingAntiAffinity',
      'VolumeNode',
      'VolumeBinding',
    ])
      // prettier-ignore
      expect([refusal, (refusedBy.get(refusal) ?? 0) / pods >= 0.1]).toEqual([refusal, true])
  },
)
