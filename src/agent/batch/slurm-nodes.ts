/** Nodes and queues of a site as sinfo and `queue list` show them. What is allocated is what batch pods ask for. Pure. */
import type { BatchQueueSpec, QueueTree } from '../../core/batch/queue.ts'
import { DEFAULT_QUEUE } from '../../core/batch/release.ts'
import type { SlurmNodes } from '../../core/batch/slurm-columns.ts'
import type { QueueRowView } from '../../core/batch/view.ts'
import { milliOf, wholeOf } from '../../core/kube/quantity.ts'
import { isObject, type Json, type JsonObject } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'
import { queueKey, type Journal } from './journal.ts'
import type { SiteQueues } from './queues.ts'
import { amount } from './slurm.ts'

/** A row a queue that takes jobs, and a kind of node in a state. */
export function slurmNodes(
  queues: SiteQueues,
  nodes: readonly Manifest[],
  pods: readonly Manifest[],
): readonly SlurmNodes[] {
  const used = new Map<string, number>()
  for (const pod of pods) {
    const { node, milli } = placeOf(pod)
    if (node !== '') used.set(node, (used.get(node) ?? 0) + milli)
  }
  const seen = nodes.map((node) => nodeOf(node, used.get(node.metadata.name) ?? 0))
  const alike = Map.groupBy(seen, ({ state, cpus, memoryMiB, gres, reason }) =>
    JSON.stringify([state, cpus, memoryMiB, gres, reason]),
  )
  const groups = [...alike.values()].map((group) => ({
    ...(group[0] as Node),
    nodes: group.flatMap((node) => node.nodes).toSorted(),
    cpusAllocated: group.reduce((sum, { cpusAllocated }) => sum + cpusAllocated, 0),
  }))
  return queues.specs
    .filter(({ name }) => queues.tree.isLeaf(name))
    .flatMap((spec) =>
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

function availableOf({ name }: BatchQueueSpec, tree: QueueTree): SlurmNodes['available'] {
  const line = tree.line(name)
  if (!line.ok) return 'down'
  if (line.queues.some(({ stopPolicy }) => stopPolicy === 'HoldAndDrain')) return 'drain'
  return line.queues.some(({ stopPolicy }) => stopPolicy === 'Hold') ? 'inact' : 'up'
}

const ORDINARY = new Set(['cpu', 'memory', 'pods', 'ephemeral-storage'])

function nodeOf(node: Manifest, usedMilli: number): Node {
  const spec = objectOf(node['spec'])
  const status = objectOf(node['status'])
  const allocatable = objectOf(status['allocatable'])
  const milli = amount(allocatable['cpu'], milliOf)
  const conditions = Array.isArray(status['conditions']) ? (status['conditions'] as readonly Json[]) : []
  const ready = conditions.find((one) => isObject(one) && one['type'] === 'Ready')
  const isDown = isObject(ready) && ready['status'] !== 'True'
  const extended = Object.entries(allocatable).filter(
    ([name, value]) => !ORDINARY.has(name) && !name.startsWith('hugepages-') && amount(value, wholeOf) > 0,
  )
  return {
    nodes: [node.metadata.name],
    state: stateOf(isDown, spec['unschedulable'] === true, usedMilli, milli),
    cpus: Math.floor(milli / 1_000),
    memoryMiB: Math.floor(amount(allocatable['memory'], wholeOf) / 2 ** 20),
    cpusAllocated: Math.ceil(usedMilli / 1_000),
    gres: extended.map(([name, value]) => `${name}:${amount(value, wholeOf)}`).join(','),
    reason: isDown && isObject(ready) && typeof ready['reason'] === 'string' ? ready['reason'] : '',
  }
}

function stateOf(isDown: boolean, isClosed: boolean, used: number, all: number): SlurmNodes['state'] {
  if (isDown) return 'down'
  if (isClosed) return used > 0 ? 'draining' : 'drained'
  if (used === 0) return 'idle'
  return used >= all ? 'allocated' : 'mixed'
}

function placeOf(pod: Manifest): { readonly node: string; readonly milli: number } {
  const spec = objectOf(pod['spec'])
  const { phase } = objectOf(pod['status'])
  const node = spec['nodeName']
  if (typeof node !== 'string' || phase === 'Succeeded' || phase === 'Failed') return { node: '', milli: 0 }
  const containers = Array.isArray(spec['containers']) ? (spec['containers'] as readonly Json[]) : []
  const milli = containers
    .map((one) => objectOf(objectOf(objectOf(one)['resources'])['requests'])['cpu'])
    .reduce((sum: number, cpu) => sum + amount(cpu, milliOf), 0)
  // A pod that asks for nothing stands on its node all the same.
  return { node, milli: Math.max(1, milli) }
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
