/** What stands in the scheduler's way as a whole, and not in the way of one pod: it cannot read the cluster, or lacks a right. */
import type { Fault } from '../core/model/fault.ts'

export interface RoomTrouble {
  readonly reason: Fault['reason']
  readonly message: string
  /** Does not pass by itself. */
  readonly retry: Fault['retry']
}

export function troubleOf(fault: Fault | null): RoomTrouble | null {
  return fault === null ? null : { reason: fault.reason, message: fault.message, retry: fault.retry }
}

/** What is written, each with a right of its own. */
export type Duty = 'bind' | 'volumes' | 'evict' | 'condition' | 'event'

export interface Troubles {
  reads(fault: Fault | null): void
  /** Null: it was written. Only what a right would help is kept: the rest is about one pod, and said of it. */
  writes(duty: Duty, fault: Fault | null): void
  /** Nothing is tried any more. */
  calm(): void
  now(): RoomTrouble | null
}

/** `changed` is called after `now` gives something else. */
export function createTroubles(changed: () => void): Troubles {
  let reading: Fault | null = null
  const denied = new Map<Duty, Fault>()
  let told = 'null'

  const now = (): RoomTrouble | null => troubleOf(reading ?? denied.values().next().value ?? null)

  function tell(): void {
    const text = JSON.stringify(now())
    if (text === told) return
    told = text
    changed()
  }

  return {
    reads(fault) {
      reading = fault
      tell()
    },
    writes(duty, fault) {
      if (fault !== null && lacksRight(fault)) denied.set(duty, fault)
      else if (fault === null) denied.delete(duty)
      tell()
    },
    calm() {
      reading = null
      denied.clear()
      tell()
    },
    now,
  }
}

/** In a namespace that goes away nothing may be made, whatever right one has. */
export function lacksRight({ reason, facts }: Fault): boolean {
  return (reason === 'Forbidden' && facts['cause'] !== 'NamespaceTerminating') || reason === 'Unauthorized'
}
