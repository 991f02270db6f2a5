/** Documents that meet their schema, as the nouns of the fleet with every default filled in. */
import type { Digest } from '../model/digest.ts'
import type { JsonObject } from '../model/json.ts'
import type { Problem } from '../model/problem.ts'
import type { DriftIgnore, ObjectMatch, ReleaseRules } from '../model/release.ts'
import type { LabelSelector } from '../model/selector.ts'
import type { OurDocument } from './documents.ts'
import { readAmount, readDuration } from './policy.ts'
import { resolveSource } from './source-path.ts'
import type { Fleet, Overlay, Patch, Site, SiteGroup, Team, Workload } from './types.ts'
import type { Path } from './yaml-text.ts'

type Labels = Readonly<Record<string, string>>

function specOf<T>(document: OurDocument): Partial<T> {
  return (document.value['spec'] ?? {}) as Partial<T>
}

function labelsOf(document: OurDocument): Labels {
  return ((document.value['metadata'] as JsonObject)['labels'] ?? {}) as Labels
}

export type FleetHead = Omit<
  Fleet,
  'sites' | 'groups' | 'workloads' | 'policies' | 'teams' | 'windows' | 'later' | 'deletionBrake'
> & {
  /** null: by the number of sites. */
  readonly brake: Omit<Fleet['deletionBrake'], 'objects'> & { readonly objects: number | null }
}

interface FleetSpec {
  readonly layers: readonly string[]
  readonly vars: JsonObject
  readonly defaults: { readonly rollout?: string; readonly drift?: 'report' | 'correct' }
  readonly budget: { readonly changingSites?: number | string; readonly brokenSites?: number | string }
  readonly deletionBrake: {
    readonly objects?: number
    readonly percentOfSites?: number
    readonly sites?: number
    readonly confirmed?: readonly Digest[]
  }
  readonly link: { readonly lateAfter?: string; readonly lostAfter?: string }
  readonly source: { readonly verify?: { readonly mode: 'warn' | 'enforce'; readonly signers?: readonly string[] } }
}

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS

export function readFleet(document: OurDocument, root: string, revision: string): FleetHead {
  const spec = specOf<FleetSpec>(document)
  return {
    name: document.name,
    root,
    revision,
    layers: spec.layers ?? [],
    vars: spec.vars ?? {},
    defaults: { rollout: spec.defaults?.rollout ?? 'cautious', drift: spec.defaults?.drift ?? 'report' },
    budget: {
      changingSites: readAmount(spec.budget?.changingSites, null),
      brokenSites: readAmount(spec.budget?.brokenSites, null),
    },
    brake: {
      objects: spec.deletionBrake?.objects ?? null,
      percentOfSites: spec.deletionBrake?.percentOfSites ?? 1,
      sites: spec.deletionBrake?.sites ?? 1,
      confirmed: spec.deletionBrake?.confirmed ?? [],
    },
    link: {
      lateAfterMs: readDuration(spec.link?.lateAfter, 5 * MINUTE_MS),
      lostAfterMs: readDuration(spec.link?.lostAfter, DAY_MS),
    },
    verify: readVerify(spec.source),
  }
}

function readVerify(source: Partial<FleetSpec>['source']): Fleet['verify'] {
  const verify = source?.verify
  return verify === undefined ? null : { mode: verify.mode, signers: verify.signers ?? [] }
}

export function readTeam(document: OurDocument): Team {
  const spec = specOf<Team>(document)
  return {
    name: document.name,
    paths: spec.paths ?? [],
    approvers: spec.approvers ?? [],
    serviceAccount: spec.serviceAccount ?? null,
    may: spec.may ?? {},
    place: document.place,
  }
}

interface SiteSpec {
  readonly displayName: string
  readonly location: { readonly lat?: number; readonly lon?: number; readonly timeZone?: string }
  readonly vars: JsonObject
  readonly link: { readonly class?: string }
  readonly mode: 'enforce' | 'observe'
  readonly nodes: readonly { readonly capacity?: JsonObject }[]
  readonly hold: { readonly reason: string; readonly until?: string }
  readonly retired: { readonly reason: string }
  readonly overlays: readonly OverlaySpec[]
  readonly formerNames: readonly string[]
}

export function readSite(document: OurDocument): Site {
  const spec = specOf<SiteSpec>(document)
  const { location, hold } = spec
  return {
    name: document.name,
    displayName: spec.displayName ?? document.name,
    labels: labelsOf(document),
    location: { lat: location?.lat ?? null, lon: location?.lon ?? null, timeZone: location?.timeZone ?? 'UTC' },
    vars: spec.vars ?? {},
    link: { class: spec.link?.class ?? 'wired' },
    mode: spec.mode ?? 'enforce',
    hold:
      hold === undefined
        ? null
        : { reason: hold.reason, untilMs: hold.until === undefined ? null : Date.parse(hold.until) },
    retired: spec.retired?.reason ?? null,
    ...(spec.nodes === undefined ? {} : { nodes: spec.nodes.map(({ capacity }) => ({ capacity: capacity ?? {} })) }),
    overlays: readBoundOverlays(document, spec.overlays),
    formerNames: spec.formerNames ?? [],
    place: document.place,
  }
}

