/** Carries steps out. Every write names the version or the UID it was decided on; every deletion is decided again on a live read. */
import { refKey, type Manifest } from '../core/model/object.ts'
import { asFault, Fault } from '../core/model/fault.ts'
import type { Waiting } from '../core/model/state.ts'
import type { Cluster } from '../core/kube/cluster.ts'
import { carriesMarks, FIELD_MANAGER } from '../core/diff/marks.ts'
import { managerEntries, migrationPatch } from '../core/diff/managers.ts'
import type { InventoryEntry, Marks, Outcome, Step, WriteStep } from '../core/diff/types.ts'
import { runGraph } from './graph.ts'

/** A delete that meets a newer version reads again so often before it leaves the object to the next turn. */
const DELETE_TRIES = 3

type DeleteStep = Extract<Step, { kind: 'delete' }>
type Acting = WriteStep | DeleteStep

export interface ExecutePorts {
  /** Acting as the account that the workload's objects are handled with, for every verb. */
  clusterOf(step: Acting): Cluster
  readonly marks: Marks
  readonly parallel: number
  /** Whether what others wait for is there and ready. */
  healthy(key: string, live: Manifest): boolean
  entry(key: string): InventoryEntry | undefined
  /** A failure that still stands: not tried. */
  held(step: Acting): { readonly reason: Fault['reason']; readonly message: string } | undefined
  /** Why its workload must stand still from now on: a window closed meanwhile. */
  stopped(step: Acting): Waiting | undefined
  /** Called before each request. Fault: the turn stands still (paused process, throttled server). */
  gate(): void
  /** What was read or written on the way. null: not there. */
  saw(key: string, live: Manifest | null): void
  failed(step: Acting, fault: Fault): void
  /** It is done: to be kept before anything else is asked for. */
  done(outcome: Outcome): void
}

/** What goes first, then writes, then deletions. Faults are outcomes; only a cancellation is thrown. */
export async function execute(
  steps: readonly Step[],
  ports: ExecutePorts,
  signal: AbortSignal,
): Promise<readonly Outcome[]> {
  const first = steps.filter((step): step is DeleteStep => step.kind === 'delete' && step.when === 'first')
  const writes = steps.filter((step): step is WriteStep => 'desired' in step)
  const last = steps.filter((step): step is DeleteStep => step.kind === 'delete' && step.when === 'last')
  const outcomes: Outcome[] = []
  for (const phase of [first, writes, last]) {
    outcomes.push(...(await runPhase(phase, ports, signal)))
  }
  return outcomes
}

function runPhase(steps: readonly Acting[], ports: ExecutePorts, signal: AbortSignal): Promise<readonly Outcome[]> {
  return runGraph<{ key: string; needs: readonly string[]; step: Acting }, Outcome>(
    steps.map((step) => ({ key: refKey(step.ref), needs: step.needs, step })),
    ports.parallel,
    ({ step }) => attempt(step, ports, signal),
    (outcome) =>
      (outcome.kind === 'applied' && ports.healthy(refKey(outcome.step.ref), outcome.live)) ||
      (outcome.kind === 'deleted' && outcome.step.kind === 'delete' && outcome.state !== 'terminating') ||
      outcome.kind === 'spared',
    ({ step }, on) => ({ kind: 'waits', step, on }),
  )
}

async function attempt(step: Acting, ports: ExecutePorts, signal: AbortSignal): Promise<Outcome> {
  const because = ports.stopped(step)
  if (because !== undefined) return { kind: 'stopped', step, because }
  const standing = ports.held(step)
  if (standing !== undefined) return { kind: 'failed', step, reason: standing.reason, message: standing.message }
  try {
    ports.gate()
    const outcome = step.kind === 'delete' ? await remove(step, ports, signal) : await write(step, ports, signal)
    ports.done(outcome)
    return outcome
  } catch (error) {
    if (signal.aborted) throw error
    const fault = asFault(error)
    await settleDoubt(step, fault, ports, signal)
    ports.failed(step, fault)
    return { kind: 'failed', step, reason: fault.reason, message: fault.message }
  }
}

/** After a conflict or an answer that never came, the next turn must decide on what is there now. */
async function settleDoubt(step: Acting, fault: Fault, ports: ExecutePorts, signal: AbortSignal): Promise<void> {
  const doubtful = ['Conflict', 'FieldConflict', 'OutcomeUnknown', 'Timeout', 'NotFound'].includes(fault.reason)
  if (!doubtful) return
  // What an object that is to be made stands in is gone.
  if (step.kind === 'create' && fault.reason === 'NotFound' && step.ref.namespace !== '')
    ports.saw(refKey({ group: '', kind: 'Namespace', namespace: '', name: step.ref.namespace }), null)
  try {
    const name = step.kind === 'delete' ? step.actual : step.desired
    const live = await ports.clusterOf(step).get(name, step.ref, signal)
    ports.saw(refKey(step.ref), live ?? null)
  } catch (error) {
    if (signal.aborted) throw error
    // Still unknown: the watch will tell, or the next turn asks.
  }
}

