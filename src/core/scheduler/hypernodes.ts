/** Hyper nodes as a tree, by containment of their nodes. */
import { byUtf16 } from '../model/json.ts'
import type { Cycle } from './cycle.ts'

/** Stands above all nodes. */
export const TOP = '<cluster>'

export interface HyperTree {
  /** Tiers there are, ascending. */
  readonly tiers: readonly number[]
  /** While tasks are being placed: where their part of the job stands; '' for nowhere yet. Absent: it does not care. */
  readonly aim: Map<number, string>
  tierOf(name: string): number
  tierByName(name: string): number | undefined
  nodesOf(name: string): ReadonlySet<number>
  /** The smallest one around the node; '' for none. */
  leafOf(node: number): string
  at(node: number, tier: number): string | undefined
  /** The smallest that contains both. */
  common(a: string, b: string): string
  /** Itself and all that it contains. */
  below(name: string): readonly string[]
  /** The largest one around `name` whose tier is no more than `tier`. */
  highestWithin(name: string, tier: number): string | undefined
}

const trees = new WeakMap<Cycle, HyperTree>()

export function hyperTree(cycle: Cycle): HyperTree {
  let tree = trees.get(cycle)
  if (tree === undefined) {
    tree = build(cycle)
    trees.set(cycle, tree)
  }
  return tree
}

function build(cycle: Cycle): HyperTree {
  const { state, hyperNodes } = { state: cycle.state, hyperNodes: [...cycle.world.hyperNodes.values()] }
  const nodes = new Map<string, Set<number>>([[TOP, new Set()]])
  const tiers = new Map<string, number>([[TOP, Math.max(1, ...hyperNodes.map(({ tier }) => tier)) + 1]])
  for (let node = 0; node < state.nodeRows; node++) if (state.isAlive(node)) nodes.get(TOP)?.add(node)
  for (const { name, tier, leafNodes } of hyperNodes) {
    tiers.set(name, tier)
    nodes.set(name, new Set(leafNodes.flatMap((leaf) => state.nodeIds.get(leaf) ?? [])))
  }
  const names = [...nodes.keys()].toSorted(
    (a, b) => (tiers.get(a) as number) - (tiers.get(b) as number) || byUtf16(a, b),
  )
  const contains = (outer: string, inner: string): boolean => {
    if (outer === TOP || outer === inner) return true
    if ((tiers.get(outer) as number) <= (tiers.get(inner) as number)) return false
    const outside = nodes.get(outer) as Set<number>
    for (const node of nodes.get(inner) as Set<number>) if (!outside.has(node)) return false
    return true
  }
  return {
    tiers: [...new Set(hyperNodes.map(({ tier }) => tier))].toSorted((a, b) => a - b),
    aim: new Map(),
    tierOf: (name) => tiers.get(name) ?? Number.POSITIVE_INFINITY,
    tierByName: (tierName) => hyperNodes.find((one) => one.tierName === tierName)?.tier,
    nodesOf: (name) => nodes.get(name) ?? new Set(),
    leafOf: (node) => names.find((name) => name !== TOP && nodes.get(name)?.has(node) === true) ?? '',
    at: (node, tier) => names.find((name) => tiers.get(name) === tier && nodes.get(name)?.has(node) === true),
    common: (a, b) => {
      if (a === '' || b === '') return a === '' ? b : a
      if (!nodes.has(a) || !nodes.has(b)) return TOP
      return names.find((name) => contains(name, a) && contains(name, b)) ?? TOP
    },
    below: (root) => names.filter((name) => contains(root, name)),
    highestWithin: (name, tier) => {
      if (!nodes.has(name)) return undefined
      return names.findLast((outer) => (tiers.get(outer) as number) <= tier && contains(outer, name))
    },
  }
}
