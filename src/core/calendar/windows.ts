/**
 * When changes may go: maintenance windows as pure questions about time. A recurring window opens when its cron schedule activates
 * and stays open for its duration of real time, so one that a clock change skips is left out that day, and none is cut short or
 * doubled by a change inside it. A dated one lasts from `fromMs` to `untilMs`. Ends are exclusive.
 */
import { nextActivation, type CronSchedule } from './cron.ts'

export interface MaintenanceWindow {
  readonly name: string
  /** `deny` always wins; where any `allow` window applies, changes go only inside one. */
  readonly effect: 'allow' | 'deny'
  readonly when:
    | { readonly is: 'recurring'; readonly schedule: CronSchedule; readonly durationMs: number }
    | { readonly is: 'dated'; readonly fromMs: number; readonly untilMs: number }
  /** `site`: the zone of the site that asks; else an IANA name. */
  readonly timeZone: string
  /** `stop`: what has begun is not continued once it closes. */
  readonly overrun: 'finish' | 'stop'
  /** The team whose yes lets a change go in spite of it; null: nobody's. */
  readonly breakGlass: string | null
}

export type WindowVerdict =
  /** `closesAtMs` null: not within the horizon. */
  | { readonly open: true; readonly closesAtMs: number | null }
  | {
      readonly open: false
      /** The window that keeps it; the name of an `allow` window where none of them is open. */
      readonly by: string
      /** null: not within the horizon. */
      readonly opensAtMs: number | null
      /** Teams whose yes would open it now, one of each entry; null: somebody's no cannot be broken. */
      readonly breakGlass: readonly string[] | null
    }

/** How far ahead `FLT2105` and predictions look: a window that opens later than this does not open, as far as anyone plans. */
export const HORIZON_MS = 60 * 86_400_000
/** Predictions look at no more edges than an opening and a closing every half hour of the horizon make; beyond, none is foreseen. */
const MAX_EDGES = 6_000
const NOBODY: ReadonlySet<string> = new Set()

/** May a change go at this instant, and until when or from when? `yes`: teams that broke the glass. No window: always open. */
export function windowAt(
  windows: readonly MaintenanceWindow[],
  siteZone: string,
  nowMs: number,
  yes: ReadonlySet<string> = NOBODY,
): WindowVerdict {
  const asked = stillAsked(windows, yes)
  const spans = new Spans(asked, siteZone)
  if (isPermitted(spans, asked, nowMs))
    return { open: true, closesAtMs: edgeWhere(spans, asked, nowMs, (atMs) => !isPermitted(spans, asked, atMs)) }
  const denying = asked.filter((one) => one.effect === 'deny' && spans.isOpen(one, nowMs))
  const lacking = isAllowed(spans, asked, nowMs) ? [] : asked.filter(({ effect }) => effect === 'allow')
  const keepers = [...denying, ...lacking].filter((one) => !isBroken(one, yes))
  const teams = keepers.map(({ breakGlass }) => breakGlass)
  const known = teams.filter((team): team is string => team !== null)
  return {
    open: false,
    by: keepers[0]?.name ?? '',
    opensAtMs: edgeWhere(spans, asked, nowMs, (atMs) => isPermitted(spans, asked, atMs)),
    breakGlass: known.length === teams.length ? [...new Set(known)] : null,
  }
}

function isBroken({ breakGlass }: Pick<MaintenanceWindow, 'breakGlass'>, yes: ReadonlySet<string>): boolean {
  return breakGlass !== null && yes.has(breakGlass)
}

/**
 * The windows that still say something once these teams broke the glass. A yes only ever opens: while another `allow` window
 * restricts, one that yields still lets changes go inside itself.
 */
export function stillAsked<W extends Pick<MaintenanceWindow, 'effect' | 'breakGlass'>>(
  windows: readonly W[],
  yes: ReadonlySet<string>,
): readonly W[] {
  if (yes.size === 0) return windows
  const restricts = windows.some((one) => one.effect === 'allow' && !isBroken(one, yes))
  return windows.filter((one) => !isBroken(one, yes) || (one.effect === 'allow' && restricts))
}

/** Whether a change that has begun must stand still; `resumesAtMs` null: not within the horizon. */
export type StopVerdict =
  | { readonly stops: false }
  | { readonly stops: true; readonly by: string; readonly resumesAtMs: number | null }

/** Must a change that has begun stop now, and until when? Only where a window with `overrun: stop` is what keeps it. */
export function stopAt(windows: readonly MaintenanceWindow[], siteZone: string, nowMs: number): StopVerdict {
  const spans = new Spans(windows, siteZone)
  const by = stopper(spans, windows, nowMs)
  if (by === undefined) return { stops: false }
  const resumesAtMs = edgeWhere(spans, windows, nowMs, (atMs) => stopper(spans, windows, atMs) === undefined)
  return { stops: true, by: by.name, resumesAtMs }
}

