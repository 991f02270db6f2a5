/** The cluster's own scheduler: pods that wait, onto nodes where their requests fit. */
import { milliOf, parseQuantity } from '../../core/kube/quantity.ts'
import type { Json, JsonObject } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'
import { conditionsOf, POD, put, specOf, statusOf, type Desk } from './desk.ts'

export const SCHEDULER = 'Scheduler'

/** All pods that wait, oldest first, onto nodes where their requests fit. */
export function schedulePods(desk: Desk): void {
  const waiting = desk.server.storage
    .all(POD)
    .filter((pod) => specOf(pod)['nodeName'] === undefined && specOf(pod)['schedulerName'] === 'default-scheduler')
    .filter(
      (pod) =>
        pod.metadata.deletionTimestamp === undefined &&
        ((specOf(pod)['schedulingGates'] ?? []) as readonly Json[]).length === 0,
    )
  if (waiting.length === 0) return
  const nodes = desk.server.storage.all('/Node')
  const room = new Map(nodes.map((node) => [node.metadata.name, roomOf(node)]))
  for (const pod of desk.server.storage.all(POD)) {
    const node = specOf(pod)['nodeName'] as string | undefined
    const phase = statusOf(pod)['phase']
    if (node !== undefined && phase !== 'Succeeded' && phase !== 'Failed') take(room.get(node), requestsOf(pod))
  }
  const at = desk.server.now()
  for (const pod of waiting) {
    const wanted = requestsOf(pod)
    const chosen =
      desk.options.schedule?.(pod, nodes) ??
      nodes.find((node) => suits(node, pod) && fits(room.get(node.metadata.name), wanted))?.metadata.name
    if (chosen === undefined) unschedulable(desk, pod, nodes.length, at)
    else {
      take(room.get(chosen), wanted)
      const scheduled = { type: 'PodScheduled', status: 'True', lastTransitionTime: at }
      put(desk, { ...pod, spec: { ...specOf(pod), nodeName: chosen }, status: withCondition(pod, scheduled) })
    }
  }
}

function unschedulable(desk: Desk, pod: Manifest, nodes: number, at: string): void {
  if (conditionsOf(pod).some((one) => one['type'] === 'PodScheduled')) return
  const message = `0/${nodes} nodes are available: insufficient resources.`
  put(desk, {
    ...pod,
    status: withCondition(pod, {
      type: 'PodScheduled',
      status: 'False',
      reason: 'Unschedulable',
      message,
      lastTransitionTime: at,
    }),
  })
}

function suits(node: Manifest, pod: Manifest): boolean {
  if (specOf(node)['unschedulable'] === true) return false
  const wanted = (specOf(pod)['nodeSelector'] ?? {}) as Record<string, string>
  return Object.entries(wanted).every(([key, value]) => node.metadata.labels?.[key] === value)
}

type Amounts = Map<string, number>

function milli(value: Json | undefined): number {
  const parsed = parseQuantity(value as string | number)
  return parsed.ok ? (milliOf(parsed.quantity) ?? Number.MAX_SAFE_INTEGER) : 0
}

function roomOf(node: Manifest): Amounts {
  const allocatable = (statusOf(node)['allocatable'] ?? {}) as JsonObject
  return new Map(Object.entries(allocatable).map(([name, value]) => [name, milli(value)]))
}

function requestsOf(pod: Manifest): Amounts {
  const total: Amounts = new Map([['pods', 1000]])
  for (const container of (specOf(pod)['containers'] ?? []) as readonly JsonObject[]) {
    const requests = ((container['resources'] as JsonObject | undefined)?.['requests'] ?? {}) as JsonObject
    for (const [name, value] of Object.entries(requests)) total.set(name, (total.get(name) ?? 0) + milli(value))
  }
  return total
}

function fits(room: Amounts | undefined, wanted: Amounts): boolean {
  for (const [name, amount] of wanted) if (amount > 0 && (room?.get(name) ?? 0) < amount) return false
  return room !== undefined
}

function take(room: Amounts | undefined, wanted: Amounts): void {
  for (const [name, amount] of wanted) room?.set(name, (room.get(name) ?? 0) - amount)
}

function withCondition(pod: Manifest, condition: JsonObject): JsonObject {
  const others = conditionsOf(pod).filter((one) => one['type'] !== condition['type'])
  return { ...statusOf(pod), conditions: [...others, condition] }
}
