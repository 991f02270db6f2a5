import type { Cycle } from './cycle.ts'
import type { Waiting } from './types.ts'
export function explain(_cycle: Cycle): Waiting[] {
  return []
}
