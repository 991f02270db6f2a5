import type {
  ApplyOptions,
  Cluster,
  DeleteOptions,
  ExecOptions,
  ExecResult,
  KindInfo,
  KindName,
  ListPage,
  ListQuery,
  LogOptions,
  LogTail,
  WatchEvent,
  WriteOptions,
} from '../core/kube/cluster.ts'
import { Fault } from '../core/model/fault.ts'
import { isObject, type Json, type JsonObject } from '../core/model/json.ts'
import { refOf, type Manifest, type ObjectRef } from '../core/model/object.ts'
import type { Clock } from '../runtime/clock.ts'
import { ApiServer, present } from './api-server.ts'
import { Controllers, type ControllerOptions } from './controllers.ts'
import type { Served } from './kind-registry.ts'
import { bindPod, evictPod } from './pod-verbs.ts'
import { selection } from './query.ts'
import { seededRandom } from './random.ts'
import { mayDo, type Account } from './rbac.ts'
import { watchChanges } from './watch.ts'

/** One request, as hooks see it before it is done. */
export interface SimRequest {
  readonly verb: 'get' | 'list' | 'watch' | 'create' | 'apply' | 'patch' | 'delete' | 'discover'
  readonly kind: string
  readonly ref: ObjectRef | undefined
  readonly subresource: string | undefined
  readonly dryRun: boolean
}

/** What a fault hook may do to a request: refuse it, or do it and lose the answer. */
export type Interference = { readonly refuse: Fault } | { readonly loseAnswer: Fault } | undefined

export interface SimOptions {
  readonly clock: Clock
  readonly seed?: number
  /** Changes kept for watches that come back. */
  readonly historyLimit?: number
  /** How long each request takes by the clock. */
  readonly latencyMs?: number
  readonly controllers?: Partial<ControllerOptions> | 'off'
  readonly onRequest?: (request: SimRequest) => void
  /** Asked before each request; may be changed later through `interfere`. */
  readonly interfere?: (request: SimRequest) => Interference
}

const DEFAULT_MANAGER = 'unknown'
const HISTORY_LIMIT = 200
const NAMESPACES = ['default', 'kube-node-lease', 'kube-public', 'kube-system']

/** A simulated Kubernetes cluster behind the port that a real one has. Light: no timer runs while nothing is due. */
export class SimCluster implements Cluster {
  readonly server: ApiServer
  readonly #shared: Shared
  readonly #account: Account | undefined

  constructor(options: SimOptions)
  /** @internal Another account on the same server. */
  constructor(shared: Shared, account: Account)
  constructor(options: SimOptions | Shared, account?: Account) {
    this.#shared = 'server' in options ? options : newShared(options)
    this.#account = account
    this.server = this.#shared.server
  }

  /** Runs what is due by the clock now. Only needed where `drive` is `manual`. */
  tick(): void {
    this.#shared.controllers?.runDue()
  }

  /** When something is due next, in ms of the monotonic clock; undefined: nothing moves by itself. */
  get nextDueMs(): number | undefined {
    return this.#shared.controllers?.nextDueMs
  }

  /** Replaces the fault hook; undefined: fair weather. */
  interfere(hook: ((request: SimRequest) => Interference) | undefined): void {
    this.#shared.interfere = hook
  }

  /** Requests so far, by verb. */
  get requests(): Readonly<Record<string, number>> {
    return this.#shared.requests
  }

  /** `down`: every request is Unreachable and watches end, as with an API server that was killed. */
  power(state: 'up' | 'down'): void {
    this.#shared.down = state === 'down'
    if (state === 'down') this.#shared.watches.abort()
    else this.#shared.watches = new AbortController()
  }

  async kind(name: KindName, signal: AbortSignal): Promise<KindInfo> {
    return this.#do(request('discover', name.kind), signal, () => this.server.kinds.resolve(name).info)
  }

  async preferred(group: string, kind: string, signal: AbortSignal): Promise<KindInfo> {
    return this.#do(request('discover', kind), signal, () => this.server.kinds.preferred(group, kind).info)
  }

  async kinds(signal: AbortSignal): Promise<readonly KindInfo[]> {
    return this.#do(request('discover', ''), signal, () => this.server.kinds.served())
  }

