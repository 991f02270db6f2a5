/**
 * Decides what one site needs. Same input, same steps, in the same order: what must go first, then writes (namespaces and
 * definitions before what needs them), then deletions, then everything that stays or waits with its reason.
 */
import { byUtf16 } from '../model/json.ts'
import { refKey, type Manifest, type ObjectRef } from '../model/object.ts'
import { decide } from './decide.ts'
import { scaledBy } from './drift.ts'
import { link } from './link.ts'
import { prune, type Claims } from './prune.ts'
import type { DesiredObject, DesiredWorkload, PlanInput, Step } from './types.ts'

export function plan(input: PlanInput): readonly Step[] {
  const workloads = input.workloads.toSorted((a, b) => a.order - b.order || byUtf16(a.name, b.name))
  const owners = claimants(workloads, input)
  const uids = new Map<string, string>()
  for (const [key, entry] of input.inventory) if (entry.state === 'owned') uids.set(entry.uid, key)
  const context = { input, uids, scaled: scaledBy(autoscalers(workloads)) }
  const decided: Step[] = []
  for (const workload of workloads) {
    for (const object of workload.objects) {
      if (owners.get(refKey(object.ref)) === workload) decided.push(decide(workload, object, context))
      else decided.push(leftTo(owners.get(refKey(object.ref)), workload, object))
    }
  }
  const linked = link([...decided, ...neededNamespaces(decided, input)], input, workloads)
  const removed = prune(input, claimsOf(workloads, input))
  return [...linked, ...removed].toSorted(inOrder)
}

/**
 * Who may say what an object is. While one workload has yet to begin a release that gives the object away, the one that takes
 * it wins; where both claim it for good (an error that the hub refuses), it stays where it is.
 */
function claimants(workloads: readonly DesiredWorkload[], input: PlanInput): ReadonlyMap<string, DesiredWorkload> {
  const owners = new Map<string, DesiredWorkload>()
  const strength = (workload: DesiredWorkload, key: string): number => {
    const keeps = workload.reserved.length === 0 || reservedKeys(workload).has(key)
    return (keeps ? 2 : 0) + (input.inventory.get(key)?.workload === workload.name ? 1 : 0)
  }
  for (const workload of workloads) {
    for (const { ref } of workload.objects) {
      const key = refKey(ref)
      const other = owners.get(key)
      if (other === undefined || strength(workload, key) > strength(other, key)) owners.set(key, workload)
    }
  }
  return owners
}

const reservedCache = new WeakMap<DesiredWorkload, ReadonlySet<string>>()
function reservedKeys(workload: DesiredWorkload): ReadonlySet<string> {
  const known = reservedCache.get(workload)
  if (known !== undefined) return known
  const keys = new Set(workload.reserved.map(refKey))
  reservedCache.set(workload, keys)
  return keys
}

function leftTo(owner: DesiredWorkload | undefined, workload: DesiredWorkload, object: DesiredObject): Step {
  return {
    kind: 'leave',
    ref: object.ref,
    workload: workload.name,
    because: 'owned-by-another',
    differences: [],
    message: `workload ${owner?.name ?? 'another'} has it`,
  }
}

function autoscalers(workloads: readonly DesiredWorkload[]): readonly Manifest[] {
  return workloads.flatMap(({ objects }) =>
    objects.flatMap(({ ref, manifest }) =>
      ref.kind === 'HorizontalPodAutoscaler' && ref.group === 'autoscaling' && manifest !== null ? [manifest()] : [],
    ),
  )
}

function claimsOf(workloads: readonly DesiredWorkload[], input: PlanInput): Claims {
  const named = new Set<string>()
  const uids = new Set<string>()
  const namespaces = new Set<string>()
  const unread = new Set<string>()
  for (const { objects, reserved } of workloads) {
    for (const ref of [...objects.map((object) => object.ref), ...reserved]) {
      const key = refKey(ref)
      named.add(key)
      if (ref.namespace !== '') namespaces.add(ref.namespace)
      const live = input.actual.get(key)
      if (live === undefined) unread.add(`${ref.kind}/${ref.namespace}/${ref.name}`)
      else if (live?.metadata.uid !== undefined) uids.add(live.metadata.uid)
    }
  }
  return { named, uids, namespaces, unread }
}

/** Namespaces that objects to be made stand in, that nobody declares and that are not there: made by need, never ours to prune. */
function neededNamespaces(steps: readonly Step[], input: PlanInput): readonly Step[] {
  const declared = new Set(steps.map(({ ref }) => refKey(ref)))
  const needed = new Map<string, Step>()
  for (const step of steps) {
    if (step.kind !== 'create' || step.ref.namespace === '') continue
    const ref: ObjectRef = { group: '', kind: 'Namespace', namespace: '', name: step.ref.namespace }
    const key = refKey(ref)
    if (declared.has(key) || needed.has(key) || input.actual.get(key) !== null) continue
    const desired = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: ref.name } }
    const { workload, digest } = step
    needed.set(key, { kind: 'create', because: 'needed', ref, workload, digest, desired, needs: [] })
  }
  return [...needed.values()]
}

/** Before others of the same standing: what others lean on without saying so. Webhooks last: they judge what comes after them. */
const RANK: Readonly<Record<string, number>> = {
  Namespace: 0, CustomResourceDefinition: 1, PriorityClass: 2, StorageClass: 2, ResourceQuota: 2, LimitRange: 2,
  ServiceAccount: 3, ClusterRole: 4, Role: 4, ClusterRoleBinding: 5, RoleBinding: 5, Secret: 6, ConfigMap: 6,
  PersistentVolume: 7, PersistentVolumeClaim: 8, Service: 9, APIService: 20, ValidatingWebhookConfiguration: 21,
  MutatingWebhookConfiguration: 21,
} // prettier-ignore
const OTHER_RANK = 10

function inOrder(a: Step, b: Step): number {
  const phase = phaseOf(a) - phaseOf(b)
  if (phase !== 0) return phase
  const rank = rankOf(a) - rankOf(b)
  const sign = a.kind === 'delete' ? -1 : 1
  return sign * (rank !== 0 ? rank : byUtf16(refKey(a.ref), refKey(b.ref))) || byUtf16(a.workload, b.workload)
}

function rankOf(step: Step): number {
  return RANK[step.ref.kind] ?? OTHER_RANK
}

function phaseOf(step: Step): number {
  if (step.kind === 'delete') return step.when === 'first' ? 0 : 2
  return 'desired' in step ? 1 : 3
}
