/** The end of a turn: what was found becomes records, soaks, conditions and observations, and says when to look again. */
import { formatDuration } from '../core/calendar/duration.ts'
import { brakedBy } from '../core/diff/confirmed.ts'
import type { Outcome, Step } from '../core/diff/types.ts'
import { jsonEqual, type Json } from '../core/model/json.ts'
import { refKey, type Manifest } from '../core/model/object.ts'
import { formatWaiting, NOT_ITS_DOING, type Waiting } from '../core/model/state.ts'
import type { SiteManifest } from '../core/protocol/messages.ts'
import { pinnedWaiting } from './box/words.ts'
import type { BatchFinding } from './batch/desired.ts'
import { healthChecksOf, type Desired, type Intent } from './desired.ts'
import { findingOf, lastSeen, saidOfInUse } from './findings.ts'
import type { Library } from './library.ts'
import { LOOK_MS, podReason } from './pods.ts'
import type { StoredManifest, WorkloadRecord } from './ports.ts'
import { isEntrySettled, type ReconcileDeps } from './settled.ts'
import { AWAY_MS } from './observe.ts'
import { healthOfWorkload, observationOf, restamp, type ObjectFinding } from './report.ts'
import { isGood, soaked } from './soak.ts'
import { setCondition, type TurnState } from './turn-state.ts'

/** Not hearing of the cluster for longer than this, nobody can say that health was unbroken. */
const BLIND_MS = 30_000
/** Pods are looked at for so many objects a turn: the worst site must not list without end. */
const LOOKS_A_TURN = 5
const POD_OWNERS = new Set(['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet'])

export interface TurnEnd extends ReconcileDeps {
  readonly current: { readonly stored: StoredManifest; readonly manifest: SiteManifest }
  readonly desired: Desired
  readonly steps: readonly Step[]
  readonly outcomes: readonly Outcome[]
  readonly library: Library
  readonly mode: 'enforce' | 'observe'
  /** Why nothing was done in this turn. */
  readonly idle: Waiting | undefined
}

/** Returns ms until the next turn is due by itself. */
export async function concludeTurn(end: TurnEnd, signal: AbortSignal): Promise<number> {
  const { ports, state, desired } = end
  const { store, clock } = ports
  const nowMs = clock.nowMs()
  const monoMs = clock.monotonicMs()
  const blindMs = end.observer.takeBlindMs()
  const settledBefore = settledOf(end)
  const blindSinceMs = end.observer.blindSinceMs()
  const silentMs = blindSinceMs === null ? 0 : monoMs - blindSinceMs
  const findings = await findingsOf(end, signal)
  const records = new Map<string, WorkloadRecord | null>()
  for (const intent of desired.intents) {
    const { entry } = intent
    const found = findings.get(entry.workload) ?? []
    // In observe mode nothing is begun here: there is no record to bring up to date.
    const kept = store.workloads().get(entry.workload)
    const record =
      kept === undefined || intent.fault !== undefined ? kept : recordOf({ ...end, blindMs }, intent, kept, found)
    if (record !== undefined && kept !== undefined && !jsonEqual(record as unknown as Json, kept as unknown as Json))
      records.set(entry.workload, record)
    observe(end, intent, record, silentMs > AWAY_MS ? found.map((it) => lastSeen(it, silentMs)) : found, monoMs)
  }
  dropGone(end, records)
  if (records.size > 0) store.write({ workloads: records })
  conditions(end, nowMs)
  state.attempts.keep((key) => store.inventory().has(key) || end.steps.some((step) => refKey(step.ref) === key))
  for (const key of state.verified.keys()) if (!store.inventory().has(key)) state.verified.delete(key)
  state.broken = false
  const again =
    end.outcomes.some((outcome) => wantsAnother(outcome, state)) ||
    (settledOf(end) > settledBefore && waitsOnWorkload(desired))
  return again ? 0 : nextOf(end, monoMs)
}

/** The next decision follows at once: something was taken away to be made again, or must be decided anew. */
function wantsAnother(outcome: Outcome, { attempts }: TurnState): boolean {
  if (outcome.kind === 'failed') return attempts.last(refKey(outcome.step.ref))?.waitMs === 0
  if (outcome.kind === 'deleted') return outcome.step.kind !== 'delete' && outcome.state !== 'terminating'
  return outcome.kind === 'spared'
}

function waitsOnWorkload({ intents }: Desired): boolean {
  return intents.some(({ waiting }) => waiting?.reason === 'Dependency')
}

