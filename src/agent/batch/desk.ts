/** What is shown of the batch room, and what people at the site may ask of it. Asked things are on the disk when it answers. */
import { randomUUID } from 'node:crypto'
import type { BatchAsk } from '../../core/batch/ask.ts'
import { objectOf } from '../../core/batch/fields.ts'
import { parseBatchJob } from '../../core/batch/parse.ts'
import { beginJob, isOver } from '../../core/batch/record.ts'
import { DEFAULT_QUEUE } from '../../core/batch/release.ts'
import { parseSbatch } from '../../core/batch/sbatch.ts'
import type { SlurmJob } from '../../core/batch/slurm-columns.ts'
import type { Placed } from '../../core/batch/slurm-reason.ts'
import type { Command } from '../../core/batch/types.ts'
import { BATCH_FORMAT, type BatchView } from '../../core/batch/view.ts'
import { Fault } from '../../core/model/fault.ts'
import type { JsonObject } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'
import { timeZoneOf } from './adopt.ts'
import { cancelCommands, readChoice, readJobId } from './cancel.ts'
import { podsByJob, specOf } from './jobs.ts'
import { jobKey, type JobRow, type Journal, queueKey } from './journal.ts'
import type { Held } from './node-use.ts'
import type { SiteQueues } from './queues.ts'
import type { BatchRoom } from './room.ts'
import { slurmJobs } from './slurm.ts'
import { queueRows, slurmNodes } from './slurm-nodes.ts'

/** Names that a script of the same name is given, one after the other. */
const MOST_NAMESAKES = 1_000
/** Where a site was told nothing of batch yet. */
const NO_ZONE = 'UTC'

export interface BatchDesk {
  /** `read`: nodes as they were just read, where the room watches none. */
  view(read?: NodesRead): BatchView
  /** Faults InvalidInput, NotFound, Conflict, Store*. */
  answer(ask: BatchAsk): JsonObject
}

export interface NodesRead {
  readonly nodes: readonly Manifest[]
  readonly held: ReadonlyMap<string, Held>
}

