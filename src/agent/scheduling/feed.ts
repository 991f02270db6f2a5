/** One kind of the cluster as a stream of what is and what is gone: a list, then what came after it, and after any fault a list again. */
import type { ListQuery } from '../../core/kube/cluster.ts'
import { asFault, type Fault } from '../../core/model/fault.ts'
import type { Manifest } from '../../core/model/object.ts'
import { nextBackoffMs } from '../../runtime/backoff.ts'
import type { SchedulingPorts } from './ports.ts'

export type Seen =
  | { readonly is: 'here'; readonly object: Manifest }
  | { readonly is: 'gone'; readonly namespace: string; readonly name: string }

export interface Feed {
  /** Listed, and watched since without a fault: what it said is how things are. */
  isCurrent(): boolean
  fault(): Fault | null
  /** Resolves at the first list; rejects when the feed is stopped before that. */
  readonly listed: Promise<void>
  stop(): void
}

/** A watch that lived for less than this was refused rather than ended. */
const SHORT_WATCH_MS = 1_000

/** `saw` is called for every change, and for a list with each page of it and with what is gone since; `changed` after the feed became current, ceased to be, or cannot for another reason. */
export function openFeed(
  ports: Pick<SchedulingPorts, 'cluster' | 'clock' | 'random'>,
  query: ListQuery,
  saw: (seen: readonly Seen[]) => void,
  changed: () => void,
): Feed {
  const { cluster, clock } = ports
  const stop = new AbortController()
  const { signal } = stop
  const listed = Promise.withResolvers<void>()
  listed.promise.catch(() => undefined)
  /** By `namespace/name`: the version last told. */
  const told = new Map<string, string>()
  let isCurrent = false
  let fault: Fault | null = null

  function become(current: boolean, why: Fault | null): void {
    const isNews = isCurrent !== current || fault?.reason !== why?.reason
    isCurrent = current
    fault = why
    if (isNews) changed()
  }

  async function once(): Promise<void> {
    const from = await list()
    become(true, null)
    listed.resolve()
    await follow(from)
  }

  /** Told as it comes: of a large list only a page is held. The resourceVersion it was read at. */
  async function list(): Promise<string> {
    const here = new Set<string>()
    let at = ''
    for await (const { items, resourceVersion, begins } of cluster.pages(query, signal)) {
      if (begins) here.clear()
      at = resourceVersion
      const seen: Seen[] = []
      for (const object of items) {
        const key = keyOf(object)
        here.add(key)
        const version = object.metadata.resourceVersion ?? ''
        if (version !== '' && told.get(key) === version) continue
        told.set(key, version)
        seen.push({ is: 'here', object })
      }
      saw(seen)
    }
    const gone: Seen[] = []
    for (const key of told.keys())
      if (!here.has(key)) {
        told.delete(key)
        const slash = key.indexOf('/')
        gone.push({ is: 'gone', namespace: key.slice(0, slash), name: key.slice(slash + 1) })
      }
    saw(gone)
    return at
  }

  async function follow(version: string): Promise<void> {
    let from = version
    while (!signal.aborted) {
      const startMs = clock.monotonicMs()
      for await (const event of cluster.watch(query, from, signal)) {
        if (event.type === 'bookmark') {
          from = event.resourceVersion
          continue
        }
        const { object } = event
        const { namespace = '', name, resourceVersion = from } = object.metadata
        from = resourceVersion
        if (event.type === 'deleted') {
          told.delete(keyOf(object))
          saw([{ is: 'gone', namespace, name }])
        } else {
          told.set(keyOf(object), resourceVersion)
          saw([{ is: 'here', object }])
        }
      }
      // A server that ends every watch at once must not be asked without a pause.
      if (clock.monotonicMs() - startMs < SHORT_WATCH_MS) await clock.sleep(nextBackoffMs(0, ports.random()), signal)
    }
  }

  async function run(): Promise<void> {
    let waitMs = 0
    while (!signal.aborted) {
      const startMs = clock.monotonicMs()
      try {
        await once()
      } catch (error) {
        if (signal.aborted) break
        const why = asFault(error)
        const expired = why.reason === 'WatchExpired'
        // What happens from now on is not seen: nothing may be decided by it until it was listed again.
        become(false, expired ? null : why)
        if (clock.monotonicMs() - startMs > 60_000) waitMs = 0
        waitMs = expired ? 0 : nextBackoffMs(Math.min(waitMs, MOST_WAIT_MS / 3), ports.random(), why.retryAfterMs)
        await clock.sleep(waitMs, signal).catch(() => undefined)
      }
    }
    listed.reject(new Error('stopped'))
  }
  void run()
  return { isCurrent: () => isCurrent, fault: () => fault, listed: listed.promise, stop: () => stop.abort() }
}

/** Pods wait while nothing is read: it is tried again at least so often. */
const MOST_WAIT_MS = 15_000

function keyOf({ metadata }: Manifest): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`
}
