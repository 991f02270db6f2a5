/** What a pod asks for: containers, sidecars, init containers, overhead, pod-level resources, and resizes in flight. */
import type { JsonObject } from '../model/json.ts'
import { has, listAt, objectAt, textAt } from './object.ts'
import { CPU, MEMORY, PODS, sparse, type Amounts, type Dimensions } from './resources.ts'
import type { ResourceList } from './types.ts'

export interface PodRequests {
  /** pods: 1 included. */
  readonly amounts: Amounts
  /** Nothing asked for but the place of a pod. */
  readonly bestEffort: boolean
  /** For scores, as kube-scheduler counts a container that asks for nothing: 100m and 200Mi. */
  readonly nonZeroCpu: number
  readonly nonZeroMemory: number
  readonly problems: readonly string[]
  readonly notes: readonly string[]
}

const DEFAULT_MILLI_CPU = 100
const DEFAULT_MEMORY = 200 * 1024 * 1024

export function podRequests(pod: JsonObject, dimensions: Dimensions): PodRequests {
  const reader = new Reader(pod, dimensions)
  const asked = reader.total(false)
  const nonZero = reader.total(true)
  const problems = [...unique(reader.problems)]
  for (let dim = 0; dim < asked.length; dim++)
    if (!Number.isSafeInteger(asked[dim]))
      problems.push(`${dimensions.names.names[dim]}: the sum is more than any node has`)
  let bestEffort = true
  const dense: number[] = []
  for (let dim = 0; dim <= PODS || dim < asked.length; dim++) {
    dense[dim] = asked[dim] ?? 0
    if (dim !== PODS && dense[dim] !== 0) bestEffort = false
  }
  dense[PODS] = 1
  return {
    amounts: sparse(dense),
    bestEffort,
    nonZeroCpu: nonZero[CPU] ?? 0,
    nonZeroMemory: nonZero[MEMORY] ?? 0,
    problems,
    notes: unique(reader.notes),
  }
}

type Sum = number[]

class Reader {
  readonly problems: string[] = []
  readonly notes: string[] = []
  readonly #spec: JsonObject
  readonly #given = new Map<string, JsonObject>()
  readonly #infeasible: boolean
  readonly #dimensions: Dimensions

  constructor(pod: JsonObject, dimensions: Dimensions) {
    this.#spec = objectAt(pod, 'spec')
    this.#dimensions = dimensions
    const status = objectAt(pod, 'status')
    for (const field of ['containerStatuses', 'initContainerStatuses'])
      for (const one of listAt(status, field)) if (has(one, 'resources')) this.#given.set(textAt(one, 'name'), one)
    this.#infeasible = listAt(status, 'conditions').some(
      (condition) => condition['type'] === 'PodResizePending' && condition['reason'] === 'Infeasible',
    )
  }

  /** max(containers + sidecars, each init container + the sidecars before it), pod-level amounts in their place, + overhead. */
  total(nonZero: boolean): Sum {
    const running: Sum = []
    for (const container of listAt(this.#spec, 'containers')) add(running, this.#container(container, nonZero, true))
    const sidecars: Sum = []
    const starting: Sum = []
    for (const container of listAt(this.#spec, 'initContainers')) {
      const isSidecar = container['restartPolicy'] === 'Always'
      const one = this.#container(container, nonZero, isSidecar)
      if (isSidecar) {
        add(running, one)
        add(sidecars, one)
        raise(starting, sidecars)
      } else {
        add(one, sidecars)
        raise(starting, one)
      }
    }
    raise(running, starting)
    const own = this.#read(requestsOf(objectAt(this.#spec, 'resources')))
    for (const [dim, value] of own) if (!this.#dimensions.names.names[dim]?.includes('/')) running[dim] = value
    for (const [dim, value] of this.#read(objectAt(this.#spec, 'overhead') as ResourceList))
      running[dim] = (running[dim] ?? 0) + value
    for (let dim = 0; dim < running.length; dim++) running[dim] ??= 0
    return running
  }

  /** `runs`: it may be resized while it does. */
  #container(container: JsonObject, nonZero: boolean, runs: boolean): Sum {
    const sum: Sum = []
    const given = runs ? this.#given.get(textAt(container, 'name')) : undefined
    // A resize that can never happen leaves the pod with what it has.
    if (given === undefined || !this.#infeasible)
      for (const [dim, value] of this.#read(requestsOf(objectAt(container, 'resources')))) sum[dim] = value
    if (given !== undefined) {
      const allocated = this.#read(objectAt(given, 'allocatedResources') as ResourceList)
      const actual = this.#read(objectAt(objectAt(given, 'resources'), 'requests') as ResourceList)
      for (const [dim, value] of [...allocated, ...actual]) sum[dim] = Math.max(sum[dim] ?? 0, value)
    }
    if (nonZero) {
      sum[CPU] = (sum[CPU] ?? 0) === 0 ? DEFAULT_MILLI_CPU : (sum[CPU] ?? 0)
      sum[MEMORY] = (sum[MEMORY] ?? 0) === 0 ? DEFAULT_MEMORY : (sum[MEMORY] ?? 0)
    }
    return sum
  }

  #read(list: ResourceList): [number, number][] {
    const found: [number, number][] = []
    for (const name in list) {
      const quantity = list[name] as string | number
      const converted = this.#dimensions.convert(name, quantity)
      if (!converted.ok) this.problems.push(converted.because)
      else if (converted.dim >= 0 && 'value' in converted) {
        found.push([converted.dim, converted.value])
        if (converted.rounded) this.notes.push(`${name}: ${quantity} is finer than a node counts, and was rounded up`)
      }
    }
    return found
  }
}

/** As the API server defaults them: what has a limit and no request asks for its limit. */
function requestsOf(resources: JsonObject): ResourceList {
  const requests = objectAt(resources, 'requests') as ResourceList
  const limits = objectAt(resources, 'limits') as ResourceList
  let merged: Record<string, string | number> | undefined
  for (const name in limits)
    if (!Object.hasOwn(requests, name)) {
      merged ??= { ...requests }
      merged[name] = limits[name] as string | number
    }
  return merged ?? requests
}

function add(into: Sum, from: Sum): void {
  for (let dim = 0; dim < from.length; dim++) into[dim] = (into[dim] ?? 0) + (from[dim] ?? 0)
}

function raise(into: Sum, from: Sum): void {
  for (let dim = 0; dim < from.length; dim++) into[dim] = Math.max(into[dim] ?? 0, from[dim] ?? 0)
}

const NONE: readonly string[] = Object.freeze([])

function unique(texts: readonly string[]): string[] {
  return texts.length === 0 ? (NONE as string[]) : [...new Set(texts)]
}
