/** Takes the agent out of a cluster. What it applied stays, unless it is told to go; what holds data or others' objects stays always. */
import { carriesMarks, isProtected, marksOf, PART_OF, type ApplySetParent } from '../../core/diff/marks.ts'
import type { Cluster, KindInfo } from '../../core/kube/cluster.ts'
import { asFault } from '../../core/model/fault.ts'
import { formatRef, refOf, type Manifest } from '../../core/model/object.ts'

export interface UninstallOptions {
  /** What `agent manifests` prints for this cluster. */
  readonly installed: readonly Manifest[]
  readonly applySet: ApplySetParent
  readonly workloads: 'keep' | 'remove'
  /** The site's store and keys. */
  readonly data: 'keep' | 'remove'
}

/** Says each thing as it is done. Returns how many deletions failed. Running it again goes on where it stopped. */
export async function uninstallAgent(
  cluster: Cluster,
  options: UninstallOptions,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<number> {
  const failures: string[] = []
  const remove = async (live: Manifest): Promise<void> => {
    const ref = refOf(live)
    const { uid } = live.metadata
    try {
      const preconditions = { propagation: 'Background', ...(uid === undefined ? {} : { uid }) } as const
      say(`${await cluster.delete(live, ref, preconditions, signal)} ${formatRef(ref)}`)
    } catch (error) {
      if (signal.aborted) throw error
      failures.push(formatRef(ref))
      say(`failed ${formatRef(ref)}: ${asFault(error).message}`)
    }
  }
  const installed = options.installed.toReversed()
  // First of all the agent itself: or it would make again what is removed.
  for (const object of installed.filter(({ kind }) => kind === 'Deployment')) await remove(object)
  if (options.workloads === 'remove') {
    for (const live of await oursIn(cluster, options.applySet, signal)) {
      if (isProtected(refOf(live))) say(`kept ${formatRef(refOf(live))}`)
      else await remove(live)
    }
  }
  for (const object of installed.filter(({ kind }) => kind !== 'Deployment')) {
    const holdsData = object.kind === 'Namespace' || object.kind === 'PersistentVolumeClaim'
    if (holdsData && options.data === 'keep') say(`kept ${formatRef(refOf(object))}`)
    else await remove(object)
  }
  return failures.length
}

/** Accounts and roles last: what runs may still use them. */
async function oursIn(cluster: Cluster, parent: ApplySetParent, signal: AbortSignal): Promise<readonly Manifest[]> {
  const marks = marksOf(parent)
  const kinds = new Map<string, KindInfo>()
  for (const kind of await cluster.kinds(signal)) {
    const key = `${kind.group}/${kind.kind}`
    if (kind.verbs.includes('list') && kind.verbs.includes('delete') && !kinds.has(key)) kinds.set(key, kind)
  }
  const found: Manifest[] = []
  const labelSelector = `${PART_OF}=${marks.applySetId}`
  for (const { group, version, kind } of kinds.values()) {
    const apiVersion = group === '' ? version : `${group}/${version}`
    const { items } = await cluster.list({ apiVersion, kind, labelSelector, metadataOnly: true }, signal)
    for (const item of items) {
      const live = { ...item, apiVersion, kind }
      // Controllers copy labels to what they make: that goes with its owner.
      if (carriesMarks(live, marks)) found.push(live)
    }
  }
  return found.toSorted((a, b) => Number(isFooting(a)) - Number(isFooting(b)))
}

function isFooting({ apiVersion, kind }: Manifest): boolean {
  return kind === 'ServiceAccount' || apiVersion.startsWith('rbac.authorization.k8s.io/')
}
