/**
 * Asks that the hub brought. Each is written down before anything is done about it, and remembered until it can no longer be good:
 * one that comes again, over a lost answer, a restart or by somebody's copy, is not done again. What becomes of it goes into the outbox.
 */
import { Fault, asFault } from '../../core/model/fault.ts'
import { isObject, type JsonObject } from '../../core/model/json.ts'
import {
  answerBodies,
  type Ask,
  type AskAnswer,
  ASK_KIND,
  ASK_MAX_MS,
  ASK_VERBS,
  asksAmong,
  isAskVerb,
  judgeAsk,
  takenBody,
} from '../../core/protocol/ask.ts'
import { type HubNow, TIME_BACKSTEP_MS } from '../../core/protocol/time.ts'
import type { Trust } from '../../core/protocol/trust.ts'
import type { Bell } from '../../runtime/bell.ts'
import type { Outbox } from '../outbox.ts'
import type { AgentOptions, AgentPorts } from '../ports.ts'
import type { AskDesk } from './desk.ts'

const NOTE = 'asks'
/** Above this many that are remembered nothing more is taken: the hub brings it again. */
const MOST_HELD = 500
/** Nor above so many parts of answers that the hub has not acknowledged: it must not fill the disk of a site. */
const MOST_OWED = 100
const ASK_TIME_MS = 60_000

/** After its expiry one is remembered for so long: a hub may correct itself a little backwards. */
const REMEMBERED_MS = 2 * TIME_BACKSTEP_MS

/** One that was seen here, until it cannot be good any more by the hub's time. */
interface Held {
  readonly id: string
  readonly verb: string
  readonly timeEpoch: number
  readonly untilMs: number
  readonly state: 'taken' | 'done' | 'refused'
  readonly most: number
}

export interface Asks {
  /** What one exchange brought, its time statement checked. What is taken is on the disk when it returns. */
  take(asks: readonly JsonObject[] | undefined, from: Heard): void
  /** Says of what a process before this one was at that nobody knows how it ended. */
  recover(): void
  /** How long the site may go without a call to the hub: somebody waits for an answer. */
  callWithinMs(): number
  /** Resolves when nothing is under way. */
  idle(): Promise<void>
  stop(): void
}

export interface Heard {
  readonly trust: Trust
  readonly site: string
  readonly siteId: string
}

export interface AsksParts {
  readonly ports: Pick<AgentPorts, 'store' | 'clock' | 'log'>
  readonly options: Pick<AgentOptions, 'asks' | 'newsAfterMs'>
  readonly outbox: Outbox
  readonly desk: AskDesk
  readonly urgent: Pick<Bell, 'ring'>
  hubNow(): HubNow
}

