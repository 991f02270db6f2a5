import type { KindInfo } from '../core/kube/cluster.ts'

/** What a kube-apiserver v1.34 serves, preferred version first: group version plural Kind N(amespaced)|C(luster) subresources. */
const TABLE = `
- v1 configmaps ConfigMap N
- v1 endpoints Endpoints N
- v1 events Event N
- v1 limitranges LimitRange N
- v1 namespaces Namespace C finalize,status
- v1 nodes Node C proxy,status
- v1 persistentvolumeclaims PersistentVolumeClaim N status
- v1 persistentvolumes PersistentVolume C status
- v1 pods Pod N attach,binding,ephemeralcontainers,eviction,exec,log,portforward,proxy,resize,status
- v1 podtemplates PodTemplate N
- v1 replicationcontrollers ReplicationController N scale,status
- v1 resourcequotas ResourceQuota N status
- v1 secrets Secret N
- v1 serviceaccounts ServiceAccount N token
- v1 services Service N proxy,status
apps v1 controllerrevisions ControllerRevision N
apps v1 daemonsets DaemonSet N status
apps v1 deployments Deployment N scale,status
apps v1 replicasets ReplicaSet N scale,status
apps v1 statefulsets StatefulSet N scale,status
events.k8s.io v1 events Event N
autoscaling v2 horizontalpodautoscalers HorizontalPodAutoscaler N status
autoscaling v1 horizontalpodautoscalers HorizontalPodAutoscaler N status
batch v1 cronjobs CronJob N status
batch v1 jobs Job N status
networking.k8s.io v1 ingressclasses IngressClass C
networking.k8s.io v1 ingresses Ingress N status
networking.k8s.io v1 ipaddresses IPAddress C
networking.k8s.io v1 networkpolicies NetworkPolicy N
networking.k8s.io v1 servicecidrs ServiceCIDR C status
policy v1 poddisruptionbudgets PodDisruptionBudget N status
rbac.authorization.k8s.io v1 clusterrolebindings ClusterRoleBinding C
rbac.authorization.k8s.io v1 clusterroles ClusterRole C
rbac.authorization.k8s.io v1 rolebindings RoleBinding N
rbac.authorization.k8s.io v1 roles Role N
storage.k8s.io v1 csidrivers CSIDriver C
storage.k8s.io v1 csinodes CSINode C
storage.k8s.io v1 csistoragecapacities CSIStorageCapacity N
storage.k8s.io v1 storageclasses StorageClass C
storage.k8s.io v1 volumeattachments VolumeAttachment C status
storage.k8s.io v1 volumeattributesclasses VolumeAttributesClass C
admissionregistration.k8s.io v1 mutatingwebhookconfigurations MutatingWebhookConfiguration C
admissionregistration.k8s.io v1 validatingadmissionpolicies ValidatingAdmissionPolicy C status
admissionregistration.k8s.io v1 validatingadmissionpolicybindings ValidatingAdmissionPolicyBinding C
admissionregistration.k8s.io v1 validatingwebhookconfigurations ValidatingWebhookConfiguration C
apiextensions.k8s.io v1 customresourcedefinitions CustomResourceDefinition C status
scheduling.k8s.io v1 priorityclasses PriorityClass C
coordination.k8s.io v1 leases Lease N
node.k8s.io v1 runtimeclasses RuntimeClass C
discovery.k8s.io v1 endpointslices EndpointSlice N
`

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']

/** Shared by all simulated clusters of a process. */
export const BUILT_IN_KINDS: readonly KindInfo[] = TABLE.trim()
  .split('\n')
  .map((line) => {
    const [group = '', version = '', plural = '', kind = '', scope = '', subresources = ''] = line.split(' ')
    return {
      group: group === '-' ? '' : group,
      version,
      kind,
      plural,
      namespaced: scope === 'N',
      verbs: VERBS,
      subresources: subresources === '' ? [] : subresources.split(','),
    }
  })

/** `group/Kind`: objects are stored by it, whatever version they were sent in. */
export function groupKind(group: string, kind: string): string {
  return `${group}/${kind}`
}

const BUILT_IN = new Map<string, KindInfo[]>()
for (const info of BUILT_IN_KINDS) {
  const key = groupKind(info.group, info.kind)
  BUILT_IN.set(key, [...(BUILT_IN.get(key) ?? []), info])
}

/** Served versions of a built-in kind, preferred first. */
export function builtIn(key: string): readonly KindInfo[] {
  return BUILT_IN.get(key) ?? []
}

/** The server counts generations of these; everything else of the built-ins has none. */
export const HAS_GENERATION: ReadonlySet<string> = new Set([
  '/Pod', '/ReplicationController', 'apps/Deployment', 'apps/ReplicaSet', 'apps/StatefulSet', 'apps/DaemonSet', 'batch/Job',
  'batch/CronJob', 'networking.k8s.io/Ingress', 'networking.k8s.io/NetworkPolicy', 'networking.k8s.io/IngressClass',
  'policy/PodDisruptionBudget', 'apiextensions.k8s.io/CustomResourceDefinition', 'storage.k8s.io/CSIDriver',
  'admissionregistration.k8s.io/MutatingWebhookConfiguration', 'admissionregistration.k8s.io/ValidatingWebhookConfiguration',
  'admissionregistration.k8s.io/ValidatingAdmissionPolicy', 'admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding',
  'scheduling.k8s.io/PriorityClass',
]) // prettier-ignore
