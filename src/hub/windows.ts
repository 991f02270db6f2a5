/** Maintenance windows of workloads at sites, as of now: what the rollout engine asks for thousands of times a turn. */
import { endOfNext, type MaintenanceWindow, stillAsked, windowAt } from '../core/calendar/windows.ts'
import { byUtf16 } from '../core/model/json.ts'
import { windowConcerns, windowIn } from '../core/fleet/windows.ts'
import type { FleetWindow } from '../core/fleet/types.ts'
import type { ManifestWindow } from '../core/protocol/messages.ts'
import type { RolloutWorld, WindowFact } from '../core/rollout/types.ts'
import { fleetState } from './source-state.ts'
import type { EntryRecord, SiteRecord } from './store.ts'
import type { World } from './world.ts'

type Asked = NonNullable<RolloutWorld['window']>

const NONE: readonly FleetWindow[] = []
const nobody: Asked = () => undefined

/** Which windows concern a workload at a site, by the labels that this was read from. */
interface SiteWindows {
  readonly labels: object
  readonly zone: string
  readonly byWorkload: Map<string, Group | null>
}

/** Sites of one zone under the same windows have the same answer, until it changes by itself. */
interface Group {
  readonly windows: readonly MaintenanceWindow[]
  readonly zone: string
  /** Teams that broke the glass. */
  readonly yes: ReadonlySet<string>
  fact: WindowFact | null
  fromMs: number
  untilMs: number
}

interface Book {
  readonly sites: Map<string, SiteWindows>
  readonly groups: Map<string, Group>
}

/** By the windows of the last good revision. */
const books = new WeakMap<readonly FleetWindow[], Book>()

export function windowsOf(world: World, nowMs: number): Asked {
  const { windows = NONE } = fleetState(world)
  if (windows.length === 0) return nobody
  const book = books.get(windows) ?? { sites: new Map<string, SiteWindows>(), groups: new Map<string, Group>() }
  books.set(windows, book)
  return (name, workload, opened) => {
    const site = world.sites.get(name)
    if (site === undefined) return undefined
    const { labels, timeZone: zone = 'UTC' } = site
    let own = book.sites.get(name)
    if (own === undefined || own.labels !== labels || own.zone !== zone) {
      own = { labels, zone, byWorkload: new Map() }
      book.sites.set(name, own)
    }
    const key = opened.length === 0 ? workload : [workload, ...opened.map(({ team }) => team)].join('\n')
    let group = own.byWorkload.get(key)
    if (group === undefined) {
      const yes = new Set(opened.map(({ team }) => team))
      group = groupOf(book, windows.filter((one) => windowConcerns(one, labels, workload)), zone, yes) // prettier-ignore
      own.byWorkload.set(key, group)
    }
    return group === null ? undefined : factOf(group, nowMs)
  }
}

/** What a site's manifest says of windows that stop what has begun. */
export interface Stops {
  /** Names, by workload. */
  readonly gates: ReadonlyMap<string, readonly string[]>
  /** null: nothing is ever stopped there. */
  readonly windows: Readonly<Record<string, ManifestWindow>> | null
}

const NO_STOPS: Stops = { gates: new Map(), windows: null }
/** What is provisioned, or goes back to where it was well, goes in spite of all windows. */
const UNSTOPPED: ReadonlySet<EntryRecord['because']> = new Set(['provision', 'rollback', 'undo', 'revoke'])

/**
 * For entries that some window with `overrun: stop` concerns: every window that says when they may go on. The site asks them by
 * itself, so that one which is dark stops and goes on in time.
 */
