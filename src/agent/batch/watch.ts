/** All objects of one kind, as a list and what came after it. What is known is whole: before the first list there is nothing. */
import type { Cluster, ListQuery } from '../../core/kube/cluster.ts'
import { asFault, type Fault } from '../../core/model/fault.ts'
import type { Manifest } from '../../core/model/object.ts'
import type { Clock } from '../../runtime/clock.ts'
import { nextBackoffMs } from '../../runtime/backoff.ts'

export interface WatchPorts {
  readonly cluster: Cluster
  readonly clock: Clock
  random(): number
}

export interface KindView {
  /** Listed, and heard of since. */
  synced(): boolean
  /** Why it is not. */
  fault(): Fault | null
  /** By `namespace/name`. */
  objects(): ReadonlyMap<string, Manifest>
  /** An answer to our own write, where the watch has not brought it yet. */
  put(object: Manifest): void
  /** Resolves at the first list, or at the first failure. */
  readonly ready: Promise<void>
  stop(): void
}

export function viewKind(ports: WatchPorts, query: ListQuery, changed: () => void): KindView {
  const { cluster, clock } = ports
  const stop = new AbortController()
  const { signal } = stop
  const ready = Promise.withResolvers<void>()
  let objects = new Map<string, Manifest>()
  let isSynced = false
  let fault: Fault | null = null

  async function once(): Promise<void> {
    isSynced = false
    const { items, resourceVersion } = await cluster.list(query, signal)
    objects = new Map(items.map((item) => [keyOf(item), item]))
    isSynced = true
    fault = null
    ready.resolve()
    changed()
    let from = resourceVersion
    while (!signal.aborted) {
      const startMs = clock.monotonicMs()
      for await (const event of cluster.watch(query, from, signal)) {
        if (event.type === 'bookmark') {
          from = event.resourceVersion
          continue
        }
        from = event.object.metadata.resourceVersion ?? from
        if (event.type === 'deleted') objects.delete(keyOf(event.object))
        else objects.set(keyOf(event.object), event.object)
        changed()
      }
      // A server that ends every watch at once must not be asked without a pause.
      if (clock.monotonicMs() - startMs < 1_000) await clock.sleep(nextBackoffMs(0, ports.random()), signal)
    }
  }

  async function run(): Promise<void> {
    let waitMs = 0
    while (!signal.aborted) {
      try {
        await once()
      } catch (error) {
        if (signal.aborted) return
        const why = asFault(error)
        if (why.reason === 'WatchExpired') waitMs = 0
        else {
          // What happens meanwhile is not seen: a pod that is not in an old list is no pod that is gone.
          isSynced = false
          waitMs = nextBackoffMs(waitMs, ports.random(), why.retryAfterMs)
          const isNews = fault?.reason !== why.reason
          fault = why
          if (isNews) changed()
        }
        ready.resolve()
        await clock.sleep(waitMs, signal).catch(() => undefined)
      }
    }
  }
  void run()
  return {
    synced: () => isSynced,
    fault: () => fault,
    objects: () => objects,
    put: (object) => void (objects.has(keyOf(object)) || objects.set(keyOf(object), object)),
    ready: ready.promise,
    stop: () => stop.abort(),
  }
}

function keyOf({ metadata }: Manifest): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`
}
