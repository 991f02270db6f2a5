/** What may never happen to a site's cluster: other people's objects, data, and pods that no diff asks to be made anew. */
import { jsonEqual, type Json, type JsonObject } from '../../../src/core/model/json.ts'
import type { Manifest } from '../../../src/core/model/object.ts'
import type { SimCluster } from '../../../src/sim/cluster.ts'
import { Violation } from './violation.ts'

/** Beside ours, of the same kind and name, and somebody else's. */
const FOREIGN = ['default', 'kube-public']
const DATA = new Set(['/PersistentVolumeClaim', '/PersistentVolume'])

/** Watches one cluster from its first object on; `found` is told of what must not be. `removed`: workloads that some commit took away. */
export async function watchCluster(
  site: string,
  cluster: SimCluster,
  removed: ReadonlySet<string>,
  found: (violation: Violation) => void,
): Promise<void> {
  for (const namespace of FOREIGN)
    await cluster.create(
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'web', namespace }, data: { whose: 'not ours' } },
      {},
      new AbortController().signal,
    )
  let template: Json = null
  let pods = 0
  cluster.server.storage.listeners.add(({ type, key, object }) => {
    const { name, namespace = '' } = object.metadata
    if (type === 'deleted' && DATA.has(key)) found(new Violation('data', `${site} lost ${key.slice(1)} ${name}`))
    if (key === '/ConfigMap' && FOREIGN.includes(namespace) && type !== 'added')
      found(new Violation('foreign', `${site}: ${namespace}/${name} was not ours and was ${type}`))
    if (
      key === '/ConfigMap' &&
      type === 'deleted' &&
      namespace === name &&
      !FOREIGN.includes(namespace) &&
      !removed.has(name)
    )
      found(new Violation('shrinks', `${site} lost ${name}, and no commit says so`))
    if (namespace !== 'web') return
    if (key === 'apps/Deployment') {
      if (type === 'deleted') found(new Violation('pods', `${site} lost its Deployment, and no commit says so`))
      const next = templateOf(object)
      if (!jsonEqual(template, next)) pods = 0
      template = next
    }
    if (key === '/Pod' && type === 'added' && ++pods > 1)
      found(new Violation('pods', `${site} made pod ${name} anew, and its template did not change`))
  })
}

function templateOf(deployment: Manifest): Json {
  return (deployment['spec'] as JsonObject | undefined)?.['template'] ?? null
}
