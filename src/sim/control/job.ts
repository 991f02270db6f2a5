/** Jobs: pods until enough have succeeded or too many have failed. */
import type { JsonObject } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'
import { isReady } from '../pod-verbs.ts'
import {
  agendaKey,
  condition,
  create,
  JOB,
  ownedBy,
  POD,
  remove,
  specOf,
  statusOf,
  templateHash,
  writeStatus,
  type Desk,
} from './desk.ts'
import { podFrom } from './replicas.ts'

export function reconcileJob(desk: Desk, job: Manifest): void {
  if (job.metadata.deletionTimestamp !== undefined) return
  if (condition(job, 'Complete')?.['status'] === 'True' || condition(job, 'Failed')?.['status'] === 'True')
    return expire(desk, job)
  const spec = specOf(job)
  if (spec['suspend'] === true) return suspend(desk, job)
  const pods = ownedBy(desk, POD, job)
  const inPhase = (...phases: string[]): readonly Manifest[] =>
    pods.filter((pod) => phases.includes(statusOf(pod)['phase'] as string))
  const succeeded = inPhase('Succeeded').length
  const failed = inPhase('Failed').length
  const active = inPhase('Pending', 'Running').filter((pod) => pod.metadata.deletionTimestamp === undefined)
  const completions = spec['completions'] === undefined ? undefined : Number(spec['completions'])
  const enough = completions === undefined ? succeeded > 0 && active.length === 0 : succeeded >= completions
  const before = statusOf(job)
  const startTime = before['startTime'] ?? desk.server.now()
  const counts = { ...(succeeded > 0 ? { succeeded } : {}), ...(failed > 0 ? { failed } : {}) }
  if (enough) return finish(desk, job, { startTime, ...counts }, 'Complete')
  if (failed > Number(spec['backoffLimit'] ?? 6)) {
    for (const pod of active) remove(desk, pod)
    return finish(desk, job, { startTime, ...counts }, 'Failed')
  }
  const remaining = completions === undefined ? (succeeded > 0 ? 0 : 1) : completions - succeeded
  const parallelism = Math.min(
    Number(spec['parallelism'] ?? 1),
    completions === undefined ? Number(spec['parallelism'] ?? 1) : remaining,
  )
  let made = 0
  for (let n = active.length; n < parallelism; n++) {
    const suffix = templateHash([job.metadata.uid ?? '', pods.length + made]).slice(0, 5)
    if (create(desk, podFrom(job, `${job.metadata.name}-${suffix}`)) !== undefined) made++
  }
  const ready = active.filter((pod) => isReady(pod)).length
  writeStatus(desk, job, {
    startTime,
    active: active.length + made,
    ready,
    ...counts,
    terminating: 0,
    uncountedTerminatedPods: {},
  })
}

function suspend(desk: Desk, job: Manifest): void {
  for (const pod of ownedBy(desk, POD, job)) if (statusOf(pod)['phase'] !== 'Succeeded') remove(desk, pod)
  if (condition(job, 'Suspended')?.['status'] === 'True') return
  const at = desk.server.now()
  writeStatus(desk, job, {
    conditions: [
      {
        type: 'Suspended',
        status: 'True',
        reason: 'JobSuspended',
        message: 'Job suspended',
        lastProbeTime: at,
        lastTransitionTime: at,
      },
    ],
  })
}

function finish(desk: Desk, job: Manifest, counts: JsonObject, type: 'Complete' | 'Failed'): void {
  const at = desk.server.now()
  const because =
    type === 'Complete'
      ? { reason: 'CompletionsReached', message: 'Reached expected number of succeeded pods' }
      : { reason: 'BackoffLimitExceeded', message: 'Job has reached the specified backoff limit' }
  const target = type === 'Complete' ? 'SuccessCriteriaMet' : 'FailureTarget'
  const conditions = [target, type].map((one) => ({
    type: one,
    status: 'True',
    ...because,
    lastProbeTime: at,
    lastTransitionTime: at,
  }))
  writeStatus(desk, job, {
    ...counts,
    ...(type === 'Complete' ? { completionTime: at } : {}),
    conditions,
    ready: 0,
    terminating: 0,
    uncountedTerminatedPods: {},
  })
  expire(desk, desk.server.storage.get(JOB, `${job.metadata.namespace ?? ''}/${job.metadata.name}`) ?? job)
}

/** A finished job goes after its time to live. */
function expire(desk: Desk, job: Manifest): void {
  const ttl = specOf(job)['ttlSecondsAfterFinished']
  if (ttl === undefined) return
  const finished = condition(job, 'Complete') ?? condition(job, 'Failed')
  const leftMs = Date.parse(finished?.['lastTransitionTime'] as string) + Number(ttl) * 1000 - desk.wallMs()
  if (leftMs <= 0)
    desk.server.delete(desk.server.kinds.resolve(job), job.metadata.namespace ?? '', job.metadata.name, {
      propagation: 'Background',
    })
  else desk.later(agendaKey(JOB, job), leftMs)
}
