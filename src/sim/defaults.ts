/** What a kube-apiserver fills in by itself. Objects come back with it, and a diff must know that it is not drift. */
import { isObject, type Json, type JsonObject } from '../core/model/json.ts'
import type { Manifest } from '../core/model/object.ts'

type Draft = { [key: string]: any }

/** Works on a copy that it may change; returns it. */
export type Default = (draft: Draft, given: { readonly clusterIp: () => string }) => void

function fill(target: Draft, defaults: JsonObject): void {
  for (const [key, value] of Object.entries(defaults)) if (target[key] === undefined) target[key] = value
}

const PROBES = ['livenessProbe', 'readinessProbe', 'startupProbe']

function container(draft: Draft): void {
  const image = String(draft['image'] ?? '')
  const tag = /:([^/@]+)(?:@|$)/.exec(image)?.[1]
  const latest = !image.includes('@') && (tag === undefined || tag === 'latest')
  fill(draft, {
    imagePullPolicy: latest ? 'Always' : 'IfNotPresent',
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
  })
  draft['resources'] ??= {}
  for (const port of draft['ports'] ?? []) fill(port, { protocol: 'TCP' })
  for (const probe of PROBES) {
    if (!isObject(draft[probe])) continue
    fill(draft[probe], { failureThreshold: 3, periodSeconds: 10, successThreshold: 1, timeoutSeconds: 1 })
    if (isObject(draft[probe]['httpGet'])) fill(draft[probe]['httpGet'], { scheme: 'HTTP', path: '/' })
  }
  for (const env of draft['env'] ?? [])
    if (isObject(env.valueFrom?.fieldRef)) fill(env.valueFrom.fieldRef as Draft, { apiVersion: 'v1' })
}

function podSpec(draft: Draft | undefined): void {
  if (draft === undefined) return
  for (const list of ['containers', 'initContainers']) for (const item of draft[list] ?? []) container(item)
  fill(draft, {
    dnsPolicy: 'ClusterFirst',
    restartPolicy: 'Always',
    schedulerName: 'default-scheduler',
    securityContext: {},
    terminationGracePeriodSeconds: 30,
  })
  if (draft['serviceAccountName'] !== undefined) fill(draft, { serviceAccount: draft['serviceAccountName'] })
  for (const volume of draft['volumes'] ?? []) {
    for (const source of ['configMap', 'secret', 'projected', 'downwardAPI'])
      if (isObject(volume[source])) fill(volume[source], { defaultMode: 420 })
    if (isObject(volume.hostPath)) fill(volume.hostPath as Draft, { type: '' })
  }
}

function claim(draft: Draft): void {
  fill((draft['spec'] ??= {}), { volumeMode: 'Filesystem' })
  fill(draft, { status: { phase: 'Pending' } })
}

function jobSpec(spec: Draft): void {
  podSpec(spec['template']?.spec)
  if (spec['completions'] === undefined && spec['parallelism'] === undefined) fill(spec, { completions: 1 })
  fill(spec, {
    backoffLimit: 6,
    completionMode: 'NonIndexed',
    parallelism: 1,
    suspend: false,
    manualSelector: false,
    podReplacementPolicy: 'TerminatingOrFailed',
  })
}

function service(draft: Draft, given: { readonly clusterIp: () => string }): void {
  const spec = (draft['spec'] ??= {}) as Draft
  fill(spec, { type: 'ClusterIP', sessionAffinity: 'None' })
  for (const port of spec['ports'] ?? []) {
    fill(port, { protocol: 'TCP' })
    fill(port, { targetPort: port.port })
  }
  if (spec['sessionAffinity'] === 'ClientIP')
    fill(spec, { sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } } })
  if (spec['type'] !== 'ExternalName') {
    if (spec['clusterIP'] === undefined || spec['clusterIP'] === '') spec['clusterIP'] = given.clusterIp()
    // Headless without a selector: whoever writes its endpoints may write both families.
    if (spec['clusterIP'] === 'None' && Object.keys(spec['selector'] ?? {}).length === 0)
      fill(spec, { ipFamilies: ['IPv4', 'IPv6'], ipFamilyPolicy: 'RequireDualStack' })
    fill(spec, {
      clusterIPs: [spec['clusterIP']],
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      internalTrafficPolicy: 'Cluster',
    })
    if (spec['type'] !== 'ClusterIP') fill(spec, { externalTrafficPolicy: 'Cluster' })
    if (spec['type'] === 'LoadBalancer') fill(spec, { allocateLoadBalancerNodePorts: true })
  }
  fill(draft, { status: { loadBalancer: {} } })
}