function stopper(spans: Spans, windows: readonly MaintenanceWindow[], atMs: number): MaintenanceWindow | undefined {
  const stops = windows.filter(({ overrun }) => overrun === 'stop')
  const denies = stops.find((one) => one.effect === 'deny' && spans.isOpen(one, atMs))
  if (denies !== undefined || isAllowed(spans, windows, atMs)) return denies
  return stops.find(({ effect }) => effect === 'allow')
}

/** FLT2105: the first minute in which changes may go within HORIZON_MS; null: these windows leave the site none. */
export function firstPermitted(windows: readonly MaintenanceWindow[], siteZone: string, fromMs: number): number | null {
  const verdict = windowAt(windows, siteZone, fromMs)
  return verdict.open ? fromMs : verdict.opensAtMs
}

/** End of the window that is open now or opens next; null: none closes within the horizon. What `startBy` defaults to. */
export function endOfNext(
  windows: readonly MaintenanceWindow[],
  siteZone: string,
  nowMs: number,
  yes: ReadonlySet<string> = NOBODY,
): number | null {
  const now = windowAt(windows, siteZone, nowMs, yes)
  if (now.open) return now.closesAtMs
  if (now.opensAtMs === null) return null
  const then = windowAt(windows, siteZone, now.opensAtMs, yes)
  return then.open ? then.closesAtMs : null
}

function isAllowed(spans: Spans, windows: readonly MaintenanceWindow[], atMs: number): boolean {
  const allow = windows.filter(({ effect }) => effect === 'allow')
  return allow.length === 0 || allow.some((one) => spans.isOpen(one, atMs))
}

function isPermitted(spans: Spans, windows: readonly MaintenanceWindow[], atMs: number): boolean {
  if (windows.some((one) => one.effect === 'deny' && spans.isOpen(one, atMs))) return false
  return isAllowed(spans, windows, atMs)
}

/** The first edge of any window after `nowMs` from which this holds. */
function edgeWhere(
  spans: Spans,
  windows: readonly MaintenanceWindow[],
  nowMs: number,
  holds: (atMs: number) => boolean,
): number | null {
  let atMs = nowMs
  for (let seen = 0; seen < MAX_EDGES; seen++) {
    let nextMs = Infinity
    for (const one of windows) nextMs = Math.min(nextMs, spans.nextEdge(one, atMs))
    if (nextMs > nowMs + HORIZON_MS) return null
    if (holds(nextMs)) return nextMs
    atMs = nextMs
  }
  return null
}

/** When each window opens and closes, remembered while one question is answered: time only goes forward in it. */
class Spans {
  readonly #siteZone: string
  /** Openings in order from one duration before the question; the last is the first that lies ahead of what was asked. */
  readonly #openings = new Map<MaintenanceWindow, number[]>()

  constructor(windows: readonly MaintenanceWindow[], siteZone: string) {
    this.#siteZone = siteZone
    for (const one of windows) this.#openings.set(one, [])
  }

  isOpen(one: MaintenanceWindow, atMs: number): boolean {
    const { when } = one
    if (when.is === 'dated') return when.fromMs <= atMs && atMs < when.untilMs
    return this.#until(one, atMs).some((openMs) => openMs <= atMs && atMs < openMs + when.durationMs)
  }

  /** The next instant strictly after `atMs` at which it opens or closes; Infinity: none. */
  nextEdge(one: MaintenanceWindow, atMs: number): number {
    const { when } = one
    const edges =
      when.is === 'dated'
        ? [when.fromMs, when.untilMs]
        : this.#until(one, atMs).flatMap((openMs) => [openMs, openMs + when.durationMs])
    return edges.reduce((least, edge) => (edge > atMs ? Math.min(least, edge) : least), Infinity)
  }

  /** Openings that matter at `atMs`: those whose span may still run, and the next one. */
  #until(one: MaintenanceWindow, atMs: number): readonly number[] {
    const { when } = one
    if (when.is === 'dated') return []
    const zone = one.timeZone === 'site' ? this.#siteZone : one.timeZone
    let known = this.#openings.get(one) ?? []
    // One that closes at this very instant is over.
    known = known.filter((openMs) => openMs + when.durationMs > atMs)
    let lastMs = known.at(-1) ?? atMs - when.durationMs
    while (lastMs <= atMs) {
      const nextMs = nextActivation(when.schedule, lastMs, zone)
      if (nextMs === undefined) break
      known.push(nextMs)
      lastMs = nextMs
    }
    this.#openings.set(one, known)
    return known
  }
}
