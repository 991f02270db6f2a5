/** What kind of fleet a seed's story is about: how wide it moves, what it may spend, who has to say yes, who comes later. */
import { seededRandom } from '../../src/sim/random.ts'

export interface Shape {
  /** Of a workload's wave after the canary, and of the whole fleet over both workloads. */
  readonly mostChanging: number
  readonly budget: number
  /** Nobody after the canary without a team's yes. */
  readonly isGated: boolean
  /** `b` begins at a site only where `web` is well there. */
  readonly depends: boolean
  readonly onFailure: 'Pause' | 'Rollback'
  /** How long a permit lasts. */
  readonly startBy: '20m' | '48h'
  /** The minute of the story in which the last site joins; null: it is there from the beginning. */
  readonly joinsAtMinute: number | null
  /** In this minute another key signs, and half an hour later the old one counts no more; null: neither. */
  readonly rotatesAtMinute: number | null
}

/** What a story can be chosen by, beside its faults. */
export function traitsOf(shape: Shape): string[] {
  const { mostChanging, budget, isGated, depends, onFailure, startBy } = shape
  return [
    `wide-${mostChanging}`,
    `budget-${budget}`,
    ...(isGated ? ['gated'] : []),
    ...(depends ? ['depends'] : []),
    ...(onFailure === 'Rollback' ? ['rollback'] : []),
    ...(startBy === '20m' ? ['short-permits'] : []),
    ...(shape.joinsAtMinute === null ? [] : ['joins-late']),
    ...(shape.rotatesAtMinute === null ? [] : ['rotates']),
  ]
}

export function shapeOf(seed: number): Shape {
  const random = seededRandom(seed ^ 0xf1ee7)
  const some = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
  return {
    mostChanging: some([1, 1, 2]),
    budget: some([1, 2, 2, 3]),
    isGated: random() < 0.3,
    depends: random() < 0.3,
    onFailure: random() < 0.3 ? 'Rollback' : 'Pause',
    startBy: random() < 0.4 ? '20m' : '48h',
    joinsAtMinute: random() < 0.3 ? 5 + Math.floor(random() * 100) : null,
    rotatesAtMinute: random() < 0.25 ? 5 + Math.floor(random() * 100) : null,
  }
}
