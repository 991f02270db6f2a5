/** ReplicaSets: as many pods as asked for, and how many of them are there, ready and available. */
import type { JsonObject } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'
import { isReady } from '../pod-verbs.ts'
import {
  agendaKey,
  condition,
  create,
  ownedBy,
  ownerReference,
  POD,
  put,
  remove,
  REPLICA_SET,
  specOf,
  statusOf,
  type Desk,
} from './desk.ts'

/** Pods of a controller that are not on their way out. */
export function livePods(desk: Desk, owner: Manifest): readonly Manifest[] {
  return ownedBy(desk, POD, owner).filter((pod) => {
    const phase = statusOf(pod)['phase']
    return pod.metadata.deletionTimestamp === undefined && phase !== 'Failed' && phase !== 'Succeeded'
  })
}

/** Ready for `minReadySeconds`; asks to be called again when a pod will have been. */
export function isAvailable(desk: Desk, owner: Manifest, pod: Manifest): boolean {
  if (!isReady(pod)) return false
  const needMs = Number(specOf(owner)['minReadySeconds'] ?? 0) * 1000
  if (needMs === 0) return true
  const sinceMs = desk.wallMs() - Date.parse(condition(pod, 'Ready')?.['lastTransitionTime'] as string)
  if (sinceMs >= needMs) return true
  desk.later(agendaKey(keyOf(owner), owner), needMs - sinceMs)
  return false
}

function keyOf(owner: Manifest): string {
  return `${owner.apiVersion.includes('/') ? owner.apiVersion.split('/')[0] : ''}/${owner.kind}`
}

/** The object of a pod made from a template. */
export function podFrom(
  owner: Manifest,
  name: string,
  extraLabels: Readonly<Record<string, string>> = {},
  extraSpec: JsonObject = {},
): JsonObject {
  const template = specOf(owner)['template'] as JsonObject
  const metadata = (template['metadata'] ?? {}) as JsonObject
  const annotations = metadata['annotations'] as JsonObject | undefined
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: owner.metadata.namespace,
      labels: { ...(metadata['labels'] as JsonObject | undefined), ...extraLabels },
      ...(annotations === undefined ? {} : { annotations }),
      ownerReferences: [ownerReference(owner)],
    },
    spec: { ...(template['spec'] as JsonObject), ...extraSpec },
  }
}

/** Unready before ready, young before old: what is missed least goes first. */
export function leastMissed(pods: readonly Manifest[]): readonly Manifest[] {
  return pods.toSorted(
    (a, b) =>
      Number(isReady(a)) - Number(isReady(b)) ||
      Number(b.metadata.resourceVersion) - Number(a.metadata.resourceVersion),
  )
}

export function reconcileReplicaSet(desk: Desk, set: Manifest): void {
  if (set.metadata.deletionTimestamp !== undefined) return
  const wanted = Number(specOf(set)['replicas'] ?? 1)
  let pods = livePods(desk, set)
  for (let missing = wanted - pods.length; missing > 0; missing--) create(desk, podFrom(set, freeName(desk, set)))
  for (const pod of leastMissed(pods).slice(0, Math.max(0, pods.length - wanted))) remove(desk, pod)
  pods = livePods(desk, set)
  const ready = pods.filter((pod) => isReady(pod)).length
  const available = pods.filter((pod) => isAvailable(desk, set, pod)).length
  const status: JsonObject = {
    replicas: pods.length,
    observedGeneration: set.metadata.generation ?? 1,
    ...(pods.length > 0 ? { fullyLabeledReplicas: pods.length } : {}),
    ...(ready > 0 ? { readyReplicas: ready } : {}),
    ...(available > 0 ? { availableReplicas: available } : {}),
  }
  const live = desk.server.storage.get(REPLICA_SET, `${set.metadata.namespace ?? ''}/${set.metadata.name}`)
  if (live !== undefined && JSON.stringify(statusOf(live)) !== JSON.stringify(status)) put(desk, { ...live, status })
}

const LETTERS = 'bcdfghjklmnpqrstvwxz2456789'

/** The set's name and five letters that no pod of it has. */
function freeName(desk: Desk, set: Manifest): string {
  for (let n = Number(desk.server.storage.version); ; n++) {
    let mixed = Math.imul(n, 0x9e3779b1) >>> 0
    let suffix = ''
    for (let i = 0; i < 5; i++) {
      suffix += LETTERS[mixed % 27]
      mixed = Math.floor(mixed / 27)
    }
    const name = `${set.metadata.name}-${suffix}`
    if (desk.server.storage.get(POD, `${set.metadata.namespace ?? ''}/${name}`) === undefined) return name
  }
}
