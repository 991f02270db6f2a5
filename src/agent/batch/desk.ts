/** What is shown of the batch room, and what people at the site may ask of it. Asked things are on the disk when it answers. */
import { randomUUID } from 'node:crypto'
import { parseArray } from '../../core/batch/arrays.ts'
import type { BatchAsk } from '../../core/batch/ask.ts'
import { objectOf } from '../../core/batch/fields.ts'
import { parseBatchJob } from '../../core/batch/parse.ts'
import { beginJob, isOver } from '../../core/batch/record.ts'
import { DEFAULT_QUEUE } from '../../core/batch/release.ts'
import { parseSbatch } from '../../core/batch/sbatch.ts'
import type { SlurmJob } from '../../core/batch/slurm-columns.ts'
import { readSlurmState, slurmCode } from '../../core/batch/slurm-state.ts'
import type { Command } from '../../core/batch/types.ts'
import { BATCH_FORMAT, type BatchView } from '../../core/batch/view.ts'
import { Fault } from '../../core/model/fault.ts'
import type { JsonObject } from '../../core/model/json.ts'
import { timeZoneOf } from './adopt.ts'
import { podsByJob, specOf } from './jobs.ts'
import { jobKey, type JobRow, queueKey } from './journal.ts'
import type { BatchRoom } from './room.ts'
import { slurmJobs } from './slurm.ts'
import { queueRows, slurmNodes } from './slurm-nodes.ts'

/** Names that a script of the same name is given, one after the other. */
const MOST_NAMESAKES = 1_000
/** Where a site was told nothing of batch yet. */
const NO_ZONE = 'UTC'

export interface BatchDesk {
  view(): BatchView
  /** Faults InvalidInput, NotFound, Conflict, Store*. */
  answer(ask: BatchAsk): JsonObject
}

