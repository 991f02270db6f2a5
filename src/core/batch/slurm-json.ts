/** What squeue, sacct and sinfo give with `--json`: the names and shapes of Slurm's data parser, as far as they mean something here. */
import type { Json, JsonObject } from '../model/json.ts'
import type { SlurmJob, SlurmNodes } from './slurm-columns.ts'
import { hostList } from './slurm-hosts.ts'
import { SLURM_STATES } from './slurm-state.ts'

const NO_MESSAGES = { errors: [], warnings: [] } as const

function number(value: number | null): JsonObject {
  return { set: value !== null, infinite: false, number: value ?? 0 }
}

function seconds(ms: number | null): number | null {
  return ms === null ? null : Math.floor(ms / 1_000)
}

function limit(ms: number | null): JsonObject {
  return { set: true, infinite: ms === null, number: ms === null ? 0 : Math.ceil(ms / 60_000) }
}

function exitCode(text: string): JsonObject {
  const [code = 0, signal = 0] = text.split(':').map(Number)
  const status = signal > 0 ? ['SIGNALED'] : code > 0 ? ['ERROR'] : ['SUCCESS']
  return { status, return_code: number(code), signal: { id: number(signal), name: '' } }
}

export function squeueJson(jobs: readonly SlurmJob[]): Json {
  return { jobs: jobs.map(queued), ...NO_MESSAGES }
}

function queued(job: SlurmJob): JsonObject {
  return {
    job_id: job.id,
    array_job_id: job.arrayTask === null ? '' : job.arrayJobId,
    array_task_string: job.arrayTask ?? '',
    name: job.name,
    partition: job.partition,
    user_name: job.user,
    account: job.account,
    cluster: job.cluster,
    job_state: [SLURM_STATES[job.code]],
    state_reason: job.reason,
    submit_time: number(seconds(job.submitMs)),
    start_time: number(seconds(job.startMs)),
    end_time: number(seconds(job.endMs)),
    time_limit: limit(job.timeLimitMs),
    nodes: hostList(job.nodes),
    node_count: number(job.nodeCount),
    cpus: number(job.cpus),
    tasks: number(job.tasks),
    memory_per_node: number(job.memoryMiB),
    priority: number(job.priority),
    dependency: job.dependency,
    exit_code: exitCode(job.exitCode),
    restart_cnt: job.restarts,
    comment: job.comment,
  }
}

export function sacctJson(jobs: readonly SlurmJob[]): Json {
  return { jobs: jobs.map(accounted), ...NO_MESSAGES }
}

function accounted(job: SlurmJob): JsonObject {
  return {
    job_id: job.id,
    array: { job_id: job.arrayTask === null ? '' : job.arrayJobId, task: job.arrayTask ?? '' },
    name: job.name,
    partition: job.partition,
    user: job.user,
    account: job.account,
    cluster: job.cluster,
    state: { current: [SLURM_STATES[job.code]], reason: job.reason },
    time: {
      submission: seconds(job.submitMs),
      start: seconds(job.startMs) ?? 0,
      end: seconds(job.endMs) ?? 0,
      elapsed: Math.floor(job.usedMs / 1_000),
      limit: limit(job.timeLimitMs),
    },
    nodes: hostList(job.nodes),
    allocation_nodes: job.nodes.length,
    required: { CPUs: job.cpus, memory_per_node: number(job.memoryMiB) },
    exit_code: exitCode(job.exitCode),
    restart_cnt: job.restarts,
    comment: { job: job.comment },
  }
}

export function sinfoJson(rows: readonly SlurmNodes[]): Json {
  return { sinfo: rows.map(informed), ...NO_MESSAGES }
}

function informed(row: SlurmNodes): JsonObject {
  const total = row.nodes.length
  const isBusy = row.state === 'mixed' || row.state === 'allocated'
  const isIdle = row.state === 'idle'
  const cpus = row.cpus * total
  return {
    partition: { name: row.partition, maximums: { time: limit(row.timeLimitMs) } },
    node: { state: [row.state.toUpperCase(), ...(row.responding === false ? ['NOT_RESPONDING'] : [])] },
    nodes: {
      allocated: isBusy ? total : 0,
      idle: isIdle ? total : 0,
      other: isBusy || isIdle ? 0 : total,
      total,
      nodes: [...row.nodes],
    },
    cpus: { allocated: row.cpusAllocated, idle: isBusy || isIdle ? cpus - row.cpusAllocated : 0, total: cpus },
    memory: { minimum: row.memoryMiB, maximum: row.memoryMiB, allocated: row.memoryAllocatedMiB ?? 0 },
    gres: { total: row.gres },
    reason: { description: row.reason, time: number(seconds(row.reasonMs ?? null)) },
  }
}
