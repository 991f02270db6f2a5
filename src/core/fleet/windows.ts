/** MaintenanceWindows as the fleet says them: for which sites and workloads, and in which zone each site reads them. */
import { parseCron, type CronSchedule } from '../calendar/cron.ts'
import { firstPermitted, type MaintenanceWindow } from '../calendar/windows.ts'
import { instantsOf } from '../calendar/zone.ts'
import { matches } from '../kube/selector.ts'
import type { Problem } from '../model/problem.ts'
import type { LabelSelector } from '../model/selector.ts'
import type { OurDocument } from './documents.ts'
import { readDuration } from './policy.ts'
import type { Fleet, FleetWindow, Site } from './types.ts'
import { formatPath } from './yaml-text.ts'

interface WindowSpec {
  readonly effect: 'allow' | 'deny'
  readonly schedule?: string
  readonly duration?: string
  readonly from?: string
  readonly until?: string
  readonly timeZone?: string
  readonly targets: readonly {
    readonly selector?: LabelSelector
    readonly workloads?: readonly string[]
    readonly allowEmpty?: boolean
  }[]
  readonly overrun?: 'finish' | 'stop'
  readonly breakGlass?: { readonly approval: string }
}

export function readWindow(document: OurDocument): FleetWindow {
  const spec = document.value['spec'] as unknown as WindowSpec
  return {
    name: document.name,
    effect: spec.effect,
    when:
      spec.schedule === undefined
        ? { is: 'dated', from: spec.from ?? '', until: spec.until ?? '' }
        : { is: 'recurring', schedule: spec.schedule, durationMs: readDuration(spec.duration, 0) },
    timeZone: spec.timeZone ?? 'site',
    targets: spec.targets.map(({ selector = null, workloads = null, allowEmpty = false }) => ({
      selector,
      workloads,
      allowEmpty,
    })),
    overrun: spec.overrun ?? 'finish',
    breakGlass: spec.breakGlass?.approval ?? null,
  }
}

/** Does this window say something of this workload at a site of these labels? */
export function windowConcerns(
  window: FleetWindow,
  labels: Readonly<Record<string, string>>,
  workload: string,
): boolean {
  return window.targets.some(
    ({ selector, workloads }) =>
      (workloads === null || workloads.includes(workload)) && (selector === null || matches(selector, labels)),
  )
}

/** As the calendar asks it at a site of this zone: a bare date is midnight there. A schedule that cannot be read never opens. */
export function windowIn(window: FleetWindow, siteZone: string): MaintenanceWindow {
  const { name, effect, when, timeZone, overrun, breakGlass } = window
  const zone = timeZone === 'site' ? siteZone : timeZone
  const base = { name, effect, timeZone, overrun, breakGlass }
  if (when.is === 'dated')
    return { ...base, when: { is: 'dated', fromMs: momentIn(when.from, zone), untilMs: momentIn(when.until, zone) } }
  const schedule = scheduleOf(when.schedule)
  if (schedule === undefined) return { ...base, when: { is: 'dated', fromMs: 0, untilMs: 0 } }
  return { ...base, when: { is: 'recurring', schedule, durationMs: when.durationMs } }
}

function momentIn(text: string, zone: string): number {
  const ms = Date.parse(text)
  if (text.includes('T')) return ms
  // Midnight that a clock change skips: the day begins where the gap ends, which is within the hour.
  return instantsOf(zone, ms)[0] ?? instantsOf(zone, ms + 3_600_000)[0] ?? ms
}

/** Read once a text: a fleet has few schedules and asks for them at every site. */
const SCHEDULES = new Map<string, CronSchedule>()
const MOST_SCHEDULES = 10_000

function scheduleOf(text: string): CronSchedule | undefined {
  const known = SCHEDULES.get(text)
  if (known !== undefined) return known
  const parsed = parseCron(text)
  if (!parsed.ok) return undefined
  if (SCHEDULES.size >= MOST_SCHEDULES) SCHEDULES.clear()
  SCHEDULES.set(text, parsed.schedule)
  return parsed.schedule
}

type Find = (kind: string, name: string) => OurDocument | undefined