export function createBatchDesk(room: BatchRoom, parts: { site(): string; nowMs(): number }): BatchDesk {
  function zone(): string {
    const [first] = room.wanted()
    return first === undefined ? NO_ZONE : timeZoneOf(first.document)
  }

  function accountOf(queue: string): string {
    return room.wanted().find(({ kind, ref }) => kind === 'BatchQueue' && ref.name === queue)?.account ?? ''
  }

  function jobs(): readonly SlurmJob[] {
    const { journal, waits, troubles, pods, placement, queues } = room.state()
    const byJob = podsByJob(pods?.objects().values() ?? [], () => false)
    const rows = [...journal.jobs()].flatMap(([key, row]) => {
      const { namespace, name } = row.record
      const at = `${namespace}/${name}`
      return slurmJobs(row, {
        site: parts.site(),
        nowMs: parts.nowMs(),
        pods: byJob.get(at) ?? [],
        words: {
          wait: waits.get(key) ?? null,
          placed: placement?.waiting(at),
          trouble: troubles.get(key)?.fault.reason,
        },
        expectedMs: placement?.expectedMs(at),
        tree: queues.tree,
      })
    })
    const ended = (job: SlurmJob): number => (ENDED.has(job.code) ? (job.endMs ?? 0) : Infinity)
    return rows.toSorted((a, b) => ended(b) - ended(a) || a.submitMs - b.submitMs || (a.id < b.id ? -1 : 1))
  }

  function view(): BatchView {
    const { journal, queues, nodes, pods, held } = room.state()
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
      nodes: slurmNodes(queues, [...(nodes?.objects().values() ?? [])], [...(pods?.objects().values() ?? [])], held),
      queues: queueRows(queues, journal, counts),
      leftOut: 0,
    }
  }

  function submit({ script, name, options, args, user }: Extract<BatchAsk, { op: 'submit' }>): JsonObject {
    const { journal, queues } = room.state()
    const nowMs = parts.nowMs()
    const timeZone = zone()
    const asked = { nowMs, timeZone, queue: DEFAULT_QUEUE, targets: [], name, options, args }
    const unplaced = parseSbatch(script, asked)
    const queue = unplaced.ok ? objectOf(unplaced.value.document['spec'])['queue'] : undefined
    // Of whom the queue is, the job is: with the rights of that account, and where the account is at home.
    const account = typeof queue === 'string' ? accountOf(queue) : ''
    const parsed = account === '' ? unplaced : parseSbatch(script, { ...asked, namespace: account.split('/')[0] ?? '' })
    if (!parsed.ok) return { refused: parsed.refused.map(({ path, because }) => `${path}: ${because}`) }
    const { document, notes } = parsed.value
    const first = parseBatchJob(document)
    if (!first.ok) return { refused: first.refused.map(({ path, because }) => `${path}: ${because}`) }
    if (queues.tree.get(first.value.queue) === undefined)
      return { refused: [`invalid partition specified: ${first.value.queue}`] }
    const base = first.value.name
    const taken = (candidate: string): boolean =>
      journal.jobs().has(jobKey({ namespace: first.value.namespace, name: candidate }))
    const free = Array.from({ length: MOST_NAMESAKES }, (_, i) => (i === 0 ? base : `${base}-${i + 1}`)).find(
      (candidate) => !taken(candidate),
    )
    if (free === undefined) throw new Fault('Conflict', `there are ${MOST_NAMESAKES} jobs called ${base} already`)
    const named: JsonObject = { ...document, metadata: { ...(document['metadata'] as JsonObject), name: free } }
    const spec = parseBatchJob(named)
    if (!spec.ok) return { refused: spec.refused.map(({ path, because }) => `${path}: ${because}`) }
    const uid = randomUUID()
    const row: JobRow = {
      is: 'job',
      from: 'submitted',
      workload: '',
      digest: uid,
      document: named,
      group: base,
      timeZone,
      user,
      account,
      record: beginJob(spec.value, { uid, createdMs: nowMs, timeZone }),
      commands: [],
      leaving: false,
      cleaned: false,
    }
    journal.write(new Map([[jobKey(spec.value), row]]))
    room.wake()
    return { job: free, notes }
  }

  function cancel(ask: Extract<BatchAsk, { op: 'cancel' }>): JsonObject {
    const { journal } = room.state()
    const state = ask.state === null ? null : readSlurmState(ask.state)
    if (state === undefined) throw new Fault('InvalidInput', `${ask.state} is no state of a job`)
    const named = ask.jobs.map(readJobId)
    if (named.length === 0 && ask.user === null && ask.partition === null && ask.state === null && ask.name === null)
      throw new Fault('InvalidInput', 'no job is named')
    const rows = new Map<string, JobRow>()
    const unknown = new Set(ask.jobs)
    for (const [key, row] of journal.jobs()) {
      const ids = named.filter(({ name }) => name === row.record.name)
      for (const { text } of ids) unknown.delete(text)
      const spec = specOf(row)
      const meant =
        (named.length === 0 || ids.length > 0) &&
        (ask.user === null || row.user === ask.user) &&
        (ask.partition === null || spec?.queue === ask.partition) &&
        (ask.name === null || row.group === ask.name) &&
        (state === null || slurmCode(row.record) === state)
      if (!meant || isOver(row.record.phase) || row.leaving) continue
      rows.set(key, { ...row, commands: [...row.commands, ...cancelCommands(row, ids)] })
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

const ENDED: ReadonlySet<string> = new Set(['BF', 'CA', 'CD', 'DL', 'F', 'NF', 'OOM', 'PR', 'TO'])

interface JobId {
  readonly text: string
  readonly name: string
  readonly indexes: readonly number[] | null
}

/** `train`, `sweep_3`, `sweep_[1-4,7]`. */
function readJobId(text: string): JobId {
  const match = /^(.+)_(?:(\d{1,6})|\[([\d,-]{1,1000})\])$/.exec(text)
  const range = match === null ? undefined : parseArray(match[2] ?? match[3] ?? '')
  if (range?.ok !== true) return { text, name: text, indexes: null }
  return { text, name: match?.[1] ?? '', indexes: range.array.indexes }
}

function cancelCommands({ document }: JobRow, ids: readonly JobId[]): readonly Command[] {
  const whole: Command = { id: randomUUID(), action: 'TerminateJob' }
  if (ids.length === 0 || ids.some(({ indexes }) => indexes === null)) return [whole]
  const parsed = parseBatchJob(document)
  const task = parsed.ok ? parsed.value.tasks[0]?.name : undefined
  if (task === undefined) return [whole]
  return ids
    .flatMap(({ indexes }) => indexes ?? [])
    .map((index) => ({ id: randomUUID(), action: 'TerminateJob', target: { task, index } }))
}
