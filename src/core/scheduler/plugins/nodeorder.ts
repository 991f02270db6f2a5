/** kube-scheduler's scores, with its normalisations, and binpack. */
import type { PodClass, Spread } from '../classes.ts'
import type { Cycle } from '../cycle.ts'
import { dislikedTaints, preference, type NodeFacts } from '../node.ts'
import { numberArgument, type Arguments, type BatchScorer, type Hooks } from '../plugin.ts'
import { CPU, MEMORY } from '../resources.ts'
import type { State } from '../state.ts'

const MAX = 100

export function nodeorder(cycle: Cycle, given: Arguments): Hooks {
  const { state } = cycle
  const least = numberArgument(given, 'leastrequested.weight', 1)
  const most = numberArgument(given, 'mostrequested.weight', 0)
  const balanced = numberArgument(given, 'balancedresource.weight', 1)
  const batch: BatchScorer[] = []
  const weighted = (name: string, otherwise: number, make: (weight: number) => BatchScorer): void => {
    const weight = numberArgument(given, name, otherwise)
    if (weight !== 0) batch.push(make(weight))
  }
  weighted('nodeaffinity.weight', 2, (weight) => nodeAffinityScore(state, weight))
  weighted('tainttoleration.weight', 3, (weight) => taintScore(state, weight))
  weighted('podaffinity.weight', 2, podAffinityScore)
  weighted('podtopologyspread.weight', 2, (weight) => spreadScore(state, weight))
  weighted('imagelocality.weight', 1, (weight) => imageScore(state, weight))
  return {
    localScore: (podClass, node) => {
      const { nonZeroCpu, nonZeroMemory } = podClass.spec.requests
      const cpus = (state.allocatable[CPU] as Float64Array)[node] as number
      const bytes = (state.allocatable[MEMORY] as Float64Array)[node] as number
      const cpu = (state.nonZeroCpu[node] as number) + nonZeroCpu
      const memory = (state.nonZeroMemory[node] as number) + nonZeroMemory
      let score = 0
      if (least !== 0) score += least * Math.floor((unused(cpu, cpus) + unused(memory, bytes)) / 2)
      if (most !== 0) score += most * Math.floor((used(cpu, cpus) + used(memory, bytes)) / 2)
      if (balanced !== 0) score += balanced * balance(state, podClass, node)
      return score
    },
    batchScores: batch,
  }
}

function unused(amount: number, whole: number): number {
  return whole === 0 || amount > whole ? 0 : Math.floor(((whole - amount) * MAX) / whole)
}

function used(amount: number, whole: number): number {
  return whole === 0 ? 0 : Math.floor((Math.min(amount, whole) * MAX) / whole)
}

/** How near the shares of cpu and memory in use are to each other. */
function balance(state: State, podClass: PodClass, node: number): number {
  let cpu = 0
  let memory = 0
  const { dims, values } = podClass.spec.requests.amounts
  for (let k = 0; k < dims.length; k++) {
    if (dims[k] === CPU) cpu = values[k] as number
    else if (dims[k] === MEMORY) memory = values[k] as number
  }
  const share = (dim: number, asked: number): number => {
    const whole = (state.allocatable[dim] as Float64Array)[node] as number
    if (whole === 0) return 1
    return Math.min(1, (whole - ((state.idle[dim] as Float64Array)[node] as number) + asked) / whole)
  }
  return Math.floor((1 - Math.abs(share(CPU, cpu) - share(MEMORY, memory)) / 2) * MAX)
}

/** Scales raw scores so that the highest is MAX; all zero stays so, and reversed it is all MAX. */
function normalise(raw: Float64Array, weight: number, reverse: boolean, scores: Float64Array): void {
  let highest = 0
  for (const value of raw) if (value > highest) highest = value
  for (let k = 0; k < raw.length; k++) {
    const scaled = highest === 0 ? 0 : Math.floor(((raw[k] as number) * MAX) / highest)
    scores[k] = (scores[k] as number) + weight * (reverse ? MAX - scaled : scaled)
  }
}

function nodeAffinityScore(state: State, weight: number): BatchScorer {
  return {
    applies: (podClass) => podClass.spec.preferredNodes.length > 0,
    score: (podClass, nodes, scores) => {
      const raw = Float64Array.from(nodes, (node) => preference(podClass.spec, state.facts[node] as NodeFacts))
      normalise(raw, weight, false, scores)
    },
  }
}

function taintScore(state: State, weight: number): BatchScorer {
  const disliked = state.facts.some(
    (facts) => facts?.taints.some(({ effect }) => effect === 'PreferNoSchedule') === true,
  )
  return {
    applies: () => disliked,
    score: (podClass, nodes, scores) => {
      const raw = Float64Array.from(nodes, (node) => dislikedTaints(podClass.spec, state.facts[node] as NodeFacts))
      normalise(raw, weight, true, scores)
    },
  }
}

