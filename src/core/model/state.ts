/** The three axes (FLEET-REPO.md, One state vocabulary). Never a shared word for two of them. */
export type LinkState = 'Online' | 'Late' | 'Lost' | 'Never'
export type SyncState = 'Synced' | 'Progressing' | 'Waiting' | 'Drifted' | 'Failed' | 'Unknown'
export type HealthState = 'Healthy' | 'Progressing' | 'Degraded' | 'Suspended' | 'Unknown'

/** Append-only. Each has its page in docs/reasons.md and is shown word for word everywhere. */
export const WAITING = [
  'WaveNotReached', 'Slot', 'Soaking', 'Coverage', 'ApprovalNeeded', 'Paused', 'Budget', 'WindowClosed', 'Frozen', 'Hold',
  'Dependency', 'LinkDown', 'HeldByError', 'DeletionBrake', 'Withdrawn', 'Staging', 'Secret', 'AgentTooOld', 'ClockUnknown',
  'Capacity', 'QueueLimit', 'Priority', 'Suspended', 'PermitExpired', 'Observe', 'Unlisted', 'Unsigned',
] as const // prettier-ignore
export type WaitingReason = (typeof WAITING)[number]

/**
 * What something that has begun may wait for through no doing of its own: its queue, room, a window, the time of day. Meanwhile it
 * is neither late nor ill.
 */
export const NOT_ITS_DOING: ReadonlySet<string> = new Set<WaitingReason>([
  'Capacity',
  'QueueLimit',
  'Hold',
  'Priority',
  'WindowClosed',
  'ClockUnknown',
])

/** Why something does not go on now, with its number and the next time at which that may change. */
export interface Waiting {
  readonly reason: WaitingReason
  /** What stands in the brackets: `2 of 4`, `until 14:10Z`, a team. */
  readonly detail?: string
  /** When it is decided again at the earliest, in ms of the hub's clock; absent: on an event, not at a time. */
  readonly nextAtMs?: number
}

/** `Slot(2 of 4)`, the form shown everywhere. */
export function formatWaiting(waiting: Waiting): string {
  return waiting.detail === undefined ? waiting.reason : `${waiting.reason}(${waiting.detail})`
}

/** Worst last: folding takes the highest. Unknown is never green. */
const HEALTH_ORDER: readonly HealthState[] = ['Healthy', 'Suspended', 'Unknown', 'Progressing', 'Degraded']
export function worstHealth(states: Iterable<HealthState>): HealthState {
  let worst = -1
  for (const state of states) worst = Math.max(worst, HEALTH_ORDER.indexOf(state))
  return HEALTH_ORDER[worst] ?? 'Unknown'
}
