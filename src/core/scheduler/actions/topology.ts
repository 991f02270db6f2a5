/**
 * Jobs that are divided into parts, or must keep within a part of the network. Hyper nodes are tried from the nearest tier outwards;
 * every one of a tier is tried out, and the best that holds the job is taken.
 */
import { selectorMatches } from '../../kube/selector.ts'
import { byUtf16 } from '../../model/json.ts'
import type { Cycle } from '../cycle.ts'
import { at, zeroes, type Dense } from '../dense.ts'
import { hyperTree, TOP } from '../hypernodes.ts'
import type { Job, Queue, SubJob } from '../ledger.ts'
import { NO_PARTS } from '../records.ts'
import { readSelector } from '../selectors.ts'
import { Statement, type Move } from '../statement.ts'
import { isAllocated, PENDING, STATUSES } from '../status.ts'
import type { NetworkTopology } from '../types.ts'
import { placeTasks } from './place.ts'

type Topology = SubJob['topology']

interface Part {
  readonly subJob: SubJob
  tasks: number[]
}

interface Trial {
  readonly moves: readonly Move[]
  readonly parts: readonly Part[]
  readonly stands: ReadonlyMap<SubJob, string>
  readonly score: number
}

export function isDivided(cycle: Cycle, job: Job): boolean {
  const { input } = job
  if (input === null) return false
  if ((input.subGroupPolicy ?? []).length > 0) return true
  return input.networkTopology !== undefined && topologyOf(cycle, input.networkTopology) !== null
}

export function allocateDivided(cycle: Cycle, queue: Queue, job: Job, tasks: number[]): 'done' | 'held' | 'blocked' {
  const parts = divide(cycle, job, tasks)
  const topology = job.input?.networkTopology === undefined ? null : topologyOf(cycle, job.input.networkTopology)
  const gradients = cycle.hyperNodeGradients({
    within: TOP,
    topology,
    allocated: job.allocatedHyperNode,
    least: leastOf(cycle, job, tasks),
  })
  const before = new Map(parts.map(({ subJob }) => [subJob, subJob.allocatedHyperNode]))
  for (const hyperNodes of gradients) {
    let best: Trial | null = null
    let bestName = ''
    for (const hyperNode of hyperNodes) {
      const trial = tryJob(cycle, queue, job, parts, hyperNode)
      for (const [subJob, name] of before) subJob.allocatedHyperNode = name
      if (trial !== null && (best === null || trial.score > best.score)) {
        best = trial
        bestName = hyperNode
      }
    }
    if (best === null) continue
    const statement = new Statement(cycle)
    for (const move of best.moves) statement.do(move)
    for (const [subJob, name] of best.stands) subJob.allocatedHyperNode = name
    tasks.splice(
      0,
      tasks.length,
      ...best.parts.flatMap((part) => part.tasks).toSorted((a, b) => cycle.compareTasks(a, b)),
    )
    if (!cycle.jobReady(job)) {
      statement.hold()
      return 'held'
    }
    if (bestName !== TOP) job.allocatedHyperNode = hyperTree(cycle).common(job.allocatedHyperNode, bestName)
    statement.commit()
    return 'done'
  }
  return 'blocked'
}

/** The whole job inside one hyper node, and back. */
function tryJob(cycle: Cycle, queue: Queue, job: Job, from: readonly Part[], hyperNode: string): Trial | null {
  const outer = new Statement(cycle)
  job.failedRoles.clear()
  const parts = from.map(({ subJob, tasks }) => ({ subJob, tasks: [...tasks] }))
  const turns = [...parts]
  const stands = new Map<SubJob, string>()
  let score = 0
  while (turns.length > 0) {
    const part = turns.shift() as Part
    if (part.tasks.length === 0) continue
    const placed = placePart(cycle, queue, job, part, hyperNode, outer)
    if (placed === null) continue
    score += placed.score
    stands.set(part.subJob, placed.hyperNode)
    if (part.tasks.length > 0) turns.push(part)
    if (cycle.jobReady(job)) break
  }
  const holds = outer.moves.length > 0 && (cycle.jobReady(job) || cycle.jobPipelined(job))
  const moves = [...outer.moves]
  outer.discard()
  return holds ? { moves, parts, stands, score } : null
}