  async get(name: KindName, ref: ObjectRef, signal: AbortSignal): Promise<Manifest | undefined> {
    return this.#do(request('get', name.kind, ref), signal, () => {
      const served = this.server.kinds.resolve(name)
      this.#allow('get', served, ref.namespace, ref.name)
      return this.server.get(served, ref.namespace, ref.name)
    })
  }

  async list(
    query: ListQuery,
    signal: AbortSignal,
  ): Promise<{ readonly items: readonly Manifest[]; readonly resourceVersion: string }> {
    return this.#do(request('list', query.kind), signal, () => {
      const served = this.server.kinds.resolve(query)
      this.#allow('list', served, query.namespace ?? '', '')
      const selects = selection(query)
      const items = this.server.storage.all(served.key, query.namespace).filter((object) => selects(object))
      const show = shower(query)
      return {
        items: items.map((object) => show(present(served, object))),
        resourceVersion: this.server.storage.version,
      }
    })
  }

  async *pages(query: ListQuery, signal: AbortSignal): AsyncGenerator<ListPage> {
    yield { ...(await this.list(query, signal)), begins: true }
  }

  async *watch(query: ListQuery, resourceVersion: string, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    const served = await this.#do(request('watch', query.kind), signal, () => {
      const served = this.server.kinds.resolve(query)
      this.#allow('watch', served, query.namespace ?? '', '')
      return served
    })
    const target = { served, selects: selection(query), show: shower(query) }
    const either = AbortSignal.any([signal, this.#shared.watches.signal])
    yield* watchChanges(this.server, target, resourceVersion, either)
    if (!signal.aborted && this.#shared.down) throw new Fault('Unreachable', 'the API server went down')
  }

  async log(pod: ObjectRef, options: LogOptions, signal: AbortSignal): Promise<LogTail> {
    return this.#do({ ...request('get', 'Pod', pod), subresource: 'log' }, signal, () => {
      const served = this.server.kinds.resolve(POD)
      this.#allow('get', served, pod.namespace, pod.name, 'log')
      if (this.server.get(served, pod.namespace, pod.name) === undefined)
        throw new Fault('NotFound', `pods "${pod.name}" not found`, { facts: { status: 404 } })
      const text = options.previous ? '' : (this.#shared.logs.get(`${pod.namespace}/${pod.name}`) ?? '')
      const lines = text.split('\n').slice(0, -1).slice(-options.tailLines)
      let left = options.maxBytes
      const kept = lines.toReversed().filter((line) => (left -= Buffer.byteLength(line) + 1) >= 0).toReversed() // prettier-ignore
      const sum = (all: readonly string[]): number => Buffer.byteLength(all.map((line) => `${line}\n`).join(''))
      return { text: kept.map((line) => `${line}\n`).join(''), cutBytes: sum(lines) - sum(kept) }
    })
  }

  async exec(pod: ObjectRef, _options: ExecOptions, signal: AbortSignal): Promise<ExecResult> {
    return this.#do({ ...request('create', 'Pod', pod), subresource: 'exec' }, signal, () => {
      this.#allow('create', this.server.kinds.resolve(POD), pod.namespace, pod.name, 'exec')
      throw new Fault('Rejected', 'the containers of a simulated cluster run nothing')
    })
  }

  /** What a container of this pod writes, in whole lines. */
  writeLog(namespace: string, pod: string, text: string): void {
    const key = `${namespace}/${pod}`
    this.#shared.logs.set(key, `${this.#shared.logs.get(key) ?? ''}${text}`)
  }

  async create(manifest: Manifest, options: WriteOptions, signal: AbortSignal): Promise<Manifest> {
    return this.#do(request('create', manifest.kind, refOf(manifest), options), signal, () => {
      const served = this.server.kinds.resolve(manifest)
      const { namespace, name } = refOf(manifest)
      this.#allow('create', served, served.info.namespaced ? namespace || 'default' : '', name)
      return this.server.create(manifest, contextOf(options))
    })
  }

  async apply(manifest: Manifest, options: ApplyOptions, signal: AbortSignal): Promise<Manifest> {
    return this.#do(request('apply', manifest.kind, refOf(manifest), options), signal, () => {
      const served = this.server.kinds.resolve(manifest)
      const ref = refOf(manifest)
      const namespace = served.info.namespaced ? ref.namespace || 'default' : ''
      this.#allow('patch', served, namespace, ref.name)
      if (this.server.get(served, namespace, ref.name) === undefined) this.#allow('create', served, namespace, ref.name)
      return this.server.apply(manifest, {
        manager: options.fieldManager,
        force: options.force,
        dryRun: options.dryRun === true,
      })
    })
  }

  async patch(
    name: KindName,
    ref: ObjectRef,
    patch: readonly JsonObject[] | JsonObject,
    options: WriteOptions,
    signal: AbortSignal,
  ): Promise<Manifest> {
    return this.#do(request('patch', name.kind, ref, options), signal, () => {
      const served = this.server.kinds.resolve(name)
      this.#allow('patch', served, ref.namespace, ref.name)
      return this.server.patch(served, ref.namespace, ref.name, patch, contextOf(options))
    })
  }

  async subresource(
    name: KindName,
    ref: ObjectRef,
    subresource: string,
    body: Json,
    signal: AbortSignal,
  ): Promise<JsonObject> {
    const verb = subresource === 'binding' || subresource === 'eviction' ? 'create' : 'patch'
    return this.#do({ ...request(verb, name.kind, ref), subresource }, signal, () => {
      const served = this.server.kinds.resolve(name)
      this.#allow(verb, served, ref.namespace, ref.name, subresource)
      if (!served.info.subresources.includes(subresource))
        throw new Fault('NotFound', `${served.info.plural}/${subresource} is not served`, { facts: { status: 404 } })
      if (subresource === 'binding') return bindPod(this.server, ref, body)
      if (subresource === 'eviction') return evictPod(this.server, ref, body)
      const context = { manager: DEFAULT_MANAGER, subresource }
      const patch = body as readonly JsonObject[] | JsonObject
      return this.server.patch(served, ref.namespace, ref.name, patch, context)
    })
  }

  async delete(
    name: KindName,
    ref: ObjectRef,
    options: DeleteOptions,
    signal: AbortSignal,
  ): Promise<'deleted' | 'terminating' | 'gone'> {
    return this.#do(request('delete', name.kind, ref, options), signal, () => {
      const served = this.server.kinds.resolve(name)
      this.#allow('delete', served, ref.namespace, ref.name)
      return this.server.delete(served, ref.namespace, ref.name, options)
    })
  }

  as(account: Account): SimCluster {
    return new SimCluster(this.#shared, account)
  }

  async close(): Promise<void> {
    if (this.#account !== undefined) return
    this.#shared.controllers?.stop()
    this.#shared.watches.abort()
  }

  async #do<T>(request: SimRequest, signal: AbortSignal, act: () => T): Promise<T> {
    signal.throwIfAborted()
    const { clock, latencyMs } = this.#shared
    this.#shared.requests[request.verb] = (this.#shared.requests[request.verb] ?? 0) + 1
    this.#shared.onRequest?.(request)
    if (this.#shared.down) throw new Fault('Unreachable', 'the API server is down')
    if (latencyMs > 0) await clock.sleep(latencyMs, signal)
    const interference = this.#shared.interfere?.(request)
    if (interference !== undefined && 'refuse' in interference) throw interference.refuse
    const result = act()
    if (interference !== undefined) throw interference.loseAnswer
    return result
  }

  #allow(verb: string, served: Served, namespace: string, name: string, subresource?: string): void {
    if (this.#account === undefined) return
    const { group, plural } = served.info
    const resource = subresource === undefined ? plural : `${plural}/${subresource}`
    const where = served.info.namespaced ? namespace : ''
    if (mayDo(this.server.storage, this.#account, { verb, group, resource, namespace: where, name })) return
    throw new Fault(
      'Forbidden',
      `${resource} "${name}" is forbidden: User "${this.#account.user}" cannot ${verb} resource "${resource}" in API group "${group}"`,
      {
        facts: { user: this.#account.user, verb, resource, namespace: where, status: 403 },
      },
    )
  }
}

const POD = { apiVersion: 'v1', kind: 'Pod' } as const

/** What all accounts of one simulated cluster share. */
interface Shared {
  readonly server: ApiServer
  readonly controllers: Controllers | undefined
  readonly clock: Clock
  readonly latencyMs: number
  readonly requests: Record<string, number>
  /** By `namespace/pod`. */
  readonly logs: Map<string, string>
  readonly onRequest: ((request: SimRequest) => void) | undefined
  interfere: ((request: SimRequest) => Interference) | undefined
  watches: AbortController
  down: boolean
}

function newShared(options: SimOptions): Shared {
  const { clock, seed = 1 } = options
  const random = seededRandom(seed)
  const server = new ApiServer({
    nowMs: () => clock.nowMs(),
    random,
    historyLimit: options.historyLimit ?? HISTORY_LIMIT,
  })
  for (const name of NAMESPACES)
    server.create(
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name } },
      { manager: 'kube-apiserver', track: 'off' },
    )
  const controllers =
    options.controllers === 'off' ? undefined : new Controllers(server, clock, options.controllers ?? {})
  return {
    server,
    controllers,
    clock,
    latencyMs: options.latencyMs ?? 0,
    requests: {},
    logs: new Map(),
    onRequest: options.onRequest,
    interfere: options.interfere,
    watches: new AbortController(),
    down: false,
  }
}

function request(
  verb: SimRequest['verb'],
  kind: string,
  ref?: ObjectRef,
  options: { readonly dryRun?: boolean } = {},
): SimRequest {
  return { verb, kind, ref, subresource: undefined, dryRun: options.dryRun === true }
}

function contextOf(options: WriteOptions): { manager: string; dryRun: boolean } {
  return { manager: options.fieldManager ?? DEFAULT_MANAGER, dryRun: options.dryRun === true }
}

function shower(query: ListQuery): (object: Manifest) => Manifest {
  if (query.metadataOnly !== true) return (object) => object
  return ({ metadata }) =>
    isObject(metadata) ? { apiVersion: 'meta.k8s.io/v1', kind: 'PartialObjectMetadata', metadata } : metadata
}
