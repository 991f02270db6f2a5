/** Jobs that starve take the place of pods of less worth in their own queue, and within one job the lesser pods give way. */
import { choose, NO_LIMITS, placesAllow } from '../choose.ts'
import type { Cycle } from '../cycle.ts'
import type { Job } from '../ledger.ts'
import { Statement } from '../statement.ts'
import { BOUND, PENDING, RUNNING } from '../status.ts'
import {
  bestCandidate,
  breaksBudgets,
  enoughCandidates,
  fitsOn,
  nodesByScore,
  nodesInTurn,
  tryNode,
  type Candidate,
} from '../victims.ts'
import { askable, isEvictable, mayAsk } from './askable.ts'
import { byQueue, isCandidate } from './queues.ts'
import { makeRoomByJobs } from './whole.ts'

export function preempt(cycle: Cycle): void {
  const starving = cycle.jobs.filter(
    (job) =>
      job.phase !== 'Pending' &&
      cycle.state.count(job.group, PENDING) > 0 &&
      isCandidate(cycle, job) &&
      cycle.jobStarving(job),
  )
  const waiting = byQueue(cycle, starving)
  const order = [...waiting.keys()].toSorted((a, b) => cycle.compareQueues(a, b))
  for (const queue of order) {
    for (const job of waiting.get(queue) as Job[]) preemptForJob(cycle, job)
    for (const job of waiting.get(queue) as Job[]) preemptWithin(cycle, job)
  }
  giveWay(cycle)
}

function preemptForJob(cycle: Cycle, job: Job): void {
  const statement = new Statement(cycle)
  for (const task of cycle.pendingOf(job)) {
    if (!cycle.jobStarving(job)) break
    takeRoom(cycle, statement, task, 'preempt', 'others', (victim) => {
      const other = cycle.jobOf(victim)
      return other !== job && other.queue === job.queue
    })
  }
  if (statement.moves.length > 0 && cycle.jobPipelined(job)) return statement.commit()
  statement.discard()
  const wanted = (other: Job): boolean => other.queue === job.queue
  makeRoomByJobs(cycle, { job, tasks: cycle.pendingOf(job), because: 'preempt', wanted })
}

function preemptWithin(cycle: Cycle, job: Job): void {
  // Of a job that runs nothing nobody can give way.
  if (cycle.state.count(job.group, BOUND) + cycle.state.count(job.group, RUNNING) === 0) return
  for (const task of cycle.pendingOf(job)) {
    const statement = new Statement(cycle)
    const found = takeRoom(cycle, statement, task, 'preempt', 'own', (victim) => cycle.jobOf(victim) === job)
    if (!found) {
      statement.discard()
      return
    }
    statement.commit()
  }
}

/** Pods that some plugin wants gone whatever else happens. */
export function giveWay(cycle: Cycle): void {
  if (!cycle.uses('victims')) return
  const statement = new Statement(cycle)
  for (const task of cycle.victims())
    if (isEvictable(cycle, task))
      statement.do({ kind: 'evict', task, because: 'shuffle', for: task, breaksBudget: false })
  statement.commit()
}

/** Makes room for the pod on one node by evictions, and gives it that room. False, and nothing done, where that cannot be. */
export function takeRoom(
  cycle: Cycle,
  statement: Statement,
  task: number,
  because: 'preempt' | 'reclaim',
  from: 'others' | 'own',
  wanted: (victim: number) => boolean,
): boolean {
  if (!mayAsk(cycle, task)) return false
  if (takeFreeRoom(cycle, statement, task)) return true
  const podClass = cycle.classOf(task)
  const attempt = `${because} ${from} ${cycle.sharedFate(cycle.jobOf(task), from)} ${podClass.id} ${cycle.state.tally[0]} ${cycle.state.tally[1]}`
  // A pod just like it asked in this very state, and in vain.
  if (cycle.inVain.has(attempt)) return false
  const queue = cycle.queueOf(cycle.jobOf(task))
  const agreed = (node: number): readonly number[] => {
    const asked = askable(cycle, task, node, wanted)
    return because === 'preempt' ? cycle.preemptable(task, asked) : cycle.reclaimable(task, asked)
  }
  const fits = (node: number) => (): boolean => cycle.allocatable(queue, task) && fitsOn(cycle, task, node)
  const simulate = cycle.options.preemption === 'simulate'
  const found: Candidate[] = []
  const nodes = simulate && cycle.options.shard === null ? nodesInTurn(cycle, task) : nodesByScore(cycle, task)
  for (const node of nodes) {
    const victims = agreed(node)
    if (victims.length === 0) continue
    if (!cycle.termsFollow && !placesAllow(cycle, task, node)) continue
    const candidate = simulate
      ? tryNode(cycle, task, node, victims, fits(node))
      : takeInOrder(cycle, task, node, victims, fits(node))
    if (candidate === null) continue
    found.push(candidate)
    if (!simulate || enoughCandidates(found.length)) break
  }
  const best = simulate ? bestCandidate(cycle, found) : (found[0] ?? null)
  if (best === null) {
    // What was tried beside moves that may be undone says nothing of a world without them.
    if (statement.moves.length === 0) cycle.inVain.add(attempt)
    return false
  }
  for (const { task: victim, breaksBudget } of best.victims)
    statement.do({ kind: 'evict', task: victim, because, for: task, breaksBudget })
  statement.do({ kind: 'pipeline', task, node: best.node })
  return true
}

/** What is free, or will be by those who leave already, is promised first: of a gang the others are asked for the rest only. */
function takeFreeRoom(cycle: Cycle, statement: Statement, task: number): boolean {
  const job = cycle.jobOf(task)
  if (cycle.options.profile !== 'calm' || !cycle.allocatable(cycle.queueOf(job), task)) return false
  const { reservations } = cycle
  const choice = choose(
    cycle,
    task,
    reservations?.any === true ? { allows: (node) => reservations.allows(task, node) } : NO_LIMITS,
  )
  if (choice === null) return false
  statement.do({ kind: 'pipeline', task, node: choice.node })
  return true
}

/** Volcano's way: from the first victim on until it fits; where it fits already nobody leaves. */
function takeInOrder(
  cycle: Cycle,
  task: number,
  node: number,
  victims: readonly number[],
  fits: () => boolean,
): Candidate | null {
  const { state } = cycle
  const mark = state.log.begin()
  const taken: number[] = []
  for (const victim of victims.toSorted((a, b) => cycle.compareVictims(a, b, task))) {
    if (fits()) break
    state.evict(victim)
    taken.push(victim)
  }
  const breaking = breaksBudgets(cycle, taken)
  const fit = fits() && (breaking.size === 0 || cycle.options.budgets === 'spend')
  state.log.rollback(mark)
  return fit ? { node, victims: taken.map((victim) => ({ task: victim, breaksBudget: breaking.has(victim) })) } : null
}
