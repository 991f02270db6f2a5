/** The verbs of a simulated API server, synchronous: what a request does to the stored objects. Controllers call it directly. */
import type { DeleteOptions } from '../core/kube/cluster.ts'
import { Fault } from '../core/model/fault.ts'
import { jsonEqual, type Json, type JsonObject } from '../core/model/json.ts'
import { refOf, type Manifest, type ObjectMeta } from '../core/model/object.ts'
import { defaulted, withoutNulls } from './defaults.ts'
import { CRD_KEY, KindRegistry, type Served } from './kind-registry.ts'
import { applyManaged, updateManaged, type Writer } from './managers.ts'
import { jsonPatch, mergePatch } from './patch.ts'
import { seededUuid } from './random.ts'
import { refuseImmutable, validate } from './rules.ts'
import { Storage } from './storage.ts'
import { judge, withDefaults, withoutUnknown } from './structural.ts'

/** Who writes and how. */
export interface WriteContext {
  readonly manager: string
  readonly dryRun?: boolean
  readonly subresource?: string
  /** Controllers that make many pods leave their fields unclaimed, for memory's sake. */
  readonly track?: 'off'
}

export interface ApiServerOptions {
  readonly nowMs: () => number
  readonly random: () => number
  readonly historyLimit: number
}

export function idOf(namespace: string, name: string): string {
  return `${namespace}/${name}`
}

/** Grace that a pod on a node has where neither it nor the request says otherwise. */
const DEFAULT_GRACE_SECONDS = 30

export class ApiServer {
  readonly storage: Storage
  readonly kinds = new KindRegistry()
  readonly #nowMs: () => number
  readonly #random: () => number
  #clusterIps = 0

  constructor(options: ApiServerOptions) {
    this.storage = new Storage(options.historyLimit)
    this.#nowMs = options.nowMs
    this.#random = options.random
  }

