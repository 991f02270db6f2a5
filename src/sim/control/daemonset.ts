/** DaemonSets: one pod a node. */
import type { JsonObject } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'
import { amount, isReady } from '../pod-verbs.ts'
import { create, ownedBy, POD, remove, specOf, templateHash, writeStatus, type Desk } from './desk.ts'
import { isAvailable, podFrom } from './replicas.ts'

const REVISION = 'controller-revision-hash'

export function reconcileDaemonSet(desk: Desk, set: Manifest): void {
  if (set.metadata.deletionTimestamp !== undefined) return
  const template = specOf(set)['template'] as JsonObject
  const selector = ((template['spec'] as JsonObject)['nodeSelector'] ?? {}) as Record<string, string>
  const revision = templateHash(template)
  const nodes = desk.server.storage
    .all('/Node')
    .filter((node) => Object.entries(selector).every(([key, value]) => node.metadata.labels?.[key] === value))
  const byNode = new Map(ownedBy(desk, POD, set).map((pod) => [specOf(pod)['nodeName'] as string, pod]))
  for (const node of nodes) {
    const { name } = node.metadata
    if (byNode.has(name)) continue
    create(
      desk,
      podFrom(
        set,
        `${set.metadata.name}-${templateHash([name, revision]).slice(0, 5)}`,
        { [REVISION]: revision },
        { nodeName: name },
      ),
    )
  }
  const here = new Set(nodes.map((node) => node.metadata.name))
  for (const [node, pod] of byNode) if (!here.has(node)) remove(desk, pod)
  updateOld(desk, set, [...byNode.values()], nodes.length, revision)
  report(desk, set, nodes.length, revision)
}

function updateOld(desk: Desk, set: Manifest, pods: readonly Manifest[], nodes: number, revision: string): void {
  const strategy = (specOf(set)['updateStrategy'] ?? {}) as JsonObject
  if (strategy['type'] === 'OnDelete') return
  const allowed = Math.max(1, amount(((strategy['rollingUpdate'] ?? {}) as JsonObject)['maxUnavailable'] ?? 1, nodes))
  const isDown = (pod: Manifest): boolean => !isReady(pod) || pod.metadata.deletionTimestamp !== undefined
  let room = allowed - pods.filter((pod) => isDown(pod)).length - (nodes - pods.length)
  for (const pod of pods) {
    if (pod.metadata.labels?.[REVISION] === revision || pod.metadata.deletionTimestamp !== undefined) continue
    // One that is down already costs nothing to replace.
    if (isDown(pod)) remove(desk, pod)
    else if (room-- > 0) remove(desk, pod)
  }
}

function report(desk: Desk, set: Manifest, wanted: number, revision: string): void {
  const pods = ownedBy(desk, POD, set).filter((pod) => pod.metadata.deletionTimestamp === undefined)
  const available = pods.filter((pod) => isAvailable(desk, set, pod)).length
  const unavailable = wanted - available
  writeStatus(desk, set, {
    observedGeneration: set.metadata.generation ?? 1,
    desiredNumberScheduled: wanted,
    currentNumberScheduled: pods.length,
    numberMisscheduled: 0,
    numberReady: pods.filter((pod) => isReady(pod)).length,
    updatedNumberScheduled: pods.filter((pod) => pod.metadata.labels?.[REVISION] === revision).length,
    ...(available > 0 ? { numberAvailable: available } : {}),
    ...(unavailable > 0 ? { numberUnavailable: unavailable } : {}),
  })
}
