/**
 * The step under every rollout: which sites are in it, which are out by success or by time, and who may join. Pure and without
 * policy words; `decide` and the conformance tables of other rollout engines stand on it.
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
  | { readonly is: 'timedOut'; readonly failed: true }

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
      return nowMs < ends ? { is: 'in', recheckAtMs: ends, failed } : { is: 'timedOut', failed: true }
    }
  }
}

/** Places in a step and how many are taken. */
export interface Slots {
  readonly capacity: number
  used: number
}

/** Why a candidate may not join; null: it joins. */
export type Admit<R> = (candidate: string) => R | null

export interface Joined<R> {
  readonly joins: readonly string[]
  /** Candidates that something of their own keeps out: they take no place. */
  readonly kept: ReadonlyMap<string, R>
  /** Candidates that only lack a place. */
  readonly full: readonly string[]
}

/** Fill free places in the candidates' order. `admit` is asked for each while a place is free, and says what keeps it out. */
export function fill<R>(candidates: Iterable<string>, slots: Slots, admit: Admit<R>): Joined<R> {
  const joins: string[] = []
  const kept = new Map<string, R>()
  const full: string[] = []
  for (const candidate of candidates) {
    if (slots.used >= slots.capacity) {
      full.push(candidate)
      continue
    }
    const because = admit(candidate)
    if (because === null) {
      joins.push(candidate)
      slots.used += 1
    } else kept.set(candidate, because)
  }
  return { joins, kept, full }
}

/** True once failures reach the limit: a limit of 1 tolerates none. */
export function breaches(failures: number, limit: number): boolean {
  return failures >= limit
}
