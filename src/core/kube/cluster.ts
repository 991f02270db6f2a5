/**
 * The one port behind which a cluster stands: a real API server (`adapters/cluster`) or a simulated one (`sim`).
 * Both pass `test/contract`. Every fault is mapped by the adapter: NotFound, Conflict, FieldConflict, ImmutableField, Rejected,
 * NoKindMatch, Throttled, WebhookFailed, ServerError, OutcomeUnknown, Timeout, Unreachable, Unauthorized, Forbidden, WatchExpired.
 */
import type { Json, JsonObject } from '../model/json.ts'
import type { Manifest, ObjectRef } from '../model/object.ts'

/** A kind as the server serves it. */
export interface KindInfo {
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly plural: string
  readonly namespaced: boolean
  readonly verbs: readonly string[]
  readonly subresources: readonly string[]
}

/** One version of one kind. */
export interface KindName {
  readonly apiVersion: string
  readonly kind: string
}

export interface ListQuery extends KindName {
  readonly namespace?: string
  /** As text, `a=b,c in (d,e)`. */
  readonly labelSelector?: string
  readonly fieldSelector?: string
  /** True: only metadata is wanted (PartialObjectMetadata). */
  readonly metadataOnly?: boolean
  /** Only what decides where pods may stand is wanted, of pods and nodes: the rest may be missing, and a server be spared the work. */
  readonly fields?: 'placement'
}

export interface ListPage {
  readonly items: readonly Manifest[]
  /** Of the whole list. */
  readonly resourceVersion: string
  /** What came before counts no more: it expired on the way, and the list is read anew. Also of the very first. */
  readonly begins: boolean
}

export type WatchEvent =
  | { readonly type: 'added' | 'modified' | 'deleted'; readonly object: Manifest }
  /** Progress only: a resourceVersion to go on from. */
  | { readonly type: 'bookmark'; readonly resourceVersion: string }

export interface ApplyOptions {
  readonly fieldManager: string
  /** Take fields from other managers. Without it a conflict is the fault FieldConflict, facts name manager and fields. */
  readonly force: boolean
  readonly dryRun?: boolean
}

export interface WriteOptions {
  readonly dryRun?: boolean
  readonly fieldManager?: string
}

export interface DeleteOptions {
  /** Preconditions: another UID or version is the fault Conflict. */
  readonly uid?: string
  readonly resourceVersion?: string
  readonly propagation?: 'Background' | 'Foreground' | 'Orphan'
  readonly gracePeriodSeconds?: number
  readonly dryRun?: boolean
}

export interface LogOptions {
  readonly container: string
  readonly tailLines: number
  /** Of those lines the newest are kept. */
  readonly maxBytes: number
  /** Of the container before this one, which ended. */
  readonly previous: boolean
  readonly sinceSeconds: number | null
}

export interface LogTail {
  readonly text: string
  /** Older bytes of the lines that were asked for. */
  readonly cutBytes: number
}

export interface ExecOptions {
  readonly container: string
  readonly command: readonly string[]
  /** Of what it writes the first are kept. */
  readonly maxBytes: number
}

export interface ExecResult {
  readonly stdout: string
  readonly stderr: string
  readonly exitCode: number
  readonly cutBytes: number
}

export interface Cluster {
  /** Served version of a kind; cached, refreshed once on a miss. Fault NoKindMatch. */
  kind(name: KindName, signal: AbortSignal): Promise<KindInfo>
  /** The server's preferred version of a group's kind, whatever version was named. Fault NoKindMatch. */
  preferred(group: string, kind: string, signal: AbortSignal): Promise<KindInfo>
  /** All kinds served, for rebuilding an inventory. */
  kinds(signal: AbortSignal): Promise<readonly KindInfo[]>
  get(name: KindName, ref: ObjectRef, signal: AbortSignal): Promise<Manifest | undefined>
  list(
    query: ListQuery,
    signal: AbortSignal,
  ): Promise<{ readonly items: readonly Manifest[]; readonly resourceVersion: string }>
  /** The same piece by piece, for what may be large. */
  pages(query: ListQuery, signal: AbortSignal): AsyncIterable<ListPage>
  /** From this resourceVersion on, until the server ends it or the signal aborts. Fault WatchExpired: list again. */
  watch(query: ListQuery, resourceVersion: string, signal: AbortSignal): AsyncIterable<WatchEvent>
  /** The newest lines of one container of a pod. Fault Rejected: it has not begun to write any, or there is none before it. */
  log(pod: ObjectRef, options: LogOptions, signal: AbortSignal): Promise<LogTail>
  /** Runs a command in a container, without input, until it ends. Faults Rejected: it cannot be run; OutcomeUnknown: it may go on. */
  exec(pod: ObjectRef, options: ExecOptions, signal: AbortSignal): Promise<ExecResult>
  create(manifest: Manifest, options: WriteOptions, signal: AbortSignal): Promise<Manifest>
  /** Server-side apply. A resourceVersion in the manifest's metadata is a precondition. */
  apply(manifest: Manifest, options: ApplyOptions, signal: AbortSignal): Promise<Manifest>
  /** JSON 6902 (a list) or JSON merge patch (an object). */
  patch(
    name: KindName,
    ref: ObjectRef,
    patch: readonly JsonObject[] | JsonObject,
    options: WriteOptions,
    signal: AbortSignal,
  ): Promise<Manifest>
  /** `status` and `scale` are patched (a list is JSON 6902, an object a merge patch); `binding` and `eviction` are posted, their kind and name filled in. */
  subresource(name: KindName, ref: ObjectRef, subresource: string, body: Json, signal: AbortSignal): Promise<JsonObject>
  /** `gone`: it was not there. `terminating`: finalizers or grace hold it. */
  delete(
    name: KindName,
    ref: ObjectRef,
    options: DeleteOptions,
    signal: AbortSignal,
  ): Promise<'deleted' | 'terminating' | 'gone'>
  /** The same server, acting as another account for every verb. */
  as(account: { readonly user: string; readonly groups: readonly string[] }): Cluster
  close(): Promise<void>
}
