import type { WatchEvent } from '../core/kube/cluster.ts'
import { Fault } from '../core/model/fault.ts'
import type { Manifest } from '../core/model/object.ts'
import { present, type ApiServer } from './api-server.ts'
import type { Served } from './kind-registry.ts'
import type { Change } from './storage.ts'

/** Events that may wait for one reader; a slower one is told to list again. */
const MAX_QUEUE = 10_000
/** Changes of other kinds after which a quiet watch gets a bookmark, so that it does not fall out of the history. */
const BOOKMARK_EVERY = 50

export interface WatchTarget {
  readonly served: Served
  readonly selects: (object: Manifest) => boolean
  readonly show: (object: Manifest) => Manifest
}

/** A watch from a version on. Ends when the signal aborts or `closed` resolves it. Fault WatchExpired. */
export async function* watchChanges(
  server: ApiServer,
  target: WatchTarget,
  resourceVersion: string,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent> {
  const queue: WatchEvent[] = []
  let wake: (() => void) | undefined
  let overflow = false
  let quiet = 0
  const push = (event: WatchEvent): void => {
    overflow ||= queue.length >= MAX_QUEUE
    if (!overflow) queue.push(event)
    wake?.()
  }
  const hear = (change: Change): void => {
    const event = eventOf(target, change)
    if (event !== undefined) {
      quiet = 0
      push(event)
    } else if (++quiet >= BOOKMARK_EVERY) {
      quiet = 0
      push({ type: 'bookmark', resourceVersion: String(change.version) })
    }
  }
  for (const event of backlog(server, target, resourceVersion)) push(event)
  const stop = (): void => wake?.()
  server.storage.listeners.add(hear)
  signal.addEventListener('abort', stop, { once: true })
  try {
    while (!signal.aborted) {
      const event = queue.shift()
      if (event !== undefined) yield event
      else if (overflow) throw new Fault('WatchExpired', 'the watch fell behind')
      else
        await new Promise<void>((resolve) => {
          wake = resolve
          if (signal.aborted || queue.length > 0) resolve()
        })
    }
  } finally {
    server.storage.listeners.delete(hear)
    signal.removeEventListener('abort', stop)
  }
}

function backlog(server: ApiServer, target: WatchTarget, resourceVersion: string): readonly WatchEvent[] {
  if (resourceVersion === '' || resourceVersion === '0')
    return server.storage
      .all(target.served.key)
      .filter((object) => target.selects(object))
      .map((object) => ({ type: 'added', object: target.show(present(target.served, object)) }))
  const changes = server.storage.since(Number(resourceVersion))
  if (changes === undefined)
    throw new Fault('WatchExpired', `too old resource version: ${resourceVersion}`, { facts: { status: 410 } })
  return changes.map((change) => eventOf(target, change)).filter((event) => event !== undefined)
}

/** As a selecting watcher sees a change: an object that stops matching goes, one that begins to comes. */
function eventOf(target: WatchTarget, change: Change): WatchEvent | undefined {
  if (change.key !== target.served.key) return undefined
  const was = change.previous !== undefined && target.selects(change.previous)
  const is = change.type !== 'deleted' && target.selects(change.object)
  if (!was && !is) return undefined
  const object = target.show(present(target.served, change.object))
  if (!is) return { type: 'deleted', object }
  return { type: was ? 'modified' : 'added', object }
}
