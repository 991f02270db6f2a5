/** The node for a pod: of those that may take it, the best; now before later. */
import { isDynamic, type Ask, type PodClass } from './classes.ts'
import type { Cycle } from './cycle.ts'
import { placementRefuses } from './filters.ts'
import { freshRank, isNow, RankView } from './rank.ts'
import type { State } from './state.ts'

export interface Choice {
  readonly node: number
  /** later: it fits when those who are leaving have left. */
  readonly when: 'now' | 'later'
}

export interface Limits {
  /** Only these nodes. */
  readonly within?: ReadonlySet<number>
  /** A further question about the pod and the node. */
  readonly allows?: (node: number) => boolean
}

export const NO_LIMITS: Limits = Object.freeze({})
const NO = Number.NEGATIVE_INFINITY

export function choose(cycle: Cycle, task: number, limits: Limits = NO_LIMITS): Choice | null {
  const podClass = cycle.classOf(task)
  const view = viewOf(cycle, podClass)
  const { dynamic, scorers } = askOf(cycle, podClass)
  const { shard } = cycle.options
  const live = cycle.liveFilters
  if (!dynamic && scorers.length === 0 && shard === null && live.length === 0 && limits === NO_LIMITS) {
    const node = view.best()
    return node < 0 ? null : { node, when: isNow(view.rank[node] as number) ? 'now' : 'later' }
  }
  const asks = live.length > 0 || limits.within !== undefined || limits.allows !== undefined || dynamic
  const allows = (node: number): boolean =>
    (limits.within === undefined || limits.within.has(node)) &&
    (!dynamic || placementRefuses(podClass, node) === null) &&
    live.every((filter) => filter.refuses(podClass, node, task) === null) &&
    (limits.allows === undefined || limits.allows(node))
  if (scorers.length === 0 && shard === null) {
    const node = asks ? view.bestWhere(allows) : view.best()
    return node < 0 ? null : { node, when: isNow(view.rank[node] as number) ? 'now' : 'later' }
  }
  // Now before later, and our own nodes before others', whatever they score.
  const groups: number[][] = [[], [], [], []]
  for (let node = 0; node < cycle.state.nodeRows; node++) {
    const rank = view.rank[node] as number
    if (rank === NO || (asks && !allows(node))) continue
    const own = shard === null || shard.nodes.has((cycle.state.facts[node] as { name: string }).name)
    ;(groups[(isNow(rank) ? 0 : 2) + (own ? 0 : 1)] as number[]).push(node)
  }
  const nodes = groups.find((group) => group.length > 0)
  if (nodes === undefined) return null
  const scores = Float64Array.from(nodes, (node) => view.rank[node] as number)
  if (nodes.length > 1) for (const scorer of scorers) scorer.score(podClass, nodes, scores, task)
  let best = 0
  for (let k = 1; k < nodes.length; k++) if ((scores[k] as number) > (scores[best] as number)) best = k
  const node = nodes[best] as number
  return { node, when: isNow(view.rank[node] as number) ? 'now' : 'later' }
}

function askOf(cycle: Cycle, podClass: PodClass): Ask {
  let { ask } = podClass
  if (ask === null || ask.cycle !== cycle) {
    const scorers = cycle.batchScorers.filter((scorer) => scorer.applies(podClass))
    ask = { cycle, dynamic: cycle.filters.kube && isDynamic(podClass), scorers }
    podClass.ask = ask
  }
  return ask
}

/** Brings the class's view up to now; with the cache off, makes it from nothing. */
export function viewOf(cycle: Cycle, podClass: PodClass): RankView {
  if (cycle.options.cache === 'on') {
    podClass.view ??= new RankView()
    podClass.view.catchUp(cycle.ranks, podClass)
    return podClass.view
  }
  return freshView(cycle, podClass)
}

function freshView(cycle: Cycle, podClass: PodClass): RankView {
  const { state } = cycle
  const view = new RankView()
  view.rank = Float64Array.from({ length: state.nodeRows }, (_, node) =>
    state.isAlive(node) ? freshRank(cycle.ranks, podClass, node) : NO,
  )
  view.fold(state.nodeRows)
  return view
}

/** Everything that can be asked about one node, room included; `rank` only says how good it is. */
export function mayGo(cycle: Cycle, task: number, node: number): boolean {
  const podClass = cycle.classOf(task)
  if (freshRank(cycle.ranks, podClass, node) === NO) return false
  return placesAllow(cycle, task, node)
}

export function placesAllow(cycle: Cycle, task: number, node: number): boolean {
  const podClass = cycle.classOf(task)
  if (cycle.filters.kube && placementRefuses(podClass, node) !== null) return false
  return cycle.filters.extra.every((filter) => filter.kind !== 'live' || filter.refuses(podClass, node, task) === null)
}

/** Nothing came free and nothing was placed that could help since this class last found no node. */
export function isStillHopeless(state: State, podClass: PodClass): boolean {
  const { failedAt } = podClass
  if (failedAt === null || failedAt[0] !== state.tally[0]) return false
  return failedAt[1] === state.tally[1] || (podClass.affinity.length === 0 && podClass.spreads.length === 0)
}

export function remember(state: State, podClass: PodClass): void {
  podClass.failedAt = [state.tally[0] as number, state.tally[1] as number]
}