function settledOf({ current, ports, state }: TurnEnd): number {
  const records = ports.store.workloads()
  return current.manifest.entries.filter((entry) => isEntrySettled(entry, records, state)).length
}

function nextOf(end: TurnEnd, monoMs: number): number {
  const { state, desired, options } = end
  const now = end.hubNow()
  const attemptMs = state.attempts.nextAtMs(monoMs)
  const hub = desired.intents.flatMap(({ waiting }) => waiting?.nextAtMs ?? [])
  const permitMs = hub.length === 0 || now.known === 'no' ? Infinity : Math.max(0, Math.min(...hub) - now.ms)
  const due = Math.min(attemptMs === undefined ? Infinity : attemptMs - monoMs, permitMs, options.resyncMs)
  return due
}

async function findingsOf(end: TurnEnd, signal: AbortSignal): Promise<ReadonlyMap<string, ObjectFinding[]>> {
  const { steps, outcomes, observer, ports } = end
  const outcomeOf = new Map(outcomes.map((outcome) => [outcome.step, outcome] as const))
  const inventory = ports.store.inventory()
  const named = new Set(end.desired.intents.flatMap(({ desired }) => desired.objects.map(({ ref }) => refKey(ref))))
  const findings = new Map<string, ObjectFinding[]>()
  const checks = healthChecksOf(end.desired)
  let looks = LOOKS_A_TURN
  for (const step of steps) {
    const key = refKey(step.ref)
    const braked = step.kind === 'wait' && step.because.reason === 'DeletionBrake'
    if (!named.has(key) && !braked) continue
    const entry = inventory.get(key)
    const seen = observer.seen(key)
    const live = seen === undefined && entry?.state === 'owned' && entry.done !== undefined ? null : seen
    const input = {
      step,
      outcome: outcomeOf.get(step),
      entry,
      live,
      because: undefined,
      idle: end.idle,
      nowMs: ports.clock.nowMs(),
      checks: checks.get(step.workload) ?? [],
    }
    let finding = findingOf(input)
    if (!isGood(finding.health) && live !== null && live !== undefined && POD_OWNERS.has(step.ref.kind)) {
      const look = await lookAt(end, key, live, looks, signal)
      if (look.asked) looks -= 1
      if (look.because !== undefined) finding = findingOf({ ...input, because: look.because })
    }
    const list = findings.get(step.workload) ?? []
    list.push(braked ? { ...finding, health: 'Healthy', applied: true } : finding)
    findings.set(step.workload, list)
  }
  for (const wanted of end.desired.intents.flatMap(({ batch }) => batch)) {
    const found = end.batch.finding(wanted)
    const list = findings.get(wanted.workload) ?? []
    list.push({ ...NOTHING_SAID, ...found, ref: wanted.ref, sync: syncOfBatch(found) })
    findings.set(wanted.workload, list)
  }
  return findings
}

const NOTHING_SAID = { refused: false, sealed: false } as const

function syncOfBatch({ applied, waiting, refused }: BatchFinding): ObjectFinding['sync'] {
  if (refused === true) return 'Failed'
  if (waiting !== undefined) return 'Waiting'
  return applied ? 'Synced' : 'Progressing'
}

async function lookAt(
  { state, ports }: TurnEnd,
  key: string,
  live: Manifest,
  left: number,
  signal: AbortSignal,
): Promise<{ readonly asked: boolean; readonly because: string | undefined }> {
  const nowMs = ports.clock.monotonicMs()
  const before = state.looks.get(key)
  if ((before !== undefined && nowMs - before.atMs < LOOK_MS) || left <= 0)
    return { asked: false, because: before?.because }
  const because = await podReason(ports.cluster, live, signal)
  state.looks.set(key, { atMs: nowMs, because })
  return { asked: true, because }
}

function recordOf(
  end: TurnEnd & { readonly blindMs: number },
  intent: Intent,
  kept: WorkloadRecord,
  found: readonly ObjectFinding[],
): WorkloadRecord {
  const { state, ports, mode } = end
  const nowMs = ports.clock.nowMs()
  const looking = mode === 'observe' && intent.record === undefined
  const applied = !looking && !intent.stopped && found.every((finding) => finding.sealed || finding.applied)
  const health = healthOfWorkload(found)
  const soak = soaked(state.soaks.get(kept.workload), kept, {
    release: kept.release,
    evidence: applied,
    health,
    nowMs: ports.clock.monotonicMs(),
    unbroken: !state.broken && end.blindMs <= BLIND_MS,
    stands: intent.stopped || found.some(({ waiting }) => NOT_ITS_DOING.has(waiting?.reason ?? '')),
  })
  state.soaks.set(kept.workload, soak)
  if (looking) return kept
  const moved = soak.transitions !== kept.transitions
  return {
    ...kept,
    applied: restamp(kept.applied, kept.release, applied, nowMs),
    healthy: restamp(kept.healthy, kept.release, applied && isGood(health), nowMs),
    ...(applied ? { whole: true } : {}),
    transitions: soak.transitions,
    unhealthyMs: moved ? Math.floor(soak.unhealthyMs) : kept.unhealthyMs,
  }
}

