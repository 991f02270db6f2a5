/** Small rules about jobs and queues as records. */
import { ROOT_QUEUE, type Job, type Queue } from './ledger.ts'
import type { Dimensions } from './resources.ts'
import type { QueueInput } from './types.ts'

export function jobKey(namespace: string, name: string): string {
  return `${namespace}/${name}`
}

/** Sets parents, ancestors and children. A queue whose parents run in a circle, or whose parent is not there, says so and takes no jobs. */
export function queueShape(queues: readonly (Queue | null)[], rows: ReadonlyMap<string, number>): void {
  const root = rows.get(ROOT_QUEUE) ?? -1
  for (const queue of queues) {
    if (queue === null) continue
    queue.children = []
    queue.problem = queue.unreadable
    const { parent } = queue.input
    if (queue.row === root) queue.parent = -1
    else if (parent === undefined || parent === '') queue.parent = root
    else {
      queue.parent = rows.get(parent) ?? -1
      if (queue.parent < 0) queue.problem = `its parent ${parent} does not exist`
    }
  }
  for (const queue of queues) {
    if (queue === null) continue
    queue.ancestors = []
    const seen = new Set([queue.row])
    for (let row = queue.parent; row >= 0; row = (queues[row] as Queue).parent) {
      if (seen.has(row)) {
        queue.problem = 'its parents run in a circle'
        break
      }
      seen.add(row)
      queue.ancestors.push(row)
    }
    if (queue.parent >= 0) (queues[queue.parent] as Queue).children.push(queue.row)
  }
}

/** Most jobs have neither, and there may be very many: who gives one some gives it a map of its own. */
const NO_ROLES: Job['roles'] = new Map()
export const NO_PARTS: Job['subJobs'] = new Map()

export function newJob(row: number, key: string, namespace: string, name: string, group: number): Job {
  return {
    row,
    key,
    namespace,
    name,
    uid: key,
    group,
    queue: -1,
    queueName: '',
    priority: 0,
    minMember: 0,
    roles: NO_ROLES,
    minTaskTotal: 0,
    minResources: null,
    phase: 'Pending',
    createdMs: 0,
    input: null,
    implicit: false,
    problem: null,
    tasks: new Set(),
    subJobs: NO_PARTS,
    failedRoles: new Set(),
    allocatedHyperNode: '',
  }
}

/** `before`: the queue of that name as it was; what it has used stays with it. */
export function newQueue(row: number, input: QueueInput, dimensions: Dimensions, before: Queue | null): Queue {
  const deserved = dimensions.read(input.deserved)
  const guarantee = dimensions.read(input.guarantee)
  const capability = dimensions.read(input.capability)
  const problems = [...deserved.problems, ...guarantee.problems, ...capability.problems]
  const limited = input.capability !== undefined && Object.keys(input.capability).length > 0
  return {
    row,
    name: input.name,
    input,
    parent: -1,
    ancestors: [],
    children: [],
    problem: null,
    unreadable: problems.length > 0 ? problems.join('; ') : null,
    deserved: deserved.amounts,
    guarantee: guarantee.amounts,
    capability: limited ? capability.amounts : null,
    usage: before?.usage ?? new Float64Array(0),
    usageAtMs: before?.usageAtMs ?? 0,
  }
}