  /** RFC 3339 with seconds, as Kubernetes writes times. */
  now(): string {
    return new Date(Math.floor(this.#nowMs() / 1000) * 1000).toISOString().replace('.000Z', 'Z')
  }

  get(served: Served, namespace: string, name: string): Manifest | undefined {
    const stored = this.storage.get(served.key, idOf(served.info.namespaced ? namespace : '', name))
    return stored === undefined ? undefined : present(served, stored)
  }

  create(manifest: Manifest, context: WriteContext): Manifest {
    const served = this.kinds.resolve(manifest)
    const incoming = this.#decode(served, manifest)
    const ref = refOf(incoming)
    if (this.storage.get(served.key, idOf(ref.namespace, ref.name)) !== undefined)
      throw new Fault('Conflict', `${served.info.plural} "${ref.name}" already exists`, {
        facts: { cause: 'AlreadyExists', status: 409 },
      })
    if (incoming.metadata.resourceVersion !== undefined)
      throw new Fault('Rejected', 'resourceVersion should not be set on objects to be created')
    const next = this.#prepare(served, this.#newborn(served, incoming))
    const writer = this.#writer(served, manifest, context, 'Update')
    const tracked =
      context.track === 'off'
        ? next
        : updateManaged(undefined, withoutManaged(next), served.schema, writer, served.statusApart)
    return this.#commitNew(served, tracked, context)
  }

  apply(manifest: Manifest, options: WriteContext & { readonly force: boolean }): Manifest {
    const served = this.kinds.resolve(manifest)
    if (manifest.metadata.managedFields !== undefined && manifest.metadata.managedFields.length > 0)
      throw new Fault('Rejected', 'metadata.managedFields must be nil', { facts: { status: 400 } })
    const applied = this.#decode(served, manifest)
    const ref = refOf(applied)
    const live = this.storage.get(served.key, idOf(ref.namespace, ref.name))
    const wanted = applied.metadata.resourceVersion
    if (live === undefined && wanted !== undefined)
      throw new Fault(
        'Conflict',
        `${served.info.plural} "${ref.name}" is not there, and resourceVersion ${wanted} was expected`,
      )
    checkPreconditions(served, live, applied.metadata)
    const writer = this.#writer(served, manifest, options, 'Apply')
    const merged = applyManaged({
      live: live === undefined ? undefined : present(served, live),
      applied: withoutServerFields(applied),
      schema: served.schema,
      writer,
      force: options.force,
      statusIsApart: served.statusApart,
    })
    if (live !== undefined) {
      const reset = this.#onEndpoint(served, present(served, live), merged, options.subresource)
      return this.#commit(served, live, this.#prepare(served, reset), options)
    }
    return this.#commitNew(served, this.#prepare(served, this.#newborn(served, merged)), options)
  }

  /** Fault NotFound. */
  patch(
    served: Served,
    namespace: string,
    name: string,
    patch: readonly JsonObject[] | JsonObject,
    context: WriteContext,
  ): Manifest {
    const live = this.#mustGet(served, namespace, name)
    const shown = present(served, live)
    const patched = Array.isArray(patch) ? jsonPatch(shown, patch as readonly JsonObject[]) : mergePatch(shown, patch)
    return this.update(served, patched as Manifest, context)
  }

  /** Replaces an object, or through `subresource: 'status'` its status. */
  update(served: Served, next: Manifest, context: WriteContext): Manifest {
    const live = this.#mustGet(served, next.metadata.namespace ?? '', next.metadata.name)
    const shown = present(served, live)
    const incoming = this.#decode(served, next)
    checkPreconditions(served, live, incoming.metadata)
    const reset = this.#onEndpoint(served, shown, incoming, context.subresource)
    // Through the status endpoint all but the status is what is stored already.
    const merged = context.subresource === 'status' && !served.custom ? reset : this.#prepare(served, reset)
    const writer = this.#writer(served, next, context, 'Update')
    const tracked =
      context.track === 'off' ? merged : updateManaged(shown, merged, served.schema, writer, served.statusApart)
    return this.#commit(served, live, tracked, context)
  }

  delete(served: Served, namespace: string, name: string, options: DeleteOptions): 'deleted' | 'terminating' | 'gone' {
    const id = idOf(served.info.namespaced ? namespace : '', name)
    const live = this.storage.get(served.key, id)
    if (live === undefined) return 'gone'
    checkPreconditions(served, live, options)
    const { metadata } = live
    const finalizers = new Set(metadata.finalizers)
    if (options.propagation === 'Foreground') finalizers.add('foregroundDeletion')
    if (options.propagation === 'Orphan') finalizers.add('orphan')
    const grace = this.#grace(served, live, options)
    const holds = finalizers.size > 0 || grace > 0 || served.key === '/Namespace'
    if (options.dryRun === true) return holds ? 'terminating' : 'deleted'
    if (!holds) {
      this.storage.remove(served.key, id, live)
      return 'deleted'
    }
    if (metadata.deletionTimestamp !== undefined) {
      // A second request may only shorten the grace.
      if (grace === 0 && (metadata['deletionGracePeriodSeconds'] ?? 0) !== 0)
        this.#settle(served, live, { ...metadata, deletionGracePeriodSeconds: 0 })
      return this.storage.get(served.key, id) === undefined ? 'deleted' : 'terminating'
    }
    const until = new Date(this.#nowMs() + grace * 1000).toISOString().replace(/\.\d+Z$/, 'Z')
    const marked: ObjectMeta = {
      ...metadata,
      deletionTimestamp: until,
      deletionGracePeriodSeconds: grace,
      ...(finalizers.size === 0 ? {} : { finalizers: [...finalizers] }),
      ...(served.counted ? { generation: (metadata.generation ?? 1) + 1 } : {}),
    }
    this.#settle(served, live, marked)
    return 'terminating'
  }

  /** For controllers: the object goes when nothing holds it any more. */
  removeFinalizer(served: Served, object: Manifest, finalizer: string): void {
    const { finalizers, ...metadata } = object.metadata
    const rest = (finalizers ?? []).filter((one) => one !== finalizer)
    this.#settle(served, object, rest.length === 0 ? metadata : { ...metadata, finalizers: rest })
  }

  /** The node is done with a pod that is being deleted. */
  finishPod(pod: Manifest): void {
    const served = this.kinds.resolve({ apiVersion: 'v1', kind: 'Pod' })
    this.#settle(served, pod, { ...pod.metadata, deletionGracePeriodSeconds: 0 })
  }

  /** Stores a terminating object with changed metadata, or removes it where that was the last thing that held it. */
  #settle(served: Served, live: Manifest, metadata: ObjectMeta): void {
    const id = idOf(metadata.namespace ?? '', metadata.name)
    const next = { ...live, metadata } as Manifest
    if (isHeld(served, next)) this.storage.put(served.key, id, next)
    else this.storage.remove(served.key, id, next)
  }

  #grace(served: Served, live: Manifest, options: DeleteOptions): number {
    if (served.key !== '/Pod') return 0
    const spec = live['spec'] as JsonObject
    const phase = (live['status'] as JsonObject | undefined)?.['phase']
    // A pod that no node runs has nothing to stop.
    if (spec['nodeName'] === undefined || phase === 'Succeeded' || phase === 'Failed') return 0
    return (
      options.gracePeriodSeconds ??
      (spec['terminationGracePeriodSeconds'] as number | undefined) ??
      DEFAULT_GRACE_SECONDS
    )
  }

  #decode(served: Served, manifest: Manifest): Manifest {
    const plain = served.custom ? manifest : (withoutNulls(manifest) as Manifest)
    const known = served.openApi === undefined ? plain : (withoutUnknown(served.openApi, plain) as Manifest)
    const { name, generateName } = known.metadata
    const given = name ?? (typeof generateName === 'string' ? `${generateName}${this.#suffix()}` : undefined)
    if (given === undefined || given === '')
      throw new Fault(
        'Rejected',
        `${manifest.kind} is invalid: metadata.name: Required value: name or generateName is required`,
        {
          facts: { field: 'metadata.name', status: 422 },
        },
      )
    const { namespace, ...metadata } = known.metadata
    return {
      ...known,
      metadata: { ...metadata, name: given, ...(served.info.namespaced ? { namespace: namespace ?? 'default' } : {}) },
    }
  }