const DEFAULTS: Record<string, Default> = {
  'apps/Deployment': (draft) => {
    const spec = (draft['spec'] ??= {}) as Draft
    fill(spec, { progressDeadlineSeconds: 600, replicas: 1, revisionHistoryLimit: 10, strategy: {} })
    fill(spec['strategy'], { type: 'RollingUpdate' })
    if (spec['strategy'].type === 'RollingUpdate') {
      fill(spec['strategy'], { rollingUpdate: {} })
      fill(spec['strategy'].rollingUpdate, { maxSurge: '25%', maxUnavailable: '25%' })
    }
    podSpec(spec['template']?.spec)
  },
  'apps/ReplicaSet': (draft) => {
    fill((draft['spec'] ??= {}), { replicas: 1 })
    podSpec(draft['spec'].template?.spec)
  },
  'apps/StatefulSet': (draft) => {
    const spec = (draft['spec'] ??= {}) as Draft
    fill(spec, { podManagementPolicy: 'OrderedReady', replicas: 1, revisionHistoryLimit: 10, updateStrategy: {} })
    fill(spec, { persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' } })
    fill(spec['updateStrategy'], { type: 'RollingUpdate' })
    if (spec['updateStrategy'].type === 'RollingUpdate')
      fill(spec['updateStrategy'], { rollingUpdate: { partition: 0 } })
    podSpec(spec['template']?.spec)
    for (const template of spec['volumeClaimTemplates'] ?? []) {
      fill(template, { apiVersion: 'v1', kind: 'PersistentVolumeClaim' })
      claim(template)
    }
  },
  'apps/DaemonSet': (draft) => {
    const spec = (draft['spec'] ??= {}) as Draft
    fill(spec, { revisionHistoryLimit: 10, updateStrategy: {} })
    fill(spec['updateStrategy'], { type: 'RollingUpdate' })
    if (spec['updateStrategy'].type === 'RollingUpdate') {
      fill(spec['updateStrategy'], { rollingUpdate: {} })
      fill(spec['updateStrategy'].rollingUpdate, { maxSurge: 0, maxUnavailable: 1 })
    }
    podSpec(spec['template']?.spec)
  },
  'batch/Job': (draft) => {
    const spec = (draft['spec'] ??= {}) as Draft
    jobSpec(spec)
    const uid = draft['metadata'].uid as string | undefined
    // The server names a Job's pods by its UID, unless told that the selector is ours.
    if (uid === undefined || spec['manualSelector'] === true || spec['selector'] !== undefined) return
    const names = { 'batch.kubernetes.io/controller-uid': uid, 'batch.kubernetes.io/job-name': draft['metadata'].name, 'controller-uid': uid, 'job-name': draft['metadata'].name } // prettier-ignore
    spec['selector'] = { matchLabels: { 'batch.kubernetes.io/controller-uid': uid } }
    if (!isObject(spec['template'])) return
    const metadata = spec['template']['metadata'] as JsonObject | undefined
    spec['template'] = {
      ...spec['template'],
      metadata: { ...metadata, labels: { ...(metadata?.['labels'] as JsonObject | undefined), ...names } },
    }
  },
  'batch/CronJob': (draft) => {
    const spec = (draft['spec'] ??= {}) as Draft
    fill(spec, { concurrencyPolicy: 'Allow', failedJobsHistoryLimit: 1, successfulJobsHistoryLimit: 3, suspend: false })
    podSpec(spec['jobTemplate']?.spec?.template?.spec)
  },
  '/Pod': (draft) => {
    const spec = (draft['spec'] ??= {}) as Draft
    podSpec(spec)
    // Of a pod only; in a template limits stand alone.
    for (const { resources } of [...(spec['containers'] ?? []), ...(spec['initContainers'] ?? [])] as readonly Draft[])
      if (isObject(resources?.limits)) resources.requests = { ...resources.limits, ...resources.requests }
    fill(spec, { enableServiceLinks: true, preemptionPolicy: 'PreemptLowerPriority', priority: 0 })
    fill(draft, { status: { phase: 'Pending' } })
  },
  '/Service': service,
  '/PersistentVolumeClaim': (draft) => {
    claim(draft)
    // Held until no pod uses it; the finalizer comes with the claim, never again later.
    if (draft['metadata'].resourceVersion === undefined && draft['metadata'].finalizers === undefined)
      draft['metadata'].finalizers = ['kubernetes.io/pvc-protection']
  },
  '/PersistentVolume': (draft) => {
    fill((draft['spec'] ??= {}), { persistentVolumeReclaimPolicy: 'Retain', volumeMode: 'Filesystem' })
    fill(draft, { status: { phase: 'Available' } })
  },
  '/Namespace': (draft) => {
    fill((draft['spec'] ??= {}), { finalizers: ['kubernetes'] })
    fill(draft, { status: { phase: 'Active' } })
    const metadata = draft['metadata'] as Draft
    metadata['labels'] = { ...metadata['labels'], 'kubernetes.io/metadata.name': metadata['name'] }
  },
  '/Secret': (draft) => {
    fill(draft, { type: 'Opaque' })
    const plain = draft['stringData'] as JsonObject | undefined
    if (plain === undefined) return
    const encoded = Object.entries(plain).map(([key, value]) => [key, Buffer.from(value as string).toString('base64')])
    draft['data'] = { ...draft['data'], ...(Object.fromEntries(encoded) as JsonObject) }
    delete draft['stringData']
  },
  'rbac.authorization.k8s.io/RoleBinding': subjects,
  'rbac.authorization.k8s.io/ClusterRoleBinding': subjects,
  'autoscaling/HorizontalPodAutoscaler': (draft) => {
    fill((draft['spec'] ??= {}), { minReplicas: 1 })
    if (String(draft['apiVersion']).endsWith('/v2'))
      fill(draft['spec'], {
        metrics: [
          { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } },
        ],
      })
  },
  'networking.k8s.io/NetworkPolicy': (draft) => {
    fill((draft['spec'] ??= {}), {
      policyTypes: draft['spec'].egress === undefined ? ['Ingress'] : ['Ingress', 'Egress'],
    })
  },
  'apiextensions.k8s.io/CustomResourceDefinition': (draft) => {
    const spec = (draft['spec'] ??= {}) as Draft
    fill(spec, { conversion: { strategy: 'None' } })
    const names = (spec['names'] ??= {}) as Draft
    fill(names, { listKind: `${String(names['kind'])}List`, singular: String(names['kind']).toLowerCase() })
  },
  'admissionregistration.k8s.io/ValidatingWebhookConfiguration': webhooks,
  'admissionregistration.k8s.io/MutatingWebhookConfiguration': webhooks,
}

function subjects(draft: Draft): void {
  for (const subject of draft['subjects'] ?? [])
    if (subject.kind !== 'ServiceAccount') fill(subject, { apiGroup: 'rbac.authorization.k8s.io' })
  if (isObject(draft['roleRef'])) fill(draft['roleRef'], { apiGroup: 'rbac.authorization.k8s.io' })
}

function webhooks(draft: Draft): void {
  for (const webhook of draft['webhooks'] ?? []) {
    fill(webhook, {
      failurePolicy: 'Fail',
      matchPolicy: 'Equivalent',
      namespaceSelector: {},
      objectSelector: {},
      timeoutSeconds: 10,
    })
    if (draft['kind'] === 'MutatingWebhookConfiguration') fill(webhook, { reinvocationPolicy: 'Never' })
    for (const rule of webhook.rules ?? []) fill(rule, { scope: '*' })
    if (isObject(webhook.clientConfig?.service)) fill(webhook.clientConfig.service as Draft, { port: 443 })
  }
}

/** A deep copy with the defaults of its kind. `key` is group/Kind. */
export function defaulted(key: string, object: Manifest, given: { readonly clusterIp: () => string }): Manifest {
  const draft = copy(object) as Draft
  DEFAULTS[key]?.(draft, given)
  dropEmpty(draft)
  return draft as unknown as Manifest
}

/** JSON only, which is why it is several times as fast as structuredClone. */
function copy(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item) => copy(item))
  const made: Draft = {}
  for (const key in value) made[key] = copy((value as Draft)[key])
  return made
}

