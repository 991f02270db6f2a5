/**
 * The fields that are taken of a message of Kubernetes' protobuf, by number, after `generated.proto` of k8s.io/api and
 * k8s.io/apimachinery. Numbers are never reused there, so a field that is not named here is passed over, whatever server sends it.
 */

/** `pointer`: it may be set to nothing, and is then said; all else is said by Go even where it is empty, and left out as JSON does. */
export type Field =
  | {
      readonly is: 'text' | 'number' | 'flag' | 'time' | 'micro-time'
      readonly name: string
      readonly pointer: boolean
    }
  | { readonly is: 'texts' | 'map' | 'quantities'; readonly name: string }
  | { readonly is: 'message' | 'messages'; readonly name: string; readonly shape: Shape }
  /** Its fields are the parent's in JSON. */
  | { readonly is: 'inline'; readonly name: ''; readonly shape: Shape }

/** By field number. */
export type Shape = readonly (Field | undefined)[]

function shape(fields: Readonly<Record<number, Field>>): Shape {
  const list: (Field | undefined)[] = Array.from({ length: Math.max(0, ...Object.keys(fields).map(Number)) + 1 })
  for (const [number, field] of Object.entries(fields)) list[Number(number)] = field
  return list
}

const text = (name: string): Field => ({ is: 'text', name, pointer: false })
const number = (name: string): Field => ({ is: 'number', name, pointer: false })
const flag = (name: string): Field => ({ is: 'flag', name, pointer: false })
const numberOrNone = (name: string): Field => ({ is: 'number', name, pointer: true })
const flagOrNone = (name: string): Field => ({ is: 'flag', name, pointer: true })
const textOrNone = (name: string): Field => ({ is: 'text', name, pointer: true })
const time = (name: string): Field => ({ is: 'time', name, pointer: false })
const timeOrNone = (name: string): Field => ({ is: 'time', name, pointer: true })
const texts = (name: string): Field => ({ is: 'texts', name })
const map = (name: string): Field => ({ is: 'map', name })
const quantities = (name: string): Field => ({ is: 'quantities', name })
const one = (name: string, of: Shape): Field => ({ is: 'message', name, shape: of })
const many = (name: string, of: Shape): Field => ({ is: 'messages', name, shape: of })
const inline = (of: Shape): Field => ({ is: 'inline', name: '', shape: of })

const OWNER = shape({
  1: text('kind'),
  3: text('name'),
  4: text('uid'),
  5: text('apiVersion'),
  6: flagOrNone('controller'),
  7: flagOrNone('blockOwnerDeletion'),
})

/** Not its managed fields: a third of most objects, and nobody who reads by these shapes looks at them. */
const METADATA = shape({
  1: text('name'),
  3: text('namespace'),
  5: text('uid'),
  6: text('resourceVersion'),
  7: number('generation'),
  8: time('creationTimestamp'),
  9: timeOrNone('deletionTimestamp'),
  10: numberOrNone('deletionGracePeriodSeconds'),
  11: map('labels'),
  12: map('annotations'),
  13: many('ownerReferences', OWNER),
  14: texts('finalizers'),
})

const REQUIREMENT = shape({ 1: text('key'), 2: text('operator'), 3: texts('values') })
const SELECTOR = shape({ 1: map('matchLabels'), 2: many('matchExpressions', REQUIREMENT) })

const NODE_TERM = shape({ 1: many('matchExpressions', REQUIREMENT), 2: many('matchFields', REQUIREMENT) })
const NODE_AFFINITY = shape({
  1: one('requiredDuringSchedulingIgnoredDuringExecution', shape({ 1: many('nodeSelectorTerms', NODE_TERM) })),
  2: many(
    'preferredDuringSchedulingIgnoredDuringExecution',
    shape({ 1: number('weight'), 2: one('preference', NODE_TERM) }),
  ),
})
const POD_TERM = shape({
  1: one('labelSelector', SELECTOR),
  2: texts('namespaces'),
  3: text('topologyKey'),
  4: one('namespaceSelector', SELECTOR),
  5: texts('matchLabelKeys'),
  6: texts('mismatchLabelKeys'),
})
const POD_AFFINITY = shape({
  1: many('requiredDuringSchedulingIgnoredDuringExecution', POD_TERM),
  2: many(
    'preferredDuringSchedulingIgnoredDuringExecution',
    shape({ 1: number('weight'), 2: one('podAffinityTerm', POD_TERM) }),
  ),
})
const AFFINITY = shape({
  1: one('nodeAffinity', NODE_AFFINITY),
  2: one('podAffinity', POD_AFFINITY),
  3: one('podAntiAffinity', POD_AFFINITY),
})

const RESOURCES = shape({
  1: quantities('limits'),
  2: quantities('requests'),
  3: many('claims', shape({ 1: text('name'), 2: text('request') })),
})
const PORT = shape({
  1: text('name'),
  2: number('hostPort'),
  3: number('containerPort'),
  4: text('protocol'),
  5: text('hostIP'),
})
const CONTAINER = shape({
  1: text('name'),
  2: text('image'),
  6: many('ports', PORT),
  8: one('resources', RESOURCES),
  24: textOrNone('restartPolicy'),
})
const TOLERATION = shape({
  1: text('key'),
  2: text('operator'),
  3: text('value'),
  4: text('effect'),
  5: numberOrNone('tolerationSeconds'),
})
const SPREAD = shape({
  1: number('maxSkew'),
  2: text('topologyKey'),
  3: text('whenUnsatisfiable'),
  4: one('labelSelector', SELECTOR),
  5: numberOrNone('minDomains'),
  6: textOrNone('nodeAffinityPolicy'),
  7: textOrNone('nodeTaintsPolicy'),
  8: texts('matchLabelKeys'),
})

