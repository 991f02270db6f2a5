import { describe, expect, test } from 'vitest'
import { CODES } from '../../../src/core/fleet/codes.ts'
import { findRoots } from '../../../src/core/fleet/parse.ts'
import { codesOf, FLEET, group, lint, parse, site, SMALL, treeOf, workload, type Files } from './tree.ts'

const HEAD = 'apiVersion: flotilla.dev/v1alpha1\n'
const policy = (name: string, spec: string): string =>
  `${HEAD}kind: RolloutPolicy\nmetadata: { name: ${name} }\nspec:\n${spec}`

const window = (spec: string): string => `${HEAD}kind: MaintenanceWindow\nmetadata: { name: w }\nspec: { ${spec} }\n`

test('the small fleet has no problem', () => {
  expect(lint(SMALL).problems).toEqual([])
})

describe('what stops a revision, with its place', () => {
  const table: readonly (readonly [string, Files, readonly string[]])[] = [
    ['no root file', { 'flotilla.yaml': '' }, ['FLT1013 flotilla.yaml:1:1']],
    ['a Fleet elsewhere', { 'x.yaml': FLEET }, ['FLT1013 x.yaml:1:1', 'FLT1012 x.yaml:1:1'].toSorted()],
    ['a file of ours that does not parse', { 'sites/d.yaml': `${HEAD}kind: [Site\n` }, ['FLT1002 sites/d.yaml:3:1']],
    ['an unknown field', { 'sites/d.yaml': `${HEAD}kind: Site\nmetadata: { name: d }\nspec:\n  varz: {}\n` }, ['FLT1004 sites/d.yaml:5:3']],
    ['a wrong value', { 'sites/d.yaml': `${HEAD}kind: Site\nmetadata: { name: D_d }\n` }, ['FLT1003 sites/d.yaml:3:19']],
    ['a missing field', { 'apps/x.yaml': `${HEAD}kind: Workload\nmetadata: { name: x }\nspec:\n  source: { path: ./b }\n` }, ['FLT1005 apps/x.yaml:5:3']],
    ['a label that is no text', { 'sites/d.yaml': site('d', 'country: dk, open: true') }, ['FLT1003 sites/d.yaml:3:51']],
    ['an unknown kind', { 'x.yaml': `${HEAD}kind: Sites\nmetadata: { name: x }\n` }, ['FLT1010 x.yaml:2:7']],
    ['an unknown version', { 'x.yaml': 'apiVersion: flotilla.dev/v9\nkind: Site\nmetadata: { name: x }\n' }, ['FLT1011 x.yaml:1:13']],
    ['two documents of one name', { 'sites/z.yaml': site('a', 'country: dk') }, ['FLT1012 sites/z.yaml:1:1']],
    ['a zero duration', { 'p.yaml': policy('p', '  waves: [{ name: all, soak: 0s }]\n') }, ['FLT1003 p.yaml:5:30']],
    ['a time zone that is none', { 'sites/d.yaml': site('d', 'country: dk', '  location: { timeZone: Europe/Atlantis }\n') }, ['FLT1003 sites/d.yaml:5:25']],
    ['an empty selector', { 'apps/web/workload.yaml': workload('web', '  targets: [{ selector: {} }]\n') }, ['FLT1003 apps/web/workload.yaml:6:25']],
    ['a target without a selector', { 'apps/web/workload.yaml': workload('web', '  targets: [{}]\n') }, ['FLT1005 apps/web/workload.yaml:6:13']],
    ['a policy that nobody wrote', { 'apps/web/workload.yaml': workload('web', '  rollout: standart\n') }, ['FLT1019 apps/web/workload.yaml:7:12']],
    ['a layer that the Fleet does not have', { 'g.yaml': group('g', '  layer: town\n  sites: [a]\n') }, ['FLT1019 g.yaml:5:10']],
    ['a site that nobody has', { 'g.yaml': group('g', '  layer: country\n  sites: [a, x]\n') }, ['FLT1019 g.yaml:6:14']],
    ['an overlay on a workload that nobody has', { 'sites/d.yaml': site('d', 'country: dk', '  overlays: [{ workload: wbe }]\n') }, ['FLT1019 sites/d.yaml:5:26']],
    ['a group whose selector matches nobody', { 'g.yaml': group('g', '  layer: country\n  selector: { matchLabels: { country: fi } }\n') }, ['FLT2109 g.yaml:1:1']],
    ['groups of one layer that disagree', {
      'g.yaml': group('g', '  layer: country\n  selector: { matchLabels: { country: dk } }\n  vars: { x: 1 }\n'),
      'h.yaml': group('h', '  layer: country\n  sites: [a]\n  vars: { x: 2 }\n'),
    }, ['FLT2101 h.yaml:7:14']],
    ['groups that disagree for one workload only', {
      'g.yaml': group('g', '  layer: country\n  sites: [a]\n  vars: { m: { x: 1, z: 1 } }\n'),
      'h.yaml': group('h', '  layer: country\n  sites: [a]\n  workloadVars: { web: { m: { x: 2 } } }\n'),
    }, ['FLT2101 h.yaml:7:34']],
    ['a site in no wave', {
      'p.yaml': policy('p', '  waves: [{ name: dk, selector: { matchLabels: { country: dk } } }]\n'),
      'apps/web/workload.yaml': workload('web', '  rollout: p\n'),
    }, ['FLT2108 apps/web/workload.yaml:7:12']],
    ['a former name that is in use', { 'sites/d.yaml': site('d', 'country: dk', '  formerNames: [a]\n') }, ['FLT1022 sites/d.yaml:5:17']],
    ['a health check that is no expression', { 'apps/web/workload.yaml': workload('web') + '  healthChecks: [{ apiVersion: db.example/v1, kind: Cluster, current: "status.phase ==" }]\n' }, ['FLT1003 apps/web/workload.yaml:7:71']],
    ['a source outside the repository', { 'apps/web/workload.yaml': workload('web').replace('./base', '../../../etc') }, ['FLT1020 apps/web/workload.yaml:5:19']],
    ['a file of a team that holds a Site', {
      't.yaml': `${HEAD}kind: Team\nmetadata: { name: t }\nspec: { paths: [apps] }\n`,
      'apps/s.yaml': site('d', 'country: dk'),
    }, ['FLT2110 apps/s.yaml:1:1']],
    ['a window that never opens', { 'w.yaml': window('effect: allow, schedule: "0 1 31 2 *", duration: 1h, targets: [{ workloads: [web] }]') }, ['FLT2105 w.yaml:4:7']],
    ['windows that deny all day', { 'w.yaml': window('effect: deny, schedule: "0 0 * * *", duration: 24h, targets: [{ selector: { matchLabels: { country: dk } } }]') }, ['FLT2105 w.yaml:4:7']],
    ['a window of a workload that nobody wrote', { 'w.yaml': window('effect: deny, schedule: "0 7 * * *", duration: 1h, targets: [{ workloads: [wbe] }]') }, ['FLT1019 w.yaml:4:84']],
    ['a window whose labels no site has', { 'w.yaml': window('effect: deny, schedule: "0 7 * * *", duration: 1h, targets: [{ selector: { matchLabels: { country: xx } } }]') }, ['FLT2109 w.yaml:4:82']],
    ['a window whose schedule is none', { 'w.yaml': window('effect: deny, schedule: "0 25 * * *", duration: 1h, targets: [{ workloads: [web] }]') }, ['FLT1003 w.yaml:4:33']],
    ['a window in a zone that is none', { 'w.yaml': window('effect: deny, schedule: "0 7 * * *", duration: 1h, timeZone: Mars/Olympus, targets: [{ workloads: [web] }]') }, ['FLT1003 w.yaml:4:70']],
    ['signatures by nobody', { 'flotilla.yaml': FLEET.replace('layers:', 'source: { verify: { mode: enforce } }, layers:') }, ['FLT1005 flotilla.yaml:4:27']],
    ['a signer that is no key', { 'flotilla.yaml': FLEET.replace('layers:', 'source: { verify: { mode: warn, signers: [ann] } }, layers:') }, ['FLT1003 flotilla.yaml:4:51']],
  ] // prettier-ignore
  test.each(table)('%s', (_, files, expected) => {
    const linted = lint({ ...SMALL, ...files })
    expect(codesOf(linted)).toEqual(expected)
    expect(linted.parsed.fleet).toBeNull()
    for (const { code, place } of linted.problems) {
      expect(CODES).toHaveProperty(code)
      expect(place.file).not.toBe('')
    }
  })
})