/** `gone`: sites that this revision removes, which is the deletion brake's to judge. */
export function checkWindows(fleet: Fleet, find: Find, gone: readonly Site[]): readonly Problem[] {
  const broken = fleet.windows.flatMap((window) => badSchedule(window, find) ?? [])
  return [
    ...broken,
    ...fleet.windows.flatMap((window) => namesNothing(window, fleet, find, gone)),
    ...(broken.length > 0 ? [] : neverPermitted(fleet, find)),
  ]
}

function problemAt(
  find: Find,
  window: FleetWindow,
  path: readonly (string | number)[],
  rest: Omit<Problem, 'severity' | 'place' | 'path'>,
): Problem {
  const place = find('MaintenanceWindow', window.name)?.at([...path]) ?? { file: '', line: 1, column: 1 }
  return { ...rest, severity: 'error', place, path: formatPath([...path]) }
}

function badSchedule(window: FleetWindow, find: Find): Problem | undefined {
  if (window.when.is !== 'recurring') return undefined
  const parsed = parseCron(window.when.schedule)
  if (parsed.ok) return undefined
  return problemAt(find, window, ['spec', 'schedule'], {
    code: 'FLT1003',
    message: `not a schedule: ${parsed.because}`,
    found: window.when.schedule.slice(0, 80),
    expected: 'five fields of cron, or @daily and its like',
    next: 'Correct the schedule.',
  })
}

/** A window that concerns nobody protects nobody: most often a label was mistyped. */
function namesNothing(window: FleetWindow, fleet: Fleet, find: Find, gone: readonly Site[]): readonly Problem[] {
  const problems: Problem[] = []
  for (const [i, { selector, workloads, allowEmpty }] of window.targets.entries()) {
    for (const [j, workload] of (workloads ?? []).entries())
      if (!fleet.workloads.has(workload))
        problems.push(
          problemAt(find, window, ['spec', 'targets', i, 'workloads', j], {
            code: 'FLT1019',
            message: `there is no Workload ${workload}`,
            found: workload,
            expected: 'the name of a Workload',
            next: 'Add the Workload, or correct the name.',
          }),
        )
    if (selector === null || allowEmpty) continue
    if ([...fleet.sites.values()].some(({ labels }) => matches(selector, labels))) continue
    const empty = problemAt(find, window, ['spec', 'targets', i, 'selector'], {
      code: 'FLT2109',
      message: 'the selector matches no site',
      next: 'Correct the labels, or say allowEmpty: true.',
    })
    problems.push(gone.some(({ labels }) => matches(selector, labels)) ? { ...empty, severity: 'warning' } : empty)
  }
  return problems
}

/**
 * FLT2105 by recurring windows alone: a season's end is known. Judged from a day of winter and one of summer, not from today: a
 * revision that was fine does not turn bad by the calendar.
 */
const JUDGED_FROM = [Date.UTC(2026, 0, 1), Date.UTC(2026, 6, 1)]

function neverPermitted(fleet: Fleet, find: Find): readonly Problem[] {
  const windows = fleet.windows.filter(({ when }) => when.is === 'recurring')
  if (windows.length === 0) return []
  const judged = new Map<string, boolean>()
  const problems = new Map<string, { readonly window: FleetWindow; readonly workload: string; sites: string[] }>()
  for (const workload of fleet.workloads.values())
    for (const site of fleet.sites.values()) {
      if (!workload.targets.some(({ selector }) => matches(selector, site.labels))) continue
      const own = windows.filter((window) => windowConcerns(window, site.labels, workload.name))
      const [first] = own
      if (first === undefined) continue
      const zone = site.location.timeZone
      const key = `${zone}\n${own.map(({ name }) => name).join('\n')}`
      let permitted = judged.get(key)
      if (permitted === undefined) {
        const calendar = own.map((window) => windowIn(window, zone))
        permitted = JUDGED_FROM.every((fromMs) => firstPermitted(calendar, zone, fromMs) !== null)
        judged.set(key, permitted)
      }
      if (permitted) continue
      const problem = problems.get(key) ?? { window: first, workload: workload.name, sites: [] }
      problems.set(key, problem)
      problem.sites.push(site.name)
    }
  return [...problems.values()].map(({ window, workload, sites }) =>
    problemAt(find, window, ['spec'], {
      code: 'FLT2105',
      message: `windows leave ${sites[0] ?? ''}${sites.length > 1 ? ` and ${sites.length - 1} more` : ''} no permitted minute in 60 days for ${workload}`,
      next: 'Shorten a deny window, or add an allow window.',
    }),
  )
}
