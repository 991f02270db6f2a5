/** Who must leave a node so that a pod may go there: found by trying it, then made as few as possible. */
import { selectorMatches, toSelector } from '../kube/selector.ts'
import type { LabelSelector } from '../model/selector.ts'
import { mayGo } from './choose.ts'
import type { Cycle } from './cycle.ts'
import { HOPELESS, nodeRefuses, standingRefuses } from './filters.ts'
import { mixHashes } from './hash.ts'
import { numberAt, objectAt } from './object.ts'
import type { State } from './state.ts'

export interface Candidate {
  readonly node: number
  readonly victims: readonly { readonly task: number; readonly breaksBudget: boolean }[]
}

/** kube-scheduler looks at a tenth of the nodes, and at a hundred at least. */
const MIN_CANDIDATES = 100
const CANDIDATE_SHARE = 0.1

/** Nodes on which evictions could help at all, the best scores first; a bounded number, from a place that the pod's hash picks. */
export function candidateNodes(cycle: Cycle, task: number): number[] {
  const { state, filters } = cycle
  const podClass = cycle.classOf(task)
  const nodes: number[] = []
  for (let node = 0; node < state.nodeRows; node++) {
    if (!state.isAlive(node) || nodeRefuses(state, filters, podClass, node) !== null || !couldHold(state, task, node))
      continue
    const standing = standingRefuses(state, filters, podClass, node)
    if (standing !== null && HOPELESS.has(standing)) continue
    if (filters.extra.some((filter) => filter.kind === 'live' && filter.refuses(podClass, node, task) !== null))
      continue
    nodes.push(node)
  }
  const scores = Float64Array.from(nodes, (node) => cycle.ranks.localScore(podClass, node))
  for (const scorer of cycle.batchScorers) if (scorer.applies(podClass)) scorer.score(podClass, nodes, scores, task)
  const { shard } = cycle.options
  const order = nodes.map((node, k) => ({
    node,
    score: scores[k] as number,
    foreign: shard !== null && !shard.nodes.has(state.facts[node]?.name ?? '') ? 1 : 0,
    tie: mixHashes(podClass.hash, cycle.ranks.nodeHash[node] as number),
  }))
  return order.sort((a, b) => a.foreign - b.foreign || b.score - a.score || a.tie - b.tie).map(({ node }) => node)
}

function couldHold(state: State, task: number, node: number): boolean {
  const { dims, values } = (
    state.taskClass[task] as { spec: { requests: { amounts: { dims: Int32Array; values: Float64Array } } } }
  ).spec.requests.amounts
  for (let k = 0; k < dims.length; k++)
    if ((values[k] as number) > ((state.allocatable[dims[k] as number] as Float64Array)[node] as number)) return false
  return true
}

/** Tries the eviction of `allowed` on one node, in their order, until `fits`; then spares those who need not go. Undone before it returns. */
export function tryNode(
  cycle: Cycle,
  preemptor: number,
  node: number,
  allowed: readonly number[],
  fits: () => boolean,
): Candidate | null {
  const { state } = cycle
  const mark = state.log.begin()
  const order = allowed.toSorted((a, b) => cycle.compareVictims(a, b, preemptor))
  const gone: number[] = []
  let fit = false
  const statuses = new Map<number, number>()
  for (const task of order) {
    statuses.set(task, state.taskStatus[task] as number)
    state.evict(task)
    gone.push(task)
    if (fits()) {
      fit = true
      break
    }
  }
  let victims: number[] = []
  if (fit) {
    const breaking = breaksBudgets(cycle, gone)
    // Those whose budget would break are spared first, then from the last one taken.
    const spareFirst = [...gone].reverse().sort((a, b) => Number(breaking.has(b)) - Number(breaking.has(a)))
    for (const task of spareFirst) {
      state.spare(task, statuses.get(task) as number)
      if (fits()) continue
      state.evict(task)
      victims.push(task)
    }
  }
  const breaking = breaksBudgets(cycle, victims)
  state.log.rollback(mark)
  victims = victims.toSorted((a, b) => cycle.compareVictims(a, b, preemptor))
  return fit && victims.length > 0
    ? { node, victims: victims.map((task) => ({ task, breaksBudget: breaking.has(task) })) }
    : null
}

/** Fewest broken budgets, lowest highest priority, lowest sum of priorities, fewest victims, latest start, then the order tried. */
export function bestCandidate(cycle: Cycle, candidates: readonly Candidate[]): Candidate | null {
  const { taskPriority, taskStarted } = cycle.state
  const keys = (candidate: Candidate): number[] => {
    const tasks = candidate.victims.map(({ task }) => task)
    const priorities = tasks.map((task) => taskPriority[task] as number)
    const highest = Math.max(...priorities)
    const started = tasks.filter((_, k) => priorities[k] === highest).map((task) => taskStarted[task] as number)
    return [
      candidate.victims.filter(({ breaksBudget }) => breaksBudget).length,
      highest,
      // Shifted so that more victims of negative priority are not better.
      priorities.reduce((sum, priority) => sum + priority + 2 ** 31, 0),
      tasks.length,
      -Math.min(...started),
    ]
  }
  let best: Candidate | null = null
  let bestKeys: number[] = []
  for (const candidate of candidates) {
    const own = keys(candidate)
    const first = own.findIndex((value, k) => value !== bestKeys[k])
    if (best === null || (first >= 0 && (own[first] as number) < (bestKeys[first] as number))) {
      best = candidate
      bestKeys = own
    }
  }
  return best
}

/** How many nodes are tried, of so many that could be. */
export function triesOf(nodes: number): number {
  return Math.min(nodes, Math.max(MIN_CANDIDATES, Math.ceil(nodes * CANDIDATE_SHARE)))
}

export function fitsOn(cycle: Cycle, task: number, node: number): boolean {
  return mayGo(cycle, task, node)
}

/** Which of these evictions would break a disruption budget, those before them and this cycle's counted. */
export function breaksBudgets(cycle: Cycle, tasks: readonly number[]): ReadonlySet<number> {
  const broken = new Set<number>()
  if (cycle.world.budgets.size === 0) return broken
  for (const [key, budget] of cycle.world.budgets) {
    const namespace = key.slice(0, key.indexOf('/'))
    const parsed = toSelector(objectAt(budget, 'spec')['selector'] as LabelSelector | undefined)
    if (!parsed.ok || parsed.selector.selects === 'nothing') continue
    const { selector } = parsed
    const covers = (task: number): boolean =>
      cycle.state.taskNames[task]?.namespace === namespace && selectorMatches(selector, cycle.factsOf(task).labels)
    let left = numberAt(objectAt(budget, 'status'), 'disruptionsAllowed', 0)
    for (const { task } of cycle.evictions) if (covers(task)) left--
    for (const task of tasks) if (covers(task) && --left < 0) broken.add(task)
  }
  return broken
}
