/** Why pods wait, with numbers: per class of a job, every reason with how many nodes it blocks and how little is missing. */
import { isDynamic, type PodClass } from './classes.ts'
import type { Cycle } from './cycle.ts'
import { at } from './dense.ts'
import { nodeRefuses, placementRefuses, shortDims, standingRefuses } from './filters.ts'
import type { Job } from './ledger.ts'
import { PODS } from './resources.ts'
import { INVALID, PENDING, PIPELINED, RELEASING } from './status.ts'
import { totalOf } from './totals.ts'
import { REFUSALS, type ClassReason, type Refusal, type UnblockEvent, type Waiting } from './types.ts'

/** So many questions to nodes are worth it in one cycle; classes beyond it are named without their nodes. */
const MAX_QUESTIONS = 500_000

export function explain(cycle: Cycle): Waiting[] {
  const reasons: Waiting[] = []
  let questions = 0
  for (const job of cycle.jobs) {
    const { group } = job
    const { state } = cycle
    if (state.count(group, PENDING) + state.count(group, PIPELINED) + state.count(group, INVALID) === 0) continue
    for (const tasks of byClass(cycle, job)) {
      const asks = cycle.state.nodeRows
      const detail = questions + asks <= MAX_QUESTIONS
      const waiting = explainClass(cycle, job, tasks, detail)
      if (waiting.kind === 'nodes') questions += asks
      reasons.push(waiting)
    }
  }
  return reasons
}

