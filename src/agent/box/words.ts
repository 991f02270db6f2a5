/**
 * What somebody said at the box: a pause, and workloads that were taken back. On the disk, with the line that tells the hub of it,
 * before anything follows from it; kept over restarts.
 */
import type { Digest } from '../../core/model/digest.ts'
import { Fault } from '../../core/model/fault.ts'
import type { JsonObject } from '../../core/model/json.ts'
import { sameGeneration, type Generation } from '../../core/model/observation.ts'
import type { Waiting } from '../../core/model/state.ts'
import type { SiteManifest } from '../../core/protocol/messages.ts'
import type { HubNow } from '../../core/protocol/time.ts'
import type { Outbox } from '../outbox.ts'
import type { AgentPorts } from '../ports.ts'

const NOTE = 'box'
/** What is longer is no pause: it belongs into Git, where others see it. */
export const MAX_PAUSE_MS = 30 * 86_400_000
/** A name or a reason, as the hub shows it. */
const MAX_TEXT = 300

/** Measured by the machine's own clock; a reboot begins it anew unless the hub's time says that it is over. */
export interface Pause {
  readonly by: string
  readonly reason: string
  readonly atMs: number
  readonly forMs: number | null
  readonly boot: string
  readonly fromUptimeMs: number
  readonly untilHubMs: number | null
}

/** One workload runs another release than the hub's, until the hub says something else about it. */
export interface Pin {
  readonly workload: string
  /** Of the entry that it was said against. */
  readonly since: Generation
  readonly from: Digest
  readonly release: Digest
  readonly by: string
  readonly reason: string
  readonly atMs: number
  /** The agent's own doing: `upgrade`, a new one did not come up; `uplink`, the hub was not heard after it. */
  readonly cause: 'person' | 'upgrade' | 'uplink'
}

export interface BoxWords {
  /** Ends one whose time is over. */
  pause(): (Pause & { readonly leftMs: number | null }) | undefined
  pins(): ReadonlyMap<string, Pin>
  startPause(by: string, reason: string, forMs: number | null): void
  /** Fault NotFound: there is none. */
  endPause(by: string): void
  pin(pin: Pin): void
  unpin(workload: string, by: string): void
  /** Drops what the hub has spoken about since. */
  follow(manifest: SiteManifest): void
}

interface Held {
  readonly pause: Pause | null
  readonly pins: readonly Pin[]
}

export function createBoxWords(
  { store, clock, machine }: Pick<AgentPorts, 'store' | 'clock' | 'machine'>,
  outbox: Outbox,
  hubNow: () => HubNow,
): BoxWords {
  let held: Held = heldIn(store.note(NOTE))

  function keep(next: Held, said: JsonObject): void {
    const note = { pause: next.pause, pins: next.pins } as unknown as JsonObject
    outbox.put('audit', clock.nowMs(), { kind: 'box', ...said }, { notes: new Map([[NOTE, note]]) })
    held = next
  }

  function leftMs({ forMs, boot, fromUptimeMs, untilHubMs }: Pause): number | null {
    if (forMs === null) return null
    const now = hubNow()
    if (untilHubMs !== null && now.known !== 'no' && now.ms >= untilHubMs) return 0
    return boot === machine.bootId ? fromUptimeMs + forMs - machine.uptimeMs() : forMs
  }

  /** Counted from the first look after a reboot: nobody knows how long the box was off. */
  function anchored(pause: Pause): Pause {
    if (pause.boot === machine.bootId || pause.forMs === null) return pause
    const next = { ...pause, boot: machine.bootId, fromUptimeMs: machine.uptimeMs() }
    store.write({ notes: new Map([[NOTE, { pause: next, pins: held.pins } as unknown as JsonObject]]) })
    held = { ...held, pause: next }
    return next
  }

  return {
    pause() {
      if (held.pause === null) return undefined
      const left = leftMs(held.pause)
      if (left !== null && left <= 0) {
        keep({ ...held, pause: null }, { word: 'resume', by: held.pause.by, because: 'its time is over' })
        return undefined
      }
      return { ...anchored(held.pause), leftMs: left }
    },
    pins: () => new Map(held.pins.map((pin) => [pin.workload, pin])),
    startPause(by, reason, forMs) {
      if (forMs !== null && (forMs <= 0 || forMs > MAX_PAUSE_MS))
        throw new Fault('InvalidInput', `a pause of ${forMs} ms: at most ${MAX_PAUSE_MS}`)
      const now = hubNow()
      const pause: Pause = {
        by: said('by', by),
        reason: said('reason', reason),
        atMs: Math.floor(clock.nowMs()),
        forMs,
        boot: machine.bootId,
        fromUptimeMs: machine.uptimeMs(),
        untilHubMs: forMs !== null && now.known === 'exact' ? now.ms + forMs : null,
      }
      keep(
        { ...held, pause },
        { word: 'pause', by: pause.by, reason: pause.reason, ...(forMs === null ? {} : { forMs }) },
      )
    },
    endPause(by) {
      if (held.pause === null) throw new Fault('NotFound', 'nothing is paused here')
      keep({ ...held, pause: null }, { word: 'resume', by: said('by', by) })
    },
    pin(pin) {
      const { workload, from, release, cause } = pin
      const texts = { by: said('by', pin.by), reason: said('reason', pin.reason) }
      const others = held.pins.filter((it) => it.workload !== workload)
      keep(
        { ...held, pins: [...others, { ...pin, ...texts }] },
        { word: 'rollback', workload, from, release, cause, ...texts },
      )
    },
    unpin(workload, by) {
      if (!held.pins.some((it) => it.workload === workload))
        throw new Fault('NotFound', `${workload} was not rolled back here`)
      const pins = held.pins.filter((it) => it.workload !== workload)
      keep({ ...held, pins }, { word: 'resume', workload, by: said('by', by) })
    },
    follow(manifest) {
      for (const pin of held.pins) {
        const because = overBecause(pin, manifest)
        if (because === undefined) continue
        const pins = held.pins.filter(({ workload }) => workload !== pin.workload)
        keep({ ...held, pins }, { word: 'resume', workload: pin.workload, by: 'hub', because })
      }
    },
  }
}

function overBecause({ workload, since, release }: Pin, { entries, withdrawn }: SiteManifest): string | undefined {
  const entry = entries.find((it) => it.workload === workload)
  if (entry === undefined) return 'the hub no longer names it'
  if (!sameGeneration(entry.since, since)) return 'the hub has a newer word'
  return withdrawn.includes(release) ? 'the release it was taken back to is withdrawn' : undefined
}

/** `Paused(kim: a disk is replaced)`. */
export function pausedWaiting({ by, reason }: Pick<Pause, 'by' | 'reason'>): Waiting {
  return { reason: 'Paused', detail: `${by}: ${reason}` }
}

/** `Hold(rolled back at the box by kim: crashes)`. */
export function pinnedWaiting({ by, reason, cause }: Pin): Waiting {
  const who = cause === 'person' ? `rolled back at the box by ${by}` : 'RevertedUnconfirmed'
  return { reason: 'Hold', detail: `${who}: ${reason}` }
}

function said(what: string, text: string): string {
  const one = text.replaceAll(/\s+/g, ' ').trim()
  if (one === '' || one.length > MAX_TEXT)
    throw new Fault('InvalidInput', `${what} has ${one.length} characters: 1 to ${MAX_TEXT}`)
  return one
}

function heldIn(note: JsonObject | undefined): Held {
  const { pause = null, pins = [] } = (note ?? {}) as unknown as Partial<Held>
  return { pause, pins }
}
