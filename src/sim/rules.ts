/** What the API server refuses: names, required fields, and changes of fields that cannot change in place. */
import { refuseDnsLabel, refuseDnsSubdomain, refuseLabelKey, refuseLabelValue } from '../core/kube/names.ts'
import { matches } from '../core/kube/selector.ts'
import { Fault } from '../core/model/fault.ts'
import { isObject, jsonEqual, type Json, type JsonObject } from '../core/model/json.ts'
import type { Manifest } from '../core/model/object.ts'
import type { Objection } from './structural.ts'

const LABEL_NAMES = new Set(['/Namespace', '/Service'])
/** Names of these may hold capitals and colons. */
const PATH_NAMES = /^rbac\.authorization\.k8s\.io\//

/** The value at a dotted path. */
export function dig(value: Json | undefined, path: string): Json | undefined {
  return path.split('.').reduce<Json | undefined>((at, key) => (isObject(at) ? at[key] : undefined), value)
}

function rejected(object: Manifest, objections: readonly Objection[]): Fault {
  const { field, message } = objections[0] as Objection
  const text = objections.map((objection) => `${objection.field}: ${objection.message}`).join(', ')
  return new Fault('Rejected', `${object.kind} "${object.metadata.name}" is invalid: ${text}`, {
    facts: { field, message, causes: objections.length, status: 422 },
  })
}

/** Fault Rejected, naming the first field that is wrong. */
export function validate(key: string, object: Manifest, more: readonly Objection[] = []): void {
  const found: Objection[] = [...more]
  const { name, labels } = object.metadata
  if (!PATH_NAMES.test(key)) {
    const because = (LABEL_NAMES.has(key) ? refuseDnsLabel : refuseDnsSubdomain)(name)
    if (because !== undefined) found.push({ field: 'metadata.name', message: `Invalid value: "${name}": ${because}` })
  }
  for (const [label, value] of Object.entries(labels ?? {})) {
    const because = refuseLabelKey(label) ?? refuseLabelValue(value)
    if (because !== undefined)
      found.push({ field: 'metadata.labels', message: `Invalid value: "${label}=${value}": ${because}` })
  }
  for (const path of REQUIRED[key] ?? []) {
    const value = dig(object, path)
    if (value === undefined || (Array.isArray(value) && value.length === 0))
      found.push({ field: path, message: 'Required value' })
  }
  const podPath = POD_SPECS[key]
  if (podPath !== undefined) found.push(...judgePod(dig(object, podPath), podPath))
  if (SELECTS_TEMPLATE.has(key)) found.push(...judgeSelector(object))
  if (
    key === 'batch/Job' &&
    !['Never', 'OnFailure'].includes(dig(object, 'spec.template.spec.restartPolicy') as string)
  )
    found.push({
      field: 'spec.template.spec.restartPolicy',
      message: 'Required value: valid values: "OnFailure", "Never"',
    })
  if (key === CRD) found.push(...judgeCrdName(object))
  if (found.length > 0) throw rejected(object, found)
}

const CRD = 'apiextensions.k8s.io/CustomResourceDefinition'
const SELECTS_TEMPLATE = new Set(['apps/Deployment', 'apps/ReplicaSet', 'apps/StatefulSet', 'apps/DaemonSet'])

export const POD_SPECS: Readonly<Record<string, string>> = {
  '/Pod': 'spec',
  'apps/Deployment': 'spec.template.spec',
  'apps/ReplicaSet': 'spec.template.spec',
  'apps/StatefulSet': 'spec.template.spec',
  'apps/DaemonSet': 'spec.template.spec',
  'batch/Job': 'spec.template.spec',
  'batch/CronJob': 'spec.jobTemplate.spec.template.spec',
}

const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  'apps/Deployment': ['spec.selector', 'spec.template'],
  'apps/ReplicaSet': ['spec.selector'],
  'apps/StatefulSet': ['spec.selector', 'spec.template'],
  'apps/DaemonSet': ['spec.selector', 'spec.template'],
  'batch/Job': ['spec.template'],
  'batch/CronJob': ['spec.schedule', 'spec.jobTemplate'],
  '/PersistentVolumeClaim': ['spec.accessModes', 'spec.resources.requests.storage'],
  'rbac.authorization.k8s.io/RoleBinding': ['roleRef.name', 'roleRef.kind'],
  'rbac.authorization.k8s.io/ClusterRoleBinding': ['roleRef.name', 'roleRef.kind'],
  'autoscaling/HorizontalPodAutoscaler': ['spec.maxReplicas', 'spec.scaleTargetRef.name'],
  [CRD]: ['spec.group', 'spec.scope', 'spec.names.plural', 'spec.names.kind', 'spec.versions'],
}

function judgePod(spec: Json | undefined, path: string): readonly Objection[] {
  if (!isObject(spec)) return []
  const found: Objection[] = []
  const containers = (spec['containers'] ?? []) as readonly JsonObject[]
  if (containers.length === 0) found.push({ field: `${path}.containers`, message: 'Required value' })
  const names = new Set<string>()
  for (const [i, container] of containers.entries()) {
    const name = container['name']
    if (typeof name !== 'string' || name === '')
      found.push({ field: `${path}.containers[${i}].name`, message: 'Required value' })
    else if (names.has(name))
      found.push({ field: `${path}.containers[${i}].name`, message: `Duplicate value: "${name}"` })
    else names.add(name)
    if (typeof container['image'] !== 'string' || container['image'] === '')
      found.push({ field: `${path}.containers[${i}].image`, message: 'Required value' })
  }
  return found
}

