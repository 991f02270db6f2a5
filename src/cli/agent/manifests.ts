/** What installs an agent in a cluster, as data: `agent manifests` prints it, the chart in deploy/ renders the same, tests hold both to it. */
import type { JsonObject } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'

export const AGENT_NAME = 'flotilla-agent'
export const AGENT_NAMESPACE = 'flotilla-system'
/** Of the image: nobody's. */
const USER = 65_532
const HEALTH_PORT = 9090

/** A small heap that is cleaned often: at 4,000 objects it takes a third off the resident memory, and an agent is seldom busy. */
export const NODE_FLAGS = '--max-semi-space-size=1 --max-old-space-size=320'

/** One heap of malloc's for all threads: 13 MiB less at 4,000 objects. */
export const MEMORY_ENV = { MALLOC_ARENA_MAX: '1' } as const

export interface InstallOptions {
  readonly namespace: string
  readonly image: string
  /** The line of `token create`, put into a Secret. undefined: the Secret is made by somebody else, under `flotilla-agent-join`. */
  readonly join: string | undefined
  readonly store:
    | { readonly kind: 'claim'; readonly size: string; readonly storageClass: string | undefined }
    | { readonly kind: 'hostPath'; readonly path: string }
  /** Accounts, `namespace/name`, that Workloads of the fleet are applied with: the agent may act as these and as no other. */
  readonly accounts: readonly string[] | 'any'
  /** `none`: the agent writes as these accounts and nothing by itself, for fleets whose every Workload names one. */
  readonly ownWrites: 'all' | 'none'
  /** Verbs that the hub may ask of the site, as `agent --asks` takes them; absent: the usual ones. */
  readonly asks?: string
}

/** In the order in which they can be applied. */
export function agentManifests(options: InstallOptions): readonly Manifest[] {
  return [
    object('v1', 'Namespace', { name: options.namespace, labels: LABELS }),
    account(options),
    ...rightsOf(options),
    ...(options.join === undefined ? [] : [joinSecret(options.namespace, options.join)]),
    ...(options.store.kind === 'claim' ? [claim(options)] : []),
    deployment(options),
  ]
}

const LABELS = { 'app.kubernetes.io/name': AGENT_NAME }

function object(apiVersion: string, kind: string, metadata: Manifest['metadata'], body: JsonObject = {}): Manifest {
  return { apiVersion, kind, metadata, ...body }
}

function named({ namespace }: InstallOptions): Manifest['metadata'] {
  return { name: AGENT_NAME, namespace, labels: LABELS }
}

function account(options: InstallOptions): Manifest {
  return object('v1', 'ServiceAccount', named(options))
}

const RBAC = 'rbac.authorization.k8s.io'
/** Of `agent/keys-copy.ts`. */
export const KEYS_SECRET = 'flotilla-agent-keys'
const WRITE = ['create', 'update', 'patch', 'delete']
const READ = ['get', 'list', 'watch']

/** Reading is needed for every kind: watches show what is ours, and a lost inventory is looked for in all of them. */
function rightsOf(options: InstallOptions): readonly Manifest[] {
  const everything = { apiGroups: ['*'], resources: ['*'] }
  const own: readonly JsonObject[] =
    options.ownWrites === 'all'
      ? [
          { ...everything, verbs: [...READ, ...WRITE] },
          // Roles in a fleet may hold more than the agent itself does; it hands them on and has no use for them.
          { apiGroups: [RBAC], resources: ['roles', 'clusterroles'], verbs: ['bind', 'escalate'] },
        ]
      : [
          { ...everything, verbs: READ },
          { apiGroups: [''], resources: ['namespaces'], verbs: ['create', 'patch'] },
          ...SCHEDULES,
        ]
  const home = options.ownWrites === 'all' ? [] : rights(options, options.namespace, AGENT_NAME, OWN_OBJECTS)
  if (options.accounts === 'any') {
    const any = { apiGroups: [''], resources: ['serviceaccounts', 'groups'], verbs: ['impersonate'] }
    return [...clusterRights(options, [...own, any]), ...home]
  }
  const accounts = options.accounts.map((name) => {
    const slash = name.indexOf('/')
    return { namespace: name.slice(0, Math.max(slash, 0)) || 'default', name: name.slice(slash + 1) }
  })
  const namespaces = [...new Set(accounts.map(({ namespace }) => namespace))].toSorted()
  const groups = [
    'system:authenticated',
    'system:serviceaccounts',
    ...namespaces.map((namespace) => `system:serviceaccounts:${namespace}`),
  ]
  const inGroups = { apiGroups: [''], resources: ['groups'], resourceNames: groups, verbs: ['impersonate'] }
  return [
    ...clusterRights(options, accounts.length === 0 ? own : [...own, inGroups]),
    ...home,
    ...namespaces.flatMap((namespace) => {
      const names = accounts.filter((it) => it.namespace === namespace).map(({ name }) => name)
      const rule = { apiGroups: [''], resources: ['serviceaccounts'], resourceNames: names, verbs: ['impersonate'] }
      return rights(options, namespace, `${AGENT_NAME}-accounts`, [rule])
    }),
  ]
}

/** Its scheduler binds, evicts and says why, and keeps volumes for claims; it changes no pod's specification. */
const SCHEDULES: readonly JsonObject[] = [
  { apiGroups: [''], resources: ['pods/binding', 'pods/eviction', 'events'], verbs: ['create'] },
  { apiGroups: [''], resources: ['pods/status', 'persistentvolumes', 'persistentvolumeclaims'], verbs: ['patch'] },
]

