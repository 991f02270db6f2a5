/** Fleets made of texts, for tests: paths and contents to a tree as Git would give it. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { createFleetCache, parseFleet } from '../../../src/core/fleet/parse.ts'
import { lintFleet, type Linted } from '../../../src/core/fleet/lint.ts'
import type { Fleet, FleetCache, RenderedFleet, SourceTree } from '../../../src/core/fleet/types.ts'

export type Files = Readonly<Record<string, string>>

export function treeOf(files: Files): SourceTree {
  return new Map(
    Object.entries(files).map(([path, text]) => {
      const bytes = new TextEncoder().encode(text)
      return [path, { path, oid: createHash('sha1').update(bytes).digest('hex'), bytes }]
    }),
  )
}

/** A folder of this repository, from its root. */
export function treeOfFolder(folder: string): SourceTree {
  const root = join(import.meta.dirname, '../../..', folder)
  const entries = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return new Map(
    entries.map((entry) => {
      const full = join(entry.parentPath, entry.name)
      const path = relative(root, full).split(sep).join('/')
      const bytes = readFileSync(full)
      return [path, { path, oid: createHash('sha1').update(bytes).digest('hex'), bytes }]
    }),
  )
}

export function lint(files: Files, options: { root?: string; cache?: FleetCache; previous?: Fleet } = {}): Linted {
  const { root = '', cache = createFleetCache(), previous } = options
  return lintFleet(treeOf(files), { root, revision: 'test', cache, ...(previous === undefined ? {} : { previous }) })
}

/** The fleet of texts that must have no error. */
export function fleetOf(files: Files): { readonly fleet: Fleet; readonly rendered: RenderedFleet } {
  const { parsed, rendered, problems } = lint(files)
  if (parsed.fleet === null || rendered === null) throw new Error(JSON.stringify(problems, null, 2))
  return { fleet: parsed.fleet, rendered }
}

export function parse(files: Files): Fleet {
  const { fleet, problems } = parseFleet(treeOf(files), { root: '', revision: 'test', cache: createFleetCache() })
  if (fleet === null) throw new Error(JSON.stringify(problems, null, 2))
  return fleet
}

/** `FLT1003 file:line:column`, errors and warnings, in order. */
export function codesOf({ problems }: Pick<Linted, 'problems'>): readonly string[] {
  return problems
    .filter(({ severity }) => severity !== 'notice')
    .map(({ code, place }) => `${code} ${place.file}:${place.line}:${place.column}`)
}

const HEAD = 'apiVersion: flotilla.dev/v1alpha1\n'
export const FLEET = `${HEAD}kind: Fleet\nmetadata: { name: shops }\nspec: { layers: [country, format] }\n`
export const site = (name: string, labels: string, spec = ''): string =>
  `${HEAD}kind: Site\nmetadata: { name: ${name}, labels: { ${labels} } }\n${spec === '' ? '' : `spec:\n${spec}`}`
export const group = (name: string, spec: string): string =>
  `${HEAD}kind: SiteGroup\nmetadata: { name: ${name} }\nspec:\n${spec}`
export const workload = (name: string, spec = ''): string =>
  `${HEAD}kind: Workload\nmetadata: { name: ${name} }\nspec:\n  source: { path: ./base }\n` +
  (spec.includes('targets:')
    ? ''
    : '  targets: [{ selector: { matchExpressions: [{ key: country, operator: Exists }] } }]\n') +
  spec
export const configMap = (name: string, data = '{ a: b }', namespace = ''): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: ${name}${namespace === '' ? '' : `, namespace: ${namespace}`} }\ndata: ${data}\n`

/** Three sites in two countries, one workload of one ConfigMap and one Deployment. */
export const SMALL: Files = {
  'flotilla.yaml': FLEET,
  'sites/a.yaml': site('a', 'country: dk, format: big'),
  'sites/b.yaml': site('b', 'country: dk, format: small'),
  'sites/c.yaml': site('c', 'country: se, format: big'),
  'apps/web/workload.yaml': workload('web'),
  'apps/web/base/config.yaml': configMap('settings'),
  'apps/web/base/web.yaml':
    'apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web }\nspec:\n  replicas: 1\n  selector: { matchLabels: { app: web } }\n' +
    '  template:\n    metadata: { labels: { app: web } }\n    spec: { containers: [{ name: web, image: "web:1" }] }\n',
}
