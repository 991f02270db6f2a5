/** Water-filling: what is there is poured out by weight in rounds, and nobody is filled beyond what it asks for or may have. */
import { at, isEmpty, lessOrEqual, type Dense } from '../dense.ts'

export interface Vessel {
  readonly weight: number
  readonly request: Dense
  readonly guarantee: Dense
  /** Infinity where nothing limits. */
  readonly most: Dense
  deserved: Dense
}

const MAX_ROUNDS = 1000

/** Sets what each deserves of the total. */
export function pour(total: Dense, vessels: readonly Vessel[]): void {
  const remaining = total.slice()
  const met = new Set<Vessel>()
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const open = vessels.filter((vessel) => !met.has(vessel))
    const weights = open.reduce((sum, { weight }) => sum + weight, 0)
    if (weights === 0) return
    const before = remaining.slice()
    for (const vessel of open) {
      const had = vessel.deserved
      vessel.deserved = had.map((value, dim) => {
        const poured = value + (at(before, dim) * vessel.weight) / weights
        return Math.max(at(vessel.guarantee, dim), Math.min(poured, at(vessel.most, dim), at(vessel.request, dim)))
      })
      if (lessOrEqual(vessel.request, vessel.deserved) || vessel.deserved.every((value, dim) => value === had[dim]))
        met.add(vessel)
      for (let dim = 0; dim < remaining.length; dim++)
        remaining[dim] = Math.max(0, at(remaining, dim) - (at(vessel.deserved, dim) - at(had, dim)))
    }
    if (isEmpty(remaining) || remaining.every((value, dim) => value === before[dim])) return
  }
}
