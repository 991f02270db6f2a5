/**
 * The primitives under every decision, without policy words: `judge` (one site: in its step, out of it, timed out; `observe.ts`
 * asks it for every soak and deadline), `fill` (who takes the free places, in order; `grants.ts` joins sites by it and by nothing
 * else) and `breaches` (when failures stop a step; `gates.ts`).
 */

/** How one site stands towards the change, and since when: its soak or its deadline counts from there. */
interface StepSite {
  readonly state: 'Succeeded' | 'Progressing'
  readonly sinceMs: number
}

interface StepTimes {
  readonly soakMs: number
  /** null: no deadline. */
  readonly deadlineMs: number | null
}

type Judged =
  /** In the step; `recheckAtMs`: when time alone may change that. */
  { readonly is: 'in'; readonly recheckAtMs: number | null } | { readonly is: 'out' } | { readonly is: 'timedOut' }

/** Judge one site by its own state and times. */
export function judge({ state, sinceMs }: StepSite, { soakMs, deadlineMs }: StepTimes, nowMs: number): Judged {
  if (state === 'Succeeded') {
    const soakedMs = sinceMs + soakMs
    return nowMs < soakedMs ? { is: 'in', recheckAtMs: soakedMs } : { is: 'out' }
  }
  if (deadlineMs === null) return { is: 'in', recheckAtMs: null }
  const endsMs = sinceMs + deadlineMs
  return nowMs < endsMs ? { is: 'in', recheckAtMs: endsMs } : { is: 'timedOut' }
}

/** Places in a step and how many are taken. */
export interface Slots {
  readonly capacity: number
  used: number
}

/** May this candidate join? Asked in order, with whether a place is free: only then may it say yes. */
type Admit = (candidate: string, isFree: boolean) => boolean

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
