/** The troubles of the scheduler and of the batch room as conditions of the site: so the hub and whoever stands at the box see them. */
import type { Clock } from '../runtime/clock.ts'
import { AWAY_MS } from './observe.ts'
import type { RoomTrouble } from './room-trouble.ts'
import { setCondition, type TurnState } from './turn-state.ts'

type Room = 'Scheduler' | 'Batch'

/** Sets and takes back; ms until something is to be said that may yet pass by itself, and whether anything else is said than before. */
export function createTroubleSayer(
  state: TurnState,
  clock: Clock,
  rooms: Readonly<Record<Room, () => RoomTrouble | null>>,
): () => { readonly nextMs: number; readonly changed: boolean } {
  const since = new Map<Room, number>()
  return () => {
    let nextMs = Infinity
    let changed = false
    for (const room of ['Scheduler', 'Batch'] as const) {
      const trouble = rooms[room]()
      const before = state.conditions.get(room)
      if (trouble === null) since.delete(room)
      else if (!since.has(room)) since.set(room, clock.monotonicMs())
      // A watch that breaks is soon back, and no news.
      const leftMs = trouble?.retry === 'backoff' ? AWAY_MS - (clock.monotonicMs() - (since.get(room) ?? 0)) : 0
      if (leftMs > 0 && before === undefined) {
        nextMs = Math.min(nextMs, leftMs)
        continue
      }
      setCondition(state, room, trouble, clock.nowMs())
      changed ||= before?.reason !== trouble?.reason || before?.message !== trouble?.message
    }
    return { nextMs, changed }
  }
}
