/**
 * What is in the cluster, of what is ours: one label-filtered watch a kind. A turn that changes nothing reads nothing; what the
 * label does not show (not made yet, or its label taken off) is asked for by name, and remembered for a while.
 */
import { PART_OF } from '../core/diff/marks.ts'
import type { Cluster, KindName } from '../core/kube/cluster.ts'
import { asFault } from '../core/model/fault.ts'
import { groupOf, refKey, refOf, type Manifest, type ObjectRef } from '../core/model/object.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/logger.ts'
import { nextBackoffMs } from '../runtime/backoff.ts'

/** Above this many of one kind to ask for, one list is cheaper than gets. */
const LIST_ABOVE = 8
const PARALLEL_GETS = 8
/** How long an answer by name is believed: nothing tells us when such an object changes. */
export const PROBE_MS = 60_000
/** Not hearing of a kind for longer is said of the site. */
export const AWAY_MS = 5_000
/** A namespace that is there seldom goes, and what needs it says so. */
const NAMESPACE_PROBE_MS = 600_000

export interface ObserverPorts {
  readonly cluster: Cluster
  readonly clock: Clock
  readonly log: Logger
  random(): number
}

export interface Observer {
  /** Watches these kinds and no others; resolves when each was listed once or failed. Returns what cannot be read, by `group/kind`. */
  follow(kinds: readonly KindName[], signal: AbortSignal): Promise<ReadonlyMap<string, Error>>
  /** By refKey: as the watch or an answer by name says. undefined: not known. */
  seen(key: string): Manifest | null | undefined
  /** Asks for those that are not known. What cannot be read stays unknown. */
  probe(wanted: readonly { readonly ref: ObjectRef; readonly apiVersion: string }[], signal: AbortSignal): Promise<void>
  /** An answer to our own write, newer than the watch. */
  put(live: Manifest): void
  forget(key: string): void
  /** Since when some kind that was read is not heard of any more, monotonic ms; null: all are. */
  blindSinceMs(): number | null
  /** The longest time without hearing since this was last asked, ms. */
  takeBlindMs(): number
  /** Drops everything and lists again: the process stood still for longer than its knowledge is good for. */
  restart(): void
  /** Requests sent, for figures. */
  readonly counts: { lists: number; gets: number; watches: number; events: number }
  stop(): void
}

interface KindWatch {
  readonly name: KindName
  readonly stop: AbortController
  state: 'listing' | 'synced' | 'failed'
  fault: Error | undefined
  readonly ready: PromiseWithResolvers<void>
  keys: Set<string>
  /** Since when nothing is heard of this kind, monotonic ms; null: it is. */
  blindSinceMs: number | null
  /** Ends a pause between two tries. */
  kick: () => void
}

