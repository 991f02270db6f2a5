/** Where the pods of a script may stand: `-N` says on how many nodes, `-w` on which, `-x` on which not. */
import type { JsonObject } from '../model/json.ts'
import { type Gathering, refuse } from './fields.ts'
import type { Sizes } from './sbatch-sizes.ts'
import { readHostList } from './slurm-hosts.ts'
import { POD_LABELS } from './types.ts'

const HOST = 'kubernetes.io/hostname'

/** A pod's `affinity`, or {}: it may stand anywhere. `job` is the name that the pods will carry. */
export function placesOf(
  into: Gathering,
  options: ReadonlyMap<string, string>,
  { tasks, nodes }: Sizes,
  job: string,
  notes: string[],
): JsonObject {
  const hosts = [...hostRule(into, options, 'nodelist', 'In'), ...hostRule(into, options, 'exclude', 'NotIn')]
  const nodeAffinity =
    hosts.length === 0
      ? {}
      : {
          nodeAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: hosts }] },
          },
        }
  const affinity = { ...nodeAffinity, ...together(tasks, nodes, job, notes) }
  return Object.keys(affinity).length === 0 ? {} : { affinity }
}

function hostRule(
  into: Gathering,
  options: ReadonlyMap<string, string>,
  name: 'nodelist' | 'exclude',
  operator: 'In' | 'NotIn',
): readonly JsonObject[] {
  const text = options.get(name)
  if (text === undefined) return []
  const values = readHostList(text)
  if (values !== undefined && values.length > 0) return [{ key: HOST, operator, values }]
  refuse(into, `--${name}`, `"${text}" is no list of nodes, as n1,n[3-5]`)
  return []
}

/** All on one node, or each on its own. Anything between is left to the scheduler. */
function together(tasks: number, nodes: number | undefined, job: string, notes: string[]): JsonObject {
  if (nodes === undefined || tasks === 1) return {}
  const labelSelector = { matchLabels: { [POD_LABELS.job]: job } }
  const required = { requiredDuringSchedulingIgnoredDuringExecution: [{ labelSelector, topologyKey: HOST }] }
  if (nodes === 1) return { podAffinity: required }
  if (nodes === tasks) return { podAntiAffinity: required }
  notes.push(`--nodes=${nodes}: its ${tasks} tasks go where they fit, on more nodes or fewer`)
  return {}
}
