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
} from '../../core/kube/cluster.ts'
import { asFault, Fault } from '../../core/model/fault.ts'
import { isObject, type Json, type JsonObject } from '../../core/model/json.ts'
import type { Manifest, ObjectRef } from '../../core/model/object.ts'
import { readCredentials, type ClusterSource, type Credentials } from './credentials.ts'
import { Discovery } from './discovery.ts'
import { EXEC_PROTOCOL, execOver } from './exec.ts'
import { tailOf } from './log-tail.ts'
import { PROTOBUF } from './protobuf.ts'
import { Transport, type Answer, type Request, type TransportOptions } from './transport.ts'
import { watchEvents } from './watch.ts'

export type { ClusterSource } from './credentials.ts'

/** Objects a page of a list: as kubectl asks, so that neither side holds a large list twice. */
const PAGE = '500'
/** A watch ends by itself after so long, spread so that many do not end together. */
const WATCH_SECONDS = { min: 300, max: 600 }
const DEFAULTS: TransportOptions = {
  connections: 16,
  timeoutMs: 30_000,
  watchIdleMs: 150_000,
  maxResponseBytes: 64 * 1024 * 1024,
  gzip: false,
}

/** A real API server behind the port. Objects pass as JSON, fields that we do not know included. */
export async function openCluster(source: ClusterSource, options: Partial<TransportOptions> = {}): Promise<Cluster> {
  return clusterOver(await readCredentials(source), options)
}

/** For credentials that were read elsewhere; tests put a fault server there. */
export function clusterOver(credentials: Credentials, options: Partial<TransportOptions> = {}): Cluster {
  const transport = new Transport(credentials, { ...DEFAULTS, ...options })
  return new KubeCluster(transport, new Discovery(transport), undefined)
}

interface Account {
  readonly user: string
  readonly groups: readonly string[]
}

class KubeCluster implements Cluster {
  readonly #transport: Transport
  readonly #discovery: Discovery
  readonly #account: Account | undefined

  constructor(transport: Transport, discovery: Discovery, account: Account | undefined) {
    this.#transport = transport
    this.#discovery = discovery
    this.#account = account
  }

  kind(name: KindName, signal: AbortSignal): Promise<KindInfo> {
    return this.#discovery.kind(name, signal)
  }

  preferred(group: string, kind: string, signal: AbortSignal): Promise<KindInfo> {
    return this.#discovery.preferred(group, kind, signal)
  }

  kinds(signal: AbortSignal): Promise<readonly KindInfo[]> {
    return this.#discovery.kinds(signal)
  }

  async get(name: KindName, ref: ObjectRef, signal: AbortSignal): Promise<Manifest | undefined> {
    const path = await this.#path(name, ref.namespace, ref.name, signal)
    try {
      return objectOf(await this.#send({ method: 'GET', path }, signal))
    } catch (error) {
      if (asFault(error).reason === 'NotFound') return undefined
      throw error
    }
  }

  async list(
    query: ListQuery,
    signal: AbortSignal,
  ): Promise<{ readonly items: readonly Manifest[]; readonly resourceVersion: string }> {
    let items: Manifest[] = []
    let resourceVersion = ''
    for await (const page of this.pages(query, signal)) {
      if (page.begins) items = []
      resourceVersion = page.resourceVersion
      for (const item of page.items) items.push(item)
    }
    return { items, resourceVersion }
  }

  async *pages(query: ListQuery, signal: AbortSignal): AsyncGenerator<ListPage> {
    try {
      yield* this.#pages(query, PAGE, signal)
    } catch (error) {
      // Paging took longer than the server keeps history: once in one piece.
      if (asFault(error).reason !== 'WatchExpired') throw error
      yield* this.#pages(query, undefined, signal)
    }
  }

  async *#pages(query: ListQuery, limit: string | undefined, signal: AbortSignal): AsyncGenerator<ListPage> {
    const path = await this.#path(query, query.namespace ?? '', '', signal)
    const ask = (next: string | undefined): Promise<Answer> => {
      const parameters = { ...selectors(query), limit, continue: next }
      return this.#send({ method: 'GET', path, query: parameters, headers: accept(query, 'List') }, signal)
    }
    let resourceVersion: string | undefined
    let asked: Promise<Answer> | undefined = ask(undefined)
    while (asked !== undefined) {
      const answer: Answer = await asked
      const list = isObject(answer.body) ? answer.body : {}
      const metadata = isObject(list['metadata']) ? list['metadata'] : {}
      const next = (metadata['continue'] as string | undefined) || undefined
      // The server makes the next page while this one is read.
      asked = next === undefined ? undefined : ask(next)
      asked?.catch(() => undefined)
      const found = (list['items'] ?? []) as readonly Manifest[]
      // Items of a list do not say what they are; the list does.
      const items =
        query.metadataOnly === true
          ? found
          : found.map((item) => ({ ...item, apiVersion: query.apiVersion, kind: query.kind }))
      const begins = resourceVersion === undefined
      resourceVersion ??= (metadata['resourceVersion'] as string | undefined) ?? ''
      yield { items, resourceVersion, begins }
    }
  }

