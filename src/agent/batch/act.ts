/** Makes and deletes what a step decided, after it was written down. What is already there, or already gone, is no error. */
import { jobObjects, podManifest } from '../../core/batch/manifests.ts'
import { POD_ANNOTATIONS, POD_LABELS, type PodDelete, type PodPlan } from '../../core/batch/types.ts'
import type { Cluster } from '../../core/kube/cluster.ts'
import { asFault, Fault } from '../../core/model/fault.ts'
import { isObject } from '../../core/model/json.ts'
import { refOf, type Manifest, type ObjectRef } from '../../core/model/object.ts'
import { nextBackoffMs } from '../../runtime/backoff.ts'
import type { JobAct } from './jobs.ts'
import type { JobRow } from './journal.ts'

const PARALLEL = 8
/** A refusal stands until the job changes; the world may change too, so it is asked again now and then. */
const REFUSED_RETRY_MS = 600_000
const MANAGER = { fieldManager: 'flotilla-batch' }
const POD = { apiVersion: 'v1', kind: 'Pod' }

/** Why nothing is made for a job for now. */
export interface Trouble {
  readonly fault: Fault
  readonly waitMs: number
  readonly untilMs: number
  /** Of the document that it is about: another one is tried at once. */
  readonly digest: string
}

export interface ActPorts {
  readonly cluster: Cluster
  random(): number
  monotonicMs(): number
  /** A pod as the server answered it. */
  saw(pod: Manifest): void
}

export type Acted = { readonly is: 'done' } | { readonly is: 'troubled'; readonly trouble: Trouble }

/** `before`: what stood in the way the last time. Only a cancellation is thrown. */
export async function actOn(
  act: JobAct,
  before: Trouble | undefined,
  ports: ActPorts,
  signal: AbortSignal,
): Promise<Acted> {
  const { digest } = act.row
  const same = before?.digest === digest ? before : undefined
  try {
    await inParallel(act.delete, (pod) => removePod(act, pod, ports, signal))
    if (act.clean) await clean(act, ports, signal)
    if (act.create.length > 0 && (same === undefined || same.untilMs <= ports.monotonicMs())) {
      await provide(act, ports, signal)
      await inParallel(act.create, (plan) => makePod(act, plan, ports, signal))
    }
    return same !== undefined && act.create.length > 0 && same.untilMs > ports.monotonicMs()
      ? { is: 'troubled', trouble: same }
      : { is: 'done' }
  } catch (error) {
    if (signal.aborted) throw error
    const fault = asFault(error)
    const waitMs =
      fault.retry === 'on-change'
        ? REFUSED_RETRY_MS
        : nextBackoffMs(same?.waitMs ?? 0, ports.random(), fault.retryAfterMs)
    return { is: 'troubled', trouble: { fault, waitMs, untilMs: ports.monotonicMs() + waitMs, digest } }
  }
}

/** All are tried; the first that failed is thrown. */
async function inParallel<T>(items: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
  let next = 0
  let failed: { readonly error: unknown } | undefined
  const worker = async (): Promise<void> => {
    for (let item = items[next++]; item !== undefined && failed === undefined; item = items[next++]) {
      try {
        await run(item)
      } catch (error) {
        failed ??= { error }
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(PARALLEL, items.length) }, worker))
  if (failed !== undefined) throw failed.error
}

/** A team's jobs have the rights of its account and no more. */
function actingFor({ account }: JobRow, { cluster }: ActPorts): Cluster {
  if (account === '') return cluster
  const [namespace = '', name = ''] = account.split('/', 2)
  return cluster.as({
    user: `system:serviceaccount:${namespace}:${name}`,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
  })
}

async function removePod({ row }: JobAct, pod: PodDelete, ports: ActPorts, signal: AbortSignal): Promise<void> {
  const cluster = actingFor(row, ports)
  const ref = { group: '', kind: 'Pod', namespace: row.record.namespace, name: pod.name }
  const grace = pod.how === 'force' ? { gracePeriodSeconds: 0 } : {}
  try {
    await cluster.delete(POD, ref, { uid: pod.uid, propagation: 'Background', ...grace }, signal)
  } catch (error) {
    // Another pod of this name: the one that was meant is gone.
    if (!isFault(error, 'Conflict')) throw error
  }
}

async function makePod(act: JobAct, plan: PodPlan, ports: ActPorts, signal: AbortSignal): Promise<void> {
  const manifest = podManifest(act.spec, act.row.record, plan)
  const there = await make(manifest, actingFor(act.row, ports), ports, signal)
  if (annotation(there, POD_ANNOTATIONS.uid) !== act.row.record.uid) throw taken(refOf(manifest))
  ports.saw(there)
}

/** The object as it is after: ours, or what already stood there. */
async function make(manifest: Manifest, cluster: Cluster, ports: ActPorts, signal: AbortSignal): Promise<Manifest> {
  try {
    return await cluster.create(manifest, MANAGER, signal)
  } catch (error) {
    if (isFault(error, 'NotFound')) {
      await makeNamespace(manifest.metadata.namespace ?? '', ports.cluster, signal)
      return cluster.create(manifest, MANAGER, signal)
    }
    if (!isFault(error, 'Conflict')) throw error
    const there = await cluster.get(manifest, refOf(manifest), signal)
    // Gone again meanwhile: the next turn makes it.
    if (there === undefined) throw error
    return there
  }
}

/** By need, and never deleted for it: the site's own doing, whosever the job is. */
async function makeNamespace(name: string, cluster: Cluster, signal: AbortSignal): Promise<void> {
  try {
    await cluster.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }, MANAGER, signal)
  } catch (error) {
    if (!isFault(error, 'Conflict')) throw error
  }
}

/** The Service and the list of hosts stand before the first pod. Those of an earlier job of the name give way. */
async function provide({ spec, row }: JobAct, ports: ActPorts, signal: AbortSignal): Promise<void> {
  const cluster = actingFor(row, ports)
  for (const object of jobObjects(spec, row.record)) {
    const there = await make(object, cluster, ports, signal)
    if (annotation(there, POD_ANNOTATIONS.uid) === row.record.uid) continue
    if (!isOfJob(there, row.record.name)) throw taken(refOf(object))
    await drop(there, cluster, signal)
    await make(object, cluster, ports, signal)
  }
}

async function clean({ spec, row }: JobAct, ports: ActPorts, signal: AbortSignal): Promise<void> {
  const cluster = actingFor(row, ports)
  for (const object of jobObjects(spec, row.record)) {
    const there = await cluster.get(object, refOf(object), signal)
    if (there !== undefined && annotation(there, POD_ANNOTATIONS.uid) === row.record.uid)
      await drop(there, cluster, signal)
  }
}

async function drop(object: Manifest, cluster: Cluster, signal: AbortSignal): Promise<void> {
  const { uid = '' } = object.metadata
  await cluster.delete(object, refOf(object), { uid, propagation: 'Background' }, signal)
}

function taken({ kind, namespace, name }: ObjectRef): Fault {
  return new Fault('Conflict', `${kind} ${namespace}/${name} stands there and is not this job's`)
}

function annotation(object: Manifest, name: string): unknown {
  const annotations = object.metadata['annotations']
  return isObject(annotations) ? annotations[name] : undefined
}

function isOfJob(object: Manifest, job: string): boolean {
  const labels = object.metadata['labels']
  return isObject(labels) && labels[POD_LABELS.job] === job && annotation(object, POD_ANNOTATIONS.uid) !== undefined
}

function isFault(error: unknown, reason: Fault['reason']): boolean {
  return error instanceof Fault && error.reason === reason
}
