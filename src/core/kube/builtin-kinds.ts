/** What is known of the built-in kinds without asking a server: their scope, and the groups they moved between. */

export type Scope = 'namespaced' | 'cluster'

/** Kinds by group; cluster-scoped ones stand behind the bar. Kubernetes 1.34 and the groups it still serves or once served. */
const KINDS: Readonly<Record<string, string>> = {
  '':
    'Binding ConfigMap Endpoints Event LimitRange PersistentVolumeClaim Pod PodTemplate ReplicationController ResourceQuota ' +
    'Secret Service ServiceAccount | ComponentStatus Namespace Node PersistentVolume',
  apps: 'ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet |',
  extensions: 'DaemonSet Deployment Ingress NetworkPolicy ReplicaSet | PodSecurityPolicy',
  batch: 'CronJob Job |',
  autoscaling: 'HorizontalPodAutoscaler Scale |',
  policy: 'Eviction PodDisruptionBudget | PodSecurityPolicy',
  'networking.k8s.io': 'Ingress NetworkPolicy | IPAddress IngressClass ServiceCIDR',
  'rbac.authorization.k8s.io': 'Role RoleBinding | ClusterRole ClusterRoleBinding',
  'storage.k8s.io': 'CSIStorageCapacity | CSIDriver CSINode StorageClass VolumeAttachment VolumeAttributesClass',
  'scheduling.k8s.io': '| PriorityClass',
  'node.k8s.io': '| RuntimeClass',
  'coordination.k8s.io': 'Lease LeaseCandidate |',
  'discovery.k8s.io': 'EndpointSlice |',
  'events.k8s.io': 'Event |',
  'admissionregistration.k8s.io':
    '| MutatingAdmissionPolicy MutatingAdmissionPolicyBinding MutatingWebhookConfiguration ValidatingAdmissionPolicy ' +
    'ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration',
  'apiextensions.k8s.io': '| CustomResourceDefinition',
  'apiregistration.k8s.io': '| APIService',
  'certificates.k8s.io': 'PodCertificateRequest | CertificateSigningRequest ClusterTrustBundle',
  'flowcontrol.apiserver.k8s.io': '| FlowSchema PriorityLevelConfiguration',
  'resource.k8s.io': 'ResourceClaim ResourceClaimTemplate | DeviceClass DeviceTaintRule ResourceSlice',
  'authentication.k8s.io': '| SelfSubjectReview TokenReview',
  'authorization.k8s.io':
    'LocalSubjectAccessReview | SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview',
  'internal.apiserver.k8s.io': '| StorageVersion',
  'storagemigration.k8s.io': '| StorageVersionMigration',
}

const SCOPES: ReadonlyMap<string, Scope> = new Map(
  Object.entries(KINDS).flatMap(([group, text]) => {
    const [namespaced = '', cluster = ''] = text.split('|')
    const scoped = (names: string, scope: Scope) =>
      names
        .split(' ')
        .filter((kind) => kind !== '')
        .map((kind): [string, Scope] => [`${group}/${kind}`, scope])
    return [...scoped(namespaced, 'namespaced'), ...scoped(cluster, 'cluster')]
  }),
)

/** Undefined for kinds that are not built in: only the cluster, or the CustomResourceDefinition beside them, can say. */
export function scopeOf(group: string, kind: string): Scope | undefined {
  return SCOPES.get(`${group}/${kind}`)
}

export function isBuiltIn(group: string, kind: string): boolean {
  return SCOPES.has(`${group}/${kind}`)
}

/** Objects that moved group keep their identity: the server shows the same one under both. Old group → kind → new group. */
const MOVED: ReadonlyMap<string, string> = new Map([
  ['extensions/Deployment', 'apps'],
  ['extensions/DaemonSet', 'apps'],
  ['extensions/ReplicaSet', 'apps'],
  ['extensions/Ingress', 'networking.k8s.io'],
  ['extensions/NetworkPolicy', 'networking.k8s.io'],
  ['extensions/PodSecurityPolicy', 'policy'],
  ['events.k8s.io/Event', ''],
])

/** The group under which one object has one name, whichever it was written with: `extensions` Ingress is networking.k8s.io. */
export function currentGroup(group: string, kind: string): string {
  return MOVED.get(`${group}/${kind}`) ?? group
}
