/** The fleet as the repository says it, validated and with every default filled in. Plain data; made by `parse`, read by `render` and rollout. */
import type { Digest } from '../model/digest.ts'
import type { JsonObject } from '../model/json.ts'
import type { Place, Problem } from '../model/problem.ts'
import type { Amount, RolloutPolicy } from '../model/policy.ts'
import type { BlobDomain, Release, ReleaseRules } from '../model/release.ts'
import type { LabelSelector } from '../model/selector.ts'

/** One file of the revision, read from the Git object database; path from the repository's root, `/` between. */
export interface SourceFile {
  readonly path: string
  /** Git blob id: what parses are cached by. */
  readonly oid: string
  readonly bytes: Uint8Array
}
export type SourceTree = ReadonlyMap<string, SourceFile>

export interface Fleet {
  readonly name: string
  readonly root: string
  /** The commit it was read from; no render depends on it. */
  readonly revision: string
  readonly layers: readonly string[]
  readonly vars: JsonObject
  readonly defaults: { readonly rollout: string; readonly drift: 'report' | 'correct' }
  readonly budget: { readonly changingSites: Amount | null; readonly brokenSites: Amount | null }
  readonly deletionBrake: {
    readonly objects: number
    readonly percentOfSites: number
    readonly sites: number
    readonly confirmed: readonly Digest[]
  }
  readonly link: { readonly lateAfterMs: number; readonly lostAfterMs: number }
  /** By whom commits must be signed; null: nobody asks. */
  readonly verify: { readonly mode: 'warn' | 'enforce'; readonly signers: readonly string[] } | null
  readonly sites: ReadonlyMap<string, Site>
  readonly groups: ReadonlyMap<string, SiteGroup>
  readonly workloads: ReadonlyMap<string, Workload>
  readonly policies: ReadonlyMap<string, RolloutPolicy>
  readonly teams: ReadonlyMap<string, Team>
  readonly windows: readonly FleetWindow[]
  /** Kinds that the language knows and this build does not act on yet, by kind. */
  readonly later: ReadonlyMap<string, number>
}

export interface Team {
  readonly name: string
  readonly paths: readonly string[]
  readonly approvers: readonly string[]
  readonly serviceAccount: string | null
  /** What its workloads may hold; a list left out allows all. */
  readonly may: {
    readonly kinds?: readonly string[]
    readonly namespaces?: readonly string[]
    readonly clusterScoped?: boolean
  }
  readonly place: Place
}

export interface Site {
  readonly name: string
  readonly displayName: string
  readonly labels: Readonly<Record<string, string>>
  readonly location: { readonly lat: number | null; readonly lon: number | null; readonly timeZone: string }
  readonly vars: JsonObject
  readonly link: { readonly class: string }
  readonly mode: 'enforce' | 'observe'
  /** What its nodes hold, as Git says it; absent where Git does not. */
  readonly nodes?: readonly { readonly capacity: JsonObject }[]
  readonly hold: { readonly reason: string; readonly untilMs: number | null } | null
  /** Why its key is refused; null: it is not. */
  readonly retired: string | null
  readonly overlays: readonly (Overlay & { readonly workload: string })[]
  readonly formerNames: readonly string[]
  readonly place: Place
}

/** When changes may, or may not, go. Plain data: the hub keeps it as it stands here. */
export interface FleetWindow {
  readonly name: string
  readonly effect: 'allow' | 'deny'
  readonly when:
    | { readonly is: 'recurring'; readonly schedule: string; readonly durationMs: number }
    /** A date, or a moment with its offset. */
    | { readonly is: 'dated'; readonly from: string; readonly until: string }
  /** `site`, or an IANA name. */
  readonly timeZone: string
  /** null: all of them. */
  readonly targets: readonly {
    readonly selector: LabelSelector | null
    readonly workloads: readonly string[] | null
    readonly allowEmpty: boolean
  }[]
  readonly overrun: 'finish' | 'stop'
  readonly breakGlass: string | null
}

export interface SiteGroup {
  readonly name: string
  readonly layer: string
  readonly selector: LabelSelector | null
  readonly sites: readonly string[]
  readonly allowEmpty: boolean
  readonly vars: JsonObject
  readonly workloadVars: Readonly<Record<string, JsonObject>>
  readonly overlays: readonly (Overlay & { readonly workload: string })[]
  readonly place: Place
}

