/**
 * The other project's words for how a change spreads, in ours: its amounts and deadlines, and which groups go at once. Where its
 * rules and ours part by design, a case of that kind fails here and goes into known-failures.json by its id, with one of these for
 * its reason:
 * - it counts failures of the groups, or up to the site, that it came to; ours counts every site that failed;
 * - it goes on past a group as soon as no more sites are in the step than failed; ours waits for every site of the wave, and for
 *   evidence from at least one;
 * - it lists no more sites than there are places, though more are on their way; ours lists whoever holds the change;
 * - a failed site keeps its place until its deadline; ours gives it up with the site.
 */
import { parseDuration } from '../../../src/core/calendar/duration.ts'
import type { Amount } from '../../../src/core/model/policy.ts'
import { amountOf, percentOf } from '../../../src/core/rollout/amount.ts'
import type { Report } from './hub.ts'
import { replay, type Standing, type Strategy } from './replay.ts'

export interface Group {
  readonly name: string
  readonly index: number
  readonly sites: readonly string[]
}

/** `strategy` of a case. */
export interface Words {
  readonly type: string
  readonly maxConcurrency?: string | number
  readonly maxFailures?: string | number
  readonly minSuccessTimeMs?: number
  readonly progressDeadline?: string
  readonly progressDeadlineMs?: number
  readonly mandatoryGroups?: readonly Partial<Group>[]
}

/** No policy of ours has a deadline of zero: this one is over at once, and no site was ever ill for so long. */
const AT_ONCE = Number.MIN_VALUE

/** ms; null: none. Undefined where it cannot be read. */
export function deadlineOf(text = ''): number | null | undefined {
  if (text === '' || text === 'None') return null
  if (!/^(\d+[hms])+$/.test(text)) return undefined
  return (text.match(/\d+[hms]/g) ?? []).reduce((sum, part) => sum + (parseDuration(part) ?? 0), 0)
}

/** NaN where it cannot be read; `fallback` where it is zero or more than there are. */
export function sizeOf(value: string | number = 0, total: number, fallback: number): number {
  const size = typeof value === 'number' ? value : percentOf(Number(/^(\d+)%$/.exec(value)?.[1]), total)
  return size <= 0 || size > total ? fallback : size
}

/** Where a case leads: mandatory groups first and alone while anything is left to do in them, then the others. */
export function standingOf(words: Words, groups: readonly Group[], reports: readonly Report[]): Standing {
  const inOrder = groups.toSorted((a, b) => a.index - b.index)
  const isMandatory = (group: Group): boolean =>
    (words.mandatoryGroups ?? []).some(({ name, index }) => (name ? name === group.name : index === group.index))
  const every = new Set(groups.flatMap(({ sites }) => sites))
  const stage = (part: readonly Group[], strategyOf: (sizes: readonly number[]) => Strategy): Standing => {
    const sites = part.map((group) => group.sites)
    const ours = new Set(sites.flat())
    const about = reports.filter(({ site }) => ours.has(site) || !every.has(site))
    return replay(sites, about, strategyOf(sites.map(({ length }) => length)))
  }
  const times = {
    soakMs: words.minSuccessTimeMs ?? 0,
    deadlineMs: (words.progressDeadlineMs ?? deadlineOf(words.progressDeadline) ?? Infinity) || AT_ONCE,
  }
  const mandatory = stage(inOrder.filter(isMandatory), () => ({ ...times, ...BY_GROUP, maxFailures: { count: 1 } }))
  if (mandatory.inStep.size + mandatory.timedOut.size > 0) return mandatory
  return stage(
    inOrder.filter((group) => !isMandatory(group)),
    (sizes) => strategyOf(words, times, sizes, every.size),
  )
}

/** Groups go whole: whoever is on his way elsewhere takes nobody's place. */
const BY_GROUP = { perGroup: true, maxConcurrent: { count: Infinity }, brokenSites: null }

function strategyOf(
  words: Words,
  times: Pick<Strategy, 'soakMs' | 'deadlineMs'>,
  sizes: readonly number[],
  total: number,
): Strategy {
  const tolerated = (size: number): number => sizeOf(words.maxFailures, size, 0)
  if (words.type === 'ProgressivePerGroup')
    return { ...times, ...BY_GROUP, maxFailures: sharedLimit(sizes, (size) => tolerated(size) + 1) }
  if (words.type === 'All')
    return { ...times, ...BY_GROUP, soakMs: 0, perGroup: false, maxFailures: { count: Infinity } }
  const here = sizes.reduce((sum, size) => sum + size, 0)
  const limit = { count: tolerated(total) + 1 }
  const maxConcurrent = { count: sizeOf(words.maxConcurrency, here, here) }
  return { ...times, perGroup: false, maxConcurrent, maxFailures: limit, brokenSites: limit }
}

/** A limit of each group: the share in which every group has its own, where there is one. */
function sharedLimit(sizes: readonly number[], limitOf: (size: number) => number): Amount {
  const meets = (percent: number): boolean =>
    sizes.every((size) => size === 0 || amountOf({ percent }, size) === limitOf(size))
  const percent = sizes.map((size) => (100 * limitOf(size)) / size).find(meets)
  return percent === undefined ? { count: Math.min(...sizes.map(limitOf)) } : { percent }
}
