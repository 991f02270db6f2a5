/** FLT2106: queues that are promised more of a site than its nodes hold. Where Git does not say what a site has, nobody can tell. */
import { parseBatchQueue, type BatchQueueSpec } from '../batch/queue.ts'
import { addQuantities, compareQuantities, parseQuantity, quantityValue, type Quantity } from '../kube/quantity.ts'
import type { Json, JsonObject } from '../model/json.ts'
import type { Problem } from '../model/problem.ts'
import type { Holds } from './holds.ts'
import type { Fleet, Site, Workload } from './types.ts'

type Amounts = Map<string, Quantity>

interface Queue {
  readonly workload: Workload
  readonly spec: BatchQueueSpec
}

export function holdGuarantees(fleet: Fleet, targets: ReadonlyMap<string, readonly string[]>, holds: Holds): void {
  const queues = [...fleet.workloads.values()].flatMap((workload): readonly Queue[] => {
    const parsed = workload.document?.['kind'] === 'BatchQueue' ? parseBatchQueue(workload.document) : undefined
    return parsed?.ok === true && Object.keys(parsed.value.guarantee).length > 0
      ? [{ workload, spec: parsed.value }]
      : []
  })
  if (queues.length === 0) return
  const short = new Map<string, { readonly queue: Queue; readonly says: string; readonly sites: string[] }>()
  for (const site of fleet.sites.values()) {
    if (site.nodes === undefined || site.nodes.length === 0) continue
    const here = queues.filter(({ workload }) => targets.get(workload.name)?.includes(site.name) === true)
    for (const { queue, says } of shortAt(site, here)) {
      const key = `${queue.workload.name} ${says}`
      const known = short.get(key)
      if (known === undefined) short.set(key, { queue, says, sites: [site.name] })
      else known.sites.push(site.name)
    }
  }
  for (const { queue, says, sites } of short.values()) holds.hold(queue.workload.name, sites, problemOf(queue, says))
}

/** A queue under another shares what its parent is promised. */
function shortAt(site: Site, queues: readonly Queue[]): readonly { readonly queue: Queue; readonly says: string }[] {
  const names = new Set(queues.map(({ spec }) => spec.name))
  const top = queues.filter(({ spec }) => spec.parent === null || !names.has(spec.parent))
  const has = totalOf((site.nodes ?? []).map(({ capacity }) => capacity))
  const promised = totalOf(top.map(({ spec }) => spec.guarantee as JsonObject))
  const none = parseQuantity(0)
  return [...promised].flatMap(([resource, amount]) => {
    const most = has.get(resource) ?? (none.ok ? none.quantity : amount)
    if (compareQuantities(amount, most) <= 0) return []
    const says = `${resource} ${quantityValue(amount)} is promised, the nodes have ${quantityValue(most)}`
    return top.filter(({ spec }) => Object.hasOwn(spec.guarantee, resource)).map((queue) => ({ queue, says }))
  })
}

function totalOf(lists: readonly JsonObject[]): Amounts {
  const total: Amounts = new Map()
  for (const list of lists)
    for (const [resource, amount] of Object.entries(list)) {
      const quantity = quantityOf(amount)
      const known = total.get(resource)
      if (quantity !== undefined) total.set(resource, known === undefined ? quantity : addQuantities(known, quantity))
    }
  return total
}

function quantityOf(value: Json | undefined): Quantity | undefined {
  if (typeof value !== 'string' && typeof value !== 'number') return undefined
  const parsed = parseQuantity(value)
  return parsed.ok ? parsed.quantity : undefined
}

function problemOf({ workload, spec }: Queue, says: string): Problem {
  return {
    code: 'FLT2106',
    severity: 'error',
    place: workload.place,
    path: 'spec.guarantee',
    message: `queue ${spec.name} is promised more than its sites have: ${says}`,
    next: 'Lower the guarantees, or correct the nodes of the site.',
  }
}