/** Claims, and disks that suffer one pod, or readers only, on a node; the others constrain nothing. */
const VOLUME_SOURCE = shape({
  3: one('gcePersistentDisk', shape({ 1: text('pdName'), 4: flag('readOnly') })),
  4: one('awsElasticBlockStore', shape({ 1: text('volumeID'), 4: flag('readOnly') })),
  8: one('iscsi', shape({ 2: text('iqn'), 6: flag('readOnly') })),
  10: one('persistentVolumeClaim', shape({ 1: text('claimName'), 2: flag('readOnly') })),
  11: one('rbd', shape({ 1: texts('monitors'), 2: text('image'), 4: text('pool'), 8: flag('readOnly') })),
  29: one('ephemeral', shape({})),
})

const POD_SPEC = shape({
  1: many('volumes', shape({ 1: text('name'), 2: inline(VOLUME_SOURCE) })),
  2: many('containers', CONTAINER),
  4: numberOrNone('terminationGracePeriodSeconds'),
  5: numberOrNone('activeDeadlineSeconds'),
  7: map('nodeSelector'),
  10: text('nodeName'),
  11: flag('hostNetwork'),
  18: one('affinity', AFFINITY),
  19: text('schedulerName'),
  20: many('initContainers', CONTAINER),
  22: many('tolerations', TOLERATION),
  24: text('priorityClassName'),
  25: numberOrNone('priority'),
  31: textOrNone('preemptionPolicy'),
  32: quantities('overhead'),
  33: many('topologySpreadConstraints', SPREAD),
  38: many('schedulingGates', shape({ 1: text('name') })),
  39: many(
    'resourceClaims',
    shape({ 1: text('name'), 3: textOrNone('resourceClaimName'), 4: textOrNone('resourceClaimTemplateName') }),
  ),
  40: one('resources', RESOURCES),
})

/** Whole: conditions are written back as they were read. */
const POD_CONDITION = shape({
  1: text('type'),
  2: text('status'),
  3: time('lastProbeTime'),
  4: time('lastTransitionTime'),
  5: text('reason'),
  6: text('message'),
  7: number('observedGeneration'),
})
const CONTAINER_STATUS = shape({
  1: text('name'),
  10: quantities('allocatedResources'),
  11: one('resources', RESOURCES),
})
const POD_STATUS = shape({
  1: text('phase'),
  2: many('conditions', POD_CONDITION),
  7: timeOrNone('startTime'),
  8: many('containerStatuses', CONTAINER_STATUS),
  10: many('initContainerStatuses', CONTAINER_STATUS),
  11: text('nominatedNodeName'),
  15: many('resourceClaimStatuses', shape({ 1: text('name'), 2: textOrNone('resourceClaimName') })),
})

const POD = shape({ 1: one('metadata', METADATA), 2: one('spec', POD_SPEC), 3: one('status', POD_STATUS) })

const NODE_SPEC = shape({
  4: flag('unschedulable'),
  5: many('taints', shape({ 1: text('key'), 2: text('value'), 3: text('effect'), 4: timeOrNone('timeAdded') })),
})
const NODE_STATUS = shape({
  1: quantities('capacity'),
  2: quantities('allocatable'),
  8: many('images', shape({ 1: texts('names'), 2: number('sizeBytes') })),
})
const NODE = shape({ 1: one('metadata', METADATA), 2: one('spec', NODE_SPEC), 3: one('status', NODE_STATUS) })

const LIST_METADATA = shape({ 2: text('resourceVersion'), 3: text('continue') })
const listOf = (item: Shape): Shape => shape({ 1: one('metadata', LIST_METADATA), 2: many('items', item) })

const CAUSE = shape({ 1: text('reason'), 2: text('message'), 3: text('field') })
const STATUS = shape({
  1: one('metadata', LIST_METADATA),
  2: text('status'),
  3: text('message'),
  4: text('reason'),
  5: one(
    'details',
    shape({
      1: text('name'),
      2: text('group'),
      3: text('kind'),
      4: many('causes', CAUSE),
      5: number('retryAfterSeconds'),
      6: text('uid'),
    }),
  ),
  6: number('code'),
})

/** What is read so, by kind. */
export const READ_SHAPES: Readonly<Record<string, Shape>> = {
  Pod: POD,
  PodList: listOf(POD),
  Node: NODE,
  NodeList: listOf(NODE),
  Status: STATUS,
}

const REFERENCE = shape({
  1: text('kind'),
  2: text('namespace'),
  3: text('name'),
  4: text('uid'),
  5: text('apiVersion'),
  6: text('resourceVersion'),
  7: text('fieldPath'),
})
const EVENT = shape({
  1: one('metadata', METADATA),
  2: one('involvedObject', REFERENCE),
  3: text('reason'),
  4: text('message'),
  5: one('source', shape({ 1: text('component'), 2: text('host') })),
  6: time('firstTimestamp'),
  7: time('lastTimestamp'),
  8: number('count'),
  9: text('type'),
  10: { is: 'micro-time', name: 'eventTime', pointer: false },
  12: text('action'),
  13: one('related', REFERENCE),
  14: text('reportingComponent'),
  15: text('reportingInstance'),
})

/** What is written so: whole, so that nothing which somebody sets is lost. Of version v1. */
export const WRITE_SHAPES: Readonly<Record<string, Shape>> = {
  Binding: shape({ 1: one('metadata', METADATA), 2: one('target', REFERENCE) }),
  Event: EVENT,
}
