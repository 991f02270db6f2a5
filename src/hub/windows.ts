/** Maintenance windows of workloads at sites, as of now: what the rollout engine asks for thousands of times a turn. */
import { endOfNext, type MaintenanceWindow, windowAt } from '../core/calendar/windows.ts'
import { windowConcerns, windowIn } from '../core/fleet/windows.ts'
import type { FleetWindow } from '../core/fleet/types.ts'
import type { RolloutWorld, WindowFact } from '../core/rollout/types.ts'
import { fleetState } from './source-state.ts'
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
  return (name, workload) => {
    const site = world.sites.get(name)
    if (site === undefined) return undefined
    const { labels, timeZone: zone = 'UTC' } = site
    let own = book.sites.get(name)
    if (own === undefined || own.labels !== labels || own.zone !== zone) {
      own = { labels, zone, byWorkload: new Map() }
      book.sites.set(name, own)
    }
    let group = own.byWorkload.get(workload)
    if (group === undefined) {
      group = groupOf(book, windows.filter((window) => windowConcerns(window, labels, workload)), zone) // prettier-ignore
      own.byWorkload.set(workload, group)
    }
    return group === null ? undefined : factOf(group, nowMs)
  }
}

function groupOf(book: Book, windows: readonly FleetWindow[], zone: string): Group | null {
  if (windows.length === 0) return null
  const key = [zone, ...windows.map(({ name }) => name)].join('\n')
  const known = book.groups.get(key)
  if (known !== undefined) return known
  const group: Group = {
    windows: windows.map((window) => windowIn(window, zone)),
    zone,
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
  const { windows, zone } = group
  if (group.fact !== null && group.fromMs <= nowMs && nowMs < group.untilMs) return group.fact
  const verdict = windowAt(windows, zone, nowMs)
  const closesAtMs = verdict.open ? verdict.closesAtMs : endOfNext(windows, zone, nowMs)
  group.fact = verdict.open
    ? { open: true, opensAtMs: null, closesAtMs, timeZone: zone }
    : { open: false, opensAtMs: verdict.opensAtMs, closesAtMs, by: verdict.by, timeZone: zone }
  group.fromMs = nowMs
  group.untilMs = (verdict.open ? verdict.closesAtMs : verdict.opensAtMs) ?? nowMs + RECHECK_MS
  return group.fact
}
