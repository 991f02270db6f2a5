/** What needs a person, grouped by identical cause: never 2,000 of anything in somebody's screen. */
import type { RolloutView, StatusView } from '../core/api/types.ts'
import { stopSentence } from '../core/api/sentences.ts'
import { byUtf16 } from '../core/model/json.ts'
import { formatWaiting } from '../core/model/state.ts'
import { countsOf } from './rollout-counts.ts'
import { sourceState } from './source-state.ts'
import { type StandingParts, untold } from './standing.ts'

type Needs = StatusView['needsYou']
/** Sites named per cause; the count says how many there are. */
const NAMED_SITES = 10

export function needsYou(parts: StandingParts, rollouts: readonly RolloutView[]): Needs {
  return [...ofClock(parts), ...ofSource(parts), ...ofSites(parts), ...failures(parts), ...ofRollouts(rollouts)]
}

/** Until it is right nothing is signed, and so nothing moves. */
function ofClock({ clockDoubt }: StandingParts): Needs {
  const doubt = clockDoubt?.()
  if (doubt === undefined) return []
  const message = `HubClock: the hub does not trust its clock: ${doubt}; it signs nothing and decides nothing`
  return [{ message, count: 1, sites: [], next: 'set the clock of the hub' }]
}

function ofSource({ world }: StandingParts): Needs {
  const { fault, brake, seen, revision, problems } = sourceState(world)
  const needs: Needs[number][] = []
  if (fault !== null)
    needs.push({ message: `${fault.reason}: ${fault.message}`, count: 1, sites: [], next: 'flotilla status' })
  if (brake !== null)
    needs.push({
      message: `DeletionBrake: ${brake.message}`,
      count: 1,
      sites: [],
      next: `confirm ${brake.digest} in spec.deletionBrake.confirmed of the Fleet`,
    })
  const errors = problems.filter(({ severity }) => severity === 'error')
  const first = errors[0]
  if (first !== undefined) {
    const what = seen === revision ? 'holds workloads back' : `keeps revision ${(seen ?? '').slice(0, 12)} out`
    const more = errors.length > 1 ? ` and ${errors.length - 1} more` : ''
    needs.push({
      message: `${first.code} ${first.place.file}:${first.place.line} ${first.message}${more}: ${what}`,
      count: errors.length,
      sites: [],
      next: 'flotilla lint',
    })
  }
  return needs
}

function ofSites(parts: StandingParts): Needs {
  const { world } = parts
  const groups = new Map<string, string[]>()
  const put = (message: string, site: string): void => {
    const sites = groups.get(message)
    if (sites === undefined) groups.set(message, [site])
    else sites.push(site)
  }
  for (const site of world.sites.values()) {
    if (site.fork !== null) put(`${site.fork.reason}: has what this hub never published`, site.name)
    for (const { type, reason } of site.conditions) put(`${type} ${reason}`, site.name)
    for (const { type, reason } of untold(parts, site, () =>
      [...world.books.values()].flatMap((book) => book.get(site.name) ?? []),
    ))
      put(`${type} ${reason}`, site.name)
  }
  return grouped(groups, (sites) => `flotilla why site/${sites[0]}`)
}

/** Failures of the same workload for the same reason are one. */
function failures({ world }: StandingParts): Needs {
  const groups = new Map<string, readonly string[]>()
  const workloads = new Map<string, string>()
  for (const { spec, state } of world.rollouts.values())
    for (const [reason, sites] of state === null ? [] : countsOf(state).failures) {
      const key = `${spec.workload}: ${reason}`
      workloads.set(key, spec.workload)
      groups.set(key, sites)
    }
  return [...groups].map(([key, sites]) => ({
    message: `${sites.length === 1 ? `${sites[0]} fails` : `${sites.length} sites fail the same way`}: ${key}`,
    count: sites.length,
    sites: sites.toSorted(byUtf16).slice(0, NAMED_SITES),
    next: `flotilla why rollout/${workloads.get(key)}`,
  }))
}

function ofRollouts(rollouts: readonly RolloutView[]): Needs {
  const needs: Needs[number][] = []
  for (const { workload, phase, paused, waiting, id } of rollouts) {
    const one = (message: string, next: string): void => {
      needs.push({ message: `rollout/${workload} ${message}`, count: 1, sites: [], next })
    }
    if (phase === 'Paused')
      one(
        `stands still: ${stopSentence(paused?.by ?? 'policy', 'pause', paused?.why ?? '')}`,
        `flotilla rollout resume ${workload}`,
      )
    else if (phase === 'RolledBack')
      one('went back: Git is ahead of the fleet: withdrawn', `flotilla why rollout/${workload}`)
    else if (waiting?.reason === 'ApprovalNeeded')
      one(`waits: ${formatWaiting(waiting)}`, `flotilla rollout approve ${workload} --id ${id}`)
    else if (waiting?.reason === 'Coverage')
      one(`lacks evidence: ${formatWaiting(waiting)}`, `flotilla why rollout/${workload}`)
  }
  return needs
}

function grouped(groups: ReadonlyMap<string, readonly string[]>, next: (sites: readonly string[]) => string): Needs {
  return [...groups].map(([message, sites]) => ({
    message: sites.length === 1 ? `${sites[0]}: ${message}` : `${sites.length} sites: ${message}`,
    count: sites.length,
    sites: sites.toSorted(byUtf16).slice(0, NAMED_SITES),
    next: next(sites),
  }))
}
