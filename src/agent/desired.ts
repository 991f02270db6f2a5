/** What this site should have, from its store: per entry whether it may begin, and the objects that are to be there now. */
import { type BatchKind, isBatchRef } from '../core/batch/release.ts'
import type { DesiredWorkload } from '../core/diff/types.ts'
import type { HealthCheck } from '../core/health/checks.ts'
import type { Digest } from '../core/model/digest.ts'
import { asFault } from '../core/model/fault.ts'
import type { Manifest, ObjectRef } from '../core/model/object.ts'
import { sameGeneration } from '../core/model/observation.ts'
import type { Release, ReleaseRules } from '../core/model/release.ts'
import type { Waiting } from '../core/model/state.ts'
import type { ManifestEntry, SiteManifest } from '../core/protocol/messages.ts'
import type { HubNow } from '../core/protocol/time.ts'
import type { BatchDesired, Wanted } from './batch/desired.ts'
import { mayBegin } from './begin.ts'
import { pinnedWaiting, type Pin } from './box/words.ts'
import type { Library } from './library.ts'
import type { WorkloadRecord } from './ports.ts'
import { isWhole, stopOf } from './windows.ts'

export interface DesiredInput {
  readonly manifest: SiteManifest
  readonly acceptedAtMs: number
  readonly records: ReadonlyMap<string, WorkloadRecord>
  readonly library: Library
  readonly hubNow: HubNow
  readonly mode: 'enforce' | 'observe'
  /** Said at the box: nothing new begins. */
  readonly paused: Waiting | undefined
  /** Said at the box, by workload: what runs in place of the hub's release. */
  readonly pins: ReadonlyMap<string, Pin>
  /** Healthy here at the release of its current entry. */
  settled(workload: string): boolean
}

/** One entry as this turn takes it. */
export interface Intent {
  readonly entry: ManifestEntry
  /** As it is to be after this turn's first write. */
  readonly record: WorkloadRecord | undefined
  readonly waiting: Waiting | undefined
  /** It runs, and not what the entry names. */
  readonly instead: Waiting | undefined
  /** Begun and not through, in a time that a window keeps free: it goes on after that. `waiting` says until when. */
  readonly stopped: boolean
  /** What is to be here now: the release of the record, or of the entry where it only looks. */
  readonly release: Release | undefined
  readonly digest: Digest | undefined
  readonly desired: DesiredWorkload
  /** What of it the batch room acts on. */
  readonly batch: readonly Wanted[]
  /** Its release cannot be read. */
  readonly fault: { readonly reason: string; readonly message: string } | undefined
}

export interface Desired {
  readonly intents: readonly Intent[]
  /** Records that begin now, to be written before the cluster is touched. */
  readonly begins: ReadonlyMap<string, WorkloadRecord | null>
  /** Rules of workloads that are here and are no longer named, and their accounts. */
  readonly gone: ReadonlyMap<string, Release>
}

export function desiredOf(input: DesiredInput): Desired {
  const entries = input.manifest.entries.toSorted((a, b) => a.order - b.order)
  const named = new Set(entries.map(({ workload }) => workload))
  const intents = entries.map((entry) => intentOf(entry, input, named))
  const begins = new Map<string, WorkloadRecord | null>()
  for (const { entry, record, waiting, stopped, desired } of intents) {
    if (record === undefined || (waiting !== undefined && !stopped)) continue
    if (record === input.records.get(entry.workload)) continue
    begins.set(entry.workload, record)
    for (const former of desired.rules.formerNames) if (input.records.has(former)) begins.set(former, null)
  }
  const gone = new Map<string, Release>()
  const renamed = new Set(intents.flatMap(({ desired }) => desired.rules.formerNames))
  for (const [workload, { release }] of input.records) {
    const last = named.has(workload) || renamed.has(workload) ? undefined : input.library.pastRelease(release)
    if (last !== undefined) gone.set(workload, last)
  }
  return { intents, begins, gone }
}

function intentOf(entry: ManifestEntry, input: DesiredInput, named: ReadonlySet<string>): Intent {
  const { library, records } = input
  let before = records.get(entry.workload)
  try {
    const target = library.release(entry.release)
    // A renamed workload goes on from what it was under its former name.
    const former =
      before === undefined ? target.rules.formerNames.find((name) => records.has(name) && !named.has(name)) : undefined
    if (former !== undefined) before = records.get(former)
    let begin = mayBegin({
      entry,
      record: before,
      release: target,
      hubNow: input.hubNow,
      withdrawn: new Set(input.manifest.withdrawn),
      dependency: (name) => (!named.has(name) ? 'absent' : input.settled(name) ? 'met' : 'unmet'),
    })
    if (input.mode === 'observe') {
      const record = begin.kind === 'begun' ? before : undefined
      const waiting: Waiting | undefined = begin.kind === 'begun' ? undefined : { reason: 'Observe' }
      return made(entry, record, waiting, target, entry.release, target, input)
    }
    const pin = input.pins.get(entry.workload)
    if (pin !== undefined && sameGeneration(pin.since, entry.since)) return pinned(entry, before, pin, input)
    const stop =
      isWhole(before) && before?.release === entry.release ? undefined : stopOf(input.manifest, entry, input.hubNow)
    if (stop !== undefined && begin.kind === 'begins' && begin.because === 'permit')
      begin = { kind: 'waits', waiting: stop }
    // To stay where it is needs no word.
    if (input.paused !== undefined && begin.kind === 'begins' && begin.because !== 'same')
      begin = { kind: 'waits', waiting: input.paused }
    if (begin.kind === 'waits') {
      const release = before === undefined ? undefined : library.release(before.release)
      const waits = made(entry, before, begin.waiting, release, before?.release, target, input)
      // What it is half way to is not gone on with either.
      const stopped = stop !== undefined && before !== undefined && !isWhole(before)
      const state = former !== undefined || stopped ? 'held' : waits.desired.state
      return { ...waits, stopped, desired: { ...waits.desired, state } }
    }
    const record = begin.kind === 'begun' ? before : began(entry, before, input.acceptedAtMs)
    const goes = made(entry, record, stop, target, entry.release, target, input)
    return stop === undefined ? goes : { ...goes, stopped: true, desired: { ...goes.desired, state: 'held' } }
  } catch (error) {
    const { reason, message } = asFault(error)
    const unread = {
      name: entry.workload,
      order: entry.order,
      rules: NO_RULES,
      objects: [],
      reserved: [],
      state: 'held',
    } as const
    return {
      entry,
      record: before,
      waiting: undefined,
      instead: undefined,
      stopped: false,
      release: undefined,
      digest: undefined,
      desired: unread,
      batch: [],
      fault: { reason, message },
    }
  }
}

