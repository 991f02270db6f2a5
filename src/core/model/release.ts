import type { Digest } from './digest.ts'
import type { JsonObject } from './json.ts'
import type { ObjectRef } from './object.ts'

/** What one workload is at one class of sites: a blob of domain `release`, canonical JSON. */
export interface Release {
  readonly format: 1
  readonly workload: string
  /** Default namespace of objects without one; objects already carry it. */
  readonly namespace: string
  readonly objects: readonly ReleaseObject[]
  readonly dependsOn: readonly { readonly name: string; readonly optional?: boolean }[]
  readonly rules: ReleaseRules
}

export interface ReleaseObject {
  readonly ref: ObjectRef
  /** `apps/v1`. */
  readonly apiVersion: string
  /** Digest of the canonical JSON (domain `object`), or of the original bytes of an encrypted document (domain `sealed`). */
  readonly blob: Digest
  readonly sealed?: true
}

/** How the site treats the objects of a release; every field has its written default already filled in. */
export interface ReleaseRules {
  readonly prune: 'on' | 'off'
  readonly pruneFirst: readonly ObjectMatch[]
  readonly pruneConfirm: readonly ObjectMatch[]
  readonly adopt: 'never' | 'ifIdentical' | 'yes'
  readonly replace: 'never' | 'onImmutable'
  readonly drift: { readonly mode: 'report' | 'correct'; readonly ignore: readonly DriftIgnore[] }
  readonly healthChecks: readonly JsonObject[]
  readonly suspend: boolean
  readonly serviceAccount?: string
  readonly formerNames: readonly string[]
}

export interface ObjectMatch {
  readonly group?: string
  readonly kind?: string
  readonly namespace?: string
  readonly name?: string
}

export interface DriftIgnore extends ObjectMatch {
  readonly jsonPointers?: readonly string[]
  readonly managers?: readonly string[]
}

/** What kind of bytes a blob holds; its digest is made in the domain of the same name. */
export type BlobDomain = 'object' | 'sealed' | 'release' | 'config' | 'deletions'