function placePart(
  cycle: Cycle,
  queue: Queue,
  job: Job,
  part: Part,
  within: string,
  outer: Statement,
): { score: number; hyperNode: string } | null {
  const { subJob } = part
  const tree = hyperTree(cycle)
  const gradients = cycle.hyperNodeGradients({
    within,
    topology: subJob.topology,
    allocated: subJob.allocatedHyperNode,
    least: requestOf(cycle, part.tasks),
  })
  for (const hyperNodes of gradients) {
    const found = new Map<string, { moves: readonly Move[]; tasks: number[]; stands: string }>()
    for (const hyperNode of hyperNodes) {
      const inner = new Statement(cycle)
      const tasks = [...part.tasks]
      const stands = fill(cycle, queue, job, subJob, tasks, hyperNode, inner)
      if (stands !== null && inner.moves.length > 0) found.set(hyperNode, { moves: [...inner.moves], tasks, stands })
      inner.discard()
    }
    if (found.size === 0) continue
    const scores = cycle.scoreHyperNodes(allOf(cycle, job, subJob), [...found.keys()])
    const [best] = [...found.keys()].toSorted((a, b) => (scores.get(b) ?? 0) - (scores.get(a) ?? 0) || byUtf16(a, b))
    const taken = found.get(best as string) as { moves: readonly Move[]; tasks: number[]; stands: string }
    for (const move of taken.moves) outer.do(move)
    part.tasks = taken.tasks
    const hyperNode =
      subJob.topology?.hard === true ? tree.common(subJob.allocatedHyperNode, best as string) : taken.stands
    subJob.allocatedHyperNode = hyperNode
    return { score: scores.get(best as string) ?? 0, hyperNode }
  }
  return null
}

/** Tasks of one part onto the nodes of one hyper node; where they then stand, or null when that is not enough. */
function fill(
  cycle: Cycle,
  queue: Queue,
  job: Job,
  subJob: SubJob,
  tasks: number[],
  hyperNode: string,
  statement: Statement,
): string | null {
  const tree = hyperTree(cycle)
  let stands = subJob.allocatedHyperNode
  const cares = subJob.topology !== null
  const aim = (): void => {
    tree.aim.clear()
    if (cares) for (const task of tasks) tree.aim.set(task, stands)
  }
  aim()
  const limits = hyperNode === TOP ? {} : { within: tree.nodesOf(hyperNode) }
  placeTasks(
    cycle,
    queue,
    job,
    tasks,
    statement,
    () => cycle.subJobReady(job, subJob),
    limits,
    (_task, node) => {
      if (!cares) return
      const leaf = tree.leafOf(node)
      stands = leaf === '' ? stands : tree.common(stands, leaf)
      aim()
    },
  )
  tree.aim.clear()
  return cycle.subJobReady(job, subJob) || cycle.subJobPipelined(job, subJob) ? stands : null
}

function topologyOf(cycle: Cycle, topology: NetworkTopology): Topology {
  const { mode, highestTierAllowed, highestTierName } = topology
  if (mode !== 'hard' && mode !== 'soft') return null
  const named =
    highestTierName === undefined || highestTierName === '' ? undefined : hyperTree(cycle).tierByName(highestTierName)
  return { hard: mode === 'hard', soft: mode === 'soft', tier: named ?? highestTierAllowed ?? 0 }
}

function divide(cycle: Cycle, job: Job, tasks: readonly number[]): Part[] {
  const { state } = cycle
  const parts = new Map<string, Part>()
  const all = [...job.tasks].toSorted((a, b) => cycle.compareTasks(a, b))
  for (const task of all) {
    const { policy, name } = placeOf(cycle, job, task)
    let part = parts.get(name)
    if (part === undefined) {
      part = { subJob: subJobOf(cycle, job, policy, name), tasks: [] }
      parts.set(name, part)
    }
    regroup(cycle, task, part.subJob.group)
  }
  for (const task of tasks) parts.get(placeOf(cycle, job, task).name)?.tasks.push(task)
  const ready = new Map<string, number>()
  for (const { subJob } of parts.values())
    if (cycle.subJobReady(job, subJob)) ready.set(subJob.policy, (ready.get(subJob.policy) ?? 0) + 1)
  const ordered = [...parts.values()].toSorted((a, b) => cycle.compareSubJobs(a.subJob, b.subJob))
  // First as many of each kind as the job cannot do without.
  const required = new Set<Part>()
  for (const part of ordered) {
    const least = job.input?.subGroupPolicy?.find(({ name }) => name === part.subJob.policy)?.minSubGroups ?? 0
    const have = ready.get(part.subJob.policy) ?? 0
    if (cycle.subJobReady(job, part.subJob) || have >= least) continue
    required.add(part)
    ready.set(part.subJob.policy, have + 1)
  }
  for (const { subJob } of parts.values())
    if (subJob.allocatedHyperNode === '') subJob.allocatedHyperNode = standsIn(cycle, job, subJob)
  void state
  return [...ordered.filter((part) => required.has(part)), ...ordered.filter((part) => !required.has(part))].filter(
    (part) => part.tasks.length > 0,
  )
}

