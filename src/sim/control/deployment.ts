/** Deployments: rolling from one ReplicaSet to the next, and saying how far that is. */
import { jsonEqual, type Json, type JsonObject } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'
import { amount } from '../pod-verbs.ts'
import {
  agendaKey,
  condition,
  conditionsOf,
  create,
  DEPLOYMENT,
  ownedBy,
  ownerReference,
  put,
  remove,
  REPLICA_SET,
  specOf,
  statusOf,
  templateHash,
  writeStatus,
  type Desk,
} from './desk.ts'

const REVISION = 'deployment.kubernetes.io/revision'

export function reconcileDeployment(desk: Desk, deployment: Manifest): void {
  if (deployment.metadata.deletionTimestamp !== undefined) return
  const sets = ownedBy(desk, REPLICA_SET, deployment)
  const paused = specOf(deployment)['paused'] === true
  const current =
    sets.find((set) => sameTemplate(set, deployment)) ?? (paused ? undefined : makeSet(desk, deployment, sets))
  if (current === undefined && !paused) return
  if (current !== undefined && !paused)
    roll(
      desk,
      deployment,
      current,
      sets.filter((set) => set.metadata.uid !== current.metadata.uid),
    )
  const live = desk.server.storage.get(DEPLOYMENT, idOfObject(deployment))
  if (live === undefined) return
  const revision = current?.metadata.annotations?.[REVISION]
  if (revision !== undefined && live.metadata.annotations?.[REVISION] !== revision)
    put(desk, {
      ...live,
      metadata: { ...live.metadata, annotations: { ...live.metadata.annotations, [REVISION]: revision } },
    })
  reportStatus(desk, desk.server.storage.get(DEPLOYMENT, idOfObject(deployment)) as Manifest, current?.metadata.uid)
}

function idOfObject(object: Manifest): string {
  return `${object.metadata.namespace ?? ''}/${object.metadata.name}`
}

function sameTemplate(set: Manifest, deployment: Manifest): boolean {
  return set.metadata.labels?.['pod-template-hash'] === templateHash(specOf(deployment)['template'])
}

function makeSet(desk: Desk, deployment: Manifest, sets: readonly Manifest[]): Manifest | undefined {
  const spec = specOf(deployment)
  const template = spec['template'] as JsonObject
  const hash = { 'pod-template-hash': templateHash(template) }
  const metadata = (template['metadata'] ?? {}) as JsonObject
  const labels = { ...(metadata['labels'] as JsonObject | undefined), ...hash }
  const selector = spec['selector'] as JsonObject
  const revision = 1 + Math.max(0, ...sets.map((set) => Number(set.metadata.annotations?.[REVISION] ?? 0)))
  return create(desk, {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `${deployment.metadata.name}-${hash['pod-template-hash']}`,
      namespace: deployment.metadata.namespace,
      labels,
      annotations: { [REVISION]: String(revision) },
      ownerReferences: [ownerReference(deployment)],
    },
    spec: {
      replicas: 0,
      ...(spec['minReadySeconds'] === undefined ? {} : { minReadySeconds: spec['minReadySeconds'] }),
      selector: { ...selector, matchLabels: { ...(selector['matchLabels'] as JsonObject | undefined), ...hash } },
      template: { ...template, metadata: { ...metadata, labels } },
    },
  })
}

function replicasOf(set: Manifest): number {
  return Number(specOf(set)['replicas'] ?? 0)
}

function count(set: Manifest, field: string): number {
  return Number(statusOf(set)[field] ?? 0)
}

function scale(desk: Desk, set: Manifest, replicas: number): void {
  if (replicasOf(set) !== replicas)
    put(desk, {
      ...set,
      metadata: { ...set.metadata, generation: (set.metadata.generation ?? 1) + 1 },
      spec: { ...specOf(set), replicas },
    })
}

function roll(desk: Desk, deployment: Manifest, current: Manifest, old: readonly Manifest[]): void {
  const spec = specOf(deployment)
  const wanted = Number(spec['replicas'] ?? 1)
  const strategy = (spec['strategy'] ?? {}) as JsonObject
  if (strategy['type'] === 'Recreate') {
    for (const set of old) scale(desk, set, 0)
    if (old.every((set) => count(set, 'replicas') === 0)) scale(desk, current, wanted)
  } else {
    const limits = (strategy['rollingUpdate'] ?? {}) as JsonObject
    const surge = amount(limits['maxSurge'], wanted)
    // Shares of what may be missing round down; where both are nothing, one may be missing.
    const share = limits['maxUnavailable']
    const missing =
      typeof share === 'string' ? Math.floor((Number.parseFloat(share) / 100) * wanted) : amount(share, wanted)
    const maxUnavailable = surge === 0 && missing === 0 ? 1 : missing
    const total = [current, ...old].reduce((sum, set) => sum + replicasOf(set), 0)
    const room = wanted + surge - total
    if (replicasOf(current) > wanted) scale(desk, current, wanted)
    else if (room > 0) scale(desk, current, Math.min(wanted, replicasOf(current) + room))
    shrinkOld(desk, current, old, wanted - maxUnavailable)
  }
  const limit = Number(spec['revisionHistoryLimit'] ?? 10)
  const done = old.filter((set) => replicasOf(set) === 0 && count(set, 'replicas') === 0)
  const byAge = done.toSorted(
    (a, b) => Number(a.metadata.annotations?.[REVISION] ?? 0) - Number(b.metadata.annotations?.[REVISION] ?? 0),
  )
  for (const set of byAge.slice(0, Math.max(0, done.length - limit))) remove(desk, set)
}

