/** The text of a fleet repository to a validated Fleet: all problems at once, and a fleet only where none stops the revision. */
import type { RolloutPolicy } from '../model/policy.ts'
import type { Problem } from '../model/problem.ts'
import { isBatchKind } from '../batch/release.ts'
import { batchHolds, readBatch } from './batch.ts'
import { checkFleet } from './checks.ts'
import { findDocuments, findRoots, isPlainPath, ROOT_FILE, type OurDocument } from './documents.ts'
import { API_VERSIONS, KINDS } from './kinds.ts'
import { nearest } from '../model/nearest.ts'
import { notYet } from './not-yet.ts'
import { readPolicy, type PolicySpec } from './policy.ts'
import { readFleet, readGroup, readSite, readTeam, readWorkload, type FleetHead } from './read.ts'
import { checkSchema } from './schema.ts'
import { sortProblems } from './sort.ts'
import { resolveSource } from './source-path.ts'
import { ownerOf } from './teams.ts'
import type { Fleet, ParsedFleet, ParseOptions, SourceTree, Team } from './types.ts'
import { badHealthChecks } from './health-checks.ts'
import { readWindow } from './windows.ts'
import { formatPath } from './yaml-text.ts'

export { createFleetCache } from './cache.ts'
export { findRoots } from './documents.ts'

/**
 * Reads the fleet whose root file is `<root>/flotilla.yaml`. Never throws for what a user can write. Where anything stops the
 * revision `fleet` is null: the caller keeps the one before. Errors that only hold a workload stand in `Workload.holds`.
 */
export function parseFleet(tree: SourceTree, options: ParseOptions): ParsedFleet {
  const root = options.root
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/')
  const found = findDocuments(tree, root, options.cache)
  const problems: Problem[] = [...found.problems]
  const judged = judge(found.documents, problems)
  const head = headOf(tree, root, options.revision, found.documents, judged.sound, problems)
  if (head === undefined) return { fleet: null, problems: sortProblems(problems) }

  const find = (kind: string, name: string): OurDocument | undefined => judged.byName.get(`${kind}/${name}`)
  const teams = new Map(ofKind(judged.sound, 'Team').map((document) => [document.name, readTeam(document)]))
  // A pull request must not grant itself rights: the Teams of the revision before judge this one.
  const judges = [...(options.previous?.teams ?? teams).values()]
  problems.push(...outsideRights(judged.sound, root, judges))
  const holds: { workload: string; problem: Problem }[] = []
  for (const document of judged.sound) {
    const later = notYet(document)
    problems.push(...later.problems)
    holds.push(...later.holds)
  }
  for (const held of batchHolds(judged.sound)) {
    problems.push(held.problem)
    holds.push(held)
  }
  const fleet = assemble(head, judged.sound, teams, judges, holds)
  problems.push(...checkFleet(fleet, find, options.previous))

  const held = new Set(holds.map(({ problem }) => problem))
  const stops = problems.some((problem) => problem.severity === 'error' && !held.has(problem))
  return { fleet: stops ? null : fleet, problems: sortProblems(problems) }
}

function ofKind(documents: readonly OurDocument[], kind: string): readonly OurDocument[] {
  return documents.filter((document) => document.kind === kind)
}

interface Judged {
  /** Documents that meet their schema, one of each kind and name. */
  readonly sound: readonly OurDocument[]
  readonly byName: ReadonlyMap<string, OurDocument>
}

function judge(documents: readonly OurDocument[], problems: Problem[]): Judged {
  const sound: OurDocument[] = []
  const byName = new Map<string, OurDocument>()
  for (const document of documents) {
    const bad = judgeOne(document)
    problems.push(...bad)
    if (bad.length > 0) continue
    const key = `${document.kind}/${document.name}`
    const first = byName.get(key)
    if (first === undefined) {
      byName.set(key, document)
      sound.push(document)
      continue
    }
    problems.push({
      code: 'FLT1012',
      severity: 'error',
      place: document.place,
      also: [first.place],
      path: 'metadata.name',
      message: `two documents are ${document.kind} ${document.name}`,
      next: 'Rename or remove one of them.',
    })
  }
  return { sound, byName }
}

