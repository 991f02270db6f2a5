/** Which options of sbatch mean something here: taken, taken without effect, or refused, each with what to do instead. */
import { nearest } from '../model/nearest.ts'
import { type Gathering, refuse } from './fields.ts'

const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  output: 'what it writes is read with kubectl logs', error: 'what it writes is read with kubectl logs', 'open-mode': 'there are no output files',
  'mail-type': 'no mail is sent', 'mail-user': 'no mail is sent', account: 'accounts are not kept', qos: 'the queue decides', nice: 'the queue decides',
  priority: 'the queue decides', parsable: '', quiet: '', verbose: '', 'kill-on-invalid-dep': 'it waits and says so',
  'no-kill': '', 'get-user-env': 'pods have their own environment', oversubscribe: 'pods share nodes', overcommit: 'requests decide', 'ignore-pbs': '',
  hint: 'the node shares its CPUs out', distribution: 'the node shares its CPUs out', 'threads-per-core': 'the node shares its CPUs out',
  'ntasks-per-core': 'the node shares its CPUs out', 'ntasks-per-socket': 'the node shares its CPUs out', 'mem-bind': 'the node shares its CPUs out',
  'cpu-freq': 'the node shares its CPUs out', 'gpu-bind': 'each task has its own', 'gpu-freq': 'it is not set', propagate: 'limits are those of the image',
  profile: 'nothing is profiled', 'acctg-freq': 'nothing is profiled', wckey: 'accounts are not kept', switches: 'the scheduler decides',
} // prettier-ignore

const REFUSED: Readonly<Record<string, string>> = {
  exclusive: 'whole nodes are not given; ask for the cpus and memory it needs',
  constraint: 'nodes have no Slurm features; choose the queue',
  nodefile: 'nodes are chosen by the scheduler',
  reservation: 'there are no reservations by name',
  licenses: 'licenses are not counted',
  clusters: 'stands on the command line, before the script',
  input: 'pods read nothing from files at the submitter',
  contiguous: 'nodes have no order',
  reboot: 'nodes are not rebooted for jobs',
  wait: 'stands on the command line, at the box where the job runs',
  wrap: 'there is a script already',
}

const TAKEN = new Set([
  'job-name', 'ntasks', 'nodes', 'ntasks-per-node', 'cpus-per-task', 'mem', 'mem-per-cpu', 'gpus', 'gpus-per-task', 'gpus-per-node', 'gres',
  'time', 'array', 'dependency', 'partition', 'begin', 'deadline', 'requeue', 'no-requeue', 'comment', 'chdir', 'export', 'container-image',
  'signal', 'mem-per-gpu', 'tmp', 'hold', 'test-only', 'nodelist', 'exclude',
]) // prettier-ignore

/** Refuses what is not taken; what comes back is said to whoever submits. */
export function sortOut(into: Gathering, options: ReadonlyMap<string, string>): string[] {
  const notes: string[] = []
  for (const name of options.keys()) {
    if (TAKEN.has(name)) continue
    const why = Object.hasOwn(WITHOUT_EFFECT, name) ? WITHOUT_EFFECT[name] : undefined
    if (why !== undefined) {
      if (why !== '') notes.push(`--${name} has no effect: ${why}`)
    } else refuse(into, `--${name}`, (Object.hasOwn(REFUSED, name) ? REFUSED[name] : undefined) ?? unknownText(name))
  }
  return notes
}

function unknownText(name: string): string {
  const near = nearest(name, [...TAKEN, ...Object.keys(WITHOUT_EFFECT), ...Object.keys(REFUSED)])
  return near === undefined ? 'is not taken here' : `is not known; did you mean --${near}?`
}
