/**
 * Which lists of the built-in kinds merge, and by which key: what Kubernetes declares on its types (1.34). A list that does not
 * stand here is replaced as a whole, tolerations for one. Kinds that are not built in have no rules: all their lists are replaced.
 */

export interface FieldRule {
  /** Shape of the map, or of the list's elements. */
  readonly of?: string
  /** A list that merges: of maps by their `key`, of scalars where there is none. */
  readonly list?: 'merge'
  readonly key?: string
  /** A map that the patch replaces. */
  readonly map?: 'replace'
}
export type Shape = Readonly<Record<string, FieldRule>>
export type Shapes = Readonly<Record<string, Shape>>

const by = (key: string, of?: string): FieldRule =>
  of === undefined ? { list: 'merge', key } : { list: 'merge', key, of }
const set: FieldRule = { list: 'merge' }
const is = (of: string): FieldRule => ({ of })

const conditions: FieldRule = by('type')
const metadata: FieldRule = is('ObjectMeta')
const conditioned: Shape = { metadata, status: is('Conditions') }
const workload = (spec: string): Shape => ({ metadata, spec: is(spec), status: is('Conditions') })
const webhooks: Shape = { metadata, webhooks: by('name', 'Webhook') }
const policy: Shape = { metadata, spec: is('AdmissionPolicySpec') }
const container: Shape = {
  ports: by('containerPort'),
  env: by('name'),
  volumeMounts: by('mountPath'),
  volumeDevices: by('devicePath'),
}

export const SHAPES: Shapes = {
  ObjectMeta: { ownerReferences: by('uid'), finalizers: set },
  Conditions: { conditions },
  Conditioned: conditioned,

  PodSpec: {
    volumes: by('name', 'Volume'),
    initContainers: by('name', 'Container'),
    containers: by('name', 'Container'),
    ephemeralContainers: by('name', 'Container'),
    imagePullSecrets: by('name'),
    hostAliases: by('ip'),
    topologySpreadConstraints: by('topologyKey'),
    schedulingGates: by('name'),
    resourceClaims: by('name'),
  },
  PodStatus: {
    conditions,
    hostIPs: by('ip'),
    podIPs: by('ip'),
    initContainerStatuses: is('ContainerStatus'),
    containerStatuses: is('ContainerStatus'),
    ephemeralContainerStatuses: is('ContainerStatus'),
    resourceClaimStatuses: by('name'),
  },
  Container: container,
  ContainerStatus: { volumeMounts: by('mountPath'), allocatedResourcesStatus: by('name') },
  Volume: { ephemeral: is('EphemeralVolume') },
  EphemeralVolume: { volumeClaimTemplate: is('PersistentVolumeClaim') },
  PodTemplate: { metadata, spec: is('PodSpec') },
  HasTemplate: { template: is('PodTemplate') },
  CronJobSpec: { jobTemplate: is('JobTemplate') },
  JobTemplate: { metadata, spec: is('HasTemplate') },
  StatefulSetSpec: { template: is('PodTemplate'), volumeClaimTemplates: is('PersistentVolumeClaim') },
  PersistentVolumeClaim: conditioned,

  Pod: { metadata, spec: is('PodSpec'), status: is('PodStatus') },
  PodTemplateKind: { metadata, template: is('PodTemplate') },
  Workload: workload('HasTemplate'),
  StatefulSet: workload('StatefulSetSpec'),
  CronJob: { metadata, spec: is('CronJobSpec') },
  Service: { metadata, spec: is('ServiceSpec'), status: is('Conditions') },
  ServiceSpec: { ports: by('port') },
  ServiceAccount: { metadata, secrets: by('name') },
  Node: { metadata, spec: is('NodeSpec'), status: is('NodeStatus') },
  NodeSpec: { podCIDRs: set },
  NodeStatus: { conditions, addresses: by('type') },
  ComponentStatus: { metadata, conditions },
  PodDisruptionBudget: { metadata, spec: is('PodDisruptionBudgetSpec'), status: is('Conditions') },
  PodDisruptionBudgetSpec: { selector: { map: 'replace' } },
  ResourceClaim: { metadata, status: is('ResourceClaimStatus') },
  ResourceClaimStatus: { reservedFor: by('uid') },
  ResourceClaimTemplate: { metadata, spec: is('Metadata') },
  CSINode: { metadata, spec: is('CSINodeSpec') },
  CSINodeSpec: { drivers: by('name') },
  Webhook: { matchConditions: by('name') },
  Webhooks: webhooks,
  AdmissionPolicy: policy,
  AdmissionPolicySpec: { matchConditions: by('name'), variables: by('name') },
  Metadata: { metadata },
}