  #newborn(served: Served, incoming: Manifest): Manifest {
    const { namespace = '', ...rest } = incoming.metadata
    if (served.info.namespaced) {
      const home = this.storage.get('/Namespace', idOf('', namespace))
      if (home === undefined)
        throw new Fault('NotFound', `namespaces "${namespace}" not found`, { facts: { namespace, status: 404 } })
      if (home.metadata.deletionTimestamp !== undefined)
        throw new Fault(
          'Forbidden',
          `${served.info.plural} "${rest.name}" is forbidden: unable to create new content in namespace ${namespace} because it is being terminated`,
          {
            facts: { cause: 'NamespaceTerminating', namespace, status: 403 },
          },
        )
    }
    const { status: _, ...withoutStatus } = incoming
    return {
      ...(served.statusApart ? withoutStatus : incoming),
      metadata: {
        ...withoutServerFields(incoming).metadata,
        uid: seededUuid(this.#random),
        creationTimestamp: this.now(),
        ...(served.counted ? { generation: 1 } : {}),
      },
    }
  }

  /** What this endpoint may change of live. */
  #onEndpoint(served: Served, live: Manifest, next: Manifest, subresource: string | undefined): Manifest {
    if (subresource === 'status') {
      const { managedFields } = next.metadata
      const metadata = managedFields === undefined ? live.metadata : { ...live.metadata, managedFields }
      return { ...live, metadata, ...(next['status'] === undefined ? {} : { status: next['status'] }) }
    }
    const kept: Record<string, Json> = {}
    for (const key of [
      'uid',
      'creationTimestamp',
      'generation',
      'deletionTimestamp',
      'deletionGracePeriodSeconds',
      'resourceVersion',
    ]) {
      const value = live.metadata[key]
      if (value !== undefined) kept[key] = value
    }
    const { status, ...rest } = next
    const shownStatus = served.statusApart ? live['status'] : status
    return {
      ...rest,
      ...(shownStatus === undefined ? {} : { status: shownStatus }),
      metadata: { ...next.metadata, ...kept },
    }
  }

  #prepare(served: Served, object: Manifest): Manifest {
    if (served.custom) {
      const filled = withDefaults(served.openApi, object) as Manifest
      validate(served.key, filled, judge(served.openApi, filled))
      return filled
    }
    const filled = defaulted(served.key, object, { clusterIp: () => this.#nextClusterIp() })
    validate(served.key, filled)
    return filled
  }

  #commitNew(served: Served, object: Manifest, context: WriteContext): Manifest {
    const canonical = this.#canonical(served, object)
    if (context.dryRun === true) return present(served, canonical)
    return present(
      served,
      this.storage.put(served.key, idOf(object.metadata.namespace ?? '', object.metadata.name), canonical),
    )
  }

  #commit(served: Served, live: Manifest, merged: Manifest, context: WriteContext): Manifest {
    const shown = present(served, live)
    const prepared = this.#canonical(served, merged)
    refuseImmutable(served.key, shown, prepared)
    const changed = served.counted && !jsonEqual(contentOf(served, live), contentOf(served, prepared))
    const next: Manifest = changed
      ? { ...prepared, metadata: { ...prepared.metadata, generation: (live.metadata.generation ?? 1) + 1 } }
      : prepared
    if (jsonEqual(next, live)) return shown
    if (context.dryRun === true) return present(served, next)
    const id = idOf(next.metadata.namespace ?? '', next.metadata.name)
    if (next.metadata.deletionTimestamp !== undefined && !isHeld(served, next))
      return present(served, this.storage.remove(served.key, id, next))
    return present(served, this.storage.put(served.key, id, next))
  }

  /** Objects are stored in the preferred version, whatever version they came in. */
  #canonical(served: Served, object: Manifest): Manifest {
    const preferred = this.kinds.preferred(served.info.group, served.info.kind)
    const { finalizers, ...metadata } = object.metadata
    const held = finalizers === undefined || finalizers.length === 0 ? metadata : object.metadata
    return { ...object, metadata: held, apiVersion: preferred.apiVersion }
  }

  #writer(served: Served, manifest: Manifest, context: WriteContext, operation: 'Apply' | 'Update'): Writer {
    return {
      manager: context.manager,
      operation,
      apiVersion: manifest.apiVersion ?? served.apiVersion,
      now: this.now(),
      ...(context.subresource === undefined ? {} : { subresource: context.subresource }),
    }
  }

  #mustGet(served: Served, namespace: string, name: string): Manifest {
    const live = this.storage.get(served.key, idOf(served.info.namespaced ? namespace : '', name))
    if (live === undefined)
      throw new Fault('NotFound', `${served.info.plural} "${name}" not found`, {
        facts: { name, namespace, status: 404 },
      })
    return live
  }

  /** Definitions become kinds when they are established, and again when they change. */
  refreshKinds(crd: Manifest): void {
    const conditions = ((crd['status'] as JsonObject | undefined)?.['conditions'] ?? []) as readonly JsonObject[]
    if (conditions.some((c) => c['type'] === 'Established' && c['status'] === 'True')) this.kinds.establish(crd)
  }

  get crds(): readonly Manifest[] {
    return this.storage.all(CRD_KEY)
  }

  #suffix(): string {
    return seededUuid(this.#random).slice(0, 5)
  }

  #nextClusterIp(): string {
    const n = ++this.#clusterIps
    return `10.96.${(n >> 8) & 255}.${n & 255}`
  }
}

