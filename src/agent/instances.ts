/** What a definition that may go would take along: everything that it defines, whoever made it. */
import { definedKind } from '../core/diff/order.ts'
import type { Step } from '../core/diff/types.ts'
import type { Cluster } from '../core/kube/cluster.ts'
import { asFault } from '../core/model/fault.ts'
import { isObject } from '../core/model/json.ts'
import { refKey, type Manifest, type ObjectRef } from '../core/model/object.ts'
import type { Logger } from '../runtime/logger.ts'

/** By refKey of the definition; one that cannot be counted is left out, and stays. */
export async function countInstances(
  steps: readonly Step[],
  actual: ReadonlyMap<string, Manifest | null>,
  clusterOf: (step: Step) => Cluster,
  log: Logger,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, readonly ObjectRef[]>> {
  const found = new Map<string, readonly ObjectRef[]>()
  for (const step of steps) {
    const definition = actual.get(refKey(step.ref))
    if (step.kind !== 'leave' || step.because !== 'uncounted' || definition == null) continue
    const defines = definedKind(definition)
    const version = servedVersion(definition)
    if (defines === undefined || version === undefined) continue
    const { group, kind } = defines
    try {
      const query = { apiVersion: `${group}/${version}`, kind, metadataOnly: true }
      const { items } = await clusterOf(step).list(query, signal)
      const refs = items.map(({ metadata: { namespace = '', name } }) => ({ group, kind, namespace, name }))
      found.set(refKey(step.ref), refs)
    } catch (error) {
      if (signal.aborted) throw error
      const { reason } = asFault(error)
      log.warn({ definition: step.ref.name, reason }, 'cannot count what a definition defines: it stays')
    }
  }
  return found
}

/** All versions show the same objects. */
function servedVersion({ spec }: Manifest): string | undefined {
  const versions = isObject(spec) && Array.isArray(spec.versions) ? spec.versions : []
  for (const version of versions)
    if (isObject(version) && version.served === true && typeof version.name === 'string') return version.name
  return undefined
}
