/**
 * What the diff decides on and what it decides. The agent gathers `PlanInput`, `plan` answers with steps, the agent carries
 * them out and hands the outcomes to `inventoryAfter`. Nothing here reads, writes or waits.
 */
import type { Digest } from '../model/digest.ts'
import type { FaultReason } from '../model/fault.ts'
import type { Manifest, ObjectRef } from '../model/object.ts'
import type { ReleaseRules } from '../model/release.ts'
import type { Waiting } from '../model/state.ts'

/**
 * One object that this site made, or is about to make. Per site and object, not per workload: a move between workloads is a
 * handover of the same entry.
 */
export type InventoryEntry = IntendedEntry | OwnedEntry

interface EntryBase {
  readonly ref: ObjectRef
  /** Version it was last applied with, `apps/v1`. */
  readonly apiVersion: string
  readonly workload: string
  /** Set before the cluster is touched, so that a confirmed deletion goes on after a crash. */
  readonly deleting?: true
}

/** Written before the cluster is touched: it may or may not be there, and may be somebody else's. */
export interface IntendedEntry extends EntryBase {
  readonly state: 'intended'
}

export interface OwnedEntry extends EntryBase {
  readonly state: 'owned'
  readonly uid: string
  /** Blob digest of what was last applied; null: taken over from the cluster's labels, content unknown. */
  readonly applied: Digest | null
  /** resourceVersion that our last apply returned: health counts only from here on. */
  readonly resourceVersion: string
  /**
   * What the server made of the fields that we set, where it is not what we sent (defaults, webhooks, canonical quantities):
   * as long as the live object still shows the same, nothing drifted.
   */
  readonly settled: Digest | null
  /** A Job that ended at this digest: never made again for it. */
  readonly done?: { readonly digest: Digest; readonly result: 'Complete' | 'Failed' }
}

/** By `refKey`. */
export type Inventory = ReadonlyMap<string, InventoryEntry>

/** Keys to write, and keys to drop (null). */
export type InventoryChange = ReadonlyMap<string, InventoryEntry | null>

export interface DesiredObject {
  readonly ref: ObjectRef
  readonly apiVersion: string
  readonly digest: Digest
  /** Parsed on demand, without our labels. null: encrypted, and this site cannot open it. */
  readonly manifest: (() => Manifest) | null
}

export interface DesiredWorkload {
  readonly name: string
  /** Lower first. */
  readonly order: number
  readonly rules: ReleaseRules
  /** What should be there now. */
  readonly objects: readonly DesiredObject[]
  /**
   * What the signed manifest names for later (a permit or a dependency is awaited), or what cannot be known: these are never
   * pruned, whoever made them.
   */
  readonly reserved: readonly ObjectRef[]
  /** `held`: its objects are neither changed nor pruned. */
  readonly state: 'active' | 'held'
}

/** How our objects are recognised in the cluster. */
export interface Marks {
  readonly applySetId: string
}

export interface Fuse {
  /** More deletions than this in one turn, beside those that a confirmed list names, wait for one. */
  readonly objects: number
}

export interface PlanInput {
  readonly marks: Marks
  readonly workloads: readonly DesiredWorkload[]
  /** Rules of workloads that the manifest no longer names, by name; not here: unknown, so nothing of it is pruned. */
  readonly gone: ReadonlyMap<string, ReleaseRules>
  readonly inventory: Inventory
  /** By refKey. null: read, and absent. Not here: not read, so nothing is decided about it. */
  readonly actual: ReadonlyMap<string, Manifest | null>
  /** `off`: nothing is deleted in this turn (the inventory was just rebuilt from labels). */
  readonly prune: 'on' | 'off'
  readonly fuse: Fuse
  /** refKeys that a confirmed list of this site names (`confirmed.ts`). */
  readonly confirmed: ReadonlySet<string>
  /** Everything in the cluster that a CustomResourceDefinition (by refKey) defines. Not here: nobody looked, so it stays. */
  readonly instances: ReadonlyMap<string, readonly ObjectRef[]>
  /** What was applied at a digest, for the three-way comparison; undefined: no longer known. */
  applied(digest: Digest): Manifest | undefined
  /** True: this digest was already found equal to the live object at this resourceVersion. */
  verified(key: string, resourceVersion: string, digest: Digest): boolean
  /** Whether an object that others wait for is there and healthy. */
  healthy(key: string, live: Manifest): boolean
  /** Differences that a dry-run found and a comparison of fields cannot see. */
  suspected(key: string): readonly Difference[]
  /** Corrected again and again: the same fields are changed back by another. */
  fought(key: string, differences: readonly Difference[]): boolean
}