/** By the word of somebody at the box: no permit, and no dependency, for it was here before. */
function pinned(entry: ManifestEntry, before: WorkloadRecord | undefined, pin: Pin, input: DesiredInput): Intent {
  const target = input.library.release(pin.release)
  const at = { ...entry, release: pin.release }
  const here = before !== undefined && before.release === pin.release && sameGeneration(before.since, entry.since)
  if (here || input.paused === undefined) {
    const record = here ? before : began(at, before, input.acceptedAtMs)
    const intent = made(entry, record, undefined, target, pin.release, target, input)
    return { ...intent, instead: pinnedWaiting(pin) }
  }
  const release = before === undefined ? undefined : input.library.release(before.release)
  return made(entry, before, input.paused, release, before?.release, target, input)
}

function began(entry: ManifestEntry, before: WorkloadRecord | undefined, receivedAtMs: number): WorkloadRecord {
  const previous = previousOf(entry, before)
  return {
    workload: entry.workload,
    since: entry.since,
    release: entry.release,
    ...(previous === undefined ? {} : { previous }),
    receivedAtMs,
    applied: before?.applied ?? null,
    healthy: before?.healthy ?? null,
    transitions: 0,
    unhealthyMs: 0,
    ...(before?.release === entry.release && isWhole(before) ? { whole: true } : {}),
  }
}

/** The one that is left, where it was well; a release that never was is no place to go back to while there is another. */
function previousOf({ release }: ManifestEntry, before: WorkloadRecord | undefined): Digest | undefined {
  if (before === undefined || before.release === release) return before?.previous
  return before.healthy?.digest === before.release ? before.release : (before.previous ?? before.release)
}

function made(
  entry: ManifestEntry,
  record: WorkloadRecord | undefined,
  waiting: Waiting | undefined,
  release: Release | undefined,
  digest: Digest | undefined,
  target: Release,
  { library }: DesiredInput,
): Intent {
  const reserved: readonly ObjectRef[] = release === target ? [] : target.objects.map(({ ref }) => ref)
  const rules = (release ?? target).rules
  const all = release?.objects ?? []
  const batch = all
    .filter(({ ref }) => isBatchRef(ref))
    .map(({ ref, blob }) => ({
      workload: entry.workload,
      kind: ref.kind as BatchKind,
      ref,
      digest: blob,
      document: library.object(blob),
      account: accountOf(rules.serviceAccount, (release ?? target).namespace),
    }))
  // What is the batch room's is never the API server's.
  const plain = all.filter(({ ref }) => !isBatchRef(ref))
  const objects = plain.map(({ ref, apiVersion, blob, sealed }) => ({
    ref,
    apiVersion,
    digest: blob,
    manifest: sealed === true ? null : once(() => library.object(blob)),
  }))
  // Suspended: everything stays as it is, whichever release it is at.
  const state = target.rules.suspend ? 'held' : 'active'
  const desired: DesiredWorkload = { name: entry.workload, order: entry.order, rules, objects, reserved, state }
  const rest = { instead: undefined, stopped: false, fault: undefined }
  return { entry, record, waiting, release, digest, desired, batch, ...rest }
}

/** How each workload reads the kinds that it brings, by name. */
export function healthChecksOf({ intents }: Pick<Desired, 'intents'>): ReadonlyMap<string, readonly HealthCheck[]> {
  return new Map(intents.map(({ entry, desired }) => [entry.workload, desired.rules.healthChecks]))
}

/** `namespace/name`; '' for the agent itself. */
function accountOf(serviceAccount: string | undefined, namespace: string): string {
  if (serviceAccount === undefined) return ''
  return serviceAccount.includes('/') ? serviceAccount : `${namespace}/${serviceAccount}`
}

/** What is the batch room's of a turn. A release that cannot be read takes nothing away from it. */
export function batchOf({ intents }: Desired, idle: Waiting | undefined): BatchDesired {
  const kept = intents.filter(({ fault, desired }) => fault !== undefined || desired.state === 'held')
  return {
    wanted: intents.flatMap(({ batch }) => batch),
    kept: new Set(kept.map(({ entry }) => entry.workload)),
    ...(idle === undefined ? { mode: 'enforce' } : { mode: 'observe', idle }),
  }
}

/** Parsed at most once a turn: a first turn over thousands of objects asks for each several times. */
function once(make: () => Manifest): () => Manifest {
  let made: Manifest | undefined
  return () => (made ??= make())
}

/** Of a workload that cannot be read: it is held, so none of these is ever used to act. */
const NO_RULES: ReleaseRules = {
  prune: 'off',
  pruneFirst: [],
  pruneConfirm: [],
  adopt: 'never',
  replace: 'never',
  drift: { mode: 'report', ignore: [] },
  healthChecks: [],
  suspend: true,
  formerNames: [],
}
