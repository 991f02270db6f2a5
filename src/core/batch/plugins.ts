/** What each job plugin gives a pod: variables, ports, volumes, names. The names of variables are Volcano's and the frameworks' own. */
import type { Json, JsonObject } from '../model/json.ts'
import { hostOf, hostsOf, taskNamed } from './hosts.ts'
import { readFlags } from './plugin-options.ts'
import { indexesOf } from './record.ts'
import type { BatchJobSpec, PluginName, PodPlan } from './types.ts'

export interface EnvVar extends JsonObject {
  readonly name: string
  readonly value?: string
}

export interface Gift {
  /** For every container, init containers too; what a template sets itself stays. */
  readonly env: readonly EnvVar[]
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
  /** ConfigMaps and where they are mounted. */
  readonly mounts: readonly {
    readonly name: string
    readonly configMap: string
    readonly path: string
    readonly items?: Json
  }[]
}

const NOTHING: Gift = { env: [], ports: [], mounts: [] }
const TENSORFLOW_PORT = 2222
const PYTORCH_PORT = 23456
const SSH_PORT = 22
export const HOSTS_PATH = '/etc/volcano'
export const HOSTFILE_PATH = '/etc/mpi'

type Plugin = (spec: BatchJobSpec, pod: PodPlan, flags: ReadonlyMap<string, string>) => Gift

const GIVE: Readonly<Record<PluginName, Plugin>> = { env, svc, tensorflow, pytorch, mpi }

export function giftsOf(spec: BatchJobSpec, pod: PodPlan): readonly Gift[] {
  const names = Object.keys(GIVE) as PluginName[]
  const given = names.flatMap((name) => {
    const options = spec.plugins[name]
    return options === undefined ? [] : [GIVE[name](spec, pod, readFlags(options))]
  })
  return [...given, arrayGift(spec, pod)]
}

function variable(name: string, value: string | number): EnvVar {
  return { name, value: String(value) }
}

/** Array elements know their index without a plugin, by Slurm's names as well. */
function arrayGift(spec: BatchJobSpec, { index }: PodPlan): Gift {
  if (spec.array === null) return NOTHING
  const { indexes } = spec.array
  const env = [
    variable('FLOTILLA_ARRAY_INDEX', index),
    variable('SLURM_ARRAY_JOB_ID', spec.name),
    variable('SLURM_ARRAY_TASK_ID', index),
    variable('SLURM_ARRAY_TASK_COUNT', indexes.length),
    variable('SLURM_ARRAY_TASK_MIN', indexes[0] ?? 0),
    variable('SLURM_ARRAY_TASK_MAX', indexes.at(-1) ?? 0),
  ]
  return { ...NOTHING, env }
}

function env(_spec: BatchJobSpec, { index }: PodPlan): Gift {
  return { ...NOTHING, env: [variable('VC_TASK_INDEX', index), variable('VK_TASK_INDEX', index)] }
}

export function hostsMapName(spec: BatchJobSpec): string {
  return `${spec.name}-svc`
}

export function envNameOf(task: string): string {
  return task.replaceAll('-', '_').toUpperCase()
}

function svc(spec: BatchJobSpec): Gift {
  const name = hostsMapName(spec)
  const keys = spec.tasks.flatMap((task) => [`VC_${envNameOf(task.name)}_HOSTS`, `VC_${envNameOf(task.name)}_NUM`])
  const env = keys.map((key) => ({ name: key, valueFrom: { configMapKeyRef: { name, key } } }))
  return { ...NOTHING, env, mounts: [{ name, configMap: name, path: HOSTS_PATH }] }
}

const TF_ROLES = ['ps', 'worker', 'chief', 'evaluator'] as const