/** Maps that Go writes only where something is in them; an empty struct, as in `emptyDir: {}`, says something and stays. */
const OPTIONAL_MAPS = new Set(['annotations', 'binaryData', 'data', 'labels', 'limits', 'matchLabels', 'nodeSelector', 'parameters', 'requests', 'selector', 'stringData']) // prettier-ignore
/** Lists that are there even when they are empty. */
const KEPT_LISTS = new Set(['rules', 'containers', 'ingress', 'egress'])

function dropEmpty(value: Draft): void {
  for (const [key, child] of Object.entries(value)) {
    if (Array.isArray(child)) {
      if (child.length === 0 && !KEPT_LISTS.has(key)) delete value[key]
      for (const item of child) if (isObject(item)) dropEmpty(item)
    } else if (isObject(child)) {
      const optional = OPTIONAL_MAPS.has(key) && !(key === 'selector' && value['template'] !== undefined)
      if (optional && Object.keys(child).length === 0) delete value[key]
      else dropEmpty(child)
    }
  }
}

/** JSON null in a built-in object means absent. */
export function withoutNulls(value: Json): Json {
  if (Array.isArray(value)) return (value as readonly Json[]).map((item) => withoutNulls(item))
  if (!isObject(value)) return value
  const kept: Record<string, Json> = {}
  for (const [key, child] of Object.entries(value))
    if (child !== null && child !== undefined) kept[key] = withoutNulls(child)
  return kept
}
