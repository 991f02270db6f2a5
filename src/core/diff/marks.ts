/**
 * How our objects are told from others': the field manager, and the labels of one ApplySet a site (KEP-3659), so that kubectl
 * shows the membership and a lost inventory can be rebuilt. One a site and not one a workload: the inventory is per site too,
 * and a move between workloads is a change of an attribute.
 */
import { createHash } from 'node:crypto'
import { byUtf16 } from '../model/json.ts'
import { groupOf, type Manifest, type ObjectRef } from '../model/object.ts'
import type { InventoryEntry, Marks } from './types.ts'

export const FIELD_MANAGER = 'flotilla'
export const PART_OF = 'applyset.kubernetes.io/part-of'
/** Which workload of ours an object belongs to. */
export const WORKLOAD_LABEL = 'flotilla.dev/workload'

/** The object that an ApplySet is named by. */
export interface ApplySetParent {
  readonly namespace: string
  readonly name: string
}

/** Depends on the parent's name only: a replaced box finds what the one before it made. */
export function marksOf(parent: ApplySetParent): Marks {
  const hash = createHash('sha256').update(`${parent.name}.${parent.namespace}.ConfigMap.`).digest('base64url')
  return { applySetId: `applyset-${hash}-v1` }
}

/** The parent as it should be for this inventory; kubectl reads the kinds and namespaces from its annotations. */
export function applySetParent(parent: ApplySetParent, entries: Iterable<InventoryEntry>): Manifest {
  const kinds = new Set<string>()
  const namespaces = new Set<string>()
  for (const { ref } of entries) {
    kinds.add(ref.group === '' ? ref.kind : `${ref.kind}.${ref.group}`)
    if (ref.namespace !== '' && ref.namespace !== parent.namespace) namespaces.add(ref.namespace)
  }
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: parent.name,
      namespace: parent.namespace,
      labels: { 'applyset.kubernetes.io/id': marksOf(parent).applySetId },
      annotations: {
        'applyset.kubernetes.io/tooling': 'flotilla/v1',
        'applyset.kubernetes.io/contains-group-kinds': [...kinds].toSorted(byUtf16).join(','),
        'applyset.kubernetes.io/additional-namespaces': [...namespaces].toSorted(byUtf16).join(','),
      },
    },
  }
}

/** What is sent: the desired object with our labels on it, and nothing of ours inside pod templates. */
export function withMarks(manifest: Manifest, workload: string, marks: Marks): Manifest {
  const { metadata } = manifest
  const labels = { ...metadata.labels, [PART_OF]: marks.applySetId, [WORKLOAD_LABEL]: workload }
  return { ...manifest, metadata: { ...metadata, labels } }
}

/** Our ApplySet's label and our field manager, both. */
export function carriesMarks(live: Manifest, marks: Marks): boolean {
  return live.metadata.labels?.[PART_OF] === marks.applySetId && managedByUs(live)
}

function managedByUs(live: Manifest): boolean {
  return (live.metadata.managedFields ?? []).some(
    (entry) => typeof entry === 'object' && entry !== null && 'manager' in entry && entry.manager === FIELD_MANAGER,
  )
}

/** Kinds whose deletion takes data or other people's objects along. */
export function isProtected(ref: ObjectRef): boolean {
  return (
    (ref.group === '' && ['PersistentVolumeClaim', 'PersistentVolume', 'Namespace'].includes(ref.kind)) ||
    isDefinition(ref)
  )
}

export function isDefinition({ group, kind }: ObjectRef): boolean {
  return group === 'apiextensions.k8s.io' && kind === 'CustomResourceDefinition'
}

export function isJob(manifest: Pick<Manifest, 'apiVersion' | 'kind'>): boolean {
  return manifest.kind === 'Job' && groupOf(manifest.apiVersion) === 'batch'
}
