/**
 * Reads and renders revisions beside the thread that answers sites: text that anybody may write is parsed here, under a deadline
 * and a memory limit that the other side sets, and this thread can be ended at any time. An entry point of its own: run as a
 * worker, it serves; imported, it only says where it is.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { createFleetCache } from '../core/fleet/cache.ts'
import { parseFleet } from '../core/fleet/parse.ts'
import { renderFleet } from '../core/fleet/render.ts'
import type { Fleet, ParsedFleet, RenderedFleet, SourceTree } from '../core/fleet/types.ts'
import { asFault, type FaultReason } from '../core/model/fault.ts'

export const WORKER_URL = new URL(import.meta.url)
export const WORKER_ROLE = 'flotilla-compile'

/** Trees and fleets that the other side may still name: this revision's and the last good one's. */
export const KEPT = 2

/** Files one after another in one buffer: ten thousand small arrays cost more to send than their bytes. */
interface PackedTree {
  readonly files: readonly { readonly path: string; readonly oid: string; readonly length: number }[]
  readonly bytes: Uint8Array
}

export type Asked = { readonly id: number } & (
  | {
      readonly ask: 'parse'
      readonly tree: number
      /** Where this thread does not have it yet. */
      readonly packed?: PackedTree
      readonly root: string
      readonly revision: string
      readonly previous?: number | Fleet
    }
  | { readonly ask: 'render'; readonly tree: number; readonly packed?: PackedTree; readonly fleet: number | Fleet }
)

export type Answered = { readonly id: number } & (
  | { readonly is: 'parsed'; readonly parsed: ParsedFleet; readonly fleet: number }
  | { readonly is: 'rendered'; readonly rendered: RenderedFleet }
  | { readonly is: 'failed'; readonly reason: FaultReason; readonly message: string; readonly stack: string }
)

function serve(port: MessagePort): void {
  const cache = createFleetCache()
  const trees = new Map<number, SourceTree>()
  const fleets = new Map<number, Fleet>()
  let fleetCount = 0
  const fleetOf = (named: number | Fleet): Fleet => {
    const fleet = typeof named === 'number' ? fleets.get(named) : named
    if (fleet === undefined) throw new Error('a fleet that is not kept any more')
    return fleet
  }
  const treeOf = (ref: number, packed: PackedTree | undefined): SourceTree => {
    if (packed !== undefined) keep(trees, ref, unpack(packed))
    const tree = trees.get(ref)
    if (tree === undefined) throw new Error('a tree that is not kept any more')
    return tree
  }
  const answer = (asked: Asked): Answered => {
    const { id } = asked
    const tree = treeOf(asked.tree, asked.packed)
    if (asked.ask === 'render') return { id, is: 'rendered', rendered: renderFleet(fleetOf(asked.fleet), tree, cache) }
    const { root, revision, previous } = asked
    const before = previous === undefined ? {} : { previous: fleetOf(previous) }
    const parsed = parseFleet(tree, { root, revision, cache, ...before })
    fleetCount += 1
    if (parsed.fleet !== null) keep(fleets, fleetCount, parsed.fleet)
    return { id, is: 'parsed', parsed, fleet: fleetCount }
  }
  port.on('message', (asked: Asked) => {
    try {
      port.postMessage(answer(asked))
    } catch (error) {
      const { reason, message, stack = '' } = asFault(error)
      port.postMessage({ id: asked.id, is: 'failed', reason, message, stack } satisfies Answered)
    }
  })
}

function keep<T>(map: Map<number, T>, ref: number, value: T): void {
  map.set(ref, value)
  const oldest = map.keys().next().value
  if (map.size > KEPT && oldest !== undefined) map.delete(oldest)
}

export function pack(tree: SourceTree): PackedTree {
  const files = [...tree.values()].map(({ path, oid, bytes }) => ({ path, oid, length: bytes.length }))
  const bytes = new Uint8Array(files.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const file of tree.values()) {
    bytes.set(file.bytes, at)
    at += file.bytes.length
  }
  return { files, bytes }
}

function unpack({ files, bytes }: PackedTree): SourceTree {
  const tree = new Map<string, { path: string; oid: string; bytes: Uint8Array }>()
  let at = 0
  for (const { path, oid, length } of files) {
    tree.set(path, { path, oid, bytes: bytes.subarray(at, at + length) })
    at += length
  }
  return tree
}

if (parentPort !== null && workerData === WORKER_ROLE) serve(parentPort)
