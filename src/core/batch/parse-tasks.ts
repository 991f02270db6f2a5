/** Tasks of a job: their names, counts, templates, and which waits for which. */
import { isObject, type Json, type JsonObject } from '../model/json.ts'
import { refuseDnsLabel } from '../kube/names.ts'
import { parseQuantity } from '../kube/quantity.ts'
import { countOf, type Gathering, listOf, objectOf, refuse, textOf, textsOf } from './fields.ts'
import { parsePolicies } from './parse-policies.ts'
import { BATCH_LIMITS, type TaskSpec } from './types.ts'

const DEFAULT_TASK_RETRY = 3

export function parseTasks(into: Gathering, value: Json | undefined, path: string): readonly TaskSpec[] {
  const written = listOf(value)
  if (written.length === 0) refuse(into, path, 'is empty; a job needs one task at least')
  if (written.length > BATCH_LIMITS.tasks) {
    refuse(into, path, `has ${written.length} tasks; ${BATCH_LIMITS.tasks} is the limit`)
    return []
  }
  const tasks = written.flatMap((item, i) => parseTask(into, objectOf(item), `${path}[${i}]`, i) ?? [])
  const names = new Set<string>()
  for (const task of tasks) {
    if (names.has(task.name)) refuse(into, path, `has two tasks of the name ${task.name}`)
    names.add(task.name)
  }
  const total = tasks.reduce((sum, task) => sum + task.replicas, 0)
  if (total > BATCH_LIMITS.pods)
    refuse(into, path, `asks for ${total} pods; ${BATCH_LIMITS.pods} is the limit of one job`)
  refuseTaskOrder(into, tasks, names, path)
  return tasks
}

function parseTask(into: Gathering, value: JsonObject, path: string, position: number): TaskSpec | undefined {
  const name = textOf(value['name']) ?? `default${position}`
  const badName = refuseDnsLabel(name)
  if (badName !== undefined) refuse(into, `${path}.name`, `"${name}" ${badName}`)
  const replicas = countOf(into, value['replicas'], `${path}.replicas`, 1) ?? 1
  const minAvailable = countOf(into, value['minAvailable'], `${path}.minAvailable`, 0) ?? replicas
  if (minAvailable > replicas)
    refuse(into, `${path}.minAvailable`, `${minAvailable} is above the replicas, ${replicas}: it could never be whole`)
  const { template } = value
  if (!isObject(template) || listOf(objectOf(template['spec'])['containers']).length === 0) {
    refuse(into, `${path}.template`, 'needs a spec with one container at least')
    return undefined
  }
  refuseQuantities(into, objectOf(template['spec']), `${path}.template.spec`)
  return {
    name,
    replicas,
    minAvailable,
    template,
    dependsOn: dependsOnOf(into, value['dependsOn'], `${path}.dependsOn`),
    policies: parsePolicies(into, value['policies'], `${path}.policies`),
    maxRetry: taskRetryOf(into, value['maxRetry'], `${path}.maxRetry`),
  }
}

/** The API server of every site would refuse its pods: better said before anything is rolled out. */
function refuseQuantities(into: Gathering, pod: JsonObject, path: string): void {
  for (const field of ['initContainers', 'containers'])
    for (const [i, container] of listOf(pod[field]).entries())
      for (const kind of ['requests', 'limits'])
        for (const [name, amount] of Object.entries(objectOf(objectOf(objectOf(container)['resources'])[kind]))) {
          const at = `${path}.${field}[${i}].resources.${kind}.${name}`
          const read = typeof amount === 'string' || typeof amount === 'number' ? parseQuantity(amount) : undefined
          if (read?.ok !== true) refuse(into, at, `${JSON.stringify(amount)} is no quantity`)
          else if (read.quantity.nanos < 0n) refuse(into, at, `${read.quantity.canonical} is negative`)
        }
}

/** -1 is Volcano's word for no limit. */
function taskRetryOf(into: Gathering, value: Json | undefined, path: string): number | null {
  if (value === -1) return null
  return countOf(into, value, path, 0) ?? DEFAULT_TASK_RETRY
}

function dependsOnOf(into: Gathering, value: Json | undefined, path: string): TaskSpec['dependsOn'] {
  if (value === undefined || value === null) return null
  const written = objectOf(value)
  const one = textOf(written['name'])
  const names = [...new Set(one === undefined ? textsOf(written['name']) : [one])]
  if (names.length === 0) refuse(into, `${path}.name`, 'must name one task at least')
  const iteration = textOf(written['iteration']) ?? 'all'
  if (iteration !== 'any' && iteration !== 'all')
    refuse(into, `${path}.iteration`, `must be any or all, not ${iteration}`)
  return { names, iteration: iteration === 'any' ? 'any' : 'all' }
}

function refuseTaskOrder(into: Gathering, tasks: readonly TaskSpec[], names: ReadonlySet<string>, path: string): void {
  const before = into.refused.length
  for (const task of tasks)
    for (const other of task.dependsOn?.names ?? []) {
      if (other === task.name) refuse(into, path, `task ${task.name} depends on itself`)
      else if (!names.has(other))
        refuse(into, path, `task ${task.name} depends on ${other}, which is no task of this job`)
    }
  if (into.refused.length > before) return
  const circle = circleOf(new Map(tasks.map((task) => [task.name, task.dependsOn?.names ?? []])))
  if (circle !== undefined) refuse(into, path, `tasks wait for each other in a circle: ${circle.join(' -> ')}`)
}

/** The first circle in who-waits-for-whom, closed: `a -> b -> a`; names that are not there are passed over. */
export function circleOf(graph: ReadonlyMap<string, readonly string[]>): readonly string[] | undefined {
  const state = new Map<string, 'open' | 'closed'>()
  for (const start of graph.keys()) {
    if (state.has(start)) continue
    const trail: { readonly name: string; next: number }[] = [{ name: start, next: 0 }]
    state.set(start, 'open')
    while (trail.length > 0) {
      const top = trail.at(-1) as { readonly name: string; next: number }
      const other = (graph.get(top.name) ?? [])[top.next++]
      if (other === undefined) {
        state.set(top.name, 'closed')
        trail.pop()
      } else if (state.get(other) === 'open') {
        const names = trail.map((step) => step.name)
        return [...names.slice(names.indexOf(other)), other]
      } else if (!state.has(other) && graph.has(other)) {
        state.set(other, 'open')
        trail.push({ name: other, next: 0 })
      }
    }
  }
  return undefined
}
