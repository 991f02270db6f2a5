/** What documents say of each other: names that nothing has, layers that disagree, sites that no wave takes. */
import { byUtf16, isObject, type JsonObject } from '../model/json.ts'
import type { Manifest } from '../model/object.ts'
import type { Place, Problem } from '../model/problem.ts'
import type { OurDocument } from './documents.ts'
import { nearest } from '../model/nearest.ts'
import { CAUTIOUS, rolloutPolicyOf } from './policy.ts'
import { isMember, sitesInNoWave, targetsOf } from './targets.ts'
import { disagreements, mergeDeep } from './merge.ts'
import type { Fleet, Site, SiteGroup } from './types.ts'
import { checkWindows } from './windows.ts'
import { formatPath, type Path } from './yaml-text.ts'

/** Finds the document of a kind and name, for places. */
export type Find = (kind: string, name: string) => OurDocument | undefined

/** Each of the errors stops the whole revision. `previous`: the last good fleet. */
export function checkFleet(fleet: Fleet, find: Find, previous?: Fleet): readonly Problem[] {
  const gone = sitesGone(fleet, previous)
  return [
    ...unknownNames(fleet, find),
    ...formerNames('Site', fleet.sites, find),
    ...formerNames('Workload', fleet.workloads, find),
    ...takenOver(fleet, find, previous),
    ...groupsWithoutSites(fleet, gone),
    ...layersThatDisagree(fleet, find),
    ...sitesWithoutWave(fleet, find),
    ...valuesOutsideOrder(fleet, find),
    ...checkWindows(fleet, find, gone),
  ]
}

/** Kind and name of the document that a workload was read from. */
function documentOf(fleet: Fleet, workload: string): readonly [kind: string, name: string] {
  const document = fleet.workloads.get(workload)?.document as Manifest | undefined
  return document === undefined ? ['Workload', workload] : [document.kind, document.metadata.name]
}

function placeIn(document: OurDocument | undefined, path: Path, otherwise: Place): Place {
  return document?.at(path) ?? otherwise
}

function unknown(
  document: OurDocument | undefined,
  path: Path,
  what: string,
  name: string,
  known: Iterable<string>,
): Problem {
  const near = nearest(name, known)
  return {
    code: 'FLT1019',
    severity: 'error',
    place: placeIn(document, path, { file: '', line: 1, column: 1 }),
    path: formatPath(path),
    message: `there is no ${what} ${name}`,
    found: name,
    expected: `the name of a ${what}`,
    next: near === undefined ? `Add the ${what}, or correct the name.` : `Did you mean ${near}?`,
  }
}

function unknownNames(fleet: Fleet, find: Find): readonly Problem[] {
  const problems: Problem[] = []
  const workloads = [...fleet.workloads.keys()]
  const policies = [...fleet.policies.keys(), CAUTIOUS.name]
  const need = (
    kind: string,
    name: string,
    path: Path,
    what: string,
    wanted: string,
    known: readonly string[],
  ): void => {
    if (!known.includes(wanted)) problems.push(unknown(find(kind, name), path, what, wanted, known))
  }
  need('Fleet', fleet.name, ['spec', 'defaults', 'rollout'], 'RolloutPolicy', fleet.defaults.rollout, policies)
  for (const { name, rollout } of fleet.workloads.values()) {
    if (rollout !== fleet.defaults.rollout)
      need(...documentOf(fleet, name), ['spec', 'rollout'], 'RolloutPolicy', rollout, policies)
  }
  for (const group of fleet.groups.values()) {
    const { name } = group
    need('SiteGroup', name, ['spec', 'layer'], 'layer in Fleet.spec.layers', group.layer, fleet.layers)
    for (const [i, site] of group.sites.entries()) {
      if (!fleet.sites.has(site)) {
        problems.push(unknown(find('SiteGroup', name), ['spec', 'sites', i], 'Site', site, fleet.sites.keys()))
      }
    }
    for (const workload of Object.keys(group.workloadVars)) {
      need('SiteGroup', name, ['spec', 'workloadVars', workload], 'Workload', workload, workloads)
    }
    for (const [i, { workload }] of group.overlays.entries()) {
      need('SiteGroup', name, ['spec', 'overlays', i, 'workload'], 'Workload', workload, workloads)
    }
  }
  for (const { name, overlays } of fleet.sites.values()) {
    for (const [i, { workload }] of overlays.entries()) {
      need('Site', name, ['spec', 'overlays', i, 'workload'], 'Workload', workload, workloads)
    }
  }
  return problems
}

