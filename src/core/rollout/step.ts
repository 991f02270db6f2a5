/**
 * The step under every rollout: which sites are in it, which are out by success or by time, and who may join. Pure and without
 * policy words. Three primitives decide everything: `judge` (one site: in, out, timed out; `observe.ts` asks it for every soak and
 * deadline), `fill` (who takes the free places, in order; `grants.ts` joins sites by it and by nothing else) and `breaches` (when
 * failures stop a step; `gates.ts`). `takeStep` and `takeGroupStep` compose the same three for a caller that has only sites and
 * reports, as the conformance tables of other rollout engines do: a change of a primitive moves `decide` and the tables alike.
 */

/** How one site stands towards the change. */
export type StepSite =
  | { readonly state: 'ToApply' | 'Skip' | 'TimedOut' }
  /** `sinceMs`: when it entered the state; a soak or a deadline counts from there. */
  | { readonly state: 'Succeeded' | 'Progressing' | 'Failed'; readonly sinceMs: number }

export interface StepTimes {
  readonly soakMs: number
  /** null: no deadline. */
  readonly deadlineMs: number | null
}

export type Judged =
  /** In the step; `recheckAtMs`: when time alone may change that. */
  | { readonly is: 'in'; readonly recheckAtMs: number | null; readonly failed: boolean }
  | { readonly is: 'out'; readonly failed: boolean }
  /** Since `recheckAtMs`. */
  | { readonly is: 'timedOut'; readonly recheckAtMs: number; readonly failed: true }

/** Judge one site by its own state and times. */
export function judge(site: StepSite, times: StepTimes, nowMs: number): Judged {
  switch (site.state) {
    case 'ToApply':
      return { is: 'in', recheckAtMs: null, failed: false }
    case 'Skip':
      return { is: 'out', failed: false }
    case 'TimedOut':
      return { is: 'out', failed: true }
    case 'Succeeded': {
      const soaked = site.sinceMs + times.soakMs
      return nowMs < soaked ? { is: 'in', recheckAtMs: soaked, failed: false } : { is: 'out', failed: false }
    }
    case 'Progressing':
    case 'Failed': {
      const failed = site.state === 'Failed'
      if (times.deadlineMs === null) return { is: 'in', recheckAtMs: null, failed }
      const ends = site.sinceMs + times.deadlineMs
      return nowMs < ends
        ? { is: 'in', recheckAtMs: ends, failed }
        : { is: 'timedOut', recheckAtMs: ends, failed: true }
    }
  }
}

/** Places in a step and how many are taken. */
export interface Slots {
  readonly capacity: number
  used: number
}

/** May this candidate join? Asked in order, with whether a place is free: only then may it say yes. */
export type Admit = (candidate: string, isFree: boolean) => boolean

/** Fill free places in the candidates' order; returns who joins. */
export function fill(candidates: Iterable<string>, slots: Slots, admit: Admit): readonly string[] {
  const joins: string[] = []
  for (const candidate of candidates) {
    const isFree = slots.used < slots.capacity
    if (!admit(candidate, isFree) || !isFree) continue
    joins.push(candidate)
    slots.used += 1
  }
  return joins
}

/** True once failures reach the limit: a limit of 1 tolerates none. */
export function breaches(failures: number, limit: number): boolean {
  return failures >= limit
}

export interface StepRules extends StepTimes {
  readonly capacity: number
  /** So many failures stop it; Infinity: none do. */
  readonly failureLimit: number
}

export interface Step {
  /** Reported sites that hold a place, with when time alone may change that. */
  readonly holds: readonly { readonly site: string; readonly recheckAtMs: number | null }[]
  /** Sites that never reported and now join. */
  readonly joins: readonly string[]
  readonly timedOut: readonly { readonly site: string; readonly recheckAtMs: number }[]
  readonly failed: ReadonlySet<string>
  readonly breached: boolean
}

/** One step over sites in order: those that reported fill it while it has room, then the others join while failures allow. */
export function takeStep(
  sites: readonly string[],
  reported: ReadonlyMap<string, StepSite>,
  rules: StepRules,
  nowMs: number,
): Step {
  const holds: { readonly site: string; readonly recheckAtMs: number | null }[] = []
  const timedOut: { readonly site: string; readonly recheckAtMs: number }[] = []
  const failed = new Set<string>()
  let breached = false
  for (const site of sites) {
    const known = reported.get(site)
    if (known === undefined) continue
    if (holds.length >= rules.capacity) return { holds, joins: [], timedOut, failed, breached }
    const judged = judge(known, rules, nowMs)
    if (judged.failed) failed.add(site)
    breached = breaches(failed.size, rules.failureLimit)
    if (judged.is === 'timedOut') timedOut.push({ site, recheckAtMs: judged.recheckAtMs })
    // After a breach nothing more is given; what was given goes on.
    else if (judged.is === 'in' && !(breached && known.state === 'ToApply'))
      holds.push({ site, recheckAtMs: judged.recheckAtMs })
  }
  const slots = { capacity: breached ? 0 : rules.capacity, used: holds.length }
  const joins = fill(
    sites.filter((site) => !reported.has(site)),
    slots,
    (_site, isFree) => isFree,
  )
  return { holds, joins, timedOut, failed, breached }
}

/**
 * One step over groups in order: all that have the change are judged first; then groups join, up to the first that leaves the
 * step with more sites than there are failures, or in which failures reach `limitOf(size of the group)`.
 */
export function takeGroupStep(
  groups: readonly (readonly string[])[],
  reported: ReadonlyMap<string, StepSite>,
  times: StepTimes,
  limitOf: (size: number) => number,
  nowMs: number,
): Step {
  const given = new Map([...reported].filter(([, { state }]) => state !== 'ToApply'))
  const judged = groups.flat().filter((site) => given.has(site))
  const step = takeStep(judged, given, { ...times, capacity: Infinity, failureLimit: Infinity }, nowMs)
  const joins: string[] = []
  let failures = 0
  let breached = false
  for (const group of groups) {
    joins.push(...group.filter((site) => !given.has(site)))
    const here = group.filter((site) => step.failed.has(site)).length
    failures += here
    breached = breaches(here, limitOf(group.length))
    if (breached || step.holds.length + joins.length > failures) break
  }
  return { ...step, joins, breached }
}
