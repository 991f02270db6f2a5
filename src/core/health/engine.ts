/** The health of one object as a delivery engine reads it: what kubectl's rollout status says, and whether it still can get well. */
import { groupOf, type Manifest } from '../model/object.ts'
import type { HealthState } from '../model/state.ts'
import { apiService, claim, definition, ingress, job, scaler, service, workflow } from './engine-kinds.ts'
import { podHealth } from './engine-pod.ts'
import { conditionOf, countAt, fieldAt, numberAt, textAt } from './fields.ts'
import type { EngineHealth } from './status.ts'

type Rule = (object: Manifest) => EngineHealth

const RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ['apps/Deployment', deployment],
  ['apps/StatefulSet', statefulSet],
  ['apps/ReplicaSet', replicaSet],
  ['apps/DaemonSet', daemonSet],
  ['extensions/Ingress', ingress],
  ['networking.k8s.io/Ingress', ingress],
  ['/Service', service],
  ['/PersistentVolumeClaim', claim],
  ['/Pod', podHealth],
  ['batch/Job', job],
  ['autoscaling/HorizontalPodAutoscaler', scaler],
  ['apiregistration.k8s.io/APIService', apiService],
  ['apiextensions.k8s.io/CustomResourceDefinition', definition],
  ['argoproj.io/Workflow', workflow],
])

/** Undefined where this reading has nothing to say about the kind. */
export function engineHealthOf(object: Manifest): EngineHealth | undefined {
  if (textAt(object, 'metadata', 'deletionTimestamp') !== '') return is('Progressing', 'Pending deletion')
  return RULES.get(`${groupOf(object.apiVersion)}/${object.kind}`)?.(object)
}

function is(state: HealthState, message = '', reason = ''): EngineHealth {
  return { state, reason, message }
}

/** The controller has not seen the latest spec: what status says is about an older one. */
function isUnobserved(object: Manifest): boolean {
  return countAt(object, 'metadata', 'generation') > countAt(object, 'status', 'observedGeneration')
}

function deployment(object: Manifest): EngineHealth {
  if (fieldAt(object, 'spec', 'paused') === true) return is('Suspended', 'Deployment is paused', 'Paused')
  if (isUnobserved(object)) return is('Progressing', 'Waiting for the controller to see the latest spec')
  const progressing = conditionOf(object, 'Progressing')
  if (progressing?.reason === 'ProgressDeadlineExceeded')
    return is('Degraded', `Deployment "${object.metadata.name}" exceeded its progress deadline`, progressing.reason)
  const wanted = numberAt(object, 'spec', 'replicas')
  const updated = countAt(object, 'status', 'updatedReplicas')
  const there = countAt(object, 'status', 'replicas')
  const usable = countAt(object, 'status', 'availableReplicas')
  if (wanted !== undefined && updated < wanted) return is('Progressing', `${updated} of ${wanted} replicas are updated`)
  if (there > updated) return is('Progressing', `${there - updated} old replicas are pending termination`)
  if (usable < updated) return is('Progressing', `${usable} of ${updated} updated replicas are available`)
  return is('Healthy')
}

function statefulSet(object: Manifest): EngineHealth {
  if (countAt(object, 'status', 'observedGeneration') === 0 || isUnobserved(object))
    return is('Progressing', 'Waiting for the controller to see the latest spec')
  const wanted = numberAt(object, 'spec', 'replicas')
  const ready = countAt(object, 'status', 'readyReplicas')
  if (wanted !== undefined && ready < wanted) return is('Progressing', `${ready} of ${wanted} pods are ready`)
  const strategy = textAt(object, 'spec', 'updateStrategy', 'type')
  const rolling = fieldAt(object, 'spec', 'updateStrategy', 'rollingUpdate')
  if (strategy === 'RollingUpdate' && rolling !== undefined && rolling !== null) {
    const partition = numberAt(rolling, 'partition')
    const updated = countAt(object, 'status', 'updatedReplicas')
    if (wanted !== undefined && partition !== undefined && updated < wanted - partition)
      return is('Progressing', `${updated} of ${wanted - partition} pods of the partition are updated`)
    return is('Healthy')
  }
  if (strategy === 'OnDelete') return is('Healthy')
  if (textAt(object, 'status', 'updateRevision') !== textAt(object, 'status', 'currentRevision'))
    return is('Progressing', `${countAt(object, 'status', 'updatedReplicas')} pods are at the new revision`)
  return is('Healthy')
}

function replicaSet(object: Manifest): EngineHealth {
  if (isUnobserved(object)) return is('Progressing', 'Waiting for the controller to see the latest spec')
  const failure = conditionOf(object, 'ReplicaFailure')
  if (failure?.status === 'True') return is('Degraded', failure.message, failure.reason)
  const wanted = numberAt(object, 'spec', 'replicas')
  const usable = countAt(object, 'status', 'availableReplicas')
  if (wanted !== undefined && usable < wanted) return is('Progressing', `${usable} of ${wanted} replicas are available`)
  return is('Healthy')
}

function daemonSet(object: Manifest): EngineHealth {
  if (isUnobserved(object)) return is('Progressing', 'Waiting for the controller to see the latest spec')
  if (textAt(object, 'spec', 'updateStrategy', 'type') === 'OnDelete') return is('Healthy')
  const wanted = countAt(object, 'status', 'desiredNumberScheduled')
  const updated = countAt(object, 'status', 'updatedNumberScheduled')
  const usable = countAt(object, 'status', 'numberAvailable')
  if (updated < wanted) return is('Progressing', `${updated} of ${wanted} pods are updated`)
  if (usable < wanted) return is('Progressing', `${usable} of ${wanted} pods are available`)
  return is('Healthy')
}
