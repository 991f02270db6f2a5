/** What squeue, sinfo and sacct can show of jobs and nodes, each under the name and heading that Slurm gives it. */
import { hostList } from './slurm-hosts.ts'
import { formatElapsed, formatMoment, formatUsed } from './slurm-time.ts'
import { SLURM_STATES, type SlurmCode } from './slurm-state.ts'

export interface SlurmJob {
  readonly id: string
  readonly arrayJobId: string
  /** Index, or the indexes that still wait, `3-7`; null: no array. */
  readonly arrayTask: string | null
  readonly name: string
  readonly partition: string
  readonly user: string
  readonly account: string
  readonly cluster: string
  readonly code: SlurmCode
  readonly reason: string
  readonly submitMs: number
  /** Actual or expected. */
  readonly startMs: number | null
  readonly endMs: number | null
  readonly timeLimitMs: number | null
  readonly usedMs: number
  readonly nodes: readonly string[]
  readonly nodeCount: number
  readonly tasks: number
  readonly cpus: number
  readonly memoryMiB: number
  readonly priority: number
  readonly dependency: string
  readonly exitCode: string
  readonly restarts: number
  readonly comment: string
}

/** Nodes of one partition that are alike. */
export interface SlurmNodes {
  readonly partition: string
  readonly isDefault: boolean
  readonly available: 'up' | 'down' | 'drain' | 'inact'
  readonly timeLimitMs: number | null
  readonly state: 'idle' | 'mixed' | 'allocated' | 'down' | 'drained' | 'draining'
  readonly nodes: readonly string[]
  /** Per node. */
  readonly cpus: number
  readonly memoryMiB: number
  /** Over all its nodes. */
  readonly cpusAllocated: number
  readonly memoryAllocatedMiB?: number
  readonly gres: string
  readonly reason: string
  /** Since when it is so, where that is known. */
  readonly reasonMs?: number
  /** false: nobody hears of it. */
  readonly responding?: boolean
}

export interface Column<T> {
  readonly head: string
  readonly value: (row: T) => string
}

function limitText(ms: number | null): string {
  return ms === null ? 'UNLIMITED' : formatUsed(ms)
}

export function jobColumns(zone: string): Readonly<Record<string, Column<SlurmJob>>> {
  const moment = (ms: number | null) => (ms === null ? 'N/A' : formatMoment(ms, zone))
  const nodeList = (job: SlurmJob) => hostList(job.nodes)
  const listOrReason = (job: SlurmJob) =>
    job.code === 'PD' || job.nodes.length === 0 ? `(${job.reason})` : nodeList(job)
  return {
    account: { head: 'ACCOUNT', value: (job) => job.account },
    arrayjobid: { head: 'ARRAY_JOB_ID', value: (job) => job.arrayJobId },
    arraytaskid: { head: 'ARRAY_TASK_ID', value: (job) => job.arrayTask ?? 'N/A' },
    cluster: { head: 'CLUSTER', value: (job) => job.cluster },
    comment: { head: 'COMMENT', value: (job) => job.comment },
    dependency: { head: 'DEPENDENCY', value: (job) => (job.dependency === '' ? '(null)' : job.dependency) },
    endtime: { head: 'END_TIME', value: (job) => moment(job.endMs) },
    exit_code: { head: 'EXIT_CODE', value: (job) => job.exitCode },
    jobarrayid: {
      head: 'JOBID',
      value: (job) => (job.arrayTask === null ? job.id : `${job.arrayJobId}_${bracketed(job.arrayTask)}`),
    },
    jobid: { head: 'JOBID', value: (job) => job.id },
    minmemory: { head: 'MIN_MEMORY', value: (job) => `${job.memoryMiB}M` },
    name: { head: 'NAME', value: (job) => job.name },
    nodelist: { head: 'NODELIST', value: nodeList },
    mincpus: { head: 'MIN_CPUS', value: (job) => String(Math.ceil(job.cpus / Math.max(1, job.tasks))) },
    numcpus: { head: 'CPUS', value: (job) => String(job.cpus) },
    numnodes: { head: 'NODES', value: (job) => String(job.nodeCount) },
    numtasks: { head: 'TASKS', value: (job) => String(job.tasks) },
    partition: { head: 'PARTITION', value: (job) => job.partition },
    pendingtime: {
      head: 'PENDING_TIME',
      value: (job) => String(Math.floor(((job.startMs ?? job.submitMs) - job.submitMs) / 1_000)),
    },
    prioritylong: { head: 'PRIORITY', value: (job) => String(job.priority) },
    priority: { head: 'PRIORITY', value: (job) => (job.priority / 2 ** 32).toFixed(14) },
    qos: { head: 'QOS', value: () => 'normal' },
    reason: { head: 'REASON', value: (job) => job.reason },
    reasonlist: { head: 'NODELIST(REASON)', value: listOrReason },
    restartcnt: { head: 'RESTART_COUNT', value: (job) => String(job.restarts) },
    schednodes: {
      head: 'SCHEDNODES',
      value: (job) => (job.code === 'PD' && job.nodes.length > 0 ? nodeList(job) : '(null)'),
    },
    starttime: { head: 'START_TIME', value: (job) => moment(job.startMs) },
    state: { head: 'STATE', value: (job) => SLURM_STATES[job.code] },
    statecompact: { head: 'ST', value: (job) => job.code },
    submittime: { head: 'SUBMIT_TIME', value: (job) => moment(job.submitMs) },
    timeleft: {
      head: 'TIME_LEFT',
      value: (job) => limitText(job.timeLimitMs === null ? null : Math.max(0, job.timeLimitMs - job.usedMs)),
    },
    timelimit: { head: 'TIME_LIMIT', value: (job) => limitText(job.timeLimitMs) },
    timeused: { head: 'TIME', value: (job) => formatUsed(job.usedMs) },
    username: { head: 'USER', value: (job) => job.user },
  }
}

