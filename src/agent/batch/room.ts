/**
 * The batch room of a site: jobs, crons and queues from Git and from people at the site, run as pods. One turn: what Git wants is
 * journalled, crons and jobs are stepped on a synced list of pods, the rows are written, and only then pods are made and deleted.
 * It asks nobody: with the hub away it goes on from its journal.
 */
import { schedulerJob } from '../../core/batch/gang.ts'
import type { PastJob } from '../../core/batch/past.ts'
import { withQueueLimits } from '../../core/batch/queue.ts'
import { isOver } from '../../core/batch/record.ts'
import { type JobWait, POD_LABELS } from '../../core/batch/types.ts'
import type { Cluster } from '../../core/kube/cluster.ts'
import type { JsonObject } from '../../core/model/json.ts'
import { refKey } from '../../core/model/object.ts'
import type { Waiting } from '../../core/model/state.ts'
import { createBell } from '../../runtime/bell.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import { runTurns } from '../../runtime/turns.ts'
import type { AgentStore } from '../ports.ts'
import { lacksRight, type RoomTrouble, troubleOf } from '../room-trouble.ts'
import type { Trouble } from './act.ts'
import { adopt } from './adopt.ts'
import { type CarryPorts, carryOut } from './carry-out.ts'
import { stepCrons } from './crons.ts'
import type { BatchDesired, BatchFinding, Wanted } from './desired.ts'
import { createSayer } from './events.ts'
import { findingOf } from './findings.ts'
import { factsOf, podsByJob, specOf, stepJobs } from './jobs.ts'
import { type Journal, openJournal, pastKey } from './journal.ts'
import { type Held, type NodeUse, viewUse } from './node-use.ts'
import type { BatchSource, PlacementSource } from './ports.ts'
import { queueInput, queuesOf, type SiteQueues } from './queues.ts'
import { type KindView, viewKind } from './watch.ts'

/** So long a burst of pod events is gathered into one turn. */
const DEBOUNCE_MS = 50
/** Something is looked at again at least so often, whatever was heard. */
const MOST_REST_MS = 600_000
const OBSERVES: Waiting = { reason: 'Observe' }

export interface BatchPorts {
  readonly cluster: Cluster
  readonly store: Pick<AgentStore, 'batch' | 'write'>
  readonly clock: Clock
  readonly log: Logger
  random(): number
  /** Whose spread of cron starts this is. */
  site(): string
}

/** What the rows of squeue, sinfo and sacct are made of. */
export interface BatchState {
  readonly journal: Journal
  readonly queues: SiteQueues
  readonly waits: ReadonlyMap<string, JobWait>
  /** Why nothing is made for a job. */
  readonly troubles: ReadonlyMap<string, Trouble>
  readonly pods: KindView | null
  readonly nodes: KindView | null
  /** What all pods hold of each node; null: it is not known. */
  readonly held: ReadonlyMap<string, Held> | null
  readonly placement: PlacementSource | null
}

export interface BatchRoom extends BatchSource {
  /** As the last turn of the site took it. Nothing is done before it was said once. */
  want(desired: BatchDesired): void
  /** One turn; ms until the next is due by itself. */
  turn(signal: AbortSignal): Promise<{ readonly nextMs: number }>
  /** Turns until the signal aborts. */
  run(signal: AbortSignal): Promise<void>
  finding(wanted: Wanted): BatchFinding
  /** What stands in the way of its jobs as a whole; null: nothing, or it has none. */
  trouble(): RoomTrouble | null
  /** Called after a finding or the trouble may have changed. */
  onFinding(changed: () => void): void
  state(): BatchState
  /** What Git wants, by the last turn. */
  wanted(): readonly Wanted[]
  /** The site's queues as they would be with these documents of BatchQueues. */
  queuesWith(documents: readonly JsonObject[]): SiteQueues
  /** Looks again at once: rows were written from outside. */
  wake(): void
  /** Jobs that were over here before the journal was lost: by their UID they are known, and not begun. On the disk when it returns. */
  learn(past: readonly PastJob[]): void
  /** What the scheduler says of jobs that wait. */
  use(placement: PlacementSource): void
  stop(): void
}

