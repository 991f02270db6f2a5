/** StatefulSets: pods by number, one after the other, each with its claims. */
import type { JsonObject } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'
import { isReady } from '../pod-verbs.ts'
import { create, ownedBy, POD, remove, specOf, statusOf, templateHash, writeStatus, type Desk } from './desk.ts'
import { isAvailable, podFrom } from './replicas.ts'

const REVISION = 'controller-revision-hash'

export function reconcileStatefulSet(desk: Desk, set: Manifest): void {
  if (set.metadata.deletionTimestamp !== undefined) return
  const wanted = Number(specOf(set)['replicas'] ?? 1)
  const revision = `${set.metadata.name}-${templateHash(specOf(set)['template'])}`
  const pods = new Map(ownedBy(desk, POD, set).map((pod) => [ordinalOf(pod), pod]))
  const parallel = specOf(set)['podManagementPolicy'] === 'Parallel'
  let settled = true
  for (let i = 0; i < wanted; i++) {
    if (!settled && !parallel) break
    const pod = pods.get(i)
    if (pod === undefined) {
      makePod(desk, set, i, revision)
      settled = false
    } else if (pod.metadata.deletionTimestamp !== undefined || !isAvailable(desk, set, pod)) settled = false
  }
  const excess = [...pods.keys()].filter((i) => i >= wanted).toSorted((a, b) => b - a)
  if (settled || parallel) {
    const first = pods.get(excess[0] ?? -1)
    if (first !== undefined) remove(desk, first)
    else update(desk, set, pods, wanted, revision, settled)
  } else replaceBroken(desk, pods, wanted, revision)
  report(desk, set, wanted, revision)
}

function ordinalOf(pod: Manifest): number {
  return Number(pod.metadata.name.slice(pod.metadata.name.lastIndexOf('-') + 1))
}

/** Highest number first, one at a time, down to the partition. */
function update(
  desk: Desk,
  set: Manifest,
  pods: ReadonlyMap<number, Manifest>,
  wanted: number,
  revision: string,
  settled: boolean,
): void {
  const strategy = (specOf(set)['updateStrategy'] ?? {}) as JsonObject
  if (strategy['type'] === 'OnDelete' || !settled) return
  const partition = Number(((strategy['rollingUpdate'] ?? {}) as JsonObject)['partition'] ?? 0)
  for (let i = wanted - 1; i >= partition; i--) {
    const pod = pods.get(i)
    if (pod === undefined || pod.metadata.labels?.[REVISION] === revision) continue
    remove(desk, pod)
    return
  }
}

/** A pod of an old revision that never got ready makes way; waiting for it would wait for ever. */
function replaceBroken(desk: Desk, pods: ReadonlyMap<number, Manifest>, wanted: number, revision: string): void {
  for (let i = wanted - 1; i >= 0; i--) {
    const pod = pods.get(i)
    if (pod === undefined || pod.metadata.deletionTimestamp !== undefined || isReady(pod)) continue
    if (pod.metadata.labels?.[REVISION] !== revision) remove(desk, pod)
    return
  }
}

function makePod(desk: Desk, set: Manifest, ordinal: number, revision: string): void {
  const name = `${set.metadata.name}-${ordinal}`
  const volumes: JsonObject[] = []
  for (const template of (specOf(set)['volumeClaimTemplates'] ?? []) as readonly JsonObject[]) {
    const metadata = template['metadata'] as JsonObject
    const claim = `${metadata['name'] as string}-${name}`
    create(desk, {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: {
        name: claim,
        namespace: set.metadata.namespace,
        labels: { ...(metadata['labels'] as JsonObject | undefined) },
      },
      spec: template['spec'],
    })
    volumes.push({ name: metadata['name'], persistentVolumeClaim: { claimName: claim } })
  }
  const given = ((specOf(set)['template'] as JsonObject)['spec'] as JsonObject)['volumes'] as
    | readonly JsonObject[]
    | undefined
  const labels = {
    [REVISION]: revision,
    'statefulset.kubernetes.io/pod-name': name,
    'apps.kubernetes.io/pod-index': String(ordinal),
  }
  create(desk, podFrom(set, name, labels, volumes.length === 0 ? {} : { volumes: [...(given ?? []), ...volumes] }))
}

function report(desk: Desk, set: Manifest, wanted: number, revision: string): void {
  const pods = ownedBy(desk, POD, set).filter((pod) => pod.metadata.deletionTimestamp === undefined)
  const updated = pods.filter((pod) => pod.metadata.labels?.[REVISION] === revision).length
  const before = statusOf(set)
  const done = updated === wanted && pods.length === wanted && pods.every((pod) => isReady(pod))
  const current = done ? revision : ((before['currentRevision'] as string | undefined) ?? revision)
  writeStatus(desk, set, {
    observedGeneration: set.metadata.generation ?? 1,
    replicas: pods.length,
    readyReplicas: pods.filter((pod) => isReady(pod)).length,
    availableReplicas: pods.filter((pod) => isAvailable(desk, set, pod)).length,
    currentReplicas: pods.filter((pod) => pod.metadata.labels?.[REVISION] === current).length,
    updatedReplicas: updated,
    currentRevision: current,
    updateRevision: revision,
    collisionCount: 0,
  })
}
