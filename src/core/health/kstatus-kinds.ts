/** The kinds for which kstatus has rules of its own. They run only after generation, deletion and standard conditions passed. */
import type { Manifest } from '../model/object.ts'
import { conditionsOf, countAt, mapsAt, numberAt, textAt } from './fields.ts'
import { CURRENT, failed, inProgress, type Status } from './status.ts'

type Rule = (object: Manifest, nowMs: number) => Status

/** How long a pod may be unschedulable before that counts: a scheduler needs a moment, and so does a new node. */
export const SCHEDULE_WINDOW_MS = 15_000

/** The value that the Deployment controller takes as "no deadline", and the one it means by none. */
const NO_DEADLINE = 2_147_483_647

export const KIND_RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ['/Service', service],
  ['/Pod', pod],
  ['/Secret', always],
  ['/ConfigMap', always],
  ['/PersistentVolumeClaim', claim],
  ['apps/StatefulSet', statefulSet],
  ['apps/DaemonSet', daemonSet],
  ['extensions/DaemonSet', daemonSet],
  ['apps/Deployment', deployment],
  ['extensions/Deployment', deployment],
  ['apps/ReplicaSet', replicaSet],
  ['extensions/ReplicaSet', replicaSet],
  ['policy/PodDisruptionBudget', always],
  ['batch/CronJob', always],
  ['batch/Job', job],
  ['apiextensions.k8s.io/CustomResourceDefinition', definition],
])

function always(): Status {
  return CURRENT
}

/** One line of a list of checks: fewer than there should be, with the reason word of that shortage. */
type Check = readonly [short: boolean, reason: string, message: string]

function firstShort(checks: readonly Check[]): Status | undefined {
  for (const [short, reason, message] of checks) if (short) return inProgress(reason, message)
  return undefined
}

function deployment(object: Manifest): Status {
  let progressed = (numberAt(object, 'spec', 'progressDeadlineSeconds') ?? NO_DEADLINE) === NO_DEADLINE
  let available = false
  for (const { type, status, reason, message } of conditionsOf(object)) {
    if (type === 'Progressing') {
      if (reason === 'ProgressDeadlineExceeded') return failed(reason, message)
      if (status === 'True' && reason === 'NewReplicaSetAvailable') progressed = true
    } else if (type === 'Available' && status === 'True') available = true
  }
  const wanted = numberAt(object, 'spec', 'replicas') ?? 1
  const there = countAt(object, 'status', 'replicas')
  const updated = countAt(object, 'status', 'updatedReplicas')
  const ready = countAt(object, 'status', 'readyReplicas')
  const usable = countAt(object, 'status', 'availableReplicas')
  const short = firstShort([
    [wanted > there, 'LessReplicas', `Replicas: ${there}/${wanted}`],
    [wanted > updated, 'LessUpdated', `Updated: ${updated}/${wanted}`],
    [there > wanted, 'ExtraPods', `Pending termination: ${there - wanted}`],
    [updated > usable, 'LessAvailable', `Available: ${usable}/${updated}`],
    [wanted > ready, 'LessReady', `Ready: ${ready}/${wanted}`],
    [!progressed, 'ReplicaSetNotAvailable', 'ReplicaSet not Available'],
    [!available, 'DeploymentNotAvailable', 'Deployment not Available'],
  ])
  return short ?? CURRENT
}

function statefulSet(object: Manifest): Status {
  // With OnDelete the user, not the controller, decides when pods change.
  if (textAt(object, 'spec', 'updateStrategy', 'type') === 'OnDelete') return CURRENT
  const wanted = numberAt(object, 'spec', 'replicas') ?? 1
  const there = countAt(object, 'status', 'replicas')
  const ready = countAt(object, 'status', 'readyReplicas')
  const current = countAt(object, 'status', 'currentReplicas')
  const updated = countAt(object, 'status', 'updatedReplicas')
  const partition = numberAt(object, 'spec', 'updateStrategy', 'rollingUpdate', 'partition')
  const short = firstShort([
    [wanted > there, 'LessReplicas', `Replicas: ${there}/${wanted}`],
    [wanted > ready, 'LessReady', `Ready: ${ready}/${wanted}`],
    [there > wanted, 'ExtraPods', `Pending termination: ${there - wanted}`],
  ])
  if (short !== undefined) return short
  if (partition !== undefined && partition !== -1) {
    const target = wanted - partition
    return updated < target ? inProgress('PartitionRollout', `updated: ${updated}/${target}`) : CURRENT
  }
  const same = textAt(object, 'status', 'currentRevision') === textAt(object, 'status', 'updateRevision')
  const behind = firstShort([
    [wanted > current, 'LessCurrent', `current: ${current}/${wanted}`],
    [!same, 'RevisionMismatch', 'Waiting for updated revision to match current'],
  ])
  return behind ?? CURRENT
}

