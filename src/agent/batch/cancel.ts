/** Which jobs, and which elements of arrays, a scancel means, and the commands that end them. Pure but for the commands' ids. */
import { randomUUID } from 'node:crypto'
import { parseArray, readArrayTask } from '../../core/batch/arrays.ts'
import type { BatchAsk } from '../../core/batch/ask.ts'
import type { SlurmJob } from '../../core/batch/slurm-columns.ts'
import { readHostList } from '../../core/batch/slurm-hosts.ts'
import { readSlurmState } from '../../core/batch/slurm-state.ts'
import type { Command } from '../../core/batch/types.ts'
import { Fault } from '../../core/model/fault.ts'
import { specOf } from './jobs.ts'
import type { JobRow } from './journal.ts'

/** A job as it is called. */
export interface JobId {
  readonly text: string
  readonly name: string
  /** null: all of it. */
  readonly indexes: readonly number[] | null
}

/** `train`, `sweep_3`, `sweep_[1-4,7]`. */
export function readJobId(text: string): JobId {
  const match = /^(.+)_(?:(\d{1,6})|\[([\d,-]{1,1000})\])$/.exec(text)
  const range = match === null ? undefined : parseArray(match[2] ?? match[3] ?? '')
  if (range?.ok !== true) return { text, name: text, indexes: null }
  return { text, name: match?.[1] ?? '', indexes: range.array.indexes }
}

/** What is asked of a line of squeue beside its name; null: nothing. Faults InvalidInput. */
export function readChoice(ask: Extract<BatchAsk, { op: 'cancel' }>): ((line: SlurmJob) => boolean) | null {
  const { user, partition, state, name, nodes = null } = ask
  if ([user, partition, state, name, nodes].every((text) => text === null)) return null
  const codes = state?.split(',').map((word) => {
    const code = readSlurmState(word)
    if (code === undefined) throw new Fault('InvalidInput', `${word} is no state of a job`)
    return code
  })
  const hosts = nodes === null ? undefined : readHostList(nodes)
  if (nodes !== null && hosts === undefined) throw new Fault('InvalidInput', `${nodes} is no list of nodes`)
  const has = (words: string | null, value: string): boolean => words?.split(',').includes(value) ?? true
  return (line) =>
    has(user, line.user) &&
    has(partition, line.partition) &&
    has(name, line.name) &&
    (codes?.includes(line.code) ?? true) &&
    (hosts === undefined || line.nodes.some((node) => hosts.includes(node)))
}

/** `lines`: those of the job that are meant; null: all. */
export function cancelCommands(
  row: JobRow,
  ids: readonly JobId[],
  lines: readonly SlurmJob[] | null,
): readonly Command[] {
  const task = specOf(row)?.tasks[0]?.name
  const isNamedWhole = ids.length === 0 || ids.some(({ indexes }) => indexes === null)
  const named = isNamedWhole ? null : new Set(ids.flatMap(({ indexes }) => indexes ?? []))
  if (task === undefined || (named === null && lines === null)) return [{ id: randomUUID(), action: 'TerminateJob' }]
  const shown = lines === null ? null : new Set(lines.flatMap(({ arrayTask }) => [...readArrayTask(arrayTask ?? '')]))
  const meant = [...(named ?? shown ?? [])].filter((index) => shown?.has(index) ?? true)
  return meant.map((index) => ({ id: randomUUID(), action: 'TerminateJob', target: { task, index } }))
}
