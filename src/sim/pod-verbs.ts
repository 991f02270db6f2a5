/** Endpoints of pods that are verbs: binding and eviction. */
import { selectorMatches, toSelector } from '../core/kube/selector.ts'
import { Fault } from '../core/model/fault.ts'
import { isObject, type Json, type JsonObject } from '../core/model/json.ts'
import type { Manifest, ObjectRef } from '../core/model/object.ts'
import type { LabelSelector } from '../core/model/selector.ts'
import { idOf, type ApiServer } from './api-server.ts'

const POD = { apiVersion: 'v1', kind: 'Pod' }

function mustGetPod(server: ApiServer, ref: ObjectRef): Manifest {
  const pod = server.storage.get('/Pod', idOf(ref.namespace, ref.name))
  if (pod === undefined)
    throw new Fault('NotFound', `pods "${ref.name}" not found`, { facts: { name: ref.name, status: 404 } })
  return pod
}

/** Fault Conflict where another node has it already. */
export function bindPod(server: ApiServer, ref: ObjectRef, body: Json): JsonObject {
  const pod = mustGetPod(server, ref)
  const target = isObject(body) && isObject(body['target']) ? body['target']['name'] : undefined
  if (typeof target !== 'string' || target === '')
    throw new Fault('Rejected', 'Binding is invalid: target.name: Required value', {
      facts: { field: 'target.name', status: 422 },
    })
  const spec = pod['spec'] as JsonObject
  if (spec['nodeName'] !== undefined)
    throw new Fault('Conflict', `pod ${ref.name} is already assigned to node "${spec['nodeName'] as string}"`, {
      facts: { status: 409 },
    })
  if (pod.metadata.deletionTimestamp !== undefined)
    throw new Fault('Conflict', `pod ${ref.name} is being deleted, cannot be assigned to a host`, {
      facts: { status: 409 },
    })
  const status = (pod['status'] ?? {}) as JsonObject
  const scheduled = { type: 'PodScheduled', status: 'True', lastProbeTime: null, lastTransitionTime: server.now() }
  const conditions = ((status['conditions'] ?? []) as readonly JsonObject[]).filter((c) => c['type'] !== 'PodScheduled')
  server.storage.put('/Pod', idOf(ref.namespace, ref.name), {
    ...pod,
    spec: { ...spec, nodeName: target },
    status: { ...status, conditions: [...conditions, scheduled] },
  })
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 }
}

/** Marks the pod as a disruption's target and deletes it. Faults: Throttled where a disruption budget has nothing left, Conflict for another UID. */
export function evictPod(server: ApiServer, ref: ObjectRef, body: Json): JsonObject {
  const pod = mustGetPod(server, ref)
  const options = isObject(body) && isObject(body['deleteOptions']) ? body['deleteOptions'] : {}
  for (const budget of server.storage.all('policy/PodDisruptionBudget', ref.namespace)) {
    if (!selects(budget, pod) || disruptionsAllowed(server, budget) > 0) continue
    throw new Fault('Throttled', "Cannot evict pod as it would violate the pod's disruption budget.", {
      facts: { cause: 'DisruptionBudget', budget: budget.metadata.name, status: 429 },
    })
  }
  const wanted = isObject(options['preconditions']) ? options['preconditions']['uid'] : undefined
  if (wanted !== undefined && wanted !== pod.metadata.uid)
    throw new Fault('Conflict', `pod ${ref.name} has another UID than the precondition`, {
      facts: { precondition: 'uid', status: 409 },
    })
  markDisrupted(server, ref, pod)
  const grace = options['gracePeriodSeconds']
  server.delete(
    server.kinds.resolve(POD),
    ref.namespace,
    ref.name,
    typeof grace === 'number' ? { gracePeriodSeconds: grace } : {},
  )
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 }
}

function markDisrupted(server: ApiServer, ref: ObjectRef, pod: Manifest): void {
  const status = (pod['status'] ?? {}) as JsonObject
  const target = {
    type: 'DisruptionTarget',
    status: 'True',
    reason: 'EvictionByEvictionAPI',
    message: 'Eviction API: evicting',
    lastTransitionTime: server.now(),
  }
  const conditions = ((status['conditions'] ?? []) as readonly JsonObject[]).filter((c) => c['type'] !== target.type)
  server.storage.put('/Pod', idOf(ref.namespace, ref.name), {
    ...pod,
    status: { ...status, conditions: [...conditions, target] },
  })
}

function selects(budget: Manifest, pod: Manifest): boolean {
  const spec = budget['spec'] as JsonObject | undefined
  return selectorMatches(toSelectorOrNothing(spec?.['selector']), pod.metadata.labels ?? {})
}

function toSelectorOrNothing(selector: Json | undefined): Parameters<typeof selectorMatches>[0] {
  const parsed = toSelector(selector as LabelSelector | undefined)
  return parsed.ok ? parsed.selector : { selects: 'nothing' }
}

/** The pods of a disruption budget: how many there are, are healthy, and have to be. */
export function budgetOf(
  server: ApiServer,
  budget: Manifest,
): { readonly expectedPods: number; readonly currentHealthy: number; readonly desiredHealthy: number } {
  const pods = server.storage.all('/Pod', budget.metadata.namespace).filter((pod) => selects(budget, pod))
  const currentHealthy = pods.filter((pod) => pod.metadata.deletionTimestamp === undefined && isReady(pod)).length
  const spec = (budget['spec'] ?? {}) as JsonObject
  const desiredHealthy =
    spec['maxUnavailable'] === undefined
      ? amount(spec['minAvailable'] ?? 1, pods.length)
      : Math.max(0, pods.length - amount(spec['maxUnavailable'], pods.length))
  return { expectedPods: pods.length, currentHealthy, desiredHealthy }
}

function disruptionsAllowed(server: ApiServer, budget: Manifest): number {
  const { currentHealthy, desiredHealthy } = budgetOf(server, budget)
  return currentHealthy - desiredHealthy
}

/** A count or a share, rounded up. */
export function amount(value: Json | undefined, of: number): number {
  if (typeof value === 'number') return value
  return typeof value === 'string' ? Math.ceil((Number.parseFloat(value) / 100) * of) : 0
}

export function isReady(pod: Manifest): boolean {
  const conditions = ((pod['status'] as JsonObject | undefined)?.['conditions'] ?? []) as readonly JsonObject[]
  return conditions.some((condition) => condition['type'] === 'Ready' && condition['status'] === 'True')
}
