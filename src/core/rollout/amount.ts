import type { Amount } from '../model/policy.ts'

/** So many sites: a count is what it says, percent of `total` are rounded up; never less than 1. */
export function amountOf(amount: Amount, total: number): number {
  return Math.max(1, 'count' in amount ? amount.count : percentOf(amount.percent, total))
}

/** Percent of a total, rounded up; the product is rounded first, so that 7 % of 100 is 7 and not 8 by binary fractions. */
export function percentOf(percent: number, total: number): number {
  return Math.ceil(Math.round(percent * total * 1e6) / 1e8)
}

/** How many of a wave's changed sites must be seen healthy: rounded down, so that one dark site of four does not block. */
export function coverageNeeded(percent: number, changed: number): number {
  return Math.max(1, Math.floor(Math.round(percent * changed * 1e6) / 1e8))
}
