/** Each object is compared once in the resync period by a dry-run apply: it sees what no comparison of fields can. */
import { drift } from '../core/diff/drift.ts'
import { FIELD_MANAGER, withMarks } from '../core/diff/marks.ts'
import { fieldDifferences, normalise } from '../core/diff/normalise.ts'
import type { Difference } from '../core/diff/types.ts'
import { asFault } from '../core/model/fault.ts'
import type { Manifest } from '../core/model/object.ts'
import { clusterFor } from './account.ts'
import type { Reconciler } from './reconcile.ts'
import type { ReconcileDeps } from './settled.ts'

/** Never more often than this, however many objects: 20 a second is what a busy small API server does not notice. */
const MIN_PACE_MS = 50

/** Runs until the signal aborts; `wake`: something was found. */
export async function resyncLoop(
  deps: ReconcileDeps,
  reconciler: Reconciler,
  wake: () => void,
  signal: AbortSignal,
): Promise<void> {
  const { ports, options, state } = deps
  const { clock, store } = ports
  let round: string[] = []
  while (!signal.aborted) {
    const objects = Math.max(1, store.inventory().size)
    await clock.sleep(Math.max(MIN_PACE_MS, options.resyncMs / objects), signal).catch(() => undefined)
    if (signal.aborted) return
    if (round.length === 0) round = [...store.inventory().keys()]
    const key = round.pop()
    if (key === undefined) continue
    try {
      const found = await lookDeeper(key, deps, reconciler, signal)
      if (found === undefined) continue
      if (found.length === 0) state.suspected.delete(key)
      else {
        state.suspected.set(key, found)
        wake()
      }
    } catch (error) {
      if (signal.aborted) return
      ports.log.debug({ object: key, reason: asFault(error).reason }, 'cannot compare by dry-run')
    }
  }
}

/** undefined: nothing to compare. */
async function lookDeeper(
  key: string,
  deps: ReconcileDeps,
  { library }: Reconciler,
  signal: AbortSignal,
): Promise<readonly Difference[] | undefined> {
  const { ports, marks, observer, state } = deps
  const entry = ports.store.inventory().get(key)
  const live = observer.seen(key)
  if (entry?.state !== 'owned' || entry.applied === null || entry.done !== undefined) return undefined
  if (live === undefined || live === null || entry.ref.kind === 'Job') return undefined
  const applied = library.past(entry.applied)
  const record = ports.store.workloads().get(entry.workload)
  const release = record === undefined ? undefined : library.pastRelease(record.release)
  if (applied === undefined || release === undefined) return undefined
  const desired = withMarks(applied, entry.workload, marks)
  const { send } = drift({
    desired,
    applied: desired,
    live,
    settled: entry.settled,
    ignore: release.rules.drift.ignore,
    scaled: false,
  })
  state.counts.dryRuns += 1
  // What an account may not see it may not compare either: its own rights judge the dry-run as they judge the write.
  const cluster = clusterFor(ports.cluster, release)
  const would = await cluster.apply(send, { fieldManager: FIELD_MANAGER, force: true, dryRun: true }, signal)
  if (would.metadata.uid !== live.metadata.uid) return undefined
  return differencesOf(normalise(would), live)
}

function differencesOf(would: Manifest, live: Manifest): readonly Difference[] {
  return fieldDifferences(would, live).map(({ pointer }) => ({ pointer, drift: 'drift', managers: [] }))
}
