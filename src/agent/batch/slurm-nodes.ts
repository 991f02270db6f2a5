/** Nodes and queues of a site as sinfo and `queue list` show them. Pure. */
import type { BatchQueueSpec, QueueTree } from '../../core/batch/queue.ts'
import { DEFAULT_QUEUE } from '../../core/batch/release.ts'
import type { SlurmNodes } from '../../core/batch/slurm-columns.ts'
import type { QueueRowView } from '../../core/batch/view.ts'
import { byHost } from '../../core/batch/slurm-hosts.ts'
import { milliOf, wholeOf } from '../../core/kube/quantity.ts'
import { isObject, type Json, type JsonObject } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'
import { Dimensions } from '../../core/scheduler/resources.ts'
import { queueKey, type Journal } from './journal.ts'
import { type Held, holdingOf, NOTHING_HELD, sumOf } from './node-use.ts'
import type { SiteQueues } from './queues.ts'
import { amount } from './slurm.ts'

/** A row a queue that takes jobs, and a kind of node in a state. `held`: by all pods; null: only those of jobs are known. */
export function slurmNodes(
  queues: SiteQueues,
  nodes: readonly Manifest[],
  pods: readonly Manifest[],
  held: ReadonlyMap<string, Held> | null,
): readonly SlurmNodes[] {
  const dimensions = new Dimensions()
  const known = held ?? sumOf(pods.flatMap((pod) => holdingOf(pod, dimensions) ?? []))
  const seen = nodes.map((node) => nodeOf(node, known.get(node.metadata.name) ?? NOTHING_HELD))
  const leaves = queues.specs.filter(({ name }) => queues.tree.isLeaf(name))
  // What each node has in use is shown of each where there are few; of many alike, together.
  const isSmall = nodes.length * leaves.length <= MOST_ROWS
  const alike = Map.groupBy(seen, ({ nodes: _nodes, cpusAllocated, memoryAllocatedMiB, ...same }) =>
    JSON.stringify(isSmall ? { ...same, cpusAllocated, memoryAllocatedMiB } : same),
  )
  const groups = [...alike.values()].map((group) => ({
    ...(group[0] as Node),
    nodes: group.flatMap((node) => node.nodes).toSorted(byHost),
    cpusAllocated: group.reduce((sum, { cpusAllocated }) => sum + cpusAllocated, 0),
    memoryAllocatedMiB: group.reduce((sum, { memoryAllocatedMiB = 0 }) => sum + memoryAllocatedMiB, 0),
  }))
  return leaves.flatMap((spec) =>
    groups.map((group): SlurmNodes => ({
      ...group,
      partition: spec.name,
      isDefault: spec.name === DEFAULT_QUEUE,
      available: availableOf(spec, queues.tree),
      timeLimitMs: spec.maxTimeMs,
    })),
  )
}

type Node = Omit<SlurmNodes, 'partition' | 'isDefault' | 'available' | 'timeLimitMs'>

/** A queue that is held is Slurm's down: jobs may come, none starts, and what runs goes on. */
function availableOf({ name }: BatchQueueSpec, tree: QueueTree): SlurmNodes['available'] {
  const line = tree.line(name)
  if (!line.ok) return 'inact'
  if (line.queues.some(({ stopPolicy }) => stopPolicy === 'HoldAndDrain')) return 'drain'
  return line.queues.some(({ stopPolicy }) => stopPolicy === 'Hold') ? 'down' : 'up'
}

const MIB = 2 ** 20
/** A queue and a node each; the hub is told no more rows than 50. */
const MOST_ROWS = 40
const ORDINARY = new Set(['cpu', 'memory', 'pods', 'ephemeral-storage'])

