/** What every object must have before it is ordered or sent: a kind, a name, and a namespace exactly where its kind has one. */
import { isObject } from '../model/json.ts'
import { groupOf, refOf, type Manifest, type ObjectRef } from '../model/object.ts'
import { definedKind } from './order.ts'

export interface ObjectError {
  readonly ref: ObjectRef
  readonly field: 'kind' | 'metadata.name' | 'metadata.namespace'
  readonly reason: 'required' | 'invalid'
}

export type Scope = 'Namespaced' | 'Cluster'

/** The kinds of Kubernetes itself that stand in no namespace, by group. All other kinds of these groups are namespaced. */
const CLUSTER_SCOPED: Readonly<Record<string, readonly string[]>> = {
  '': ['Namespace', 'Node', 'PersistentVolume', 'ComponentStatus'],
  'admissionregistration.k8s.io': [
    'MutatingWebhookConfiguration',
    'ValidatingWebhookConfiguration',
    'ValidatingAdmissionPolicy',
    'ValidatingAdmissionPolicyBinding',
    'MutatingAdmissionPolicy',
    'MutatingAdmissionPolicyBinding',
  ],
  'apiextensions.k8s.io': ['CustomResourceDefinition'],
  'apiregistration.k8s.io': ['APIService'],
  apps: [],
  'authentication.k8s.io': ['TokenReview', 'SelfSubjectReview'],
  'authorization.k8s.io': ['SubjectAccessReview', 'SelfSubjectAccessReview', 'SelfSubjectRulesReview'],
  autoscaling: [],
  batch: [],
  'certificates.k8s.io': ['CertificateSigningRequest', 'ClusterTrustBundle'],
  'coordination.k8s.io': [],
  'discovery.k8s.io': [],
  'events.k8s.io': [],
  extensions: ['PodSecurityPolicy'],
  'flowcontrol.apiserver.k8s.io': ['FlowSchema', 'PriorityLevelConfiguration'],
  'internal.apiserver.k8s.io': ['StorageVersion'],
  'networking.k8s.io': ['IngressClass', 'IPAddress', 'ServiceCIDR'],
  'node.k8s.io': ['RuntimeClass'],
  policy: ['PodSecurityPolicy'],
  'rbac.authorization.k8s.io': ['ClusterRole', 'ClusterRoleBinding'],
  'resource.k8s.io': ['DeviceClass', 'ResourceSlice'],
  'scheduling.k8s.io': ['PriorityClass'],
  'storage.k8s.io': ['StorageClass', 'VolumeAttachment', 'CSIDriver', 'CSINode', 'VolumeAttributesClass'],
  'storagemigration.k8s.io': ['StorageVersionMigration'],
}

/** undefined: neither Kubernetes' own nor defined in the list. */
export function scopeOf(group: string, kind: string, definitions: ReadonlyMap<string, Scope>): Scope | undefined {
  const defined = definitions.get(`${group}/${kind}`)
  if (defined !== undefined) return defined
  const clusterScoped = Object.hasOwn(CLUSTER_SCOPED, group) ? CLUSTER_SCOPED[group] : undefined
  if (clusterScoped === undefined) return undefined
  return clusterScoped.includes(kind) ? 'Cluster' : 'Namespaced'
}

/** Scopes that the CustomResourceDefinitions of a list give, by `group/kind`. */
export function definedScopes(objects: readonly Manifest[]): ReadonlyMap<string, Scope> {
  const scopes = new Map<string, Scope>()
  for (const object of objects) {
    const defines = definedKind(object)
    if (defines === undefined || !isObject(object.spec)) continue
    scopes.set(`${defines.group}/${defines.kind}`, object.spec.scope === 'Cluster' ? 'Cluster' : 'Namespaced')
  }
  return scopes
}

export function validateObjects(objects: readonly Manifest[]): readonly ObjectError[] {
  const scopes = definedScopes(objects)
  return objects.flatMap((object) => validateObject(object, scopes))
}

function validateObject(object: Manifest, scopes: ReadonlyMap<string, Scope>): readonly ObjectError[] {
  const ref: ObjectRef = { ...refOf(object), kind: object.kind ?? '', name: object.metadata?.name ?? '' }
  const errors: ObjectError[] = []
  if (ref.kind === '') errors.push({ ref, field: 'kind', reason: 'required' })
  if (ref.name === '') errors.push({ ref, field: 'metadata.name', reason: 'required' })
  const scope = ref.kind === '' ? undefined : scopeOf(groupOf(object.apiVersion), ref.kind, scopes)
  if (scope === 'Namespaced' && ref.namespace === '')
    errors.push({ ref, field: 'metadata.namespace', reason: 'required' })
  if (scope === 'Cluster' && ref.namespace !== '') errors.push({ ref, field: 'metadata.namespace', reason: 'invalid' })
  return errors
}