/** Which policy a task falls under, and which of its groups: by the values of the labels the policy names. */
function placeOf(cycle: Cycle, job: Job, task: number): { policy: string; name: string } {
  const { labels } = cycle.factsOf(task)
  for (const policy of job.input?.subGroupPolicy ?? []) {
    if (policy.labelSelector !== undefined) {
      const parsed = readSelector(policy.labelSelector)
      if (!parsed.ok || !selectorMatches(parsed.selector, labels)) continue
    }
    const keys = policy.matchLabelKeys ?? []
    if (!keys.every((key) => labels[key] !== undefined)) continue
    return { policy: policy.name, name: `${policy.name}/${keys.map((key) => labels[key]).join('/')}` }
  }
  return { policy: '', name: '' }
}

function subJobOf(cycle: Cycle, job: Job, policyName: string, name: string): SubJob {
  const known = job.subJobs.get(name)
  if (known !== undefined) return known
  const policy = job.input?.subGroupPolicy?.find((one) => one.name === policyName)
  const topology = policy === undefined ? job.input?.networkTopology : policy.networkTopology
  const subJob: SubJob = {
    name,
    policy: policyName,
    group: cycle.state.newGroup(),
    minMember:
      policy === undefined
        ? (job.input?.subGroupPolicy ?? []).length > 0
          ? 0
          : job.minMember
        : (policy.subGroupSize ?? 1),
    topology: topology === undefined ? null : topologyOf(cycle, topology),
    allocatedHyperNode: policy === undefined ? job.allocatedHyperNode : '',
  }
  if (job.subJobs === NO_PARTS) job.subJobs = new Map()
  job.subJobs.set(name, subJob)
  return subJob
}

function regroup(cycle: Cycle, task: number, group: number): void {
  const { state } = cycle
  if (state.taskGroup[task] === group) return
  state.taskGroup[task] = group
  const at = group * STATUSES + (state.taskStatus[task] as number)
  state.groupCount[at] = (state.groupCount[at] as number) + 1
}

/** The smallest hyper node around the pods of the part that have a place. */
function standsIn(cycle: Cycle, job: Job, subJob: SubJob): string {
  const tree = hyperTree(cycle)
  let stands = ''
  for (const task of job.tasks) {
    if (cycle.state.taskGroup[task] !== subJob.group || !isAllocated(cycle.state.taskStatus[task] as number)) continue
    const leaf = tree.leafOf(cycle.state.taskNode[task] as number)
    if (leaf !== '') stands = tree.common(stands, leaf)
  }
  return stands
}

function allOf(cycle: Cycle, job: Job, subJob: SubJob): number[] {
  return [...job.tasks].filter((task) => cycle.state.taskGroup[task] === subJob.group)
}

function leastOf(cycle: Cycle, job: Job, tasks: readonly number[]): Dense {
  if (job.minResources !== null) return job.minResources
  const missing = Math.max(
    0,
    job.minMember - [...job.tasks].filter((task) => isAllocated(cycle.state.taskStatus[task] as number)).length,
  )
  return requestOf(cycle, tasks.slice(0, missing))
}

function requestOf(cycle: Cycle, tasks: readonly number[]): Dense {
  const sum = zeroes(cycle.state.dimensions.size)
  for (const task of tasks) {
    if (cycle.state.taskStatus[task] !== PENDING) continue
    const { dims, values } = cycle.classOf(task).spec.requests.amounts
    for (let k = 0; k < dims.length; k++) sum[dims[k] as number] = at(sum, dims[k] as number) + (values[k] as number)
  }
  return sum
}
