/**
 * What server-side apply knows about the built-in types: which lists are maps and by which keys, which are sets, which maps are
 * atomic. Taken from the OpenAPI of a kube-apiserver v1.34 (`x-kubernetes-list-type`, `-list-map-keys`, `-map-type`); positions
 * that are not named are granular maps, atomic lists or scalars. One type a line:
 *   Type[=group/version/Kind] field:Type field[key,key]:Type set[=] atomic!
 */
export const BUILT_IN_TYPES = `
ObjectMeta finalizers[=] ownerReferences[uid]
Binding=/v1/Binding target!
ComponentStatus=/v1/ComponentStatus conditions[type]
Event=/v1/Event involvedObject! related!
Namespace=/v1/Namespace status:NamespaceStatus
NamespaceStatus conditions[type]
Node=/v1/Node spec:NodeSpec status:NodeStatus
NodeSpec podCIDRs[=]
NodeStatus addresses[type] conditions[type]
PersistentVolume=/v1/PersistentVolume spec:PersistentVolumeSpec
PersistentVolumeSpec cephfs:CephFSPersistentVolumeSource cinder:CinderPersistentVolumeSource claimRef! csi:CSIPersistentVolumeSource flexVolume:FlexPersistentVolumeSource iscsi:ISCSIPersistentVolumeSource nodeAffinity:VolumeNodeAffinity rbd:RBDPersistentVolumeSource scaleIO:ScaleIOPersistentVolumeSource storageos:StorageOSPersistentVolumeSource
CephFSPersistentVolumeSource secretRef!
CinderPersistentVolumeSource secretRef!
CSIPersistentVolumeSource controllerExpandSecretRef! controllerPublishSecretRef! nodeExpandSecretRef! nodePublishSecretRef! nodeStageSecretRef!
FlexPersistentVolumeSource secretRef!
ISCSIPersistentVolumeSource secretRef!
VolumeNodeAffinity required!
RBDPersistentVolumeSource secretRef!
ScaleIOPersistentVolumeSource secretRef!
StorageOSPersistentVolumeSource secretRef!
PersistentVolumeClaim=/v1/PersistentVolumeClaim spec:PersistentVolumeClaimSpec status:PersistentVolumeClaimStatus
PersistentVolumeClaimSpec dataSource! selector!
PersistentVolumeClaimStatus conditions[type]
Pod=/v1/Pod spec:PodSpec status:PodStatus
PodSpec affinity:Affinity containers[name]:Container ephemeralContainers[name]:EphemeralContainer hostAliases[ip] imagePullSecrets[name] initContainers[name]:Container nodeSelector! resourceClaims[name] resources:ResourceRequirements schedulingGates[name] topologySpreadConstraints[topologyKey,whenUnsatisfiable]:TopologySpreadConstraint volumes[name]:Volume
Affinity nodeAffinity:NodeAffinity
NodeAffinity requiredDuringSchedulingIgnoredDuringExecution!
Container env[name]:EnvVar ports[containerPort,protocol] resources:ResourceRequirements volumeDevices[devicePath] volumeMounts[mountPath]
EnvVar valueFrom:EnvVarSource
EnvVarSource configMapKeyRef! fieldRef! fileKeyRef! resourceFieldRef! secretKeyRef!
ResourceRequirements claims[name]
EphemeralContainer env[name]:EnvVar ports[containerPort,protocol] resources:ResourceRequirements volumeDevices[devicePath] volumeMounts[mountPath]
TopologySpreadConstraint labelSelector!
Volume cephfs:CephFSVolumeSource cinder:CinderVolumeSource csi:CSIVolumeSource ephemeral:EphemeralVolumeSource flexVolume:FlexVolumeSource iscsi:ISCSIVolumeSource rbd:RBDVolumeSource scaleIO:ScaleIOVolumeSource storageos:StorageOSVolumeSource
CephFSVolumeSource secretRef!
CinderVolumeSource secretRef!
CSIVolumeSource nodePublishSecretRef!
EphemeralVolumeSource volumeClaimTemplate:PersistentVolumeClaimTemplate
PersistentVolumeClaimTemplate spec:PersistentVolumeClaimSpec
FlexVolumeSource secretRef!
ISCSIVolumeSource secretRef!
RBDVolumeSource secretRef!
ScaleIOVolumeSource secretRef!
StorageOSVolumeSource secretRef!
PodStatus conditions[type] podIPs[ip] resourceClaimStatuses[name]
PodTemplate=/v1/PodTemplate template:PodTemplateSpec
PodTemplateSpec spec:PodSpec
ReplicationController=/v1/ReplicationController spec:ReplicationControllerSpec status:ReplicationControllerStatus
ReplicationControllerSpec selector! template:PodTemplateSpec
ReplicationControllerStatus conditions[type]
ResourceQuota=/v1/ResourceQuota spec:ResourceQuotaSpec
ResourceQuotaSpec scopeSelector!
Service=/v1/Service spec:ServiceSpec status:ServiceStatus
ServiceSpec ports[port,protocol] selector!
ServiceStatus conditions[type]
ServiceAccount=/v1/ServiceAccount secrets[name]
MutatingWebhookConfiguration=admissionregistration.k8s.io/v1/MutatingWebhookConfiguration webhooks[name]:MutatingWebhook
MutatingWebhook matchConditions[name] namespaceSelector! objectSelector!
ValidatingAdmissionPolicy=admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy spec:ValidatingAdmissionPolicySpec status:ValidatingAdmissionPolicyStatus
ValidatingAdmissionPolicySpec matchConditions[name] matchConstraints! paramKind! variables[name]
ValidatingAdmissionPolicyStatus conditions[type]
ValidatingAdmissionPolicyBinding=admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding spec:ValidatingAdmissionPolicyBindingSpec
ValidatingAdmissionPolicyBindingSpec matchResources! paramRef! validationActions[=]
ValidatingWebhookConfiguration=admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration webhooks[name]:ValidatingWebhook
ValidatingWebhook matchConditions[name] namespaceSelector! objectSelector!
CustomResourceDefinition=apiextensions.k8s.io/v1/CustomResourceDefinition status:CustomResourceDefinitionStatus
CustomResourceDefinitionStatus conditions[type]
APIService=apiregistration.k8s.io/v1/APIService status:APIServiceStatus
APIServiceStatus conditions[type]
DaemonSet=apps/v1/DaemonSet spec:DaemonSetSpec status:DaemonSetStatus
DaemonSetSpec selector! template:PodTemplateSpec
DaemonSetStatus conditions[type]
Deployment=apps/v1/Deployment spec:DeploymentSpec status:DeploymentStatus
DeploymentSpec selector! template:PodTemplateSpec
DeploymentStatus conditions[type]
ReplicaSet=apps/v1/ReplicaSet spec:ReplicaSetSpec status:ReplicaSetStatus
ReplicaSetSpec selector! template:PodTemplateSpec
ReplicaSetStatus conditions[type]
StatefulSet=apps/v1/StatefulSet spec:StatefulSetSpec status:StatefulSetStatus
StatefulSetSpec selector! template:PodTemplateSpec
StatefulSetStatus conditions[type]
HorizontalPodAutoscalerV1=autoscaling/v1/HorizontalPodAutoscaler spec:HorizontalPodAutoscalerSpecV1
HorizontalPodAutoscalerSpecV1 scaleTargetRef!
HorizontalPodAutoscaler=autoscaling/v2/HorizontalPodAutoscaler status:HorizontalPodAutoscalerStatus
HorizontalPodAutoscalerStatus conditions[type]
CronJob=batch/v1/CronJob spec:CronJobSpec
CronJobSpec jobTemplate:JobTemplateSpec
JobTemplateSpec spec:JobSpec
JobSpec selector! template:PodTemplateSpec
Job=batch/v1/Job spec:JobSpec status:JobStatus
JobStatus uncountedTerminatedPods:UncountedTerminatedPods
UncountedTerminatedPods failed[=] succeeded[=]
EventV1=events.k8s.io/v1/Event regarding! related!
Ingress=networking.k8s.io/v1/Ingress spec:IngressSpec
IngressSpec defaultBackend:IngressBackend
IngressBackend resource! service:IngressServiceBackend
IngressServiceBackend port!
NetworkPolicy=networking.k8s.io/v1/NetworkPolicy spec:NetworkPolicySpec
NetworkPolicySpec podSelector!
ServiceCIDR=networking.k8s.io/v1/ServiceCIDR status:ServiceCIDRStatus
ServiceCIDRStatus conditions[type]
RuntimeClass=node.k8s.io/v1/RuntimeClass scheduling:Scheduling
Scheduling nodeSelector!
PodDisruptionBudget=policy/v1/PodDisruptionBudget spec:PodDisruptionBudgetSpec status:PodDisruptionBudgetStatus
PodDisruptionBudgetSpec selector!
PodDisruptionBudgetStatus conditions[type]
ClusterRoleBinding=rbac.authorization.k8s.io/v1/ClusterRoleBinding roleRef!
RoleBinding=rbac.authorization.k8s.io/v1/RoleBinding roleRef!
CSIDriver=storage.k8s.io/v1/CSIDriver spec:CSIDriverSpec
CSIDriverSpec volumeLifecycleModes[=]
CSINode=storage.k8s.io/v1/CSINode spec:CSINodeSpec
CSINodeSpec drivers[name]
CSIStorageCapacity=storage.k8s.io/v1/CSIStorageCapacity nodeTopology!
VolumeAttachment=storage.k8s.io/v1/VolumeAttachment spec:VolumeAttachmentSpec
VolumeAttachmentSpec source:VolumeAttachmentSource
VolumeAttachmentSource inlineVolumeSpec:PersistentVolumeSpec
`
