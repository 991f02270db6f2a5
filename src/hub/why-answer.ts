/** The shape of an answer to why: causes in order, in groups of sites, and when something is decided next. */
import { sentenceOf } from '../core/api/sentences.ts'
import { API_FORMAT, type Cause, type WhyView } from '../core/api/types.ts'
import { byUtf16 } from '../core/model/json.ts'
import { formatWaiting, type Waiting } from '../core/model/state.ts'
import type { StandingParts } from './standing.ts'

/** Causes shown; a person reads the first few, and groups say how many more there are. */
const MOST_CAUSES = 50
const NAMED_SITES = 5

export function answer(
  { nowMs }: StandingParts,
  subject: string,
  causes: readonly Cause[],
  summaries: { readonly fine: string; readonly not: string },
  next: WhyView['nextDecision'] = null,
): WhyView {
  const settled = causes.length === 0
  const known = causes
    .filter(({ nextAtMs }) => nextAtMs !== null)
    .toSorted((a, b) => (a.nextAtMs ?? 0) - (b.nextAtMs ?? 0))
  const first = known[0]
  const soonest = first?.nextAtMs == null ? null : { atMs: first.nextAtMs, what: nameOf(first) }
  const shown = causes.slice(0, MOST_CAUSES)
  return {
    formatVersion: API_FORMAT,
    asOfMs: nowMs(),
    subject,
    settled,
    summary: `${subject} ${settled ? summaries.fine : `${summaries.not} because:`}`,
    causes: shown,
    nextDecision: soonest !== null && (next === null || soonest.atMs <= next.atMs) ? soonest : next,
  }
}

/** `Soaking of 5 sites`: the numbers stand in its line. */
function nameOf({ reason, subject }: Cause): string {
  const [what = ''] = reason.split('(')
  const [whom = ''] = subject.split(':')
  return `${what} of ${whom}`
}

export function fromWaiting(waiting: Waiting, subject: string, sinceMs: number | null): Cause {
  return cause(formatWaiting(waiting), subject, sentenceOf(waiting), sinceMs, waiting.nextAtMs ?? null)
}

export function cause(
  reason: string,
  subject: string,
  message: string,
  sinceMs: number | null,
  nextAtMs: number | null,
): Cause {
  return { reason, subject, message, sinceMs, nextAtMs }
}

/** `12 sites: 0401 0402 0403 …`, or the one name. */
export function named(sites: readonly string[]): string {
  const sorted = sites.toSorted(byUtf16)
  if (sorted.length === 1) return `site/${sorted[0]}`
  const more = sorted.length > NAMED_SITES ? ' …' : ''
  return `${sorted.length} sites: ${sorted.slice(0, NAMED_SITES).join(' ')}${more}`
}

export function groupBy<T>(items: readonly T[], keyOf: (item: T) => string | null): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const key = keyOf(item)
    if (key === null) continue
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [item])
    else group.push(item)
  }
  return groups
}

export function short(revision: string | null): string {
  return revision === null ? 'no revision' : revision.slice(0, 12)
}