function judgeSelector(object: Manifest): readonly Objection[] {
  const selector = dig(object, 'spec.selector')
  const template = dig(object, 'spec.template')
  if (!isObject(selector) || !isObject(template)) return []
  const labels = (dig(template, 'metadata.labels') ?? {}) as Record<string, string>
  if (matches(selector, labels)) return []
  return [
    {
      field: 'spec.template.metadata.labels',
      message: `Invalid value: ${JSON.stringify(labels)}: \`selector\` does not match template \`labels\``,
    },
  ]
}

function judgeCrdName(object: Manifest): readonly Objection[] {
  const expected = `${dig(object, 'spec.names.plural') as string}.${dig(object, 'spec.group') as string}`
  return object.metadata.name === expected
    ? []
    : [
        {
          field: 'metadata.name',
          message: `Invalid value: "${object.metadata.name}": must be spec.names.plural+"."+spec.group`,
        },
      ]
}

/** A field that stays as it is after creation; `only`: but for these below it. */
interface Fixed {
  readonly field: string
  /** Where its value stands, if not there. */
  readonly at?: string
  readonly only?: readonly string[]
  readonly unless?: (live: Manifest) => boolean
}

const IMMUTABLE: Readonly<Record<string, readonly Fixed[]>> = {
  'apps/Deployment': [{ field: 'spec.selector' }],
  'apps/ReplicaSet': [{ field: 'spec.selector' }],
  'apps/DaemonSet': [{ field: 'spec.selector' }],
  'apps/StatefulSet': [
    {
      field: 'spec',
      only: ['replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy', 'minReadySeconds'],
    },
  ], // prettier-ignore
  'batch/Job': [
    {
      field: 'spec.template',
      unless: (live) => dig(live, 'spec.suspend') === true && dig(live, 'status.startTime') === undefined,
    },
    { field: 'spec.selector' },
    { field: 'spec.completionMode' },
    { field: 'spec.completions', unless: (live) => dig(live, 'spec.completionMode') === 'Indexed' },
    { field: 'spec.podFailurePolicy' },
  ],
  '/Service': [
    { field: 'spec.clusterIPs[0]', at: 'spec.clusterIP', unless: (live) => dig(live, 'spec.type') === 'ExternalName' },
  ],
  '/Pod': [{ field: 'spec', only: ['containers', 'initContainers', 'activeDeadlineSeconds', 'tolerations', 'terminationGracePeriodSeconds', 'schedulingGates', 'nodeName'] }], // prettier-ignore
  '/PersistentVolumeClaim': [{ field: 'spec', only: ['resources', 'volumeName', 'volumeAttributesClassName'] }],
  '/Secret': [{ field: 'type' }, { field: 'data', unless: (live) => live['immutable'] !== true }],
  '/ConfigMap': [{ field: 'data', unless: (live) => live['immutable'] !== true }],
  'rbac.authorization.k8s.io/RoleBinding': [{ field: 'roleRef' }],
  'rbac.authorization.k8s.io/ClusterRoleBinding': [{ field: 'roleRef' }],
  'storage.k8s.io/StorageClass': [{ field: 'provisioner' }, { field: 'parameters' }, { field: 'reclaimPolicy' }],
  'scheduling.k8s.io/PriorityClass': [{ field: 'value' }],
  'networking.k8s.io/IngressClass': [{ field: 'spec.controller' }],
  [CRD]: [{ field: 'spec.scope' }, { field: 'spec.group' }],
}

/** Fault ImmutableField with the field in its facts. */
export function refuseImmutable(key: string, live: Manifest, next: Manifest): void {
  for (const { field, at = field, only, unless } of IMMUTABLE[key] ?? []) {
    if (unless?.(live) === true) continue
    const [before, after] = [dig(live, at), dig(next, at)]
    if (jsonEqual(without(before, only), without(after, only))) continue
    throw new Fault(
      'ImmutableField',
      `${next.kind} "${next.metadata.name}" is invalid: ${field}: Invalid value: field is immutable`,
      {
        facts: { field, status: 422 },
      },
    )
  }
  if (key === '/Pod') refusePodChange(live, next)
}

function without(value: Json | undefined, keys: readonly string[] | undefined): Json | undefined {
  if (keys === undefined || !isObject(value)) return value
  return Object.fromEntries(Object.entries(value).filter(([key]) => !keys.includes(key)))
}

/** Of a pod's containers only the image may change. */
function refusePodChange(live: Manifest, next: Manifest): void {
  const shapes = [live, next].map((pod) =>
    ((dig(pod, 'spec.containers') ?? []) as readonly JsonObject[]).map(
      (container) => without(container, ['image']) as Json,
    ),
  )
  if (jsonEqual(shapes[0], shapes[1])) return
  throw new Fault(
    'ImmutableField',
    `Pod "${next.metadata.name}" is invalid: spec: Forbidden: pod updates may not change fields other than \`spec.containers[*].image\``,
    {
      facts: { field: 'spec', status: 422 },
    },
  )
}