describe('what is said and stops nothing', () => {
  const table: readonly (readonly [string, Files, readonly string[]])[] = [
    ['a bare no', { 'sites/d.yaml': site('d', 'country: no') }, ['FLT1009']],
    ['a nested fleet', { 'test/flotilla.yaml': FLEET, 'test/a.yaml': site('a', 'country: dk') }, ['FLT1014']],
    ['a kind to come', { 'q.yaml': `${HEAD}kind: EdgeConfig\nmetadata: { name: q }\nspec: { targets: [{ selector: { matchLabels: { country: dk } } }], data: { a: b }, as: { configMap: { name: q } } }\n` }, ['FLT1015']],
    ['a reserved kind', { 'q.yaml': `${HEAD}kind: Device\nmetadata: { name: q }\n` }, ['FLT1015']],
    ['a field to come', { 'apps/web/workload.yaml': workload('web', '  images: { stage: beforeStart }\n') }, ['FLT1016']],
    ['an apiVersion with a slip', { 'x.yaml': site('d', 'country: dk').replace('flotilla.dev', 'flotila.dev') }, ['FLT1021']],
    ['files of others, however broken', { 'chart/x.yaml': '{{ if }}\n  note: |\n    apiVersion: flotilla.dev/v1alpha1\n  a: [', 'x.json': '{"a":' }, []],
    ['a document of ours quoted in another', { 'x.yaml': 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: x }\ndata:\n  a: |\n    apiVersion: flotilla.dev/v1alpha1\n    kind: Sites\n' }, []],
  ] // prettier-ignore
  test.each(table)('%s', (_, files, expected) => {
    const linted = lint({ ...SMALL, ...files })
    expect(linted.problems.map(({ code }) => code)).toEqual(expected)
    expect(linted.parsed.fleet).not.toBeNull()
  })
})

test('many problems are found at once, each with what was found and what to do', () => {
  const { problems } = lint({
    ...SMALL,
    'sites/d.yaml': `${HEAD}kind: Site\nmetadata: { name: d, labels: { open: 5 } }\nspec: { mod: observe, link: { class: 3G } }\n`,
  })
  expect(problems.map(({ code, path, found, next }) => [code, path, found, next])).toEqual([
    ['FLT1003', 'metadata.labels.open', '5', 'Write "5" in quotes.'],
    ['FLT1004', 'spec.mod', 'mod', 'Did you mean mode?'],
    ['FLT1003', 'spec.link.class', '"3G"', 'Correct the value.'],
  ])
})

test('both places of a duplicate are named', () => {
  const { problems } = lint({ ...SMALL, 'sites/z.yaml': site('a', 'country: dk') })
  expect(problems[0]?.also?.map(({ file }) => file)).toEqual(['sites/a.yaml'])
})

test('a pull request cannot grant itself rights: the Teams before it judge it', () => {
  const team = (paths: string): string => `${HEAD}kind: Team\nmetadata: { name: t }\nspec: { paths: [${paths}] }\n`
  const previous = parse({ ...SMALL, 'teams.yaml': team('apps') })
  const grab = { ...SMALL, 'teams.yaml': team('elsewhere'), 'apps/s.yaml': site('d', 'country: dk') }
  expect(lint(grab).problems).toEqual([])
  expect(codesOf(lint(grab, { previous }))).toEqual(['FLT2110 apps/s.yaml:1:1'])
})

test.each<[string, Files, readonly string[]]>([
  ['a rename of one that is gone', { 'sites/d.yaml': site('d', 'country: dk', '  formerNames: [a]\n') }, []],
  ['a name that another site claims too', {
    'sites/d.yaml': site('d', 'country: dk', '  formerNames: [a]\n'),
    'sites/e.yaml': site('e', 'country: dk', '  formerNames: [a]\n'),
  }, ['FLT1022 sites/e.yaml:5:17']],
  ['a site that stood beside it and takes it over', { 'sites/b.yaml': site('b', 'country: de', '  formerNames: [a]\n') }, ['FLT1022 sites/b.yaml:5:17']],
])('a site that leaves, and %s', (_name, files, expected) => {
  const { 'sites/a.yaml': _gone, ...rest } = SMALL
  expect(codesOf(lint({ ...rest, ...files }, { previous: parse(SMALL) }))).toEqual(expected)
}) // prettier-ignore

test('one of several roots is picked, the others are left alone', () => {
  const files = Object.fromEntries(Object.entries(SMALL).map(([path, text]) => [`prod/${path}`, text]))
  const both = { ...files, 'test/flotilla.yaml': FLEET, 'test/x.yaml': site('x', 'broken') }
  expect(findRoots(treeOf(both))).toEqual(['prod', 'test'])
  const { parsed } = lint(both, { root: 'prod/' })
  expect([...(parsed.fleet?.sites.keys() ?? [])]).toEqual(['a', 'b', 'c'])
  const missing = lint(both)
  expect(missing.problems.map(({ code, next }) => [code, next])).toEqual([
    ['FLT1014', undefined],
    ['FLT1014', undefined],
    ['FLT1001', 'Name one with --root: prod, test.'],
  ].toSorted((a, b) => (a[0] === 'FLT1001' ? -1 : b[0] === 'FLT1001' ? 1 : 0))) // prettier-ignore
})

test('every default is filled in', () => {
  const fleet = parse(SMALL)
  expect(fleet.defaults).toEqual({ rollout: 'cautious', drift: 'report' })
  expect(fleet.deletionBrake).toEqual({ objects: 100, percentOfSites: 1, sites: 1, confirmed: [] })
  expect(fleet.sites.get('a')).toMatchObject({ mode: 'enforce', hold: null, location: { timeZone: 'UTC' } })
  expect(fleet.workloads.get('web')).toMatchObject({
    namespace: 'default',
    source: { path: 'apps/web/base' },
    rollout: 'cautious',
    rules: { prune: 'on', adopt: 'never', replace: 'never', drift: { mode: 'report', ignore: [] }, suspend: false },
  })
})

test('paths that no file system agrees on are no way in', () => {
  const weird = ['sites/../x.yaml', 'sites//x.yaml', 'sites/\u0000x.yaml', 'sites/a\\b.yaml', './x.yaml']
  for (const path of weird) {
    const { parsed, problems } = lint({ ...SMALL, [path]: site('d', 'country: dk') })
    expect(parsed.fleet).toBeNull()
    expect(problems.map(({ code }) => code)).toEqual(['FLT1020'])
  }
})

test('a hundred warnings in one file lose none of its sites', () => {
  const many = Array.from({ length: 100 }, (_, i) => site(`n${i}`, 'country: no')).join('---\n')
  const { parsed, problems } = lint({ ...SMALL, 'sites/n.yaml': many })
  expect(parsed.fleet?.sites.size).toBe(103)
  expect(problems.every(({ severity }) => severity === 'warning')).toBe(true)
})

test('a root file whose apiVersion has a slip is an error, not only a warning', () => {
  const { parsed, problems } = lint({ ...SMALL, 'flotilla.yaml': FLEET.replace('flotilla.dev', 'flotila.dev') })
  expect(parsed.fleet).toBeNull()
  expect(problems.map(({ code }) => code)).toEqual(['FLT1013', 'FLT1021'])
})

test('two waves of one name are refused, a country outside the order is a warning', () => {
  const twice = { ...SMALL, 'p.yaml': policy('p', '  waves: [{ name: x }, { name: x }]\n') }
  expect(codesOf(lint(twice))).toEqual(['FLT1012 p.yaml:5:32'])
  const forgot = { ...SMALL, 'p.yaml': policy('p', '  waves: [{ name: x, by: country, order: [dk] }]\n') }
  expect(codesOf(lint(forgot))).toEqual(['FLT1023 p.yaml:5:42'])
})