export type DriftClass =
  /** The live object moved. */
  | 'drift'
  /** What is desired moved. */
  | 'pending'
  /** Both moved. */
  | 'conflict'

export interface Difference {
  /** JSON pointer into the object. */
  readonly pointer: string
  readonly drift: DriftClass
  /** Field managers that hold the live value. */
  readonly managers: readonly string[]
}

interface StepBase {
  readonly ref: ObjectRef
  readonly workload: string
}
interface WriteBase extends StepBase {
  readonly digest: Digest
  /** With our labels: what is sent. */
  readonly desired: Manifest
  /** Steps (by refKey) that must have succeeded first. */
  readonly needs: readonly string[]
}

export type Step =
  | (WriteBase & {
      readonly kind: 'create'
      /** `needed`: a namespace that objects of ours stand in and nobody declares; never in the inventory, never pruned. */
      readonly because: 'absent' | 'lost' | 'job-changed' | 'needed'
    })
  | (WriteBase & {
      readonly kind: 'update'
      readonly because: DriftClass | 'recovered'
      readonly actual: Manifest
      readonly differences: readonly Difference[]
      readonly onImmutable: 'report' | 'replace'
    })
  | (WriteBase & {
      readonly kind: 'adopt'
      /** `intended`: a crash came between making it and writing that down. `labelled`: it carries our marks. */
      readonly because: 'intended' | 'labelled' | 'identical' | 'allowed' | 'same-uid'
      readonly actual: Manifest
      readonly differences: readonly Difference[]
      readonly onImmutable: 'report' | 'replace'
    })
  | (WriteBase & {
      readonly kind: 'handover'
      readonly because: 'moved' | 'renamed'
      readonly from: string
      readonly actual: Manifest
      readonly differences: readonly Difference[]
      readonly onImmutable: 'report' | 'replace'
    })
  | (WriteBase & {
      /** Deleted now, made again when it is gone. */
      readonly kind: 'replace'
      readonly because: 'job-changed'
      readonly actual: Manifest
    })
  | (StepBase & {
      readonly kind: 'delete'
      readonly because: 'removed' | 'workload-removed'
      readonly apiVersion: string
      readonly actual: Manifest
      /** Deletions (by refKey) that come first. */
      readonly needs: readonly string[]
      /** `first`: before anything is applied. */
      readonly when: 'first' | 'last'
    })
  | (StepBase & {
      /** Only the inventory changes. */
      readonly kind: 'forget'
      readonly because: 'gone' | 'uid-changed' | 'same-uid' | 'not-ours' | 'never-made'
    })
  | (StepBase & {
      readonly kind: 'leave'
      readonly because:
        | 'in-sync'
        | 'drift-reported'
        | 'fought'
        | 'job-done'
        | 'held'
        | 'reserved'
        | 'prune-off'
        | 'rules-unknown'
        | 'protected'
        /** A definition that may go, and what it would take along was not looked for yet. */
        | 'uncounted'
        /** A definition that may go, and would take along what may not. */
        | 'in-use'
        | 'owned-by-another'
        | 'terminating'
        | 'unread'
        | 'never-adopt'
        | 'differs'
        | 'invalid'
      readonly message?: string
      readonly differences: readonly Difference[]
    })
  | (StepBase & {
      readonly kind: 'wait'
      readonly because: Waiting
      /** Of what the fuse spared. */
      readonly uid?: string
    })

export type WriteStep = Extract<Step, { readonly desired: Manifest }>

/** What became of a step that was carried out. */
export type Outcome =
  | { readonly kind: 'applied'; readonly step: WriteStep; readonly live: Manifest }
  /** A delete was accepted; `terminating`: finalizers hold it. */
  | { readonly kind: 'deleted'; readonly step: Step; readonly state: 'deleted' | 'terminating' | 'gone' }
  /** Decided again on a live read, and not done. */
  | { readonly kind: 'spared'; readonly step: Step; readonly because: 'uid-changed' | 'not-ours' | 'changed' }
  | { readonly kind: 'failed'; readonly step: Step; readonly reason: FaultReason; readonly message: string }
  /** Not tried: its workload must stand still from here on. */
  | { readonly kind: 'stopped'; readonly step: Step; readonly because: Waiting }
  /** Not tried: something it needs failed or is not ready. */
  | { readonly kind: 'waits'; readonly step: Step; readonly on: string }