/** Several indexes stand in brackets, one does not. */
function bracketed(task: string): string {
  return /^\d+$/.test(task) ? task : `[${task}]`
}

export const SQUEUE_CODES: Readonly<Record<string, string>> = {
  a: 'account', A: 'jobid', c: 'mincpus', C: 'numcpus', D: 'numnodes', e: 'endtime', E: 'dependency', F: 'arrayjobid', i: 'jobarrayid', j: 'name',
  k: 'comment', K: 'arraytaskid', l: 'timelimit', L: 'timeleft', m: 'minmemory', M: 'timeused', N: 'nodelist', p: 'priority',
  P: 'partition', q: 'qos', Q: 'prioritylong', r: 'reason', R: 'reasonlist', S: 'starttime', t: 'statecompact', T: 'state', u: 'username',
  V: 'submittime', Y: 'schednodes',
} // prettier-ignore

export interface SacctColumn extends Column<SlurmJob> {
  /** Below zero: to the left. */
  readonly width: number
}

export function sacctColumns(zone: string): Readonly<Record<string, SacctColumn>> {
  const moment = (ms: number | null) => (ms === null ? 'Unknown' : formatMoment(ms, zone))
  const id = (job: SlurmJob) => (job.arrayTask === null ? job.id : `${job.arrayJobId}_${bracketed(job.arrayTask)}`)
  return {
    account: { head: 'Account', width: 10, value: (job) => job.account },
    alloccpus: { head: 'AllocCPUS', width: 10, value: (job) => String(job.startMs === null ? 0 : job.cpus) },
    allocnodes: { head: 'AllocNodes', width: 10, value: (job) => String(job.nodes.length) },
    cluster: { head: 'Cluster', width: 10, value: (job) => job.cluster },
    comment: { head: 'Comment', width: 14, value: (job) => job.comment },
    cputime: { head: 'CPUTime', width: 10, value: (job) => formatElapsed(job.usedMs * job.cpus) },
    cputimeraw: { head: 'CPUTimeRAW', width: 10, value: (job) => String(Math.floor(job.usedMs / 1_000) * job.cpus) },
    elapsed: { head: 'Elapsed', width: 10, value: (job) => formatElapsed(job.usedMs) },
    elapsedraw: { head: 'ElapsedRaw', width: 10, value: (job) => String(Math.floor(job.usedMs / 1_000)) },
    end: { head: 'End', width: 19, value: (job) => moment(job.endMs) },
    exitcode: { head: 'ExitCode', width: 8, value: (job) => job.exitCode },
    jobid: { head: 'JobID', width: -12, value: id },
    jobidraw: { head: 'JobIDRaw', width: -12, value: (job) => job.id },
    jobname: { head: 'JobName', width: 10, value: (job) => job.name },
    ncpus: { head: 'NCPUS', width: 10, value: (job) => String(job.cpus) },
    nnodes: { head: 'NNodes', width: 8, value: (job) => String(job.nodeCount) },
    nodelist: {
      head: 'NodeList',
      width: 15,
      value: (job) => (job.nodes.length === 0 ? 'None assigned' : hostList(job.nodes)),
    },
    ntasks: { head: 'NTasks', width: 8, value: (job) => String(job.tasks) },
    partition: { head: 'Partition', width: 10, value: (job) => job.partition },
    planned: {
      head: 'Planned',
      width: 10,
      value: (job) => formatElapsed((job.startMs ?? job.submitMs) - job.submitMs),
    },
    priority: { head: 'Priority', width: 10, value: (job) => String(job.priority) },
    reason: { head: 'Reason', width: 22, value: (job) => job.reason },
    reqcpus: { head: 'ReqCPUS', width: 8, value: (job) => String(job.cpus) },
    reqmem: { head: 'ReqMem', width: 10, value: (job) => `${job.memoryMiB}M` },
    restarts: { head: 'Restarts', width: 8, value: (job) => String(job.restarts) },
    start: { head: 'Start', width: 19, value: (job) => moment(job.startMs) },
    state: { head: 'State', width: 10, value: (job) => SLURM_STATES[job.code] },
    submit: { head: 'Submit', width: 19, value: (job) => moment(job.submitMs) },
    timelimit: {
      head: 'Timelimit',
      width: 10,
      value: (job) => (job.timeLimitMs === null ? 'UNLIMITED' : formatElapsed(job.timeLimitMs)),
    },
    user: { head: 'User', width: 9, value: (job) => job.user },
  }
}
