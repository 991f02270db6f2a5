/** Pods of a job: their names, what the API server shows of them, and how one that ended is to be taken. */
import { isObject, type Json, type JsonObject } from '../model/json.ts'
import { listOf, objectOf, textOf } from './fields.ts'
import { type Because, POD_ANNOTATIONS, POD_LABELS, type PodSeen } from './types.ts'

export function podName(job: string, task: string, index: number): string {
  return `${job}-${task}-${index}`
}

const PHASES = ['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown'] as const

/** Undefined for a pod that is none of a job's. */
export function readPod(pod: JsonObject): PodSeen | undefined {
  const metadata = objectOf(pod['metadata'])
  const labels = objectOf(metadata['labels'])
  const annotations = objectOf(metadata['annotations'])
  const status = objectOf(pod['status'])
  const task = textOf(labels[POD_LABELS.task])
  const index = Number(textOf(labels[POD_LABELS.index]) ?? NaN)
  const jobUid = textOf(annotations[POD_ANNOTATIONS.uid])
  const version = Number(textOf(annotations[POD_ANNOTATIONS.version]) ?? NaN)
  if (task === undefined || jobUid === undefined || !Number.isInteger(index) || !Number.isInteger(version))
    return undefined
  const containers = [...listOf(status['initContainerStatuses']), ...listOf(status['containerStatuses'])].filter(
    isObject,
  )
  const ended = containers.map((container) => objectOf(objectOf(container['state'])['terminated']))
  const failed = ended.find((end) => typeof end['exitCode'] === 'number' && end['exitCode'] !== 0)
  return {
    name: textOf(metadata['name']) ?? '',
    uid: textOf(metadata['uid']) ?? '',
    jobUid,
    task,
    index,
    version,
    phase: PHASES.find((phase) => phase === status['phase']) ?? 'Pending',
    createdMs: momentOf(metadata['creationTimestamp']) ?? 0,
    startedMs: momentOf(status['startTime']) ?? null,
    finishedMs: ended.map((end) => momentOf(end['finishedAt'])).reduce(latest, undefined) ?? null,
    terminating: metadata['deletionTimestamp'] !== undefined && metadata['deletionTimestamp'] !== null,
    node: textOf(objectOf(pod['spec'])['nodeName']) ?? '',
    nodeGone: false,
    reason: textOf(status['reason']) ?? '',
    disrupted: listOf(status['conditions']).some(
      (condition) => isObject(condition) && condition['type'] === 'DisruptionTarget' && condition['status'] === 'True',
    ),
    exitCode: typeof failed?.['exitCode'] === 'number' ? failed['exitCode'] : null,
    outOfMemory: ended.some((end) => end['reason'] === 'OOMKilled'),
    restarts: containers.reduce((sum, container) => sum + (Number(container['restartCount']) || 0), 0),
  }
}

function momentOf(value: Json | undefined): number | undefined {
  const ms = typeof value === 'string' ? Date.parse(value) : NaN
  return Number.isNaN(ms) ? undefined : ms
}

function latest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || (b !== undefined && b > a) ? b : a
}

export type PodEnd =
  | { readonly is: 'succeeded' }
  /** The kubelet would not have it; it never ran. */
  | { readonly is: 'refused'; readonly because: Because }
  /** Taken away: not the job's fault. */
  | { readonly is: 'evicted'; readonly because: Because }
  | { readonly is: 'failed'; readonly because: Because }

/** `OutOfcpu`, `OutOfnvidia.com/gpu`; not a container's OOMKilled. */
const REFUSED =
  /^(?:OutOf.+|NodeAffinity|NodePorts|UnexpectedAdmissionError|PodOSSelectorNodeLabelDoesNotMatch|PodOSNotSupported|TopologyAffinityError|AppArmor|SysctlForbidden)$/
const TAKEN_AWAY = /^(?:Evicted|Preempting|Preempted|NodeShutdown|Shutdown|Terminated|NodeLost|DeletionByTaintManager)$/

/** Of a pod that has ended; undefined while it has not. An exit code of 0 is a success also of a pod that was asked to stop. */
export function endOf(pod: PodSeen): PodEnd | undefined {
  if (pod.phase === 'Succeeded') return { is: 'succeeded' }
  if (pod.phase !== 'Failed') return undefined
  if (REFUSED.test(pod.reason) && pod.exitCode === null)
    return {
      is: 'refused',
      because: { cause: 'Evicted', says: `${pod.name} was refused by ${nodeText(pod)}: ${pod.reason}` },
    }
  if (pod.reason === 'NodeLost' || pod.nodeGone)
    return { is: 'evicted', because: { cause: 'NodeLost', says: `${pod.name} was lost with ${nodeText(pod)}` } }
  if (pod.disrupted || TAKEN_AWAY.test(pod.reason) || pod.terminating)
    return { is: 'evicted', because: { cause: 'Evicted', says: `${pod.name} was evicted from ${nodeText(pod)}` } }
  if (pod.outOfMemory)
    return { is: 'failed', because: { cause: 'OutOfMemory', says: `${pod.name} was killed: out of memory` } }
  const how =
    pod.exitCode === null
      ? pod.reason === ''
        ? 'failed'
        : `failed: ${pod.reason}`
      : `failed with exit code ${pod.exitCode}`
  return { is: 'failed', because: { cause: 'PodFailed', says: `${pod.name} ${how}` } }
}

function nodeText(pod: PodSeen): string {
  return pod.node === '' ? 'its node' : pod.node
}