function daemonSet(object: Manifest): Status {
  if (numberAt(object, 'metadata', 'generation') === undefined)
    return inProgress('NoGeneration', `${object.kind} metadata.generation not found`)
  if (numberAt(object, 'status', 'observedGeneration') === undefined)
    return inProgress('NoObservedGeneration', `${object.kind} status.observedGeneration not found`)
  const wanted = numberAt(object, 'status', 'desiredNumberScheduled')
  if (wanted === undefined || wanted === -1)
    return inProgress('NoDesiredNumber', 'Missing .status.desiredNumberScheduled')
  const current = countAt(object, 'status', 'currentNumberScheduled')
  const updated = countAt(object, 'status', 'updatedNumberScheduled')
  const usable = countAt(object, 'status', 'numberAvailable')
  const ready = countAt(object, 'status', 'numberReady')
  const short = firstShort([
    [wanted > current, 'LessCurrent', `Current: ${current}/${wanted}`],
    [wanted > updated, 'LessUpdated', `Updated: ${updated}/${wanted}`],
    [wanted > usable, 'LessAvailable', `Available: ${usable}/${wanted}`],
    [wanted > ready, 'LessReady', `Ready: ${ready}/${wanted}`],
  ])
  return short ?? CURRENT
}

function replicaSet(object: Manifest): Status {
  const failing = conditionsOf(object).some(({ type, status }) => type === 'ReplicaFailure' && status === 'True')
  const wanted = numberAt(object, 'spec', 'replicas') ?? 1
  const there = countAt(object, 'status', 'replicas')
  const labelled = countAt(object, 'status', 'fullyLabeledReplicas')
  const usable = countAt(object, 'status', 'availableReplicas')
  const ready = countAt(object, 'status', 'readyReplicas')
  const short = firstShort([
    [failing, 'ReplicaFailure', 'Replica Failure condition. Check Pods'],
    [wanted > labelled, 'LessLabelled', `Labelled: ${labelled}/${wanted}`],
    [wanted > usable, 'LessAvailable', `Available: ${usable}/${wanted}`],
    [wanted > ready, 'LessReady', `Ready: ${ready}/${wanted}`],
    [there > wanted, 'ExtraPods', `Pending termination: ${there - wanted}`],
  ])
  return short ?? CURRENT
}

function pod(object: Manifest, nowMs: number): Status {
  const phase = textAt(object, 'status', 'phase')
  switch (phase) {
    case 'Succeeded':
    case 'Failed':
      // A pod that ended is where it will stay; whether that is well, the other reading says.
      return CURRENT
    case 'Running':
      return runningPod(object)
    case 'Pending':
      return pendingPod(object, nowMs)
    case '':
      return inProgress('PodNotObserved', 'Pod phase not available')
    default:
      return { kstatus: 'Unknown', conditions: [], reason: 'PodPhaseUnknown', message: `unknown phase ${phase}` }
  }
}

function runningPod(object: Manifest): Status {
  if (conditionsOf(object).some(({ type, status }) => type === 'Ready' && status === 'True')) return CURRENT
  const crashing = mapsAt(object, 'status', 'containerStatuses')
    .filter((container) => textAt(container, 'state', 'waiting', 'reason') === 'CrashLoopBackOff')
    .map((container) => textAt(container, 'name'))
  if (crashing.length > 0)
    return failed('ContainerCrashLooping', `Containers in CrashLoop state: ${crashing.join(',')}`)
  return inProgress('PodRunningNotReady', 'Pod is running but is not Ready')
}

function pendingPod(object: Manifest, nowMs: number): Status {
  const scheduled = conditionsOf(object).find(({ type, status }) => type === 'PodScheduled' && status === 'False')
  if (scheduled?.reason !== 'Unschedulable') return inProgress('PodPending', 'Pod is in the Pending phase')
  const createdMs = Date.parse(textAt(object, 'metadata', 'creationTimestamp'))
  return nowMs - SCHEDULE_WINDOW_MS < createdMs
    ? inProgress('PodNotScheduled', 'Pod has not been scheduled')
    : failed('PodUnschedulable', 'Pod could not be scheduled')
}

/** A running job is Current: it may run for days, and waiting for its end is the business of who asks for that. */
function job(object: Manifest): Status {
  const completions = numberAt(object, 'spec', 'completions') ?? numberAt(object, 'spec', 'parallelism') ?? 1
  for (const { type, status } of conditionsOf(object)) {
    if (status !== 'True') continue
    if (type === 'Complete') return CURRENT
    if (type === 'Failed')
      return failed('JobFailed', `Job Failed. failed: ${countAt(object, 'status', 'failed')}/${completions}`)
  }
  return textAt(object, 'status', 'startTime') === '' ? inProgress('JobNotStarted', 'Job not started') : CURRENT
}

function service(object: Manifest): Status {
  const waits = textAt(object, 'spec', 'type') === 'LoadBalancer' && textAt(object, 'spec', 'clusterIP') === ''
  return waits ? inProgress('NoIPAssigned', 'ClusterIP not set. Service type: LoadBalancer') : CURRENT
}

function claim(object: Manifest): Status {
  const phase = textAt(object, 'status', 'phase') || 'unknown'
  return phase === 'Bound' ? CURRENT : inProgress('NotBound', `PVC is not Bound. phase: ${phase}`)
}

function definition(object: Manifest): Status {
  for (const { type, status, reason, message } of conditionsOf(object)) {
    if (type === 'NamesAccepted' && status === 'False') return failed(reason, message)
    if (type !== 'Established') continue
    if (status === 'True') return CURRENT
    if (status === 'False' && reason !== 'Installing') return failed(reason, message)
  }
  return inProgress('Installing', 'Install in progress')
}
