/** Puts the agent into a cluster and waits until it says that it is ready. */
import type { Cluster } from '../../core/kube/cluster.ts'
import { asFault } from '../../core/model/fault.ts'
import type { JsonObject } from '../../core/model/json.ts'
import { formatRef, refOf, type Manifest } from '../../core/model/object.ts'

const FIELD_MANAGER = 'flotilla-install'

/** Applies what `agent manifests` gives, in its order, and says each. Fields that kubectl set before are taken over. */
export async function installAgent(
  cluster: Cluster,
  objects: readonly Manifest[],
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  for (const object of objects) {
    await cluster.apply(object, { fieldManager: FIELD_MANAGER, force: true }, signal)
    say(`applied ${formatRef(refOf(object))}`)
  }
}

/** Resolves with true once the newest version of the Deployment has a ready pod, with false when `signal` ends first. */
export async function untilReady(cluster: Cluster, deployment: Manifest, signal: AbortSignal): Promise<boolean> {
  const { apiVersion, kind } = deployment
  const { name, namespace = '' } = deployment.metadata
  const query = { apiVersion, kind, namespace, fieldSelector: `metadata.name=${name}` }
  while (!signal.aborted) {
    try {
      const { items, resourceVersion } = await cluster.list(query, signal)
      if (items.some(isReady)) return true
      for await (const event of cluster.watch(query, resourceVersion, signal))
        if (event.type !== 'bookmark' && event.type !== 'deleted' && isReady(event.object)) return true
    } catch (error) {
      if (!signal.aborted && asFault(error).reason !== 'WatchExpired') throw error
    }
  }
  return false
}

function isReady(deployment: Manifest): boolean {
  const { observedGeneration, updatedReplicas, readyReplicas } = (deployment['status'] ?? {}) as JsonObject
  return (
    observedGeneration === deployment.metadata.generation && Number(updatedReplicas) > 0 && Number(readyReplicas) > 0
  )
}