/** Shapes of kinds, by `group/Kind`; the versions of a kind agree. */
const KINDS: Readonly<Record<string, string>> = {
  '/Pod': 'Pod',
  '/PodTemplate': 'PodTemplateKind',
  '/ReplicationController': 'Workload',
  '/Service': 'Service',
  '/ServiceAccount': 'ServiceAccount',
  '/PersistentVolumeClaim': 'PersistentVolumeClaim',
  '/Namespace': 'Conditioned',
  '/Node': 'Node',
  '/ComponentStatus': 'ComponentStatus',
  'apps/Deployment': 'Workload',
  'apps/DaemonSet': 'Workload',
  'apps/ReplicaSet': 'Workload',
  'apps/StatefulSet': 'StatefulSet',
  'extensions/Deployment': 'Workload',
  'extensions/DaemonSet': 'Workload',
  'extensions/ReplicaSet': 'Workload',
  'batch/Job': 'Workload',
  'batch/CronJob': 'CronJob',
  'policy/PodDisruptionBudget': 'PodDisruptionBudget',
  'autoscaling/HorizontalPodAutoscaler': 'Conditioned',
  'resource.k8s.io/ResourceClaim': 'ResourceClaim',
  'resource.k8s.io/ResourceClaimTemplate': 'ResourceClaimTemplate',
  'storage.k8s.io/CSINode': 'CSINode',
  'flowcontrol.apiserver.k8s.io/FlowSchema': 'Conditioned',
  'flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration': 'Conditioned',
  'networking.k8s.io/ServiceCIDR': 'Conditioned',
  'admissionregistration.k8s.io/MutatingWebhookConfiguration': 'Webhooks',
  'admissionregistration.k8s.io/ValidatingWebhookConfiguration': 'Webhooks',
  'admissionregistration.k8s.io/MutatingAdmissionPolicy': 'AdmissionPolicy',
  'admissionregistration.k8s.io/ValidatingAdmissionPolicy': 'AdmissionPolicy',
}

/** Built-in groups whose other kinds still have the metadata that all built-in kinds have. */
const BUILT_IN_GROUP = /^(?:|apps|batch|policy|autoscaling|extensions|[a-z.]+\.k8s\.io)$/

/** The name of a kind's shape in SHAPES; undefined for kinds that are not built in. */
export function shapeOfKind(group: string, kind: string): string | undefined {
  const known = KINDS[`${group}/${kind}`]
  if (known !== undefined) return known
  return BUILT_IN_GROUP.test(group) && BUILT_IN_METADATA_ONLY.has(kind) ? 'Metadata' : undefined
}

/** Built-in kinds with no merging list but those of their metadata. */
const BUILT_IN_METADATA_ONLY = new Set([
  'ConfigMap',
  'Secret',
  'Endpoints',
  'Event',
  'LimitRange',
  'ResourceQuota',
  'PersistentVolume',
  'Ingress',
  'IngressClass',
  'NetworkPolicy',
  'Role',
  'RoleBinding',
  'ClusterRole',
  'ClusterRoleBinding',
  'StorageClass',
  'CSIDriver',
  'CSIStorageCapacity',
  'VolumeAttachment',
  'PriorityClass',
  'RuntimeClass',
  'Lease',
  'EndpointSlice',
  'ControllerRevision',
  'CertificateSigningRequest',
  'DeviceClass',
  'ResourceSlice',
  'ValidatingAdmissionPolicyBinding',
  'MutatingAdmissionPolicyBinding',
])