export interface Overlay {
  readonly name: string
  readonly when: LabelSelector | null
  readonly patches: readonly Patch[]
  readonly allowEmpty: boolean
  readonly place: Place
}

export interface Patch {
  readonly target: {
    readonly group?: string
    readonly kind?: string
    readonly namespace?: string
    readonly name?: string
  }
  /** An object: strategic merge. A list: JSON 6902. */
  readonly patch: JsonObject | readonly JsonObject[]
  readonly place: Place
}

export interface Workload {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  /** Path of the source folder (or one file) from the repository's root; '.' is the root itself, '' where it names none. */
  readonly source: { readonly path: string }
  /** In place of a source: the one object that it is, of a batch kind. */
  readonly document?: JsonObject
  readonly namespace: string
  readonly namespaces: readonly string[]
  readonly targets: readonly { readonly selector: LabelSelector; readonly allowEmpty: boolean; readonly place: Place }[]
  readonly overlays: readonly Overlay[]
  readonly vars: JsonObject
  readonly dependsOn: readonly { readonly name: string; readonly optional: boolean; readonly place: Place }[]
  readonly rollout: string
  readonly rules: ReleaseRules
  readonly confirm: 'uplink' | null
  readonly team: string | null
  readonly formerNames: readonly string[]
  /** Errors of this workload that its text alone shows (a source kind not yet built): it is held where it is targeted. */
  readonly holds: readonly Problem[]
  readonly place: Place
}

/** What parsing said: a fleet, or the reasons for which the whole revision stays out. */
export interface ParsedFleet {
  readonly fleet: Fleet | null
  readonly problems: readonly Problem[]
}

/** What every site should have at one revision. */
export interface RenderedFleet {
  /** Release bytes, object bytes and sealed bytes, by digest. */
  readonly blobs: ReadonlyMap<Digest, { readonly domain: BlobDomain; readonly bytes: Uint8Array }>
  readonly releases: ReadonlyMap<Digest, Release>
  /** Site name → workload → release digest. Sites that Git lists and no workload targets have an empty map. */
  readonly sites: ReadonlyMap<string, ReadonlyMap<string, Digest>>
  /** Workloads that an error holds, at these sites only: what was there stays. */
  readonly held: readonly HeldWorkload[]
  readonly problems: readonly Problem[]
}

export interface HeldWorkload {
  readonly workload: string
  /** null: at every site it targets. */
  readonly sites: readonly string[] | null
  readonly problem: Problem
}

/** How to read one fleet of a repository. */
export interface ParseOptions {
  /** Folder of the root file from the repository's root, '' for the root itself. */
  readonly root: string
  readonly revision: string
  readonly cache: FleetCache
  /** The fleet of the revision before: its Teams judge this one. */
  readonly previous?: Fleet
}

/** Work kept from one revision to the next. Opaque: made by `createFleetCache`, used by one caller at a time. */
export interface FleetCache {
  /** Parses by blob id and way of reading. */
  readonly files: Map<string, unknown>
  /** Renders by class digest and renderer version. */
  readonly renders: Map<string, unknown>
}

/** What the deletion brake compares: `RenderedFleet` fits by shape. */
export interface Targets {
  readonly sites: ReadonlyMap<string, ReadonlyMap<string, Digest>>
  readonly releases: ReadonlyMap<Digest, Release>
}

/** What a revision would take away, in a canonical order; its digest (domain `deletions`) is what Git confirms. */
export interface DeletionList {
  readonly sites: readonly string[]
  readonly untargeted: readonly { readonly workload: string; readonly sites: readonly string[] }[]
  readonly objects: readonly { readonly workload: string; readonly object: string; readonly sites: readonly string[] }[]
}

export type BrakeVerdict =
  /** `confirmed`: Git says yes to this list; each site is told its part of it, and the yes is spent. */
  | { readonly kind: 'ok'; readonly confirmed: Digest | null; readonly list: DeletionList }
  | { readonly kind: 'stopped'; readonly digest: Digest; readonly message: string; readonly list: DeletionList }