async function write(step: WriteStep, ports: ExecutePorts, signal: AbortSignal): Promise<Outcome> {
  const cluster = ports.clusterOf(step)
  const key = refKey(step.ref)
  if (step.kind === 'create') return create(step, cluster, ports, signal)
  if (step.kind === 'replace') return replace(step, cluster, ports, signal)
  let base = step.actual
  const migration = migrationPatch(base)
  if (migration !== null) {
    base = await cluster.patch(step.desired, step.ref, migration, { fieldManager: FIELD_MANAGER }, signal)
    ports.saw(key, base)
    ports.gate()
  }
  const { resourceVersion } = base.metadata
  const metadata = { ...step.desired.metadata, ...(resourceVersion === undefined ? {} : { resourceVersion }) }
  try {
    const live = await cluster.apply(
      { ...step.desired, metadata },
      { fieldManager: FIELD_MANAGER, force: true },
      signal,
    )
    ports.saw(key, live)
    return { kind: 'applied', step, live }
  } catch (error) {
    if (!(error instanceof Fault) || error.reason !== 'ImmutableField' || step.onImmutable !== 'replace') throw error
    return replace({ ...step, actual: base }, cluster, ports, signal)
  }
}

/** Never by force: what appeared since we looked is somebody else's, and the next turn decides about it. */
async function create(
  step: Extract<Step, { kind: 'create' }>,
  cluster: Cluster,
  ports: ExecutePorts,
  signal: AbortSignal,
): Promise<Outcome> {
  const live = await cluster.apply(step.desired, { fieldManager: FIELD_MANAGER, force: false }, signal)
  ports.saw(refKey(step.ref), live)
  const before = ports.entry(refKey(step.ref))
  const known = before?.state === 'owned' && before.uid === live.metadata.uid
  if (known || step.because === 'needed' || madeByUs(live)) return { kind: 'applied', step, live }
  // It was there already, with the very values that we set: give our fields back and let the next turn ask whether to adopt it.
  const { apiVersion, kind, metadata } = step.desired
  const { name, namespace } = metadata
  const bare = { apiVersion, kind, metadata: { name, ...(namespace === undefined ? {} : { namespace }) } }
  ports.saw(refKey(step.ref), await cluster.apply(bare, { fieldManager: FIELD_MANAGER, force: false }, signal))
  return { kind: 'spared', step, because: 'not-ours' }
}

/** The answer to a create shows no manager but us: others come later. */
function madeByUs(live: Manifest): boolean {
  return managerEntries(live).every(({ manager }) => manager === FIELD_MANAGER)
}

/** Only takes away; the next turn finds it gone and makes it again. */
async function replace(
  step: Extract<WriteStep, { actual: Manifest }>,
  cluster: Cluster,
  ports: ExecutePorts,
  signal: AbortSignal,
): Promise<Outcome> {
  const { uid, resourceVersion } = step.actual.metadata
  const state = await cluster.delete(
    step.desired,
    step.ref,
    {
      propagation: 'Background',
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    },
    signal,
  )
  if (state !== 'terminating') ports.saw(refKey(step.ref), null)
  return { kind: 'deleted', step, state }
}

async function remove(step: DeleteStep, ports: ExecutePorts, signal: AbortSignal): Promise<Outcome> {
  const cluster = ports.clusterOf(step)
  const key = refKey(step.ref)
  const name = { apiVersion: step.apiVersion, kind: step.ref.kind }
  for (let tries = 1; ; tries++) {
    const live = await cluster.get(name, step.ref, signal)
    ports.saw(key, live ?? null)
    if (live === undefined) return { kind: 'deleted', step, state: 'gone' }
    const spared = sparedBecause(live, ports.entry(key), ports.marks)
    if (spared !== undefined) return { kind: 'spared', step, because: spared }
    if (live.metadata.deletionTimestamp !== undefined) return { kind: 'deleted', step, state: 'terminating' }
    const { uid = '', resourceVersion = '' } = live.metadata
    try {
      const state = await cluster.delete(name, step.ref, { uid, resourceVersion, propagation: 'Background' }, signal)
      if (state !== 'terminating') ports.saw(key, null)
      return { kind: 'deleted', step, state }
    } catch (error) {
      if (!(error instanceof Fault) || error.reason !== 'Conflict' || tries >= DELETE_TRIES) throw error
      ports.gate()
    }
  }
}

function sparedBecause(
  live: Manifest,
  entry: InventoryEntry | undefined,
  marks: Marks,
): 'uid-changed' | 'not-ours' | undefined {
  if (entry === undefined) return 'not-ours'
  if (entry.state === 'intended') return carriesMarks(live, marks) ? undefined : 'not-ours'
  if (live.metadata.uid !== entry.uid) return 'uid-changed'
  return (live.metadata.ownerReferences ?? []).some((owner) => owner.controller === true) ? 'not-ours' : undefined
}
