import { describe, expect, test } from 'vitest'
import { carryHeld } from '../../../src/core/fleet/carry.ts'
import { createFleetCache } from '../../../src/core/fleet/parse.ts'
import { renderSite, rolloutPolicyOf, targetsOf } from '../../../src/core/fleet/render.ts'
import type { JsonObject } from '../../../src/core/model/json.ts'
import { codesOf, configMap, FLEET, fleetOf, group, lint, site, SMALL, workload, type Files } from './tree.ts'

const HEAD = 'apiVersion: flotilla.dev/v1alpha1\n'
const SEALED = `apiVersion: v1
kind: Secret
metadata: { name: token, namespace: default }
stringData: { token: "ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]" }
sops: { mac: "ENC[AES256_GCM,data:m,iv:y,tag:z,type:str]", version: 3.10.2 }
`
const patched = (patch: string, target = '{ kind: ConfigMap, name: settings }', more = ''): string =>
  workload('web', `  overlays:\n    - name: o\n      patches: [{ target: ${target}, patch: ${patch} }]\n${more}`)

const dataOf = (files: Files, at: string, name = 'settings'): unknown => {
  const { rendered } = fleetOf({ ...SMALL, ...files })
  return renderSite(rendered, at).find(({ manifest }) => manifest.metadata.name === name)?.manifest['data']
}

