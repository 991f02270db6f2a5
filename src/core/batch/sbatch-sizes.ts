/** How many pods a script asks for, and what each of them requests. One Slurm task is one pod. */
import type { JsonObject } from '../model/json.ts'
import { type Gathering, refuse } from './fields.ts'

export interface Sizes {
  readonly tasks: number
  /** As asked for. */
  readonly nodes: number | undefined
  readonly resources: JsonObject
}

export function sizesOf(into: Gathering, options: ReadonlyMap<string, string>, gpuResource: string): Sizes {
  const count = (name: string): number | undefined => {
    const text = options.get(name)
    if (text === undefined) return undefined
    if (/^[1-9]\d{0,6}$/.test(text)) return Number(text)
    refuse(
      into,
      `--${name}`,
      name === 'nodes' ? `"${text}": one number of nodes, no range` : `"${text}" must be a count of 1 or more`,
    )
    return undefined
  }
  const nodes = count('nodes')
  const perNode = count('ntasks-per-node') ?? 1
  const tasks = count('ntasks') ?? (nodes ?? 1) * perNode
  const tasksOnNode = nodes === undefined ? perNode : Math.ceil(tasks / nodes)
  const cpus = count('cpus-per-task') ?? 1
  const gpus = gpusOf(into, options, tasks, tasksOnNode)
  const memoryMiB = memoryOf(into, options, { cpus, gpus, tasksOnNode })
  const memory = memoryMiB === undefined ? {} : { memory: `${memoryMiB}Mi` }
  const devices = gpus === 0 ? {} : { [gpuResource]: gpus }
  // Slurm ends what uses more memory than it asked for; so do limits.
  const limits = { ...memory, ...devices }
  const resources = {
    requests: { cpu: String(cpus), ...memory, ...devices },
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
  }
  return { tasks, nodes, resources }
}

const UNIT_MIB: Readonly<Record<string, number>> = { K: 1 / 1024, M: 1, G: 1024, T: 1024 * 1024 }

function memoryOf(
  into: Gathering,
  options: ReadonlyMap<string, string>,
  { cpus, gpus, tasksOnNode }: { readonly cpus: number; readonly gpus: number; readonly tasksOnNode: number },
): number | undefined {
  const shares = { mem: 1 / tasksOnNode, 'mem-per-cpu': cpus, 'mem-per-gpu': gpus }
  const given = Object.keys(shares).filter((name) => options.has(name))
  if (given.length > 1) refuse(into, `--${given[0]}`, `and --${given[1]} exclude each other`)
  const [name] = given
  if (name === undefined) return undefined
  const text = options.get(name) ?? ''
  const match = /^(\d{1,12})([KMGT])?B?$/i.exec(text)
  const mib = match === null ? 0 : Number(match[1]) * (UNIT_MIB[(match[2] ?? 'M').toUpperCase()] ?? 1)
  if (match === null) refuse(into, `--${name}`, `"${text}" is no size, as 500M or 4G`)
  else if (mib === 0) refuse(into, `--${name}`, '0 asks for all of a node, which is not given')
  return Math.max(1, Math.ceil(mib * shares[name as keyof typeof shares]))
}

/** GPUs a pod. `--gpus` is for the job, `--gres` and `--gpus-per-node` for a node. */
function gpusOf(into: Gathering, options: ReadonlyMap<string, string>, tasks: number, tasksOnNode: number): number {
  const shares = { gpus: tasks, 'gpus-per-node': tasksOnNode, gres: tasksOnNode, 'gpus-per-task': 1 }
  for (const [name, among] of Object.entries(shares)) {
    const text = options.get(name)
    if (text === undefined || (name === 'gres' && /^none$/i.test(text))) continue
    const asked = readGpus(into, name, name === 'gres' ? text.replace(/^gres\//, '') : `gpu:${text}`)
    if (asked % among !== 0) refuse(into, `--${name}`, `${asked} cannot be shared out evenly among ${among} tasks`)
    return asked / among
  }
  return 0
}

function readGpus(into: Gathering, option: string, text: string): number {
  const [resource, ...rest] = text.split(':')
  const amount = rest.at(-1) ?? '1'
  if (text.includes(',')) refuse(into, `--${option}`, 'names several; one kind of device is taken')
  else if (resource !== 'gpu') refuse(into, `--${option}`, `"${resource}" is not counted here, only gpu`)
  else if (rest.length > 1)
    refuse(into, `--${option}`, `the type "${rest[0]}" cannot be chosen; choose a queue whose nodes have it`)
  else if (!/^\d{1,5}$/.test(amount)) refuse(into, `--${option}`, `"${amount}" is no count`)
  else return Number(amount)
  return 0
}
