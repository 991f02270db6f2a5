/**
 * Room for a job by jobs that leave whole, where single pods make none: a gang that lost one pod it needs would hold the rest of its
 * room for nothing. Pods that gangs can spare are asked before any gang, and of all that were found only those go that must.
 */
import { choose, NO_LIMITS } from '../choose.ts'
import type { PodClass } from '../classes.ts'
import type { Cycle } from '../cycle.ts'
import type { Job } from '../ledger.ts'
import type { Leaving } from '../plugin.ts'
import { readyOf } from '../plugins/gang.ts'
import { Statement } from '../statement.ts'
import { BOUND, PIPELINED, RUNNING, SUCCEEDED } from '../status.ts'
import { breaksBudgets, couldHelp } from '../victims.ts'
import { isAskable, mayAsk } from './askable.ts'
import { spareNeedless } from './spare.ts'

/** So many gangs and spare pods are tried for one job, in the order in which they would have to leave. */
const MAX_UNITS = 64

/** What leaves together. */
interface Unit {
  readonly tasks: readonly number[]
  readonly leaving: Leaving
}

interface Asked {
  readonly job: Job
  /** Its pods that wait, first in order first. */
  readonly tasks: readonly number[]
  readonly because: 'preempt' | 'reclaim'
  /** Who may be asked at all. */
  readonly wanted: (other: Job) => boolean
}

/** Makes room for the job, or changes nothing and gives false. */
export function makeRoomByJobs(cycle: Cycle, asked: Asked): boolean {
  const { job, tasks, because } = asked
  const [first] = tasks
  if (first === undefined || cycle.options.profile !== 'calm' || !tasks.every((task) => mayAsk(cycle, task)))
    return false
  const { tally } = cycle.state
  const attempt = `${because} whole ${cycle.sharedFate(job, 'others')} ${cycle.classOf(first).id} ${job.minMember} ${tally[0]} ${tally[1]}`
  if (cycle.inVain.has(attempt)) return false
  const units = unitsFor(cycle, asked, first)
  const leaving = units.length === 0 ? null : leastOf(cycle, asked, first, units)
  if (leaving === null) {
    cycle.inVain.add(attempt)
    return false
  }
  const statement = new Statement(cycle)
  const victims = [...new Set(leaving.flatMap((unit) => unit.tasks))]
  const breaking = breaksBudgets(cycle, victims)
  for (const task of victims)
    statement.do({ kind: 'evict', task, because, for: first, breaksBudget: breaking.has(task) })
  for (const { task, node } of placesFor(cycle, asked) ?? []) statement.do({ kind: 'pipeline', task, node })
  statement.commit()
  spareNeedless(cycle)
  return true
}

/** Spare pods in the order in which they would go, then gangs. Without a gang there is nothing here that single pods were not asked for. */
function unitsFor(cycle: Cycle, { job, tasks, because, wanted }: Asked, first: number): readonly Unit[] {
  const others = runningJobs(cycle).filter((other) => other !== job && wanted(other))
  if (!others.some((other) => other.minMember > 0)) return []
  const isHelpful = helpfulNodes(cycle, tasks)
  const byVictim = (a: number, b: number): number => cycle.compareVictims(a, b, first)
  const spare: number[] = []
  const gangs: Unit[] = []
  for (const other of others) {
    const running = [...other.tasks].filter((task) => isRunning(cycle, task))
    const willing = running.filter((task) => isAskable(cycle, first, task))
    const useful = willing.filter((task) => isHelpful(cycle.state.taskNode[task] as number))
    if (useful.length === 0) continue
    const ready = readyOf(cycle.state, other.group)
    if (ready > other.minMember) spare.push(...agreed(cycle, because, first, useful, 'pods'))
    // Whoever is only on its way, or may not be asked, keeps all of its gang.
    const placed = ready - cycle.state.count(other.group, SUCCEEDED)
    if (other.minMember > 0 && willing.length === placed) gangs.push({ tasks: willing, leaving: 'whole' })
  }
  if (gangs.length === 0) return []
  return [
    ...spare.toSorted(byVictim).map((task): Unit => ({ tasks: [task], leaving: 'pods' })),
    ...gangs.toSorted((a, b) => compareGangs(cycle, jobOf(cycle, a), jobOf(cycle, b), job)),
  ].slice(0, MAX_UNITS)
}

function jobOf(cycle: Cycle, { tasks }: Unit): Job {
  return cycle.jobOf(tasks[0] as number)
}

