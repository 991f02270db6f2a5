/** What becomes of one desired object, given what is there and what the inventory says of it. */
import { isObject, jsonEqual } from '../model/json.ts'
import { refKey, type Manifest } from '../model/object.ts'
import { drift, driftClass } from './drift.ts'
import { carriesMarks, isJob, isProtected, PART_OF, withMarks, WORKLOAD_LABEL } from './marks.ts'
import { escapeToken } from './managers.ts'
import { fieldDifferences } from './normalise.ts'
import type {
  DesiredObject,
  DesiredWorkload,
  Difference,
  InventoryEntry,
  OwnedEntry,
  PlanInput,
  Step,
} from './types.ts'

export interface DecideContext {
  readonly input: PlanInput
  /** refKeys that a HorizontalPodAutoscaler scales. */
  readonly scaled: ReadonlySet<string>
  /** UIDs of the inventory, with the key that each is written under. */
  readonly uids: ReadonlyMap<string, string>
}

/** Without its order: `plan` adds what it needs. */
export function decide(workload: DesiredWorkload, object: DesiredObject, context: DecideContext): Step {
  const { input } = context
  const { ref } = object
  const key = refKey(ref)
  const at = { ref, workload: workload.name }
  if (workload.state === 'held') return { ...at, kind: 'leave', because: 'held', differences: [] }
  if (object.manifest === null) {
    return { ...at, kind: 'wait', because: { reason: 'Secret', detail: 'key missing' } }
  }
  const live = input.actual.get(key)
  if (live === undefined) return { ...at, kind: 'leave', because: 'unread', differences: [] }
  const entry = input.inventory.get(key)
  if (live === null) return decideAbsent(workload, object, entry, input)
  if (live.metadata.deletionTimestamp !== undefined)
    return { ...at, kind: 'leave', because: 'terminating', differences: [] }
  if (entry?.state === 'owned' && entry.uid === live.metadata.uid) {
    return decideOwned(workload, object, entry, live, context)
  }
  return decideForeign(workload, object, live, context)
}

function decideAbsent(
  workload: DesiredWorkload,
  object: DesiredObject,
  entry: InventoryEntry | undefined,
  { marks }: PlanInput,
): Step {
  const at = { ref: object.ref, workload: workload.name }
  const owned = entry?.state === 'owned' ? entry : undefined
  if (owned?.done?.digest === object.digest) return { ...at, kind: 'leave', because: 'job-done', differences: [] }
  const desired = manifestOf(object)
  // With a TTL it ended while nobody watched; without one somebody deleted it, or the cluster began anew.
  if (owned?.applied === object.digest && isJob(desired) && hasTtl(desired)) {
    return { ...at, kind: 'leave', because: 'job-done', differences: [] }
  }
  const because =
    owned === undefined ? 'absent' : isJob(desired) && owned.applied !== object.digest ? 'job-changed' : 'lost'
  return {
    ...at,
    kind: 'create',
    because,
    digest: object.digest,
    desired: withMarks(desired, workload.name, marks),
    needs: [],
  }
}

/** It is ours: same UID as we own. */
function decideOwned(
  workload: DesiredWorkload,
  object: DesiredObject,
  entry: OwnedEntry,
  live: Manifest,
  context: DecideContext,
): Step {
  const { input } = context
  const key = refKey(object.ref)
  const at = { ref: object.ref, workload: workload.name }
  const moved = entry.workload !== workload.name
  const unchanged = entry.applied === object.digest
  if (unchanged && !moved && input.verified(key, live.metadata.resourceVersion ?? '', object.digest)) {
    const differences = suspectedAt(key, context)
    if (differences.length === 0) return { ...at, kind: 'leave', because: 'in-sync', differences }
  }
  const write = compared(workload, object, live, entry, context)
  if (isJob(live) && !unchanged && templateChanged(object, entry, live, input)) {
    return {
      ...at,
      kind: 'replace',
      because: 'job-changed',
      digest: object.digest,
      desired: write.desired,
      actual: live,
      needs: [],
    }
  }
  if (moved) {
    const because = workload.rules.formerNames.includes(entry.workload) ? 'renamed' : 'moved'
    return { ...at, ...write, kind: 'handover', because, from: entry.workload }
  }
  if (!unchanged) {
    const because =
      entry.applied === null ? 'recovered' : write.differences.length === 0 ? 'pending' : driftClass(write.differences)
    return { ...at, ...write, kind: 'update', because: because === 'drift' ? 'pending' : because }
  }
  const differences = [...write.differences, ...suspectedAt(key, context)]
  if (differences.length === 0) return { ...at, kind: 'leave', because: 'in-sync', differences }
  // Our labels are how a lost inventory is found again: they are put back whatever the mode.
  const onlyMarks = differences.every(({ pointer }) => MARK_POINTERS.has(pointer))
  if (!onlyMarks && (workload.rules.drift.mode === 'report' || isJob(live))) {
    return { ...at, kind: 'leave', because: 'drift-reported', differences }
  }
  if (input.fought(key, differences)) return { ...at, kind: 'leave', because: 'fought', differences }
  return { ...at, ...write, differences, kind: 'update', because: driftClass(differences) }
}