export function createObserver(ports: ObserverPorts, applySetId: string, onChange: (key: string) => void): Observer {
  const { cluster, clock, log } = ports
  const watches = new Map<string, KindWatch>()
  const objects = new Map<string, Manifest>()
  const probes = new Map<string, { readonly live: Manifest | null; readonly untilMs: number }>()
  const counts = { lists: 0, gets: 0, watches: 0, events: 0 }
  let blindMs = 0
  const labelSelector = `${PART_OF}=${applySetId}`

  const seen = (key: string): Manifest | null | undefined => {
    const live = objects.get(key)
    if (live !== undefined) return live
    const probe = probes.get(key)
    return probe !== undefined && probe.untilMs > clock.monotonicMs() ? probe.live : undefined
  }
  const put = (live: Manifest): void => {
    const key = refKey(refOf(live))
    const held = objects.get(key)
    if (held !== undefined && held.metadata.uid === live.metadata.uid && isOlder(live, held)) return
    probes.delete(key)
    objects.set(key, folded(live))
    watches.get(kindKey(live))?.keys.add(key)
  }
  const drop = (key: string): void => {
    objects.delete(key)
    probes.delete(key)
  }

  async function run(watch: KindWatch): Promise<void> {
    const { signal } = watch.stop
    const query = { ...watch.name, labelSelector }
    let waitMs = 0
    let from: string | undefined
    while (!signal.aborted) {
      try {
        if (from === undefined) {
          counts.lists += 1
          const { items, resourceVersion } = await cluster.list(query, signal)
          signal.throwIfAborted()
          relist(watch, items)
          from = resourceVersion
        }
        counts.watches += 1
        for await (const event of cluster.watch(query, from, signal)) {
          waitMs = 0
          if (event.type === 'bookmark') from = event.resourceVersion
          else {
            from = event.object.metadata.resourceVersion ?? from
            heard(watch, event.type, event.object)
          }
        }
        // A server that ends every watch at once must not be asked without a pause.
        waitMs = nextBackoffMs(waitMs / 3, ports.random())
      } catch (error) {
        if (signal.aborted) return
        const fault = asFault(error)
        // Listing again is what shows that it works again: a watch that is silent may be a dead one.
        from = undefined
        if (fault.reason !== 'WatchExpired') watch.blindSinceMs ??= clock.monotonicMs()
        if (watch.state === 'listing') watch.state = 'failed'
        watch.fault = fault
        watch.ready.resolve()
        // Silence is news too, once it is more than a server's restart.
        if (watch.blindSinceMs !== null && clock.monotonicMs() - watch.blindSinceMs > AWAY_MS) onChange('')
        waitMs = nextBackoffMs(waitMs, ports.random(), fault.retryAfterMs)
      }
      const kicked = Promise.withResolvers<void>()
      watch.kick = kicked.resolve
      const timer = new AbortController()
      await Promise.race([
        clock.sleep(waitMs, AbortSignal.any([signal, timer.signal])).catch(() => undefined),
        kicked.promise,
      ])
      timer.abort()
    }
  }

  function heard(watch: KindWatch, type: 'added' | 'modified' | 'deleted', object: Manifest): void {
    counts.events += 1
    const key = refKey(refOf(object))
    if (type === 'deleted') {
      watch.keys.delete(key)
      drop(key)
    } else put(object)
    // A definition that changed may be the one that another watch waits for.
    if (object.kind === 'CustomResourceDefinition') {
      for (const other of watches.values()) if (other.state === 'failed') other.kick()
    }
    onChange(key)
  }

  function relist(watch: KindWatch, items: readonly Manifest[]): void {
    const before = watch.keys
    watch.keys = new Set()
    for (const item of items) {
      // Lists may leave the type of their items out.
      const object: Manifest = { ...item, apiVersion: watch.name.apiVersion, kind: watch.name.kind }
      put(object)
      watch.keys.add(refKey(refOf(object)))
    }
    for (const key of before) {
      if (watch.keys.has(key)) continue
      drop(key)
      onChange(key)
    }
    if (watch.blindSinceMs !== null) {
      blindMs = Math.max(blindMs, clock.monotonicMs() - watch.blindSinceMs)
      // It may be another cluster by now: a box that was built anew. What was asked by name before says nothing of it.
      probes.clear()
    }
    watch.blindSinceMs = null
    watch.state = 'synced'
    watch.fault = undefined
    watch.ready.resolve()
    for (const key of watch.keys) onChange(key)
  }

  async function probeKind(name: KindName, wanted: readonly ObjectRef[], signal: AbortSignal): Promise<void> {
    let refs = wanted
    if (wanted.length > LIST_ABOVE) {
      counts.lists += 1
      const { items } = await cluster.list({ ...name, metadataOnly: true }, signal)
      const there = new Set(items.map((item) => refKey(refOf({ ...item, ...name }))))
      for (const ref of wanted) if (!there.has(refKey(ref))) remember(ref, null)
      refs = wanted.filter((ref) => there.has(refKey(ref)))
    }
    for (let i = 0; i < refs.length; i += PARALLEL_GETS) {
      await Promise.all(
        refs.slice(i, i + PARALLEL_GETS).map(async (ref) => {
          counts.gets += 1
          remember(ref, (await cluster.get(name, ref, signal)) ?? null)
        }),
      )
    }
  }

  function remember(ref: ObjectRef, live: Manifest | null): void {
    const goodForMs = ref.kind === 'Namespace' && live !== null ? NAMESPACE_PROBE_MS : PROBE_MS
    probes.set(refKey(ref), { live, untilMs: clock.monotonicMs() + goodForMs })
  }

  const blindSinceMs = (): number | null => {
    const since = [...watches.values()].flatMap((watch) => (watch.state === 'synced' ? (watch.blindSinceMs ?? []) : []))
    return since.length === 0 ? null : Math.min(...since)
  }

  const start = (name: KindName): KindWatch => {
    const watch: KindWatch = {
      name,
      stop: new AbortController(),
      state: 'listing',
      fault: undefined,
      ready: Promise.withResolvers<void>(),
      keys: new Set(),
      blindSinceMs: null,
      kick: () => undefined,
    }
    void run(watch)
    return watch
  }

  return {
    counts,
    seen,
    put,
    blindSinceMs,
    takeBlindMs: () => {
      const since = blindSinceMs()
      const longest = Math.max(blindMs, since === null ? 0 : clock.monotonicMs() - since)
      blindMs = 0
      return longest
    },
    forget: drop,
    async follow(kinds, signal) {
      const wanted = new Map(kinds.map((name) => [kindKey(name), name] as const))
      for (const [key, watch] of watches) {
        if (wanted.get(key)?.apiVersion === watch.name.apiVersion) continue
        watch.stop.abort()
        watches.delete(key)
        for (const object of watch.keys) drop(object)
      }
      for (const [key, name] of wanted) if (!watches.has(key)) watches.set(key, start(name))
      const stopped = Promise.withResolvers<void>()
      const stop = (): void => stopped.resolve()
      signal.addEventListener('abort', stop, { once: true })
      await Promise.race([Promise.all([...watches.values()].map(({ ready }) => ready.promise)), stopped.promise])
      signal.removeEventListener('abort', stop)
      signal.throwIfAborted()
      const unreadable = new Map<string, Error>()
      for (const [key, { state, fault }] of watches)
        if (state === 'failed' && fault !== undefined) unreadable.set(key, fault)
      return unreadable
    },
    async probe(wanted, signal) {
      const byKind = new Map<string, { readonly name: KindName; readonly refs: ObjectRef[] }>()
      for (const { ref, apiVersion } of wanted) {
        const group = byKind.get(`${apiVersion}/${ref.kind}`) ?? { name: { apiVersion, kind: ref.kind }, refs: [] }
        group.refs.push(ref)
        byKind.set(`${apiVersion}/${ref.kind}`, group)
      }
      for (const { name, refs } of byKind.values()) {
        try {
          await probeKind(name, refs, signal)
        } catch (error) {
          if (signal.aborted) throw error
          const fault = asFault(error)
          log.debug({ kind: name.kind, reason: fault.reason }, 'cannot read this kind')
          // A kind that is not served has no objects; making one says the same again, as that object's own fault.
          if (fault.reason === 'NoKindMatch') for (const ref of refs) remember(ref, null)
        }
      }
    },
    restart() {
      for (const watch of watches.values()) watch.stop.abort()
      watches.clear()
      objects.clear()
      probes.clear()
    },
    stop() {
      for (const watch of watches.values()) watch.stop.abort()
      watches.clear()
    },
  }
}

/**
 * Half of what an object weighs is who set which field, and only what is changed or in doubt is asked that: kept as text, and
 * parsed when it is asked for.
 */
function folded(live: Manifest): Manifest {
  const { managedFields, ...rest } = live.metadata
  if (managedFields === undefined) return live
  const text = JSON.stringify(managedFields)
  const metadata = Object.defineProperty(rest, 'managedFields', {
    enumerable: true,
    get: () => JSON.parse(text) as unknown,
  }) as Manifest['metadata']
  return { ...live, metadata }
}

export function kindKey({ apiVersion, kind }: KindName): string {
  return `${groupOf(apiVersion)}/${kind}`
}

/** resourceVersions of one server are ordered numbers (KEP-5504); of any other form, the later word counts. */
export function isOlder(a: Manifest, b: Manifest): boolean {
  const [x, y] = [a.metadata.resourceVersion ?? '', b.metadata.resourceVersion ?? '']
  if (!/^\d+$/.test(x) || !/^\d+$/.test(y)) return false
  return x.length === y.length ? x < y : x.length < y.length
}
