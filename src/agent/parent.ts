/** The ApplySet's parent object: written only when the kinds or namespaces of the inventory changed. */
import { applySetParent, FIELD_MANAGER, type ApplySetParent } from '../core/diff/marks.ts'
import type { Inventory } from '../core/diff/types.ts'
import type { Cluster } from '../core/kube/cluster.ts'
import { digestJson } from '../core/model/digest.ts'
import { Fault } from '../core/model/fault.ts'
import type { AgentStore } from './ports.ts'

const NOTE = 'applyset'

export async function ensureParent(
  cluster: Cluster,
  store: AgentStore,
  parent: ApplySetParent,
  inventory: Inventory,
  signal: AbortSignal,
): Promise<void> {
  const desired = applySetParent(parent, inventory.values())
  const digest = digestJson('object', desired)
  if (store.note(NOTE)?.['digest'] === digest) return
  const apply = (): Promise<unknown> => cluster.apply(desired, { fieldManager: FIELD_MANAGER, force: true }, signal)
  try {
    await apply()
  } catch (error) {
    if (!(error instanceof Fault) || error.reason !== 'NotFound') throw error
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: parent.namespace } }
    await cluster.apply(namespace, { fieldManager: FIELD_MANAGER, force: false }, signal)
    await apply()
  }
  store.write({ notes: new Map([[NOTE, { digest }]]) })
}
