/** What a turn did is kept answer by answer: a process that is killed in the middle does again only what nobody heard the end of. */
import { inventoryAfter } from '../core/diff/inventory.ts'
import type { Inventory, Outcome } from '../core/diff/types.ts'
import { asFault, type Fault } from '../core/model/fault.ts'
import type { AgentStore } from './ports.ts'

const NOTE = 'acted'

export interface Keeper {
  /** As the turn found it. A step asks for its own object only, which nothing but itself changes meanwhile. */
  readonly inventory: Inventory
  /** Never throws: what was done is done. */
  done(outcome: Outcome): void
  /** Fault: something could not be kept, so nothing more is to be begun. */
  check(): void
  /** What was kept outlives a power cut from here on. Fault as `check`. */
  end(nowMs: number): void
}

export function keeper(store: AgentStore): Keeper {
  const inventory = store.inventory()
  let written = false
  let broken: Fault | undefined
  const check = (): void => {
    if (broken !== undefined) throw broken
  }
  return {
    inventory,
    check,
    done: (outcome) => {
      const change = inventoryAfter(inventory, [outcome])
      if (change.size === 0 || broken !== undefined) return
      try {
        store.write({ inventory: change }, 'process')
        written = true
      } catch (error) {
        broken = asFault(error)
      }
    },
    end: (nowMs) => {
      check()
      if (written) store.write({ notes: new Map([[NOTE, { atMs: nowMs }]]) })
    },
  }
}