/** By queue as single pods are, then the last job first. */
function compareGangs(cycle: Cycle, a: Job, b: Job, asking: Job): number {
  if (a.queue !== b.queue) {
    const order = cycle.compareVictimQueues(cycle.queueOf(a), cycle.queueOf(b), cycle.queueOf(asking))
    if (order !== 0) return order
  }
  return -cycle.compareJobs(a, b)
}

/** The units that must leave, each of them: without any one there is no room. Undone before it returns. */
function leastOf(cycle: Cycle, asked: Asked, first: number, units: readonly Unit[]): readonly Unit[] | null {
  const { log } = cycle.state
  const taken: Unit[] = []
  const mark = log.begin()
  const found = units.some((unit) => {
    const going = unit.tasks.filter((task) => isRunning(cycle, task))
    if (going.length === 0 || agreed(cycle, asked.because, first, going, unit.leaving).length < going.length)
      return false
    if (cycle.options.budgets === 'honour' && breaksBudgets(cycle, [...taken.flatMap(({ tasks }) => tasks), ...going]).size > 0) return false // prettier-ignore
    for (const task of going) cycle.state.evict(task)
    taken.push(unit)
    return placesFor(cycle, asked) !== null
  })
  log.rollback(mark)
  if (!found) return null
  let needed: readonly Unit[] = taken
  for (const unit of taken.toReversed()) {
    const without = needed.filter((one) => one !== unit)
    if (without.length > 0 && isEnough(cycle, asked, without)) needed = without
  }
  return needed
}

function isEnough(cycle: Cycle, asked: Asked, units: readonly Unit[]): boolean {
  const mark = cycle.state.log.begin()
  for (const { tasks } of units) for (const task of tasks) if (isRunning(cycle, task)) cycle.state.evict(task)
  const fits = placesFor(cycle, asked) !== null
  cycle.state.log.rollback(mark)
  return fits
}

/** Where as many of its pods would go as the job needs, or null. Who takes from other queues stays within what its own deserves. */
function placesFor(cycle: Cycle, { job, tasks, because }: Asked): readonly { task: number; node: number }[] | null {
  const { state, reservations } = cycle
  const queue = cycle.queueOf(job)
  const places: { task: number; node: number }[] = []
  const failed = new Set<PodClass>()
  const isDone = (): boolean => places.length > 0 && (job.minMember === 0 || cycle.jobPipelined(job))
  const mark = state.log.begin()
  for (const task of tasks) {
    if (isDone()) break
    const podClass = cycle.classOf(task)
    if (failed.has(podClass) || !cycle.allocatable(queue, task)) continue
    const entitled = because === 'preempt' || cycle.preemptive(queue, task)
    const limits =
      reservations?.any === true ? { allows: (node: number) => reservations.allows(task, node) } : NO_LIMITS
    const choice = entitled ? choose(cycle, task, limits) : null
    if (choice === null) {
      failed.add(podClass)
      continue
    }
    state.place(task, choice.node, PIPELINED)
    places.push({ task, node: choice.node })
  }
  const done = isDone()
  state.log.rollback(mark)
  return done ? places : null
}

function agreed(
  cycle: Cycle,
  because: Asked['because'],
  first: number,
  tasks: readonly number[],
  leaving: Leaving,
): readonly number[] {
  return because === 'preempt' ? cycle.preemptable(first, tasks, leaving) : cycle.reclaimable(first, tasks, leaving)
}

function isRunning(cycle: Cycle, task: number): boolean {
  const status = cycle.state.taskStatus[task]
  return status === BOUND || status === RUNNING
}

const running = new WeakMap<Cycle, readonly Job[]>()

function runningJobs(cycle: Cycle): readonly Job[] {
  let jobs = running.get(cycle)
  if (jobs === undefined) {
    const { state } = cycle
    jobs = cycle.jobs.filter(({ group }) => state.count(group, BOUND) + state.count(group, RUNNING) > 0)
    running.set(cycle, jobs)
  }
  return jobs
}

/** Nodes where somebody's leaving could help some pod of these. */
function helpfulNodes(cycle: Cycle, tasks: readonly number[]): (node: number) => boolean {
  const ofClass = [...new Map(tasks.map((task) => [cycle.classOf(task), task])).values()]
  const known = new Map<number, boolean>()
  return (node) => {
    let helps = known.get(node)
    if (helps === undefined) known.set(node, (helps = ofClass.some((task) => couldHelp(cycle, task, node))))
    return helps
  }
}