interface GroupSpec {
  readonly layer: string
  readonly selector: LabelSelector
  readonly sites: readonly string[]
  readonly allowEmpty: boolean
  readonly vars: JsonObject
  readonly workloadVars: Readonly<Record<string, JsonObject>>
  readonly overlays: readonly OverlaySpec[]
}

export function readGroup(document: OurDocument): SiteGroup {
  const spec = specOf<GroupSpec>(document)
  return {
    name: document.name,
    layer: spec.layer ?? '',
    selector: spec.selector ?? null,
    sites: spec.sites ?? [],
    allowEmpty: spec.allowEmpty ?? false,
    vars: spec.vars ?? {},
    workloadVars: spec.workloadVars ?? {},
    overlays: readBoundOverlays(document, spec.overlays),
    place: document.place,
  }
}

interface OverlaySpec {
  readonly workload?: string
  readonly name?: string
  readonly when?: LabelSelector
  readonly patches?: readonly { readonly target: Patch['target']; readonly patch: Patch['patch'] }[]
  readonly allowEmpty?: boolean
}

function readOverlay(document: OurDocument, spec: OverlaySpec, path: Path): Overlay {
  return {
    name: spec.name ?? spec.workload ?? '',
    when: spec.when ?? null,
    patches: (spec.patches ?? []).map(({ target, patch }, i) => ({
      target,
      patch,
      place: document.at([...path, 'patches', i]),
    })),
    allowEmpty: spec.allowEmpty ?? false,
    place: document.at(path),
  }
}

function readBoundOverlays(
  document: OurDocument,
  overlays: readonly OverlaySpec[] | undefined,
): readonly (Overlay & { readonly workload: string })[] {
  return (overlays ?? []).map((overlay, i) => ({
    ...readOverlay(document, overlay, ['spec', 'overlays', i]),
    workload: overlay.workload ?? '',
  }))
}

interface WorkloadSpec {
  readonly source: { readonly path?: string }
  readonly namespace: string
  readonly namespaces: readonly string[]
  readonly serviceAccount: string
  readonly targets: readonly { readonly selector: LabelSelector; readonly allowEmpty?: boolean }[]
  readonly overlays: readonly OverlaySpec[]
  readonly vars: JsonObject
  readonly dependsOn: readonly { readonly name: string; readonly optional?: boolean }[]
  readonly rollout: string
  readonly drift: { readonly mode?: 'report' | 'correct'; readonly ignore?: readonly DriftIgnore[] }
  readonly prune: boolean | 'on' | 'off'
  readonly pruneConfirm: readonly ObjectMatch[]
  readonly pruneFirst: readonly ObjectMatch[]
  readonly adopt: ReleaseRules['adopt']
  readonly replace: ReleaseRules['replace']
  readonly healthChecks: readonly JsonObject[]
  readonly suspend: boolean
  readonly confirm: 'uplink'
  readonly formerNames: readonly string[]
}

export function readWorkload(
  document: OurDocument,
  defaults: Fleet['defaults'],
  team: Team | null,
  holds: readonly Problem[],
): Workload {
  const spec = specOf<WorkloadSpec>(document)
  const serviceAccount = spec.serviceAccount ?? team?.serviceAccount ?? undefined
  return {
    name: document.name,
    labels: labelsOf(document),
    source: { path: resolveSource(document.file.path, spec.source?.path ?? '') ?? '' },
    namespace: spec.namespace ?? 'default',
    namespaces: spec.namespaces ?? [],
    targets: (spec.targets ?? []).map(({ selector, allowEmpty }, i) => ({
      selector,
      allowEmpty: allowEmpty ?? false,
      place: document.at(['spec', 'targets', i]),
    })),
    overlays: (spec.overlays ?? []).map((overlay, i) => readOverlay(document, overlay, ['spec', 'overlays', i])),
    vars: spec.vars ?? {},
    dependsOn: (spec.dependsOn ?? []).map(({ name, optional }, i) => ({
      name,
      optional: optional ?? false,
      place: document.at(['spec', 'dependsOn', i]),
    })),
    rollout: spec.rollout ?? defaults.rollout,
    rules: {
      prune: spec.prune === false || spec.prune === 'off' ? 'off' : 'on',
      pruneFirst: spec.pruneFirst ?? [],
      pruneConfirm: spec.pruneConfirm ?? [],
      adopt: spec.adopt ?? 'never',
      replace: spec.replace ?? 'never',
      drift: { mode: spec.drift?.mode ?? defaults.drift, ignore: spec.drift?.ignore ?? [] },
      healthChecks: spec.healthChecks ?? [],
      suspend: spec.suspend ?? false,
      ...(serviceAccount === undefined ? {} : { serviceAccount }),
      formerNames: spec.formerNames ?? [],
    },
    confirm: spec.confirm ?? null,
    team: team?.name ?? null,
    formerNames: spec.formerNames ?? [],
    holds,
    place: document.place,
  }
}
