/** Manifests that nobody wrote for us, from ../shared/corpus: each object as the reference reader of YAML and kubectl name it. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { lintFleet } from '../../../src/core/fleet/lint.ts'
import { createFleetCache } from '../../../src/core/fleet/parse.ts'
import { renderSite } from '../../../src/core/fleet/render.ts'
import type { SourceFile } from '../../../src/core/fleet/types.ts'
import { FLEET, site, treeOf, workload } from './tree.ts'

const CORPUS = process.env['CORPUS_DIR'] ?? join(import.meta.dirname, '../../../../shared/corpus')

beforeAll(() => {
  if (!existsSync(CORPUS)) throw new Error(`no corpus at ${CORPUS}: set CORPUS_DIR`)
})

function corpus(folder: string, under: string): readonly [string, SourceFile][] {
  const root = join(CORPUS, folder)
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const full = join(entry.parentPath, entry.name)
      const path = `${under}/${relative(root, full).split(sep).join('/')}`
      const bytes = readFileSync(full)
      return [path, { path, oid: createHash('sha1').update(bytes).digest('hex'), bytes }]
    })
}

function rendered(folder: string, spec: string) {
  const files = {
    'flotilla.yaml': FLEET,
    'sites/a.yaml': site('a', 'country: dk'),
    'apps/x/workload.yaml': workload('x', spec),
  }
  const tree = new Map([...treeOf(files), ...corpus(folder, 'apps/x/base')])
  const linted = lintFleet(tree, { root: '', revision: 'test', cache: createFleetCache() })
  if (linted.rendered === null) throw new Error(JSON.stringify(linted.problems))
  return { problems: linted.problems, manifests: renderSite(linted.rendered, 'a') }
}

test('the plain base of online-boutique is a source: its kustomization lists files and nothing more', () => {
  const { problems, manifests } = rendered('online-boutique/kustomize/base', '  namespace: shop\n')
  expect(problems).toEqual([])
  const expected = corpus('online-boutique/kustomize/base', 'x')
    .filter(([path]) => !path.endsWith('kustomization.yaml'))
    .flatMap(([, { bytes }]) =>
      parseAllDocuments(new TextDecoder().decode(bytes)).map((document): unknown => document.toJS()),
    )
    .filter((value) => value !== null) as { kind: string; metadata: { name: string } }[]
  const key = ({ kind, metadata }: { kind: string; metadata: { name: string } }): string => `${kind}/${metadata.name}`
  const ours = new Map(manifests.map(({ manifest }) => [key(manifest), manifest]))
  expect([...ours.keys()].toSorted()).toEqual(expected.map(key).toSorted())
  for (const object of expected) {
    expect(ours.get(key(object))).toEqual({ ...object, metadata: { ...object.metadata, namespace: 'shop' } })
  }
})

test('a component of online-boutique patches, and is an error that says not yet', () => {
  const { problems, manifests } = rendered('online-boutique/kustomize/components/cymbal-branding', '')
  expect(problems.map(({ code }) => code)).toEqual(['FLT2010'])
  expect(manifests).toEqual([])
})

test('kube-prometheus: every object, in the namespaces that it names, all of 5.6 MB', () => {
  const { problems, manifests } = rendered(
    'kube-prometheus/manifests',
    '  namespace: monitoring\n  namespaces: [default, kube-system]\n',
  )
  expect(problems).toEqual([])
  const kinds = manifests.map(({ manifest }) => manifest.kind)
  expect(kinds.filter((kind) => kind === 'CustomResourceDefinition')).toHaveLength(10)
  expect(kinds).toContain('Role')
  expect(kinds.some((kind) => kind.endsWith('List'))).toBe(false)
  const clusterWide = new Set([
    'CustomResourceDefinition',
    'Namespace',
    'ClusterRole',
    'ClusterRoleBinding',
    'APIService',
  ])
  for (const { manifest } of manifests) {
    expect(manifest.metadata.namespace === undefined).toBe(clusterWide.has(manifest.kind))
  }
})
