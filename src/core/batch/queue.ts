/** BatchQueues: what they say, whether their tree holds together, and whether a job of one may start. */
import { compareQuantities, parseQuantity } from '../kube/quantity.ts'
import type { Json, JsonObject } from '../model/json.ts'
import { countOf, durationOf, type Gathering, objectOf, type Parsed, refuse, textOf } from './fields.ts'
import type { BatchJobSpec, JobWait, Surroundings } from './types.ts'

export interface BatchQueueSpec {
  readonly name: string
  readonly parent: string | null
  readonly weight: number
  readonly priority: number
  readonly reclaimable: boolean
  readonly deserved: Resources
  readonly guarantee: Resources
  readonly capability: Resources
  readonly dequeueStrategy: 'fifo' | 'traverse'
  readonly maxRunning: number | null
  readonly maxTimeMs: number | null
  /** Hold: nothing new starts. HoldAndDrain: what runs goes back to waiting as well. */
  readonly stopPolicy: 'None' | 'Hold' | 'HoldAndDrain'
}
type Resources = Readonly<Record<string, string | number>>

export function parseBatchQueue(document: JsonObject): Parsed<BatchQueueSpec> {
  const into: Gathering = { refused: [] }
  const spec = objectOf(document['spec'])
  const name = textOf(objectOf(document['metadata'])['name']) ?? ''
  const limits = objectOf(spec['limits'])
  const parent = textOf(spec['parent']) ?? null
  if (parent === name) refuse(into, 'spec.parent', 'is the queue itself')
  const value: BatchQueueSpec = {
    name,
    parent,
    weight: countOf(into, spec['weight'], 'spec.weight', 1) ?? 1,
    priority: typeof spec['priority'] === 'number' ? spec['priority'] : 0,
    reclaimable: spec['reclaimable'] !== false,
    deserved: resourcesOf(into, spec['deserved'], 'spec.deserved'),
    guarantee: resourcesOf(into, spec['guarantee'], 'spec.guarantee'),
    capability: resourcesOf(into, spec['capability'], 'spec.capability'),
    dequeueStrategy: spec['dequeueStrategy'] === 'fifo' ? 'fifo' : 'traverse',
    maxRunning: countOf(into, limits['maxRunning'], 'spec.limits.maxRunning', 1) ?? null,
    maxTimeMs: durationOf(into, limits['maxTime'], 'spec.limits.maxTime') ?? null,
    stopPolicy: stopPolicyOf(spec['stopPolicy']),
  }
  refuseDisorder(into, value)
  return into.refused.length > 0 ? { ok: false, refused: into.refused } : { ok: true, value }
}

function stopPolicyOf(value: Json | undefined): BatchQueueSpec['stopPolicy'] {
  return value === 'Hold' || value === 'HoldAndDrain' ? value : 'None'
}

function resourcesOf(into: Gathering, value: Json | undefined, path: string): Resources {
  const resources: Record<string, string | number> = {}
  for (const [name, amount] of Object.entries(objectOf(value))) {
    if (typeof amount !== 'string' && typeof amount !== 'number') continue
    const parsed = parseQuantity(amount)
    if (!parsed.ok) refuse(into, `${path}.${name}`, `"${amount}" is no quantity`)
    else if (parsed.quantity.nanos < 0n) refuse(into, `${path}.${name}`, `${amount} is below zero`)
    else resources[name] = amount
  }
  return resources
}

/** guarantee <= deserved <= capability, where both are said. */
function refuseDisorder(into: Gathering, { deserved, guarantee, capability }: BatchQueueSpec): void {
  const pairs = [
    ['guarantee', guarantee, 'deserved', deserved],
    ['deserved', deserved, 'capability', capability],
    ['guarantee', guarantee, 'capability', capability],
  ] as const
  for (const [lowName, low, highName, high] of pairs)
    for (const [name, amount] of Object.entries(low)) {
      const most = Object.hasOwn(high, name) ? high[name] : undefined
      if (most !== undefined && isAbove(amount, most))
        refuse(into, `spec.${lowName}.${name}`, `${amount} is above the ${highName}, ${most}`)
    }
}

