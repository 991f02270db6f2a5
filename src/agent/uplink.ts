/**
 * Entries marked `confirm: uplink`. Such a change may cut the site off from whoever could take it back, so the site does that itself:
 * it goes to the fallback that the hub signed where the hub was heard after the last boot, and not since the change, for long enough.
 * An outage that comes after the hub was heard is an ordinary one and moves nothing (ADR 0008).
 */
import type { Outcome } from '../core/diff/types.ts'
import type { Digest } from '../core/model/digest.ts'
import { asFault, type FaultReason } from '../core/model/fault.ts'
import { isObject, type JsonObject } from '../core/model/json.ts'
import { sameGeneration, type Generation } from '../core/model/observation.ts'
import type { SiteManifest } from '../core/protocol/messages.ts'
import type { HubTime } from '../core/protocol/time.ts'
import type { BoxWords } from './box/words.ts'
import type { Desired } from './desired.ts'
import type { AgentOptions, AgentPorts, WorkloadRecord } from './ports.ts'

const NOTE = 'uplink'
/** The first time may have met an outage that only looked like its doing. */
const MOST_TRIES = 2
/** Exchanges that failed since the change: one may have been under way. */
const LEAST_MISSES = 2
/** What a change sets off may take so long to cut the link: an answer before that says nothing. */
const SETTLE_MS = 10_000
/** Nothing was heard of the hub. Any other fault of an exchange is its answer. */
const AWAY: ReadonlySet<FaultReason> = new Set(['Unreachable', 'Timeout', 'CaptivePortal', 'HubNotTrusted'])
const OURS: ReadonlySet<FaultReason> = new Set(['Cancelled', 'Unexpected', 'StoreFull', 'StoreReadOnly', 'StoreCorrupt', 'StoreFailed']) // prettier-ignore

/** On the disk before the change touches the cluster. */
export interface Trial {
  readonly workload: string
  readonly since: Generation
  readonly release: Digest
  readonly fallback: Digest
  readonly tries: number
  /** `back`: at the fallback. */
  readonly state: 'open' | 'back'
  /** When something of it was last changed in the cluster, by the machine's clock of that boot. */
  readonly boot: string
  readonly changedMs: number
}

export interface Judged {
  readonly trial: Trial
  /** Machine's clock. */
  readonly uptimeMs: number
  readonly boot: string
  /** What the hub said last. */
  readonly heard: Pick<HubTime, 'boot'> | undefined
  /** Exchanges that failed since the change. */
  readonly misses: number
  /** How long the one that is under way has had no answer since the change; 0: none is. */
  readonly silentMs: number
  readonly confirmMs: number
}

export type Verdict = { readonly kind: 'revert' } | { readonly kind: 'wait'; readonly ms: number }

/** Whether a site goes back by itself. A boot since the change leaves nothing to tell an outage from its doing. */
export function judgeTrial({ trial, uptimeMs, boot, heard, misses, silentMs, confirmMs }: Judged): Verdict {
  const evident = trial.state === 'open' && trial.boot === boot && heard?.boot === boot
  if (!evident) return { kind: 'wait', ms: Infinity }
  const leftMs = trial.changedMs + confirmMs - uptimeMs
  if (leftMs > 0) return { kind: 'wait', ms: leftMs }
  // A connection that was open when the wire was cut fails late: that nothing comes for half of T says as much.
  if (misses >= LEAST_MISSES || silentMs >= confirmMs / 2) return { kind: 'revert' }
  return { kind: 'wait', ms: silentMs === 0 ? Infinity : confirmMs / 2 - silentMs }
}

/** Whether an answer to an exchange that began at `sentMs` shows that the change left the link alone. */
export function isConfirmed(trial: Trial, sentMs: number, boot: string, healthy: boolean, confirmMs: number): boolean {
  if (trial.state !== 'open') return false
  if (trial.boot !== boot) return true
  const settleMs = healthy ? Math.min(SETTLE_MS, confirmMs / 10) : confirmMs / 2
  return sentMs >= trial.changedMs + settleMs
}

