/** What sacct can show of a job, under the name, heading and width that Slurm gives it. */
import { bracketed, type Column, type SlurmJob, tresOf } from './slurm-columns.ts'
import { hostList } from './slurm-hosts.ts'
import { SLURM_STATES } from './slurm-state.ts'
import { formatElapsed, formatMoment } from './slurm-time.ts'

export interface SacctColumn extends Column<SlurmJob> {
  /** Below zero: to the left. */
  readonly width: number
}

function plannedOf({ startMs, submitMs }: SlurmJob): string {
  return formatElapsed((startMs ?? submitMs) - submitMs)
}

export function sacctColumns(zone: string): Readonly<Record<string, SacctColumn>> {
  const moment = (ms: number | null) => (ms === null ? 'Unknown' : formatMoment(ms, zone))
  const id = (job: SlurmJob) => (job.arrayTask === null ? job.id : `${job.arrayJobId}_${bracketed(job.arrayTask)}`)
  return {
    account: { head: 'Account', width: 10, value: (job) => job.account },
    alloctres: { head: 'AllocTRES', width: 10, value: (job) => (job.nodes.length === 0 ? '' : tresOf(job)) },
    alloccpus: { head: 'AllocCPUS', width: 10, value: (job) => String(job.startMs === null ? 0 : job.cpus) },
    allocnodes: { head: 'AllocNodes', width: 10, value: (job) => String(job.nodes.length) },
    cluster: { head: 'Cluster', width: 10, value: (job) => job.cluster },
    comment: { head: 'Comment', width: 14, value: (job) => job.comment },
    cputime: { head: 'CPUTime', width: 10, value: (job) => formatElapsed(job.usedMs * job.cpus) },
    cputimeraw: { head: 'CPUTimeRAW', width: 10, value: (job) => String(Math.floor(job.usedMs / 1_000) * job.cpus) },
    derivedexitcode: { head: 'DerivedExitCode', width: 15, value: (job) => job.exitCode },
    elapsed: { head: 'Elapsed', width: 10, value: (job) => formatElapsed(job.usedMs) },
    elapsedraw: { head: 'ElapsedRaw', width: 10, value: (job) => String(Math.floor(job.usedMs / 1_000)) },
    eligible: { head: 'Eligible', width: 19, value: (job) => moment(job.submitMs) },
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
      value: plannedOf,
    },
    priority: { head: 'Priority', width: 10, value: (job) => String(job.priority) },
    reason: { head: 'Reason', width: 22, value: (job) => job.reason },
    reqcpus: { head: 'ReqCPUS', width: 8, value: (job) => String(job.cpus) },
    reqnodes: { head: 'ReqNodes', width: 8, value: (job) => String(job.nodeCount) },
    reqtres: { head: 'ReqTRES', width: 10, value: tresOf },
    reserved: { head: 'Reserved', width: 10, value: plannedOf },
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
    ...constantColumns(),
  }
}

/** What Slurm measures or keeps, and nobody does here: empty, as sacct shows what was not gathered. */
function constantColumns(): Readonly<Record<string, SacctColumn>> {
  const always = (head: string, width: number, text = ''): SacctColumn => ({ head, width, value: () => text })
  return {
    avecpu: always('AveCPU', 10),
    averss: always('AveRSS', 10),
    avevmsize: always('AveVMSize', 10),
    constraints: always('Constraints', 19),
    group: always('Group', 9),
    maxrss: always('MaxRSS', 10),
    maxvmsize: always('MaxVMSize', 10),
    qos: always('QOS', 10, 'normal'),
    submitline: always('SubmitLine', 20),
    suspended: always('Suspended', 10, '00:00:00'),
    systemcpu: always('SystemCPU', 10),
    totalcpu: always('TotalCPU', 10),
    uid: always('UID', 6),
    usercpu: always('UserCPU', 10),
    wckey: always('WCKey', 10),
    workdir: always('WorkDir', 20),
  }
}
