/** Pods of what Flotilla runs at a site, found by the name of a workload, of a batch job, or their own. */
import { POD_LABELS } from '../../core/batch/types.ts'
import type { Inventory } from '../../core/diff/types.ts'
import type { Cluster } from '../../core/kube/cluster.ts'
import { formatSelector, toSelector } from '../../core/kube/selector.ts'
import { Fault } from '../../core/model/fault.ts'
import { isObject } from '../../core/model/json.ts'
import { type Manifest, type ObjectRef, type OwnerReference, groupOf } from '../../core/model/object.ts'
import type { LabelSelector } from '../../core/model/selector.ts'

export interface PodsPorts {
  readonly cluster: Cluster
  readonly inventory: () => Inventory
  /** Batch jobs of this site: names, and namespaces of their pods. */
  readonly jobs: () => readonly { readonly name: string; readonly namespace: string }[]
}

const POD = { apiVersion: 'v1', kind: 'Pod' } as const
const OWNERS: ReadonlySet<string> = new Set(['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'Job'])
/** Pod, ReplicaSet, Deployment; pod, Job, CronJob. */
const MOST_STEPS = 4

/** `till`, `batchjob.train`, `train`, `till-7d9f-x2v`, `shop/till-7d9f-x2v`. Fault NotFound: nothing of ours is called so. */
export async function podsOf(named: string, ports: PodsPorts, signal: AbortSignal): Promise<readonly Manifest[]> {
  const name = named.replace(/^(workload|pods?)\//, '')
  const inventory = ports.inventory()
  const owned = [...inventory.values()].filter(({ workload }) => workload === name)
  if (owned.length > 0) {
    const found = new Map<string, Manifest>()
    for (const { ref, apiVersion } of owned)
      for (const pod of await podsUnder(ref, apiVersion, ports.cluster, signal)) found.set(pod.metadata.uid ?? '', pod)
    return [...found.values()].toSorted(byName)
  }
  const job = ports.jobs().find((one) => one.name === name.replace(/^batchjob\./, ''))
  if (job !== undefined) {
    const query = { ...POD, namespace: job.namespace, labelSelector: `${POD_LABELS.job}=${job.name}` }
    return (await ports.cluster.list(query, signal)).items.toSorted(byName)
  }
  return [await podNamed(name, ports, signal)]
}

async function podsUnder(
  ref: ObjectRef,
  apiVersion: string,
  cluster: Cluster,
  signal: AbortSignal,
): Promise<readonly Manifest[]> {
  if (ref.kind === 'Pod' && ref.group === '') {
    const pod = await cluster.get(POD, ref, signal)
    return pod === undefined ? [] : [pod]
  }
  if (ref.kind === 'CronJob') return podsOfCron(ref, apiVersion, cluster, signal)
  if (!OWNERS.has(ref.kind)) return []
  const live = await cluster.get({ apiVersion, kind: ref.kind }, ref, signal)
  return live === undefined ? [] : selected(live, cluster, signal)
}

async function selected(owner: Manifest, cluster: Cluster, signal: AbortSignal): Promise<readonly Manifest[]> {
  const spec = isObject(owner['spec']) ? owner['spec'] : {}
  const read = toSelector((spec['selector'] ?? null) as LabelSelector | null, 'kubernetes')
  const labelSelector = read.ok ? formatSelector(read.selector) : undefined
  const { namespace } = owner.metadata
  // No selector would be all pods of the namespace.
  if (labelSelector === undefined || labelSelector === '' || namespace === undefined) return []
  return (await cluster.list({ ...POD, namespace, labelSelector }, signal)).items
}

async function podsOfCron(
  ref: ObjectRef,
  apiVersion: string,
  cluster: Cluster,
  signal: AbortSignal,
): Promise<readonly Manifest[]> {
  const cron = await cluster.get({ apiVersion, kind: ref.kind }, ref, signal)
  const { items } = await cluster.list({ apiVersion, kind: 'Job', namespace: ref.namespace }, signal)
  const pods: Manifest[] = []
  for (const job of items)
    if (controllerOf(job)?.uid === cron?.metadata.uid) pods.push(...(await selected(job, cluster, signal)))
  return pods
}

async function podNamed(named: string, ports: PodsPorts, signal: AbortSignal): Promise<Manifest> {
  const { cluster } = ports
  const slash = named.indexOf('/')
  const [namespace, name] = slash < 0 ? [undefined, named] : [named.slice(0, slash), named.slice(slash + 1)]
  const query = { ...POD, ...(namespace === undefined ? {} : { namespace }), fieldSelector: `metadata.name=${name}` }
  const { items } = await cluster.list(query, signal)
  const ours: Manifest[] = []
  for (const pod of items) if (await isOurs(pod, ports, signal)) ours.push(pod)
  const [pod] = ours
  if (pod !== undefined && ours.length === 1) return pod
  if (ours.length > 1)
    throw new Fault('InvalidInput', `${name} is a pod in ${ours.map(spaceOf).join(' and ')}: name it NAMESPACE/POD`)
  const there = items.length > 0 ? ', and the pod of that name is nothing that Flotilla runs here' : ''
  throw new Fault('NotFound', `${named} is no workload, no batch job and no pod of ours${there}`)
}

const spaceOf = ({ metadata }: Manifest): string => metadata.namespace ?? ''

/** Up the owners to something that the inventory has, or a batch job's. */
async function isOurs(pod: Manifest, ports: PodsPorts, signal: AbortSignal): Promise<boolean> {
  const job = pod.metadata.labels?.[POD_LABELS.job]
  if (job !== undefined && ports.jobs().some(({ name, namespace }) => name === job && namespace === spaceOf(pod)))
    return true
  const uids = new Set([...ports.inventory().values()].flatMap((entry) => (entry.state === 'owned' ? entry.uid : [])))
  let at: Manifest | undefined = pod
  for (let step = 0; step < MOST_STEPS && at !== undefined; step++) {
    if (at.metadata.uid !== undefined && uids.has(at.metadata.uid)) return true
    const owner: OwnerReference | undefined = controllerOf(at)
    if (owner === undefined) return false
    if (uids.has(owner.uid)) return true
    const { kind, name, apiVersion } = owner
    const ref = { group: groupOf(apiVersion), kind, name, namespace: spaceOf(pod) }
    at = await ports.cluster.get({ apiVersion, kind }, ref, signal)
  }
  return false
}

function controllerOf({ metadata }: Manifest): OwnerReference | undefined {
  return metadata.ownerReferences?.find(({ controller }) => controller === true)
}

function byName(a: Manifest, b: Manifest): number {
  return a.metadata.name < b.metadata.name ? -1 : a.metadata.name > b.metadata.name ? 1 : 0
}
