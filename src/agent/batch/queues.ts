/** The site's queues: what Git says, what a person at the site said over it, and the one that is always there. */
import { type BatchQueueSpec, parseBatchQueue, QueueTree } from '../../core/batch/queue.ts'
import { DEFAULT_QUEUE } from '../../core/batch/release.ts'
import type { JsonObject } from '../../core/model/json.ts'
import type { QueueInput } from '../../core/scheduler/types.ts'
import type { Wanted } from './desired.ts'
import { queueKey, type Journal } from './journal.ts'

const ALWAYS: BatchQueueSpec = {
  name: DEFAULT_QUEUE,
  parent: null,
  weight: 1,
  priority: 0,
  reclaimable: true,
  deserved: {},
  guarantee: {},
  capability: {},
  dequeueStrategy: 'traverse',
  maxRunning: null,
  maxTimeMs: null,
  stopPolicy: 'None',
}

export interface SiteQueues {
  readonly specs: readonly BatchQueueSpec[]
  readonly tree: QueueTree
}

/** A queue whose document cannot be read is not there: its jobs wait and say so. */
export function queuesOf(wanted: readonly Pick<Wanted, 'kind' | 'document'>[], journal: Journal): SiteQueues {
  const queues = new Map<string, BatchQueueSpec>([[DEFAULT_QUEUE, ALWAYS]])
  for (const { kind, document } of wanted) {
    const spec = kind === 'BatchQueue' ? queueOf(document) : null
    if (spec !== null) queues.set(spec.name, spec)
  }
  const specs = [...queues.values()].map((spec) => {
    const word = journal.queues().get(queueKey(spec.name))
    return word === undefined || spec.stopPolicy === 'HoldAndDrain' ? spec : { ...spec, stopPolicy: word.stopPolicy }
  })
  return { specs, tree: new QueueTree(specs) }
}

const known = new WeakMap<JsonObject, BatchQueueSpec | null>()

/** Read once a document. */
function queueOf(document: JsonObject): BatchQueueSpec | null {
  const before = known.get(document)
  if (before !== undefined) return before
  const parsed = parseBatchQueue(document)
  const spec = parsed.ok ? parsed.value : null
  known.set(document, spec)
  return spec
}

/** As the scheduler core takes it. Held ones are open to it: what was admitted before the hold goes on. */
export function queueInput(spec: BatchQueueSpec, tree: QueueTree): QueueInput | undefined {
  if (!tree.line(spec.name).ok) return undefined
  const { name, parent, weight, priority, reclaimable, deserved, guarantee, capability, dequeueStrategy } = spec
  return {
    name,
    ...(parent === null ? {} : { parent }),
    weight,
    priority,
    reclaimable,
    ...said('deserved', deserved),
    ...said('guarantee', guarantee),
    ...said('capability', capability),
    dequeueStrategy,
    ...(spec.maxRunning === null ? {} : { maxRunning: spec.maxRunning }),
  }
}

/** Nothing said is no limit, and not a limit of nothing. */
function said<K extends string, R extends object>(name: K, resources: R): Partial<Record<K, R>> {
  return Object.keys(resources).length === 0 ? {} : ({ [name]: resources } as Record<K, R>)
}
