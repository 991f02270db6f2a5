/** All or nothing: a job runs when enough of its pods have a place, and may lose pods only while it has more than that. */
import type { Cycle } from '../cycle.ts'
import type { Job, SubJob } from '../ledger.ts'
import type { Hooks, Leaving, Vote } from '../plugin.ts'
import { ALLOCATED, BINDING, BOUND, PENDING, PIPELINED, RUNNING, SUCCEEDED } from '../status.ts'
import type { State } from '../state.ts'

export function gang(cycle: Cycle): Hooks {
  const { state } = cycle
  const calm = cycle.options.profile === 'calm'
  const leftOf = (candidates: readonly number[], leaving: Leaving): readonly number[] | null => {
    // Half a gang is of no use, none of it is.
    if (leaving === 'whole') return null
    const left = new Map<number, number>()
    const spares = (group: number, min: number): boolean => (left.get(group) ?? readyOf(state, group)) > min
    return candidates.filter((task) => {
      const job = cycle.jobOf(task)
      const role = calm && job.minMember >= job.minTaskTotal ? job.roles.get(cycle.factsOf(task).role) : undefined
      if (!spares(job.group, job.minMember) || (role !== undefined && !spares(role.group, role.min))) return false
      left.set(job.group, (left.get(job.group) ?? readyOf(state, job.group)) - 1)
      if (role !== undefined) left.set(role.group, (left.get(role.group) ?? readyOf(state, role.group)) - 1)
      return true
    })
  }
  return {
    jobValid: (job) => {
      const role = roleShort(state, job, possibleOf)
      if (role !== undefined) return `task ${role} has fewer pods than its minimum`
      const possible = possibleOf(state, job.group)
      return possible < job.minMember ? `${possible} of ${job.minMember} pods exist` : null
    },
    preemptable: (_preemptor, candidates, leaving) => leftOf(candidates, leaving),
    reclaimable: (_preemptor, candidates, leaving) => leftOf(candidates, leaving),
    jobOrder: (a, b) => Number(isReady(cycle, a)) - Number(isReady(cycle, b)),
    jobReady: (job) =>
      roleShort(state, job, (_, group) => readyOf(state, group)) === undefined &&
      isReady(cycle, job) &&
      enoughSubJobs(cycle, job, false),
    jobPipelined: (job): Vote => {
      const enough =
        readyOf(state, job.group) + state.count(job.group, PIPELINED) + bestEffortOf(cycle, job) >= job.minMember
      const short = roleShort(state, job, (_, group) => readyOf(state, group) + state.count(group, PIPELINED))
      return enough && short === undefined && enoughSubJobs(cycle, job, true) ? 1 : -1
    },
    jobStarving: (job) =>
      // Pods each for themselves: Volcano gives every one a job of its own, and so each of them can starve.
      job.minMember === 0 && calm
        ? state.count(job.group, PENDING) > 0
        : readyOf(state, job.group) + state.count(job.group, PIPELINED) < job.minMember,
    subJobReady: (job, subJob) => readyOfSub(cycle, job, subJob, false) >= subJob.minMember,
    subJobPipelined: (job, subJob): Vote => (readyOfSub(cycle, job, subJob, true) >= subJob.minMember ? 1 : -1),
    subJobOrder: (a, b) =>
      Number(readyOf(state, a.group) >= a.minMember) - Number(readyOf(state, b.group) >= b.minMember),
  }
}

export function readyOf(state: State, group: number): number {
  return (
    state.count(group, BOUND) +
    state.count(group, BINDING) +
    state.count(group, RUNNING) +
    state.count(group, ALLOCATED) +
    state.count(group, SUCCEEDED)
  )
}

function possibleOf(state: State, group: number): number {
  return readyOf(state, group) + state.count(group, PIPELINED) + state.count(group, PENDING)
}

/** Pods that ask for nothing find a place whenever: they count as if they had it. */
function bestEffortOf(cycle: Cycle, job: Job): number {
  let count = 0
  if (job.minMember > 0 && cycle.state.count(job.group, PENDING) > 0)
    for (const task of job.tasks) if (cycle.state.isPending(task) && cycle.isBestEffort(task)) count++
  return count
}

function isReady(cycle: Cycle, job: Job): boolean {
  const ready = readyOf(cycle.state, job.group)
  return ready >= job.minMember || ready + bestEffortOf(cycle, job) >= job.minMember
}

function readyOfSub(cycle: Cycle, job: Job, subJob: SubJob, waiting: boolean): number {
  const group = subJob.group < 0 ? job.group : subJob.group
  return (
    readyOf(cycle.state, group) +
    (waiting ? cycle.state.count(group, PIPELINED) : 0) +
    (subJob.group < 0 ? bestEffortOf(cycle, job) : 0)
  )
}

/** The first role below its minimum; roles do not count where the job needs fewer pods than they do together. */
function roleShort(state: State, job: Job, count: (state: State, group: number) => number): string | undefined {
  if (job.minMember < job.minTaskTotal) return undefined
  for (const role of job.roles.values())
    if (count(state, role.group) < role.min) return role.name === '' ? '(unnamed)' : role.name
  return undefined
}

/** As many parts of each kind as the job cannot do without. */
function enoughSubJobs(cycle: Cycle, job: Job, waiting: boolean): boolean {
  for (const { name, minSubGroups = 0 } of job.input?.subGroupPolicy ?? []) {
    let having = 0
    for (const subJob of job.subJobs.values())
      if (subJob.policy === name && readyOfSub(cycle, job, subJob, waiting) >= subJob.minMember) having++
    if (having < minSubGroups) return false
  }
  return true
}