function observe(
  { state, current, outcomes }: TurnEnd,
  intent: Intent,
  record: WorkloadRecord | undefined,
  findings: readonly ObjectFinding[],
  nowMonotonicMs: number,
): void {
  const { entry } = intent
  const since = `${entry.since.epoch}.${entry.since.counter}`
  const before = state.pruned.get(entry.workload)
  const now = outcomes.filter(
    ({ kind, step }) => kind === 'deleted' && step.kind === 'delete' && step.workload === entry.workload,
  ).length
  const count = (before?.since === since ? before.count : 0) + now
  state.pruned.set(entry.workload, { since, count })
  const observation = observationOf({
    entry,
    record,
    waiting: intent.waiting ?? intent.instead,
    findings,
    unknown: intent.fault,
    soak: record === undefined ? undefined : state.soaks.get(entry.workload),
    receivedAtMs: record?.since === entry.since ? record.receivedAtMs : current.stored.acceptedAtMs,
    pruned: count,
    nowMonotonicMs,
  })
  state.observations.set(entry.workload, observation)
}

/** Workloads of which nothing is left. */
function dropGone({ desired, ports, state, current }: TurnEnd, records: Map<string, WorkloadRecord | null>): void {
  const named = new Set(current.manifest.entries.map(({ workload }) => workload))
  for (const name of state.observations.keys()) if (!named.has(name)) state.observations.delete(name)
  if (desired.gone.size === 0) return
  const holding = new Set([...ports.store.inventory().values()].map(({ workload }) => workload))
  for (const name of desired.gone.keys()) if (!holding.has(name)) records.set(name, null)
}

/** What concerns the site and no workload that is reported on. */
function conditions({ steps, outcomes, state, current, observer, ports, words }: TurnEnd, nowMs: number): void {
  setCondition(state, 'Box', boxSays(words), nowMs)
  const braked = brakedBy(steps, current.manifest.siteId)
  const away = outcomes.find(
    (outcome) => outcome.kind === 'failed' && ['Unreachable', 'Unauthorized', 'Timeout'].includes(outcome.reason),
  )
  const blindSinceMs = observer.blindSinceMs()
  const lease = ports.lease?.state()
  if (lease?.held === 'no' && lease.by !== null)
    setCondition(state, 'Cluster', { reason: 'Conflict', message: lease.because }, nowMs)
  else if (away?.kind === 'failed') setCondition(state, 'Cluster', away, nowMs)
  else if (blindSinceMs !== null && ports.clock.monotonicMs() - blindSinceMs > AWAY_MS)
    setCondition(state, 'Cluster', { reason: 'Unreachable', message: 'the API server is not heard of' }, nowMs)
  else if (braked !== null) {
    const { digest, keys } = braked
    const message =
      `${keys.length} deletions in one turn wait: if they are meant, add ${digest} to deletionBrake.confirmed ` +
      `in the root file`
    setCondition(state, 'Cluster', { reason: 'DeletionBrake', message, deletions: digest }, nowMs)
  } else setCondition(state, 'Cluster', saidOfInUse(steps), nowMs)
}

/** Told by the site itself, so that nobody wonders why it stands still or runs something else. */
function boxSays(words: TurnEnd['words']): { readonly reason: string; readonly message: string } | null {
  const pause = words.pause()
  const back = [...words.pins().values()].map((pin) => `${pin.workload}: ${formatWaiting(pinnedWaiting(pin))}`)
  if (pause !== undefined) {
    const ends = pause.forMs === null ? 'until somebody resumes' : `for ${formatDuration(pause.forMs)}`
    return {
      reason: 'Paused',
      message: [`paused at the box ${ends} by ${pause.by}: ${pause.reason}`, ...back].join('; '),
    }
  }
  return back.length === 0 ? null : { reason: 'RolledBack', message: back.join('; ') }
}
