/** A Fleet and its tree to what every site should have. Pure: the same input gives the same bytes, on every machine. */
import type { Digest } from '../model/digest.ts'
import { byUtf16, type JsonObject } from '../model/json.ts'
import type { Manifest } from '../model/object.ts'
import type { Problem } from '../model/problem.ts'
import type { BlobDomain, Release } from '../model/release.ts'
import { matches } from '../kube/selector.ts'
import { collectBlobs, RENDERER_VERSION, renderClasses } from './classes.ts'
import { holdSharedObjects, holdUnmetDependencies } from './conflicts.ts'
import { holdGuarantees } from './guarantees.ts'
import { Holds } from './holds.ts'
import { declaredScopes, prepare, type PreparedWorkload, type Scopes } from './objects.ts'
import { sortProblems } from './sort.ts'
import { readSource, type Source } from './sources.ts'
import { groupsOf, isMember, isTargeted, targetsOf } from './targets.ts'
import type { Fleet, FleetCache, RenderedFleet, SourceTree, Workload } from './types.ts'
import { readYaml } from './yaml.ts'

export { RENDERER_VERSION }
export { rolloutPolicyOf } from './policy.ts'
export { targetsOf } from './targets.ts'

/**
 * Releases of every workload at every site. An error holds the workloads it names, and their dependents, at the sites it
 * touches: they are left out of `sites` and stand in `held`, and what was there stays (`carryHeld`). `problems` are those of
 * the render alone; what parsing found stands with the ParsedFleet.
 */
export function renderFleet(fleet: Fleet, tree: SourceTree, cache: FleetCache): RenderedFleet {
  const holds = new Holds()
  const targets = targetsOf(fleet)
  const groups = groupsOf(fleet)
  const used = new Set<string>()
  const sources = readSources(fleet, tree, cache)
  const scopes = declaredScopes([...sources.values()].flatMap(({ objects }) => objects))
  const assigned = new Map<string, Map<string, Digest>>(
    [...fleet.sites.keys()].toSorted(byUtf16).map((site) => [site, new Map()]),
  )
  const releases = new Map<Digest, Release>()
  const blobs = new Map<Digest, { readonly domain: BlobDomain; readonly bytes: Uint8Array }>()
  const prepared = new Map<string, PreparedWorkload>()

  for (const workload of sortedWorkloads(fleet)) {
    const names = targets.get(workload.name) ?? []
    holdText(fleet, workload, holds)
    const ready = prepareWorkload(fleet, workload, sourceOf(workload, sources), scopes, holds)
    if (ready === undefined) continue
    prepared.set(workload.name, ready)
    const sites = names.flatMap((name) => fleet.sites.get(name) ?? [])
    const failures = new Map<string, { readonly problem: Problem; readonly sites: string[] }>()
    const input = { fleet, workload, prepared: ready, sites, groups, cache, used }
    for (const { sites: members, result } of renderClasses(input)) {
      if (!result.ok) {
        for (const problem of result.problems) addFailure(failures, problem, members)
        continue
      }
      const { rendered } = result
      if (!releases.has(rendered.digest)) {
        releases.set(rendered.digest, rendered.release)
        collectBlobs(rendered, blobs)
      }
      for (const site of members) assigned.get(site)?.set(workload.name, rendered.digest)
    }
    for (const { problem, sites: touched } of failures.values()) holds.hold(workload.name, touched, problem)
  }
  for (const key of cache.renders.keys()) if (!used.has(key)) cache.renders.delete(key)
  holdUnmetDependencies(fleet, targets, holds)
  holdSharedObjects(prepared, assigned, releases, holds)
  holdGuarantees(fleet, targets, holds)
  holds.spread(fleet, targets)
  for (const [site, workloads] of assigned) {
    for (const workload of workloads.keys()) if (holds.isHeld(workload, site)) workloads.delete(workload)
  }
  return { blobs, releases, sites: assigned, held: holds.list(), problems: sortProblems(mergeAlike(fleet, holds)) }
}

/** One cause in many classes is one problem with many sites. */
function addFailure(
  failures: Map<string, { readonly problem: Problem; readonly sites: string[] }>,
  problem: Problem,
  sites: readonly string[],
): void {
  const { file, line, column } = problem.place
  const key = `${problem.code} ${file}:${line}:${column} ${problem.message}`
  const known = failures.get(key)
  if (known === undefined) failures.set(key, { problem, sites: [...sites] })
  else known.sites.push(...sites)
}

function sortedWorkloads(fleet: Fleet): readonly Workload[] {
  return [...fleet.workloads.values()].toSorted((a, b) => byUtf16(a.name, b.name))
}