function judgeOne(document: OurDocument): readonly Problem[] {
  const { kind, apiVersion, value } = document
  if (!(API_VERSIONS as readonly string[]).includes(apiVersion)) {
    const expected = API_VERSIONS.join(' or ')
    const place = document.at(['apiVersion'])
    const next = 'Use a version that this hub reads, or upgrade the hub.'
    const message = `this hub does not read ${apiVersion}`
    return [
      { code: 'FLT1011', severity: 'error', place, path: 'apiVersion', message, found: apiVersion, expected, next },
    ]
  }
  if (!KINDS.has(kind)) {
    const near = nearest(kind, KINDS.keys())
    const next = near === undefined ? 'Correct the kind.' : `Did you mean ${near}?`
    const expected = [...KINDS.keys()].join(', ')
    const place = kind === '' ? document.place : document.at(['kind'])
    const message = kind === '' ? 'kind is missing' : `${apiVersion} has no kind ${kind}`
    return [{ code: 'FLT1010', severity: 'error', place, path: 'kind', message, found: kind, expected, next }]
  }
  const problems: Problem[] = checkSchema(kind, value).map(({ path, at, ...problem }) => ({
    ...problem,
    severity: 'error',
    place: document.at(path, at),
    path: formatPath(path),
  }))
  if (kind === 'Workload' && problems.length === 0)
    problems.push(...escapingSource(document), ...badHealthChecks(document))
  if (kind === 'RolloutPolicy' && problems.length === 0) problems.push(...wavesOfOneName(document))
  return problems
}

/** Approvals and pauses name a wave. */
function wavesOfOneName(document: OurDocument): readonly Problem[] {
  const { waves } = document.value['spec'] as unknown as PolicySpec
  const names = waves.map(({ name }) => name)
  return names.flatMap((name, i): readonly Problem[] => {
    const first = names.indexOf(name)
    if (first === i) return []
    const path = ['spec', 'waves', i, 'name']
    return [
      {
        code: 'FLT1012',
        severity: 'error',
        place: document.at(path),
        also: [document.at(['spec', 'waves', first, 'name'])],
        path: formatPath(path),
        message: `two waves are named ${name}`,
        next: 'Rename one of them.',
      },
    ]
  })
}

function escapingSource(document: OurDocument): readonly Problem[] {
  const path = (document.value['spec'] as { readonly source: { readonly path?: string } }).source.path
  if (path === undefined) return []
  const resolved = resolveSource(document.file.path, path)
  if (resolved !== undefined && (resolved === '.' || isPlainPath(resolved))) return []
  return [
    {
      code: 'FLT1020',
      severity: 'error',
      place: document.at(['spec', 'source', 'path']),
      path: 'spec.source.path',
      message: 'the source is outside the repository',
      found: path.slice(0, 80),
      expected: 'a folder of this repository',
      next: 'Paths count from the folder of this file; a leading slash is the root of the repository.',
    },
  ]
}