/** In the version it was asked for. */
export function present(served: Served, stored: Manifest): Manifest {
  return stored.apiVersion === served.apiVersion ? stored : { ...stored, apiVersion: served.apiVersion }
}

function isHeld(served: Served, object: Manifest): boolean {
  const { finalizers = [], deletionGracePeriodSeconds } = object.metadata
  if (finalizers.length > 0) return true
  if (served.key === '/Namespace') {
    const spec = object['spec'] as JsonObject | undefined
    return ((spec?.['finalizers'] ?? []) as readonly string[]).length > 0
  }
  return served.key === '/Pod' && deletionGracePeriodSeconds !== undefined && deletionGracePeriodSeconds !== 0
}

function checkPreconditions(
  served: Served,
  live: Manifest | undefined,
  wanted: { readonly uid?: string; readonly resourceVersion?: string },
): void {
  if (live === undefined) return
  const { uid, resourceVersion, name } = live.metadata
  if (wanted.uid !== undefined && wanted.uid !== uid)
    throw new Fault(
      'Conflict',
      `${served.info.plural} "${name}": the UID in the precondition (${wanted.uid}) does not match (${uid})`,
      {
        facts: { precondition: 'uid', status: 409 },
      },
    )
  if (
    wanted.resourceVersion !== undefined &&
    wanted.resourceVersion !== '' &&
    wanted.resourceVersion !== resourceVersion
  )
    throw new Fault('Conflict', `${served.info.plural} "${name}": the object has been modified`, {
      facts: { precondition: 'resourceVersion', status: 409 },
    })
}

const SERVER_FIELDS = new Set(['uid', 'resourceVersion', 'creationTimestamp', 'generation', 'deletionTimestamp', 'deletionGracePeriodSeconds', 'selfLink']) // prettier-ignore

function withoutServerFields(manifest: Manifest): Manifest {
  const metadata = Object.fromEntries(Object.entries(manifest.metadata).filter(([key]) => !SERVER_FIELDS.has(key)))
  return { ...manifest, metadata: metadata as ObjectMeta }
}

function withoutManaged(manifest: Manifest): Manifest {
  const { managedFields: _, ...metadata } = manifest.metadata
  return { ...manifest, metadata }
}

/** What a generation counts: everything but metadata and status; of a Deployment the annotations, too. */
function contentOf(served: Served, object: Manifest): Json {
  const { metadata, status: _, apiVersion: __, ...content } = object
  if (served.key !== 'apps/Deployment') return content
  return { ...(content as JsonObject), annotations: metadata.annotations ?? {} }
}
