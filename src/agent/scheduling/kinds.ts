/** What the scheduler looks at. Everything small is listed first, so that pods come into a world that knows its nodes and volumes. */
import type { ListQuery } from '../../core/kube/cluster.ts'
import type { ObjectKind } from '../../core/scheduler/types.ts'

/** A pod that has ended takes no room: it leaves this list as one that is deleted. */
export const LIVE_PODS = 'status.phase!=Succeeded,status.phase!=Failed'

export interface Watched {
  readonly kind: ObjectKind
  readonly query: ListQuery
}

export const SURROUNDINGS: readonly Watched[] = [
  { kind: 'Namespace', query: { apiVersion: 'v1', kind: 'Namespace', metadataOnly: true } },
  { kind: 'PriorityClass', query: { apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass' } },
  { kind: 'StorageClass', query: { apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass' } },
  { kind: 'PersistentVolume', query: { apiVersion: 'v1', kind: 'PersistentVolume' } },
  { kind: 'PersistentVolumeClaim', query: { apiVersion: 'v1', kind: 'PersistentVolumeClaim' } },
  { kind: 'CSINode', query: { apiVersion: 'storage.k8s.io/v1', kind: 'CSINode' } },
  { kind: 'CSIDriver', query: { apiVersion: 'storage.k8s.io/v1', kind: 'CSIDriver' } },
  { kind: 'CSIStorageCapacity', query: { apiVersion: 'storage.k8s.io/v1', kind: 'CSIStorageCapacity' } },
  { kind: 'PodDisruptionBudget', query: { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget' } },
]
export const NODES: Watched = { kind: 'Node', query: { apiVersion: 'v1', kind: 'Node', fields: 'placement' } }
export const PODS: Watched = {
  kind: 'Pod',
  query: { apiVersion: 'v1', kind: 'Pod', fieldSelector: LIVE_PODS, fields: 'placement' },
}

/** Pods of the scheduler of this name, by name alone: is there anything to do at all? */
export function ownPods(schedulerName: string): ListQuery {
  return { ...PODS.query, fieldSelector: `spec.schedulerName=${schedulerName},${LIVE_PODS}`, metadataOnly: true }
}