export function stopsOf(
  world: World,
  { labels, timeZone = 'UTC' }: SiteRecord,
  entries: readonly EntryRecord[],
): Stops {
  const stopping = stoppingWindows(fleetState(world).windows ?? NONE)
  if (stopping.length === 0) return NO_STOPS
  const gates = new Map<string, readonly string[]>()
  const windows: Record<string, ManifestWindow> = {}
  for (const { workload, because, glass = [] } of entries) {
    if (UNSTOPPED.has(because)) continue
    const asked = stillAsked(
      stopping.filter((one) => windowConcerns(one, labels, workload)),
      new Set(glass),
    )
    const own = stoppingWindows(asked)
    if (own.length === 0) continue
    gates.set(workload, own.map(({ name }) => name).toSorted(byUtf16))
    for (const one of own) windows[one.name] = toldWindow(one, timeZone)
  }
  return gates.size === 0 ? NO_STOPS : { gates, windows }
}

/** Those that may stop a change, and those whose opening lets it go on. */
export function stoppingWindows(windows: readonly FleetWindow[]): readonly FleetWindow[] {
  const allowed = windows.some(({ effect, overrun }) => effect === 'allow' && overrun === 'stop')
  return windows.filter(({ effect, overrun }) => (effect === 'allow' ? allowed : overrun === 'stop'))
}

function toldWindow(window: FleetWindow, siteZone: string): ManifestWindow {
  const { effect, overrun, timeZone } = window
  const base = { effect, overrun, timeZone: timeZone === 'site' ? siteZone : timeZone }
  if (window.when.is === 'recurring')
    return { ...base, schedule: window.when.schedule, durationMs: window.when.durationMs }
  const { when } = windowIn(window, siteZone)
  const { fromMs, untilMs } = when.is === 'dated' ? when : { fromMs: 0, untilMs: 0 }
  return { ...base, fromMs: Math.max(0, fromMs), untilMs: Math.max(0, untilMs) }
}

/** Teams that may break the glass of a window that concerns this workload at one of these sites. */
export function glassKeepers(world: World, workload: string, sites: Iterable<string>): readonly string[] {
  const kept = (fleetState(world).windows ?? NONE).filter(({ breakGlass }) => breakGlass !== null)
  const teams = new Set<string>()
  for (const name of kept.length === 0 ? [] : sites) {
    const labels = world.sites.get(name)?.labels ?? {}
    for (const one of kept)
      if (one.breakGlass !== null && windowConcerns(one, labels, workload)) teams.add(one.breakGlass)
  }
  return [...teams].toSorted(byUtf16)
}

function groupOf(book: Book, windows: readonly FleetWindow[], zone: string, yes: ReadonlySet<string>): Group | null {
  if (windows.length === 0) return null
  const key = [zone, ...windows.map(({ name }) => name), '', ...yes].join('\n')
  const known = book.groups.get(key)
  if (known !== undefined) return known
  const group: Group = {
    windows: windows.map((window) => windowIn(window, zone)),
    zone,
    yes,
    fact: null,
    fromMs: 0,
    untilMs: 0,
  }
  book.groups.set(key, group)
  return group
}

/** What is not foreseeable is asked again after so long. */
const RECHECK_MS = 86_400_000

function factOf(group: Group, nowMs: number): WindowFact {
  const { windows, zone, yes } = group
  if (group.fact !== null && group.fromMs <= nowMs && nowMs < group.untilMs) return group.fact
  const verdict = windowAt(windows, zone, nowMs, yes)
  const closesAtMs = verdict.open ? verdict.closesAtMs : endOfNext(windows, zone, nowMs, yes)
  group.fact = verdict.open
    ? { open: true, opensAtMs: null, closesAtMs, timeZone: zone }
    : {
        open: false,
        opensAtMs: verdict.opensAtMs,
        closesAtMs,
        by: verdict.by,
        timeZone: zone,
        ...(verdict.breakGlass === null ? {} : { breakGlass: verdict.breakGlass }),
      }
  group.fromMs = nowMs
  group.untilMs = (verdict.open ? verdict.closesAtMs : verdict.opensAtMs) ?? nowMs + RECHECK_MS
  return group.fact
}
