/** What a change would do here, by the very core that places pods at this site, on the cluster as it is read now. */
import { askedPods } from '../../core/batch/predicted.ts'
import { POD_LABELS } from '../../core/batch/types.ts'
import type { PredictedView } from '../../core/batch/view.ts'
import type { Cluster, ListQuery } from '../../core/kube/cluster.ts'
import { Fault } from '../../core/model/fault.ts'
import { isObject, type JsonObject } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'
import { predictOn } from '../../core/scheduler/predict.ts'
import { createScheduler, type LiveScheduler } from '../../core/scheduler/scheduler.ts'
import type { ObjectKind, Prediction } from '../../core/scheduler/types.ts'
import { NODES, PODS, SURROUNDINGS } from '../scheduling/kinds.ts'
import { wordsOf } from '../scheduling/words.ts'
import type { BatchSource } from './ports.ts'

export interface PredictPorts {
  readonly cluster: Cluster
  readonly batch: BatchSource
  readonly site: string
  readonly nowMs: number
}

/** Each document by itself. Faults InvalidInput, and those of the cluster. */
export async function predictHere(
  ports: PredictPorts,
  documents: readonly JsonObject[],
  signal: AbortSignal,
): Promise<readonly PredictedView[]> {
  const asked = documents.flatMap((document) => {
    const read = askedPods(document, ports.nowMs)
    if (!read.ok)
      throw new Fault('InvalidInput', read.refused.map(({ path, because }) => `${path} ${because}`).join('; '))
    return read.value === undefined ? [] : [read.value]
  })
  const { scheduler, nodes } = await sceneOf(ports, signal)
  const views: PredictedView[] = []
  for (const { subject, pods, job } of asked) {
    const change = { pods: await asAdmitted(pods, ports.cluster, signal), ...(job === undefined ? {} : { job }) }
    views.push(viewOf(ports.site, subject, predictOn(scheduler, change, ports.nowMs), nodes))
  }
  return views
}

/** With what the API server would add (tolerations, priorities, limits): one pod of each task is made there for show. */
async function asAdmitted(
  pods: readonly JsonObject[],
  cluster: Cluster,
  signal: AbortSignal,
): Promise<readonly JsonObject[]> {
  const specs = new Map<string, JsonObject | undefined>()
  const admitted: JsonObject[] = []
  for (const pod of pods as readonly Manifest[]) {
    const task = pod.metadata.labels?.[POD_LABELS.task] ?? ''
    if (!specs.has(task)) specs.set(task, await specOf(pod, cluster, signal))
    admitted.push({ ...pod, ...(specs.get(task) === undefined ? {} : { spec: specs.get(task) }) })
  }
  return admitted
}

/** undefined: its namespace is not there yet, or a pod of this name is. */
async function specOf(pod: Manifest, cluster: Cluster, signal: AbortSignal): Promise<JsonObject | undefined> {
  const { uid: _uid, creationTimestamp: _at, ...metadata } = pod.metadata
  const { status: _status, ...rest } = pod
  try {
    const shown = await cluster.create({ ...rest, metadata }, { dryRun: true }, signal)
    return isObject(shown['spec']) ? shown['spec'] : undefined
  } catch (error) {
    if (error instanceof Fault && (error.reason === 'NotFound' || error.reason === 'Conflict')) return undefined
    throw error
  }
}

async function sceneOf(
  { cluster, batch, site }: PredictPorts,
  signal: AbortSignal,
): Promise<{ readonly scheduler: LiveScheduler; readonly nodes: number }> {
  const scheduler = createScheduler({ seed: site, explain: 'each', budgets: 'honour' })
  const tell = (kind: ObjectKind, items: readonly Manifest[]): void => {
    for (const set of items) scheduler.apply({ kind, set })
  }
  for (const { kind, query } of SURROUNDINGS) tell(kind, await listed(cluster, query, signal))
  const nodes = await listed(cluster, NODES.query, signal)
  tell(NODES.kind, nodes)
  for (const set of batch.queues()) scheduler.apply({ kind: 'Queue', set })
  for (const set of batch.jobs()) scheduler.apply({ kind: 'Job', set })
  tell(PODS.kind, await listed(cluster, PODS.query, signal))
  return { scheduler, nodes: nodes.length }
}

/** A kind that is not served has no objects. */
async function listed(cluster: Cluster, query: ListQuery, signal: AbortSignal): Promise<readonly Manifest[]> {
  try {
    return (await cluster.list(query, signal)).items
  } catch (error) {
    if (error instanceof Fault && error.reason === 'NoKindMatch') return []
    throw error
  }
}

function viewOf(site: string, subject: string, prediction: Prediction, nodes: number): PredictedView {
  const at = { site, subject }
  switch (prediction.fit) {
    case 'now':
      return { ...at, fit: 'now', places: placesOf(prediction.binds), evict: [], atMs: null, because: [] }
    case 'after-evicting': {
      const evict = prediction.evict.map((one) => ({ pod: `${one.namespace}/${one.name}`, node: one.node }))
      return { ...at, fit: 'after-evicting', places: placesOf(prediction.binds), evict, atMs: null, because: [] }
    }
    case 'at': {
      const { atMs, reservation } = prediction
      const places = reservation.nodes.map(({ node, pods }) => ({ pod: `${pods} pods`, node }))
      return { ...at, fit: 'at', places, evict: [], atMs, because: [] }
    }
    case 'never': {
      const because = prediction.reasons.map((waiting) => wordsOf(waiting, nodes))
      return { ...at, fit: 'never', places: [], evict: [], atMs: null, because }
    }
  }
}

function placesOf(
  binds: readonly { readonly namespace: string; readonly name: string; readonly node: string }[],
): PredictedView['places'] {
  return binds.map(({ namespace, name, node }) => ({ pod: `${namespace}/${name}`, node }))
}
