/** A lost inventory, read back from our labels: what carries our ApplySet and our manager is ours, its content unknown. */
import { carriesMarks, PART_OF, WORKLOAD_LABEL } from '../core/diff/marks.ts'
import { recovered } from '../core/diff/inventory.ts'
import type { InventoryChange, Marks } from '../core/diff/types.ts'
import type { Cluster, KindInfo } from '../core/kube/cluster.ts'
import { asFault, type FaultReason } from '../core/model/fault.ts'
import type { Manifest } from '../core/model/object.ts'

const PARALLEL_LISTS = 8
const SKIPPED: ReadonlySet<FaultReason> = new Set(['Forbidden', 'NoKindMatch', 'NotFound', 'ServerError'])

/** Every kind the server can list is asked once. Faults that may pass are thrown: half an inventory is none. */
export async function recoverInventory(cluster: Cluster, marks: Marks, signal: AbortSignal): Promise<InventoryChange> {
  const kinds = new Map<string, KindInfo>()
  for (const kind of await cluster.kinds(signal)) {
    const key = `${kind.group}/${kind.kind}`
    if (kind.verbs.includes('list') && kind.verbs.includes('delete') && !kinds.has(key)) kinds.set(key, kind)
  }
  const found: { readonly apiVersion: string; readonly object: Manifest; readonly workload: string }[] = []
  const left = [...kinds.values()]
  const worker = async (): Promise<void> => {
    for (let kind = left.shift(); kind !== undefined; kind = left.shift()) {
      const apiVersion = kind.group === '' ? kind.version : `${kind.group}/${kind.version}`
      for (const item of await listed(cluster, { apiVersion, kind: kind.kind }, marks, signal)) {
        const object = { ...item, apiVersion, kind: kind.kind }
        // Controllers copy labels to what they make (endpoints of a Service): those are not ours.
        if (!carriesMarks(object, marks)) continue
        found.push({ apiVersion, object, workload: object.metadata.labels?.[WORKLOAD_LABEL] ?? '' })
      }
    }
  }
  await Promise.all(Array.from({ length: PARALLEL_LISTS }, worker))
  return recovered(found)
}

async function listed(
  cluster: Cluster,
  kind: { readonly apiVersion: string; readonly kind: string },
  marks: Marks,
  signal: AbortSignal,
): Promise<readonly Manifest[]> {
  const query = { ...kind, labelSelector: `${PART_OF}=${marks.applySetId}`, metadataOnly: true }
  try {
    return (await cluster.list(query, signal)).items
  } catch (error) {
    // A broken aggregated API must not keep the site from its work for ever; what of ours it served is then not known as ours.
    if (SKIPPED.has(asFault(error).reason)) return []
    throw error
  }
}
