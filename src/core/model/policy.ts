import type { LabelSelector } from './selector.ts'

/** An amount of sites: a count, or a share of a set, rounded up. */
export type Amount = { readonly count: number } | { readonly percent: number }

/** How a change spreads; `cautious` is built in and used where none is named. */
export interface RolloutPolicy {
  readonly name: string
  readonly waves: readonly Wave[]
  readonly maxUnavailable: Amount
  readonly maxFailures: Amount
  /** 0..100; share of a wave's changed sites that must give evidence. */
  readonly minCoveragePercent: number
  readonly progressDeadlineMs: number
  readonly startByMs: number
  readonly offline: { readonly excuseAfterMs: number; readonly onReturn: 'ApplyLatest' }
  readonly onFailure: 'Pause' | 'Rollback'
  readonly onSupersede: 'now' | 'finishWave'
}

export interface Wave {
  readonly name: string
  /** null: all that are left. */
  readonly selector: LabelSelector | null
  /** At most so many of the sites that are left (of the whole rollout's, for percent). */
  readonly size: Amount | null
  readonly maxConcurrent: Amount
  readonly soakMs: number
  readonly approval: string | null
  /** Label key: one wave a value, in `order`. */
  readonly by: string | null
  readonly order: readonly string[]
}
