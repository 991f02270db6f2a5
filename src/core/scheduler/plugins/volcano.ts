/** Volcano's smaller plugins: node groups, resource strategies, quotas, node usage. */
import { isObject, type JsonObject } from '../../model/json.ts'
import type { Cycle } from '../cycle.ts'
import { at, share, zeroes } from '../dense.ts'
import type { NodeFacts } from '../node.ts'
import { objectAt, textsAt } from '../object.ts'
import { numberArgument, type Arguments, type Hooks, type Vote } from '../plugin.ts'
import { isAllocated } from '../status.ts'
import type { ResourceList } from '../types.ts'

const MAX = 100
const GROUP_LABEL = 'volcano.sh/nodegroup-name'
const LIMITS_ANNOTATION = 'volcano.sh/nodegroup-resource-limits'

interface GroupRules {
  readonly required: readonly string[]
  readonly preferred: readonly string[]
  readonly notRequired: readonly string[]
  readonly notPreferred: readonly string[]
}

/** A queue's pods go to the node groups it names, and keep off those it shuns; the nearest queue with rules counts. */
export function nodegroup(cycle: Cycle): Hooks {
  const rulesOf = (queueRow: number): GroupRules | null => {
    const queue = cycle.queueAt(queueRow)
    if (queue === null) return null
    for (const row of [
      queue.row,
      ...(cycle.hierarchical || queue.input.affinity === undefined ? queue.ancestors : []),
    ]) {
      const affinity = cycle.queueAt(row)?.input.affinity
      if (affinity !== undefined) return readGroups(affinity)
    }
    return null
  }
  const groupOf = (node: number): string => (cycle.state.facts[node] as NodeFacts).labels[GROUP_LABEL] ?? ''
  return {
    filters: [
      {
        kind: 'live',
        refuses: (_podClass, node, task) => {
          if (task < 0) return null
          const job = cycle.jobOf(task)
          const rules = rulesOf(job.queue)
          const group = groupOf(node)
          if (rules === null) return group === '' ? null : 'NodeGroup'
          if (rules.notRequired.includes(group)) return 'NodeGroup'
          const asked = [...rules.required, ...rules.preferred]
          if (asked.length > 0 && !asked.includes(group)) return 'NodeGroup'
          return overGroupLimit(cycle, job.queue, group, task, groupOf) ? 'NodeGroup' : null
        },
      },
    ],
    batchScores: [
      {
        applies: () => true,
        score: (_podClass, nodes, scores, task) => {
          const rules = rulesOf(cycle.jobOf(task).queue)
          if (rules === null) return
          for (let k = 0; k < nodes.length; k++) {
            const group = groupOf(nodes[k] as number)
            if (group === '') continue
            let score = 0
            if (rules.required.includes(group)) score += MAX
            if (rules.preferred.includes(group)) score += MAX / 2
            if (rules.notPreferred.includes(group)) score -= 1
            scores[k] = (scores[k] as number) + score
          }
        },
      },
    ],
  }
}

function readGroups(affinity: JsonObject): GroupRules {
  const like = objectAt(affinity, 'nodeGroupAffinity')
  const unlike = objectAt(affinity, 'nodeGroupAntiAffinity')
  return {
    required: textsAt(like, 'requiredDuringSchedulingIgnoredDuringExecution'),
    preferred: textsAt(like, 'preferredDuringSchedulingIgnoredDuringExecution'),
    notRequired: textsAt(unlike, 'requiredDuringSchedulingIgnoredDuringExecution'),
    notPreferred: textsAt(unlike, 'preferredDuringSchedulingIgnoredDuringExecution'),
  }
}

/** Limits by group stand in an annotation of the queue; one that cannot be read keeps its pods off all groups. */
function overGroupLimit(
  cycle: Cycle,
  queue: number,
  group: string,
  task: number,
  groupOf: (node: number) => string,
): boolean {
  const text = cycle.queueAt(queue)?.input.annotations?.[LIMITS_ANNOTATION]
  if (text === undefined || group === '') return false
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return true
  }
  if (!isObject(parsed)) return true
  if (!isObject(parsed[group])) return false
  const { amounts, problems } = cycle.state.dimensions.read(parsed[group] as ResourceList)
  if (problems.length > 0) return true
  const held = zeroes(cycle.state.dimensions.size)
  const count = (other: number): void => {
    const { dims, values } = cycle.classOf(other).spec.requests.amounts
    for (let k = 0; k < dims.length; k++) held[dims[k] as number] = at(held, dims[k] as number) + (values[k] as number)
  }
  for (const job of cycle.jobs)
    if (job.queue === queue)
      for (const other of job.tasks) {
        const node = cycle.state.taskNode[other] as number
        if (node >= 0 && isAllocated(cycle.state.taskStatus[other] as number) && groupOf(node) === group) count(other)
      }
  count(task)
  return held.some((value, dim) => at(amounts, dim) > 0 && value > at(amounts, dim))
}

function positive(value: number, otherwise: number): number {
  return value > 0 ? value : otherwise
}

