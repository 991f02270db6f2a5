/** What the site knows of the hub's time, across restarts of this process: the machine's own clock carries it on. */
import { hubNow, type HubNow, type HubTime } from '../core/protocol/time.ts'
import type { AgentStore, Machine } from './ports.ts'

/** A statement this much newer than the stored one is stored: a restart may lose no more than this. */
const PERSIST_EVERY_MS = 300_000

export interface HubClock {
  now(): HubNow
  held(): HubTime | undefined
  learn(time: HubTime): void
}

export function createHubClock(store: AgentStore, machine: Machine): HubClock {
  let stored = store.time() ?? undefined
  let held = stored
  return {
    now: () => hubNow(held, machine.uptimeMs(), machine.bootId),
    held: () => held,
    learn: (time) => {
      held = time
      const old = stored?.boot !== time.boot || stored.timeEpoch !== time.timeEpoch
      if (!old && time.timeMs - (stored?.timeMs ?? 0) < PERSIST_EVERY_MS) return
      store.write({ time })
      stored = time
    },
  }
}
