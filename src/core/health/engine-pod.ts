/** The delivery engine's reading of one pod. */
import type { JsonObject } from '../model/json.ts'
import type { Manifest } from '../model/object.ts'
import { conditionOf, countAt, fieldAt, mapsAt, textAt } from './fields.ts'
import type { EngineHealth } from './status.ts'

const IGNORE_RESTART_POLICY = 'argocd.argoproj.io/ignore-restart-policy'
const HOOKS = ['argocd.argoproj.io/hook', 'helm.sh/hook']

export function podHealth(pod: Manifest): EngineHealth {
  const message = textAt(pod, 'status', 'message')
  const forever = runsForEver(pod)
  if (forever) {
    const stuck = mapsAt(pod, 'status', 'containerStatuses').filter(isStuck)
    const [first] = stuck
    if (first !== undefined)
      return {
        state: 'Degraded',
        reason: textAt(first, 'state', 'waiting', 'reason'),
        message: stuck.map((container) => textAt(container, 'state', 'waiting', 'message')).join(', '),
      }
  }
  switch (textAt(pod, 'status', 'phase')) {
    case 'Pending':
      return { state: 'Progressing', reason: '', message }
    case 'Succeeded':
      return { state: 'Healthy', reason: '', message }
    case 'Failed':
      return failedPod(pod, message)
    case 'Running':
      return forever ? runningPod(pod, message) : { state: 'Progressing', reason: 'RunsToCompletion', message }
    default:
      return { state: 'Unknown', reason: '', message }
  }
}

/**
 * A pod that is never restarted runs to its end, and while it runs it is not done: it may be a hook that something waits for. Its
 * author can say that it runs for ever all the same, but not of a hook.
 */
function runsForEver(pod: Manifest): boolean {
  const policy = textAt(pod, 'spec', 'restartPolicy')
  if (policy === 'Always' || policy === '') return policy === 'Always'
  const hook = HOOKS.some((name) => fieldAt(pod, 'metadata', 'annotations', name) !== undefined)
  return !hook && textAt(pod, 'metadata', 'annotations', IGNORE_RESTART_POLICY) === 'true'
}

/** Waiting with a word that says it will not go on by itself: ErrImagePull, CreateContainerConfigError, CrashLoopBackOff. */
export function isStuck(container: JsonObject): boolean {
  const reason = textAt(container, 'state', 'waiting', 'reason')
  return reason.startsWith('Err') || reason.endsWith('Error') || reason.endsWith('BackOff')
}

function runningPod(pod: Manifest, message: string): EngineHealth {
  if (conditionOf(pod, 'Ready')?.status === 'True') return { state: 'Healthy', reason: '', message }
  const ended = mapsAt(pod, 'status', 'containerStatuses').find((container) =>
    isPresent(fieldAt(container, 'lastState', 'terminated')),
  )
  if (ended === undefined) return { state: 'Progressing', reason: '', message }
  const why = failureOf(ended, textAt(ended, 'lastState', 'terminated', 'reason'))
  return { state: 'Degraded', reason: 'ContainerRestarted', message: message || why }
}

function failedPod(pod: Manifest, message: string): EngineHealth {
  const reason = textAt(pod, 'status', 'reason') || 'PodFailed'
  if (message !== '') return { state: 'Degraded', reason, message }
  const containers = [...mapsAt(pod, 'status', 'initContainerStatuses'), ...mapsAt(pod, 'status', 'containerStatuses')]
  for (const container of containers) {
    const ended = fieldAt(container, 'state', 'terminated')
    const said = textAt(ended, 'message')
    if (said !== '') return { state: 'Degraded', reason, message: said }
    if (textAt(ended, 'reason') === 'OOMKilled') return { state: 'Degraded', reason: 'OOMKilled', message: 'OOMKilled' }
    const code = countAt(ended, 'exitCode')
    if (code !== 0)
      return {
        state: 'Degraded',
        reason,
        message: `container "${textAt(container, 'name')}" failed with exit code ${code}`,
      }
  }
  return { state: 'Degraded', reason, message: '' }
}

function failureOf(container: JsonObject, reason: string): string {
  const code = countAt(container, 'lastState', 'terminated', 'exitCode')
  return `container "${textAt(container, 'name')}" ended with exit code ${code}${reason === '' ? '' : ` (${reason})`}`
}

function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null
}