/** A former name that is somebody's name, or that two claim, would hand one inventory to two. */
function formerNames(
  kind: string,
  all: ReadonlyMap<string, { readonly name: string; readonly formerNames: readonly string[] }>,
  find: Find,
): readonly Problem[] {
  const problems: Problem[] = []
  const claims = new Map<string, string>()
  for (const { name, formerNames: former } of all.values()) {
    for (const [i, old] of former.entries()) {
      const owner = all.has(old) ? old : claims.get(old)
      claims.set(old, name)
      if (owner === undefined) continue
      const path = ['spec', 'formerNames', i]
      const fallback = { file: '', line: 1, column: 1 }
      problems.push({
        code: 'FLT1022',
        severity: 'error',
        place: placeIn(find(kind, name), path, fallback),
        also: [find(kind, owner)?.place ?? fallback],
        path: formatPath(path),
        message: `${old} is ${owner === old ? `the name of a ${kind}` : `a former name of ${owner} too`}`,
        found: old,
        next: 'Remove it from formerNames, or rename the other.',
      })
    }
  }
  return problems
}

/** Two boxes cannot go on as one: a site that stood beside another is no new name of it. */
function takenOver(fleet: Fleet, find: Find, previous: Fleet | undefined): readonly Problem[] {
  const problems: Problem[] = []
  for (const { name, formerNames: former, place } of fleet.sites.values())
    for (const [i, old] of former.entries()) {
      if (previous?.sites.has(name) !== true || !previous.sites.has(old) || fleet.sites.has(old)) continue
      const path = ['spec', 'formerNames', i]
      problems.push({
        code: 'FLT1022',
        severity: 'error',
        place: placeIn(find('Site', name), path, place),
        path: formatPath(path),
        message: `${name} and ${old} were two sites in the revision before: one cannot take the other over`,
        found: old,
        next: 'Rename to a name that no site has, or remove it from formerNames.',
      })
    }
  return problems
}

/** Sites that this revision removes, where they are more than the deletion brake lets go: none otherwise. */
function sitesGone(fleet: Fleet, previous: Fleet | undefined): readonly Site[] {
  if (previous === undefined) return []
  const renamed = new Set([...fleet.sites.values()].flatMap(({ formerNames: former }) => former))
  const gone = [...previous.sites.values()].filter(({ name }) => !fleet.sites.has(name) && !renamed.has(name))
  return gone.length > previous.deletionBrake.sites ? gone : []
}

/** A group that is empty because its sites are removed is the deletion brake's to judge, which says so in better words. */
function groupsWithoutSites(fleet: Fleet, gone: readonly Site[]): readonly Problem[] {
  const sites = [...fleet.sites.values()]
  return [...fleet.groups.values()]
    .filter((group) => group.selector !== null && !group.allowEmpty && !sites.some((site) => isMember(group, site)))
    .map((group) => ({
      code: 'FLT2109',
      severity: gone.some((site) => isMember(group, site)) ? 'warning' : 'error',
      place: group.place,
      path: 'spec.selector',
      message: `the selector of SiteGroup ${group.name} matches no site`,
      next: 'Correct the labels, or say allowEmpty: true.',
    }))
}

/** Two groups of one layer disagree only where they share a site: each pair is compared once, not once a site. */
function layersThatDisagree(fleet: Fleet, find: Find): readonly Problem[] {
  const problems: Problem[] = []
  const sites = [...fleet.sites.values()]
  const members = new Map(
    [...fleet.groups.values()].map((group) => [group, sites.filter((site) => isMember(group, site))]),
  )
  const layers = Map.groupBy(
    [...fleet.groups.values()].toSorted((a, b) => byUtf16(a.name, b.name)),
    ({ layer }) => layer,
  )
  for (const groups of layers.values()) {
    for (const [i, a] of groups.entries()) {
      for (const b of groups.slice(i + 1)) {
        const here = new Set(members.get(a))
        const shared = (members.get(b) ?? []).find((site) => here.has(site))
        if (shared !== undefined) problems.push(...disagreement(a, b, shared, find))
      }
    }
  }
  return problems
}

