/** Slurm's words. */
import type { Command } from '../command.ts'
import type { CliPorts } from '../ports.ts'
import { sacct } from './sacct.ts'
import { sbatch } from './sbatch.ts'
import { scancel } from './scancel.ts'
import { sinfo } from './sinfo.ts'
import { squeue } from './squeue.ts'

export const SLURM: readonly Command<CliPorts>[] = [squeue, sinfo, sacct, sbatch, scancel]