/** What parsing already said is not said again. */
function mergeAlike(fleet: Fleet, holds: Holds): readonly Problem[] {
  const said = new Set([...fleet.workloads.values()].flatMap(({ holds: own }) => own))
  return holds.problems.filter((problem) => !said.has(problem))
}

function readSources(fleet: Fleet, tree: SourceTree, cache: FleetCache): ReadonlyMap<string, Source> {
  const sources = new Map<string, Source>()
  for (const { source, place } of sortedWorkloads(fleet)) {
    if (source.path !== '' && !sources.has(source.path))
      sources.set(source.path, readSource(tree, source.path, place, cache))
  }
  return sources
}

/** A batch document is its own source. */
function sourceOf({ document, source, place }: Workload, sources: ReadonlyMap<string, Source>): Source | undefined {
  if (document === undefined) return sources.get(source.path)
  return { objects: [{ value: document, sealed: null, place }], problems: [], read: [] }
}

/** Errors that need no source: fields that are not built yet, selectors that match nobody, overlays that meet no site. */
function holdText(fleet: Fleet, workload: Workload, holds: Holds): void {
  const { name } = workload
  for (const problem of workload.holds) holds.hold(name, null, problem)
  const sites = [...fleet.sites.values()]
  const targeted = sites.filter((site) => isTargeted(workload, site))
  for (const { selector, allowEmpty, place } of workload.targets) {
    if (allowEmpty || sites.some((site) => matches(selector, site.labels))) continue
    holds.hold(name, null, noSite(place, 'spec.targets', `a target of ${name} matches no site`))
  }
  for (const { name: overlay, when, allowEmpty, place } of workload.overlays) {
    if (allowEmpty || when === null || targeted.length === 0 || targeted.some((site) => matches(when, site.labels)))
      continue
    holds.hold(name, null, noSite(place, 'spec.overlays', `overlay ${overlay} meets no site that ${name} targets`))
  }
  for (const group of fleet.groups.values()) {
    for (const { workload: of, when, allowEmpty, place } of group.overlays) {
      if (of !== name || allowEmpty) continue
      const meets = targeted.some((site) => isMember(group, site) && (when === null || matches(when, site.labels)))
      if (meets) continue
      holds.hold(
        name,
        null,
        noSite(place, 'spec.overlays', `an overlay of ${group.name} meets no site that ${name} targets`),
      )
    }
  }
  for (const site of sites) {
    for (const { workload: of, allowEmpty, place } of site.overlays) {
      if (of !== name || allowEmpty || isTargeted(workload, site)) continue
      holds.hold(name, [site.name], noSite(place, 'spec.overlays', `${name} is not targeted at ${site.name}`))
    }
  }
}

function noSite(place: Problem['place'], path: string, message: string): Problem {
  const next = 'Correct the labels, or say allowEmpty: true.'
  return { code: 'FLT2109', severity: 'error', place, path, message, next }
}

function prepareWorkload(
  fleet: Fleet,
  workload: Workload,
  source: Source | undefined,
  scopes: Scopes,
  holds: Holds,
): PreparedWorkload | undefined {
  if (source === undefined || source.problems.length > 0) {
    for (const problem of source?.problems ?? []) holds.hold(workload.name, null, problem)
    return undefined
  }
  const team = workload.team === null ? undefined : fleet.teams.get(workload.team)
  const result = prepare(workload, source, scopes, team)
  if (result.ok) return result.workload
  for (const problem of result.problems) holds.hold(workload.name, null, problem)
  return undefined
}

/** One object that a site gets. A sealed one is shown as it stands in Git: encrypted. */
export interface SiteManifest {
  readonly workload: string
  readonly manifest: Manifest
  readonly sealed: boolean
}

/** What one site gets, by workload and object; empty for a site that Git does not list. */
export function renderSite(rendered: RenderedFleet, site: string, workload?: string): readonly SiteManifest[] {
  const manifests: SiteManifest[] = []
  for (const [name, digest] of rendered.sites.get(site) ?? []) {
    if (workload !== undefined && workload !== name) continue
    for (const { blob, sealed } of rendered.releases.get(digest)?.objects ?? []) {
      const bytes = rendered.blobs.get(blob)?.bytes
      if (bytes === undefined) continue
      const value = sealed === true ? readYaml(bytes, 'kubectl').documents[0]?.value : parseJson(bytes)
      manifests.push({ workload: name, manifest: value as Manifest, sealed: sealed === true })
    }
  }
  return manifests
}

function parseJson(bytes: Uint8Array): JsonObject {
  return JSON.parse(new TextDecoder().decode(bytes)) as JsonObject
}