function headOf(
  tree: SourceTree,
  root: string,
  revision: string,
  documents: readonly OurDocument[],
  sound: readonly OurDocument[],
  problems: Problem[],
): FleetHead | undefined {
  const rootFile = root === '' ? ROOT_FILE : `${root}/${ROOT_FILE}`
  const all = ofKind(documents, 'Fleet')
  for (const document of all.filter(({ file }) => file.path !== rootFile)) {
    const message = `Fleet ${document.name} stands outside the root file`
    const next = `Keep one Fleet, in ${rootFile}.`
    problems.push({ code: 'FLT1013', severity: 'error', place: document.place, path: 'kind', message, next })
  }
  const here = all.filter(({ file }) => file.path === rootFile)
  const [, second] = here
  if (second !== undefined) {
    const message = 'the root file holds two Fleets'
    const next = 'Keep one.'
    problems.push({ code: 'FLT1013', severity: 'error', place: second.place, path: 'kind', message, next })
  }
  const place = { file: rootFile, line: 1, column: 1 }
  if (!tree.has(rootFile)) {
    const roots = findRoots(tree).map((folder) => (folder === '' ? '.' : folder))
    const next =
      roots.length === 0 ? 'Add it: flotilla init.' : `Name one with --root: ${roots.slice(0, 5).join(', ')}.`
    problems.push({ code: 'FLT1001', severity: 'error', place, path: '', message: `there is no ${rootFile}`, next })
  } else if (
    here.length === 0 &&
    !problems.some(({ severity, place: { file } }) => severity === 'error' && file === rootFile)
  ) {
    const message = 'the root file holds no Fleet'
    const next = `Write apiVersion: ${API_VERSIONS[0]}, kind: Fleet.`
    problems.push({ code: 'FLT1013', severity: 'error', place, path: '', message, next })
  }
  const [fleet] = ofKind(sound, 'Fleet').filter(({ file }) => file.path === rootFile)
  return fleet === undefined ? undefined : readFleet(fleet, root, revision)
}

function outsideRights(documents: readonly OurDocument[], root: string, judges: readonly Team[]): readonly Problem[] {
  if (judges.length === 0) return []
  return documents.flatMap((document): readonly Problem[] => {
    const spec = document.value['spec'] as { readonly effect?: string } | undefined
    const deny = document.kind === 'MaintenanceWindow' && spec?.effect === 'deny'
    if (KINDS.get(document.kind)?.owner !== 'root' && !deny) return []
    const owner = ownerOf(document.file.path, root, judges)
    if (owner.root || owner.team === null) return []
    return [
      {
        code: 'FLT2110',
        severity: 'error',
        place: document.place,
        also: [owner.team.place],
        path: 'kind',
        message: `${document.kind} ${document.name} stands in a file of team ${owner.team.name}`,
        expected: `${deny ? 'a deny window' : document.kind} in a file of the root team`,
        next: 'Move the file, or ask the root team to commit it.',
      },
    ]
  })
}

function assemble(
  head: FleetHead,
  documents: readonly OurDocument[],
  teams: ReadonlyMap<string, Team>,
  judges: readonly Team[],
  holds: readonly { readonly workload: string; readonly problem: Problem }[],
): Fleet {
  const { brake, ...rest } = head
  const sites = new Map(ofKind(documents, 'Site').map((document) => [document.name, readSite(document)]))
  const policies = ofKind(documents, 'RolloutPolicy').map((document): [string, RolloutPolicy] => [
    document.name,
    readPolicy(document.name, document.value['spec'] as unknown as PolicySpec),
  ])
  const workloads = ofKind(documents, 'Workload').map((document) => {
    const own = holds.filter(({ workload }) => workload === document.name).map(({ problem }) => problem)
    return readWorkload(document, head.defaults, ownerOf(document.file.path, head.root, judges).team, own)
  })
  const batch = documents
    .filter(({ kind }) => isBatchKind(kind))
    .map((document) => readBatch(document, head.defaults, ownerOf(document.file.path, head.root, judges).team, holds))
  const later = new Map<string, number>()
  for (const { kind } of documents) {
    if (KINDS.get(kind)?.acted === 'later') later.set(kind, (later.get(kind) ?? 0) + 1)
  }
  return {
    ...rest,
    deletionBrake: { ...brake, objects: brake.objects ?? Math.max(100, 5 * sites.size) },
    sites,
    groups: new Map(ofKind(documents, 'SiteGroup').map((document) => [document.name, readGroup(document)])),
    workloads: new Map([...workloads, ...batch].map((workload) => [workload.name, workload])),
    policies: new Map(policies),
    teams,
    windows: ofKind(documents, 'MaintenanceWindow').map((document) => readWindow(document)),
    later,
  }
}