/** Per resource, either the emptiest or the fullest node is the best. */
export function resourceStrategyFit(cycle: Cycle, given: Arguments): Hooks {
  const { state } = cycle
  const weight = positive(numberArgument(given, 'resourceStrategyFitWeight', 10), 10)
  const named = isObject(given['resources']) ? given['resources'] : {}
  const resources: JsonObject = Object.keys(named).length > 0 ? named : { cpu: {}, memory: {} }
  const rules = Object.entries(resources).flatMap(([name, rule]) => {
    const dim = state.dimensions.names.find(name)
    if (dim < 0 || !isObject(rule)) return []
    return [{ dim, most: rule['type'] === 'MostAllocated', own: positive(numberArgument(rule, 'weight', 1), 1) }]
  })
  const sra = isObject(given['sra']) ? given['sra'] : {}
  const scarce = (typeof sra['resources'] === 'string' ? sra['resources'] : '')
    .split(',')
    .map((name) => state.dimensions.names.find(name.trim()))
  const sraWeight = sra['enable'] === true ? numberArgument(sra, 'weight', 1) : 0
  return {
    localScore: (podClass, node) => {
      let sum = 0
      let total = 0
      const { dims, values } = podClass.spec.requests.amounts
      for (const { dim, most, own } of rules) {
        const k = dims.indexOf(dim)
        if (k < 0) continue
        const whole = (state.allocatable[dim] as Float64Array)[node] as number
        const used = whole - ((state.idle[dim] as Float64Array)[node] as number) + (values[k] as number)
        total += own
        if (used > whole && whole > 0) return 0
        if (whole > 0) sum += own * (most ? used / whole : 1 - used / whole)
      }
      let score = total === 0 ? 0 : (sum / total) * MAX * weight
      // Pods that do not need the scarce resource go where there is none of it.
      if (sraWeight > 0) {
        const had = scarce.filter((dim) => dim >= 0 && ((state.allocatable[dim] as Float64Array)[node] as number) > 0)
        const wanted = had.filter((dim) => dims.includes(dim))
        score += had.length === 0 ? MAX * sraWeight : (wanted.length / had.length) * MAX * sraWeight
      }
      return score
    },
  }
}

/** Admits a job only within the quotas of its namespace. */
export function resourceQuota(cycle: Cycle): Hooks {
  const promised = new Map<string, Float64Array>()
  return {
    jobEnqueueable: (job): Vote => {
      const least = job.minResources
      if (least === null) return 1
      const pending = promised.get(job.namespace) ?? zeroes(least.length)
      for (const [key, quota] of cycle.world.quotas) {
        if (!key.startsWith(`${job.namespace}/`)) continue
        const status = objectAt(quota, 'status')
        const hard = quotaAmounts(cycle, objectAt(status, 'hard') as ResourceList)
        const used = quotaAmounts(cycle, objectAt(status, 'used') as ResourceList)
        for (const [dim, limit] of hard)
          if (at(least, dim) > 0 && (used.get(dim) ?? 0) + at(pending, dim) + at(least, dim) > limit) return -1
      }
      return 1
    },
    jobEnqueued: (job) => {
      if (job.minResources === null) return
      const sum = promised.get(job.namespace) ?? zeroes(job.minResources.length)
      promised.set(
        job.namespace,
        sum.map((value, dim) => value + at(job.minResources as Float64Array, dim)),
      )
    },
  }
}

function quotaAmounts(cycle: Cycle, list: ResourceList): Map<number, number> {
  const amounts = new Map<number, number>()
  for (const name in list) {
    const converted = cycle.state.dimensions.convert(name.replace(/^requests\./, ''), list[name] as string | number)
    if (converted.ok && 'value' in converted) amounts.set(converted.dim, converted.value)
  }
  return amounts
}

/** Percent, where no threshold is given. */
const BUSY = 80
const USAGE = { cpu: 'usage.flotilla.dev/cpu', mem: 'usage.flotilla.dev/memory' } as const

/** Nodes by how busy they were measured to be: percent of cpu and memory, in annotations of the node. */
export function usage(cycle: Cycle, given: Arguments): Hooks {
  const thresholds = isObject(given['thresholds']) ? given['thresholds'] : {}
  const weight = numberArgument(given, 'usage.weight', 5)
  const weights = { cpu: numberArgument(given, 'cpu.weight', 1), mem: numberArgument(given, 'memory.weight', 1) }
  const measured = (node: number, kind: 'cpu' | 'mem'): number | undefined => {
    const text = (cycle.state.facts[node] as NodeFacts).annotations[USAGE[kind]]
    const value = Number(text)
    return text === undefined || !Number.isFinite(value) ? undefined : value
  }
  return {
    filters: [
      {
        kind: 'node',
        refuses: (_podClass, node) => {
          for (const kind of ['cpu', 'mem'] as const)
            if ((measured(node, kind) ?? 0) > numberArgument(thresholds, kind, BUSY)) return 'Usage'
          return null
        },
      },
    ],
    batchScores: [
      {
        applies: () => true,
        score: (_podClass, nodes, scores) => {
          for (let k = 0; k < nodes.length; k++) {
            const [cpu, mem] = [measured(nodes[k] as number, 'cpu'), measured(nodes[k] as number, 'mem')]
            // Of what was not measured nothing good is known.
            if (cpu === undefined || mem === undefined) continue
            const sum = weights.cpu * (MAX - cpu) + weights.mem * (MAX - mem)
            scores[k] = (scores[k] as number) + weight * share(sum, weights.cpu + weights.mem)
          }
        },
      },
    ],
  }
}
