/** Nodes that are ours for some hours of the day only: preemptable pods may use them, and leave when the zone closes. */
import type { Cycle } from '../cycle.ts'
import type { Job } from '../ledger.ts'
import type { NodeFacts } from '../node.ts'
import type { Arguments, Hooks, Vote } from '../plugin.ts'
import { FAILED, PENDING, PIPELINED, RUNNING, SUCCEEDED } from '../status.ts'
import { readyOf } from './gang.ts'

const MAX = 100
const ZONE_LABEL = 'volcano.sh/revocable-zone'
const ZONE_ARGUMENT = 'tdm.revocable-zone.'
const PREEMPTABLE = 'volcano.sh/preemptable'
/** Of a job that says nothing of disruptions so many leave at once. */
const LEAVE_AT_ONCE = 1

export function tdm(cycle: Cycle, given: Arguments): Hooks {
  const { state } = cycle
  const zones = Object.keys(given)
    .filter((name) => name.startsWith(ZONE_ARGUMENT))
    .map((name) => ({ name: name.slice(ZONE_ARGUMENT.length), open: isOpen(String(given[name]), cycle.nowMs) }))
  const openZones = new Set(zones.filter(({ open }) => open).map(({ name }) => name))
  const zoneOf = (node: number): string => (state.facts[node] as NodeFacts).labels[ZONE_LABEL] ?? ''
  const mayUse = (task: number): boolean => (cycle.factsOf(task).annotations[ZONE_LABEL] ?? '') === '*'
  const givesWay = (job: Job): boolean => job.input?.annotations?.[PREEMPTABLE] === 'true'
  /** Of the pods that run and may leave, as many of each job as it can do without. */
  const spared = (tasks: readonly number[]): number[] => {
    const byJob = new Map<Job, number[]>()
    for (const task of tasks)
      if (cycle.factsOf(task).preemptable && state.taskStatus[task] === RUNNING)
        byJob.set(cycle.jobOf(task), [...(byJob.get(cycle.jobOf(task)) ?? []), task])
    return [...byJob].flatMap(([job, own]) => own.slice(0, allowance(cycle, job)))
  }
  return {
    filters: [
      {
        kind: 'live',
        refuses: (_podClass, node, task) => {
          const zone = zoneOf(node)
          if (zone === '') return null
          return openZones.has(zone) && task >= 0 && mayUse(task) ? null : 'Zone'
        },
      },
    ],
    batchScores: [
      {
        applies: () => true,
        score: (_podClass, nodes, scores, task) => {
          for (let k = 0; k < nodes.length; k++)
            if (openZones.has(zoneOf(nodes[k] as number)) && mayUse(task)) scores[k] = (scores[k] as number) + MAX
        },
      },
    ],
    jobOrder: (a, b) => Number(givesWay(a)) - Number(givesWay(b)),
    jobPipelined: (job): Vote =>
      readyOf(state, job.group) + state.count(job.group, PIPELINED) >= job.minMember ? 1 : -1,
    jobStarving: (job) => !givesWay(job) && state.count(job.group, PENDING) > 0,
    // Who may leave itself takes nobody's place, and those in revocable zones leave by the clock only.
    preemptable: (preemptor, candidates) =>
      cycle.factsOf(preemptor).preemptable || mayUse(preemptor)
        ? []
        : spared(candidates.filter((task) => zoneOf(state.taskNode[task] as number) === '')),
    victims: () =>
      zones
        .filter(({ open }) => !open)
        .flatMap(({ name }) =>
          spared(
            cycle.jobs
              .flatMap((job) => [...job.tasks])
              .filter((task) => {
                const node = state.taskNode[task] as number
                return node >= 0 && zoneOf(node) === name
              })
              .toSorted((a, b) => state.compareByAge(a, b)),
          ),
        ),
  }
}

/** `h:mm-h:mm` in UTC; an end at or before the start is the next day's. */
function isOpen(window: string, nowMs: number): boolean {
  const match = /^(\d+):(\d+)-(\d+):(\d+)$/.exec(window.trim())
  if (match === null) return false
  const [from, to] = [Number(match[1]) * 60 + Number(match[2]), Number(match[3]) * 60 + Number(match[4])]
  const minute = Math.floor(nowMs / 60_000) % 1440
  return to <= from ? minute >= from || minute < to : minute >= from && minute < to
}

/** How many may be evicted at once, by the job's disruption annotations: a number or a part of its pods. */
function allowance(cycle: Cycle, job: Job): number {
  const { state } = cycle
  const running = state.count(job.group, RUNNING)
  const read = (name: string): number | undefined => {
    const text = job.input?.annotations?.[name]
    if (text === undefined) return undefined
    const value = text.endsWith('%') ? Math.ceil((job.tasks.size * Number.parseFloat(text)) / 100) : Number(text)
    return Number.isFinite(value) ? value : 0
  }
  const least = read('volcano.sh/jdb-min-available')
  if (least !== undefined) return running >= least ? running - least : LEAVE_AT_ONCE
  const most = read('volcano.sh/jdb-max-unavailable')
  if (most === undefined) return LEAVE_AT_ONCE
  const ended = state.count(job.group, SUCCEEDED) + state.count(job.group, FAILED)
  return Math.max(0, most - (job.tasks.size - ended - running))
}
