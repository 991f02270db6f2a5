/** Keeps the pods of a job near each other in the network: hyper nodes are trees of nodes, tier 1 the nearest. */
import type { Cycle } from '../cycle.ts'
import { at, zeroes, type Dense } from '../dense.ts'
import { hyperTree, type HyperTree } from '../hypernodes.ts'
import { numberArgument, type Arguments, type Hooks, type HyperNodeQuestion } from '../plugin.ts'

const MAX = 100

export function networkTopologyAware(cycle: Cycle, given: Arguments): Hooks {
  const tree = hyperTree(cycle)
  const weight = numberArgument(given, 'weight', 1)
  const weights = binpackWeights(cycle, given)
  const fading = numberArgument(given, 'hypernode.binpack.normal-pod.fading', 0.8)
  const normal = given['hypernode.binpack.normal-pod.enable'] !== false
  const [low, high] = [tree.tiers[0] ?? 0, tree.tiers.at(-1) ?? 0]

  const packed = (hyperNode: string, request: Dense): number => {
    const { whole, used } = amountsOf(cycle, tree, hyperNode)
    let sum = 0
    let total = 0
    for (const [dim, own] of weights) {
      const asked = at(request, dim)
      if (asked === 0) continue
      if (at(used, dim) + asked > at(whole, dim)) return 0
      sum += (own * (at(used, dim) + asked)) / at(whole, dim)
      total += own
    }
    return total === 0 ? 0 : sum / total
  }
  const requestOf = (tasks: readonly number[]): Dense => {
    const sum = zeroes(cycle.state.dimensions.size)
    for (const task of tasks) {
      const { dims, values } = cycle.classOf(task).spec.requests.amounts
      for (let k = 0; k < dims.length; k++) sum[dims[k] as number] = at(sum, dims[k] as number) + (values[k] as number)
    }
    return sum
  }
  const nearness = (hyperNode: string, allocated: string): number => {
    if (hyperNode === '' || allocated === '') return 0
    if (hyperNode === allocated) return 1
    const tier = tree.tierOf(tree.common(hyperNode, allocated))
    if (low === high) return 1
    return tier >= low && tier <= high ? (high - tier) / (high - low) : 0
  }
  /** How many of the tasks stand in the hyper node. */
  const together = (hyperNode: string, tasks: Iterable<number>): number => {
    let inside = 0
    let all = 0
    const nodes = tree.nodesOf(hyperNode)
    for (const task of tasks) {
      all++
      if (nodes.has(cycle.state.taskNode[task] as number)) inside++
    }
    return all === 0 ? 0 : inside / all
  }
  const tieBroken = (raw: Map<string, number>, extra: (name: string) => number): Map<string, number> => {
    const best = Math.max(...raw.values())
    const ties = [...raw.keys()].filter((name) => raw.get(name) === best)
    if (ties.length > 1) for (const name of ties) raw.set(name, best + extra(name))
    return new Map([...raw].map(([name, score]) => [name, score * MAX * weight]))
  }
  return {
    hyperNodeGradient: (question) => (question.topology?.hard === true ? gradient(cycle, tree, question) : null),
    hyperNodeOrder: (tasks, names) => {
      const request = requestOf(tasks)
      return tieBroken(new Map(names.map((name) => [name, packed(name, request)])), (name) => together(name, tasks))
    },
    batchScores: [
      {
        applies: () => tree.tiers.length > 0,
        score: (_podClass, nodes, scores, task) => {
          const job = cycle.jobOf(task)
          const aim = tree.aim.get(task)
          if (aim !== undefined) {
            if (aim === '') return
            const raw = new Map(nodes.map((node) => [String(node), nearness(tree.leafOf(node), aim)]))
            const final = tieBroken(raw, (node) => together(tree.leafOf(Number(node)), job.tasks))
            for (let k = 0; k < nodes.length; k++)
              scores[k] = (scores[k] as number) + (final.get(String(nodes[k])) ?? 0)
            return
          }
          if (!normal) return
          const request = requestOf([task])
          for (let k = 0; k < nodes.length; k++) {
            let sum = 0
            let total = 0
            for (let tier = low; tier <= high; tier++) {
              const own = fading ** (tier - 1)
              const hyperNode = tree.at(nodes[k] as number, tier)
              sum += own * (hyperNode === undefined ? 1 : packed(hyperNode, request))
              total += own
            }
            if (total > 0) scores[k] = (scores[k] as number) + (sum / total) * MAX * weight
          }
        },
      },
    ],
  }
}

function binpackWeights(cycle: Cycle, given: Arguments): Map<number, number> {
  const { names } = cycle.state.dimensions
  const weights = new Map([
    [0, numberArgument(given, 'hypernode.binpack.cpu', 1)],
    [1, numberArgument(given, 'hypernode.binpack.memory', 1)],
  ])
  const named = typeof given['hypernode.binpack.resources'] === 'string' ? given['hypernode.binpack.resources'] : ''
  for (const name of named.split(',').map((one) => one.trim()))
    if (name !== '' && names.find(name) >= 0)
      weights.set(names.find(name), numberArgument(given, `hypernode.binpack.resources.${name}`, 1))
  return weights
}

function amountsOf(cycle: Cycle, tree: HyperTree, hyperNode: string): { whole: Dense; used: Dense; idle: Dense } {
  const { state } = cycle
  const size = state.dimensions.size
  const whole = zeroes(size)
  const used = zeroes(size)
  const idle = zeroes(size)
  for (const node of tree.nodesOf(hyperNode))
    for (let dim = 0; dim < size; dim++) {
      const all = (state.allocatable[dim] as Float64Array)[node] as number
      const free = (state.idle[dim] as Float64Array)[node] as number
      whole[dim] = at(whole, dim) + all
      used[dim] = at(used, dim) + all - free
      idle[dim] = at(idle, dim) + free + ((state.later[dim] as Float64Array)[node] as number)
    }
  return { whole, used, idle }
}

/** Hyper nodes within reach, tier by tier, that have room enough; where the job already stands, only those around it. */
function gradient(cycle: Cycle, tree: HyperTree, question: HyperNodeQuestion): string[][] {
  const { within, allocated, least } = question
  const most = question.topology?.tier ?? 0
  let root = within
  if (allocated !== '') {
    const highest = tree.highestWithin(allocated, most)
    if (highest === undefined) return []
    const common = tree.common(within, highest)
    if (common === highest) root = within
    else if (common === within) root = highest
    else return []
  }
  const byTier = new Map<number, string[]>()
  for (const name of tree.below(root)) {
    const tier = tree.tierOf(name)
    if (tier > most) continue
    if (allocated === '' && !enough(amountsOf(cycle, tree, name).idle, least)) continue
    byTier.set(tier, [...(byTier.get(tier) ?? []), name])
  }
  return [...byTier.keys()].toSorted((a, b) => a - b).map((tier) => byTier.get(tier) as string[])
}

function enough(idle: Dense, least: Dense): boolean {
  for (let dim = 0; dim < least.length; dim++) if (at(least, dim) > at(idle, dim)) return false
  return true
}
