/**
 * kube-prometheus, as its authors publish it, through the real render and a real agent: 5.6 MB in 130 objects with definitions
 * and objects of the kinds they define in one release. The other control plane gets the same from kubectl.
 */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join, relative, resolve, sep } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openCluster } from '../../src/adapters/cluster/kube-cluster.ts'
import { isProtected, PART_OF, WORKLOAD_LABEL } from '../../src/core/diff/marks.ts'
import { lintFleet } from '../../src/core/fleet/lint.ts'
import { createFleetCache } from '../../src/core/fleet/parse.ts'
import { renderSite } from '../../src/core/fleet/render.ts'
import type { SourceFile } from '../../src/core/fleet/types.ts'
import type { Cluster } from '../../src/core/kube/cluster.ts'
import { formatRef, refOf, type Manifest } from '../../src/core/model/object.ts'
import { startControlPlane, type ControlPlane } from '../kube/control-plane.ts'
import { configMap, SIGNAL, type Told } from '../unit/agent/site.ts'
import { FLEET, site as siteText, treeOf, workload as workloadText } from '../unit/fleet/tree.ts'
import { counted, liveSite, withoutServerMade, type LiveSite } from './site-rig.ts'

const CORPUS = process.env['CORPUS_DIR'] ?? resolve(import.meta.dirname, '../../../shared/corpus')

let plane: ControlPlane
let other: ControlPlane
let theirs: Cluster
let site: LiveSite
let objects: readonly Manifest[]

/** What the hub makes of a folder, for the one site there is. */
function rendered(folder: string, spec: string): readonly Manifest[] {
  const root = join(CORPUS, folder)
  if (!existsSync(root)) throw new Error(`no corpus at ${root}: set CORPUS_DIR`)
  const files = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry): readonly [string, SourceFile] => {
      const full = join(entry.parentPath, entry.name)
      const path = `apps/x/base/${relative(root, full).split(sep).join('/')}`
      const bytes = readFileSync(full)
      return [path, { path, oid: createHash('sha1').update(bytes).digest('hex'), bytes }]
    })
  const ours = treeOf({
    'flotilla.yaml': FLEET,
    'sites/a.yaml': siteText('a', 'country: dk'),
    'apps/x/workload.yaml': workloadText('x', spec),
  })
  const linted = lintFleet(new Map([...ours, ...files]), { root: '', revision: 'test', cache: createFleetCache() })
  if (linted.rendered === null || linted.problems.length > 0) throw new Error(JSON.stringify(linted.problems))
  return renderSite(linted.rendered, 'a').map(({ manifest }) => manifest)
}

const both = (told: Told): Readonly<Record<string, Told>> => ({
  monitoring: told,
  keep: { objects: [configMap('keep')] },
})

beforeAll(async () => {
  objects = rendered('kube-prometheus/manifests', '  namespace: monitoring\n  namespaces: [default, kube-system]\n')
  plane = await startControlPlane()
  other = await startControlPlane()
  theirs = await openCluster({ from: 'kubeconfig', path: other.kubeconfig })
  site = await liveSite(plane.kubeconfig, { set: 'prometheus', agent: { fuseObjects: 1_000 } })
})
afterAll(async () => {
  await site?.[Symbol.asyncDispose]()
  await theirs?.close()
  await other?.stop()
  await plane?.stop()
})

test('from empty in one release', async () => {
  expect(objects.length).toBeGreaterThan(80)
  await site.tell(both({ objects }))
  const monitoring = site.workload('monitoring')
  expect(monitoring.objects.filter(({ sync }) => sync !== 'Synced')).toEqual([])
  expect(monitoring.counts.objects).toBe(objects.length)
  expect(monitoring.applied?.digest).toBe(monitoring.desired?.digest)
  // One apply each and the ApplySet's parent and namespaces: nothing is sent twice to get there.
  expect(site.agent.status().counts.failures).toBe(0)
})

test('a second turn does nothing: no write, no read beyond the watches that are open', async () => {
  // Controllers of the API server set conditions of definitions and API services: those come as events, not as reads.
  await site.turns(5)
  const from = site.requests.length
  const { watches } = site.agent.status().requests
  for (let i = 0; i < 5; i++) await site.agent.turn(SIGNAL)
  expect(counted(site.requests.slice(from))).toEqual({ writes: 0, reads: 0 })
  expect(site.agent.status().requests.watches).toBe(watches)
  expect(site.agent.status().counts.corrected).toBe(0)
})

test('equals kubectl apply --server-side, object by object', async () => {
  const leading = objects.filter(({ kind }) => kind === 'Namespace' || kind === 'CustomResourceDefinition')
  const apply = async (name: string, of: readonly Manifest[]): Promise<void> => {
    const file = join(other.dir, `${name}.json`)
    await writeFile(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: of }))
    await other.kubectl('apply', '--server-side', '-f', file)
  }
  await apply('first', leading)
  await other.kubectl('wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s')
  await apply(
    'rest',
    objects.filter((object) => !leading.includes(object)),
  )
  for (const object of objects) {
    const ours = await site.live(object)
    const reference = await theirs.get(object, refOf(object), SIGNAL)
    if (ours === undefined || reference === undefined) throw new Error(`${formatRef(refOf(object))} is missing`)
    const { [PART_OF]: set, [WORKLOAD_LABEL]: workload, ...labels } = ours.metadata.labels ?? {}
    expect(set).toMatch(/^applyset-/)
    expect(workload).toBe('monitoring')
    const unmarked = { ...ours, metadata: { ...ours.metadata, labels } }
    const plain = { ...reference, metadata: { ...reference.metadata, labels: reference.metadata.labels ?? {} } }
    expect(withoutServerMade(unmarked)).toEqual(withoutServerMade(plain))
  }
})

test('removed: everything but the protected kinds is gone, and what is kept is named', async () => {
  await site.tell({ keep: { objects: [configMap('keep')] } })
  await site.turns(5)
  const left: string[] = []
  for (const object of objects) {
    // A kind whose definition stays is still served.
    const live = await site.live(object)
    if (live !== undefined && live.metadata.deletionTimestamp === undefined) left.push(formatRef(refOf(object)))
  }
  expect(left.toSorted()).toEqual(objects.map(refOf).filter(isProtected).map(formatRef).toSorted())
  expect(await site.live(configMap('keep'))).toBeDefined()
})
