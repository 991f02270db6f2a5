/** A change read once, to be tried in many worlds. */
import { readPod, type PodRecord } from './ingest.ts'
import type { PodSpec } from './spec.ts'
import type { Change } from './types.ts'

export interface ReadChange {
  readonly change: Change
  /** Of its pods; each world keeps its own copies. */
  readonly pods: readonly PodRecord[]
  /** By signature, as the first world compiled them. */
  readonly specs: Map<string, PodSpec>
}

export function readChange(change: Change): ReadChange {
  return { change, pods: change.pods.map(readPod), specs: new Map() }
}