export interface Uplink {
  /** To be written with the records that begin. */
  begins(desired: Desired): ReadonlyMap<string, JsonObject>
  /** What a turn did. */
  acted(outcomes: readonly Outcome[]): void
  /** An exchange begins at this uptime. */
  asked(sentMs: number): void
  /** An exchange that began at this uptime was answered. */
  reached(sentMs: number): void
  /** An exchange failed. */
  missed(error: unknown, sentMs: number): void
  /** Takes back what is due; true: another turn is. */
  revert(manifest: SiteManifest): boolean
  /** Ms until `revert` may have something to do. */
  nextMs(): number
  /** How long the site may go without a call to the hub: whoever waits for it to be heard must ask. */
  callWithinMs(): number
}

export interface UplinkParts {
  readonly ports: Pick<AgentPorts, 'store' | 'machine' | 'clock' | 'log'>
  readonly options: Pick<AgentOptions, 'version' | 'confirmMs'>
  readonly words: Pick<BoxWords, 'pin' | 'unpin' | 'pins'>
  readonly heard: () => HubTime | undefined
  /** A trial began, or is due: calls and turns come sooner. */
  readonly onChange: () => void
}

export function createUplink({ ports, options, words, heard, onChange }: UplinkParts): Uplink {
  const { store, machine, clock, log } = ports
  const { confirmMs } = options
  let trials = read(store.note(NOTE))
  const misses = new Map<string, number>()
  /** The exchange that is under way; they come one after another. */
  let askedMs: number | null = null

  const noteOf = (next: ReadonlyMap<string, Trial>): ReadonlyMap<string, JsonObject | null> =>
    new Map([[NOTE, next.size === 0 ? null : ({ trials: [...next.values()] } as unknown as JsonObject)]])
  const keep = (next: ReadonlyMap<string, Trial>): void => {
    store.write({ notes: noteOf(next) })
    trials = next
  }
  const isAt = (record: WorkloadRecord | undefined, digest: Digest): boolean => record?.healthy?.digest === digest
  const judged = (trial: Trial): Verdict =>
    judgeTrial({
      trial,
      uptimeMs: machine.uptimeMs(),
      boot: machine.bootId,
      heard: heard(),
      misses: misses.get(trial.workload) ?? 0,
      silentMs: askedMs === null ? 0 : machine.uptimeMs() - Math.max(askedMs, trial.changedMs),
      confirmMs,
    })
  const open = (): readonly Trial[] => [...trials.values()].filter(({ state }) => state === 'open')

  function reached(sentMs: number): void {
    askedMs = null
    if (trials.size === 0) return
    const records = store.workloads()
    const next = new Map(trials)
    for (const [workload, trial] of trials) {
      const record = records.get(workload)
      if (isConfirmed(trial, sentMs, machine.bootId, isAt(record, trial.release), confirmMs)) next.delete(workload)
      // The hub had as long to hear of it and to say otherwise: once more, under the same permit.
      const heardFor = trial.boot === machine.bootId ? sentMs - trial.changedMs : sentMs
      const again = trial.state === 'back' && trial.tries < MOST_TRIES && heardFor >= confirmMs
      if (again && isAt(record, trial.fallback) && words.pins().get(workload)?.cause === 'uplink') {
        words.unpin(workload, `agent ${options.version}: the hub is heard again, and it is tried once more`)
        onChange()
      }
    }
    misses.clear()
    if (next.size < trials.size) keep(next)
  }

  return {
    begins({ intents, begins }) {
      const next = new Map(trials)
      for (const { entry } of intents) {
        const { workload, since, release, fallback, confirm } = entry
        const record = begins.get(workload)
        const here = store.workloads().get(workload)
        if (record == null || record.release !== release || here?.release === release) continue
        const last = trials.get(workload)
        next.delete(workload)
        if (confirm !== 'uplink' || fallback === undefined || fallback === release) continue
        // One that was written down and not begun, for a full disk, is still the same try.
        const before = last !== undefined && sameGeneration(last.since, since) ? last : undefined
        const tries = before === undefined ? 1 : before.tries + (before.state === 'back' ? 1 : 0)
        const at = { boot: machine.bootId, changedMs: machine.uptimeMs() }
        next.set(workload, { workload, since, release, fallback, tries, state: 'open', ...at })
        misses.delete(workload)
      }
      if ([...next].every(([name, trial]) => trials.get(name) === trial) && next.size === trials.size) return new Map()
      trials = next
      onChange()
      return noteOf(next) as ReadonlyMap<string, JsonObject>
    },
    acted(outcomes) {
      const changed = new Set(
        outcomes.filter(({ kind }) => kind === 'applied' || kind === 'deleted').map(({ step }) => step.workload),
      )
      const moved = [...trials.values()].filter(({ workload }) => changed.has(workload))
      if (moved.length === 0) return
      const at = { boot: machine.bootId, changedMs: machine.uptimeMs() }
      for (const { workload } of moved) misses.delete(workload)
      keep(new Map([...trials, ...moved.map((trial) => [trial.workload, { ...trial, ...at }] as const)]))
    },
    asked(sentMs) {
      askedMs = sentMs
      // A turn is to come when it has had no answer for too long.
      if (open().length > 0) onChange()
    },
    reached,
    missed(error, sentMs) {
      askedMs = null
      const { reason } = asFault(error)
      if (OURS.has(reason)) return
      if (!AWAY.has(reason)) return reached(sentMs)
      for (const { workload, boot, changedMs } of open())
        if (boot === machine.bootId && sentMs >= changedMs) misses.set(workload, (misses.get(workload) ?? 0) + 1)
      if (open().some((trial) => judged(trial).kind === 'revert')) onChange()
    },
    revert({ entries, withdrawn }) {
      const next = new Map(trials)
      let went = false
      for (const trial of trials.values()) {
        const { workload, since, release, fallback } = trial
        const entry = entries.find((it) => it.workload === workload)
        // The hub has another word, or somebody at the box: this one is over.
        const left = trial.state === 'open' && store.workloads().get(workload)?.release !== release
        if (left || entry === undefined || !sameGeneration(entry.since, since)) next.delete(workload)
        else if (judged(trial).kind === 'revert' && !withdrawn.includes(fallback)) {
          const because = `the hub was not heard for ${Math.round(confirmMs / 1_000)} s after it`
          const at = { boot: machine.bootId, changedMs: machine.uptimeMs() }
          log.warn({ workload, because }, 'goes back to the signed fallback')
          next.set(workload, { ...trial, ...at, state: 'back' })
          const said = {
            by: `agent ${options.version}`,
            reason: because,
            cause: 'uplink',
            atMs: Math.floor(clock.nowMs()),
          } as const
          words.pin({ workload, since, from: release, release: fallback, ...said })
          went = true
        }
      }
      if (went || next.size < trials.size) keep(next)
      return went
    },
    nextMs: () =>
      Math.min(
        ...open()
          .map((trial) => judged(trial))
          .map((it) => (it.kind === 'revert' ? 0 : it.ms)),
        Infinity,
      ),
    callWithinMs: () => {
      const recent = ({ boot, changedMs }: Trial): boolean =>
        boot === machine.bootId && machine.uptimeMs() - changedMs < confirmMs
      return [...trials.values()].some((trial) => trial.state === 'open' || recent(trial)) ? confirmMs / 20 : Infinity
    },
  }
}

function read(note: JsonObject | undefined): ReadonlyMap<string, Trial> {
  const listed = Array.isArray(note?.trials) ? note.trials.filter(isObject) : []
  return new Map((listed as unknown as readonly Trial[]).map((trial) => [trial.workload, trial]))
}
