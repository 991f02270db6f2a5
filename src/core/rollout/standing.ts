import { formatDuration } from '../calendar/duration.ts'
import { wallAt } from '../calendar/zone.ts'
import type { Waiting } from '../model/state.ts'
import type { SiteFacts, WindowFact } from './types.ts'

/** How a site stands towards any change, whatever the workload. */
export type Standing =
  /** May be told to move. */
  | { readonly is: 'ready' }
  /** Missed its agreed next contact and not yet excused: counts as due, and is told nothing. */
  | { readonly is: 'late'; readonly because: Waiting }
  /** Outside its window: due, and not now. */
  | { readonly is: 'closed'; readonly because: Waiting }
  /** Neither blocks a wave nor counts, until it returns or is let go. */
  | { readonly is: 'excused'; readonly because: Waiting; readonly why: 'enrol' | 'dark' | 'hold' | 'freeze' }
  | { readonly is: 'observe'; readonly because: Waiting }

const READY: Standing = { is: 'ready' }
const OBSERVE: Standing = { is: 'observe', because: { reason: 'Observe' } }
const NEVER: Standing = { is: 'excused', why: 'enrol', because: { reason: 'LinkDown', detail: 'never connected' } }

/** The hub hands out a slot this long before a window opens, so that the site has the release in hand by then. */
export const WINDOW_LEAD_MS = 15 * 60_000

/** Is this site due? Silence before its agreed next contact is never lateness. */
export function standingOf(site: SiteFacts | undefined, excuseAfterMs: number, nowMs: number): Standing {
  if (site === undefined || !site.enrolled) return NEVER
  if (site.mode === 'observe') return OBSERVE
  if (site.lastContactMs === null) return NEVER
  const { hold, freeze, window } = site
  const dueMs = site.dueAtMs ?? site.lastContactMs
  const excuseMs = dueMs + excuseAfterMs
  const down: Waiting = { reason: 'LinkDown', detail: ageText(nowMs - site.lastContactMs) }
  // Before holds: a held site that is dark gives no evidence and takes no place either.
  if (nowMs >= excuseMs && nowMs > dueMs) return excused('dark', down)
  if (hold !== null && (hold.untilMs === null || hold.untilMs > nowMs))
    return excused('hold', { reason: 'Hold', detail: hold.reason, ...at(hold.untilMs) })
  if (freeze !== null && freeze.untilMs > nowMs)
    return excused('freeze', {
      reason: 'Frozen',
      detail: `until ${clockText(freeze.untilMs)}`,
      nextAtMs: freeze.untilMs,
    })
  if (nowMs > dueMs) return { is: 'late', because: { ...down, nextAtMs: excuseMs } }
  return inWindow(READY, window, nowMs)
}

/** A site that is ready for anything else may still be outside a window; shortly before it opens it counts as inside. */
export function inWindow(standing: Standing, window: WindowFact | undefined, nowMs: number): Standing {
  if (standing.is !== 'ready' || window === undefined || window.open) return standing
  const { opensAtMs, by } = window
  if (opensAtMs !== null && opensAtMs - WINDOW_LEAD_MS <= nowMs) return standing
  const opens = opensAtMs === null ? 'not foreseeable' : `opens ${timeText(opensAtMs, window.timeZone)}`
  const teams = window.breakGlass?.join(' and ')
  const detail = [opens, by, teams === undefined ? undefined : `or by a yes of ${teams}`].filter(Boolean).join(', ')
  return {
    is: 'closed',
    because: { reason: 'WindowClosed', detail, ...at(opensAtMs === null ? null : opensAtMs - WINDOW_LEAD_MS) },
  }
}

/** As a clock on the wall of that zone shows it. */
export function timeText(ms: number, timeZone: string | undefined): string {
  if (timeZone === undefined || timeZone === 'UTC') return clockText(ms)
  return `${clockText(wallAt(timeZone, ms)).slice(0, -1)} ${timeZone}`
}

/** When the site's silence will excuse it, while it is in the hub's good graces; null where it is excused already. */
export function excusedAtMs(site: SiteFacts, excuseAfterMs: number): number | null {
  if (site.lastContactMs === null) return null
  return (site.dueAtMs ?? site.lastContactMs) + excuseAfterMs
}

/** `2026-11-21 14:10Z`: to the minute, by the hub's clock. */
export function clockText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')}Z`
}

/** `3h20m`: to the minute above one, to the second below. */
export function ageText(ms: number): string {
  const step = ms >= 60_000 ? 60_000 : 1_000
  return formatDuration(Math.floor(Math.max(ms, 0) / step) * step)
}

function excused(why: 'enrol' | 'dark' | 'hold' | 'freeze', because: Waiting): Standing {
  return { is: 'excused', why, because }
}

function at(ms: number | null): { readonly nextAtMs?: number } {
  return ms === null ? {} : { nextAtMs: ms }
}
