/** Who must leave a node so that a pod may go there: found by trying it, then made as few as possible. */
import { selectorMatches } from '../kube/selector.ts'
import { mayGo } from './choose.ts'
import type { PodClass } from './classes.ts'
import type { Cycle } from './cycle.ts'
import { HOPELESS, nodeRefuses, standingRefuses } from './filters.ts'
import { mixHashes } from './hash.ts'
import { numberAt, objectAt } from './object.ts'
import { readSelector } from './selectors.ts'
import type { State } from './state.ts'

export interface Candidate {
  readonly node: number
  readonly victims: readonly { readonly task: number; readonly breaksBudget: boolean }[]
}

/** So many nodes that would do are compared. */
const MAX_CANDIDATES = 100

/** Could evictions on this node help at all? */
export function couldHelp(cycle: Cycle, task: number, node: number): boolean {
  const { state, filters } = cycle
  const podClass = cycle.classOf(task)
  if (!state.isAlive(node) || !couldHold(state, task, node) || nodeRefuses(state, filters, podClass, node) !== null)
    return false
  const standing = standingRefuses(state, filters, podClass, node)
  if (standing !== null && HOPELESS.has(standing)) return false
  return cycle.liveFilters.every((filter) => filter.refuses(podClass, node, task) === null)
}

/** Nodes to try, best score first, our own before others'. */
export function nodesByScore(cycle: Cycle, task: number): number[] {
  const { state } = cycle
  const podClass = cycle.classOf(task)
  const nodes: number[] = []
  for (let node = 0; node < state.nodeRows; node++) if (couldHelp(cycle, task, node)) nodes.push(node)
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

interface Round {
  readonly nodes: readonly number[]
  /** By class: where the search before this one ended. */
  readonly from: Map<PodClass, number>
}
const rounds = new WeakMap<Cycle, Round>()

/** Nodes to try in an order of their names' hashes, going on where the search for the last pod of the class ended. */
export function* nodesInTurn(cycle: Cycle, task: number): Iterable<number> {
  const podClass = cycle.classOf(task)
  let round = rounds.get(cycle)
  if (round === undefined) {
    const { nodeHash } = cycle.ranks
    const nodes: number[] = []
    for (let node = 0; node < cycle.state.nodeRows; node++) if (cycle.state.isAlive(node)) nodes.push(node)
    nodes.sort((a, b) => (nodeHash[a] as number) - (nodeHash[b] as number))
    round = { nodes, from: new Map() }
    rounds.set(cycle, round)
  }
  const { nodes, from } = round
  const start = from.get(podClass) ?? (nodes.length === 0 ? 0 : podClass.hash % nodes.length)
  for (let k = 0; k < nodes.length; k++) {
    const at = (start + k) % nodes.length
    const node = nodes[at] as number
    from.set(podClass, at)
    if (couldHelp(cycle, task, node)) yield node
  }
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
  if (breaking.size > 0 && cycle.options.budgets === 'honour') return null
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

export function enoughCandidates(count: number): boolean {
  return count >= MAX_CANDIDATES
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
    const parsed = readSelector(objectAt(budget, 'spec')['selector'])
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