function podAffinityScore(weight: number): BatchScorer {
  return {
    applies: (podClass) => podClass.wishes.length > 0 || podClass.liked.length > 0,
    score: (podClass, nodes, scores) => {
      const raw = new Float64Array(nodes.length)
      let lowest = Number.POSITIVE_INFINITY
      let highest = Number.NEGATIVE_INFINITY
      for (let k = 0; k < nodes.length; k++) {
        const node = nodes[k] as number
        let sum = 0
        for (const wish of podClass.wishes) sum += wish.weight * wish.counter.at(node)
        for (const counter of podClass.liked) sum += counter.at(node)
        raw[k] = sum
        if (sum < lowest) lowest = sum
        if (sum > highest) highest = sum
      }
      if (highest === lowest) return
      for (let k = 0; k < nodes.length; k++)
        scores[k] =
          (scores[k] as number) + weight * Math.floor((MAX * ((raw[k] as number) - lowest)) / (highest - lowest))
    },
  }
}

/** Soft spread: fewer of its kind in the domain is better, domains weighed by how many there are. */
function spreadScore(state: State, weight: number): BatchScorer {
  const soft = (podClass: PodClass): readonly Spread[] => podClass.spreads.filter(({ hard }) => !hard)
  return {
    applies: (podClass) => podClass.spreads.some(({ hard }) => !hard),
    score: (podClass, nodes, scores) => {
      const spreads = soft(podClass)
      const raw = new Float64Array(nodes.length).fill(-1)
      const weights = spreads.map(({ counter }) =>
        Math.log((counter.key.name === HOSTNAME ? nodes.length : (counter.meta[3] as number)) + 2),
      )
      let lowest = Number.POSITIVE_INFINITY
      let highest = 0
      for (let k = 0; k < nodes.length; k++) {
        const node = nodes[k] as number
        if (!state.isAlive(node) || spreads.some(({ counter }) => (counter.key.domains[node] as number) < 0)) continue
        let sum = 0
        for (let s = 0; s < spreads.length; s++) {
          const { counter, maxSkew } = spreads[s] as Spread
          sum += counter.at(node) * (weights[s] as number) + (maxSkew - 1)
        }
        raw[k] = Math.round(sum)
        lowest = Math.min(lowest, raw[k] as number)
        highest = Math.max(highest, raw[k] as number)
      }
      for (let k = 0; k < nodes.length; k++) {
        const value = raw[k] as number
        if (value < 0) continue
        scores[k] =
          (scores[k] as number) +
          weight * (highest === 0 ? MAX : Math.floor((MAX * (highest + lowest - value)) / highest))
      }
    },
  }
}

const HOSTNAME = 'kubernetes.io/hostname'
const MIN_IMAGE = 23 * 1024 * 1024
const MAX_IMAGE = 1000 * 1024 * 1024

/** Images that are there already, weighed by how widely they are: an image on one node alone should not draw everything to it. */
function imageScore(state: State, weight: number): BatchScorer {
  const known = state.facts.some((facts) => facts !== null && facts.images.size > 0)
  return {
    applies: (podClass) => known && podClass.spec.images.length > 0,
    score: (podClass, nodes, scores) => {
      const { images } = podClass.spec
      const spread = images.map((image) => {
        let having = 0
        let all = 0
        for (const facts of state.facts)
          if (facts !== null) {
            all++
            if (facts.images.has(image)) having++
          }
        return all === 0 ? 0 : having / all
      })
      for (let k = 0; k < nodes.length; k++) {
        const facts = state.facts[nodes[k] as number] as NodeFacts
        let sum = 0
        for (let i = 0; i < images.length; i++)
          sum += Math.floor((facts.images.get(images[i] as string) ?? 0) * (spread[i] as number))
        const most = MAX_IMAGE * images.length
        const bounded = Math.min(Math.max(sum, MIN_IMAGE), most)
        scores[k] = (scores[k] as number) + weight * Math.floor((MAX * (bounded - MIN_IMAGE)) / (most - MIN_IMAGE))
      }
    },
  }
}

/** (used + request) x weight / capacity over what is asked for; a node that would be over in something scores nothing. */
export function binpack(cycle: Cycle, given: Arguments): Hooks {
  const { state } = cycle
  const overall = numberArgument(given, 'binpack.weight', 1)
  const weightOf = (name: string): number => {
    const weight = numberArgument(given, name, 1)
    return weight < 0 ? 1 : weight
  }
  const weights = new Map<number, number>([
    [CPU, weightOf('binpack.cpu')],
    [MEMORY, weightOf('binpack.memory')],
  ])
  const named = typeof given['binpack.resources'] === 'string' ? given['binpack.resources'] : ''
  for (const name of named.split(',').map((one) => one.trim()))
    if (name !== '') weights.set(state.dimensions.names.id(name), weightOf(`binpack.resources.${name}`))
  state.fitDimensions()
  return {
    localScore: (podClass, node) => {
      const { dims, values } = podClass.spec.requests.amounts
      let sum = 0
      let weight = 0
      for (let k = 0; k < dims.length; k++) {
        const dim = dims[k] as number
        const own = weights.get(dim)
        if (own === undefined) continue
        const whole = (state.allocatable[dim] as Float64Array)[node] as number
        const future = whole - ((state.idle[dim] as Float64Array)[node] as number) + (values[k] as number)
        weight += own
        if (whole > 0 && future <= whole) sum += (future * own) / whole
        else if (own > 0) return 0
      }
      return weight === 0 ? 0 : (sum / weight) * MAX * overall
    },
  }
}