/** A job of a single pod trains alone and needs none. */
function tensorflow(spec: BatchJobSpec, pod: PodPlan, flags: ReadonlyMap<string, string>): Gift {
  if (spec.tasks.length === 1 && spec.tasks[0]?.replicas === 1) return NOTHING
  const port = Number(flags.get('port') ?? TENSORFLOW_PORT)
  const cluster: Record<string, readonly string[]> = {}
  let type = pod.task
  for (const role of TF_ROLES) {
    const name = flags.get(role) ?? role
    const task = taskNamed(spec, name)
    if (task !== undefined) cluster[role] = hostsOf(spec, task).map((host) => `${host}:${port}`)
    if (name === pod.task) type = role
  }
  const config = { cluster, task: { type, index: rankOf(spec, pod) } }
  return { ...NOTHING, env: [variable('TF_CONFIG', JSON.stringify(config))] }
}

/** Place of the pod among its task's, from 0, also where an array begins elsewhere. */
function rankOf(spec: BatchJobSpec, pod: PodPlan): number {
  const task = taskNamed(spec, pod.task)
  return task === undefined ? pod.index : indexesOf(spec, task).indexOf(pod.index)
}

function pytorch(spec: BatchJobSpec, pod: PodPlan, flags: ReadonlyMap<string, string>): Gift {
  const port = Number(flags.get('port') ?? PYTORCH_PORT)
  const master = taskNamed(spec, flags.get('master') ?? 'master')
  const worker = taskNamed(spec, flags.get('worker') ?? 'worker')
  if (master === undefined) return NOTHING
  const env = [
    variable('MASTER_ADDR', hostOf(spec, master, 0)),
    variable('MASTER_PORT', port),
    variable('WORLD_SIZE', master.replicas + (worker?.replicas ?? 0)),
  ]
  if (pod.task === master.name) env.push(variable('RANK', pod.index))
  else if (pod.task === worker?.name) env.push(variable('RANK', master.replicas + pod.index))
  return { ...NOTHING, env, ports: [{ name: 'pytorchjob-port', containerPort: port }] }
}

/** Hosts on which ranks run: the workers; without any, the master by itself, which needs no way to reach others. */
export function mpiHosts(spec: BatchJobSpec, flags: ReadonlyMap<string, string>): readonly string[] {
  const worker = taskNamed(spec, flags.get('worker') ?? 'worker')
  const master = taskNamed(spec, flags.get('master') ?? 'master')
  const from = worker ?? master
  return from === undefined ? [] : hostsOf(spec, from)
}

export function hostfileOf(spec: BatchJobSpec): string | undefined {
  const options = spec.plugins.mpi
  if (options === undefined) return undefined
  const flags = readFlags(options)
  const slots = flags.get('slots') ?? '1'
  return mpiHosts(spec, flags)
    .map((host) => `${host} slots=${slots}\n`)
    .join('')
}

/** Open MPI, MPICH and Intel MPI read the host file without being told; keys for ssh, where it is used, are the image's own affair. */
function mpi(spec: BatchJobSpec, pod: PodPlan, flags: ReadonlyMap<string, string>): Gift {
  const name = hostsMapName(spec)
  const isMaster = pod.task === (flags.get('master') ?? 'master')
  const hasWorkers = taskNamed(spec, flags.get('worker') ?? 'worker') !== undefined
  const hostfile = `${HOSTFILE_PATH}/hostfile`
  const env = [
    variable('MPI_HOST', mpiHosts(spec, flags).join(',')),
    variable('OMPI_MCA_orte_default_hostfile', hostfile),
    variable('PRTE_MCA_prte_default_hostfile', hostfile),
    variable('OMPI_MCA_orte_keep_fqdn_hostnames', 'true'),
    variable('HYDRA_HOST_FILE', hostfile),
    variable('I_MPI_HYDRA_HOST_FILE', hostfile),
    // With nobody to reach, nothing looks for ssh.
    ...(hasWorkers ? [] : [variable('OMPI_MCA_plm', 'isolated'), variable('HYDRA_LAUNCHER', 'fork')]),
  ]
  const ports = hasWorkers ? [{ name: 'mpijob-port', containerPort: Number(flags.get('port') ?? SSH_PORT) }] : []
  if (!isMaster) return { ...NOTHING, ports }
  const items = [{ key: 'hostfile', path: 'hostfile' }]
  return { env, ports, mounts: [{ name: `${name}-mpi`, configMap: name, path: HOSTFILE_PATH, items }] }
}