/** Waiting pods of the job, by class and status. */
function byClass(cycle: Cycle, job: Job): readonly number[][] {
  const groups = new Map<string, number[]>()
  for (const task of job.tasks) {
    const status = cycle.state.taskStatus[task] as number
    if (status !== PENDING && status !== PIPELINED && status !== INVALID) continue
    const key = `${cycle.classOf(task).id}/${status}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [task])
    else group.push(task)
  }
  return [...groups.values()]
}

function explainClass(cycle: Cycle, job: Job, tasks: readonly number[], detail: boolean): Waiting {
  const task = tasks[0] as number
  const podClass = cycle.classOf(task)
  const say = (kind: Waiting['kind'], message: string, next: UnblockEvent, more: Partial<Waiting> = {}): Waiting => ({
    job: `${job.namespace}/${job.name}`,
    pods: tasks.length,
    example: cycle.nameOf(task),
    ...(cycle.options.explain === 'each' ? { members: tasks.map((one) => cycle.nameOf(one)) } : {}),
    kind,
    message,
    ...notesOn(cycle, podClass),
    classReasons: [],
    next,
    ...more,
  })
  const input: UnblockEvent = { on: 'input-changes' }
  const status = cycle.state.taskStatus[task]
  if (status === INVALID) return say('invalid', podClass.spec.problem ?? REFUSALS.Invalid, input)
  if (job.input === null && !job.implicit) return say('invalid', `job ${job.key} does not exist`, input)
  if (job.problem !== null) return say('invalid', job.problem, input)
  const queue = cycle.queueAt(job.queue)
  if (queue === null) return say('invalid', `queue ${job.queueName} does not exist`, input)
  if (queue.problem !== null) return say('invalid', `queue ${queue.name}: ${queue.problem}`, input)
  if ((queue.input.state ?? 'Open') !== 'Open') return say('queue', `queue ${queue.name} is not open`, input)
  if (podClass.spec.gated) return say('gated', 'it has a scheduling gate', { on: 'gate-lifted' })
  if (status === PIPELINED) {
    const node = cycle.state.taskNode[task] as number
    const name = cycle.state.facts[node]?.name ?? ''
    return say('nominated', `waits for pods on ${name} to leave`, {
      on: 'pod-ends',
      atMs: leavingAt(cycle, node),
      node: name,
    })
  }
  if (job.phase === 'Pending')
    return say('not-admitted', `queue ${queue.name} has not admitted its job`, { on: 'queue-frees', queue: queue.name })
  const gang = cycle.invalidity(job)
  if (gang !== null) return say('gang', gang, input)
  const found = cycle.queueLimit(queue, task)
  // A queue that may have all there is does not limit: the nodes do.
  const limit =
    found !== null && found.limit < at(totalOf(cycle), cycle.state.dimensions.names.find(found.resource)) ? found : null
  if (limit !== null)
    return say(
      'queue',
      `queue ${limit.name} has ${limit.used} of ${limit.limit} ${limit.resource}, ${limit.asked} more asked for`,
      { on: 'queue-frees', queue: limit.name },
      { queue: limit },
    )
  if (found === null && !cycle.allocatable(queue, task))
    return say('queue', `queue ${queue.name} takes no more`, { on: 'queue-frees', queue: queue.name })
  const classReasons = detail ? reasonsOf(cycle, podClass, task) : []
  const deserves = cycle.queueShare(queue, task)
  const share = deserves === null ? {} : { share: deserves }
  const text = classReasons.map(({ nodes, reason }) => `${nodes} ${reason}`).join(', ')
  const reserved = cycle.reservations?.has(job)
  if (reserved !== undefined)
    return say(
      'reservation',
      `starts by ${reserved.startMs} at the latest: ${text}`,
      { on: 'reservation', atMs: reserved.startMs },
      { classReasons },
    )
  const [first] = classReasons
  const free =
    cycle.world.state.facts.filter((facts) => facts !== null).length -
    classReasons.reduce((sum, { nodes }) => sum + nodes, 0)
  if (job.minMember > 1 && free > 0)
    return say(
      'gang',
      `not all of ${job.minMember} pods find a place together`,
      { on: 'pod-placed' },
      { classReasons, ...share },
    )
  return say(
    'nodes',
    text === '' ? 'no node' : `0/${cycle.state.nodeIds.size} nodes: ${text}`,
    first?.next ?? { on: 'node-changes' },
    { classReasons, ...share },
  )
}

const UNREAD = 'its resource claims are not known here: kube-scheduler may place it, this scheduler does not'

function notesOn(cycle: Cycle, podClass: PodClass): Pick<Waiting, 'notes'> {
  const { notes } = podClass.spec.requests
  const all = cycle.world.devices.isUnread(podClass) ? [...notes, UNREAD] : notes
  return all.length > 0 ? { notes: all } : {}
}

interface Found {
  nodes: number
  dim: number
  missing: number
  at: number
}

/** The first refusal of every node, counted by its words; the one that blocks most nodes first. */
function reasonsOf(cycle: Cycle, podClass: PodClass, task: number): ClassReason[] {
  const { state, filters } = cycle
  const found = new Map<string, Found & { refusal: Refusal }>()
  const note = (refusal: Refusal, reason: string, node: number, dim: number, missing: number): void => {
    const known = found.get(reason)
    if (known === undefined) found.set(reason, { refusal, nodes: 1, dim, missing, at: node })
    else {
      known.nodes++
      if (missing < known.missing) {
        known.missing = missing
        known.at = node
      }
    }
  }
  for (let node = 0; node < state.nodeRows; node++) {
    if (!state.isAlive(node)) continue
    const own = nodeRefuses(state, filters, podClass, node)
    if (own !== null) {
      note(own, REFUSALS[own], node, -1, 0)
      continue
    }
    const short = shortDims(state, podClass, node, 'later')
    if (short.length > 0) {
      for (const { dim, missing } of short)
        note(
          dim === PODS ? 'Pods' : 'Resources',
          dim === PODS ? REFUSALS.Pods : `Insufficient ${state.dimensions.names.names[dim]}`,
          node,
          dim,
          missing,
        )
      continue
    }
    const refusal =
      standingRefuses(state, filters, podClass, node) ??
      (filters.kube && isDynamic(podClass) ? placementRefuses(podClass, node) : null) ??
      liveRefuses(cycle, podClass, node, task) ??
      (cycle.reservations?.any === true && !cycle.reservations.allows(task, node) ? 'Reserved' : null)
    if (refusal !== null) note(refusal, REFUSALS[refusal], node, -1, 0)
  }
  return [...found]
    .map(([reason, one]) => ({
      refusal: one.refusal,
      reason,
      nodes: one.nodes,
      ...(one.dim < 0
        ? {}
        : {
            shortfall: {
              resource: state.dimensions.names.names[one.dim] as string,
              amount: one.missing,
              node: state.facts[one.at]?.name ?? '',
            },
          }),
      next: nextOf(cycle, one.refusal, one.at),
    }))
    .toSorted((a, b) => b.nodes - a.nodes || (a.reason < b.reason ? -1 : 1))
}

function liveRefuses(cycle: Cycle, podClass: PodClass, node: number, task: number): Refusal | null {
  for (const filter of cycle.liveFilters) {
    const refusal = filter.refuses(podClass, node, task)
    if (refusal !== null) return refusal
  }
  return null
}

function nextOf(cycle: Cycle, refusal: Refusal, node: number): UnblockEvent {
  switch (refusal) {
    case 'Resources':
    case 'Pods':
    case 'Ports':
    case 'AntiAffinity':
    case 'ExistingAntiAffinity':
    case 'VolumeInUse':
    case 'VolumeLimit':
      return { on: 'pod-ends', atMs: firstEnd(cycle, node), node: cycle.state.facts[node]?.name ?? '' }
    case 'Affinity':
    case 'Spread':
      return { on: 'pod-placed' }
    case 'VolumeBinding':
    case 'VolumeNode':
    case 'VolumeZone':
    case 'VolumeRoom':
    case 'Devices':
      return { on: 'volume-appears' }
    default:
      return { on: 'node-changes' }
  }
}

/** When the first pod on the node ends at the latest; null where no limit says. */
function firstEnd(cycle: Cycle, node: number): number | null {
  let first: number | null = null
  for (const task of cycle.state.tasksOn(node)) {
    const { timeLimitMs, graceMs } = cycle.classOf(task).spec
    const row = cycle.state.taskJob[task] as number
    const limit = Math.min(timeLimitMs, cycle.world.jobs[row]?.input?.timeLimitMs ?? Number.POSITIVE_INFINITY)
    const started = cycle.state.taskStarted[task] as number
    if (!Number.isFinite(limit)) continue
    const end = (started > 0 ? started : cycle.nowMs) + limit + graceMs
    if (first === null || end < first) first = end
  }
  return first
}

function leavingAt(cycle: Cycle, node: number): number | null {
  let last: number | null = null
  for (const task of cycle.state.tasksOn(node))
    if (cycle.state.taskStatus[task] === RELEASING)
      last = Math.max(last ?? 0, cycle.nowMs + cycle.classOf(task).spec.graceMs)
  return last
}