/** Unhealthy pods of old sets go first, then healthy ones as far as enough stay available. */
function shrinkOld(desk: Desk, current: Manifest, old: readonly Manifest[], minAvailable: number): void {
  const total = [current, ...old].reduce((sum, set) => sum + replicasOf(set), 0)
  const newMissing = Math.max(0, replicasOf(current) - count(current, 'availableReplicas'))
  let budget = total - minAvailable - newMissing
  const left = new Map(old.map((set) => [set, replicasOf(set)]))
  for (const set of old) {
    const broken = Math.min(Math.max(0, replicasOf(set) - count(set, 'availableReplicas')), Math.max(0, budget))
    left.set(set, replicasOf(set) - broken)
    budget -= broken
  }
  let spare = [current, ...old].reduce((sum, set) => sum + count(set, 'availableReplicas'), 0) - minAvailable
  for (const set of old) {
    const down = Math.min(left.get(set) ?? 0, Math.max(0, spare), Math.max(0, budget))
    left.set(set, (left.get(set) ?? 0) - down)
    spare -= down
    budget -= down
  }
  for (const [set, replicas] of left) scale(desk, set, replicas)
}

function reportStatus(desk: Desk, deployment: Manifest, currentUid: string | undefined): void {
  const sets = ownedBy(desk, REPLICA_SET, deployment)
  const current = sets.find((set) => set.metadata.uid === currentUid)
  const sum = (field: string): number => sets.reduce((total, set) => total + count(set, field), 0)
  const wanted = Number(specOf(deployment)['replicas'] ?? 1)
  const [replicas, ready, available] = [sum('replicas'), sum('readyReplicas'), sum('availableReplicas')]
  const updated = current === undefined ? 0 : count(current, 'replicas')
  const strategy = (specOf(deployment)['strategy'] ?? {}) as JsonObject
  const share = ((strategy['rollingUpdate'] ?? {}) as JsonObject)['maxUnavailable']
  const tolerated =
    typeof share === 'string' ? Math.floor((Number.parseFloat(share) / 100) * wanted) : amount(share, wanted)
  const unavailable = Math.max(0, Math.max(wanted, replicas) - available)
  const counts: Record<string, number> = {
    replicas,
    updatedReplicas: updated,
    readyReplicas: ready,
    availableReplicas: available,
    unavailableReplicas: unavailable,
  }
  const complete = updated === wanted && replicas === wanted && available === wanted
  const before = statusOf(deployment)
  const moved = ['replicas', 'updatedReplicas', 'readyReplicas', 'availableReplicas'].some(
    (field) => Number(before[field] ?? 0) !== counts[field],
  )
  const conditions = [
    availability(desk, deployment, available >= wanted - tolerated),
    progress(
      desk,
      deployment,
      current === undefined ? `Deployment "${deployment.metadata.name}"` : `ReplicaSet "${current.metadata.name}"`,
      complete,
      moved || Number(before['observedGeneration'] ?? 0) !== deployment.metadata.generation,
    ),
  ]
  const status: Record<string, Json> = { observedGeneration: deployment.metadata.generation ?? 1, conditions }
  for (const [field, value] of Object.entries(counts)) if (value > 0) status[field] = value
  writeStatus(desk, deployment, status)
}

function availability(desk: Desk, deployment: Manifest, enough: boolean): JsonObject {
  return stamped(desk, deployment, {
    type: 'Available',
    status: enough ? 'True' : 'False',
    reason: enough ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable',
    message: enough ? 'Deployment has minimum availability.' : 'Deployment does not have minimum availability.',
  })
}

function progress(desk: Desk, deployment: Manifest, current: string, complete: boolean, moved: boolean): JsonObject {
  const before = condition(deployment, 'Progressing')
  if (complete)
    return stamped(desk, deployment, {
      type: 'Progressing',
      status: 'True',
      reason: 'NewReplicaSetAvailable',
      message: `${current} has successfully progressed.`,
    })
  const deadlineMs = Number(specOf(deployment)['progressDeadlineSeconds'] ?? 600) * 1000
  if (!moved && before !== undefined) {
    const idleMs = desk.wallMs() - Date.parse(before['lastUpdateTime'] as string)
    if (
      before['reason'] === 'ProgressDeadlineExceeded' ||
      (idleMs >= deadlineMs && before['reason'] !== 'NewReplicaSetAvailable')
    )
      return stamped(desk, deployment, {
        type: 'Progressing',
        status: 'False',
        reason: 'ProgressDeadlineExceeded',
        message: `${current} has timed out progressing.`,
      })
    desk.later(agendaKey(DEPLOYMENT, deployment), Math.max(1000, deadlineMs - idleMs))
    // A pod that was lost after a rollout ended is no new rollout.
    if (before['reason'] === 'NewReplicaSetAvailable' || before['status'] === 'True') return before
  }
  desk.later(agendaKey(DEPLOYMENT, deployment), deadlineMs)
  return stamped(
    desk,
    deployment,
    {
      type: 'Progressing',
      status: 'True',
      reason: 'ReplicaSetUpdated',
      message: `${current} is progressing.`,
    },
    'moved',
  )
}

/** Transition time moves with the status, update time with anything. */
function stamped(desk: Desk, deployment: Manifest, next: JsonObject, moved?: 'moved'): JsonObject {
  const before = conditionsOf(deployment).find((one) => one['type'] === next['type'])
  const at = desk.server.now()
  const { lastUpdateTime: _, lastTransitionTime, ...rest } = before ?? {}
  if (before !== undefined && moved === undefined && jsonEqual(rest, next)) return before
  const transition = before?.['status'] === next['status'] ? lastTransitionTime : at
  return { ...next, lastUpdateTime: at, lastTransitionTime: transition ?? at }
}
