/** The delivery engine's reading of the kinds that are no replicated workloads. */
import type { Json } from '../model/json.ts'
import { groupOf, type Manifest, versionOf } from '../model/object.ts'
import { conditionOf, conditionsOf, fieldAt, mapsAt, type ReadCondition, readCondition, textAt } from './fields.ts'
import type { EngineHealth } from './status.ts'

export function ingress(object: Manifest): EngineHealth {
  return hasAddress(object)
    ? { state: 'Healthy', reason: '', message: '' }
    : { state: 'Progressing', reason: 'NoAddress', message: 'no load balancer has given it an address' }
}

export function service(object: Manifest): EngineHealth {
  if (textAt(object, 'spec', 'type') === 'LoadBalancer') return ingress(object)
  return { state: 'Healthy', reason: '', message: '' }
}

function hasAddress(object: Manifest): boolean {
  const addresses = fieldAt(object, 'status', 'loadBalancer', 'ingress')
  return Array.isArray(addresses) && addresses.length > 0
}

/** A claim that nothing provisions yet waits for its first consumer: that is how its class wants it. */
export function claim(object: Manifest): EngineHealth {
  const phase = textAt(object, 'status', 'phase')
  if (phase === 'Lost') return { state: 'Degraded', reason: 'ClaimLost', message: 'its volume is gone' }
  if (phase === 'Bound') return { state: 'Healthy', reason: '', message: '' }
  if (phase !== 'Pending') return { state: 'Unknown', reason: '', message: '' }
  const annotations = ['volume.kubernetes.io/storage-provisioner', 'volume.beta.kubernetes.io/storage-provisioner']
  const provisioning = annotations.some((name) => fieldAt(object, 'metadata', 'annotations', name) !== undefined)
  return provisioning
    ? { state: 'Progressing', reason: 'Provisioning', message: 'its volume is being made' }
    : { state: 'Healthy', reason: '', message: 'waiting for its first consumer' }
}

export function job(object: Manifest): EngineHealth {
  const failed = conditionOf(object, 'Failed')
  if (failed !== undefined) return { state: 'Degraded', reason: failed.reason || 'JobFailed', message: failed.message }
  const suspended = conditionOf(object, 'Suspended')
  if (suspended?.status === 'True')
    return { state: 'Suspended', reason: suspended.reason || 'JobSuspended', message: suspended.message }
  const done = conditionOf(object, 'Complete') ?? suspended
  if (done === undefined) return { state: 'Progressing', reason: '', message: 'the job runs' }
  return { state: 'Healthy', reason: '', message: done.message }
}

const SCALER_BROKEN: Readonly<Record<string, readonly string[]>> = {
  AbleToScale: ['FailedGetScale', 'FailedUpdateScale'],
  ScalingActive: [
    'FailedGetResourceMetric',
    'FailedGetContainerResourceMetric',
    'FailedGetPodsMetric',
    'FailedGetObjectMetric',
    'FailedGetExternalMetric',
    'InvalidSelector',
  ],
}

export function scaler(object: Manifest): EngineHealth {
  const conditions = versionOf(object.apiVersion) === 'v1' ? annotatedConditions(object) : conditionsOf(object)
  if (conditions === undefined)
    return { state: 'Unknown', reason: 'ConditionsUnreadable', message: 'its conditions annotation is not JSON' }
  const broken = conditions.find(({ type, reason }) => SCALER_BROKEN[type]?.includes(reason) === true)
  if (broken !== undefined) return { state: 'Degraded', reason: broken.reason, message: broken.message }
  const works = conditions.find(
    ({ type, status }) => (type === 'AbleToScale' || type === 'ScalingLimited') && status === 'True',
  )
  if (works !== undefined) return { state: 'Healthy', reason: '', message: works.message }
  return { state: 'Progressing', reason: '', message: 'waiting to autoscale' }
}

/** autoscaling/v1 has no conditions in its status; the server puts them into an annotation. */
function annotatedConditions(object: Manifest): readonly ReadCondition[] | undefined {
  const text = textAt(object, 'metadata', 'annotations', 'autoscaling.alpha.kubernetes.io/conditions')
  if (text === '') return []
  try {
    return mapsAt({ list: JSON.parse(text) as Json }, 'list').map(readCondition)
  } catch {
    return undefined
  }
}

export function apiService(object: Manifest): EngineHealth {
  const available = conditionOf(object, 'Available')
  if (available === undefined) return { state: 'Progressing', reason: '', message: 'waiting to be processed' }
  const message = `${available.reason}: ${available.message}`
  return available.status === 'True'
    ? { state: 'Healthy', reason: '', message }
    : { state: 'Progressing', reason: available.reason, message }
}

export function definition(object: Manifest): EngineHealth {
  if (conditionsOf(object).length === 0)
    return { state: 'Progressing', reason: '', message: 'the server has not looked at it yet' }
  const on = (type: string, status: string) =>
    conditionsOf(object).find((condition) => condition.type === type && condition.status === status)
  const terminating = on('Terminating', 'True')
  if (terminating !== undefined)
    return { state: 'Progressing', reason: terminating.reason, message: `being removed: ${terminating.message}` }
  const refused = on('NamesAccepted', 'False')
  if (refused !== undefined)
    return { state: 'Degraded', reason: refused.reason, message: `names not accepted: ${refused.message}` }
  if (on('Established', 'True') === undefined) {
    const established = conditionOf(object, 'Established')
    // A new definition is Installing for a moment: that is no failure.
    const state = established?.reason === 'Installing' ? 'Progressing' : 'Degraded'
    return { state, reason: established?.reason ?? '', message: `not established: ${established?.message ?? ''}` }
  }
  const violated = on('NonStructuralSchema', 'True')
  if (violated !== undefined)
    return { state: 'Degraded', reason: violated.reason, message: `schema violations: ${violated.message}` }
  return { state: 'Healthy', reason: '', message: '' }
}

export function workflow(object: Manifest): EngineHealth {
  const phase = textAt(object, 'status', 'phase')
  const message = textAt(object, 'status', 'message')
  switch (phase) {
    case '':
    case 'Pending':
    case 'Running':
      return { state: 'Progressing', reason: phase, message }
    case 'Succeeded':
      return { state: 'Healthy', reason: '', message }
    case 'Failed':
    case 'Error':
      return { state: 'Degraded', reason: phase, message }
    default:
      return { state: 'Unknown', reason: phase, message: message || `${groupOf(object.apiVersion)} phase ${phase}` }
  }
}
