/** What differs here between desired and actual, as a turn would decide it now, and doing none of it. */
import { fitting, inOrder, type ObjectShown, shownStep } from '../../core/diff/shown.ts'
import { type Manifest, refKey } from '../../core/model/object.ts'
import type { WorkloadObservation } from '../../core/model/observation.ts'
import type { HealthState, SyncState, Waiting } from '../../core/model/state.ts'
import type { Look } from '../reconcile.ts'

/** Nothing in it is this one site's alone, so that alike answers of many sites are told together. */
export interface SiteDiff {
  readonly revision: string | null
  /** Why nothing is done about it now; null: it is. */
  readonly idle: Waiting | null
  /** Objects that were compared. */
  readonly compared: number
  /** Those that are not synced and healthy, or of which an object differs. */
  readonly workloads: readonly {
    readonly workload: string
    readonly sync: SyncState
    readonly health: HealthState
    readonly waiting: Waiting | null
    readonly failure: string | null
  }[]
  readonly objects: readonly ObjectShown[]
  /** Objects that differ beyond those that are shown. */
  readonly leftOut: number
}

/** Room for all but the objects. */
const REST_CHARS = 4_096

export function siteDiff(
  look: Look,
  observations: ReadonlyMap<string, WorkloadObservation>,
  mostChars: number,
): SiteDiff {
  const { current, desired, steps, actual } = look
  const wanted = new Map<string, () => Manifest>()
  for (const intent of desired.intents)
    for (const { ref, manifest } of intent.desired.objects) if (manifest !== null) wanted.set(refKey(ref), manifest)
  const differing = steps
    .flatMap((step) => shownStep(step, wanted.get(refKey(step.ref))?.(), actual.get(refKey(step.ref))) ?? [])
    .toSorted(inOrder)
  const named = new Set(differing.map(({ workload }) => workload))
  const workloads = desired.intents.flatMap(({ entry, waiting, fault }) => {
    const { workload } = entry
    const seen = observations.get(workload)
    const sync = seen?.sync ?? 'Unknown'
    const health = seen?.health ?? 'Unknown'
    const failure = fault?.message ?? seen?.failure?.message ?? null
    const isFine = sync === 'Synced' && waiting === undefined && failure === null
    return isFine && !named.has(workload) ? [] : [{ workload, sync, health, waiting: waiting ?? null, failure }]
  })
  return {
    revision: current.manifest.revision,
    idle: look.idle ?? null,
    compared: desired.intents.reduce((sum, intent) => sum + intent.desired.objects.length, 0),
    workloads,
    ...fitting(differing, Math.max(0, mostChars - REST_CHARS - JSON.stringify(workloads).length)),
  }
}

/** A site that was told nothing yet differs in nothing. */
export function emptyDiff(): SiteDiff {
  return { revision: null, idle: null, compared: 0, workloads: [], objects: [], leftOut: 0 }
}
