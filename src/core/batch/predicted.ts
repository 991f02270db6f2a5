/** What is asked of a site's scheduler before it is done: the pods that a document would bring, and the job they belong to. */
import { isObject, type Json, type JsonObject } from '../model/json.ts'
import { parseCronBatchJob, runSpec } from './cron.ts'
import { listOf, objectOf, type Parsed, textOf } from './fields.ts'
import { schedulerJob, type SchedulerJob } from './gang.ts'
import { podManifest } from './manifests.ts'
import { parseBatchJob } from './parse.ts'
import { podName } from './pods.ts'
import { beginJob, placesOf } from './record.ts'
import { type BatchJobSpec, POD_LABELS } from './types.ts'

export interface Asked {
  /** `BatchJob shop/train`. */
  readonly subject: string
  readonly pods: readonly JsonObject[]
  readonly job?: SchedulerJob
  /** Of a batch job: what its queue has to say. */
  readonly spec?: BatchJobSpec
}

/** Replicas of what Kubernetes has pod templates in. */
const REPLICAS: Readonly<Record<string, string>> = {
  Deployment: 'replicas',
  ReplicaSet: 'replicas',
  StatefulSet: 'replicas',
  Job: 'parallelism',
}
const MOST_PODS = 10_000
const SCHEDULER = 'flotilla'

/** undefined: it brings no pods of its own. */
export function askedPods(document: JsonObject, nowMs: number): Parsed<Asked | undefined> {
  const kind = textOf(document['kind']) ?? ''
  const { name, namespace } = placeOf(document)
  const subject = `${kind} ${namespace}/${name}`
  if (kind === 'BatchJob') return ofJob(parseBatchJob(document), kind, nowMs)
  if (kind === 'CronBatchJob') {
    const cron = parseCronBatchJob(document)
    return cron.ok ? ofJob(runSpec(cron.value, { name, dueMs: nowMs, startMs: nowMs }), kind, nowMs) : cron
  }
  if (kind === 'Pod') return { ok: true, value: { subject, pods: [ours(document, name, namespace, nowMs)] } }
  const field = Object.hasOwn(REPLICAS, kind) ? REPLICAS[kind] : undefined
  const spec = objectOf(document['spec'])
  const template = spec['template']
  if (field === undefined || !isObject(template)) return { ok: true, value: undefined }
  const count = typeof spec[field] === 'number' ? spec[field] : 1
  if (!Number.isInteger(count) || count < 0 || count > MOST_PODS)
    return { ok: false, refused: [{ path: `spec.${field}`, because: `must be between 0 and ${MOST_PODS}` }] }
  const pods = Array.from({ length: count }, (_, i) => ours(template, `${name}-${i}`, namespace, nowMs))
  return { ok: true, value: { subject, pods } }
}

function ofJob(parsed: Parsed<BatchJobSpec>, kind: string, nowMs: number): Parsed<Asked> {
  if (!parsed.ok) return parsed
  const spec = parsed.value
  const record = beginJob(spec, { uid: 'predicted', createdMs: nowMs, timeZone: 'UTC' })
  const pods = placesOf(spec)
    .slice(0, spec.array?.maxParallel ?? MOST_PODS)
    .filter(({ task }) => task.dependsOn === null)
    .map(({ task, index }) => {
      const name = podName(spec.name, task.name, index)
      const pod = podManifest(spec, record, { name, task: task.name, index, version: 1 })
      return ours(pod, name, spec.namespace, nowMs)
    })
  const subject = `${kind} ${spec.namespace}/${spec.name}`
  return { ok: true, value: { subject, pods, job: schedulerJob(spec, record), spec } }
}

/** Is this pod of what the document replaces? A batch job that is there goes before the one of its name begins. */
export function isReplaced(document: JsonObject, pod: JsonObject): boolean {
  const kind = textOf(document['kind']) ?? ''
  const { name, namespace } = placeOf(document)
  const metadata = objectOf(pod['metadata'])
  const labels = objectOf(metadata['labels'])
  const home = textOf(metadata['namespace']) ?? 'default'
  if (kind === 'BatchJob')
    return home === (textOf(objectOf(document['spec'])['namespace']) ?? 'default') && labels[POD_LABELS.job] === name
  if (home !== namespace) return false
  const owners = listOf(metadata['ownerReferences']).map(objectOf)
  const owns = (ownerKind: string, owner: string): boolean =>
    owners.some((one) => one['kind'] === ownerKind && one['name'] === owner)
  const hash = textOf(labels['pod-template-hash'])
  return kind === 'Deployment'
    ? hash !== undefined && owns('ReplicaSet', `${name}-${hash}`)
    : Object.hasOwn(REPLICAS, kind) && owns(kind, name)
}

function placeOf(document: JsonObject): { readonly name: string; readonly namespace: string } {
  const metadata = objectOf(document['metadata'])
  return { name: textOf(metadata['name']) ?? '', namespace: textOf(metadata['namespace']) ?? 'default' }
}

/** As the API server would have it, for our scheduler to place. */
function ours(from: JsonObject, name: string, namespace: string, nowMs: number): JsonObject {
  const metadata: Json = {
    ...objectOf(from['metadata']),
    name,
    namespace,
    uid: `predicted-${name}`,
    creationTimestamp: new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z'),
  }
  const { nodeName: _placed, ...spec } = objectOf(from['spec'])
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata,
    spec: { ...spec, schedulerName: SCHEDULER },
    status: { phase: 'Pending' },
  }
}
