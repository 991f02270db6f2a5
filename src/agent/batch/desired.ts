/** What Git wants of the batch room, as the last turn took it, and what became of each document. */
import type { BatchKind } from '../../core/batch/release.ts'
import type { Digest } from '../../core/model/digest.ts'
import type { JsonObject } from '../../core/model/json.ts'
import type { ObjectRef } from '../../core/model/object.ts'
import type { HealthState, Waiting } from '../../core/model/state.ts'

/** One document of a release. */
export interface Wanted {
  readonly workload: string
  readonly kind: BatchKind
  readonly ref: ObjectRef
  readonly digest: Digest
  readonly document: JsonObject
  /** `namespace/name` of the service account that its objects are made with; '' for the agent itself. */
  readonly account: string
}

export interface BatchDesired {
  readonly wanted: readonly Wanted[]
  /** Workloads whose release cannot be read, or which are held: what they have here stays. all: nothing is known of any. */
  readonly kept: ReadonlySet<string> | 'all'
  /** observe: nothing is made, ended or deleted. */
  readonly mode: 'enforce' | 'observe'
  /** Why it only looks, where that is not the site's mode. */
  readonly idle?: Waiting
}

/** How one document does: what a turn reports of it. */
export interface BatchFinding {
  /** This very document is what the room acts on. */
  readonly applied: boolean
  readonly health: HealthState
  readonly reason: string
  readonly message: string
  readonly waiting?: Waiting
  /** Only another document helps. */
  readonly refused?: boolean
}