function nodeOf(node: Manifest, { milliCpu, bytes, guests }: Held): Node {
  const status = objectOf(node['status'])
  const allocatable = objectOf(status['allocatable'])
  const milli = amount(allocatable['cpu'], milliOf)
  const memory = amount(allocatable['memory'], wholeOf)
  const extended = Object.entries(allocatable).filter(
    ([name, value]) => !ORDINARY.has(name) && !name.startsWith('hugepages-') && amount(value, wholeOf) > 0,
  )
  const cpus = Math.floor(milli / 1_000)
  const { is, reason, sinceMs } = conditionOf(node)
  const isBusy = guests > 0
  const isFull = isBusy && milliCpu >= milli
  const state: SlurmNodes['state'] =
    is === 'closed'
      ? isBusy
        ? 'draining'
        : 'drained'
      : is === 'up'
        ? isFull
          ? 'allocated'
          : isBusy
            ? 'mixed'
            : 'idle'
        : 'down'
  return {
    nodes: [node.metadata.name],
    state,
    ...(is === 'silent' ? { responding: false } : {}),
    cpus,
    memoryMiB: Math.floor(memory / MIB),
    // A node is Slurm's by whole CPUs; what its own pods take of it is no job's.
    cpusAllocated: isFull ? cpus : isBusy ? Math.min(cpus, Math.ceil(milliCpu / 1_000)) : 0,
    memoryAllocatedMiB: isBusy ? Math.ceil(Math.min(bytes, memory) / MIB) : 0,
    gres: extended.map(([name, value]) => `${name}:${amount(value, wholeOf)}`).join(','),
    reason,
    ...(sinceMs === null ? {} : { reasonMs: sinceMs }),
  }
}

interface NodeCondition {
  /** silent: nobody hears of it. closed: it takes nothing new. */
  readonly is: 'up' | 'down' | 'silent' | 'closed'
  readonly reason: string
  readonly sinceMs: number | null
}

/** Said by the node controller beside what a person may say. */
const PRESSED = /^node\.kubernetes\.io\/(?:disk-pressure|memory-pressure|pid-pressure|network-unavailable)$/
const CORDON = 'node.kubernetes.io/unschedulable'

function conditionOf(node: Manifest): NodeCondition {
  const spec = objectOf(node['spec'])
  const conditions = listOf(objectOf(node['status'])['conditions'])
  const ready = conditions.find((one) => one['type'] === 'Ready')
  if (ready !== undefined && ready['status'] !== 'True') {
    const said = typeof ready['reason'] === 'string' ? ready['reason'] : 'NotReady'
    const is = ready['status'] === 'Unknown' ? 'silent' : 'down'
    return { is, reason: said, sinceMs: momentOf(ready['lastTransitionTime']) }
  }
  const taints = listOf(spec['taints'])
  if (spec['unschedulable'] === true)
    return {
      is: 'closed',
      reason: 'cordoned',
      sinceMs: momentOf(taints.find(({ key }) => key === CORDON)?.['timeAdded']),
    }
  const pressed = taints.find(({ key }) => typeof key === 'string' && PRESSED.test(key))
  if (pressed === undefined) return { is: 'up', reason: '', sinceMs: null }
  const reason = (pressed['key'] as string).slice('node.kubernetes.io/'.length)
  return { is: 'closed', reason, sinceMs: momentOf(pressed['timeAdded']) }
}

function momentOf(value: Json | undefined): number | null {
  const ms = typeof value === 'string' ? Date.parse(value) : NaN
  return Number.isNaN(ms) ? null : ms
}

function listOf(value: Json | undefined): readonly JsonObject[] {
  return Array.isArray(value) ? (value as readonly Json[]).filter(isObject) : []
}

function objectOf(value: Json | undefined): JsonObject {
  return isObject(value) ? value : {}
}

export function queueRows(
  { specs, tree }: SiteQueues,
  journal: Journal,
  counts: ReadonlyMap<string, { readonly running: number; readonly pending: number }>,
): readonly QueueRowView[] {
  return specs.map((spec): QueueRowView => {
    const { running = 0, pending = 0 } = counts.get(spec.name) ?? {}
    const { name, parent, weight, priority, deserved, guarantee, capability, maxRunning, maxTimeMs } = spec
    const rest = {
      name,
      parent,
      weight,
      priority,
      running,
      pending,
      deserved,
      guarantee,
      capability,
      maxRunning,
      maxTimeMs,
    }
    const line = tree.line(name)
    if (!line.ok) return { ...rest, state: 'error', by: null, because: line.because }
    const held = line.queues.find(({ stopPolicy }) => stopPolicy !== 'None')
    if (held === undefined) return { ...rest, state: 'open', by: null, because: '' }
    const by = journal.queues().has(queueKey(held.name)) ? 'site' : 'git'
    const because = held.name === name ? '' : `its parent ${held.name}`
    return { ...rest, state: held.stopPolicy === 'Hold' ? 'held' : 'draining', by, because }
  })
}