export function createBatchRoom(ports: BatchPorts): BatchRoom {
  const { clock, log } = ports
  const journal = openJournal(ports.store)
  const bell = createBell()
  const listeners = new Set<() => void>()
  const troubles = new Map<string, Trouble>()
  const sayer = createSayer(ports)
  let desired: BatchDesired | null = null
  let queues: SiteQueues = queuesOf([], journal)
  let waits: ReadonlyMap<string, JobWait> = new Map()
  let views: { readonly pods: KindView; readonly nodes: KindView; readonly use: NodeUse } | null = null
  let placement: PlacementSource | null = null
  /** Findings as they were last asked for, by document. */
  const told = new Map<string, string>()
  let toldScheduler = ''
  let toldTrouble = 'null'
  let onFinding = (): void => undefined

  function isIdle(): boolean {
    return desired === null || (desired.wanted.length === 0 && journal.jobs().size + journal.crons().size === 0)
  }

  async function viewed(signal: AbortSignal): Promise<{ readonly pods: KindView; readonly nodes: KindView }> {
    if (views === null) {
      const changed = (): void => bell.ring()
      const pods = viewKind(ports, { apiVersion: 'v1', kind: 'Pod', labelSelector: POD_LABELS.job }, changed)
      const nodes = viewKind(ports, { apiVersion: 'v1', kind: 'Node' }, changed)
      views = { pods, nodes, use: viewUse(ports) }
    }
    await Promise.race([Promise.all([views.pods.ready, views.nodes.ready]), whenAborted(signal)])
    signal.throwIfAborted()
    return views
  }

  const mayAct = (): boolean => desired?.mode === 'enforce'

  async function turn(signal: AbortSignal): Promise<{ readonly nextMs: number }> {
    if (desired === null || isIdle()) return { nextMs: Infinity }
    if (!mayAct()) return { nextMs: tell(Infinity) }
    const nowMs = clock.nowMs()
    journal.write(adopt(desired, journal, nowMs))
    queues = queuesOf(desired.wanted, journal)
    const crons = stepCrons(journal, factsOf(journal), ports.site(), nowMs)
    journal.write(crons.rows)
    const { pods, nodes } = await viewed(signal)
    // What is not listed is not gone: without the whole list nothing is decided about pods.
    if (!pods.synced()) return { nextMs: tell(Infinity) }
    const isGone = (node: string): boolean => nodes.synced() && !nodes.objects().has(`/${node}`)
    const step = stepJobs({ journal, tree: queues.tree, pods: podsByJob(pods.objects().values(), isGone), nowMs })
    journal.write(step.rows)
    waits = new Map([...step.waits, ...crons.waits])
    const dueMs = Math.min(step.nextAtMs ?? Infinity, crons.nextAtMs ?? Infinity) - nowMs
    const carrying: CarryPorts = {
      ...ports,
      random: () => ports.random(),
      journal,
      sayer,
      troubles,
      mayAct,
      monotonicMs: () => clock.monotonicMs(),
      saw: (pod) => pods.put(pod),
    }
    const nextMs = Math.min(dueMs, await carryOut(step.acts, carrying, signal))
    return { nextMs: tell(Math.max(0, nextMs)) }
  }

  /** Says to turns and to the scheduler what changed for them, and gives `ms` back. */
  function tell(ms: number): number {
    const isNews = (desired?.wanted ?? []).some(
      (wanted) => told.get(refKey(wanted.ref)) !== JSON.stringify(found(wanted)),
    )
    const inTheWay = JSON.stringify(trouble())
    if (isNews || inTheWay !== toldTrouble) onFinding()
    toldTrouble = inTheWay
    const scheduled = JSON.stringify([jobs(), specsOfQueues()])
    if (scheduled !== toldScheduler) {
      toldScheduler = scheduled
      for (const listener of listeners) listener()
    }
    return ms
  }

  /** What is about one document is said of it; a right that is lacking is for whoever has the site. */
  function trouble(): RoomTrouble | null {
    if (isIdle() || !mayAct()) return null
    const blind = views?.pods.fault() ?? views?.nodes.fault() ?? null
    if (blind !== null) return troubleOf(blind)
    const denied = [...troubles].filter(([, { fault }]) => lacksRight(fault))
    const [first] = denied
    if (first === undefined) return null
    const [key, { fault }] = first
    const others = denied.length === 1 ? '' : ` and ${denied.length - 1} more`
    return { reason: fault.reason, retry: fault.retry, message: `${key}${others}: ${fault.message}` }
  }

  function jobs(): ReturnType<BatchSource['jobs']> {
    return [...journal.jobs().values()].flatMap((row) => {
      const spec = specOf(row)
      if (spec === null || row.leaving || isOver(row.record.phase)) return []
      return [schedulerJob(withQueueLimits(spec, queues.tree), row.record)]
    })
  }

  function specsOfQueues(): ReturnType<BatchSource['queues']> {
    return queues.specs.flatMap((spec) => queueInput(spec, queues.tree) ?? [])
  }

  function found(wanted: Wanted): BatchFinding {
    const idle = desired?.mode === 'observe' ? (desired.idle ?? OBSERVES) : undefined
    return findingOf({ wanted, journal, tree: queues.tree, waits, troubles, idle, placement })
  }

  function finding(wanted: Wanted): BatchFinding {
    const now = found(wanted)
    told.set(refKey(wanted.ref), JSON.stringify(now))
    return now
  }

  function run(signal: AbortSignal): Promise<void> {
    const failure = 'a turn of the batch room did not end'
    const random = (): number => ports.random()
    return runTurns(
      { clock, log, random, failure, turn, changed: bell, mostRestMs: MOST_REST_MS, debounceMs: DEBOUNCE_MS },
      signal,
    )
  }

  return {
    want(next) {
      desired = next
      queues = queuesOf(next.wanted, journal)
      if (!isIdle()) bell.ring()
    },
    turn,
    run,
    finding,
    trouble,
    onFinding: (changed) => {
      onFinding = changed
    },
    state: () => ({
      journal,
      queues,
      waits,
      troubles,
      pods: views?.pods ?? null,
      nodes: views?.nodes ?? null,
      held: views?.use.held() ?? null,
      placement,
    }),
    wanted: () => desired?.wanted ?? [],
    queuesWith: (documents) =>
      queuesOf(
        [...(desired?.wanted ?? []), ...documents.map((document) => ({ kind: 'BatchQueue' as const, document }))],
        journal,
      ),
    wake() {
      if (desired !== null) queues = queuesOf(desired.wanted, journal)
      bell.ring()
    },
    learn(past) {
      const known = new Set([...journal.jobs().values()].map(({ record }) => record.uid))
      const news = past.filter(({ uid }) => !known.has(uid) && !journal.past().has(pastKey(uid)))
      journal.write(new Map(news.map((job) => [pastKey(job.uid), { is: 'past', job }])))
    },
    use: (given) => {
      placement = given
    },
    jobs,
    queues: specsOfQueues,
    onChange(changed) {
      listeners.add(changed)
      return () => void listeners.delete(changed)
    },
    stop() {
      sayer.stop()
      views?.pods.stop()
      views?.nodes.stop()
      views?.use.stop()
      views = null
    },
  }
}

function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
