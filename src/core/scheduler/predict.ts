/** What a change would do to a site, by the very code that the site runs: same state, same change, same answer. */
import type { JsonObject } from '../model/json.ts'
import { DEFAULT_NAMESPACE } from './ingest.ts'
import { objectAt, textAt } from './object.ts'
import { readChange } from './read-change.ts'
import { createScheduler, type LiveScheduler } from './scheduler.ts'
import type { Change, ClassReason, CycleResult, Options, Prediction, Snapshot } from './types.ts'

/** Of a snapshot. Pods that the change replaces are named in `remove`. */
export function predict(snapshot: Snapshot, change: Change, options: Options = {}): Prediction {
  return predictOn(createScheduler(options, snapshot), change, options.nowMs ?? 0)
}

/** Of a state that is kept: it is as before afterwards. */
export function predictOn(scheduler: LiveScheduler, change: Change, nowMs: number): Prediction {
  return read(scheduler.tryOut(change, nowMs), change)
}

/** As `predictOn`, and what it did stays: what is asked next comes after it. */
export function predictNext(scheduler: LiveScheduler, change: Change, nowMs: number): Prediction {
  for (const gone of change.remove ?? []) scheduler.apply({ kind: 'Pod', gone })
  if (change.job !== undefined) scheduler.apply({ kind: 'Job', set: change.job })
  for (const set of change.pods) scheduler.apply({ kind: 'Pod', set })
  return read(scheduler.cycle(nowMs, 'now'), change)
}

/** Of many sites: those of equal digest are asked once. */
export function predictAll(
  sites: readonly { readonly digest: string; readonly scheduler: LiveScheduler }[],
  change: Change,
  nowMs: number,
): readonly Prediction[] {
  const known = new Map<string, Prediction>()
  const once = readChange(change)
  return sites.map(({ digest, scheduler }) => {
    let prediction = known.get(digest)
    if (prediction === undefined) {
      prediction = read(scheduler.tryOut(change, nowMs, once), change)
      known.set(digest, prediction)
    }
    return prediction
  })
}

function read(result: CycleResult, change: Change): Prediction {
  const wanted = new Set(change.pods.map(keyOf))
  const of = (one: { readonly namespace: string; readonly name: string }): boolean =>
    wanted.has(`${one.namespace}/${one.name}`)
  const binds = result.binds.filter(of)
  if (binds.length === wanted.size) return { fit: 'now', binds }
  const nominations = result.nominations.filter(of)
  if (binds.length + nominations.length === wanted.size) {
    const evict = result.evictions.filter(({ for: taker }) => wanted.has(taker))
    return {
      fit: 'after-evicting',
      binds: [...binds.map(({ namespace, name, uid, node }) => ({ namespace, name, uid, node })), ...nominations],
      evict,
    }
  }
  const jobs = new Set(result.reasons.filter(({ example }) => wanted.has(example)).map(({ job }) => job))
  if (change.job !== undefined) jobs.add(`${change.job.namespace || DEFAULT_NAMESPACE}/${change.job.name}`)
  const reservation = result.reservations.find((one) => jobs.has(`${one.namespace}/${one.name}`))
  if (reservation !== undefined) return { fit: 'at', atMs: reservation.startMs, reservation }
  const reasons = result.reasons.filter(({ job }) => jobs.has(job))
  return { fit: 'never', shortfall: largest(reasons.flatMap(({ classReasons }) => classReasons)), reasons }
}

function keyOf(pod: JsonObject): string {
  const metadata = objectAt(pod, 'metadata')
  return `${textAt(metadata, 'namespace') || DEFAULT_NAMESPACE}/${textAt(metadata, 'name')}`
}

function largest(reasons: readonly ClassReason[]): ClassReason | null {
  let most: ClassReason | null = null
  for (const reason of reasons) {
    if (most === null || (reason.shortfall?.amount ?? 0) > (most.shortfall?.amount ?? 0)) most = reason
  }
  return most
}
