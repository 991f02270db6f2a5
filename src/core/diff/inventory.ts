/** What the inventory says before a turn acts and after it did. Every change names whole entries, so writing one twice is writing it once. */
import { isObject } from '../model/json.ts'
import { refKey, type Manifest } from '../model/object.ts'
import { settledOf } from './drift.ts'
import { isJob } from './marks.ts'
import type { Inventory, InventoryChange, InventoryEntry, Outcome, OwnedEntry, Step, WriteStep } from './types.ts'

/** To be on the disk before the cluster is touched: what is about to be made may then be found again after a crash. */
export function intend(before: Inventory, steps: readonly Step[]): InventoryChange {
  const change = new Map<string, InventoryEntry | null>()
  for (const step of steps) {
    const key = refKey(step.ref)
    const entry = before.get(key)
    if (step.kind === 'forget') change.set(key, null)
    else if (step.kind === 'delete' && entry !== undefined && entry.deleting !== true) {
      change.set(key, { ...entry, deleting: true })
    } else if ((step.kind === 'create' && step.because !== 'needed') || step.kind === 'adopt') {
      if (entry?.state === 'intended' && entry.workload === step.workload && entry.deleting !== true) continue
      const { ref, workload, desired } = step
      change.set(key, { state: 'intended', ref, workload, apiVersion: desired.apiVersion })
    }
  }
  return change
}

/** Nothing that was not carried out changes an entry. */
export function inventoryAfter(before: Inventory, outcomes: readonly Outcome[]): InventoryChange {
  const change = new Map<string, InventoryEntry | null>()
  for (const outcome of outcomes) {
    const key = refKey(outcome.step.ref)
    if (outcome.kind === 'applied') {
      const entry = owned(outcome.step, outcome.live, before.get(key))
      if (entry !== undefined) change.set(key, entry)
    } else if (outcome.kind === 'deleted' && outcome.state !== 'terminating' && outcome.step.kind === 'delete') {
      change.set(key, null)
    } else if (outcome.kind === 'spared' && outcome.because !== 'changed') {
      change.set(key, null)
    }
  }
  return change
}

function owned(step: WriteStep, live: Manifest, before: InventoryEntry | undefined): OwnedEntry | undefined {
  const { uid, resourceVersion } = live.metadata
  if (uid === undefined || (step.kind === 'create' && step.because === 'needed')) return undefined
  const done = before?.state === 'owned' && before.uid === uid ? before.done : undefined
  return {
    state: 'owned',
    ref: step.ref,
    apiVersion: step.desired.apiVersion,
    workload: step.workload,
    uid,
    applied: step.digest,
    resourceVersion: resourceVersion ?? '',
    settled: settledOf(step.desired, live),
    ...(done === undefined ? {} : { done }),
  }
}

/** Jobs of ours that ended, to be remembered beyond their TTL. */
export function endedJobs(before: Inventory, actual: ReadonlyMap<string, Manifest | null>): InventoryChange {
  const change = new Map<string, InventoryEntry | null>()
  for (const [key, entry] of before) {
    if (
      entry.state !== 'owned' ||
      entry.applied === null ||
      !isJob({ apiVersion: entry.apiVersion, kind: entry.ref.kind })
    )
      continue
    const live = actual.get(key)
    if (live === undefined || live === null || live.metadata.uid !== entry.uid) continue
    const result = jobResult(live)
    if (result === undefined || (entry.done?.digest === entry.applied && entry.done.result === result)) continue
    change.set(key, { ...entry, done: { digest: entry.applied, result } })
  }
  return change
}

function jobResult(job: Manifest): 'Complete' | 'Failed' | undefined {
  const conditions = isObject(job.status) && Array.isArray(job.status.conditions) ? job.status.conditions : []
  for (const type of ['Complete', 'Failed'] as const) {
    if (conditions.some((condition) => isObject(condition) && condition.type === type && condition.status === 'True'))
      return type
  }
  return undefined
}

/** The inventory with a change in it. */
export function changed(before: Inventory, change: InventoryChange): Inventory {
  if (change.size === 0) return before
  const after = new Map(before)
  for (const [key, entry] of change) {
    if (entry === null) after.delete(key)
    else after.set(key, entry)
  }
  return after
}

/** What the labels in the cluster still say of a lost inventory: ours, content unknown. */
export function recovered(
  found: readonly { readonly apiVersion: string; readonly object: Manifest; readonly workload: string }[],
): InventoryChange {
  const change = new Map<string, InventoryEntry>()
  for (const { apiVersion, object, workload } of found) {
    const slash = apiVersion.indexOf('/')
    const { namespace, name, uid, resourceVersion } = object.metadata
    if (uid === undefined) continue
    const ref = { group: apiVersion.slice(0, Math.max(slash, 0)), kind: object.kind, namespace: namespace ?? '', name }
    change.set(refKey(ref), {
      state: 'owned',
      ref,
      apiVersion,
      workload,
      uid,
      applied: null,
      resourceVersion: resourceVersion ?? '',
      settled: null,
    })
  }
  return change
}