function disagreement(a: SiteGroup, b: SiteGroup, site: Site, find: Find): readonly Problem[] {
  const problems: Problem[] = []
  const seen = new Set<string>()
  const workloads = new Set([...Object.keys(a.workloadVars), ...Object.keys(b.workloadVars)])
  for (const workload of [undefined, ...workloads]) {
    for (const path of disagreements(varsFor(a, workload), varsFor(b, workload))) {
      const name = formatPath(path)
      if (seen.has(name)) continue
      seen.add(name)
      const pathIn = (group: SiteGroup): Path =>
        workload !== undefined && has(group.workloadVars[workload], path)
          ? ['spec', 'workloadVars', workload, ...path]
          : ['spec', 'vars', ...path]
      problems.push({
        code: 'FLT2101',
        severity: 'error',
        place: placeIn(find('SiteGroup', b.name), pathIn(b), b.place),
        also: [placeIn(find('SiteGroup', a.name), pathIn(a), a.place)],
        path: formatPath(pathIn(b)),
        message: `${a.name} and ${b.name} of layer ${a.layer} give ${site.name} different values for ${name}`,
        next: 'Set it in one of them, or move one to a stronger layer.',
      })
    }
  }
  return problems
}

function varsFor(group: SiteGroup, workload: string | undefined): JsonObject {
  const own = workload === undefined ? undefined : group.workloadVars[workload]
  return own === undefined ? group.vars : mergeDeep(group.vars, own)
}

function has(vars: JsonObject | undefined, path: Path): boolean {
  let node: unknown = vars
  for (const part of path) node = isObject(node) ? node[String(part)] : undefined
  return node !== undefined
}

function sitesWithoutWave(fleet: Fleet, find: Find): readonly Problem[] {
  const problems: Problem[] = []
  for (const [workload, names] of targetsOf(fleet)) {
    const policy = rolloutPolicyOf(fleet, workload)
    const sites = names.flatMap((name) => fleet.sites.get(name) ?? [])
    const left = sitesInNoWave(policy, sites)
    if (left.length === 0) continue
    const shown = left.slice(0, 5).join(', ')
    const document = find(...documentOf(fleet, workload))
    problems.push({
      code: 'FLT2108',
      severity: 'error',
      place: placeIn(document, ['spec', 'rollout'], { file: '', line: 1, column: 1 }),
      also: [find('RolloutPolicy', policy.name)?.at(['spec', 'waves'])].filter((place) => place !== undefined),
      path: 'spec.rollout',
      message: `${left.length} sites of ${workload} are in no wave of ${policy.name}`,
      found: left.length > 5 ? `${shown}, …` : shown,
      expected: 'a wave for every targeted site',
      next: 'Add a last wave without a selector.',
    })
  }
  return problems
}

/** A country that `order` forgot goes last, and somebody should know. */
function valuesOutsideOrder(fleet: Fleet, find: Find): readonly Problem[] {
  const problems: Problem[] = []
  const sites = [...fleet.sites.values()]
  for (const policy of fleet.policies.values()) {
    for (const [i, { name, by, order }] of policy.waves.entries()) {
      if (by === null || order.length === 0) continue
      const values = new Set(sites.flatMap(({ labels }) => labels[by] ?? []))
      const outside = [...values].filter((value) => !order.includes(value)).toSorted(byUtf16)
      if (outside.length === 0) continue
      const path = ['spec', 'waves', i, 'order']
      problems.push({
        code: 'FLT1023',
        severity: 'warning',
        place: placeIn(find('RolloutPolicy', policy.name), path, { file: '', line: 1, column: 1 }),
        path: formatPath(path),
        message: `values of ${by} that the order of wave ${name} does not name go last`,
        found: outside.slice(0, 5).join(', '),
        next: 'Add them to order.',
      })
    }
  }
  return problems
}
