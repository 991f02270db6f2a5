/** What scripts written for Slurm look for in their environment, as far as it is known before a pod has its node. */
import type { JsonObject } from '../model/json.ts'
import type { Sizes } from './sbatch-sizes.ts'
import { POD_LABELS } from './types.ts'

/** `given`: what --export says wins. */
export function slurmEnv(
  options: ReadonlyMap<string, string>,
  { tasks, nodes }: Sizes,
  { job, queue }: { readonly job: string; readonly queue: string },
  given: readonly JsonObject[],
): readonly JsonObject[] {
  const values: Readonly<Record<string, string | undefined>> = {
    SLURM_JOB_ID: job,
    SLURM_JOBID: job,
    SLURM_JOB_NAME: options.get('job-name') ?? job,
    SLURM_JOB_PARTITION: queue,
    SLURM_NTASKS: String(tasks),
    SLURM_NPROCS: String(tasks),
    SLURM_CPUS_PER_TASK: options.get('cpus-per-task'),
    SLURM_NTASKS_PER_NODE: options.get('ntasks-per-node'),
    SLURM_JOB_NUM_NODES: nodes === undefined ? undefined : String(nodes),
    SLURM_NNODES: nodes === undefined ? undefined : String(nodes),
  }
  // An element of an array is a job of its own; of another job the tasks are counted.
  const rank: JsonObject = options.has('array')
    ? { name: 'SLURM_PROCID', value: '0' }
    : { name: 'SLURM_PROCID', valueFrom: { fieldRef: { fieldPath: `metadata.labels['${POD_LABELS.index}']` } } }
  const env: readonly JsonObject[] = [
    ...Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [{ name, value }])),
    rank,
    { name: 'SLURMD_NODENAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
  ]
  return [...env.filter(({ name }) => !given.some((one) => one['name'] === name)), ...given]
}
