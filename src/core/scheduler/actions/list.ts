/** The actions there are, by the name a configuration uses. */
import type { Cycle } from '../cycle.ts'
import type { ActionName } from '../types.ts'
import { allocate } from './allocate.ts'
import { backfill } from './backfill.ts'
import { enqueue } from './enqueue.ts'
import { giveWay, preempt } from './preempt.ts'
import { reclaim } from './reclaim.ts'

export const ACTION_OF: Readonly<Record<ActionName, (cycle: Cycle) => void>> = {
  enqueue,
  allocate,
  backfill,
  preempt,
  reclaim,
  shuffle: giveWay,
}
