/** Pods as Kubernetes gives them, read into records. Nothing a user can write throws here; what is wrong becomes the pod's problem. */
import type { JsonObject } from '../model/json.ts'
import { JOB_ANNOTATIONS, PREEMPTABLE_ANNOTATIONS, QUEUE_ANNOTATIONS, ROLE_ANNOTATIONS } from './ledger.ts'
import { objectAt, textAt, textsByKey, timeAt } from './object.ts'
import { specSignature } from './signature.ts'
import { BOUND, FAILED, PENDING, RELEASING, RUNNING, SUCCEEDED } from './status.ts'

/** Kept for as long as the pod is here: what the columns do not hold of it. */
export interface PodRecord {
  /** Until it was compiled. */
  pod: JsonObject | null
  /** Ours to place. */
  ours: boolean
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly signature: string
  /** '' while it is on none. */
  readonly node: string
  nominated: string
  readonly status: number
  readonly schedulerName: string
  /** Name of its job in its namespace, or null where it names none. */
  readonly job: string | null
  /** Groups pods that name no job: their controller, or themselves. */
  readonly owner: string
  readonly queue: string
  readonly role: string
  readonly preemptable: boolean
  readonly createdMs: number
  readonly startedMs: number
}

export const DEFAULT_NAMESPACE = 'default'
const NO_LABELS: Readonly<Record<string, string>> = Object.freeze({})

export function readPod(pod: JsonObject): PodRecord {
  const metadata = objectAt(pod, 'metadata')
  const spec = objectAt(pod, 'spec')
  const status = objectAt(pod, 'status')
  const annotations = metadata['annotations'] === undefined ? NO_LABELS : textsByKey(metadata, 'annotations')
  const labels = metadata['labels'] === undefined ? NO_LABELS : textsByKey(metadata, 'labels')
  const node = textAt(spec, 'nodeName')
  const name = textAt(metadata, 'name')
  const namespace = textAt(metadata, 'namespace') || DEFAULT_NAMESPACE
  return {
    pod,
    ours: false,
    namespace,
    name,
    uid: textAt(metadata, 'uid') || `${namespace}/${name}`,
    labels,
    annotations,
    signature: specSignature(pod),
    node,
    nominated: textAt(status, 'nominatedNodeName'),
    status: statusOf(textAt(status, 'phase'), node, metadata['deletionTimestamp'] !== undefined),
    schedulerName: textAt(spec, 'schedulerName'),
    job: firstOf(annotations, JOB_ANNOTATIONS) ?? labels[JOB_ANNOTATIONS[0]] ?? null,
    owner: ownerOf(metadata) ?? name,
    queue: firstOf(annotations, QUEUE_ANNOTATIONS) ?? labels[QUEUE_ANNOTATIONS[0]] ?? '',
    role: firstOf(annotations, ROLE_ANNOTATIONS) ?? firstOf(labels, ROLE_ANNOTATIONS) ?? '',
    preemptable:
      (firstOf(annotations, PREEMPTABLE_ANNOTATIONS) ?? firstOf(labels, PREEMPTABLE_ANNOTATIONS) ?? 'true') !== 'false',
    createdMs: timeAt(metadata, 'creationTimestamp', 0),
    startedMs: timeAt(status, 'startTime', 0),
  }
}

function statusOf(phase: string, node: string, leaving: boolean): number {
  if (phase === 'Succeeded') return SUCCEEDED
  if (phase === 'Failed') return FAILED
  // A pod that is leaving before it ever had a node needs none.
  if (leaving) return node === '' ? FAILED : RELEASING
  if (node === '') return PENDING
  return phase === 'Running' ? RUNNING : BOUND
}

function firstOf(map: Readonly<Record<string, string>>, keys: readonly string[]): string | undefined {
  if (map === NO_LABELS) return undefined
  for (const key of keys) {
    const value = map[key]
    if (typeof value === 'string') return value
  }
  return undefined
}

function ownerOf(metadata: JsonObject): string | undefined {
  const owners = metadata['ownerReferences']
  if (!Array.isArray(owners)) return undefined
  for (const owner of owners as readonly JsonObject[]) {
    const uid = owner?.['uid']
    if (owner?.['controller'] === true && typeof uid === 'string') return uid
  }
  return undefined
}
