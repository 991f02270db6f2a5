import type { Manifest } from '../core/model/object.ts'
import { groupOf } from '../core/model/object.ts'
import type { Clock } from '../runtime/clock.ts'
import type { ApiServer } from './api-server.ts'
import { Agenda } from './control/agenda.ts'
import { BUDGET, reconcileBudget } from './control/budgets.ts'
import { reconcileDaemonSet } from './control/daemonset.ts'
import { reconcileDeployment } from './control/deployment.ts'
import {
  agendaKey,
  DAEMON_SET,
  DELAYS,
  DEPLOYMENT,
  JOB,
  POD,
  REPLICA_SET,
  specOf,
  STATEFUL_SET,
  type ControllerOptions,
  type Delays,
  type Desk,
} from './control/desk.ts'
import {
  checkOwners,
  collect,
  finishDeletion,
  GARBAGE,
  Owners,
  reconcileDefinition,
  reconcileNamespace,
} from './control/garbage.ts'
import { reconcileJob } from './control/job.ts'
import { behaviourOfTag, Kubelet } from './control/pods.ts'
import { reconcileReplicaSet } from './control/replicas.ts'
import { SCHEDULER, schedulePods } from './control/scheduler.ts'
import { reconcileClaim, reconcileService } from './control/services.ts'
import { reconcileStatefulSet } from './control/statefulset.ts'
import { CRD_KEY } from './kind-registry.ts'
import type { Change } from './storage.ts'

export type { ControllerOptions } from './control/desk.ts'

const CLAIM = '/PersistentVolumeClaim'
const EVENT = '/Event'
const EXPIRE = 'Expire'
/** As kube-apiserver's `--event-ttl`. */
const EVENT_TTL_MS = 3_600_000

const RECONCILERS: Readonly<Record<string, (desk: Desk, object: Manifest) => void>> = {
  [DEPLOYMENT]: reconcileDeployment,
  [REPLICA_SET]: reconcileReplicaSet,
  [STATEFUL_SET]: reconcileStatefulSet,
  [DAEMON_SET]: reconcileDaemonSet,
  [JOB]: reconcileJob,
  [BUDGET]: reconcileBudget,
  '/Service': reconcileService,
  [CLAIM]: reconcileClaim,
  '/Namespace': reconcileNamespace,
  [CRD_KEY]: reconcileDefinition,
}

/** Runaway guard: a cluster that does so many things at one moment is fighting itself. */
const MAX_STEPS_AT_ONCE = 1_000_000

/** All controllers of one simulated cluster. They sleep until a change or a due time, and hold no timer in between. */
export class Controllers {
  readonly #agenda = new Agenda()
  readonly #owners = new Owners()
  readonly #kubelet = new Kubelet()
  readonly #desk: Desk
  readonly #clock: Clock
  readonly #drive: 'auto' | 'manual'
  #armedMs = Number.POSITIVE_INFINITY
  #arm: AbortController | undefined
  #running = false
  #stopped = false

  constructor(server: ApiServer, clock: Clock, options: Partial<ControllerOptions>) {
    this.#clock = clock
    this.#drive = options.drive ?? 'auto'
    const delays: Delays = { ...DELAYS, ...options.delays }
    const nodes = options.nodes ?? [{ name: 'node-0', capacity: { cpu: '16', memory: '64Gi', pods: '110' } }]
    this.#desk = {
      server,
      delays,
      options: { behaviour: behaviourOfTag, drive: this.#drive, ...options, nodes, delays },
      monotonicMs: () => clock.monotonicMs(),
      wallMs: () => clock.nowMs(),
      later: (key, ms) => this.#later(key, ms),
    }
    server.storage.listeners.add((change) => this.#hear(change))
    for (const namespace of server.storage.all('/Namespace'))
      this.#later(agendaKey('/Namespace', namespace), delays.reactMs)
    for (const node of nodes) makeNode(server, node.name, node.capacity, node.labels ?? {})
  }

  get nextDueMs(): number | undefined {
    return this.#agenda.nextDueMs
  }

  /** Everything that is due by now, in order; what that brings about at once is due as well. */
  runDue(): void {
    if (this.#running || this.#stopped) return
    this.#running = true
    try {
      for (let steps = 0; steps < MAX_STEPS_AT_ONCE; steps++) {
        const key = this.#agenda.take(this.#clock.monotonicMs())
        if (key === undefined) return
        this.#reconcile(key)
      }
      throw new Error('the simulated controllers do not come to rest')
    } finally {
      this.#running = false
      this.#rearm()
    }
  }

  stop(): void {
    this.#stopped = true
    this.#arm?.abort()
  }

  #later(key: string, ms: number): void {
    this.#agenda.add(key, this.#clock.monotonicMs() + ms)
    if (!this.#running) this.#rearm()
  }

  #rearm(): void {
    const dueMs = this.#agenda.nextDueMs
    if (this.#drive === 'manual' || this.#stopped || dueMs === undefined || dueMs >= this.#armedMs) return
    this.#arm?.abort()
    const arm = new AbortController()
    this.#arm = arm
    this.#armedMs = dueMs
    void this.#wait(Math.max(0, dueMs - this.#clock.monotonicMs()), arm.signal)
  }

  async #wait(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#clock.sleep(ms, signal)
    } catch {
      return // Armed for an earlier time, or stopped.
    }
    this.#armedMs = Number.POSITIVE_INFINITY
    this.runDue()
  }