  async *watch(query: ListQuery, resourceVersion: string, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    const path = await this.#path(query, query.namespace ?? '', '', signal)
    const seconds = WATCH_SECONDS.min + Math.floor(Math.random() * (WATCH_SECONDS.max - WATCH_SECONDS.min))
    const parameters = {
      ...selectors(query),
      watch: '1',
      allowWatchBookmarks: 'true',
      resourceVersion,
      timeoutSeconds: String(seconds),
    }
    const request: Request = {
      method: 'GET',
      path,
      query: parameters,
      headers: { ...accept(query, ''), ...this.#impersonation() },
    }
    // Leaving the loop early must end the connection too.
    const mine = new AbortController()
    try {
      const stream = await this.#transport.stream(request, AbortSignal.any([signal, mine.signal]))
      yield* watchEvents(request, stream, this.#transport.maxLineBytes, signal)
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      mine.abort()
    }
  }

  async log(pod: ObjectRef, options: LogOptions, signal: AbortSignal): Promise<LogTail> {
    const path = `${await this.#path({ apiVersion: 'v1', kind: 'Pod' }, pod.namespace, pod.name, signal)}/log`
    const { container, tailLines, maxBytes, previous, sinceSeconds } = options
    const query = {
      container: container || undefined,
      tailLines: String(tailLines),
      previous: previous ? 'true' : undefined,
      sinceSeconds: sinceSeconds === null ? undefined : String(sinceSeconds),
    }
    // Not by `limitBytes`: the kubelet cuts the newest, and they are what is asked for.
    const request: Request = { method: 'GET', path, query, headers: { accept: '*/*', ...this.#impersonation() } }
    return tailOf((await this.#transport.stream(request, signal)).chunks, maxBytes)
  }

  async exec(pod: ObjectRef, options: ExecOptions, signal: AbortSignal): Promise<ExecResult> {
    const path = `${await this.#path({ apiVersion: 'v1', kind: 'Pod' }, pod.namespace, pod.name, signal)}/exec`
    const query = new URLSearchParams({ stdout: 'true', stderr: 'true', container: options.container })
    for (const word of options.command) query.append('command', word)
    // A WebSocket's headers are joined by commas, and an impersonated account would lose its groups.
    if (this.#account !== undefined) throw new Fault('Forbidden', 'a command is not run as another account')
    const socket = await this.#transport.socket(path, query, EXEC_PROTOCOL)
    const ended = await execOver(socket, options.maxBytes, signal)
    if (ended.opened === 'yes') return ended.result
    // The same without an upgrade: it runs nothing, and is refused in words.
    await this.#transport.send({ method: 'GET', path }, signal)
    throw new Fault('Rejected', `the API server does not let a command run in ${pod.namespace}/${pod.name}`)
  }

  async create(manifest: Manifest, options: WriteOptions, signal: AbortSignal): Promise<Manifest> {
    const path = await this.#path(manifest, manifest.metadata.namespace ?? '', '', signal, 'namespaced')
    return objectOf(
      await this.#send({ method: 'POST', path, query: writeQuery(options), body: manifest, compact: true }, signal),
    )
  }

  async apply(manifest: Manifest, options: ApplyOptions, signal: AbortSignal): Promise<Manifest> {
    const { namespace = '', name } = manifest.metadata
    const path = await this.#path(manifest, namespace, name, signal)
    // `apply-patch+yaml` takes JSON, which is YAML, and takes it since the first version that has apply.
    const request: Request = {
      method: 'PATCH',
      path,
      query: { ...writeQuery(options), force: String(options.force) },
      body: manifest,
      contentType: 'application/apply-patch+yaml',
    }
    return objectOf(await this.#send(request, signal))
  }

  async patch(
    name: KindName,
    ref: ObjectRef,
    patch: readonly JsonObject[] | JsonObject,
    options: WriteOptions,
    signal: AbortSignal,
  ): Promise<Manifest> {
    const path = await this.#path(name, ref.namespace, ref.name, signal)
    const request: Request = {
      method: 'PATCH',
      path,
      query: writeQuery(options),
      body: patch,
      contentType: patchType(patch),
    }
    return objectOf(await this.#send(request, signal))
  }

  async subresource(
    name: KindName,
    ref: ObjectRef,
    subresource: string,
    body: Json,
    signal: AbortSignal,
  ): Promise<JsonObject> {
    const path = `${await this.#path(name, ref.namespace, ref.name, signal)}/${subresource}`
    const verb = VERB_BODIES[subresource]
    const request: Request =
      verb === undefined
        ? { method: 'PATCH', path, body, contentType: patchType(body) }
        : {
            method: 'POST',
            path,
            compact: true,
            body: { ...verb, metadata: { name: ref.name, namespace: ref.namespace }, ...(isObject(body) ? body : {}) },
          }
    const answer = await this.#send(request, signal)
    return isObject(answer.body) ? answer.body : {}
  }

  async delete(
    name: KindName,
    ref: ObjectRef,
    options: DeleteOptions,
    signal: AbortSignal,
  ): Promise<'deleted' | 'terminating' | 'gone'> {
    const path = await this.#path(name, ref.namespace, ref.name, signal)
    const preconditions: Record<string, string> = {}
    if (options.uid !== undefined) preconditions['uid'] = options.uid
    if (options.resourceVersion !== undefined) preconditions['resourceVersion'] = options.resourceVersion
    const body: Record<string, Json> = { apiVersion: 'v1', kind: 'DeleteOptions' }
    if (Object.keys(preconditions).length > 0) body['preconditions'] = preconditions
    if (options.propagation !== undefined) body['propagationPolicy'] = options.propagation
    if (options.gracePeriodSeconds !== undefined) body['gracePeriodSeconds'] = options.gracePeriodSeconds
    if (options.dryRun === true) body['dryRun'] = ['All']
    try {
      return outcomeOf((await this.#send({ method: 'DELETE', path, body }, signal)).body)
    } catch (error) {
      if (asFault(error).reason === 'NotFound') return 'gone'
      throw error
    }
  }

  as(account: Account): Cluster {
    return new KubeCluster(this.#transport, this.#discovery, account)
  }

  async close(): Promise<void> {
    // An account borrows the connections of the cluster it came from.
    if (this.#account === undefined) await this.#transport.close()
  }

  async #send(request: Request, signal: AbortSignal): Promise<Answer> {
    try {
      return await this.#transport.send(
        { ...request, headers: { ...request.headers, ...this.#impersonation() } },
        signal,
      )
    } catch (error) {
      if (error instanceof Fault && error.reason === 'NoKindMatch') this.#discovery.forget()
      throw error
    }
  }

  #impersonation(): Record<string, string | readonly string[]> {
    if (this.#account === undefined) return {}
    const { user, groups } = this.#account
    return { 'impersonate-user': user, ...(groups.length === 0 ? {} : { 'impersonate-group': groups }) }
  }

  /** The URL path of a kind, a namespace or an object. `namespaced`: without a namespace it is `default`, as for objects. */
  async #path(
    name: KindName,
    namespace: string,
    object: string,
    signal: AbortSignal,
    collection?: 'namespaced',
  ): Promise<string> {
    const info = await this.#discovery.kind(name, signal)
    const base = info.group === '' ? `/api/${info.version}` : `/apis/${info.group}/${info.version}`
    const where = namespace === '' && (object !== '' || collection !== undefined) ? 'default' : namespace
    const scope = info.namespaced && where !== '' ? `/namespaces/${encodeURIComponent(where)}` : ''
    return `${base}${scope}/${info.plural}${object === '' ? '' : `/${encodeURIComponent(object)}`}`
  }
}

/** Endpoints that are verbs: posted to, not patched. */
const VERB_BODIES: Readonly<Record<string, JsonObject>> = {
  binding: { apiVersion: 'v1', kind: 'Binding' },
  eviction: { apiVersion: 'policy/v1', kind: 'Eviction' },
}

function patchType(patch: Json): string {
  return Array.isArray(patch) ? 'application/json-patch+json' : 'application/merge-patch+json'
}

function writeQuery(options: WriteOptions): Record<string, string | undefined> {
  return { fieldManager: options.fieldManager, dryRun: options.dryRun === true ? 'All' : undefined }
}

function selectors(query: ListQuery): Record<string, string | undefined> {
  return { labelSelector: query.labelSelector || undefined, fieldSelector: query.fieldSelector || undefined }
}

/** Kinds that come as protobuf where only what placement reads is wanted. */
const COMPACT = new Set(['v1/Pod', 'v1/Node'])

function accept(query: ListQuery, suffix: 'List' | ''): Record<string, string> {
  if (query.metadataOnly === true)
    return { accept: `application/json;as=PartialObjectMetadata${suffix};g=meta.k8s.io;v=v1` }
  const compact = query.fields === 'placement' && COMPACT.has(`${query.apiVersion}/${query.kind}`)
  return compact ? { accept: `${PROTOBUF}, application/json` } : {}
}

function objectOf(answer: Answer): Manifest {
  if (!isObject(answer.body))
    throw new Fault('ServerError', 'the answer is not an object', { facts: { status: answer.status } })
  return answer.body as Manifest
}

/** A server answers a deletion with a Status, or with the object as it is now or was last. */
function outcomeOf(body: Json): 'deleted' | 'terminating' {
  if (!isObject(body) || body['kind'] === 'Status') return 'deleted'
  const { metadata } = body as Manifest
  if (metadata.deletionTimestamp === undefined) return 'deleted'
  const spec = isObject(body['spec']) ? body['spec'] : {}
  const held = [metadata.finalizers, body['kind'] === 'Namespace' ? spec['finalizers'] : undefined]
  if (held.some((list) => Array.isArray(list) && list.length > 0)) return 'terminating'
  return metadata['deletionGracePeriodSeconds'] === 0 || metadata['deletionGracePeriodSeconds'] === undefined
    ? 'deleted'
    : 'terminating'
}