/** Its ApplySet, its Lease, and the copy of its keys. */
const OWN_OBJECTS: readonly JsonObject[] = [
  { apiGroups: [''], resources: ['configmaps'], verbs: ['create', 'patch'] },
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create', 'patch'] },
  { apiGroups: [''], resources: ['secrets'], verbs: ['create'] },
  { apiGroups: [''], resources: ['secrets'], resourceNames: [KEYS_SECRET], verbs: ['patch'] },
]

function clusterRights(options: InstallOptions, rules: readonly JsonObject[]): readonly Manifest[] {
  const metadata = { name: AGENT_NAME, labels: LABELS }
  return [
    object(`${RBAC}/v1`, 'ClusterRole', metadata, { rules }),
    object(`${RBAC}/v1`, 'ClusterRoleBinding', metadata, bound(options, 'ClusterRole', AGENT_NAME)),
  ]
}

function rights(options: InstallOptions, namespace: string, name: string, rules: readonly JsonObject[]): Manifest[] {
  const metadata = { name, namespace, labels: LABELS }
  return [
    object(`${RBAC}/v1`, 'Role', metadata, { rules }),
    object(`${RBAC}/v1`, 'RoleBinding', metadata, bound(options, 'Role', name)),
  ]
}

function bound({ namespace }: InstallOptions, kind: string, name: string): JsonObject {
  return {
    roleRef: { apiGroup: RBAC, kind, name },
    subjects: [{ kind: 'ServiceAccount', name: AGENT_NAME, namespace }],
  }
}

const JOIN = `${AGENT_NAME}-join`

function joinSecret(namespace: string, token: string): Manifest {
  return object('v1', 'Secret', { name: JOIN, namespace, labels: LABELS }, { type: 'Opaque', stringData: { token } })
}

function claim(options: InstallOptions): Manifest {
  const { store } = options
  if (store.kind !== 'claim') throw new TypeError('no claim is asked for')
  return object('v1', 'PersistentVolumeClaim', named(options), {
    spec: {
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage: store.size } },
      ...(store.storageClass === undefined ? {} : { storageClassName: store.storageClass }),
    },
  })
}

function deployment(options: InstallOptions): Manifest {
  const { image, store } = options
  const data =
    store.kind === 'claim'
      ? { persistentVolumeClaim: { claimName: AGENT_NAME } }
      : { hostPath: { path: store.path, type: 'DirectoryOrCreate' } }
  const probe = { httpGet: { path: '/healthz', port: 'http' } }
  return object('apps/v1', 'Deployment', named(options), {
    spec: {
      replicas: 1,
      // The new one starts beside the old, which ends once the new one proved itself on the same store: see `succession.ts`.
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      selector: { matchLabels: LABELS },
      template: {
        metadata: { labels: LABELS },
        spec: {
          serviceAccountName: AGENT_NAME,
          affinity: BESIDE_THE_OLD,
          securityContext: {
            runAsNonRoot: true,
            runAsUser: USER,
            runAsGroup: USER,
            fsGroup: USER,
            seccompProfile: { type: 'RuntimeDefault' },
          },
          ...(store.kind === 'hostPath' ? { initContainers: [ownFolder(image)] } : {}),
          containers: [
            {
              name: 'agent',
              image,
              args: [
                'agent',
                '--data=/data',
                '--join=$(FLOTILLA_JOIN)',
                `--http=0.0.0.0:${HEALTH_PORT}`,
                `--namespace=${options.namespace}`,
                ...(options.asks === undefined ? [] : [`--asks=${options.asks}`]),
              ],
              // Used once: an agent that is enrolled needs no token, and the Secret may go.
              env: [
                { name: 'FLOTILLA_JOIN', valueFrom: { secretKeyRef: { name: JOIN, key: 'token', optional: true } } },
                { name: 'NODE_OPTIONS', value: NODE_FLAGS },
                ...Object.entries(MEMORY_ENV).map(([name, value]) => ({ name, value })),
                // For `agent status` and its like, by `kubectl exec`.
                { name: 'FLOTILLA_DATA', value: '/data' },
              ],
              ports: [{ name: 'http', containerPort: HEALTH_PORT }],
              // Health is served once it is enrolled, and for that the hub must be reached: it may take a day.
              startupProbe: { ...probe, periodSeconds: 10, failureThreshold: 8_640 },
              livenessProbe: { ...probe, periodSeconds: 30, failureThreshold: 5, timeoutSeconds: 5 },
              readinessProbe: { httpGet: { path: '/readyz', port: 'http' }, periodSeconds: 10, timeoutSeconds: 5 },
              resources: { requests: { cpu: '20m', memory: '128Mi' }, limits: { memory: '512Mi' } },
              securityContext: CONFINED,
              volumeMounts: [
                { name: 'data', mountPath: '/data' },
                { name: 'tmp', mountPath: '/tmp' },
              ],
            },
          ],
          volumes: [
            { name: 'data', ...data },
            { name: 'tmp', emptyDir: { sizeLimit: '64Mi' } },
          ],
        },
      },
    },
  })
}

/** Both need the same volume, and most volumes are on one node. */
const BESIDE_THE_OLD = {
  podAffinity: {
    preferredDuringSchedulingIgnoredDuringExecution: [
      {
        weight: 100,
        podAffinityTerm: { labelSelector: { matchLabels: LABELS }, topologyKey: 'kubernetes.io/hostname' },
      },
    ],
  },
}

const CONFINED = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
}

/** A folder of the node is made by root, and `fsGroup` does not reach it. */
function ownFolder(image: string): JsonObject {
  return {
    name: 'own-data',
    image,
    command: ['node', '-e', `require('node:fs').chownSync('/data', ${USER}, ${USER})`],
    securityContext: {
      ...CONFINED,
      runAsNonRoot: false,
      runAsUser: 0,
      capabilities: { drop: ['ALL'], add: ['CHOWN'] },
    },
    volumeMounts: [{ name: 'data', mountPath: '/data' }],
  }
}
