/** What squeue, sinfo and sacct can show of jobs and nodes, each under the name and heading that Slurm gives it. */
import { hostList } from './slurm-hosts.ts'
import { formatMoment, formatUsed } from './slurm-time.ts'
import { SLURM_STATES, type SlurmCode } from './slurm-state.ts'

export interface SlurmJob {
  readonly id: string
  readonly arrayJobId: string
  /** Index, or the indexes that still wait and how many may run at once, `3-7%2`; null: no array. */
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
  /** Of a job from Git that is over, once: what a site that lost its journal is told again. */
  readonly over?: { readonly uid: string; readonly code: SlurmCode }
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
    ...constantColumns(),
    account: { head: 'ACCOUNT', value: (job) => job.account },
    arrayjobid: { head: 'ARRAY_JOB_ID', value: (job) => job.arrayJobId },
    arraytaskid: { head: 'ARRAY_TASK_ID', value: (job) => job.arrayTask ?? 'N/A' },
    batchhost: { head: 'EXEC_HOST', value: (job) => job.nodes[0] ?? 'n/a' },
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
    'tres-alloc': { head: 'TRES_ALLOC', value: (job) => (job.nodes.length === 0 ? 'N/A' : tresOf(job)) },
    username: { head: 'USER', value: (job) => job.user },
  }
}

/** What Slurm shows and there is nothing of here: scripts that ask for it go on, and nobody is told a thing that is not so. */
function constantColumns(): Readonly<Record<string, Column<SlurmJob>>> {
  const always = (head: string, text: string): Column<SlurmJob> => ({ head, value: () => text })
  return {
    command: always('COMMAND', '(null)'),
    contiguous: always('CONTIGUOUS', '0'),
    corespec: always('CORE_SPEC', 'N/A'),
    cores: always('CORES_PER_SOCKET', '*'),
    exc_nodes: always('EXC_NODES', ''),
    feature: always('FEATURES', '(null)'),
    gres: always('TRES_PER_NODE', 'N/A'),
    groupid: always('GROUP', 'N/A'),
    groupname: always('GROUP', 'N/A'),
    licenses: always('LICENSES', '(null)'),
    mintmpdisk: always('MIN_TMP_DISK', '0'),
    nice: always('NICE', '0'),
    oversubscribe: always('OVER_SUBSCRIBE', 'YES'),
    reqnodes: always('REQ_NODES', ''),
    reservation: always('RESERVATION', '(null)'),
    sct: always('S:C:T', '*:*:*'),
    sockets: always('SOCKETS_PER_NODE', '*'),
    threads: always('THREADS_PER_CORE', '*'),
    userid: always('UID', 'N/A'),
    wckey: always('WCKEY', '(null)'),
    workdir: always('WORK_DIR', '(null)'),
  }
}

/** `cpu=4,mem=1024M,node=2`. */
export function tresOf({ cpus, memoryMiB, tasks, nodeCount }: SlurmJob): string {
  const memory = memoryMiB === 0 ? '' : `,mem=${memoryMiB * tasks}M`
  return `cpu=${cpus}${memory},node=${nodeCount},billing=${cpus}`
}

/** Several indexes stand in brackets, one does not. */
export function bracketed(task: string): string {
  return /^\d+$/.test(task) ? task : `[${task}]`
}

export const SQUEUE_CODES: Readonly<Record<string, string>> = {
  a: 'account', A: 'jobid', b: 'gres', B: 'batchhost', c: 'mincpus', C: 'numcpus', d: 'mintmpdisk', D: 'numnodes', e: 'endtime',
  E: 'dependency', f: 'feature', F: 'arrayjobid', g: 'groupname', G: 'groupid', h: 'oversubscribe', H: 'sockets', i: 'jobarrayid',
  I: 'cores', j: 'name', J: 'threads', k: 'comment', K: 'arraytaskid', l: 'timelimit', L: 'timeleft', m: 'minmemory', M: 'timeused',
  n: 'reqnodes', N: 'nodelist', o: 'command', O: 'contiguous', p: 'priority', P: 'partition', q: 'qos', Q: 'prioritylong', r: 'reason',
  R: 'reasonlist', S: 'starttime', t: 'statecompact', T: 'state', u: 'username', U: 'userid', v: 'reservation', V: 'submittime',
  w: 'wckey', W: 'licenses', x: 'exc_nodes', X: 'corespec', y: 'nice', Y: 'schednodes', z: 'sct', Z: 'workdir',
} // prettier-ignore