export function createAsks(parts: AsksParts): Asks {
  const { options, outbox, desk, urgent } = parts
  const { store, clock, log } = parts.ports
  const hubNow = (): HubNow => parts.hubNow()
  const stop = new AbortController()
  let held: readonly Held[] = heldIn(store.note(NOTE))
  const saidAgain = new Set<string>()
  let recovered = false
  let underWay = 0
  /** What only reads does not wait for what changes something, and those keep their order. */
  const lanes = { reads: Promise.resolve(), changes: Promise.resolve() }

  const noteOf = (next: readonly Held[]): { readonly notes: ReadonlyMap<string, JsonObject> } => ({
    notes: new Map([[NOTE, { held: next as unknown as readonly JsonObject[] }]]),
  })
  const holding = (one: Held): readonly Held[] => [...held.filter(({ id }) => id !== one.id), one]

  function answer(one: Held, given: AskAnswer): void {
    const next = holding({ ...one, state: given.ok ? 'done' : 'refused' })
    outbox.putAll('result', clock.nowMs(), answerBodies(one.id, given, one.most), noteOf(next))
    held = next
    urgent.ring()
  }

  function refuse(one: Held, reason: Fault['reason'], message: string): void {
    log.warn({ ask: one.id, verb: one.verb, reason, because: message }, 'did not do what was asked')
    answer(one, { ok: false, reason, message })
  }

  function begin(ask: Ask, { trust }: Heard): void {
    const { id, verb, most, timeEpoch, by } = ask
    const one: Held = { id, verb, most, timeEpoch, untilMs: Date.parse(ask.expires), state: 'taken' }
    const refusal = refusalOf(verb, options.asks, trust)
    if (refusal !== undefined) return refuse(one, refusal.reason, refusal.message)
    const next = holding(one)
    outbox.putAll('result', clock.nowMs(), [takenBody(id)], noteOf(next))
    held = next
    log.info({ ask: id, verb, by }, 'asked by the hub')
    const lane = isAskVerb(verb) && ASK_VERBS[verb] === 'reads' ? 'reads' : 'changes'
    underWay += 1
    lanes[lane] = lanes[lane].then(() => work(one, ask)).finally(() => (underWay -= 1))
  }

  async function work(one: Held, ask: Ask): Promise<void> {
    if (stop.signal.aborted) return
    const timer = AbortSignal.timeout(ASK_TIME_MS)
    try {
      const now = hubNow()
      if (now.known === 'exact' && now.ms > one.untilMs)
        return refuse(one, 'Expired', 'it waited here for others until it had expired')
      const said = await desk(ask, AbortSignal.any([stop.signal, timer]))
      answer(one, { ok: true, said })
    } catch (error) {
      // Nobody knows how far it came: the next process says so.
      if (stop.signal.aborted) return
      const { reason, message } = timer.aborted ? tooLong(one) : asFault(error)
      try {
        refuse(one, reason, message)
      } catch (fault) {
        log.warn({ ask: one.id, reason: asFault(fault).reason }, 'an answer is lost')
      }
    }
  }

  /** Those that a signed time of this epoch shows to be over. */
  function forget({ trust }: Heard): void {
    const now = hubNow()
    if (now.known !== 'exact') return
    held = held.filter(
      ({ untilMs, timeEpoch, state }) =>
        state === 'taken' || (timeEpoch >= trust.timeEpoch && untilMs + REMEMBERED_MS > now.ms),
    )
  }

  async function idle(): Promise<void> {
    await Promise.all([lanes.reads, lanes.changes])
    if (underWay > 0) await idle()
  }

  return {
    take(asks, from) {
      const brought = asksAmong(asks)
      // What is taken by a process that ends would be said to have been begun.
      if (brought.length === 0 || stop.signal.aborted) return
      forget(from)
      for (const item of brought) {
        try {
          takeOne(item, from)
        } catch (error) {
          const { reason, message } = asFault(error)
          // The store did not take it, so it was not taken: the hub brings it again.
          log.warn({ reason, because: message }, 'did not take what was asked')
        }
      }
    },
    recover() {
      if (recovered) return
      recovered = true
      for (const one of held.filter(({ state }) => state === 'taken')) {
        const isRead = isAskVerb(one.verb) && ASK_VERBS[one.verb] === 'reads'
        const message = `the agent was started anew while it was at it${isRead ? ': ask again' : ''}`
        refuse(one, isRead ? 'Cancelled' : 'OutcomeUnknown', message)
      }
    },
    callWithinMs: () => (underWay === 0 && outbox.owed(ASK_KIND) > 0 ? options.newsAfterMs : Infinity),
    idle,
    stop: () => stop.abort(new Fault('Cancelled', 'the agent ends')),
  }

  function takeOne(item: JsonObject, from: Heard): void {
    const verdict = judgeAsk(item, { ...from, hubNow: hubNow() })
    const { ask } = verdict
    const known = ask === undefined ? undefined : held.find(({ id }) => id === ask.id)
    if (known !== undefined) {
      // It acknowledged what it was told of this one, and does not know it any more: a hub of a backup.
      if (known.state === 'done' && outbox.owed(ASK_KIND) === 0 && !saidAgain.has(known.id)) {
        saidAgain.add(known.id)
        outbox.putAll('result', clock.nowMs(), [takenBody(known.id)], { notes: new Map() })
        urgent.ring()
      }
      return
    }
    if (held.length >= MOST_HELD || outbox.owed(ASK_KIND) >= MOST_OWED)
      throw new Fault(
        'Throttled',
        `${held.length} asks are remembered, and ${outbox.owed(ASK_KIND)} words of them wait`,
      )
    if (verdict.verdict === 'take') return begin(verdict.ask, from)
    const now = hubNow()
    // What expired so long ago that it may be forgotten here has had its answer, or nobody waits for it.
    const isOld = ask !== undefined && now.known === 'exact' && Date.parse(ask.expires) + REMEMBERED_MS <= now.ms
    if (ask === undefined || isOld) {
      log.warn({ reason: verdict.reason, because: verdict.because }, 'refused what the hub asked')
      return
    }
    const { id, verb, most, timeEpoch } = ask
    const latestMs = now.known === 'no' ? 0 : now.ms + ASK_MAX_MS
    const untilMs = Math.min(Date.parse(ask.expires), latestMs)
    refuse({ id, verb, most, timeEpoch, untilMs, state: 'taken' }, verdict.reason, verdict.because)
  }
}

function tooLong({ verb }: Held): Pick<Fault, 'reason' | 'message'> {
  const message = `it was not through after ${ASK_TIME_MS / 1_000} s`
  if (isAskVerb(verb) && ASK_VERBS[verb] === 'reads') return { reason: 'Timeout', message }
  return { reason: 'OutcomeUnknown', message: `${message}, and may go on` }
}

/** What the site itself does not do, whoever asks. */
function refusalOf(
  verb: string,
  allowed: readonly string[],
  trust: Trust,
): { readonly reason: Fault['reason']; readonly message: string } | undefined {
  if (!isAskVerb(verb)) return { reason: 'AgentTooOld', message: `unknown verb ${verb}` }
  if (!allowed.includes(verb)) return { reason: 'Forbidden', message: `this site does not take ${verb} from the hub` }
  // A hub whose key was stolen must not bring what no signer spoke for (ADR 0014).
  if (ASK_VERBS[verb] === 'runs' && trust.critical.includes('release'))
    return { reason: 'Forbidden', message: `the root names a release signer: ${verb} is said at the box, or in Git` }
  return undefined
}

function heldIn(note: JsonObject | undefined): readonly Held[] {
  const held = note?.['held']
  return (Array.isArray(held) ? held.filter(isObject) : []) as unknown as readonly Held[]
}