function isAbove(a: string | number, b: string | number): boolean {
  const [left, right] = [parseQuantity(a), parseQuantity(b)]
  return left.ok && right.ok && compareQuantities(left.quantity, right.quantity) > 0
}

/** The queues of one site, and what is wrong with each. */
export class QueueTree {
  readonly #queues: ReadonlyMap<string, BatchQueueSpec>
  readonly #parents: ReadonlySet<string>

  constructor(queues: readonly BatchQueueSpec[]) {
    this.#queues = new Map(queues.map((queue) => [queue.name, queue]))
    this.#parents = new Set(queues.flatMap((queue) => queue.parent ?? []))
  }

  get(name: string): BatchQueueSpec | undefined {
    return this.#queues.get(name)
  }

  isLeaf(name: string): boolean {
    return !this.#parents.has(name)
  }

  /** The queue and its ancestors, nearest first; or why there is no such line. */
  line(
    name: string,
  ):
    | { readonly ok: true; readonly queues: readonly BatchQueueSpec[] }
    | { readonly ok: false; readonly because: string } {
    const queues: BatchQueueSpec[] = []
    const seen: string[] = []
    for (let at: string | null = name; at !== null;) {
      if (seen.includes(at)) return { ok: false, because: `its parents run in a circle: ${[...seen, at].join(' -> ')}` }
      const queue = this.#queues.get(at)
      if (queue === undefined) return { ok: false, because: `its parent ${at} is not on this site` }
      seen.push(at)
      queues.push(queue)
      at = queue.parent
    }
    return { ok: true, queues }
  }

  /** What is wrong with each queue's place in the tree; jobs of the others go on. */
  problems(): ReadonlyMap<string, string> {
    const problems = new Map<string, string>()
    for (const name of this.#queues.keys()) {
      const line = this.line(name)
      if (!line.ok) problems.set(name, line.because)
    }
    return problems
  }
}

/** What a job's queue says to it. Jobs that run go on when their queue is held or gone; only a drain takes them back. */
export function queueGate(spec: BatchJobSpec, tree: QueueTree): Required<Surroundings> {
  if (tree.get(spec.queue) === undefined)
    return closed({ reason: 'Hold', detail: `queue ${spec.queue} is not on this site` })
  const line = tree.line(spec.queue)
  if (!line.ok) return closed({ reason: 'HeldByError', detail: `queue ${spec.queue}: ${line.because}` })
  if (!tree.isLeaf(spec.queue))
    return closed({
      reason: 'HeldByError',
      detail: `queue ${spec.queue} has queues under it; only leaf queues take jobs`,
    })
  const drained = line.queues.find((queue) => queue.stopPolicy === 'HoldAndDrain')
  if (drained !== undefined)
    return { ...closed({ reason: 'Hold', detail: `queue ${drained.name} is held and drained` }), drain: true }
  const held = line.queues.find((queue) => queue.stopPolicy === 'Hold')
  if (held !== undefined) return closed({ reason: 'Hold', detail: `queue ${held.name} is held` })
  const tight = line.queues.find((queue) => queue.maxTimeMs !== null && (spec.timeLimitMs ?? 0) > queue.maxTimeMs)
  if (tight !== undefined)
    return closed({ reason: 'QueueLimit', detail: `its time limit is above that of queue ${tight.name}` })
  return { queue: { open: true }, drain: false }
}

function closed(wait: JobWait): Required<Surroundings> {
  return { queue: { open: false, wait }, drain: false }
}

/** A job without a time limit has its queue's: backfill rests on limits that are enforced. */
export function withQueueLimits(spec: BatchJobSpec, tree: QueueTree): BatchJobSpec {
  const line = tree.line(spec.queue)
  if (!line.ok || spec.timeLimitMs !== null) return spec
  const limits = line.queues.flatMap((queue) => queue.maxTimeMs ?? [])
  return limits.length === 0 ? spec : { ...spec, timeLimitMs: Math.min(...limits) }
}
