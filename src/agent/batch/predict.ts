/** What a change would do here, by the very core that places pods at this site, on the cluster as it is read now. */
import type { Parsed } from '../../core/batch/fields.ts'
import { type Asked, askedPods, isReplaced } from '../../core/batch/predicted.ts'
import { parseBatchQueue, queueGate, withQueueLimits } from '../../core/batch/queue.ts'
import { POD_LABELS } from '../../core/batch/types.ts'
import type { PredictedView } from '../../core/batch/view.ts'
import type { Cluster, ListQuery } from '../../core/kube/cluster.ts'
import { Fault } from '../../core/model/fault.ts'
import { isObject, type JsonObject } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'
import { predictNext } from '../../core/scheduler/predict.ts'
import { createScheduler, type LiveScheduler } from '../../core/scheduler/scheduler.ts'
import type { Change, ObjectKind, Prediction } from '../../core/scheduler/types.ts'
import { NODES, PODS, SURROUNDINGS } from '../scheduling/kinds.ts'
import { wordsOf } from '../scheduling/words.ts'
import type { BatchSource } from './ports.ts'
import { queueInput, type SiteQueues } from './queues.ts'

export interface PredictPorts {
  readonly cluster: Cluster
  readonly batch: BatchSource
  readonly site: string
  readonly nowMs: number
  /** The site's queues, with these documents among them. */
  queues(documents: readonly JsonObject[]): SiteQueues
}

/**
 * Documents in their order, each beside what those before it brought; queues and priority classes count for all of them. What is there
 * of the same name gives way. Faults InvalidInput, and those of the cluster.
 */
export async function predictHere(
  ports: PredictPorts,
  documents: readonly JsonObject[],
  signal: AbortSignal,
): Promise<readonly PredictedView[]> {
  const ofQueues = documents.filter(({ kind }) => kind === 'BatchQueue')
  for (const document of ofQueues) given(parseBatchQueue(document))
  const asked = documents.map((document) => ({ document, what: given(askedPods(document, ports.nowMs)) }))
  const queues = ports.queues(ofQueues)
  const { scheduler, nodes, pods } = await sceneOf(ports, queues, documents, signal)
  const views: PredictedView[] = []
  for (const { document, what } of asked) {
    if (what === undefined) continue
    const { subject, spec } = what
    const gate = spec === undefined ? undefined : queueGate(spec, queues.tree).queue
    if (gate?.open === false) {
      views.push({ ...notYet, site: ports.site, subject, because: [`${gate.wait.detail}.`] })
      continue
    }
    const remove = pods.filter((pod) => isReplaced(document, pod)).map(({ metadata: { namespace = '', name } }) => ({ namespace, name })) // prettier-ignore
    const change = { ...changeOf(what, queues), pods: await asAdmitted(what.pods, ports.cluster, signal), remove }
    views.push(viewOf(ports.site, subject, predictNext(scheduler, change, ports.nowMs), nodes))
  }
  return views
}

const notYet = { fit: 'never', places: [], evict: [], atMs: null } as const

function changeOf({ job, spec }: Asked, { tree }: SiteQueues): Pick<Change, 'job'> {
  if (job === undefined || spec === undefined) return {}
  const { timeLimitMs } = withQueueLimits(spec, tree)
  return { job: timeLimitMs === null ? job : { ...job, timeLimitMs } }
}

function given<T>(parsed: Parsed<T>): T {
  if (parsed.ok) return parsed.value
  throw new Fault('InvalidInput', parsed.refused.map(({ path, because }) => `${path} ${because}`).join('; '))
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

/** The cluster as it is now, in a scheduler of its own. */
async function sceneOf(
  { cluster, batch, site }: PredictPorts,
  { specs, tree }: SiteQueues,
  documents: readonly JsonObject[],
  signal: AbortSignal,
): Promise<{ readonly scheduler: LiveScheduler; readonly nodes: number; readonly pods: readonly Manifest[] }> {
  const scheduler = createScheduler({ seed: site, explain: 'each', budgets: 'honour' })
  const tell = (kind: ObjectKind, items: readonly JsonObject[]): void => {
    for (const set of items) scheduler.apply({ kind, set })
  }
  for (const { kind, query } of SURROUNDINGS) tell(kind, await listed(cluster, query, signal))
  tell('PriorityClass', documents.filter(({ kind }) => kind === 'PriorityClass')) // prettier-ignore
  const nodes = await listed(cluster, NODES.query, signal)
  tell(NODES.kind, nodes)
  for (const spec of specs) {
    const set = queueInput(spec, tree)
    if (set !== undefined) scheduler.apply({ kind: 'Queue', set })
  }
  for (const set of batch.jobs()) scheduler.apply({ kind: 'Job', set })
  const pods = await listed(cluster, PODS.query, signal)
  tell(PODS.kind, pods)
  return { scheduler, nodes: nodes.length, pods }
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