/** A dry-run knows nothing of what is left to an autoscaler. */
function suspectedAt(key: string, { input, scaled }: DecideContext): readonly Difference[] {
  const suspected = input.suspected(key)
  return scaled.has(key) ? suspected.filter(({ pointer }) => pointer !== '/spec/replicas') : suspected
}

const MARK_POINTERS = new Set([PART_OF, WORKLOAD_LABEL].map((label) => `/metadata/labels/${escapeToken(label)}`))

/** Something of that name is there, and it is not (known to be) ours. */
function decideForeign(workload: DesiredWorkload, object: DesiredObject, live: Manifest, context: DecideContext): Step {
  const { input, uids } = context
  const at = { ref: object.ref, workload: workload.name }
  const write = compared(workload, object, live, undefined, context)
  const adopt = (because: Extract<Step, { kind: 'adopt' }>['because']): Step => ({
    ...at,
    ...write,
    kind: 'adopt',
    because,
  })
  const former = uids.get(live.metadata.uid ?? '')
  if (former !== undefined && former !== refKey(object.ref)) return adopt('same-uid')
  if (carriesMarks(live, input.marks)) {
    return adopt(input.inventory.get(refKey(object.ref))?.state === 'intended' ? 'intended' : 'labelled')
  }
  const { adopt: rule } = workload.rules
  if (rule === 'yes') return adopt('allowed')
  // Our own labels are what it cannot have yet.
  const differences = write.differences.filter(
    ({ pointer }) => !MARK_POINTERS.has(pointer) && pointer !== '/metadata/labels',
  )
  if (rule === 'ifIdentical' && differences.length === 0) return adopt('identical')
  return { ...at, kind: 'leave', because: rule === 'never' ? 'never-adopt' : 'differs', differences }
}

function compared(
  workload: DesiredWorkload,
  object: DesiredObject,
  live: Manifest,
  entry: OwnedEntry | undefined,
  { input, scaled }: DecideContext,
): Pick<Extract<Step, { kind: 'update' }>, 'digest' | 'desired' | 'actual' | 'differences' | 'onImmutable' | 'needs'> {
  const desired = withMarks(manifestOf(object), workload.name, input.marks)
  const before =
    entry?.applied === object.digest
      ? manifestOf(object)
      : entry === undefined || entry.applied === null
        ? undefined
        : input.applied(entry.applied)
  const applied =
    before === undefined || entry === undefined ? undefined : withMarks(before, entry.workload, input.marks)
  const { differences, send } = drift({
    desired,
    applied,
    live,
    settled: entry?.applied === object.digest ? entry.settled : null,
    ignore: workload.rules.drift.ignore,
    scaled: scaled.has(refKey(object.ref)),
  })
  const replace = workload.rules.replace === 'onImmutable' && !isProtected(object.ref)
  return {
    digest: object.digest,
    desired: send,
    actual: live,
    differences,
    onImmutable: replace ? 'replace' : 'report',
    needs: [],
  }
}

/** A Job's template cannot change in place: only a changed template is a reason to run it again. */
function templateChanged(object: DesiredObject, entry: OwnedEntry, live: Manifest, input: PlanInput): boolean {
  const desired = manifestOf(object)
  const before = entry.applied === null ? undefined : input.applied(entry.applied)
  if (before !== undefined) return !jsonEqual(templateOf(before), templateOf(desired))
  return fieldDifferences(desired, live).some(({ path }) => path.startsWith('/spec/template'))
}

function templateOf(job: Manifest): Manifest[string] {
  return isObject(job.spec) ? job.spec.template : undefined
}

function hasTtl(job: Manifest): boolean {
  return isObject(job.spec) && typeof job.spec.ttlSecondsAfterFinished === 'number'
}

function manifestOf(object: DesiredObject): Manifest {
  if (object.manifest === null) throw new TypeError('an encrypted object has no manifest here')
  return object.manifest()
}