  #hear(change: Change): void {
    this.#owners.hear(change)
    const { key, object } = change
    const { reactMs, establishMs } = this.#desk.delays
    if (change.type === 'deleted') {
      if (object.metadata.uid !== undefined) {
        this.#later(`${GARBAGE}|${object.metadata.uid}`, reactMs)
        this.#kubelet.forget(object.metadata.uid)
      }
      if (key === POD) this.#hearPodGone(object)
    } else {
      if (RECONCILERS[key] !== undefined) this.#later(agendaKey(key, object), key === CRD_KEY ? establishMs : reactMs)
      if (change.type === 'added' && object.metadata.ownerReferences !== undefined)
        this.#later(`${GARBAGE}-owners|${key}|${agendaKey(key, object)}`, reactMs)
      if (object.metadata.deletionTimestamp !== undefined)
        this.#later(`${GARBAGE}-finish|${agendaKey(key, object)}`, reactMs)
      if (key === POD) this.#hearPod(object)
      if (key === '/Node') this.#hearNode()
      if (key === EVENT && change.type === 'added') this.#later(`${EXPIRE}|${agendaKey(key, object)}`, EVENT_TTL_MS)
    }
    if (key === POD)
      for (const budget of this.#desk.server.storage.all(BUDGET, object.metadata.namespace))
        this.#later(agendaKey(BUDGET, budget), reactMs)
    for (const owner of object.metadata.ownerReferences ?? []) {
      const ownerKey = `${groupOf(owner.apiVersion)}/${owner.kind}`
      if (RECONCILERS[ownerKey] !== undefined)
        this.#later(`${ownerKey}|${object.metadata.namespace ?? ''}/${owner.name}`, reactMs)
      // An owner that waits for its dependents.
      if (change.type === 'deleted')
        this.#later(`${GARBAGE}-finish|${ownerKey}|${object.metadata.namespace ?? ''}/${owner.name}`, reactMs)
    }
  }

  #hearPod(pod: Manifest): void {
    if (specOf(pod)['nodeName'] === undefined) this.#later(SCHEDULER, this.#desk.delays.scheduleMs)
    else this.#later(agendaKey(POD, pod), 0)
  }

  #hearPodGone(pod: Manifest): void {
    this.#later(SCHEDULER, this.#desk.delays.scheduleMs)
    for (const volume of (specOf(pod)['volumes'] ?? []) as readonly { persistentVolumeClaim?: { claimName: string } }[])
      if (volume.persistentVolumeClaim !== undefined)
        this.#later(
          `${CLAIM}|${pod.metadata.namespace ?? ''}/${volume.persistentVolumeClaim.claimName}`,
          this.#desk.delays.reactMs,
        )
  }

  #hearNode(): void {
    this.#later(SCHEDULER, this.#desk.delays.scheduleMs)
    for (const set of this.#desk.server.storage.all(DAEMON_SET))
      this.#later(agendaKey(DAEMON_SET, set), this.#desk.delays.reactMs)
  }

  #expire(item: string): void {
    const { server } = this.#desk
    const event = server.storage.get(EVENT, item.slice(EVENT.length + 1))
    if (event !== undefined)
      server.delete(server.kinds.resolve(event), event.metadata.namespace ?? '', event.metadata.name, {})
  }

  #reconcile(item: string): void {
    if (item === SCHEDULER) return schedulePods(this.#desk)
    const bar = item.indexOf('|')
    const [key, rest] = [item.slice(0, bar), item.slice(bar + 1)]
    if (key === EXPIRE) return this.#expire(rest)
    if (key === GARBAGE) return collect(this.#desk, this.#owners, rest)
    if (key.startsWith(GARBAGE)) {
      const [objectKey = '', id = ''] = rest.split('|').slice(-2)
      const object = this.#desk.server.storage.get(objectKey, id)
      if (object === undefined) return
      return key === `${GARBAGE}-finish`
        ? finishDeletion(this.#desk, this.#owners, object)
        : checkOwners(this.#desk, object)
    }
    const object = this.#desk.server.storage.get(key, rest)
    if (object === undefined) return
    if (key === POD) this.#kubelet.reconcile(this.#desk, object)
    else RECONCILERS[key]?.(this.#desk, object)
  }
}

function makeNode(
  server: ApiServer,
  name: string,
  capacity: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>>,
): void {
  const node = server.create(
    {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name, labels: { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux', ...labels } },
      spec: {},
    },
    { manager: 'kubelet', track: 'off' },
  )
  const ready = {
    type: 'Ready',
    status: 'True',
    reason: 'KubeletReady',
    message: 'kubelet is posting ready status',
    lastTransitionTime: server.now(),
  }
  const served = server.kinds.resolve(node)
  const status = { capacity, allocatable: capacity, conditions: [ready] }
  server.update(served, { ...node, status }, { manager: 'kubelet', subresource: 'status', track: 'off' })
}