describe('what an error in a source holds, and nothing else', () => {
  const other: Files = { 'apps/other/workload.yaml': workload('other'), 'apps/other/base/c.yaml': configMap('other') }
  const base = 'apps/web/base/config.yaml'
  const table: readonly (readonly [string, Files, string, readonly string[] | null])[] = [
    ['text that is no YAML', { [base]: 'a: [' }, 'FLT2002', null],
    ['an object without a name', { [base]: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n' }, 'FLT2003', null],
    ['an object without a kind', { [base]: 'apiVersion: v1\nmetadata: { name: x }\n' }, 'FLT2003', null],
    ['a name with a slash', { [base]: configMap('"a/b"') }, 'FLT2003', null],
    ['a scalar document', { [base]: 'hello' }, 'FLT2003', null],
    ['generateName', { [base]: 'apiVersion: v1\nkind: ConfigMap\nmetadata: { generateName: x- }\n' }, 'FLT2004', null],
    ['one object twice', { 'apps/web/base/again.yaml': configMap('settings') }, 'FLT2005', null],
    ['one object under two groups', {
      [base]: 'apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: { name: x }\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: { name: x }\n',
    }, 'FLT2005', null],
    ['a namespace that is not listed', { [base]: configMap('settings', '{}', 'kube-system') }, 'FLT2006', null],
    ['a label that is a number', { [base]: 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: x, labels: { v: 1.0 } }\n' }, 'FLT2011', null],
    ['a resourceVersion', { [base]: 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: x, resourceVersion: "5" }\n' }, 'FLT2011', null],
    ['an integer above 2^53', { [base]: configMap('settings', '{ a: 9007199254740993 }') }, 'FLT2002', null],
    ['no folder', { 'apps/web/workload.yaml': workload('web').replace('./base', './bass') }, 'FLT2001', null],
    ['a folder without a manifest', { 'apps/web/workload.yaml': workload('web').replace('./base', './empty'), 'apps/web/empty/README.md': 'x' }, 'FLT2001', null],
    ['a Helm source', { 'apps/web/workload.yaml': workload('web').replace('{ path: ./base }', '{ helm: { chart: x } }') }, 'FLT2012', null],
    ['Helm values', { 'apps/web/workload.yaml': workload('web', '  overlays: [{ name: o, values: { a: 1 } }]\n') }, 'FLT2012', null],
    ['a kustomization that does more', { 'apps/web/base/kustomization.yaml': 'resources: [config.yaml]\nnamePrefix: x-\n' }, 'FLT2010', null],
    ['a kustomization of another folder', { 'apps/web/base/kustomization.yaml': 'resources: [../../other/base/c.yaml]\n' }, 'FLT2010', null],
    ['a kustomization further down', { 'apps/web/base/sub/kustomization.yaml': 'resources: [x.yaml]\n' }, 'FLT2010', null],
    ['a patch that meets nothing', { 'apps/web/workload.yaml': patched('{ data: { x: y } }', '{ kind: Secret }') }, 'FLT2109', ['a', 'b', 'c']],
    ['a JSON patch that cannot go on', { 'apps/web/workload.yaml': patched('[{ op: remove, path: /data/x }]') }, 'FLT2009', ['a', 'b', 'c']],
    ['a patch that renames', { 'apps/web/workload.yaml': patched('{ metadata: { name: x } }') }, 'FLT2009', ['a', 'b', 'c']],
    ['an expression without a value', { 'apps/web/workload.yaml': patched('{ data: { x: "${{ vars.x }}" } }') }, 'FLT2008', ['a', 'b', 'c']],
    ['an expression without a value at one site', {
      'apps/web/workload.yaml': patched('{ data: { x: "${{ vars.x }}" } }'),
      'g.yaml': group('g', '  layer: country\n  sites: [a, c]\n  vars: { x: "1" }\n'),
    }, 'FLT2008', ['b']],
    ['a var that leads to itself', { 'apps/web/workload.yaml': patched('{ data: { x: "${{ vars.x }}" } }', undefined, '  vars: { x: "${{ vars.y }}", "y": "${{ vars.x }}" }\n') }, 'FLT2008', ['a', 'b', 'c']],
    ['vars that would grow beyond memory', {
      'apps/web/workload.yaml': patched('{ data: { x: "${{ vars.v40 }}" } }', undefined, `  vars:\n    v0: xxxxxxxxxx\n${Array.from({ length: 40 }, (_, i) => `    v${i + 1}: "\${{ vars.v${i} }}\${{ vars.v${i} }}"\n`).join('')}`),
    }, 'FLT2008', ['a', 'b', 'c']],
    ['lists that would grow beyond memory', {
      'apps/web/workload.yaml': patched('{ data: { x: "${{ vars.v40 }}" } }', undefined, `  vars:\n    v0: x\n${Array.from({ length: 40 }, (_, i) => `    v${i + 1}: ["\${{ vars.v${i} }}", "\${{ vars.v${i} }}"]\n`).join('')}`),
    }, 'FLT2008', ['a', 'b', 'c']],
    ['a chart', { 'apps/web/base/Chart.yaml': 'name: x\n' }, 'FLT2010', null],
    ['a target that matches no site', { 'apps/web/workload.yaml': workload('web', '  targets: [{ selector: { matchLabels: { country: dk } } }, { selector: { matchLabels: { country: fi } } }]\n') }, 'FLT2109', null],
    ['an overlay that meets no site', { 'apps/web/workload.yaml': workload('web', '  overlays: [{ name: o, when: { matchLabels: { country: fi } } }]\n') }, 'FLT2109', null],
    ['a dependency that is nowhere', { 'apps/web/workload.yaml': workload('web', '  dependsOn: [{ name: db }]\n') }, 'FLT2104', null],
    ['a circle', { 'apps/web/workload.yaml': workload('web', '  dependsOn: [{ name: web }]\n') }, 'FLT2104', null],
    ['a dependency that is not at every site', {
      'apps/web/workload.yaml': workload('web', '  dependsOn: [{ name: db }]\n'),
      'apps/db/workload.yaml': workload('db', '  targets: [{ selector: { matchLabels: { country: dk } } }]\n'),
      'apps/db/base/c.yaml': configMap('db'),
    }, 'FLT2104', ['c']],
    ['an encrypted document that a patch would touch', {
      'apps/web/base/secret.yaml': SEALED,
      'apps/web/workload.yaml': patched('{ metadata: { labels: { a: b } } }', '{ kind: Secret }'),
    }, 'FLT2007', ['a', 'b', 'c']],
    ['an encrypted document without its namespace', { 'apps/web/base/secret.yaml': SEALED.replace(', namespace: default', '') }, 'FLT2007', null],
    ['an encrypted document that vouches for too little', { 'apps/web/base/secret.yaml': SEALED.replace('version:', 'mac_only_encrypted: true, version:') }, 'FLT2007', null],
    ['documents encrypted as one file', { 'apps/web/base/secret.yaml': `${SEALED}---\n${SEALED.replace('token,', 'other,')}` }, 'FLT2007', null],
    ['two overlays of the workload that disagree', {
      'apps/web/workload.yaml': workload('web', '  overlays:\n    - { name: o, patches: [{ target: { kind: Deployment }, patch: { spec: { replicas: 2 } } }] }\n    - { name: p, when: { matchLabels: { format: big } }, patches: [{ target: { name: web }, patch: [{ op: replace, path: /spec/replicas, value: 3 }] }] }\n'),
    }, 'FLT2103', ['a', 'c']],
    ['what the team may not', {
      't.yaml': `${HEAD}kind: Team\nmetadata: { name: t }\nspec: { paths: [apps/web], may: { kinds: [Deployment] } }\n`,
    }, 'FLT2110', null],
  ] // prettier-ignore
  test.each(table)('%s', (_, files, code, sites) => {
    const linted = lint({ ...SMALL, ...other, ...files })
    const { rendered } = linted
    expect(linted.parsed.fleet).not.toBeNull()
    expect(codesOf(linted).map((text) => text.slice(0, 7))).toContain(code)
    expect(rendered?.held.map(({ workload, sites, problem }) => [workload, sites, problem.code])).toEqual([
      ['web', sites, code],
    ])
    for (const [name, workloads] of rendered?.sites ?? []) {
      expect(workloads.has('other')).toBe(true)
      expect(workloads.has('web')).toBe(sites !== null && !sites.includes(name))
    }
  })
})

describe('vars over the layers', () => {
  const settings = patched('{ data: { x: "${{ vars.x }}" } }', undefined, '  vars: { x: workload }\n')
  const overlay: Files = { 'apps/web/workload.yaml': settings }
  const country = {
    'g.yaml': group('z', '  layer: country\n  selector: { matchLabels: { country: dk } }\n  vars: { x: country }\n'),
  }
  const format = {
    'h.yaml': group('a', '  layer: format\n  selector: { matchLabels: { format: big } }\n  vars: { x: format }\n'),
  }
  const table: readonly (readonly [string, Files, string])[] = [
    ['the workload wins over the fleet', { 'flotilla.yaml': FLEET.replace('layers:', 'vars: { x: fleet }, layers:') }, 'workload'],
    ['a group wins over the workload', country, 'country'],
    ['a later layer wins over an earlier one, whatever their names', { ...country, ...format }, 'format'],
    ['what a group says for one workload wins over what it says for all', { 'g.yaml': group('z', '  layer: country\n  sites: [a]\n  vars: { x: all }\n  workloadVars: { web: { x: web } }\n') }, 'web'],
    ['the site wins over all', { ...country, ...format, 'sites/a.yaml': site('a', 'country: dk, format: big', '  vars: { x: site }\n') }, 'site'],
    ['a var may name others', { 'sites/a.yaml': site('a', 'country: dk, format: big', '  vars: { x: "${{ site.name }} in ${{ site.labels.country }}" }\n') }, 'a in dk'],
  ] // prettier-ignore
  test.each(table)('%s', (_, files, expected) => {
    expect(dataOf({ ...overlay, ...files }, 'a')).toEqual({ a: 'b', x: expected })
  })

  test('maps merge, lists replace', () => {
    const files = {
      'flotilla.yaml': FLEET.replace('layers:', 'vars: { m: { a: 1, b: { c: [1, 2] } } }, layers:'),
      'sites/a.yaml': site('a', 'country: dk, format: big', '  vars: { m: { b: { c: [3], d: 4 } } }\n'),
      'apps/web/workload.yaml': patched('{ data: { x: "${{ vars.m }}" } }'),
    }
    expect(dataOf(files, 'a')).toEqual({ a: 'b', x: { a: 1, b: { c: [3], d: 4 } } })
  })
})

describe('expressions', () => {
  const table: readonly (readonly [string, string, unknown])[] = [
    ['a whole value keeps its type', '${{ vars.n }}', 3],
    ['inside a text it is text', 'n=${{vars.n}}', 'n=3'],
    ['two in a text', '${{ vars.n }}${{ site.name }}', '3a'],
    ['a list element', '${{ vars.l[1] }}', 'two'],
    ['a key with a dot', '${{ site.labels["country"] }}', 'dk'],
    ['an escape', '$${{ vars.n }}', '${{ vars.n }}'],
    ['what shells write is left alone', '${X} $(Y) $Z', '${X} $(Y) $Z'],
    ['the fleet', '${{ fleet.name }}', 'shops'],
    ['a location', '${{ site.location.timeZone }}', 'UTC'],
  ]
  test.each(table)('%s', (_, text, expected) => {
    const files = {
      'apps/web/workload.yaml': patched(`{ data: { x: '${text}' } }`, undefined, '  vars: { n: 3, l: [one, two] }\n'),
    }
    expect(dataOf(files, 'a')).toEqual({ a: 'b', x: expected })
  })

  const refused = [
    '${{ vars.n',
    '${{ vars }}',
    '${{ env.HOME }}',
    '${{ vars.n + 1 }}',
    '${{ site.labels.nothing }}',
    'x${{ vars.l }}',
    '${{ site.constructor }}',
    '${{}}',
  ]
  test.each(refused)('%s is refused', (text) => {
    const files = {
      'apps/web/workload.yaml': patched(`{ data: { x: '${text}' } }`, undefined, '  vars: { n: 3, l: [one] }\n'),
    }
    expect(codesOf(lint({ ...SMALL, ...files }))[0]).toMatch(/^FLT2008 apps\/web\/workload\.yaml:/)
  })
})

test('sites that a render cannot tell apart share a release; a var that only some patches read splits them', () => {
  const same = fleetOf(SMALL).rendered
  expect(same.releases.size).toBe(1)
  const files = { ...SMALL, 'apps/web/workload.yaml': patched('{ data: { x: "${{ site.labels.country }}" } }') }
  const { rendered } = fleetOf(files)
  const [a, b, c] = ['a', 'b', 'c'].map((name) => rendered.sites.get(name)?.get('web'))
  expect(a).toBe(b)
  expect(a).not.toBe(c)
})

test('groups patch after the workload, by layer and name, and the site last', () => {
  const say = (value: string): string =>
    `  overlays: [{ workload: web, patches: [{ target: { name: settings }, patch: { data: { order: ${value} } } }] }]\n`
  const files = {
    'apps/web/workload.yaml': patched('{ data: { order: own } }'),
    'g.yaml': group('z', `  layer: country\n  sites: [a, b]\n${say('country')}`),
    'h.yaml': group('a', `  layer: format\n  sites: [b]\n${say('format')}`),
    'sites/c.yaml': site('c', 'country: se, format: big', say('site')),
  }
  expect(['a', 'b', 'c'].map((at) => (dataOf(files, at) as JsonObject)['order'])).toEqual(['country', 'format', 'site'])
})

test('two groups of one layer may both add to a list', () => {
  const add = (name: string): string =>
    `  layer: country\n  sites: [a]\n  overlays: [{ workload: web, patches: [{ target: { kind: Deployment }, patch: { spec: { template: { spec: { containers: [{ name: ${name}, image: x }] } } } } }] }]\n`
  const { rendered } = fleetOf({ ...SMALL, 'g.yaml': group('g', add('one')), 'h.yaml': group('h', add('two')) })
  expect(rendered.held).toEqual([])
})

test('an encrypted document travels as the bytes it has in Git', () => {
  const whole = `# kept, comments and all\n${SEALED}`
  const { rendered } = fleetOf({
    ...SMALL,
    'apps/web/base/s.yaml': whole,
    'apps/web/base/t.yaml': `${configMap('c')}---\n${SEALED.replace('token,', 'second,').replace('data:m', 'data:n')}`,
  })
  const [release] = [...rendered.releases.values()]
  const sealed = (release?.objects ?? []).filter(({ sealed }) => sealed === true)
  const text = sealed.map(({ blob }) => new TextDecoder().decode(rendered.blobs.get(blob)?.bytes))
  expect(sealed.map(({ ref }) => ref.name)).toEqual(['second', 'token'])
  expect(text).toEqual([SEALED.replace('token,', 'second,').replace('data:m', 'data:n'), whole])
  expect(sealed.map(({ blob }) => rendered.blobs.get(blob)?.domain)).toEqual(['sealed', 'sealed'])
})

test('lists are taken apart, and their items inherit what the list says', () => {
  const list =
    'apiVersion: v1\nkind: ConfigMapList\nitems: [{ metadata: { name: x } }, { metadata: { name: y2 } }]\n---\napiVersion: v1\nkind: List\nitems: [{ apiVersion: v1, kind: Secret, metadata: { name: s } }]\n'
  const { rendered } = fleetOf({ ...SMALL, 'apps/web/base/config.yaml': list })
  expect(renderSite(rendered, 'a').map(({ manifest }) => `${manifest.kind} ${manifest.metadata.name}`)).toEqual([
    'ConfigMap x',
    'ConfigMap y2',
    'Secret s',
    'Deployment web',
  ])
})

test('objects get their namespace by the scope of their kind', () => {
  const source = [
    'apiVersion: v1\nkind: Namespace\nmetadata: { name: shop }\n',
    'apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: { name: r, namespace: ignored }\n',
    'apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: { name: lamps.x.example }\nspec: { group: x.example, scope: Cluster, names: { kind: Lamp, plural: lamps } }\n',
    'apiVersion: x.example/v1\nkind: Lamp\nmetadata: { name: l }\n',
    'apiVersion: y.example/v1\nkind: Wheel\nmetadata: { name: w }\n',
    configMap('named', '{}', 'other'),
  ].join('---\n')
  const files = {
    ...SMALL,
    'apps/web/base/config.yaml': source,
    'apps/web/workload.yaml': workload('web', '  namespace: shop\n  namespaces: [other]\n'),
  }
  const { rendered } = fleetOf(files)
  expect(
    Object.fromEntries(
      renderSite(rendered, 'a').map(({ manifest: { metadata } }) => [metadata.name, metadata.namespace]),
    ),
  ).toEqual({
    shop: undefined,
    r: undefined,
    'lamps.x.example': undefined,
    l: undefined,
    w: 'shop',
    named: 'other',
    web: 'shop',
  })
})

test('a kustomization that only lists files of its folder is those files', () => {
  const files = {
    ...SMALL,
    'apps/web/base/kustomization.yaml':
      'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n- config.yaml\n',
  }
  expect(renderSite(fleetOf(files).rendered, 'a').map(({ manifest }) => manifest.metadata.name)).toEqual(['settings'])
})

test('two workloads that own one object are both held where they meet, and so is who depends on them', () => {
  const files = {
    ...SMALL,
    'apps/two/workload.yaml': workload('two', '  targets: [{ selector: { matchLabels: { country: dk } } }]\n'),
    'apps/two/base/c.yaml': configMap('settings'),
    'apps/on-top/workload.yaml': workload('on-top', '  dependsOn: [{ name: web }]\n'),
    'apps/on-top/base/c.yaml': configMap('top'),
  }
  const { rendered, problems } = lint(files)
  expect(problems.map(({ code }) => code)).toEqual(['FLT2102'])
  expect(rendered?.held.map(({ workload, sites }) => [workload, sites])).toEqual([
    ['on-top', ['a', 'b']],
    ['two', ['a', 'b']],
    ['web', ['a', 'b']],
  ])
  expect([...(rendered?.sites.get('c') ?? [])].map(([name]) => name)).toEqual(['on-top', 'web'])
})

test('what was there stays where a workload is held, under its former name too', () => {
  const before = fleetOf(SMALL).rendered
  const renamed = {
    ...SMALL,
    'apps/web/workload.yaml': workload('shop', '  formerNames: [web]\n'),
    'apps/web/base/config.yaml': 'a: [',
  }
  const { parsed, rendered } = lint(renamed)
  if (parsed.fleet === null || rendered === null) throw new Error('no fleet')
  const carried = carryHeld(before.sites, parsed.fleet, rendered)
  expect(carried).toEqual(before.sites)
})

test('a cached render is the same render, and a changed source is not taken for the old one', () => {
  const cache = createFleetCache()
  const first = lint(SMALL, { cache }).rendered
  const again = lint(SMALL, { cache }).rendered
  expect(again).toEqual(first)
  const changed = lint({ ...SMALL, 'apps/web/base/config.yaml': configMap('settings', '{ a: c }') }, { cache }).rendered
  expect([...(changed?.releases.keys() ?? [])]).not.toEqual([...(first?.releases.keys() ?? [])])
})

test('targets and policies as the rollout takes them', () => {
  const { fleet } = fleetOf({
    ...SMALL,
    'apps/web/workload.yaml': workload(
      'web',
      '  rollout: p\n  targets: [{ selector: { matchLabels: { country: dk } } }, { selector: { matchLabels: { format: big } } }]\n',
    ),
    'p.yaml': `${HEAD}kind: RolloutPolicy\nmetadata: { name: p }\nspec: { waves: [{ name: all, maxConcurrent: 25%, soak: 1h30m, gate: { approval: ops } }], maxFailures: 2, onFailure: Rollback }\n`,
  })
  expect(targetsOf(fleet).get('web')).toEqual(['a', 'b', 'c'])
  expect(rolloutPolicyOf(fleet, 'web')).toMatchObject({
    name: 'p',
    waves: [
      {
        name: 'all',
        selector: null,
        size: null,
        maxConcurrent: { percent: 25 },
        soakMs: 5_400_000,
        approval: 'ops',
        by: null,
      },
    ],
    maxFailures: { count: 2 },
    minCoveragePercent: 80,
    onFailure: 'Rollback',
  })
  expect(rolloutPolicyOf(fleet, 'nothing')).toMatchObject({
    name: 'cautious',
    waves: [
      { size: { count: 1 }, soakMs: 1_800_000 },
      { size: { percent: 5 }, soakMs: 1_800_000 },
      { size: null, soakMs: 1_800_000 },
    ],
    maxFailures: { count: 1 },
  })
})

test('a patch may choose its object by an expression', () => {
  const { rendered } = fleetOf({
    ...SMALL,
    'apps/web/base/x.yaml': `${configMap('for-dk')}---\n${configMap('for-se')}`,
    'apps/web/workload.yaml': patched(
      '{ data: { here: "1" } }',
      '{ kind: ConfigMap, name: "for-${{ site.labels.country }}" }',
    ),
  })
  const here = (site: string): readonly string[] =>
    renderSite(rendered, site)
      .filter(({ manifest }) => (manifest['data'] as JsonObject | undefined)?.['here'] === '1')
      .map(({ manifest }) => manifest.metadata.name)
  expect([here('a'), here('c')]).toEqual([['for-dk'], ['for-se']])
})

test('line ends of Windows change no value, and no byte of what is encrypted', () => {
  const crlf = (text: string): string => text.replaceAll('\n', '\r\n')
  const unix = fleetOf(SMALL).rendered
  const windows = fleetOf(Object.fromEntries(Object.entries(SMALL).map(([path, text]) => [path, crlf(text)]))).rendered
  expect(windows.sites).toEqual(unix.sites)
  const { rendered } = fleetOf({ ...SMALL, 'apps/web/base/s.yaml': crlf(`${configMap('c')}---\n${SEALED}`) })
  const sealed = [...rendered.releases.values()][0]?.objects.find(({ sealed }) => sealed === true)
  expect(sealed === undefined ? '' : new TextDecoder().decode(rendered.blobs.get(sealed.blob)?.bytes)).toBe(
    crlf(SEALED),
  )
})