export function createBatchDesk(room: BatchRoom, parts: { site(): string; nowMs(): number }): BatchDesk {
  function zone(): string {
    const [first] = room.wanted()
    return first === undefined ? NO_ZONE : timeZoneOf(first.document)
  }

  function accountOf(queue: string): string {
    return room.wanted().find(({ kind, ref }) => kind === 'BatchQueue' && ref.name === queue)?.account ?? ''
  }

  /** The lines of squeue for each job. */
  function lines(): (key: string, row: JobRow) => readonly SlurmJob[] {
    const { journal, waits, troubles, pods, placement, queues } = room.state()
    const full = fullQueues(journal, queues)
    const byJob = podsByJob(pods?.objects().values() ?? [], () => false)
    return (key, row) => {
      const at = `${row.record.namespace}/${row.record.name}`
      return slurmJobs(row, {
        site: parts.site(),
        nowMs: parts.nowMs(),
        pods: byJob.get(at) ?? [],
        words: {
          wait: waits.get(key) ?? null,
          placed: full.has(specOf(row)?.queue ?? '') ? FULL : placement?.waiting(at),
          trouble: troubles.get(key)?.fault.reason,
        },
        expectedMs: placement?.expectedMs(at),
        tree: queues.tree,
      })
    }
  }

  function jobs(): readonly SlurmJob[] {
    const linesOf = lines()
    const rows = [...room.state().journal.jobs()].flatMap(([key, row]) => linesOf(key, row))
    const ended = (job: SlurmJob): number => (ENDED.has(job.code) ? (job.endMs ?? 0) : Infinity)
    return rows.toSorted((a, b) => ended(b) - ended(a) || a.submitMs - b.submitMs || (a.id < b.id ? -1 : 1))
  }

  function view(read?: NodesRead): BatchView {
    const { journal, queues, nodes, pods, held } = room.state()
    const seen = read?.nodes ?? [...(nodes?.objects().values() ?? [])]
    const counts = new Map<string, { running: number; pending: number }>()
    for (const row of journal.jobs().values()) {
      const queue = specOf(row)?.queue
      if (queue === undefined || isOver(row.record.phase)) continue
      const count = counts.get(queue) ?? { running: 0, pending: 0 }
      if (row.record.startedMs === null) count.pending++
      else count.running++
      counts.set(queue, count)
    }
    return {
      formatVersion: BATCH_FORMAT,
      asOfMs: Math.floor(parts.nowMs()),
      site: parts.site(),
      timeZone: zone(),
      jobs: jobs(),
      nodes: slurmNodes(queues, seen, [...(pods?.objects().values() ?? [])], read?.held ?? held),
      queues: queueRows(queues, journal, counts),
      leftOut: 0,
    }
  }

  function submit({ script, name, options, args, user }: Extract<BatchAsk, { op: 'submit' }>): JsonObject {
    const { journal, queues } = room.state()
    const nowMs = parts.nowMs()
    const timeZone = zone()
    const unnamed = { nowMs, timeZone, queue: DEFAULT_QUEUE, targets: [], name, options, args }
    const unplaced = parseSbatch(script, unnamed)
    const queue = unplaced.ok ? objectOf(unplaced.value.document['spec'])['queue'] : undefined
    // Of whom the queue is, the job is: with the rights of that account, and where the account is at home.
    const account = typeof queue === 'string' ? accountOf(queue) : ''
    const placed = account === '' ? unnamed : { ...unnamed, namespace: account.split('/')[0] ?? '' }
    const parsed = account === '' ? unplaced : parseSbatch(script, placed)
    if (!parsed.ok) return { refused: parsed.refused.map(({ path, because }) => `${path}: ${because}`) }
    const first = parseBatchJob(parsed.value.document)
    if (!first.ok) return { refused: first.refused.map(({ path, because }) => `${path}: ${because}`) }
    const { queue: asked, namespace, name: base } = first.value
    if (queues.tree.get(asked) === undefined) return { refused: [`invalid partition specified: ${asked}`] }
    if (!queues.tree.isLeaf(asked))
      return { refused: [`invalid partition specified: ${asked} has queues under it; only those take jobs`] }
    const free = freeName(base)
    // Under another name its pods look for each other by that one.
    const again = free === base ? parsed : parseSbatch(script, { ...placed, as: free })
    if (!again.ok) return { refused: again.refused.map(({ path, because }) => `${path}: ${because}`) }
    const { document, notes, held, testOnly } = again.value
    const spec = parseBatchJob(document)
    if (!spec.ok) return { refused: spec.refused.map(({ path, because }) => `${path}: ${because}`) }
    const lost = spec.value.dependency.after.find(({ job }) => !isThere(namespace, job))
    if (lost !== undefined) return { refused: [`Job dependency problem: there is no job ${lost.job}`] }
    if (testOnly) return { job: free, notes, tested: document, nowMs }
    const uid = randomUUID()
    const row: JobRow = {
      is: 'job',
      from: 'submitted',
      workload: '',
      digest: uid,
      document,
      group: base,
      timeZone,
      user,
      account,
      record: beginJob(spec.value, { uid, createdMs: nowMs, timeZone }),
      commands: held ? [{ id: randomUUID(), action: 'AbortJob' }] : [],
      leaving: false,
      cleaned: false,
    }
    journal.write(new Map([[jobKey(spec.value), row]]))
    room.wake()
    const said = held ? [`it is held; flotilla job resume ${free} lets it start`] : []
    return { job: free, notes: [...notes, ...said] }
  }

  function isThere(namespace: string, job: string): boolean {
    const [home = '', name = ''] = job.includes('/') ? job.split('/', 2) : [namespace, job]
    return room
      .state()
      .journal.jobs()
      .has(jobKey({ namespace: home, name }))
  }

  /** A job goes by its name alone in squeue and scancel, in whatever namespace it is. */
  function freeName(base: string): string {
    const taken = new Set([...room.state().journal.jobs().values()].map(({ record }) => record.name))
    for (let i = 1; i <= MOST_NAMESAKES; i++) {
      const name = i === 1 ? base : `${base}-${i}`
      if (!taken.has(name)) return name
    }
    throw new Fault('Conflict', `there are ${MOST_NAMESAKES} jobs called ${base} already`)
  }

  function cancel(ask: Extract<BatchAsk, { op: 'cancel' }>): JsonObject {
    const { journal } = room.state()
    const chosen = readChoice(ask)
    const ids = ask.jobs.map(readJobId)
    const linesOf = lines()
    if (ids.length === 0 && chosen === null) throw new Fault('InvalidInput', 'no job is named')
    const rows = new Map<string, JobRow>()
    const unknown = new Set(ask.jobs)
    for (const [key, row] of journal.jobs()) {
      const named = ids.filter(({ name }) => name === row.record.name)
      for (const { text } of named) unknown.delete(text)
      if ((ids.length > 0 && named.length === 0) || isOver(row.record.phase) || row.leaving) continue
      const all = linesOf(key, row)
      const meant = chosen === null ? all : all.filter(chosen)
      if (meant.length === 0) continue
      const commands = cancelCommands(row, named, meant.length === all.length ? null : meant)
      if (commands.length > 0) rows.set(key, { ...row, commands: [...row.commands, ...commands] })
    }
    journal.write(rows)
    room.wake()
    return { cancelled: [...rows.values()].map(({ record }) => record.name), unknown: [...unknown] }
  }

  function jobWord(name: string, action: Command['action']): JsonObject {
    const { journal } = room.state()
    const found = [...journal.jobs()].find(([, row]) => row.record.name === name && !isOver(row.record.phase))
    if (found === undefined) throw new Fault('NotFound', `there is no job ${name} that is not over`)
    const [key, row] = found
    journal.write(new Map([[key, { ...row, commands: [...row.commands, { id: randomUUID(), action }] }]]))
    room.wake()
    return { job: name }
  }

  function queueWord(queue: string, word: 'hold' | 'drain' | 'release'): JsonObject {
    const { journal, queues } = room.state()
    if (queues.tree.get(queue) === undefined) throw new Fault('NotFound', `there is no queue ${queue} at this site`)
    const stopPolicy = word === 'drain' ? 'HoldAndDrain' : 'Hold'
    const row = { is: 'queue', name: queue, stopPolicy, atMs: parts.nowMs() } as const
    journal.write(new Map([[queueKey(queue), word === 'release' ? null : row]]))
    room.wake()
    return { queue, word }
  }

  return {
    view,
    answer(ask) {
      if (ask.op === 'view') return view() as unknown as JsonObject
      if (ask.op === 'predict') throw new Fault('InvalidInput', 'not asked of the desk')
      if (ask.op === 'submit') return submit(ask)
      if (ask.op === 'cancel') return cancel(ask)
      if (ask.op === 'job') return jobWord(ask.job, ask.action === 'suspend' ? 'AbortJob' : 'ResumeJob')
      return queueWord(ask.queue, ask.word)
    },
  }
}

/** As many jobs run as the queue may run at once. */
const FULL: Placed = { kind: 'queue', refusals: [], resource: 'jobs' }

/** Queues of which no other job may begin. */
function fullQueues(journal: Journal, { specs }: SiteQueues): ReadonlySet<string> {
  const running = new Map<string, number>()
  for (const row of journal.jobs().values()) {
    const queue = specOf(row)?.queue
    if (queue === undefined || row.record.startedMs === null || isOver(row.record.phase)) continue
    running.set(queue, (running.get(queue) ?? 0) + 1)
  }
  const full = specs.filter(({ name, maxRunning }) => maxRunning !== null && (running.get(name) ?? 0) >= maxRunning)
  return new Set(full.map(({ name }) => name))
}

const ENDED: ReadonlySet<string> = new Set(['BF', 'CA', 'CD', 'DL', 'F', 'NF', 'OOM', 'PR', 'TO'])
