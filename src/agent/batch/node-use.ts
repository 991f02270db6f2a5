/** What all pods of the cluster hold of each node, whoever made and placed them: a few numbers a pod, for sinfo. */
import { podRequests } from '../../core/scheduler/requests.ts'
import { CPU, Dimensions, MEMORY } from '../../core/scheduler/resources.ts'
import type { Manifest } from '../../core/model/object.ts'
import { openFeed } from '../scheduling/feed.ts'
import { NODES, PODS } from '../scheduling/kinds.ts'
import type { WatchPorts } from './watch.ts'

export interface Held {
  readonly milliCpu: number
  readonly bytes: number
  /** Pods that somebody wanted there: those of a DaemonSet or of the node itself are part of the node. */
  readonly guests: number
}

export const NOTHING_HELD: Held = { milliCpu: 0, bytes: 0, guests: 0 }

export interface NodeUse {
  /** By node; null: it is not known, for the pods of all cannot be read. */
  held(): ReadonlyMap<string, Held> | null
  stop(): void
}

interface Holding extends Held {
  readonly node: string
}

export function viewUse(ports: WatchPorts): NodeUse {
  const dimensions = new Dimensions()
  const pods = new Map<string, Holding>()
  const feed = openFeed(
    ports,
    PODS.query,
    (all) => {
      for (const seen of all) {
        if (seen.is === 'gone') {
          pods.delete(`${seen.namespace}/${seen.name}`)
          continue
        }
        const { namespace = '', name } = seen.object.metadata
        const holding = holdingOf(seen.object, dimensions)
        if (holding === undefined) pods.delete(`${namespace}/${name}`)
        else pods.set(`${namespace}/${name}`, holding)
      }
    },
    () => undefined,
  )
  let isKnown = false
  void feed.listed.then(
    () => (isKnown = true),
    () => undefined,
  )
  return { held: () => (isKnown ? sumOf(pods.values()) : null), stop: () => feed.stop() }
}

/** The nodes and what is held of them, read once: for who asks where nothing is watched. */
export async function readUse(
  cluster: WatchPorts['cluster'],
  signal: AbortSignal,
): Promise<{ readonly nodes: readonly Manifest[]; readonly held: ReadonlyMap<string, Held> }> {
  const dimensions = new Dimensions()
  const [nodes, pods] = await Promise.all([cluster.list(NODES.query, signal), cluster.list(PODS.query, signal)])
  return { nodes: nodes.items, held: sumOf(pods.items.flatMap((pod) => holdingOf(pod, dimensions) ?? [])) }
}

/** undefined: it is on no node, or holds nothing there any more. */
export function holdingOf(pod: Manifest, dimensions: Dimensions): Holding | undefined {
  const { nodeName } = (pod['spec'] ?? {}) as { readonly nodeName?: string }
  const { phase } = (pod['status'] ?? {}) as { readonly phase?: string }
  if (nodeName === undefined || nodeName === '' || phase === 'Succeeded' || phase === 'Failed') return undefined
  const { dims, values } = podRequests(pod, dimensions).amounts
  const amount = (dimension: number): number => values[dims.indexOf(dimension)] ?? 0
  const isOfNode = (pod.metadata.ownerReferences ?? []).some(({ kind }) => kind === 'DaemonSet' || kind === 'Node')
  return { node: nodeName, milliCpu: amount(CPU), bytes: amount(MEMORY), guests: isOfNode ? 0 : 1 }
}

export function sumOf(holdings: Iterable<Holding>): ReadonlyMap<string, Held> {
  const held = new Map<string, Held>()
  for (const { node, milliCpu, bytes, guests } of holdings) {
    const sum = held.get(node) ?? NOTHING_HELD
    held.set(node, {
      milliCpu: sum.milliCpu + milliCpu,
      bytes: sum.bytes + bytes,
      guests: sum.guests + guests,
    })
  }
  return held
}
